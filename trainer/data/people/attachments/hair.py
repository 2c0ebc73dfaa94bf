"""Hair meshes of a batch: locks, the scalp's cover beneath them, bun or tail, and thin loose strands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.geometry.unit import unit
from backend.hair.grow import grow
from backend.hair.hull import AZIMUTHS, HeadHull, HullSurface, azimuths
from backend.hair.locks import Locks
from backend.photos.collection import FaceClass
from trainer.data.people.attachments.hair_parameters import HairParameters
from trainer.data.people.attachments.hair_styles import CAP_ROWS
from trainer.data.people.attachments.layers import STRANDS, SurfaceLayer
from trainer.data.people.attachments.meshes import grid_faces, grid_normals, layer_of
from trainer.data.people.attachments.ribbons import ribbon_faces, ribbons

SEGMENTS = 10
BUNDLE_ROWS, BUNDLE_COLUMNS = 12, 14


@dataclass(frozen=True)
class HatPressure:
    """Pressure of a hat on the hair: inside its rim, given as s (N, AZIMUTHS), hair is pressed to ``height`` (N,)."""

    rim: Tensor
    height: Tensor


def hair_layers(
    hair: HairParameters, hull: HeadHull, surface: HullSurface, pressure: HatPressure
) -> tuple[tuple[SurfaceLayer, ...], SurfaceLayer]:
    """Build the opaque layers (locks, cover, bundle) and the veil (loose strands)."""
    locks = _lock_layer(hair, hair.locks, hull, surface, pressure, None)
    wisps = _lock_layer(hair, hair.wisps, hull, surface, pressure, hair.wisp_alpha)
    return (locks, _cover(hair, surface, pressure), _bundle(hair, surface)), wisps


def _lock_layer(
    hair: HairParameters,
    locks: Locks,
    hull: HeadHull,
    surface: HullSurface,
    pressure: HatPressure,
    alpha: Tensor | None,
) -> SurfaceLayer:
    device = locks.s.device
    lines = [torch.from_numpy(line).float().to(device) for line in (hull.hairline, hull.brow_line)]
    azimuth, s, height = grow(locks, hair.flow, *lines, SEGMENTS)
    column = ((azimuth / (2 * torch.pi) + 0.5) * AZIMUTHS).round().long().remainder(AZIMUTHS)
    rim = pressure.rim[:, None].expand(-1, azimuth.shape[1], -1).gather(2, column)
    cover = ((rim - s) / 0.02).clamp(0, 1)
    height = height + (torch.minimum(height, pressure.height[:, None, None]) - height) * cover
    edges, normals, tangent = ribbons(surface, locks, azimuth, s, height)
    n, count, points = azimuth.shape
    gone = (locks.length < 1e-4)[..., None, None, None]
    edges = torch.where(gone, edges[:, :, :1, :1], edges)
    t = torch.linspace(0, 1, points, device=device)
    travelled = locks.length[..., None] * t**1.25
    colour = hair.colour[:, None, None]
    root = (1 - travelled / hair.root_length[:, None, None].clamp(min=1e-3)).clamp(0, 1)[..., None]
    colour = colour + (hair.root_colour[:, None, None] - colour) * root
    share = (locks.second[..., None] * (0.5 + 0.5 * t))[..., None]
    colour = colour + (hair.second_colour[:, None, None] - colour) * share
    # ambient occlusion: it is darker deep between the locks
    depth = height / (0.4 * height.amax((1, 2), keepdim=True) + 0.004)
    shade = 0.42 + 0.58 * depth.clamp(0, 1)
    behind = ((s - 0.2) / 0.08).clamp(0, 1) * ((azimuth.abs() - 1.7) / 0.5).clamp(0, 1)
    shade = shade * (1 - 0.55 * behind)
    colour = colour * (shade * locks.tone[..., None])[..., None]
    colour = colour[:, :, :, None].expand(-1, -1, -1, 2, -1)
    vertices = edges.reshape(n, -1, 3)
    ones = torch.ones_like(vertices[..., 0])
    across = torch.arange(2, device=device).float() * (locks.width / 0.0022)[..., None, None]  # (n, L, 1, 2)
    u = across.expand(-1, -1, points, -1) + 37.0 * torch.arange(count, device=device)[:, None, None]
    v = (travelled / 0.02)[..., None].expand(-1, -1, -1, 2)
    detail = torch.stack([torch.full_like(u, STRANDS), torch.full_like(u, 0.35), u, v], -1).reshape(n, -1, 4)
    return SurfaceLayer(
        vertices=vertices,
        normals=normals.reshape(n, -1, 3),
        faces=ribbon_faces(count, points).to(device),
        labels=torch.full((n, count * (points - 1) * 2), int(FaceClass.HAIR), dtype=torch.uint8, device=device),
        albedo=colour.reshape(n, -1, 3).clamp(0.002, 0.9),
        specular=ones * hair.shine[:, None],
        roughness=ones * 0.35,
        tangent=tangent.reshape(n, -1, 3),
        alpha=ones if alpha is None else alpha[:, :, None].expand(-1, -1, points * 2).reshape(n, -1),
        mirror=torch.zeros_like(ones),
        detail=detail,
    )


def _cover(hair: HairParameters, surface: HullSurface, pressure: HatPressure) -> SurfaceLayer:
    """Build the scalp's cover: just above the skin where hair grows, below it elsewhere."""
    device = hair.cap_edge.device
    rows = torch.linspace(0, 1, CAP_ROWS, device=device)
    rows = torch.cat([rows, rows.new_tensor([1.025])])
    a = torch.from_numpy(azimuths()).float().to(device)
    a = torch.cat([a, a[:1]])
    edge = torch.cat([hair.cap_edge, hair.cap_edge[:, :1]], 1)
    s = rows[:, None] * edge[:, None]  # (N, R, A + 1)
    height = torch.cat([hair.cap_height, torch.full_like(hair.cap_height[:, :1], -0.006)], 1)
    height = torch.cat([height, height[..., :1]], 2)
    rim = torch.cat([pressure.rim, pressure.rim[:, :1]], 1)[:, None]
    pressed = torch.minimum(height, 0.7 * pressure.height[:, None, None])
    height = height + (pressed - height) * ((rim - s) / 0.02).clamp(0, 1)
    points, normals = surface.sample(a.expand_as(s), s)
    vertices = points + normals * height[..., None]
    colour = hair.root_colour + (hair.colour - hair.root_colour) * (hair.cap_mix < 1)[:, None]
    colour = hair.scalp + (0.75 * colour - hair.scalp) * hair.cap_mix[:, None]
    grain = torch.stack(torch.broadcast_tensors(
        torch.full_like(s, STRANDS), 0.15 + 0.35 * (1 - hair.cap_mix)[:, None, None].expand_as(s),
        a.expand_as(s) * 60, s * 700,
    ), -1)  # fmt: skip
    return layer_of(vertices, normals, grid_faces(CAP_ROWS + 1, AZIMUTHS + 1, device), int(FaceClass.HAIR),
                    colour[:, None, None].expand_as(vertices), specular=0.15, detail=grain)  # fmt: skip


def _bundle(hair: HairParameters, surface: HullSurface) -> SurfaceLayer:
    """Build a bun, or a tail that starts where the hair is tied and hangs down."""
    present, azimuth, s, radius, length, squash, lobes, tail = hair.bundle.unbind(1)
    device = azimuth.device
    anchor, out = surface.sample(azimuth[:, None], s[:, None])
    anchor, out = anchor[:, 0], out[:, 0]
    t = torch.linspace(0, 1, BUNDLE_ROWS, device=device)
    angle = torch.linspace(0, 2 * torch.pi, BUNDLE_COLUMNS, device=device)
    down = out.new_tensor([0.0, -1.0, 0.0]).expand_as(out)
    radius, length = radius * present, length * present
    # a bun is a ball around a point off the head; a tail bends from outwards to downwards
    leave = 1 - (1 - t) ** 2
    along = out[:, None] * (length[:, None] * (0.35 * leave))[..., None]
    along = along + down[:, None] * (length[:, None] * tail[:, None] * 0.9 * t**1.5)[..., None]
    ball_axis = torch.cos(torch.pi * t)
    ball = -out[:, None] * (radius[:, None] * squash[:, None] * ball_axis)[..., None]
    centre = anchor[:, None] + torch.where(
        tail[:, None, None] > 0, along, ball + out[:, None] * radius[:, None, None] * 0.6
    )
    thick_tail = (0.35 + 0.9 * (t * 5).clamp(max=1)) * (1 - t**2.5) * (1 + lobes[:, None] * 0.18 * torch.sin(t * 30))
    thick = torch.where(tail[:, None] > 0, thick_tail.expand(len(tail), -1), torch.sin(torch.pi * t).clamp(min=0)[None])
    thick = thick * radius[:, None]
    side = unit(torch.linalg.cross(out, down) + 1e-5)
    axis = torch.where(tail[:, None] > 0, unit(out + down), out)
    other = torch.linalg.cross(axis, side)
    ring = side[:, None, None] * angle.cos()[:, None] + other[:, None, None] * angle.sin()[:, None]
    vertices = centre[:, :, None] + ring * thick[:, :, None, None]
    normals = grid_normals(vertices, closed=True)
    inwards = ((normals * ring).sum(-1).mean((1, 2)) < 0)[:, None, None, None]
    normals = torch.where(inwards, -normals, normals)
    u, v = torch.broadcast_tensors(angle * 5, t[:, None] * (length[:, None, None] / 0.03 + 2))
    zeros = torch.zeros_like(v)
    twist = torch.where(tail[:, None, None] > 0, torch.zeros_like(v), t[:, None] * 14)
    detail = torch.stack([zeros + STRANDS, zeros + 0.4, u + twist, v], -1)
    return layer_of(vertices, normals, grid_faces(BUNDLE_ROWS, BUNDLE_COLUMNS, device), int(FaceClass.HAIR),
                    (0.8 * hair.colour)[:, None, None].expand_as(vertices), specular=0.3, detail=detail)  # fmt: skip
