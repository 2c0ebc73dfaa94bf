"""Solve for the light of the learned model's faces from the photo's colours, in the same pass (ours).

With geometry, pose and reflectance known, the colours of equation 4 are linear in the light's 27 coefficients. The
encoder's prediction is a weak prior; the photo decides. There is no mask of skin here, so hair and glasses are handled
as outliers by a robust loss.
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
"""Least membership in the face region of the vertices that are used."""
_HOLD = 0.001
"""Weight of the squared distance to the predicted light; the data weights sum to one. Photometric error on 100
portraits of the training set with this, ``_OUTLIER`` and ``_ROUNDS``: 0.0455. With 0.002 and 0.004: 0.0458 and 0.0465.
With ``_OUTLIER`` 0.14 and 0.3: 0.0455 and 0.0458. With the predicted light: 0.0577."""
_FIRST_HOLD = 0.1
"""The same weight in the first round, halved in each further one down to ``_HOLD``. Non-skin then shows as an outlier
before the light can fit it. With ``_HOLD`` from the start the same portraits have 0.0455, with this 0.0454, and the
worst of them 0.073 instead of 0.077; a fringe over a forehead no longer becomes a dark side of the face."""
_OUTLIER = 0.2
"""Geman-McClure scale of a colour's error, converted to sRGB by the slope at that colour."""
_ROUNDS = 8
"""Rounds of reweighting. Photometric error with ``_HOLD`` 0.002: none 0.049, four 0.0461, eight 0.0458, twelve 0.0458.
Dark hair over much of the forehead needs ten rounds to lose its influence."""
_DARK, _GAMMA = 0.03, 0.6
"""Slope of sRGB at linear c, about (c + _DARK)^-_GAMMA, so that errors are weighted perceptually."""


def vertex_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """(V,) area of each vertex (V, 3), a third of each adjacent face (F, 3), relative to the mean."""
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
    predicted : (N, 9, 3) prior mean of the light. areas : (V,) weights of the vertices; those with 0 are not used.
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
    weight = facing * inside * areas[chosen]  # a vertex's area in the picture
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
