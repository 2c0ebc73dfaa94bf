"""Barycentrics, depth and attributes at the pixels of a rasterized mesh, differentiable in vertices and attributes.

One implementation for all rasterizers, so that gradients are the same whoever found the face ids. Everything is
computed only at covered pixels; ``Fragments`` gives that compact form to code that calls this hundreds of times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Fragments:
    """The covered pixels of a batch of images, P in all.

    Attributes
    ----------
    size : (N, H, W) of the batch.
    pixel : (P,) int64 index into the flattened (N*H*W) images, ascending.
    image : (P,) int64 which image.
    face : (P,) int64 which face.
    corners : (P, 3) int64 vertex indices of the face.
    """

    size: tuple[int, int, int]
    pixel: torch.Tensor
    image: torch.Tensor
    face: torch.Tensor
    corners: torch.Tensor

    def scatter(self, values: torch.Tensor, background: float = 0.0) -> torch.Tensor:
        """Values (P, ...) at covered pixels into images (N, H, W, ...), ``background`` elsewhere."""
        n, h, w = self.size
        if len(self.pixel) == n * h * w:
            return values.view(n, h, w, *values.shape[1:])
        canvas = values.new_full((n * h * w, *values.shape[1:]), background)
        return canvas.index_copy(0, self.pixel, values).view(n, h, w, *values.shape[1:])


def fragments(face_ids: torch.Tensor, faces: torch.Tensor) -> Fragments:
    """Compact the face ids (N, H, W) of ``rasterize.face_ids`` for faces (F, 3)."""
    n, h, w = face_ids.shape
    flat = face_ids.reshape(-1)
    pixel = (flat >= 0).nonzero()[:, 0]
    face = flat[pixel]
    image = torch.div(pixel, h * w, rounding_mode="floor") if n > 1 else torch.zeros_like(pixel)
    return Fragments((n, h, w), pixel, image, face, faces.long().index_select(0, face))


def fragment_barycentrics(vertices_px: torch.Tensor, found: Fragments) -> torch.Tensor:
    """(P, 3) perspective-correct barycentrics at covered pixels, differentiable in ``vertices_px`` (N, V, 3)."""
    index = found.corners + found.image[:, None] * vertices_px.shape[1]  # (P, 3)
    corners = _gather(vertices_px.reshape(-1, 3), index)  # (P, 3, 3)
    _, h, w = found.size
    inside = found.pixel - found.image * (h * w)
    row = torch.div(inside, w, rounding_mode="floor")
    centre = torch.stack([inside - row * w, row], -1).to(vertices_px.dtype) + 0.5  # (P, 2)
    return _Barycentrics.apply(corners, centre)


def fragment_values(attributes: torch.Tensor, found: Fragments, barycentrics: torch.Tensor) -> torch.Tensor:
    """(P, C) attributes (N or 1, V, C) at covered pixels by their barycentrics (P, 3); differentiable in both."""
    index = found.corners if attributes.shape[0] == 1 else found.corners + found.image[:, None] * attributes.shape[1]
    corners = _gather(attributes.reshape(-1, attributes.shape[-1]), index)  # (P, 3, C)
    return (corners * barycentrics[..., None]).sum(1)


def barycentrics(vertices_px: torch.Tensor, faces: torch.Tensor, face_ids: torch.Tensor) -> torch.Tensor:
    """Perspective-correct barycentrics at pixel centres, differentiable in the vertices.

    b_i = (w_i / z_i) / sum_j (w_j / z_j) with w the barycentrics in the image plane.

    Parameters
    ----------
    vertices_px : (N, V, 3) x, y in pixels, z camera depth, as for ``rasterize.face_ids``.
    faces : (F, 3) int64. face_ids : (N, H, W) int64, -1 = empty.

    Returns
    -------
    (N, H, W, 3), rows sum to 1; zeros where empty.
    """
    found = fragments(face_ids, faces)
    return found.scatter(fragment_barycentrics(vertices_px, found))


def interpolate(
    attributes: torch.Tensor, faces: torch.Tensor, face_ids: torch.Tensor, barycentrics: torch.Tensor
) -> torch.Tensor:
    """Attributes at pixel centres, differentiable in attributes and barycentrics.

    Parameters
    ----------
    attributes : (N or 1, V, C) per vertex; one set serves the whole batch.
    faces : (F, 3) int64 into the attributes (for instance UV faces, when the attributes are UV coordinates).
    face_ids : (N, H, W) int64. barycentrics : (N, H, W, 3).

    Returns
    -------
    (N, H, W, C); zeros where empty.
    """
    found = fragments(face_ids, faces)
    weights = barycentrics.reshape(-1, 3)
    if len(found.pixel) != len(weights):
        weights = weights.index_select(0, found.pixel)
    return found.scatter(fragment_values(attributes, found, weights))


def depth(
    vertices_px: torch.Tensor, faces: torch.Tensor, face_ids: torch.Tensor, barycentrics: torch.Tensor
) -> torch.Tensor:
    """(N, H, W) camera depth at pixel centres, differentiable; zero where empty."""
    return interpolate(vertices_px[..., 2:], faces, face_ids, barycentrics)[..., 0]


class _Gather(torch.autograd.Function):
    """rows[index] with a gradient that sums rows up."""

    @staticmethod
    def forward(ctx, rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index)
        ctx.count = rows.shape[0]
        return rows.index_select(0, index.reshape(-1)).view(*index.shape, rows.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (index,) = ctx.saved_tensors
        channels = gradient.shape[-1]
        total = gradient.new_zeros(ctx.count, channels)
        total.index_add_(0, index.reshape(-1), gradient.reshape(-1, channels))
        return total, None


def _gather(rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return _Gather.apply(rows, index)


class _Barycentrics(torch.autograd.Function):
    """Perspective-correct barycentrics of pixel centres (P, 2) in triangles (P, 3, 3), by hand for speed.

    With d_i = v_i - p in the image: w_0 = d_1 x d_2 (cyclic), u_i = w_i / z_i, b_i = u_i / sum u.
    """

    @staticmethod
    def forward(ctx, corners: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        offset = corners[..., :2] - centre[:, None]  # (P, 3, 2)
        dx0, dx1, dx2 = offset[..., 0].unbind(-1)
        dy0, dy1, dy2 = offset[..., 1].unbind(-1)
        area = torch.stack([dx1 * dy2 - dy1 * dx2, dx2 * dy0 - dy2 * dx0, dx0 * dy1 - dy0 * dx1], -1)  # (P, 3)
        near = 1 / corners[..., 2]
        share = area * near
        total = share.sum(-1, keepdim=True)
        result = share / total
        ctx.save_for_backward(offset, near, total, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        offset, near, total, result = ctx.saved_tensors
        to_share = (gradient - (gradient * result).sum(-1, keepdim=True)) / total  # (P, 3)
        h0, h1, h2 = (to_share * near).unbind(-1)  # dL/dw
        dx0, dx1, dx2 = offset[..., 0].unbind(-1)
        dy0, dy1, dy2 = offset[..., 1].unbind(-1)
        to_x = torch.stack([h2 * dy1 - h1 * dy2, h0 * dy2 - h2 * dy0, h1 * dy0 - h0 * dy1], -1)
        to_y = torch.stack([h1 * dx2 - h2 * dx1, h2 * dx0 - h0 * dx2, h0 * dx1 - h1 * dx0], -1)
        to_z = -to_share * result * total * near  # du_i/dz_i = -u_i / z_i
        return torch.stack([to_x, to_y, to_z], -1), None
