"""Losses of the learned face model (Mallikarjun et al., CVPR 2021, section 3.5), and our terms against ground truth.

All are means, so that weights do not depend on batch, picture or mesh size; the paper uses sums. Lengths in pictures
are in per cent of the picture's side, lengths on the face in millimetres.
"""

from __future__ import annotations

import torch
from torch import Tensor

from backend.rendering.spherical_harmonics import basis as harmonics

METRES_TO_MM = 1000.0


def landmark_error(points: Tensor, landmarks: Tensor, weight: Tensor, size: int) -> Tensor:
    """Equation 6: weighted mean of |l_k - p(v_k)|^2, in per cent of the picture's side, squared.

    points, landmarks : (N, L, 2) pixels of pictures of ``size``. weight : (N, L), 0 leaves a landmark out.
    """
    squared = ((points - landmarks) * (100.0 / size)).square().sum(-1)
    return (squared * weight).sum() / weight.sum().clamp(min=1e-6)


def picture_error(rendered: Tensor, photos: Tensor, mask: Tensor) -> Tensor:
    """Equation 8: mean over M of |F - S|^2 of pictures (N, 3, H, W) in [0, 1]; mask (N, H, W)."""
    squared = (rendered - photos).square() * mask[:, None]
    return squared.sum() / (3 * mask.sum()).clamp(min=1)


def feature_angle(rendered: list[Tensor], photos: list[Tensor]) -> Tensor:
    """Equation 9: sum over layers of the mean of 1 - cos between features (N, C, h, w) of pictures and photos."""
    total = rendered[0].new_zeros(())
    for found, wanted in zip(rendered, photos, strict=True):
        cosine = torch.nn.functional.cosine_similarity(found.flatten(1), wanted.flatten(1), dim=1, eps=1e-6)
        total = total + (1 - cosine).mean()
    return total


def graph_smoothness(nodes: Tensor, edges: Tensor) -> Tensor:
    """Equation 10: mean over edges (E, 2) of |g - n|^2 between offsets (N, G, 3) of neighbouring nodes, mm^2."""
    return (nodes[:, edges[:, 0]] - nodes[:, edges[:, 1]]).square().sum(-1).mean()


def expression_of_neutral(expression: Tensor, neutral: Tensor) -> Tensor:
    """Equation 11: mean over neutral faces of |delta|^2; expression (N, m_e), neutral (N,) bool; 0 without any."""
    squared = expression.square().sum(1)
    return (squared * neutral).sum() / neutral.sum().clamp(min=1)


def code_prior(codes: Tensor) -> Tensor:
    """Mean square of codes (N, M), which is 1 for codes of a standard normal distribution."""
    return codes.square().mean()


def shape_error(vertices: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean distance in millimetres of vertices (N, V, 3) from the true ones, metres, head frame; weight (V,).

    It is smooth at zero, within a tenth of a millimetre.
    """
    wrong = ((vertices - truth) * METRES_TO_MM).square().sum(-1)
    distance = (wrong + 0.01).sqrt() - 0.1
    return (distance * weight).sum() / (weight.sum() * len(vertices)).clamp(min=1e-6)


def pose_error(points: Tensor, truth: Tensor, size: int) -> Tensor:
    """Mean distance between the projections of the same points by two cameras, in per cent of the picture's side.

    It includes the difference of depths relative to the points' mean, in the picture's scale, which separates
    rotations. Both arguments are (N, P, 3): pixels, and depth in metres.
    """
    place = (points[..., :2] - truth[..., :2]) * (100.0 / size)
    extent = truth[..., :2].flatten(1).std(1) / truth[..., 2].flatten(1).std(1).clamp(min=1e-6)  # pixels per metre
    depth = points[..., 2] - points[..., 2].mean(1, keepdim=True)
    wanted = truth[..., 2] - truth[..., 2].mean(1, keepdim=True)
    along = (depth - wanted) * (0.5 * extent[:, None] * (100.0 / size))
    return (place.square().sum(-1) + along.square() + 1e-4).sqrt().mean()


def light_error(light: Tensor, truth: Tensor, normals: Tensor) -> Tensor:
    """Mean absolute difference of the shading by two lights (N, 9, C) at a face's unit normals (P, 3)."""
    return torch.einsum("pk,nkc->npc", harmonics(normals), light - truth).abs().mean()
