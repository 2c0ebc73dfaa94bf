"""Synthetic people's skin for the detail network: ``kind = "detail_people"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from backend.detail.expression_map import CHANNELS, ExpressionMaps, vertex_strain
from backend.detail.groups import KEY_GROUPS, group_weights
from backend.detail.window import detail_window, surface_frames
from backend.geometry.template import load_template
from trainer.contracts import SourceConfig
from trainer.data.detail.disturbances import NOTHING, Changes
from trainer.data.detail.relief import Relief, cause, draw_relief
from trainer.data.detail.uv_photo import draw_shot, paint, photograph
from trainer.data.people.expression import draw_expression
from trainer.data.people.look import draw_look
from trainer.data.people.skin import draw_skin

TARGETS = 3
"""Expressions of each person whose displacement is asked: at rest, the first photo's, and one that no photo shows."""
_IDENTITY = 0.95
_CHANGED = 1 << 40
"""Added to the seed for what ``Changes`` draw, so that all else is drawn as without."""
_LINES = ("folds", "lines", "crows", "bags", "frown")


@dataclass(frozen=True)
class DetailBatch:
    """B people, P photos of them, T = 3 B targets (``TARGETS`` of each person in a row). N texels of the window, n of
    expression maps.

    Attributes
    ----------
    photos : (P, 7, N, N) observations. expressions : (P, 9, n, n) as a fit would have them. person : (P,) int64,
        ascending from 0. wanted : (T, 9, n, n) expressions. displacement : (T, 1, N, N) truth, millimetres.
    allowed : (1, 1, N, N) in [0, 1], where skin may be displaced.
    """

    photos: Tensor
    expressions: Tensor
    person: Tensor
    wanted: Tensor
    displacement: Tensor
    allowed: Tensor


@dataclass(frozen=True, kw_only=True)
class DetailPeopleConfig(SourceConfig):
    """People by number."""

    size: int = 512
    """Texels a side of the window."""
    coarse: int = 128
    """Texels a side of expression maps."""
    photos: int = 3
    """Most photos of a person; there are one to so many."""
    seed: int = 0
    """Other seeds are other people."""
    colours: str = "all"
    """``all``; ``plain``: no freckles, moles and make-up; ``marked``: the same people full of freckles and make-up."""

    def __post_init__(self) -> None:
        if self.photos < 1 or self.colours not in ("all", "plain", "marked"):
            raise ValueError("photos must be at least 1, colours one of all, plain and marked")

    def build(self) -> DetailPeople:
        """Make the source."""
        return DetailPeople(self)


class DetailPeople:
    """See ``DetailPeopleConfig``."""

    def __init__(self, config: DetailPeopleConfig) -> None:
        self.config = config
        self._template = load_template()
        self._cause = cause(config.size)
        self._coarse = detail_window(self._template, config.coarse)

    def batch(self, indices: range, device: torch.device) -> DetailBatch:
        """People number ``indices``."""
        made = [self.person(index) for index in indices]
        rows = []
        for number, one in enumerate(made):
            rows.append(replace(one, person=one.person + number))
        values = {
            field.name: torch.cat([getattr(one, field.name) for one in rows]).to(device)
            for field in fields(DetailBatch)
            if field.name != "allowed"
        }
        return DetailBatch(**values, allowed=rows[0].allowed.to(device))

    def person(self, index: int, changes: Changes = NOTHING) -> DetailBatch:
        """One person, number 0, photographed with ``changes``."""
        config, template, known = self.config, self._template, self._cause
        g = np.random.Generator(np.random.Philox(key=[config.seed, index]))
        look = draw_look(g)
        skin = replace(draw_skin(g, look), **dict.fromkeys(_LINES, 0.0))
        relief = draw_relief(g, float(np.clip((look.age - 18) / 60, 0, 1)))
        if config.colours == "plain":
            skin = replace(skin, freckles=0.0, lipstick=0.0, blush=0.0, eye_shadow=0.0, liner=0.0, blotch=0.5)
            relief = replace(relief, moles=0)
        elif config.colours == "marked":
            skin = replace(skin, freckles=1.0, lipstick=0.9, blush=0.7, eye_shadow=0.8, liner=1.0, blotch=2.0)
            relief = replace(relief, moles=0)
        skin, relief = replace(skin, **changes.skin), changes.relief(relief)
        of_changes = np.random.Generator(np.random.Philox(key=[config.seed + _CHANGED, index]))
        count = template.head.vertex_stop
        modes = template.identity_modes[:, :count]
        coefficients = _IDENTITY * np.clip(g.standard_normal(len(modes)), -2.8, 2.8).astype(np.float32)
        neutral = template.vertices[:count] + np.einsum("k,kvc->vc", coefficients, modes)
        gains = np.exp(g.normal(0, 0.15, len(template.expressions))).astype(np.float32)
        keys = template.expressions[:, :count] * gains[:, None, None]

        surface = known.window.surface
        rest = surface_frames(surface, surface.lifted(neutral.astype(np.float64)))
        maps = ExpressionMaps(self._coarse, neutral)
        person_relief = Relief(relief, config.size)
        albedo = paint(known, skin, np.maximum(person_relief.moles, changes.dark_spots(known, of_changes)))

        def posed(weights: np.ndarray) -> np.ndarray:
            return neutral + np.einsum("k,kvc->vc", weights, keys)

        def truth(weights: np.ndarray) -> np.ndarray:
            frames = surface_frames(surface, surface.lifted(posed(weights).astype(np.float64)))
            return person_relief.displacement(known.smoothed(known.window.image(vertex_strain(rest, frames))))

        photos, expressions, first = [], [], None
        for _ in range(int(g.integers(1, config.photos + 1))):
            weights = draw_expression(g).weights
            first = weights if first is None else first
            frames = surface_frames(surface, surface.lifted(posed(weights).astype(np.float64)))
            height = truth(weights)
            shot, in_front = changes.shot(draw_shot(g)), changes.in_front(known, of_changes)
            photos.append(photograph(known, frames, height, albedo, skin.shine, shot, in_front))
            found = np.clip(weights * np.exp(g.normal(0, 0.2, weights.shape)) + g.normal(0, 0.02, weights.shape), 0, 1)
            expressions.append(maps.of(posed(found.astype(np.float32))))
        other = group_weights(list(KEY_GROUPS)[int(g.integers(len(KEY_GROUPS)))])
        if g.random() < 0.4:
            other = draw_expression(g).weights
        wanted = [np.zeros((CHANNELS, config.coarse, config.coarse), np.float32), maps.of(posed(first))]
        wanted.append(maps.of(posed(other)))
        heights = np.stack([truth(np.zeros_like(other)), truth(first), truth(other)])
        return DetailBatch(
            torch.from_numpy(np.stack(photos)),
            torch.from_numpy(np.stack(expressions)),
            torch.zeros(len(photos), dtype=torch.int64),
            torch.from_numpy(np.stack(wanted)),
            torch.from_numpy(heights)[:, None],
            torch.from_numpy(known.window.allowed)[None, None],
        )
