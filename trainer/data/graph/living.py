"""Shapes of living people, who have idiosyncrasies of motion: ``kind = "living_shapes"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from backend.geometry.template import load_template
from trainer.contracts import SourceConfig
from trainer.data.graph.batch import GraphBatch
from trainer.data.living.faces import LivingFaces, LivingPerson, draw_living_person
from trainer.data.people.expression import draw_expression
from trainer.data.people.surface import PeopleSurface


@dataclass(frozen=True, kw_only=True)
class LivingShapesConfig(SourceConfig):
    """An endless sequence of shapes of living people: neutral faces and their expressions; an index is a person."""

    seed: int = 0
    """Another seed gives other people."""
    expressions: int = 2
    """Number of expressions per person."""

    def build(self) -> LivingShapes:
        """Make the source."""
        return LivingShapes(self)


class LivingShapes:
    """See ``LivingShapesConfig``."""

    def __init__(self, config: LivingShapesConfig) -> None:
        self.config = config
        self._template = load_template()
        self._faces: dict[torch.device, LivingFaces] = {}

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> GraphBatch:
        """Return people number ``indices``."""
        device = torch.device(device)
        if device not in self._faces:
            self._faces[device] = LivingFaces(PeopleSurface(self._template, device))
        faces, count = self._faces[device], self.config.expressions
        people, weights = [], []
        for index in indices:
            generator = _generator(self.config.seed, index)
            people.append(draw_living_person(generator, len(self._template.identity_modes)))
            weights.extend(draw_expression(generator).weights for _ in range(count))
        each = torch.arange(len(people), device=device).repeat_interleave(count)
        neutral, idiosyncrasies = faces.neutral(people)[each], faces.idiosyncrasies(people).of(each)
        keys = torch.from_numpy(np.stack(weights)).to(device)
        return GraphBatch(
            person=torch.tensor(list(indices), device=device)[each],
            neutral=neutral,
            weights=keys,
            vertices=faces.posed(neutral, keys, idiosyncrasies)[:, : self._template.head.vertex_stop],
            photos=None,
            idiosyncrasies=idiosyncrasies,
        )


def living_people(seed: int, indices: range) -> list[LivingPerson]:
    """Return people number ``indices`` of the source with this seed."""
    modes = len(load_template().identity_modes)
    return [draw_living_person(_generator(seed, index), modes) for index in indices]


def _generator(seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, index]))
