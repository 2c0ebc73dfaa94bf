"""Living people: faces made from bone, soft tissue and idiosyncrasies of expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.data.living.idiosyncrasies import (
    SIDED,
    Idiosyncrasies,
    PersonIdiosyncrasies,
    draw_idiosyncrasies,
    stacked,
    uneven,
)
from trainer.data.living.lips import LipContact
from trainer.data.living.soft_tissue import SoftTissue
from trainer.data.people.carried import CarriedExpressions
from trainer.data.people.identity import IdentityParameters, IdentityShapes, draw_identity
from trainer.data.people.surface import PeopleSurface

_USUAL_BMI, _BMI_SPREAD = 25.5, 0.19
"""kg/m2, and the standard deviation of its logarithm, for adults worldwide."""
_BMI_LIMITS = (16.5, 43.0)
_YOUNGEST, _OLDEST = 18.0, 88.0
_MEDIAN_BLEND = 0.012
"""Metres from the median plane at which a key of both sides has three quarters of a side's extra factor (tanh)."""


@dataclass(frozen=True)
class LivingPerson:
    """``bone``: the shape that ``draw_identity`` draws. ``bmi`` kg/m2, ``age`` years. ``idiosyncrasies`` of
    expression."""

    bone: IdentityParameters
    bmi: float
    age: float
    idiosyncrasies: PersonIdiosyncrasies


def draw_living_person(generator: np.random.Generator, modes: int) -> LivingPerson:
    """Draw one adult; people gain weight up to some sixty years."""
    bone = draw_identity(generator, modes)
    age = float(_YOUNGEST + (_OLDEST - _YOUNGEST) * generator.beta(1.3, 1.7))
    gained = 0.06 * np.clip((age - 40) / 20, -1, 1)
    bmi = float(np.clip(_USUAL_BMI * np.exp(gained + _BMI_SPREAD * generator.standard_normal()), *_BMI_LIMITS))
    return LivingPerson(bone, bmi, age, draw_idiosyncrasies(generator))


class LivingFaces:
    """Faces of living people on one surface. The template has V vertices, the first C are the head's."""

    def __init__(self, surface: PeopleSurface) -> None:
        template, device = surface.template, surface.device
        self._device = device
        self._bones = IdentityShapes(surface)
        self._tissue = SoftTissue(template, device)
        self._carried = CarriedExpressions(template, device)
        self._lips = LipContact(template, device)
        count = template.head.vertex_stop
        self._keys = torch.from_numpy(template.expressions[:, :count]).to(device)
        self._left = torch.tanh(torch.from_numpy(template.vertices[:count, 0]) / _MEDIAN_BLEND)[:, None].to(device)

    def bones(self, people: list[LivingPerson]) -> Tensor:
        """(N, V, 3) cages without soft tissue, metres."""
        return self._bones.neutral([one.bone for one in people])

    def neutral(self, people: list[LivingPerson]) -> Tensor:
        """(N, V, 3) neutral cages, metres."""
        bmi = torch.tensor([one.bmi for one in people], device=self._device)
        age = torch.tensor([one.age for one in people], device=self._device)
        return self._lips.parted(self._tissue.laid(self.bones(people), bmi, age))

    def idiosyncrasies(self, people: list[LivingPerson]) -> Idiosyncrasies:
        """Return these people's idiosyncrasies."""
        return stacked([one.idiosyncrasies for one in people], self._device)

    def posed(self, neutral: Tensor, weights: Tensor, idiosyncrasies: Idiosyncrasies) -> Tensor:
        """(N, V, 3) neutral faces (N, V, 3) posed with weights (N, 52), each with its own idiosyncrasies.

        For keys of both sides, the extra motion of one side is added as it is on the mean head. It is about a sixth of
        the key, and carrying it over to the person's face would change it by only a tenth.
        """
        moved = self._carried.posed(neutral, uneven(weights, idiosyncrasies))
        both = weights * idiosyncrasies.left * (SIDED.to(weights.device) == 0)
        count = len(self._left)
        halves = (both @ self._keys.flatten(1)).view(-1, count, 3)
        moved = torch.cat([moved[:, :count] + self._left * halves, moved[:, count:]], 1)
        return self._lips.touching(moved, neutral, idiosyncrasies.stick)
