"""More training people for the expression reader, from the landmark net's training set: those with rare expressions,
and some without. Their pictures are in the cache already; their expressions are drawn again from their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch

from backend.geometry.template import load_template
from backend.models.landmarks.apply import SurfaceLandmarker
from backend.models.landmarks.network import WINDOW_PER_FACE
from backend.photos.faces.landmarks import landmark_window
from backend.photos.faces.sampling import Window
from backend.rig.arkit import ARKIT_NAMES
from trainer.data.landmark_people import LandmarkPeople, LandmarkPeopleConfig
from trainer.data.people import PeopleConfig
from trainer.data.people.people_sampler import PeopleSampler
from trainer.data.people.scene import Shot, Stage
from trainer.data.people.surface import PeopleSurface

KEPT = LandmarkPeopleConfig(count=48000, people=PeopleConfig(size=160, framing="roomy", seed=41))
"""The people of trainer/recipes/landmarks_cpu.toml."""
COMMON_KEY_PREFIXES = ("eyeLook", "mouthSmile", "cheekSquint", "mouthDimple", "jawOpen")
"""Prefixes of the common keys: every second picture moves them."""
STRONG = 0.25
"""Weight above which a key counts; smaller ones hardly show."""
JITTER, SIZE_JITTER = 0.03, 0.05
"""Standard deviations of a window's middle in its sides, and of its side (logarithm) and rotation (radians). The
landmark net's first window in the product is no better."""


class _Bare:
    """Draws nothing worn. Hats, hair and glasses take most of the time, and have random numbers of their own."""

    def draw(self, *_: object) -> None:
        """Return None."""


@cache
def _casting() -> PeopleSampler:
    return PeopleSampler(KEPT.people.seed, len(load_template().identity_modes), _Bare())


def cached_shot(number: int) -> Shot:
    """Person, expression and view of kept picture ``number``, without worn things."""
    return _casting().photos(number, 1)[0]


def rarity(weights: np.ndarray) -> np.ndarray:
    """(N,) sum over all keys but the usual ones of how far weights (N, 52) exceed ``STRONG``."""
    rare = [number for number, name in enumerate(ARKIT_NAMES) if not name.startswith(COMMON_KEY_PREFIXES)]
    return np.clip(weights[:, rare] - STRONG, 0.0, None).sum(1)


def chosen(weights: np.ndarray, rare: int, calm: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose pictures by their weights (N, 52): numbers of the at most ``rare`` rarest, rarest first, and of the first
    ``calm`` without rare expressions."""
    off = rarity(weights)
    order = np.argsort(-off, kind="stable")
    return order[: min(rare, int((off > 0.0).sum()))], np.flatnonzero(off == 0.0)[:calm]


class CachedPeople:
    """The cached pictures of these people; see the module."""

    def __init__(self) -> None:
        self._pictures: LandmarkPeople = KEPT.build()
        self._stage = Stage(PeopleSurface(load_template(), torch.device("cpu")))
        self._landmarker = SurfaceLandmarker.load()

    def rows(self, numbers: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """For every number: the picture (S, S, 3) uint8; the landmark net's points (478, 2) in it, from a slightly
        perturbed window; camera_from_head (4, 4); weights (52,); neutral vertices (V, 3), metres."""
        posed = self._stage.pose(
            [cached_shot(int(number)) for number in numbers], KEPT.people.size, KEPT.people.framing
        )
        count = len(load_template().vertices)
        for row, number in enumerate(numbers):
            batch = self._pictures.batch(range(int(number), int(number) + 1), torch.device("cpu"))
            pixels = np.ascontiguousarray((batch.images[0].permute(1, 2, 0).numpy() * 255.0 + 0.5).astype(np.uint8))
            window = _moved(landmark_window(batch.landmarks[0].double().numpy(), WINDOW_PER_FACE), int(number))
            places = self._landmarker.find_near(pixels, window).places
            yield (
                pixels, places, posed.cameras.camera_from_head[row].numpy(), posed.weights[row].numpy(),
                posed.neutral[row, :count].numpy(),
            )  # fmt: skip


def _moved(window: Window, number: int) -> Window:
    across, down, size, turn = np.random.default_rng([KEPT.people.seed, number]).normal(size=4)
    middle = np.asarray(window.centre) + JITTER * window.side * np.array([across, down])
    side = window.side * float(np.exp(SIZE_JITTER * size))
    return Window((float(middle[0]), float(middle[1])), side, window.angle + SIZE_JITTER * turn)
