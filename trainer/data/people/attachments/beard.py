"""Long beards: locks that grow from chin, jaw and upper lip. Stubble and density are painted on the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template
from backend.geometry.unit import unit
from backend.hair.locks import Numbers
from backend.photos.collection import FaceClass
from trainer.data.people.attachments.layers import STRANDS, SurfaceLayer
from trainer.data.people.attachments.ribbons import ribbon_faces
from trainer.data.people.look import PersonLook

LOCKS, SEGMENTS = 170, 4
SHORTEST = 0.004


@dataclass(frozen=True)
class BeardParameters:
    """A beard of L locks; lengths in metres.

    Attributes
    ----------
    triangle : (L,) row of ``BeardRoots.triangles``; weights : (L, 3). length : (L,), 0 where there is none.
    lift : (L,) angle off the skin, 0-1; side : (L,) sideways swing; width : (L,); tone : (L,).
    colour : (3,) linear.
    """

    triangle: Numbers
    weights: Numbers
    length: Numbers
    lift: Numbers
    side: Numbers
    width: Numbers
    tone: Numbers
    colour: Numbers


@dataclass(frozen=True)
class BeardRoots:
    """Places where beards grow: triangles (T, 3) of head vertices, and (3, T) cumulative probabilities of a lock's
    triangle for moustache, chin and jaw."""

    triangles: np.ndarray
    cumulative: np.ndarray


def beard_roots(template: Template) -> BeardRoots:
    """Find the skin of upper lip, chin and jaw."""
    head = template.vertices[: template.head.vertex_stop].astype(np.float64)
    quads = template.quads[: template.head.face_stop]
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int64)
    corners = head[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    middle = corners.mean(1)
    bare = sum(template.regions[name][triangles].mean(1) for name in ("lips", "mouth_interior", "ears", "eye_sockets"))
    outside = (bare < 0.15) & (area > 0)
    landmarks = template.landmarks68.positions(template.vertices)
    mouth, nose, chin = landmarks[[48, 54]].mean(0), landmarks[33], landmarks[8]
    x, y, z = np.abs(middle[:, 0]), middle[:, 1], middle[:, 2]
    upper = (y > mouth[1]) & (y < nose[1] - 0.002) & (x < 0.030) & (z > 0.125)
    below = (y < mouth[1] - 0.006) & (y > chin[1] - 0.012) & (z > 0.075)
    on_chin = below & (x < 0.033)
    # jaw and cheeks, under a line from the sideburn to the corner of the mouth
    line = np.interp(x, [0.02, 0.045, 0.060, 0.075], [0.652, 0.668, 0.690, 0.722])
    on_jaw = (y < line) & (y > chin[1] - 0.008) & (z > 0.060) & (x > 0.026) & ~upper
    masks = np.stack([upper, on_chin, on_jaw]) & outside
    return BeardRoots(triangles, np.cumsum(masks * area / (masks * area).sum(1, keepdims=True), axis=1))


def draw_beard(
    generator: np.random.Generator, look: PersonLook, roots: BeardRoots, like: BeardParameters | None = None
) -> BeardParameters:
    """Draw one person's beard; all lengths are 0 where the look has none."""
    if like is not None:
        factor = generator.uniform(0.85, 1.15)
        return BeardParameters(**{**like.__dict__, "length": like.length * factor,
                                  "tone": np.exp(generator.normal(0, 0.16, LOCKS))})  # fmt: skip
    share = np.array([look.moustache * 0.8, look.chin * 1.1, look.jaw * 2.2])
    if look.beard <= 0.3 or share.sum() == 0:
        nothing = np.zeros(LOCKS)
        return BeardParameters(nothing, np.full((LOCKS, 3), 1 / 3), *([nothing] * 5), np.array(look.beard_hair))
    area = np.searchsorted(np.cumsum(share / share.sum())[:2], generator.random(LOCKS))
    triangle = np.empty(LOCKS)
    for k in range(3):
        of_it = area == k
        triangle[of_it] = np.searchsorted(roots.cumulative[k][:-1], generator.random(int(of_it.sum())))
    u, v = np.sort(generator.random((2, LOCKS)), axis=0)
    long = generator.random() < 0.25
    length = (0.03 + 0.11 * generator.random() ** 2) if long else generator.uniform(0.006, 0.022) * (0.4 + look.beard)
    lengths = length * np.array([0.45 if long else 0.8, 1.0, 0.75])[area] * generator.uniform(0.7, 1.15, LOCKS)
    lengths = np.where(area == 0, np.minimum(lengths, 0.03), lengths)
    return BeardParameters(
        triangle=triangle,
        weights=np.stack([u, v - u, 1 - v], 1),
        length=np.where(lengths > SHORTEST, lengths, 0.0),
        lift=generator.uniform(0.1, 0.55, LOCKS) + 0.15 * (area == 2),
        side=generator.normal(0, 0.2, LOCKS) + np.where(area == 0, 0.9, 0.0),
        width=generator.uniform(0.004, 0.008, LOCKS) * np.clip(lengths / 0.012, 0.7, 1.5),
        tone=np.exp(generator.normal(0, 0.16, LOCKS)),
        colour=np.array(look.beard_hair),
    )


def beard_layer(beard: BeardParameters, roots: BeardRoots, head: Tensor, scale: Tensor) -> SurfaceLayer:
    """Build the beard locks of a batch on heads (N, V, 3)."""
    device, n = head.device, len(head)
    triangles = torch.from_numpy(roots.triangles).to(device)[beard.triangle.long()]  # (N, L, 3)
    corners = head.gather(1, triangles.view(n, -1, 1).expand(-1, -1, 3)).view(n, LOCKS, 3, 3)
    root = (corners * beard.weights[..., None]).sum(2)
    normal = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normal = unit(normal)
    down = normal.new_tensor([0.0, -1.0, 0.0])
    along = unit(down - normal * (normal * down).sum(-1, keepdim=True) + 1e-5)
    middle = head[:, triangles[0, :1, 0]].new_tensor([1.0, 0.0, 0.0])
    side = beard.side[..., None] * torch.where(root[..., :1] >= 0, 1.0, -1.0) * middle
    start = unit(along + normal * beard.lift[..., None] + side)
    step = (beard.length * scale[:, None])[..., None] / SEGMENTS
    points = [root + normal * 0.0006]
    for k in range(SEGMENTS):
        t = (k + 0.5) / SEGMENTS * (beard.length[..., None] / 0.05).clamp(max=1)
        direction = start + (normal.new_tensor([0.0, -1.0, 0.12]) - start) * t
        points.append(points[-1] + unit(direction) * step)
    path = torch.stack(points, 2)  # (N, L, P, 3)
    tangent = unit(torch.cat([path[:, :, 1:] - path[:, :, :-1], path[:, :, -1:] - path[:, :, -2:-1]], 2))
    across = unit(torch.linalg.cross(normal[:, :, None].expand_as(tangent), tangent) + 1e-6)
    t = torch.linspace(0, 1, SEGMENTS + 1, device=device)
    half = (0.5 * beard.width[..., None] * (1 - 0.85 * t**1.5) * scale[:, None, None])[..., None] * across
    edges = torch.stack([path - half, path + half], 3)
    outer = unit(normal[:, :, None] - 0.5 * tangent)
    normals = unit(torch.stack([outer - 0.5 * across, outer + 0.5 * across], 3))
    gone = (beard.length < SHORTEST)[..., None, None, None]
    edges = torch.where(gone, edges[:, :, :1, :1], edges).reshape(n, -1, 3)
    colour = beard.colour[:, None, None] * (beard.tone[..., None] * (0.6 + 0.4 * t))[..., None]
    colour = colour[:, :, :, None].expand(-1, -1, -1, 2, -1).reshape(n, -1, 3)
    ones = torch.ones_like(edges[..., 0])
    u = torch.arange(2, device=device).float() * 2 + 11.0 * torch.arange(LOCKS, device=device)[:, None, None]
    v = (t * 3)[:, None] + 0 * u
    kind = torch.full_like(v, STRANDS)
    detail = torch.stack([kind, 0 * v + 0.35, u.expand_as(v), v], -1).reshape(1, -1, 4).expand(n, -1, -1)
    return SurfaceLayer(
        vertices=edges,
        normals=normals.reshape(n, -1, 3),
        faces=ribbon_faces(LOCKS, SEGMENTS + 1).to(device),
        labels=torch.full((n, LOCKS * SEGMENTS * 2), int(FaceClass.FACIAL_HAIR), dtype=torch.uint8, device=device),
        albedo=colour.clamp(0.002, 0.9),
        specular=ones * 0.15,
        roughness=ones * 0.45,
        tangent=tangent[:, :, :, None].expand(-1, -1, -1, 2, -1).reshape(n, -1, 3),
        alpha=ones,
        mirror=torch.zeros_like(ones),
        detail=detail,
    )
