"""Synthetic people for training the expression reader: half with everyday expressions, half with rare ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.geometry.template import load_template
from backend.hair.hull import head_hull
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, LIDS, mirrored_name
from trainer.data.people.attachments.hats import draw_hat
from trainer.data.people.attachments.things import draw_thing
from trainer.data.people.expression import MOOD_NAMES, ExpressionParameters, draw_expression
from trainer.data.people.scene import Shot
from trainer.data.people.source import People, PeopleConfig

WIDE_SHARE = 0.5
ANY_MOOD_SHARE = 0.5
"""Share of wide expressions with a mood drawn uniformly, so that fear, sulking or disgust are as frequent as a
smile."""
TURNED_SHARE, TURNED_DEGREES = 0.12, (35.0, 80.0)
"""Share of pictures turned to the side, in addition to ``draw_view``'s, and their yaw; they are the hardest to read."""
HARD_TURNED_SHARE, HARD_DEGREES = 0.65, (40.0, 84.0)
"""Share of hard pictures from the side, and their yaw. Without them the reader has only a few hundred pictures from the
side, a tenth of them with shut eyes."""
HARD_MASKED_SHARE, HARD_HAT_SHARE = 0.3, 0.3
"""Shares of hard pictures with a face mask, and with a hat or hood."""
HARD_SHUT_SHARE, HARD_LIDS_SHARE = 0.3, 0.25
"""Shares of hard pictures with shut eyes, and with lids at random."""
_KEYS = tuple(name for name in ARKIT_NAMES if not name.startswith(("eyeLook", "eyeBlink", "tongue", "mouthClose")))


def draw_wide(generator: np.random.Generator) -> ExpressionParameters:
    """Draw a mood and a few keys of random strength, sometimes with random lids, an open mouth or a tongue."""
    rare = generator.random() < ANY_MOOD_SHARE
    base = draw_expression(generator, MOOD_NAMES[generator.integers(len(MOOD_NAMES))] if rare else None)
    weights = base.weights * generator.uniform(0.0, 1.2)
    for _ in range(1 + generator.poisson(2.0)):
        name = _KEYS[generator.integers(len(_KEYS))]
        strength = generator.uniform(0.1, 1.0)
        weights[ARKIT_INDEX[name]] = max(weights[ARKIT_INDEX[name]], strength)
        other = mirrored_name(name)
        if other != name and not name.startswith(("jaw", "mouthLeft", "mouthRight")) and generator.random() < 0.75:
            weights[ARKIT_INDEX[other]] = max(weights[ARKIT_INDEX[other]], strength * generator.uniform(0.8, 1.1))
    if generator.random() < 0.2:
        weights[ARKIT_INDEX["jawOpen"]] = generator.uniform(0.2, 1.0)
    if generator.random() < 0.3:
        lid = generator.uniform(0.2, 1.0) if generator.random() < 0.6 else 1.0
        for blink in LIDS:
            weights[blink] = lid if generator.random() < 0.9 else 0.0
    if generator.random() < 0.08:
        weights[ARKIT_INDEX["tongueOut"]] = generator.uniform(0.3, 1.0)
        weights[ARKIT_INDEX["jawOpen"]] = max(weights[ARKIT_INDEX["jawOpen"]], generator.uniform(0.15, 0.6))
    return replace(base, weights=np.clip(weights, 0, 1).astype(np.float32), glance=1.3 * base.glance)


class WidePeople(People):
    """``People`` with ``draw_wide`` expressions in a share ``WIDE_SHARE`` of the pictures, and more side views."""

    def shots(self, index: int) -> list[Shot]:
        """The parameters of all pictures of person ``index``."""
        generator = np.random.Generator(np.random.Philox(key=[self.config.seed, index], counter=[0, 0, 0, 77]))
        shots = []
        for shot in super().shots(index):
            if generator.random() < WIDE_SHARE:
                shot = replace(shot, expression=draw_wide(generator))
            if generator.random() < TURNED_SHARE:
                yaw = generator.choice([-1.0, 1.0]) * np.radians(generator.uniform(*TURNED_DEGREES))
                shot = replace(shot, view=replace(shot.view, yaw=float(yaw)))
            shots.append(shot)
        return shots


class HardPeople(WidePeople):
    """The hardest people for the detector and the reader: from the side, in masks and hoods, and often with shut
    eyes, so that the reader learns how these look there."""

    def __init__(self, config: PeopleConfig) -> None:
        super().__init__(config)
        self._hull = head_hull(load_template())

    def shots(self, index: int) -> list[Shot]:
        """The parameters of all pictures of person ``index``."""
        generator = np.random.Generator(np.random.Philox(key=[self.config.seed, index], counter=[0, 0, 0, 78]))
        return [self._hard(shot, generator) for shot in super().shots(index)]

    def _hard(self, shot: Shot, generator: np.random.Generator) -> Shot:
        view, worn = shot.view, shot.worn
        if generator.random() < HARD_TURNED_SHARE:
            yaw = generator.choice([-1.0, 1.0]) * np.radians(generator.uniform(*HARD_DEGREES))
            view = replace(view, yaw=float(yaw))
        if generator.random() < HARD_MASKED_SHARE:
            bare = replace(worn.beard, length=np.zeros_like(worn.beard.length))
            worn = replace(worn, thing=draw_thing(generator, self._hull, masked=1.0), beard=bare)
        if generator.random() < HARD_HAT_SHARE:
            worn = replace(worn, hat=draw_hat(generator, shot.person.look, self._hull, chance=1.0))
        weights = shot.expression.weights.copy()
        lids = generator.random()
        if lids < HARD_SHUT_SHARE:
            weights[LIDS] = generator.uniform(0.85, 1.0)
        elif lids < HARD_SHUT_SHARE + HARD_LIDS_SHARE:
            weights[LIDS] = generator.uniform(0.0, 1.0)
        return replace(shot, view=view, worn=worn, expression=replace(shot.expression, weights=weights))
