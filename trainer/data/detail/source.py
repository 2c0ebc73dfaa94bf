"""Synthetic people's skin for the detail network: ``kind = "detail_people"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from backend.detail.expression_map import CHANNELS, ExpressionMaps, vertex_strain
from backend.detail.groups import KEY_GROUPS, group_weights
from backend.detail.observation import observe
from backend.detail.window import SurfaceFrames, detail_window, surface_frames
from backend.geometry.template import load_template
from trainer.contracts import SourceConfig
from trainer.data.detail.batch import DetailBatch, joined_pictures
from trainer.data.detail.disturbances import NOTHING, Changes
from trainer.data.detail.picture import picture_places, pictures_of, projected
from trainer.data.detail.relief import Cause, Relief, cause, draw_relief
from trainer.data.detail.uv_photo import bare_skin, draw_shot, paint, take_photo
from trainer.data.people.expression import draw_expression
from trainer.data.people.look import draw_look
from trainer.data.people.skin import SkinParameters, draw_skin

_IDENTITY_SPREAD = 0.95
_CHANGES_SEED = 1 << 40
"""Added to the seed of what ``Changes`` draw, so that all other draws stay the same."""
_PAINTED_LINES = ("folds", "lines", "crows", "bags", "frown")


@dataclass(frozen=True, kw_only=True)
class DetailPeopleConfig(SourceConfig):
    """People by number."""

    size: int = 512
    """Texels a side of the window."""
    coarse: int = 128
    """Texels a side of expression maps."""
    photos: int = 3
    """Greatest number of photos per person; each has one to this many."""
    seed: int = 0
    """Another seed gives other people."""
    colours: str = "all"
    """``all``; ``plain``: no freckles, moles and make-up; ``marked``: the same people full of freckles and make-up."""
    told: float = 1.0
    """Share of the people with known relief, spread evenly over their numbers. The relief of the others is set to
    zero."""
    picture: int = 0
    """Side of the pictures in pixels, for losses on pictures; 0: none."""

    def __post_init__(self) -> None:
        if not 0 <= self.told <= 1 or self.picture < 0:
            raise ValueError("told must be in [0, 1] and picture at least 0")
        if self.photos < 1 or self.colours not in ("all", "plain", "marked"):
            raise ValueError("photos must be at least 1, colours one of all, plain and marked")

    def build(self) -> DetailPeople:
        """Make the source."""
        return DetailPeople(self)


@dataclass(frozen=True)
class DrawnPerson:
    """A person before any photo. The head's cage has C vertices.

    Attributes
    ----------
    skin, relief : the skin's appearance. neutral : (C, 3) float32, head frame, metres. keys : (K, C, 3) offsets.
    cause : for the window's size N.
    """

    skin: SkinParameters
    relief: Relief
    neutral: np.ndarray
    keys: np.ndarray
    cause: Cause

    def posed(self, weights: np.ndarray) -> np.ndarray:
        """(C, 3) cage for weights (K,)."""
        return self.neutral + np.einsum("k,kvc->vc", weights, self.keys)

    def displacement(self, weights: np.ndarray) -> np.ndarray:
        """(N, N) float32 millimetres, the true relief for weights (K,)."""
        strain = vertex_strain(self._rest, self.frames(weights))
        return self.relief.displacement(self.cause.smoothed(self.cause.window.image(strain)))

    def frames(self, weights: np.ndarray) -> SurfaceFrames:
        """Surface frames of the subdivided head, posed."""
        surface = self.cause.window.surface
        return surface_frames(surface, surface.lifted(self.posed(weights).astype(np.float64)))

    @cached_property
    def _rest(self) -> SurfaceFrames:
        return self.frames(np.zeros(len(self.keys), np.float32))


class DetailPeople:
    """See ``DetailPeopleConfig``."""

    def __init__(self, config: DetailPeopleConfig) -> None:
        self.config = config
        self._template = load_template()
        self._cause = cause(config.size)
        self._coarse = detail_window(self._template, config.coarse)

    def batch(self, indices: range, device: torch.device) -> DetailBatch:
        """Return people number ``indices``."""
        return DetailBatch.joined([self.person(index) for index in indices], device)

    def person(self, index: int, changes: Changes = NOTHING) -> DetailBatch:
        """Return one person (number 0 of the batch), photographed with ``changes``."""
        config, known = self.config, self._cause
        drawn, g = self._drawn(index, changes)
        skin, posed, truth = drawn.skin, drawn.posed, drawn.displacement
        of_changes = np.random.Generator(np.random.Philox(key=[config.seed + _CHANGES_SEED, index]))
        surface = known.window.surface
        maps = ExpressionMaps(self._coarse, drawn.neutral)
        albedo = paint(known, skin, np.maximum(drawn.relief.moles, changes.dark_spots(known, of_changes)))
        bare = bare_skin(known, skin)
        photos, expressions, pictures, first = [], [], [], None
        for _ in range(int(g.integers(1, config.photos + 1))):
            weights = draw_expression(g).weights
            first = weights if first is None else first
            positions = surface.lifted(posed(weights).astype(np.float64))
            shot, in_front = changes.shot(draw_shot(g)), changes.in_front(known, of_changes)
            frames = surface_frames(surface, positions)
            photo = take_photo(known, frames, truth(weights), albedo, skin.shine, shot, in_front)
            photo = replace(photo, weight=photo.weight * bare)
            photos.append(observe(photo, known.density))
            if config.picture:
                pixels = projected(positions, shot.turn, config.picture)
                where = picture_places(known.window, pixels, config.picture)
                pictures.append(pictures_of(photo, known.window, known.density, where))
            found = np.clip(weights * np.exp(g.normal(0, 0.2, weights.shape)) + g.normal(0, 0.02, weights.shape), 0, 1)
            expressions.append(maps.of(posed(found.astype(np.float32))))
        other = group_weights(list(KEY_GROUPS)[int(g.integers(len(KEY_GROUPS)))])
        if g.random() < 0.4:
            other = draw_expression(g).weights
        wanted = [np.zeros((CHANNELS, config.coarse, config.coarse), np.float32), maps.of(posed(first))]
        wanted.append(maps.of(posed(other)))
        heights = np.stack([truth(np.zeros_like(other)), truth(first), truth(other)])
        told = int((index + 1) * config.told) > int(index * config.told)
        return DetailBatch(
            photos=torch.from_numpy(np.stack(photos)),
            expressions=torch.from_numpy(np.stack(expressions)),
            person=torch.zeros(len(photos), dtype=torch.int64),
            wanted=torch.from_numpy(np.stack(wanted)),
            displacement=torch.from_numpy(heights * np.float32(told))[:, None],
            told=torch.tensor([told]),
            allowed=torch.from_numpy(known.window.allowed)[None, None],
            pictures=joined_pictures(pictures) if pictures else None,
        )

    def drawn(self, index: int) -> DrawnPerson:
        """Return person ``index`` as in its photos."""
        return self._drawn(index, NOTHING)[0]

    def _drawn(self, index: int, changes: Changes) -> tuple[DrawnPerson, np.random.Generator]:
        """Return the person and the generator that draws the photos."""
        config, template = self.config, self._template
        g = np.random.Generator(np.random.Philox(key=[config.seed, index]))
        look = draw_look(g)
        skin = replace(draw_skin(g, look), **dict.fromkeys(_PAINTED_LINES, 0.0))
        relief = draw_relief(g, float(np.clip((look.age - 18) / 60, 0, 1)))
        if config.colours == "plain":
            skin = replace(skin, freckles=0.0, lipstick=0.0, blush=0.0, eye_shadow=0.0, liner=0.0, blotch=0.5)
            relief = replace(relief, moles=0)
        elif config.colours == "marked":
            skin = replace(skin, freckles=1.0, lipstick=0.9, blush=0.7, eye_shadow=0.8, liner=1.0, blotch=2.0)
            relief = replace(relief, moles=0)
        count = template.head.vertex_stop
        modes = template.identity_modes[:, :count]
        coefficients = _IDENTITY_SPREAD * np.clip(g.standard_normal(len(modes)), -2.8, 2.8).astype(np.float32)
        neutral = template.vertices[:count] + np.einsum("k,kvc->vc", coefficients, modes)
        gains = np.exp(g.normal(0, 0.15, len(template.expressions))).astype(np.float32)
        person_relief = Relief(changes.relief(relief), config.size)
        keys = template.expressions[:, :count] * gains[:, None, None]
        return DrawnPerson(replace(skin, **changes.skin), person_relief, neutral, keys, self._cause), g
