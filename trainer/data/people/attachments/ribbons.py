"""Tapered ribbons along locks of hair, shaded as rounded bundles."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.geometry.unit import unit
from backend.hair.grow import differences, lock_paths
from backend.hair.hull import HullSurface
from backend.hair.locks import Locks

ROUND = 0.55
"""Tilt of the normals at the edges of a lock, which shades it as a rounded bundle instead of a flat ribbon."""


def ribbons(
    surface: HullSurface, locks: Locks, azimuth: Tensor, s: Tensor, height: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Positions, normals and tangents (N, L, P, 2, 3) of the two edges of each lock along its path of P points."""
    centre, normal = lock_paths(surface, locks, azimuth, s, height)
    t = torch.linspace(0, 1, azimuth.shape[-1], device=azimuth.device)
    tangent = unit(differences(centre))
    side = unit(torch.linalg.cross(normal, tangent) + 1e-6)
    roll = locks.roll[..., None, None]
    side = side * roll.cos() + torch.linalg.cross(tangent, side) * roll.sin()
    taper = (1 - locks.taper[..., None] * t**1.6).clamp(min=0.06) * (0.55 + 0.45 * (t * 6).clamp(max=1))
    half = (0.5 * locks.width[..., None] * taper * surface.scale[:, None, None])[..., None] * side
    edges = torch.stack([centre - half, centre + half], -2)
    outer = unit(normal - tangent * (normal * tangent).sum(-1, keepdim=True) * 0.7)
    normals = torch.stack([outer - ROUND * side, outer + ROUND * side], -2)
    normals = unit(normals)
    return edges, normals, tangent[..., None, :].expand_as(edges)


def ribbon_faces(locks: int, points: int) -> Tensor:
    """(F, 3) int64 for vertices in the order (lock, point, edge)."""
    start = (torch.arange(locks)[:, None] * points + torch.arange(points - 1)) * 2  # (locks, points - 1)
    a = start.reshape(-1)
    return torch.cat([torch.stack([a, a + 1, a + 2], 1), torch.stack([a + 1, a + 3, a + 2], 1)])
