"""Triangle layers around the head: the renderer's input from hair, glasses, hats, hands and clothes.

How to draw them (all tensors of a batch share one triangle list, so one rasterization is enough):

1. Append ``opaque`` to the head's own vertices and faces and rasterize both together. Faces that a person does not
   have are collapsed to points; they have no area, so rasterizers skip them.
2. Rasterize ``veil`` alone (lenses, loose strands, the soft rim of hair). Where it is nearer than the opaque picture,
   blend: colour = alpha * veil + (1 - alpha) * opaque. The veil's label replaces the one behind it where
   ``alpha >= VEIL_LABEL_ALPHA``; clear lenses therefore have the label of what is behind them.
3. Albedo at a pixel is the interpolated ``albedo`` times ``surface_tone(interpolated detail)``.
4. ``specular`` is the strength of a highlight. With ``tangent`` zero it is an ordinary one about the reflected
   direction, otherwise that of a bundle of fibres (Kajiya & Kay 1989) along ``tangent``, see ``fibre_highlight``.
   ``mirror`` (veil only) is light added independently of the albedo: a lens reflecting a window or the sky.

Shade with ``normals`` as they are. They differ from the triangles' normals, because locks of hair are shaded as round.
Faces are visible from both sides, and the renderer must not flip normals of hair towards the camera.

Stack parameters of single persons to tensors of a batch.

All random numbers are drawn in numpy, per person, so that an index gives the same person on any device. ``stack``
converts those of a batch to tensors: the same dataclasses, with a leading axis N.

Small building blocks of attachment meshes: grids, and layers with one material.

Tapered ribbons along locks of hair, shaded as rounded bundles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from backend.geometry.vectors import unit
from backend.hair.hull import HullSurface
from trainer.people.dress.grow import Locks, differences, lock_paths

T = TypeVar("T")


def stack(items: Sequence[T], device: torch.device | str) -> T:
    """Stack the parameters of a batch to one object of float32 tensors (N, ...)."""
    first = items[0]
    if is_dataclass(first):
        values = {f.name: stack([getattr(item, f.name) for item in items], device) for f in fields(first)}
        return type(first)(**values)
    if isinstance(first, tuple):
        return type(first)(stack([item[k] for item in items], device) for k in range(len(first)))
    return torch.from_numpy(np.stack([np.asarray(item, np.float32) for item in items])).to(device)


VEIL_LABEL_ALPHA = 0.45
"""Opacity above which a pixel gets the veil's label instead of the one behind it."""

PLAIN, STRANDS, KNIT, STRIPES, CHECKS, WEAVE = range(6)
"""Kinds of ``SurfaceLayer.detail``: nothing, hair, knitwear, stripes, checks, fine cloth."""


@dataclass(frozen=True)
class SurfaceLayer:
    """Triangles with their shading attributes. Head frame (metres, x to the person's left, y up, z out of the face).

    Attributes
    ----------
    vertices : (N, V, 3). normals : (N, V, 3) unit. faces : (F, 3) int64, the same for every batch of one
        ``Attachments``; both sides are visible. labels : (N, F) uint8 ``FaceClass`` of each face.
    albedo : (N, V, 3) linear. specular : (N, V) 0-1. roughness : (N, V) 0-1. tangent : (N, V, 3) unit along fibres, or
        zero. alpha : (N, V) opacity, 1 in the opaque layer. mirror : (N, V) added light, 0 in the opaque one.
    detail : (N, V, 4): kind, strength, and two texture coordinates for ``surface_tone``.
    """

    vertices: Tensor
    normals: Tensor
    faces: Tensor
    labels: Tensor
    albedo: Tensor
    specular: Tensor
    roughness: Tensor
    tangent: Tensor
    alpha: Tensor
    mirror: Tensor
    detail: Tensor


@dataclass(frozen=True)
class AttachmentMesh:
    """All attachments of the heads of a batch."""

    opaque: SurfaceLayer
    veil: SurfaceLayer


def join_layers(layers: tuple[SurfaceLayer, ...], *, opaque: bool = False) -> SurfaceLayer:
    """Join several layers of one batch; ``opaque``: set their alpha to 1 and their mirror to 0."""
    starts = [0]
    for layer in layers:
        starts.append(starts[-1] + layer.vertices.shape[1])

    def along_vertices(name: str) -> Tensor:
        return torch.cat([getattr(layer, name) for layer in layers], 1)

    vertices = along_vertices("vertices")
    return SurfaceLayer(
        vertices=vertices,
        normals=along_vertices("normals"),
        faces=torch.cat([layer.faces + start for layer, start in zip(layers, starts, strict=False)]),
        labels=along_vertices("labels"),
        albedo=along_vertices("albedo"),
        specular=along_vertices("specular"),
        roughness=along_vertices("roughness"),
        tangent=along_vertices("tangent"),
        alpha=torch.ones_like(vertices[..., 0]) if opaque else along_vertices("alpha"),
        mirror=torch.zeros_like(vertices[..., 0]) if opaque else along_vertices("mirror"),
        detail=along_vertices("detail"),
    )


def surface_tone(detail: Tensor) -> Tensor:
    """(..., 1) factor on the albedo from interpolated ``SurfaceLayer.detail`` (..., 4): streaks, stitches, stripes."""
    kind, strength, u, v = detail.unbind(-1)
    kind = kind.round()
    streak = _noise(u, v, 1.0)
    row = (u * 0.5).remainder(1) - 0.5
    knit = 1 - 4 * (((u + 0.5 * (v * 0.5).floor().remainder(2)).remainder(1) - 0.5) ** 2 + (v.remainder(1) - 0.5) ** 2)
    stripes = torch.where(row.abs() < 0.25, 1.0, -1.0)
    column = torch.where((v * 0.5).remainder(1) < 0.5, 1.0, -1.0)
    pattern = torch.where(kind == STRANDS, streak, torch.zeros_like(streak))
    pattern = torch.where(kind == KNIT, knit, pattern)
    pattern = torch.where(kind == STRIPES, stripes, pattern)
    pattern = torch.where(kind == CHECKS, 0.5 * (stripes + column), pattern)
    pattern = torch.where(kind == WEAVE, 0.5 * _noise(u * 2, v * 2, 3.0), pattern)
    return (1 + strength * pattern).clamp(min=0.05)[..., None]


def fibre_highlight(tangent: Tensor, light: Tensor, view: Tensor, roughness: Tensor) -> Tensor:
    """(..., 1) highlight of fibres: sin of the angle between tangent and half vector, sharpened (Kajiya & Kay 1989).

    Unit vectors (..., 3); ``roughness`` (...,) 0-1. Zero where ``tangent`` is zero.
    """
    half = torch.nn.functional.normalize(light + view, dim=-1)
    along = (tangent * half).sum(-1)
    fibre = (tangent * tangent).sum(-1) > 0.25
    exponent = 2.0 / (roughness * roughness).clamp(min=0.01)
    value = (1 - along * along).clamp(min=0) ** (0.5 * exponent)
    return torch.where(fibre, value, torch.zeros_like(value))[..., None]


def _noise(u: Tensor, v: Tensor, seed: float) -> Tensor:
    """Value noise in [-1, 1], lattice spacing 1; the same on every device (integer hash)."""
    left, low = u.floor(), v.floor()
    x, y = u - left, v - low
    x, y = x * x * (3 - 2 * x), y * y * (3 - 2 * y)
    i, j = left.to(torch.int64), low.to(torch.int64)
    k = int(seed * 7919)

    def corner(di: int, dj: int) -> Tensor:
        h = ((i + di) * 374761393 + (j + dj) * 668265263 + k * 1274126177) & 0x7FFFFFFF
        h = ((h ^ (h >> 13)) * 1274126177) & 0x7FFFFFFF
        return ((h ^ (h >> 16)) & 0xFFFF).to(u.dtype) / 32767.5 - 1

    top = corner(0, 0) * (1 - x) + corner(1, 0) * x
    bottom = corner(0, 1) * (1 - x) + corner(1, 1) * x
    return top * (1 - y) + bottom * y


def grid_faces(rows: int, columns: int, device: torch.device | str) -> Tensor:
    """(2 (rows-1) (columns-1), 3) int64 for vertices (rows, columns) in row-major order."""
    start = (
        torch.arange(rows - 1, device=device)[:, None] * columns + torch.arange(columns - 1, device=device)
    ).reshape(-1)
    right, below = start + 1, start + columns
    return torch.cat([torch.stack([start, below, right], 1), torch.stack([right, below, below + 1], 1)])


def grid_normals(vertices: Tensor, *, closed: bool = False) -> Tensor:
    """Unit normals of grids (N, rows, columns, 3): down the rows x along the columns; ``closed``: the last column
    repeats the first."""
    rows = torch.cat([vertices[:, 1:2] - vertices[:, :1], vertices[:, 2:] - vertices[:, :-2],
                      vertices[:, -1:] - vertices[:, -2:-1]], 1)  # fmt: skip
    if closed:
        body = vertices[:, :, :-1]
        columns = body.roll(-1, 2) - body.roll(1, 2)
        columns = torch.cat([columns, columns[:, :, :1]], 2)
    else:
        columns = torch.cat([vertices[:, :, 1:2] - vertices[:, :, :1], vertices[:, :, 2:] - vertices[:, :, :-2],
                             vertices[:, :, -1:] - vertices[:, :, -2:-1]], 2)  # fmt: skip
    return unit(torch.linalg.cross(rows, columns))


def layer_of(
    vertices: Tensor,
    normals: Tensor,
    faces: Tensor,
    label: int | Tensor,
    albedo: Tensor,
    *,
    specular: float | Tensor = 0.0,
    roughness: float | Tensor = 0.5,
    alpha: Tensor | None = None,
    mirror: Tensor | None = None,
    detail: Tensor | None = None,
) -> SurfaceLayer:
    """Make a layer from arrays (N, ..., 3 or 4), flattening middle axes; one label (or (N,) uint8) for all faces."""
    n = len(vertices)
    points = vertices.reshape(n, -1, 3)
    ones = torch.ones_like(points[..., 0])

    def filled(value: float | Tensor | None, default: float) -> Tensor:
        if value is None:
            return ones * default
        if isinstance(value, Tensor):
            return (ones * value[:, None]) if value.ndim == 1 else value.reshape(n, -1)
        return ones * value

    if isinstance(label, Tensor):
        labels = label.to(torch.uint8)[:, None].expand(n, len(faces)).contiguous()
    else:
        labels = torch.full((n, len(faces)), label, dtype=torch.uint8, device=points.device)
    return SurfaceLayer(
        vertices=points,
        normals=normals.reshape(n, -1, 3),
        faces=faces,
        labels=labels,
        albedo=albedo.expand(*vertices.shape).reshape(n, -1, 3),
        specular=filled(specular, 0.0),
        roughness=filled(roughness, 0.5),
        tangent=torch.zeros_like(points),
        alpha=filled(alpha, 1.0),
        mirror=filled(mirror, 0.0),
        detail=points.new_zeros(n, points.shape[1], 4) if detail is None else detail.reshape(n, -1, 4),
    )


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
