"""Grow locks of hair from the scalp along a direction field on the hull.

Hairstyles as ranges of numbers, used to draw random people's hair, and the parameters of the locks of a head of hair.
Lengths in metres; arrays of one person or (N, ...) tensors.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from torch import Tensor

from backend.geometry.vectors import unit
from backend.hair.hull import HullSurface
from trainer.people.look import TABLES

Range = tuple[float, float]
Numbers = np.ndarray | Tensor
"""An array of one person, or a tensor of a batch with a leading axis N."""


@dataclass(frozen=True)
class Flow:
    """Direction field of a style. Plane coordinates are (x to the person's left, z to the front) at distance s from the
    crown.

    Attributes
    ----------
    whorl : (2,) centre from which hair radiates, with strength radial. forward, backward, sideways : strengths of
        combing to the front, to the back, and away from the line x = parting. tied : 0 or 1, whether hair is drawn to
        the point tie (2,). gravity : 0 for hair that stands, 1 for hair that hangs below the top. window : half the
        azimuth of the gap in front of the face. cut : s where the hair ends at the sides and behind; fringe_drop : how
        far below the brows the fringe ends. volume : greatest height above the hull. gather : how far long hair comes
        forward over the chest, 0-1.
    """

    whorl: Numbers
    radial: Numbers
    forward: Numbers
    backward: Numbers
    sideways: Numbers
    parting: Numbers
    tied: Numbers
    tie: Numbers
    gravity: Numbers
    window: Numbers
    cut: Numbers
    fringe_drop: Numbers
    volume: Numbers
    gather: Numbers


@dataclass(frozen=True)
class Locks:
    """L locks of hair; all attributes are (L,).

    Attributes
    ----------
    azimuth, s : the root. length : 0 for no lock. base, floor : height of the root, and least height elsewhere.
    up : sine of the angle with the hull; bend : how far the lock bends back to the hull (1: fully).
    forward : 1 when combed to the front, 0 to the back. turn_x, turn_z : the lock's deviation from the direction field;
        drift : its sideways movement while it hangs. fringe, tied : 1 for locks of the fringe, and for tied ones.
    cut_jitter : the lock's deviation from the cut. width, taper : of the ribbon; roll : its turn about its own axis.
    amplitude, waves, phase, wild : of the waves, and irregularity on top of them.
    tone : factor on the colour; second : share of the second colour (highlights, tips).
    """

    azimuth: Numbers
    s: Numbers
    length: Numbers
    base: Numbers
    floor: Numbers
    up: Numbers
    bend: Numbers
    forward: Numbers
    turn_x: Numbers
    turn_z: Numbers
    drift: Numbers
    fringe: Numbers
    tied: Numbers
    cut_jitter: Numbers
    width: Numbers
    taper: Numbers
    roll: Numbers
    amplitude: Numbers
    waves: Numbers
    phase: Numbers
    wild: Numbers
    tone: Numbers
    second: Numbers


@dataclass(frozen=True)
class Style:
    """Ranges of a hairstyle's numbers; lengths in metres. See ``Flow`` and ``Locks``.

    ``men``, ``women`` : relative frequency. ``top``, ``sides`` : length on top, and at the sides and behind. ``fade`` :
    share by which hair is shorter at the lower hairline. ``fringe`` : probability that the front falls over the
    forehead. ``curl`` : amplitude of waves, ``wave`` their length, ``wild`` their irregularity. ``ears`` : room for
    covered ears. ``bundle`` : probability of a bun or a tail. ``bulk`` : share of the length that is a closed body of
    hair on which the locks stand.
    """

    name: str
    men: float
    women: float
    top: Range
    sides: Range
    fade: Range = (0.0, 0.0)
    up: Range = (0.2, 0.4)
    bend: Range = (0.8, 1.0)
    radial: Range = (0.6, 1.0)
    forward: Range = (0.0, 0.2)
    backward: Range = (0.0, 0.2)
    sideways: Range = (0.0, 0.3)
    parting: Range = (-0.05, 0.05)
    gravity: Range = (0.8, 1.0)
    window: Range = (0.8, 1.1)
    cut: Range = (0.6, 0.6)
    volume: Range = (0.02, 0.035)
    width: Range = (0.008, 0.012)
    taper: Range = (0.7, 0.95)
    turn: float = 0.25
    fringe: float = 0.0
    curl: Range = (0.0, 0.002)
    wave: Range = (0.06, 0.12)
    wild: Range = (0.0, 0.001)
    ears: Range = (0.0, 0.0)
    tied: bool = False
    bundle: float = 0.0
    roll: float = 0.3
    bulk: float = 0.0


STYLES = msgspec.convert(TABLES["hairstyles"], tuple[Style, ...])


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
    fraction = shares_along(segments)
    root_x = s * a.sin()
    part_side = torch.where(root_x >= flow.parting[:, None], 1.0, -1.0)
    for k in range(segments):
        t = 0.5 * (fraction[k] + fraction[k + 1])
        length = locks.length * (fraction[k + 1] - fraction[k])
        tied = flow.tied[:, None] * locks.tied
        down, around, to_tie = _combed(locks, flow, a, s, part_side)
        # gravity: below the rim of the skull hair hangs down
        hang = _smooth((s - 0.055) / 0.09) * flow.gravity[:, None] * (1 - tied) * min(1.0, 0.35 + 1.3 * t)
        down, around = down * (1 - hang) + hang, around * (1 - hang) + hang * locks.drift
        # long hair may fall over the chest instead of behind the shoulders
        aside = _smooth((s - 0.21) / 0.05) * ((a.abs() - 0.8) / 0.15).clamp(0, 1) * ((2.1 - a.abs()) / 0.3).clamp(0, 1)
        around = around - flow.gather[:, None] * aside * torch.where(a >= 0, 0.9, -0.9)
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


def _combed(locks: Locks, flow: Flow, a: Tensor, s: Tensor, part_side: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, L) unit direction, down and around the hull, in which the style combs locks at azimuth ``a`` and ``s``, and
    the way to where they are tied."""
    tied, sin, cos = flow.tied[:, None] * locks.tied, a.sin(), a.cos()
    place = torch.stack([s * sin, s * cos], -1)
    from_whorl = place - flow.whorl[:, None]
    parted = (from_whorl[..., 1] / 0.04 + 0.5).clamp(0, 1)  # a parting ends at the whorl; behind it hair falls down
    ex = locks.turn_x + flow.sideways[:, None] * part_side * parted
    ez = locks.turn_z + flow.forward[:, None] * locks.forward - flow.backward[:, None] * (1 - locks.forward)
    from_whorl = unit(from_whorl) * flow.radial[:, None, None]
    ex, ez = ex + from_whorl[..., 0], ez + from_whorl[..., 1]
    to_tie_x, to_tie_z = (flow.tie[:, None] - place).unbind(-1)
    to_tie = (to_tie_x**2 + to_tie_z**2).sqrt().clamp(min=1e-4)
    ex = ex * (1 - tied) + tied * to_tie_x / to_tie
    ez = ez * (1 - tied) + tied * to_tie_z / to_tie
    down, around = ex * sin + ez * cos, ex * cos - ez * sin
    size = (down**2 + around**2).sqrt().clamp(min=1e-4)
    return down / size, around / size, to_tie


def shares_along(segments: int) -> list[float]:
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
    position = (azimuth / (2 * torch.pi) + 0.5) * len(line)
    low = position.floor()
    t, column = position - low, low.long().remainder(len(line))
    return line[column] * (1 - t) + line[(column + 1).remainder(len(line))] * t
