"""Neck, shoulders and chest below the head with their clothes: two layers of cloth, a collar or scarf, a tie."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template, boundary_edges
from backend.geometry.vectors import unit
from backend.hair.hull import BODY_ROWS
from backend.photos.collection import FaceClass
from trainer.people.dress import layers
from trainer.people.dress.grow import Numbers
from trainer.people.dress.worn import cloth_colour
from trainer.people.look import PersonLook

BODY_Z = 0.012
CLOTH_ROWS, COLLAR_ROWS, TIE_ROWS = 8, 5, 6
KINDS = ("t-shirt", "v-neck", "shirt", "suit", "turtleneck", "open jacket", "wide neck", "hood down", "scarf", "bare")


@dataclass(frozen=True)
class ClothesParameters:
    """Body and clothes.

    Attributes
    ----------
    skin : (3,) linear. breadth, slope : of the shoulders relative to the mean. yaw : of the body under the head.
    inner, outer : (43,) row of the body (``BODY_ROWS``) where each layer of cloth begins; above 10: none.
    inner_colour, outer_colour, collar_colour : (3,). collar : height, lean outwards, fold and thickness (metres, 0:
        none) (4,). collar_open : azimuth of the collar's gap in front. tie : width, 0: none; tie_colour : (3,).
    inner_detail, outer_detail : (3,) pattern: kind, strength, scale.
    """

    skin: Numbers
    breadth: Numbers
    slope: Numbers
    yaw: Numbers
    inner: Numbers
    outer: Numbers
    inner_colour: Numbers
    outer_colour: Numbers
    collar_colour: Numbers
    collar: Numbers
    collar_open: Numbers
    tie: Numbers
    tie_colour: Numbers
    inner_detail: Numbers
    outer_detail: Numbers


@dataclass(frozen=True)
class NeckRim:
    """The head's lower rim: vertices (42,) int64 ordered by azimuth, their azimuths on the mean head, and the rim's
    mean z (with the first vertex counted twice)."""

    vertices: np.ndarray
    azimuth: np.ndarray
    middle: float


def neck_rim(template: Template) -> NeckRim:
    """Find the open edge of the head below the neck."""
    quads = template.quads[: template.head.face_stop]
    rim = np.unique(boundary_edges(quads))
    rim = rim[template.vertices[rim, 1] < 0.66]
    azimuth = np.arctan2(template.vertices[rim, 0], template.vertices[rim, 2] - 0.03)
    order = np.argsort(azimuth)
    closed = rim[np.append(order, order[0])]
    return NeckRim(rim[order].astype(np.int64), azimuth[order], float(template.vertices[closed, 2].mean()))


def draw_clothes(
    generator: np.random.Generator, look: PersonLook, rim: NeckRim, wrapped: np.ndarray | None = None
) -> ClothesParameters:
    """Draw the clothes of one picture; ``wrapped``: (3,) colour of a headscarf or hood that goes around the neck."""
    f = look.femininity
    weights = np.array([2.0, 0.8 + f, 1.6, 3.4 - 2.4 * f, 0.5, 1.0, 0.2 + 0.9 * f, 0.6, 0.35, 0.15 + 0.15 * f])
    kind = "scarf" if wrapped is not None else str(generator.choice(KINDS, p=weights / weights.sum()))
    a = np.append(rim.azimuth, rim.azimuth[0])
    front = np.abs(a)
    none = np.full(len(a), 99.0)
    first, second = cloth_colour(generator), cloth_colour(generator)
    if kind == "suit":
        first = np.full(3, generator.uniform(0.5, 0.85)) * np.array([1, 1, 1]) if generator.random() < 0.7 else first
        second = second * 0.4 if generator.random() < 0.8 else second
    inner, outer = np.full(len(a), generator.uniform(0.4, 1.6)), none
    collar, opening, tie = np.zeros(4), 0.0, 0.0
    if kind == "t-shirt":
        inner = inner + 0.5 + generator.uniform(0, 1.0) * np.clip(1 - front / 1.2, 0, 1)
        collar = np.array([0.006, 0.2, 0.0, 0.003])
    elif kind == "v-neck":
        inner = inner + generator.uniform(2.0, 5.0) * np.clip(1 - front / generator.uniform(0.6, 1.0), 0, 1)
    elif kind in ("shirt", "suit"):
        inner = np.full(len(a), 0.6) + generator.uniform(0.0, 2.5) * np.clip(1 - front / 0.5, 0, 1) * (kind == "shirt")
        collar, opening = np.array([generator.uniform(0.024, 0.034), 0.25, 0.75, 0.004]), generator.uniform(0.05, 0.35)
        if kind == "suit":
            outer = 1.1 + generator.uniform(5.0, 7.5) * np.clip(1 - front / generator.uniform(0.65, 0.95), 0, 1) ** 0.8
            tie = generator.uniform(0.018, 0.034) if generator.random() < 0.75 * (1 - 0.7 * f) + 0.05 else 0.0
            opening = 0.08 if tie else opening
    elif kind == "turtleneck":
        inner, collar = np.full(len(a), 0.4), np.array([generator.uniform(0.02, 0.05), 0.12, 0.35, 0.006])
    elif kind in ("open jacket", "hood down"):
        inner = inner + 0.6
        outer = 0.9 + generator.uniform(2.0, 8.0) * np.clip(1 - front / generator.uniform(0.6, 1.2), 0, 1)
        if kind == "hood down":
            collar, opening = np.array([generator.uniform(0.03, 0.05), 0.8, 0.9, 0.014]), generator.uniform(0.3, 0.7)
    elif kind == "wide neck":
        inner = np.full(len(a), generator.uniform(2.0, 5.0)) + generator.uniform(0, 2.0) * np.clip(1 - front, 0, 1)
    elif kind == "scarf":
        inner = np.full(len(a), 0.5)
        collar = np.array([generator.uniform(0.02, 0.05), 0.25, 0.6, generator.uniform(0.01, 0.02)])
        if wrapped is not None:
            collar = np.array([0.05, 0.16, 0.3, 0.012])
    elif kind == "bare":
        inner = none
    return ClothesParameters(
        skin=np.array(look.skin),
        breadth=1.04 - 0.14 * f + generator.normal(0, 0.05),
        slope=generator.normal(1.0, 0.12),
        yaw=generator.normal(0, 0.28),
        inner=inner,
        outer=outer,
        inner_colour=first,
        outer_colour=second,
        collar_colour=wrapped if wrapped is not None else second if kind in ("hood down", "scarf") else first,
        collar=collar,
        collar_open=opening,
        tie=tie,
        tie_colour=cloth_colour(generator),
        inner_detail=_pattern(generator),
        outer_detail=_pattern(generator),
    )


def _pattern(generator: np.random.Generator) -> np.ndarray:
    kind = generator.choice([layers.WEAVE, layers.KNIT, layers.STRIPES, layers.CHECKS], p=[0.6, 0.16, 0.12, 0.12])
    return np.array([kind, generator.uniform(0.05, 0.4), generator.uniform(60, 260)])


def clothes_layer(clothes: ClothesParameters, rim: NeckRim, head: Tensor, scale: Tensor) -> layers.SurfaceLayer:
    """Build body, cloth, collar and tie, hanging from the rims of heads (N, V, 3)."""
    device = head.device
    ring = head[:, torch.from_numpy(rim.vertices).to(device)]
    ring = torch.cat([ring, ring[:, :1]], 1)  # (N, C, 3)
    a = torch.from_numpy(np.append(rim.azimuth, rim.azimuth[0])).float().to(device)
    body = _body(clothes, ring, a, scale, BODY_Z - rim.middle)  # (N, R, C, 3)
    normals = layers.grid_normals(body, closed=True)
    rows, columns = body.shape[1], body.shape[2]
    v = torch.linspace(0, 1, rows, device=device)
    shade = (0.72 + 0.28 * (v * 5).clamp(max=1))[:, None, None]
    row = torch.arange(rows, device=device)[:, None]
    covered = (row - torch.minimum(clothes.inner, clothes.outer)[:, None] - 0.3).clamp(0, 1)
    under = body - normals * (0.014 * covered)[..., None]  # cloth-covered body, moved in so that it does not poke out
    parts = [layers.layer_of(under, normals, layers.grid_faces(rows, columns, device), int(FaceClass.NECK),
                      clothes.skin[:, None, None] * shade, specular=0.15, roughness=0.45)]  # fmt: skip
    parts.append(_cloth(body, normals, clothes.inner, 0.003, clothes.inner_colour, clothes.inner_detail, a))
    parts.append(_cloth(body, normals, clothes.outer, 0.009, clothes.outer_colour, clothes.outer_detail, a))
    parts.append(_collar(clothes, body, normals, a))
    parts.append(_tie(clothes, body, normals, a))
    return layers.join_layers(tuple(parts))


def _body(clothes: ClothesParameters, ring: Tensor, a: Tensor, scale: Tensor, forward: float) -> Tensor:
    """(N, R, C, 3) rings from the rim down; ``forward`` : z from the rim's centre to the body's axis."""
    table = torch.from_numpy(BODY_ROWS).float().to(ring.device)
    middle = ring.mean(1)
    half, front, back, height = (table[:, k] for k in range(4))
    k = torch.arange(len(table), device=ring.device, dtype=torch.float32)
    wide = (k / 4).clamp(max=1)
    half = half * (1 + (clothes.breadth[:, None] - 1) * wide)  # (N, R)
    drop = (height - 0.594) * (1 + (clothes.slope[:, None] - 1) * wide)
    yaw = clothes.yaw[:, None] * (0.3 + 0.7 * wide)
    exponent = 2 / (2 + 0.5 * wide)[:, None]
    sin, cos = a.sin(), a.cos()
    x = half[..., None] * (sin.sign() * sin.abs() ** exponent)
    depth = torch.where(cos > 0, front[:, None] - 0.012, 0.012 - back[:, None])
    z = depth * cos.sign() * cos.abs() ** exponent
    z = z.expand_as(x)
    x, z = x * yaw.cos()[..., None] + z * yaw.sin()[..., None], z * yaw.cos()[..., None] - x * yaw.sin()[..., None]
    # the first rings keep the rim's slant, because the rim is higher at the back
    slant = (ring[..., 1] - middle[:, None, 1])[:, None] * (1 - (k / 4).clamp(max=1))[:, None]
    y = middle[:, 1].view(-1, 1, 1) + (drop * scale[:, None])[..., None] - 0.012 + slant
    rows = torch.stack([x * scale[:, None, None] + middle[:, 0].view(-1, 1, 1), y,
                        (z + forward) * scale[:, None, None] + middle[:, 2].view(-1, 1, 1) + 0 * x], -1)  # fmt: skip
    return torch.cat([ring[:, None], rows], 1)


def _at_rows(grid: Tensor, row: Tensor) -> Tensor:
    """Sample a grid (N, R, C, 3) at fractional rows (N, K, C) to (N, K, C, 3)."""
    row = row.clamp(0, grid.shape[1] - 1.001)
    low = row.floor().long()
    t = (row - low)[..., None]
    index = low[..., None].expand(-1, -1, -1, 3)
    return grid.gather(1, index) * (1 - t) + grid.gather(1, index + 1) * t


def _cloth(
    body: Tensor, normals: Tensor, start: Tensor, height: float, colour: Tensor, pattern: Tensor, a: Tensor
) -> layers.SurfaceLayer:
    last = body.shape[1] - 1.001
    t = torch.linspace(0, 1, CLOTH_ROWS, device=body.device)[:, None] ** 1.3
    row = (start[:, None] + (last - start[:, None]) * t).clamp(max=last)
    out = unit(_at_rows(normals, row))
    lift = height * (0.5 + 0.5 * (t * 8).clamp(max=1))
    vertices = _at_rows(body, row) + out * lift[..., None]
    worn = (start.amin(1) < 20)[:, None, None, None]
    vertices = torch.where(worn, vertices, vertices[:, :1, :1])
    scale = pattern[:, 2, None, None]
    u, v = a * 0.12 * scale + 0 * row, (body[:, :1, :1, 1] - vertices[..., 1]) * scale
    kind, strength = pattern[:, 0, None, None].expand_as(u), pattern[:, 1, None, None].expand_as(u)
    detail = torch.stack([kind, strength, u, v], -1)
    shade = (0.75 + 0.25 * (row / 4).clamp(max=1))[..., None]
    return layers.layer_of(vertices, out, layers.grid_faces(CLOTH_ROWS, body.shape[2], body.device),
                    int(FaceClass.BACKGROUND), colour[:, None, None] * shade, specular=0.03, detail=detail)  # fmt: skip


def _collar(clothes: ClothesParameters, body: Tensor, normals: Tensor, a: Tensor) -> layers.SurfaceLayer:
    """Build a collar that stands up from the neck and folds over."""
    tall, lean, fold, thick = (clothes.collar[:, k, None, None] for k in range(4))
    base = _at_rows(body, torch.minimum(clothes.inner, clothes.inner * 0 + 1.5)[:, None].clamp(max=9))
    out = unit(base - base.mean(2, keepdim=True)) * base.new_tensor([1.0, 0.0, 1.0])
    t = torch.linspace(0, 1, COLLAR_ROWS, device=body.device)[:, None]
    up = torch.where(t < 0.5, 2 * t, 1 - (2 * t - 1) * fold)  # (N, K, 1)
    away = thick * (0.6 + 1.5 * t) + tall * lean * up + tall * fold * 0.35 * (t > 0.5) * (2 * t - 1)
    # a collar is open in front, where its points fall apart
    gap = (1 - a.abs()[None, None] / clothes.collar_open[:, None, None].clamp(min=1e-3)).clamp(0, 1)
    up = up * (1 - gap)
    vertices = base + out * (away * (1 - 0.6 * gap))[..., None]
    vertices = vertices + torch.stack([torch.zeros_like(up), tall * up, torch.zeros_like(up)], -1)
    worn = (clothes.collar[:, 0] > 0)[:, None, None, None]
    vertices = torch.where(worn, vertices, vertices[:, :1, :1])
    shading = layers.grid_normals(vertices, closed=True)
    shading = torch.where((shading * out).sum(-1, keepdim=True) < -0.3, -shading, shading)
    shade = (0.7 + 0.3 * t)[..., None]
    return layers.layer_of(vertices, shading, layers.grid_faces(COLLAR_ROWS, body.shape[2], body.device),
                    int(FaceClass.BACKGROUND), clothes.collar_colour[:, None, None] * shade, specular=0.03)  # fmt: skip


def _tie(clothes: ClothesParameters, body: Tensor, normals: Tensor, a: Tensor) -> layers.SurfaceLayer:
    column = int(a.abs().argmin())
    last = body.shape[1] - 1.001
    row = torch.linspace(0.5, last, TIE_ROWS, device=body.device).view(1, -1, 1).expand(len(body), -1, 1)
    centre = _at_rows(body[:, :, column : column + 1], row)[:, :, 0]
    out = unit(_at_rows(normals[:, :, column : column + 1], row)[:, :, 0])
    wide = torch.tensor([0.75, 0.8, 0.55, 0.8, 1.0, 1.3], device=body.device)
    side = unit(torch.linalg.cross(out.new_tensor([0.0, 1.0, 0.0]).expand_as(out), out))
    half = side * (wide * 0.5 * clothes.tie[:, None])[..., None]
    centre = centre + out * 0.008
    vertices = torch.stack([centre - half, centre + out * 0.006, centre + half], 2)
    vertices = torch.where((clothes.tie > 0)[:, None, None, None], vertices, vertices[:, :1, :1])
    shading = unit(torch.stack([out - 0.5 * side, out, out + 0.5 * side], 2))
    return layers.layer_of(vertices, shading, layers.grid_faces(TIE_ROWS, 3, body.device), int(FaceClass.BACKGROUND),
                    clothes.tie_colour[:, None, None], specular=0.15)  # fmt: skip
