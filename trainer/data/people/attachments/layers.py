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
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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
