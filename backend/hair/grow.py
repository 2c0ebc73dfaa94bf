"""Grow locks of hair from the scalp along a direction field on the hull."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.geometry.vectors import unit
from backend.hair.hull import HullSurface
from backend.hair.locks import Flow, Locks


def grow(locks: Locks, flow: Flow, hairline: Tensor, brow_line: Tensor, segments: int) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the paths of locks in the hull's coordinates.

    At each step a lock moves along its style's direction (combed from the whorl, back, forward, away from the parting,
    towards where it is tied). Below the top it turns straight down, and it leaves the window in front of the face.
    ``hairline`` and ``brow_line`` : (A,) s on the hull's azimuths.

    Returns
    -------
    azimuth, s, height above the hull : (N, L, segments + 1).
    """
    a, s = locks.azimuth, locks.s
    height = locks.base
    path = [(a, s, height)]
    fraction = places_along(segments)
    whorl_x, whorl_z = flow.whorl[:, :1], flow.whorl[:, 1:]
    tie_x, tie_z = flow.tie[:, :1], flow.tie[:, 1:]
    root_x = s * a.sin()
    part_side = torch.where(root_x >= flow.parting[:, None], 1.0, -1.0)
    for k in range(segments):
        t = 0.5 * (fraction[k] + fraction[k + 1])
        length = locks.length * (fraction[k + 1] - fraction[k])
        sin, cos = a.sin(), a.cos()
        x, z = s * sin, s * cos
        parted = ((z - whorl_z) / 0.04 + 0.5).clamp(0, 1)  # a parting ends at the whorl; behind it hair falls down
        ex = locks.turn_x + flow.sideways[:, None] * part_side * parted
        ez = locks.turn_z + flow.forward[:, None] * locks.forward - flow.backward[:, None] * (1 - locks.forward)
        from_whorl = torch.stack([x - whorl_x, z - whorl_z], -1)
        from_whorl = unit(from_whorl) * flow.radial[:, None, None]
        ex, ez = ex + from_whorl[..., 0], ez + from_whorl[..., 1]
        to_tie_x, to_tie_z = tie_x - x, tie_z - z
        to_tie = (to_tie_x**2 + to_tie_z**2).sqrt().clamp(min=1e-4)
        tied = flow.tied[:, None] * locks.tied
        ex = ex * (1 - tied) + tied * to_tie_x / to_tie
        ez = ez * (1 - tied) + tied * to_tie_z / to_tie
        down, around = ex * sin + ez * cos, ex * cos - ez * sin
        size = (down**2 + around**2).sqrt().clamp(min=1e-4)
        down, around = down / size, around / size
        # gravity: below the rim of the skull hair hangs down
        hang = _smooth((s - 0.055) / 0.09) * flow.gravity[:, None] * (1 - tied) * min(1.0, 0.35 + 1.3 * t)
        down, around = down * (1 - hang) + hang, around * (1 - hang) + hang * locks.drift
        # long hair may fall over the chest instead of behind the shoulders
        beside = _smooth((s - 0.21) / 0.05) * ((a.abs() - 0.8) / 0.15).clamp(0, 1) * ((2.1 - a.abs()) / 0.3).clamp(0, 1)
        around = around - flow.gather[:, None] * beside * torch.where(a >= 0, 0.9, -0.9)
        # the window: hair that is not a fringe parts in front of the face
        inside = (1 - a.abs() / flow.window[:, None]).clamp(min=0) * (1 - locks.fringe)
        below = _smooth((s - _along(hairline, a) + 0.012) / 0.02)
        leave = (4.0 * inside).clamp(max=1) * below * (1 - tied)
        outwards = torch.where(a.abs() < 0.12, part_side, torch.where(a >= 0, 1.0, -1.0))
        around = around * (1 - leave) + leave * outwards * 1.4
        down = down * (1 - 0.8 * leave)
        size = (down**2 + around**2).sqrt().clamp(min=1e-4)
        down, around = down / size, around / size
        rise = locks.up * torch.cos(torch.as_tensor(torch.pi * t) * locks.bend)
        flat = (1 - rise**2).clamp(min=0.05).sqrt()
        radius = 0.085 * torch.sin((s / 0.09).clamp(max=1.5))
        advance = length * flat
        if k > 0:  # a lock ends at the cut or where it is tied
            advance = torch.minimum(advance, (to_tie + (1 - tied) * 9.0).clamp(min=1e-5))
        limit = torch.where(
            locks.fringe > 0.5,
            _along(brow_line, a) + locks.cut_jitter + flow.fringe_drop[:, None],
            flow.cut[:, None] + locks.cut_jitter,
        )
        ds = torch.minimum(advance * down, (limit - s).clamp(min=0.0005))
        left = torch.where(down > 0, ds / (advance * down).clamp(min=1e-6), 1.0).clamp(0, 1)  # share before the cut
        turn = (advance * left * around / radius.clamp(min=0.006)).clamp(-0.9, 0.9)
        new_s = s + ds
        a = a + turn + torch.where(new_s < 0, torch.pi, 0.0)
        a = (a + torch.pi).remainder(2 * torch.pi) - torch.pi
        s = new_s.abs()
        height = (height + length * rise).clamp(min=locks.floor)
        path.append((a, s, height))
    azimuth, down_s, heights = (torch.stack([p[i] for p in path], -1) for i in range(3))
    limit = flow.volume[:, None, None]
    heights = limit * (1 - torch.exp(-heights / limit))
    return azimuth, down_s, torch.maximum(heights, locks.floor[..., None])


def places_along(segments: int) -> list[float]:
    """Positions of the ends of a lock's ``segments``, as shares of its length from the root: denser near the root."""
    return [(k / segments) ** 1.25 for k in range(segments + 1)]


def lock_paths(surface: HullSurface, locks: Locks, azimuth: Tensor, s: Tensor, height: Tensor) -> tuple[Tensor, Tensor]:
    """Centre lines of locks with their waves, and the hull's normals there: (N, L, P, 3) each, head frame, metres.

    ``azimuth``, ``s``, ``height`` : (N, L, P), as ``grow`` returns them.
    """
    points, normal = surface.sample(azimuth, s)  # (N, L, P, 3)
    centre = points + normal * (height * surface.scale[:, None, None])[..., None]
    tangent = differences(centre)
    side = unit(torch.linalg.cross(normal, tangent))
    count = azimuth.shape[-1]
    t = torch.linspace(0, 1, count, device=azimuth.device)
    ramp = (t * 3).clamp(max=1)
    phase = locks.phase[..., None] + 2 * torch.pi * locks.waves[..., None] * t
    swing = locks.amplitude[..., None] * ramp
    centre = centre + side * (swing * phase.sin())[..., None] + normal * (0.6 * swing * phase.cos())[..., None]
    wild = locks.wild[..., None] * ramp
    jitter = torch.sin(phase * 2.7 + locks.phase[..., None] * 31 * (1 + t)) * wild
    centre = centre + side * jitter[..., None] + normal * (jitter.roll(1, -1))[..., None]
    return centre, normal


def differences(points: Tensor) -> Tensor:
    """Finite differences (..., P, 3) of lines (..., P, 3): central ones (two steps), one-sided at the ends."""
    # behind a lock's cut the steps are rounding errors, so a small part of its overall direction is added
    course = unit(points[..., -1:, :] - points[..., :1, :] + 1e-4) * 5e-4
    inner = points[..., 2:, :] - points[..., :-2, :]
    return course + torch.cat(
        [points[..., 1:2, :] - points[..., :1, :], inner, points[..., -1:, :] - points[..., -2:-1, :]], -2
    )


def _smooth(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def _along(line: Tensor, azimuth: Tensor) -> Tensor:
    """Values at ``azimuth`` of a periodic line (A,) on the hull's azimuths, interpolated linearly."""
    place = (azimuth / (2 * torch.pi) + 0.5) * len(line)
    low = place.floor()
    t, column = place - low, low.long().remainder(len(line))
    return line[column] * (1 - t) + line[(column + 1).remainder(len(line))] * t
