"""Personal idiosyncrasies of expression: asymmetry, jaw drift to one side, lips that stick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, mirrored_name

_SIDE_SPREAD, _KEY_SPREAD = 0.10, 0.11
"""Standard deviations of the asymmetry: the left side's general extra strength, and single movements' deviation from
it.
Together about 15 %, which observers of posed smiles report as usual."""
_MOST_ASYMMETRY = 0.4
_DRIFT = 0.05
"""Standard deviation of the weight of ``jawLeft`` (of ``jawRight`` where negative) that a full ``jawOpen`` adds."""
_STICK = (0.0012, 0.0035)
"""Metres, range of the gaps at the corners that sticking lips keep closed."""


@dataclass(frozen=True)
class Idiosyncrasies:
    """Idiosyncrasies of N people.

    Attributes
    ----------
    left : (N, 52) extra strength of a key on the left, relative to its weight; a pair of keys shares one number.
    drift : (N,) weight of ``jawLeft`` at a full ``jawOpen``. stick : (N,) metres.
    """

    left: Tensor
    drift: Tensor
    stick: Tensor


@dataclass(frozen=True)
class PersonIdiosyncrasies:
    """``Idiosyncrasies`` of one person, in numpy."""

    left: np.ndarray
    drift: float
    stick: float


def draw_idiosyncrasies(generator: np.random.Generator) -> PersonIdiosyncrasies:
    """Draw one person's idiosyncrasies."""
    general = generator.normal(0, _SIDE_SPREAD)
    own = generator.normal(0, _KEY_SPREAD, len(ARKIT_NAMES))
    for name, number in ARKIT_INDEX.items():
        own[number] = own[min(number, ARKIT_INDEX[mirrored_name(name)])]
    left = np.clip(general + own, -_MOST_ASYMMETRY, _MOST_ASYMMETRY).astype(np.float32)
    left[[number for name, number in ARKIT_INDEX.items() if name.startswith(_SYMMETRIC_KEYS)]] = 0
    return PersonIdiosyncrasies(left, float(generator.normal(0, _DRIFT)), float(generator.uniform(*_STICK)))


def stacked(people: list[PersonIdiosyncrasies], device: torch.device) -> Idiosyncrasies:
    """Stack people's idiosyncrasies to one ``Idiosyncrasies``."""
    left = torch.from_numpy(np.stack([one.left for one in people])).to(device)
    drift, stick = (torch.tensor([getattr(one, name) for one in people], device=device) for name in ("drift", "stick"))
    return Idiosyncrasies(left, drift, stick)


_SYMMETRIC_KEYS = ("eye", "jaw", "tongue", "mouthLeft", "mouthRight", "mouthClose")
"""Prefixes of keys without asymmetry: eyes move together, and motions of the jaw or the whole mouth have no sides."""
SIDED = torch.tensor([(name.endswith("Left")) * 1.0 - (name.endswith("Right")) * 1.0 for name in ARKIT_NAMES])
"""(52,) 1 for keys of the left side, -1 for the right, 0 for keys of both sides."""


def with_idiosyncrasies(weights: Tensor, idiosyncrasies: Idiosyncrasies) -> Tensor:
    """(N, 52) weights with idiosyncrasies from target weights (N, 52): asymmetric pairs, the jaw's drift, and lips that
    close over an open jaw (``mouthClose``) no further than it is open."""
    found = weights * (1 + SIDED.to(weights.device) * idiosyncrasies.left)
    close, opened = ARKIT_INDEX["mouthClose"], ARKIT_INDEX["jawOpen"]
    found = found.clone()
    found[:, close] = torch.minimum(weights[:, close], weights[:, opened])
    drift = idiosyncrasies.drift * weights[:, opened]
    found[:, ARKIT_INDEX["jawLeft"]] += drift.clamp(min=0)
    found[:, ARKIT_INDEX["jawRight"]] += (-drift).clamp(min=0)
    return found
