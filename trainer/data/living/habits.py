"""What a person's face does in its own way: one side first, the jaw to one side, lips that stick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, mirrored_name

_GENERAL, _OWN = 0.10, 0.11
"""Standard deviations: how much stronger a person's left side is, and by how much single movements differ from that.
Together some 15 %, which observers of posed smiles find usual."""
_MOST = 0.4
_DRIFT = 0.05
"""Standard deviation of the weight of ``jawLeft`` (of ``jawRight`` where negative) that a whole ``jawOpen`` brings."""
_STICK = (0.0012, 0.0035)
"""Metres, range of the gaps that lips hold closed at the corners."""


@dataclass(frozen=True)
class Habits:
    """Of N people.

    Attributes
    ----------
    left : (N, 52) how much stronger a key is on the left, of its weight; a pair of keys has one number.
    drift : (N,) weight of ``jawLeft`` in a whole ``jawOpen``. stick : (N,) metres.
    """

    left: Tensor
    drift: Tensor
    stick: Tensor

    def of(self, chosen: Tensor) -> Habits:
        """Those of the people that ``chosen`` has, numbers or (N,) bool."""
        return Habits(self.left[chosen], self.drift[chosen], self.stick[chosen])


@dataclass(frozen=True)
class HabitParameters:
    """``Habits`` of one person, as numpy has them."""

    left: np.ndarray
    drift: float
    stick: float


def draw_habits(generator: np.random.Generator) -> HabitParameters:
    """One person's."""
    general = generator.normal(0, _GENERAL)
    own = generator.normal(0, _OWN, len(ARKIT_NAMES))
    for name, number in ARKIT_INDEX.items():
        own[number] = own[min(number, ARKIT_INDEX[mirrored_name(name)])]
    left = np.clip(general + own, -_MOST, _MOST).astype(np.float32)
    left[[number for name, number in ARKIT_INDEX.items() if name.startswith(_STEADY)]] = 0
    return HabitParameters(left, float(generator.normal(0, _DRIFT)), float(generator.uniform(*_STICK)))


def stacked(people: list[HabitParameters], device: torch.device) -> Habits:
    """``Habits`` of these people."""
    left = torch.from_numpy(np.stack([one.left for one in people])).to(device)
    drift, stick = (torch.tensor([getattr(one, name) for one in people], device=device) for name in ("drift", "stick"))
    return Habits(left, drift, stick)


_STEADY = ("eye", "jaw", "tongue", "mouthLeft", "mouthRight", "mouthClose")
"""Eyes move together, and what moves the jaw or all of the mouth has no halves."""
SIDED = torch.tensor([(name.endswith("Left")) * 1.0 - (name.endswith("Right")) * 1.0 for name in ARKIT_NAMES])
"""(52,) 1 of keys of the left side, -1 of the right, 0 of those of both."""


def uneven(weights: Tensor, habits: Habits) -> Tensor:
    """(N, 52) weights of people who were asked for weights (N, 52): pairs by side, the jaw's drift, and lips that close
    over an open jaw (``mouthClose``) no further than it is open."""
    found = weights * (1 + SIDED.to(weights.device) * habits.left)
    close, opened = ARKIT_INDEX["mouthClose"], ARKIT_INDEX["jawOpen"]
    found = found.clone()
    found[:, close] = torch.minimum(weights[:, close], weights[:, opened])
    drift = habits.drift * weights[:, opened]
    found[:, ARKIT_INDEX["jawLeft"]] += drift.clamp(min=0)
    found[:, ARKIT_INDEX["jawRight"]] += (-drift).clamp(min=0)
    return found
