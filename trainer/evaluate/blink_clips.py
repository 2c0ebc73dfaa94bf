"""Clips for measuring blinks: two blinks each, seen from the front to the profile; and the same clips without
blinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backend.rig.arkit import LIDS
from trainer.data.people.people_sampler import FRAMES_PER_SECOND
from trainer.data.people.scene import Shot
from trainer.data.people.source import People, PeopleConfig

BLINK_SEED = 9300
"""Seed of people unused in training and in choosing rules (the blink rules were chosen on clips of seed 9200)."""
FRAMES, SIZE = 24, 160
YAWS = (0.0, 12.0, 25.0, 40.0, 55.0, 72.0)
"""Degrees, views of the clips in turn, from both sides."""
SECONDS, JITTER_SECONDS, WIDTH_SECONDS = (0.5, 1.5), 0.12, 0.11
"""Seconds: centres of the blinks, their jitter, and the Gaussian width of a lid's motion."""


class BlinkPeople(People):
    """Clips of ``People`` whose lids only make two full blinks; clip n is seen from ``yaw_of(n)``."""

    def __init__(self, seed: int = BLINK_SEED) -> None:
        super().__init__(PeopleConfig(size=SIZE, seed=seed, photos=FRAMES, clips=True))

    def shots(self, index: int) -> list[Shot]:
        """Draw the parameters of all frames of person ``index``."""
        generator = np.random.default_rng([self.config.seed, index])
        middles = np.array(SECONDS) + generator.uniform(-JITTER_SECONDS, JITTER_SECONDS, len(SECONDS))
        frames = super().shots(index)
        turned = np.radians(yaw_of(index)) - frames[0].view.yaw
        return [_blinking(shot, number, middles, turned) for number, shot in enumerate(frames)]


class LimitedLids(People):
    """The pictures of ``people`` at the same instants, with the lids limited to their median over the clip's frames."""

    def __init__(self, people: People) -> None:
        super().__init__(people.config)
        self._people = people

    def shots(self, index: int) -> list[Shot]:
        """Draw the parameters of all frames of person ``index``."""
        frames = self._people.shots(index)
        usual = np.median([shot.expression.weights[LIDS] for shot in frames], axis=0)
        return [_with_lids(shot, np.minimum(shot.expression.weights[LIDS], usual)) for shot in frames]


def yaw_of(index: int) -> float:
    """Yaw in degrees of clip ``index`` in its first frame."""
    return YAWS[index % len(YAWS)] * (-1.0) ** (index // len(YAWS))


def blinking_lids(number: int, middles: Sequence[float] | np.ndarray) -> float:
    """Lid closure in frame ``number`` for blinks at ``middles`` (seconds)."""
    off = (number / FRAMES_PER_SECOND - np.asarray(middles)) / WIDTH_SECONDS
    return float(np.exp(-(off**2)).max())


def _blinking(shot: Shot, number: int, middles: np.ndarray, turned: float) -> Shot:
    return replace(
        _with_lids(shot, blinking_lids(number, middles)), view=replace(shot.view, yaw=shot.view.yaw + turned)
    )


def _with_lids(shot: Shot, lids: np.ndarray | float) -> Shot:
    weights = shot.expression.weights.copy()
    weights[LIDS] = lids
    return replace(shot, expression=replace(shot.expression, weights=weights))
