"""Losses against canonical ground truth, which is known for synthetic people."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from backend.rendering.camera import CanonicalCamera, View
from backend.rendering.depth_surface import normals_from_depth, points_from_depth

_VIEW_STRIDE = 8
"""Stride in pixels (of 64) of the points at which views are compared."""


def depth_error(depth: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Masked mean of |d - truth| in hundredths of LAP's unit, about centimetres; all are (N, H, W)."""
    return 100.0 * ((depth - truth).abs() * mask).sum() / mask.sum().clamp(min=1)


def relative_depth_error(depth: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """``depth_error`` after removal of each map's mean difference: a shift along the axis does not change the shape."""
    wrong = torch.where(mask > 0, depth - truth, 0.0)
    middle = wrong.sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
    return 100.0 * ((wrong - middle[:, None, None]).abs() * mask).sum() / mask.sum().clamp(min=1)


def normal_error(depth: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Masked mean of 1 - cos of the angle between the normals of two depth maps (N, H, W)."""
    camera = CanonicalCamera(tuple(depth.shape[-2:]))
    inner = -functional.max_pool2d(-mask[:, None].float(), 3, 1, 1)[:, 0]  # pixels whose neighbours are known, too
    cosine = (normals_from_depth(depth, camera) * normals_from_depth(truth, camera)).sum(-1)
    return ((1 - cosine) * inner).sum() / inner.sum().clamp(min=1)


def albedo_error(albedo: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Masked mean of |a - truth| of albedos (N, 3, H, W) in [-1, 1]; mask (N, H, W)."""
    return ((albedo - truth).abs() * mask[:, None]).sum() / (3 * mask.sum()).clamp(min=1)


def gradient_error(albedo: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """``albedo_error`` of differences between neighbouring pixels, which compares the edges."""
    across = (mask[:, :, 1:] * mask[:, :, :-1])[:, None]
    down = (mask[:, 1:] * mask[:, :-1])[:, None]
    wrong = albedo - truth
    total = (wrong.diff(dim=3).abs() * across).sum() + (wrong.diff(dim=2).abs() * down).sum()
    return total / (3 * (across.sum() + down.sum())).clamp(min=1)


def view_error(view: View, truth: View, depth: Tensor) -> Tensor:
    """Mean distance, in hundredths of a unit, between the positions of canonical surface points (N, H, W) in two views.

    Points are compared by their position in the picture and their depth relative to the mean. A common shift along the
    axis is large in numbers but hardly visible, so it counts only by the size that it gives to the face.
    """
    camera = CanonicalCamera(tuple(depth.shape[-2:]))
    step = max(1, depth.shape[-1] * _VIEW_STRIDE // 64)
    points = points_from_depth(depth, camera)[:, step // 2 :: step, step // 2 :: step].flatten(1, 2)
    return (
        100.0
        * (_picture_coordinates(view.apply(points)) - _picture_coordinates(truth.apply(points))).norm(dim=-1).mean()
    )


def _picture_coordinates(points: Tensor) -> Tensor:
    """Convert camera points (N, P, 3) to their position at depth 1 and their depth relative to the mean."""
    return torch.cat([points[..., :2] / points[..., 2:], points[..., 2:] - points[..., 2:].mean(1, keepdim=True)], -1)


def mean_view(view: View) -> Tensor:
    """Deviation from zero of the mean, over photos, of the view directions and of the shifts.

    Without labels the canonical frame may drift; this keeps its forward direction in the middle of all views.
    """
    forward = view.rotation[:, :2, 2].mean(0)
    return (forward**2).sum() + 100.0 * (view.translation[:, :2].mean(0) ** 2).sum()


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Fill the unknown parts of maps (N, C, H, W) smoothly from the ``known`` ones (N, 1, H, W); square powers of
    two."""
    known = known.float()
    if values.shape[-1] == 1:
        return values * known
    share = functional.avg_pool2d(known, 2)
    small = functional.avg_pool2d(values * known, 2) / share.clamp(min=1e-6)
    filled = push_pull(small, (share > 0).float())
    coarse = functional.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(known > 0, values, coarse)
