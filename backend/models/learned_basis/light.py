"""The light of the learned model's faces, solved from the photo's colours in the same pass (ours).

With geometry, pose and reflectance known, colours of equation 4 are linear in the light's 27 numbers. The encoder's own
prediction is what they are held to; the photo decides. Nothing tells skin from hair or glasses here: what does not fit
the light counts less.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from backend.geometry.normals import vertex_normals
from backend.rendering.camera_models import PerspectiveCameras
from backend.rendering.color import linear_from_srgb
from backend.rendering.spherical_harmonics import basis

SMALLEST_REGION = 0.5
"""Vertices this much in the face are looked at."""
_HOLD = 0.001
"""Squared pull towards the predicted light, against weights that sum to one. These three by 100 portraits of the
training part: 0.0455; with 0.002 and 0.004 0.0458 and 0.0465, outliers from 0.14 and 0.3 on 0.0455 and 0.0458; the
light that is predicted 0.0577."""
_FIRST_HOLD = 0.1
"""The pull of the first round, halved by every further one down to ``_HOLD``: what is not skin must stand out before
the light may bend to it. With ``_HOLD`` from the start the same portraits 0.0455, with this 0.0454 and the worst of
them 0.073 instead of 0.077; a fringe over a forehead no longer becomes a dark side of the face."""
_OUTLIER = 0.2
"""Geman-McClure scale of a colour's error, in sRGB's steps near it."""
_ROUNDS = 8
"""Of new weights. With 0.002 above: none 0.049, four 0.0461, eight 0.0458, twelve 0.0458; dark hair over much of the
forehead takes ten until it has no say."""
_DARK, _GAMMA = 0.03, 0.6
"""Slope of sRGB at linear c, about (c + _DARK)^-_GAMMA: errors count as they are seen."""


def vertex_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """(V,) areas of the faces (F, 3) at each vertex (V, 3), a third each, relative to their mean."""
    a, b, c = (vertices[corner] for corner in faces.T)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    total = torch.zeros(len(vertices), dtype=vertices.dtype, device=vertices.device)
    for corner in faces.T:
        total.index_add_(0, corner, area)
    return total / total.mean()


def solved_light(
    pictures: Tensor,
    vertices: Tensor,
    faces: Tensor,
    reflectance: Tensor,
    cameras: PerspectiveCameras,
    predicted: Tensor,
    areas: Tensor,
) -> Tensor:
    """(N, 9, 3) lights, head frame, by robust least squares over the vertices; differentiable.

    Parameters
    ----------
    pictures : (N, 3, S, S) sRGB in [0, 1]. vertices : (N, V, 3) metres. faces : (F, 3). reflectance : (N, V, 3) linear.
    predicted : (N, 9, 3) what the light is held to. areas : (V,) what a vertex counts; those with 0 are not looked at.
    """
    chosen = areas.nonzero()[:, 0]
    size = pictures.shape[-1]
    points, own = vertices[:, chosen], reflectance[:, chosen]
    normals = vertex_normals(vertices, faces)[:, chosen]
    centre = -(cameras.rotation.transpose(1, 2) @ cameras.translation[..., None]).transpose(1, 2)
    facing = (normals * normalize(centre - points, dim=-1)).sum(-1).clamp(min=0)
    grid = cameras.project(points)[..., :2] * (2 / size) - 1
    inside = (grid.abs() < 1).all(-1)
    linear = linear_from_srgb(pictures)
    seen = grid_sample(linear, grid[:, None], padding_mode="border", align_corners=False)[:, :, 0].transpose(1, 2)
    weight = facing * inside * areas[chosen]  # the area of the picture that a vertex takes
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
    slope = (_DARK + seen.clamp(min=0)) ** -_GAMMA
    terms = basis(normals)  # (N, M, 9)
    same = torch.eye(9, dtype=seen.dtype, device=seen.device)
    light, trust = predicted, torch.ones_like(weight)
    for turn in range(_ROUNDS + 1):
        if turn:
            error = slope * (seen - own * (terms @ light))
            trust = (_OUTLIER**2 / (_OUTLIER**2 + error.square().mean(-1))) ** 2
        hold = max(_HOLD, _FIRST_HOLD * 0.5**turn)
        counts = (weight * trust)[..., None] * slope.square()  # (N, M, 3)
        system = torch.einsum("nmc,nmd,nme->ncde", counts * own.square(), terms, terms)
        right = torch.einsum("nmc,nmd->ncd", counts * own * seen, terms) + hold * predicted.transpose(1, 2)
        light = torch.linalg.solve(system + hold * same, right).transpose(1, 2)
    return light
