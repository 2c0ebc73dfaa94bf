"""Identity: coefficients of the template's modes with heavy tails, and shape outside the modes' span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.data.people.surface import EYE_LEFT, EYE_RIGHT, PeopleSurface

BUMPS = 20
BANK = 256
"""Number of smooth bumps shared by all people; there are as many mirror images."""
_SPREAD = 0.95
_LIMIT = 2.8
_AMPLITUDE = 0.0013
_ASYMMETRY = 0.45


@dataclass(frozen=True)
class IdentityParameters:
    """Parameters of one person's shape.

    Attributes
    ----------
    coefficients : (K,) of the identity modes, in standard deviations.
    bumps : (2 * BANK, 3) offsets of the bumps, in units of each bump's size; the second half are mirror images.
    """

    coefficients: np.ndarray
    bumps: np.ndarray


def draw_identity(generator: np.random.Generator, modes: int) -> IdentityParameters:
    """Draw one person: coefficients with the heavy tails of Student's t distribution, and 20 smooth bumps."""
    tails = np.sqrt(9 / generator.chisquare(9)) * np.sqrt(7 / 9)
    own = np.sqrt(7 / generator.chisquare(7, modes)) * np.sqrt(5 / 7)
    coefficients = _SPREAD * tails * own * generator.standard_normal(modes)
    bumps = np.zeros((2 * BANK, 3), np.float32)
    chosen = generator.choice(BANK, BUMPS, replace=False)
    offsets = generator.standard_normal((BUMPS, 3))
    mirrored = generator.random(BUMPS) > _ASYMMETRY
    bumps[chosen] = offsets
    bumps[chosen + BANK] = offsets * [-1, 1, 1] * mirrored[:, None]
    return IdentityParameters(np.clip(coefficients, -_LIMIT, _LIMIT).astype(np.float32), bumps)


class IdentityShapes:
    """Neutral faces of people, for one surface."""

    def __init__(self, surface: PeopleSurface) -> None:
        self.surface = surface
        self._bank = torch.from_numpy(_bump_bank(surface)).to(surface.device)

    def neutral(self, people: list[IdentityParameters]) -> Tensor:
        """(N, V, 3) neutral cages."""
        surface = self.surface
        device = surface.device
        coefficients = torch.from_numpy(np.stack([one.coefficients for one in people])).to(device)
        shape = coefficients @ surface.modes.flatten(1)  # (N, V * 3)
        cage = surface.mean + shape.view(len(people), -1, 3)
        bumps = torch.from_numpy(np.stack([one.bumps for one in people])).to(device)  # (N, B, 3)
        moved = bumps.transpose(1, 2).reshape(-1, 2 * BANK) @ self._bank  # (N * 3, V)
        return cage + moved.view(len(people), 3, -1).transpose(1, 2)


def _bump_bank(surface: PeopleSurface) -> np.ndarray:
    """(2 * BANK, V) float32 Gaussian bumps times their sizes in metres, weak around eyes and mouth.

    The weakening depends only on position, so that what lies behind the skin moves with it; eyeballs do not move.
    """
    template = surface.template
    vertices = template.vertices.astype(np.float64)
    generator = np.random.Generator(np.random.Philox(key=7))
    head = template.head.vertex_stop
    weight = template.regions["face"][:head] + 0.3
    centres = vertices[generator.choice(head, BANK, replace=False, p=weight / weight.sum())]
    radius = np.exp(generator.uniform(np.log(0.008), np.log(0.05), BANK))
    size = _AMPLITUDE * (radius / 0.02) ** 0.7
    calm = np.zeros(len(vertices))
    marks = template.landmarks478.positions(vertices)
    for place, inner, outer in ((template.eye_pivots[0], 0.021, 0.040), (template.eye_pivots[1], 0.021, 0.040),
                                (marks[13], 0.022, 0.050)):  # fmt: skip
        t = np.clip((outer - np.linalg.norm(vertices - place, axis=1)) / (outer - inner), 0, 1)
        calm = np.maximum(calm, t * t * (3 - 2 * t))
    share = 1 - 0.96 * calm
    eyes = template.parts["eye_left"].vertex_start, template.parts["eye_right"].vertex_stop
    share[eyes[0] : eyes[1]] = 0
    bank = []
    for side in (1.0, -1.0):
        squared = ((vertices[None] - (centres * [side, 1, 1])[:, None]) ** 2).sum(-1)  # (B, V)
        bank.append(np.exp(-squared / (2 * radius[:, None] ** 2)) * size[:, None] * share)
    return np.concatenate(bank).astype(np.float32)


def eye_centres(surface: PeopleSurface, cage: Tensor) -> Tensor:
    """(N, 2, 3) centres of the left and the right eyeball of cages (N, V, 3)."""
    centres = []
    for kind in (EYE_LEFT, EYE_RIGHT):
        own = (surface.kind[: surface.vertex_count] == kind).nonzero()[:, 0]
        centres.append(cage[:, own].mean(1))
    return torch.stack(centres, 1)
