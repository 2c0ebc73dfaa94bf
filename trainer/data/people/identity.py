"""Who it is: coefficients of the template's modes with heavy tails, and what lies outside the modes' span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.data.people.surface import EYE_LEFT, EYE_RIGHT, PeopleSurface

BUMPS = 24
_SPREAD = 0.95
_LIMIT = 3.2
_AMPLITUDE = 0.0011
_ASYMMETRY = 0.45


@dataclass(frozen=True)
class IdentityParameters:
    """What makes a face that of one person.

    Attributes
    ----------
    coefficients : (K,) of the identity modes, in standard deviations.
    centre : (B,) uniform in [0, 1), place of each bump among the head's vertices. offset : (B, 3) metres.
    radius : (B,) metres. mirrored : (B,) 1 where the bump has a mirror image, 0 where not.
    """

    coefficients: np.ndarray
    centre: np.ndarray
    offset: np.ndarray
    radius: np.ndarray
    mirrored: np.ndarray


def draw_identity(generator: np.random.Generator, modes: int) -> IdentityParameters:
    """One person: Student's t with 7 degrees of freedom instead of a normal distribution, and 24 smooth bumps."""
    tails = np.sqrt(7 / generator.chisquare(7)) * np.sqrt(5 / 7)
    own = np.sqrt(7 / generator.chisquare(7, modes)) * np.sqrt(5 / 7)
    coefficients = _SPREAD * tails * own * generator.standard_normal(modes)
    radius = np.exp(generator.uniform(np.log(0.008), np.log(0.05), BUMPS))
    size = _AMPLITUDE * (radius / 0.02) ** 0.7
    return IdentityParameters(
        coefficients=np.clip(coefficients, -_LIMIT, _LIMIT).astype(np.float32),
        centre=generator.random(BUMPS).astype(np.float32),
        offset=(generator.standard_normal((BUMPS, 3)) * size[:, None]).astype(np.float32),
        radius=radius.astype(np.float32),
        mirrored=(generator.random(BUMPS) > _ASYMMETRY).astype(np.float32),
    )


class IdentityShapes:
    """Neutral faces of people, for one surface."""

    def __init__(self, surface: PeopleSurface) -> None:
        self.surface = surface
        template = surface.template
        regions = template.regions
        head = template.head.vertex_stop
        calm = np.maximum(regions["eye_sockets"], np.maximum(regions["lips"], regions["mouth_interior"]))
        near_eyes = np.zeros(len(template.vertices), np.float32)
        for pivot in template.eye_pivots:
            distance = np.linalg.norm(template.vertices - pivot, axis=1)
            near_eyes = np.maximum(near_eyes, np.exp(-((distance / 0.022) ** 2)))
        share = 1 - np.clip(np.maximum(0.85 * calm, 0.95 * near_eyes), 0, 0.95)
        share[head:] = 0  # eyes, teeth and tongue keep their places
        self._share = torch.from_numpy(share.astype(np.float32)).to(surface.device)
        face = regions["face"][:head] + 0.3
        self._order = np.cumsum(face) / face.sum()
        self._outline = template.vertices

    def neutral(self, people: list[IdentityParameters]) -> Tensor:
        """(N, V, 3) neutral cages."""
        surface = self.surface
        device = surface.device
        coefficients = torch.from_numpy(np.stack([one.coefficients for one in people])).to(device)
        shape = coefficients @ surface.modes.flatten(1)  # (N, V * 3)
        cage = surface.mean + shape.view(len(people), -1, 3)
        return cage + self._bumps(people) * self._share[:, None]

    def _bumps(self, people: list[IdentityParameters]) -> Tensor:
        """(N, V, 3) sum of Gaussian bumps and their mirror images."""
        device, mean = self.surface.device, self.surface.mean
        centres = np.stack([self._outline[np.searchsorted(self._order, one.centre)] for one in people])  # (N, B, 3)
        centre = torch.from_numpy(centres).to(device)
        offset = torch.from_numpy(np.stack([one.offset for one in people])).to(device)
        radius = torch.from_numpy(np.stack([one.radius for one in people])).to(device)
        mirrored = torch.from_numpy(np.stack([one.mirrored for one in people])).to(device)
        flip = mean.new_tensor([-1.0, 1.0, 1.0])
        total = torch.zeros(len(people), len(mean), 3, device=device)
        for place, move in ((centre, offset), (centre * flip, offset * flip * mirrored[..., None])):
            squared = ((mean[None, None] - place[:, :, None]) ** 2).sum(-1)  # (N, B, V)
            weight = torch.exp(-squared / (2 * radius[..., None] ** 2))
            total += torch.einsum("nbv,nbc->nvc", weight, move)
        return total


def eye_centres(surface: PeopleSurface, cage: Tensor) -> Tensor:
    """(N, 2, 3) centres of the left and the right eyeball of cages (N, V, 3)."""
    centres = []
    for kind in (EYE_LEFT, EYE_RIGHT):
        own = (surface.kind[: surface.vertex_count] == kind).nonzero()[:, 0]
        centres.append(cage[:, own].mean(1))
    return torch.stack(centres, 1)
