"""Glasses: two equal outlines bent around the face, with rims, a bridge, and temples to the ears.

Frames are grids of points in the head frame (metres), for a batch of N people at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.vectors import tube, unit

Numbers = float | np.ndarray | Tensor
OUTLINE = 32


@dataclass(frozen=True)
class GlassesShape:
    """A pair of glasses; lengths in metres, single numbers or a batch (N,).

    Attributes
    ----------
    width, height : of a lens. power : 2 for an ellipse, more for a box. sweep : rise of the outer upper corner (cat's
        eye); narrow : how much narrower the lens is at the bottom; drop : outward sag (aviators). distance : from eye
        to lens. low : of the lens' centre below the eye's. wrap : bend around the face (1/m); tilt : radians. spread :
        of the lenses beyond the eyes.
    rim, rim_below : thickness of the frame above and below; depth : front to back. bridge : its height along the lens,
        -1 to 1, bridge_thickness. temple : height of the temples at the hinge, hinge : where they start, -1 to 1.
    """

    width: Numbers
    height: Numbers
    power: Numbers
    sweep: Numbers
    narrow: Numbers
    drop: Numbers
    distance: Numbers
    low: Numbers
    wrap: Numbers
    tilt: Numbers
    spread: Numbers
    rim: Numbers
    rim_below: Numbers
    depth: Numbers
    bridge: Numbers
    bridge_thickness: Numbers
    temple: Numbers
    hinge: Numbers


@dataclass(frozen=True)
class GlassesSeat:
    """Where glasses sit on the heads of a batch.

    ``eyes`` (N, 2, 3) centres of the lids' openings, the person's left first; ``bridge`` (N, 3) of the nose between
    them; ``ears`` (N, 2, 3) where the temples rest; ``scale`` (N,) size of the head.
    """

    eyes: Tensor
    bridge: Tensor
    ears: Tensor
    scale: Tensor

    def place(self, shape: GlassesShape, flat: Tensor, forward: Tensor, side: int) -> Tensor:
        """Points (N, ..., 2) of the lens' plane, x outwards, in 3D (N, ..., 3), ``forward`` metres in front of it."""
        sign = 1.0 if side == 0 else -1.0
        n = (len(self.eyes),) + (1,) * (flat.ndim - 2)
        middle = self.eyes.mean(1)
        centre_x = (self.eyes[:, 0, 0] - self.eyes[:, 1, 0]) / 2 + shape.spread * self.scale
        x = centre_x.view(n) + flat[..., 0] * self.scale.view(n)
        y = (flat[..., 1] - shape.low.view(n)) * self.scale.view(n)
        nose = (self.bridge[:, 2] - middle[:, 2] - 0.002).clamp(min=0)
        z = torch.maximum(shape.distance * self.scale, nose).view(n) + forward
        z = z - shape.wrap.view(n) * x**2 + shape.tilt.view(n) * y
        return middle.view(*n, 3) + torch.stack([sign * x, y, z], -1)


def outline(shape: GlassesShape, grow: Tensor) -> Tensor:
    """(N, OUTLINE + 1, 2) outline in the lens' plane, x outwards, enlarged by metres (N, OUTLINE + 1)."""
    angle = _angles(grow)
    c, s = angle.cos(), angle.sin()
    exponent = 2 / shape.power[:, None]
    x = c.sign() * c.abs().clamp(min=1e-4) ** exponent
    y = s.sign() * s.abs().clamp(min=1e-4) ** exponent
    half_w, half_h = shape.width[:, None] / 2, shape.height[:, None] / 2
    outer = x.clamp(min=0)
    px = x * half_w * (1 + shape.narrow[:, None] * (y - 1) * 0.5)
    py = y * half_h + shape.sweep[:, None] * outer * (y + 0.5) - shape.drop[:, None] * outer * (1 - y) * 0.5
    flat = torch.stack([px, py], -1)
    return flat + unit(flat) * grow[..., None]


def _angles(like: Tensor) -> Tensor:
    return torch.linspace(0, 2 * torch.pi, OUTLINE + 1, device=like.device)


def rim_thickness(shape: GlassesShape) -> Tensor:
    """(N, OUTLINE + 1) thickness of the rim along the outline, metres."""
    above = 0.5 + 0.5 * _angles(shape.rim).sin()
    return shape.rim_below[:, None] + (shape.rim - shape.rim_below)[:, None] * (above * 1.6 - 0.3).clamp(0, 1)


Grid = tuple[Tensor, Tensor]
"""Vertices and normals (N, rows, sides, 3) of a tube."""


def frame_grids(shape: GlassesShape, seat: GlassesSeat) -> tuple[list[Tensor], list[Grid], Grid]:
    """Both rims (N, 5, OUTLINE + 1, 3), whose last row and column repeat the first, both temples, and the bridge."""
    rim = rim_thickness(shape)
    zero = torch.zeros_like(rim)
    inner, outer = outline(shape, zero), outline(shape, rim)
    front = (0.5 * shape.depth)[:, None].expand_as(rim)
    rims, temples = [], []
    for side in (0, 1):
        ring = [(inner, front), (outer, front), (outer, -front), (inner, -front), (inner, front)]
        rims.append(torch.stack([seat.place(shape, flat, forward, side) for flat, forward in ring], 1))
        hinge = torch.stack([shape.width / 2 + 0.7 * shape.rim, shape.hinge * shape.height / 2], -1)
        start = seat.place(shape, hinge[:, None], zero[:, :1], side)[:, 0]
        ear = seat.ears[:, side]
        beyond = ear + (ear - start) * 0.28 - ear.new_tensor([0.0, 0.012, 0.0])
        bow = start + (ear - start) * 0.12 + ear.new_tensor([0.004 if side == 0 else -0.004, 0.0, 0.0])
        path = torch.stack([start, bow, start + (ear - start) * 0.5, ear, beyond], 1)
        thickness = torch.linspace(1, 0.6, 5, device=ear.device) * (shape.temple * seat.scale)[:, None]
        temples.append(tube(path, thickness / 2, 5, flatten=0.4))
    t = torch.linspace(-1, 1, 7, device=rim.device)
    inside = torch.stack([-shape.width / 2 * (1 - 0.12), shape.bridge * shape.height / 2], -1)
    ends = [seat.place(shape, inside[:, None], zero[:, :1], side)[:, 0] for side in (0, 1)]
    path = ends[1][:, None] + (ends[0] - ends[1])[:, None] * (0.5 + 0.5 * t)[:, None]
    path = path + path.new_tensor([0.0, 0.0025, 0.003]) * (1 - t**2)[:, None]
    return rims, temples, tube(path, (0.5 * shape.bridge_thickness * seat.scale)[:, None].expand(-1, 7), 5)
