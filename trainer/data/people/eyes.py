"""Eyeballs, teeth and tongue, painted per pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.photos.collection import FaceClass
from trainer.data.people.look import PersonLook
from trainer.data.people.skin import Columns, Painted, smoothstep

TOOTH_EDGES = (0.0, 0.0086, 0.0152, 0.0225, 0.0285, 0.034)
LOWER_TOOTH_EDGES = (0.0, 0.0054, 0.0112, 0.0178, 0.0246, 0.031)


@dataclass(frozen=True)
class PartsParameters:
    """Appearance of eyes and teeth. Colours linear.

    Attributes
    ----------
    iris : colour. iris_radius : metres. pupil : share of the iris. ring : darkness of its rim. sclera : colour.
    veins : redness of the sclera. teeth : colour.
    """

    iris: tuple[float, float, float]
    iris_radius: float
    pupil: float
    ring: float
    sclera: tuple[float, float, float]
    veins: float
    teeth: tuple[float, float, float]


def draw_parts(generator: np.random.Generator, look: PersonLook) -> PartsParameters:
    """Draw eyes and teeth for a person of this look."""
    g = generator
    yellow = np.clip(g.normal(0.10 + 0.003 * (look.age - 20), 0.10), 0, 0.6)
    white = g.uniform(0.36, 0.54)
    return PartsParameters(
        iris=look.iris,
        iris_radius=float(np.clip(g.normal(0.0061, 0.0002), 0.0055, 0.0067)),
        pupil=float(np.clip(g.normal(0.40, 0.08), 0.22, 0.62)),
        ring=float(g.uniform(0.3, 0.85)),
        sclera=(white, white * g.uniform(0.90, 0.97), white * g.uniform(0.84, 0.95)),
        veins=float(g.exponential(0.25)),
        teeth=tuple(np.array([0.62, 0.60, 0.55]) * (1 - yellow * np.array([0.1, 0.28, 0.75]))),
    )


def lid_height(azimuth: Tensor, lids: Tensor, image: Tensor) -> Tensor:
    """(P,) elevation of a lid's edge at azimuths (P,); lids (N, 9, 2): azimuths, ascending, and elevations."""
    row = lids.index_select(0, image)  # (P, 9, 2)
    value = row[:, 0, 1]
    for k in range(row.shape[1] - 1):
        low, high = row[:, k, 0], row[:, k + 1, 0]
        t = ((azimuth - low) / (high - low).clamp(min=1e-4)).clamp(0, 1)
        value = value + t * (row[:, k + 1, 1] - row[:, k, 1])
    return value


def paint_eye(offset: Tensor, radius: float, tiles: Tensor, columns: Columns, image: Tensor) -> Painted:
    """Paint eyeball pixels. offset (P, 3) from the eye's centre, in the eye's axes (it looks along z); radius of the
    eyeball.

    tiles (T, P) at ``iris_place``.
    """
    unit = torch.nn.functional.normalize(offset, dim=-1)
    away = radius * torch.acos(unit[:, 2].clamp(-1, 1))
    limit = columns.at("iris_radius", image)
    share = away / limit
    strands, mid = tiles[3], tiles[1]
    shade = (1 + 0.28 * strands + 0.12 * mid) * (1.35 - 0.6 * smoothstep(0.45, 1.0, share))
    shade = shade * (1 - columns.at("ring", image) * smoothstep(0.80, 0.97, share))
    pupil = columns.at("pupil", image)
    iris = columns.at("iris", image) * (shade * 1.2).clamp(min=0.1)[:, None]
    iris = iris * (1 - 0.97 * smoothstep(pupil + 0.05, pupil - 0.03, share))[:, None]
    red = columns.at("veins", image) * smoothstep(0.006, 0.013, away) * (0.10 + 0.10 * mid.clamp(0, 2))
    red = red + 0.10 * smoothstep(0.009, 0.015, away)
    sclera = columns.at("sclera", image) * (1 - red[:, None] * red.new_tensor([0.15, 1.0, 0.9]))
    albedo = sclera.lerp(iris, smoothstep(1.06, 0.95, share)[:, None])
    labels = torch.full_like(image, int(FaceClass.EYES), dtype=torch.uint8)
    return Painted(albedo.clamp(0.002, 0.9), labels, torch.full_like(away, 2.5), torch.full_like(away, 0.10))


def iris_place(offset: Tensor) -> Tensor:
    """(P, 2) coordinates in the noise tiles of a point of the eye (P, 3): around and outwards."""
    around = torch.atan2(offset[:, 1], offset[:, 0]) / (2 * np.pi)
    return torch.stack([around * 0.8, torch.hypot(offset[:, 0], offset[:, 1]) * 8], -1)


def paint_mouth(rest: Tensor, tooth: Tensor, lower: Tensor, columns: Columns, image: Tensor) -> Painted:
    """Paint teeth and tongue. rest (P, 3) on the mean face; tooth, lower (P,) bool."""
    x = rest[:, 0].abs()
    gap = torch.zeros_like(x)
    for upper_edge, lower_edge in zip(TOOTH_EDGES, LOWER_TOOTH_EDGES, strict=True):
        edge = torch.where(lower, lower_edge, upper_edge)
        gap = torch.maximum(gap, torch.exp(-(((x - edge) / 0.00045) ** 2)))
    teeth = columns.at("teeth", image) * (1 - 0.45 * gap - 6 * (x - 0.01).clamp(min=0))[:, None].clamp(min=0.2)
    tongue = rest.new_tensor([0.33, 0.11, 0.10]).expand_as(teeth)
    labels = torch.full_like(image, int(FaceClass.MOUTH_INTERIOR), dtype=torch.uint8)
    gloss, rough = torch.where(tooth, 0.6, 0.5), torch.where(tooth, 0.3, 0.4)
    return Painted(torch.where(tooth[:, None], teeth, tongue), labels, gloss, rough)
