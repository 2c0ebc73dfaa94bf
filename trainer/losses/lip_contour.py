"""The lips' contours in photos and on the mesh, and the loss between them: equation 7 of Mallikarjun et al. (2021).

A photo's contours are border pixels of its parsed lips. The line between the landmarks of the inner lips separates
upper and lower lip. Distances are computed between the two point sets directly; the paper's distance transforms contain
the same values, rounded to pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass

UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""MediaPipe landmarks along the inner lips, from the person's right corner to the left one."""
CONTOURS = ("upper_outer", "upper_inner", "lower_outer", "lower_inner")
_POINTS_PER_SEGMENT = 4
"""Points per segment of the mesh's contour."""


@dataclass(frozen=True)
class LipMasks:
    """upper, lower : (N, S, S) bool pixels of each lip; opening : (N, S, S) bool pixels visible between them."""

    upper: Tensor
    lower: Tensor
    opening: Tensor


def lip_masks(labels: Tensor, landmarks: Tensor) -> LipMasks:
    """Split the parsed lips (N, S, S) of ``FaceClass`` by landmarks (N, 478, 2) in pixels.

    A pixel belongs to the upper lip when it lies above the centre line of the inner lips, which is extended straight
    beyond the mouth's corners.
    """
    upper, lower = landmarks[:, list(UPPER_INNER)], landmarks[:, list(LOWER_INNER)]
    line = (upper + lower) / 2  # (N, 11, 2)
    along = functional.normalize(line[:, -1] - line[:, 0], dim=1, eps=1e-6)  # the person's right to left
    down = torch.stack([-along[:, 1], along[:, 0]], 1)
    origin = line[:, :1]
    size = labels.shape[-1]
    steps = torch.arange(size, device=labels.device, dtype=landmarks.dtype) + 0.5
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).view(1, -1, 2)

    def axes(points: Tensor) -> tuple[Tensor, Tensor]:
        relative = points - origin
        return (relative * along[:, None]).sum(-1), (relative * down[:, None]).sum(-1)

    line_x, line_y = axes(line)
    pixel_x, pixel_y = axes(grid.expand(len(labels), -1, -1))
    line_x = torch.cummax(line_x, 1).values  # make a line that turns back monotonic
    right = torch.searchsorted(line_x.contiguous(), pixel_x.contiguous()).clamp(1, line_x.shape[1] - 1)
    x0, x1 = line_x.gather(1, right - 1), line_x.gather(1, right)
    y0, y1 = line_y.gather(1, right - 1), line_y.gather(1, right)
    share = ((pixel_x - x0) / (x1 - x0).clamp(min=1e-3)).clamp(0, 1)
    above = (pixel_y < y0 + share * (y1 - y0)).view_as(labels)
    lips = labels == int(FaceClass.LIPS)
    return LipMasks(lips & above, lips & ~above, labels == int(FaceClass.MOUTH_INTERIOR))


@dataclass(frozen=True)
class PhotoContours:
    """Border pixels: points (N, 4, P, 2) in pixels in the order of ``CONTOURS``, known (N, 4, P) bool."""

    points: Tensor
    known: Tensor


def photo_contours(masks: LipMasks, most: int = 256) -> PhotoContours:
    """Find the pixels of each lip that touch the outside (outer), and the other lip or the opening (inner).

    At most ``most`` points each; longer contours are thinned evenly.
    """
    mouth = masks.upper | masks.lower | masks.opening
    found = []
    for lip, other in ((masks.upper, masks.lower), (masks.lower, masks.upper)):
        found += [lip & _dilated(~mouth), lip & _dilated(masks.opening | other)]
    border = torch.stack(found, 1).flatten(2)  # (N, 4, S * S)
    number = border.sum(-1)
    length = min(most, max(1, int(number.max())))
    rank = border.cumsum(-1) - 1
    slot = torch.where(number[..., None] > length, rank * length // number[..., None].clamp(min=1), rank)
    image, contour, pixel = border.nonzero().unbind(1)
    place = slot[image, contour, pixel]
    size = masks.upper.shape[-1]
    values = torch.stack([pixel % size, torch.div(pixel, size, rounding_mode="floor")], 1).float() + 0.5
    points = values.new_zeros(*border.shape[:2], length, 2)
    known = torch.zeros(points.shape[:3], dtype=torch.bool, device=points.device)
    points[image, contour, place] = values
    known[image, contour, place] = True
    return PhotoContours(points, known)


def _dilated(mask: Tensor) -> Tensor:
    """(N, S, S) bool: dilation of the mask by one pixel in four directions."""
    padded = functional.pad(mask.float()[:, None], (1, 1, 1, 1))
    cross = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]], device=mask.device)[None, None]
    return functional.conv2d(padded, cross)[:, 0] > 0.5


@dataclass(frozen=True)
class LipGrid:
    """The lips on the mesh.

    Attributes
    ----------
    upper, lower : (R, C) int64 vertices; columns from the mouth's right corner to the left one, rows from the mouth's
        inside to the skin. upper_border, lower_border : (C,) float32 the fractional row where the lip ends.
    """

    upper: Tensor
    lower: Tensor
    upper_border: Tensor
    lower_border: Tensor

    def to(self, device: torch.device) -> LipGrid:
        """Move to a device."""
        return LipGrid(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def mesh_contours(pixels: Tensor, grid: LipGrid) -> tuple[Tensor, ...]:
    """The four contours of projected meshes (N, V, 2 or 3), each (N, P, 2) in pixels, in the order of ``CONTOURS``.

    The outer ones are fixed on the mesh. The inner ones roll: in each column they are the lowest point of the upper lip
    and the highest point of the lower one, as seen from the camera.
    """
    contours = []
    corners = pixels[:, grid.upper[:, [0, -1]].flatten(), :2]
    along = functional.normalize(corners[:, 1::2].mean(1) - corners[:, 0::2].mean(1), dim=1, eps=1e-6)
    down = torch.stack([-along[:, 1], along[:, 0]], 1)  # (N, 2) down the face, in the picture
    for rows, border, sign in ((grid.upper, grid.upper_border, 1.0), (grid.lower, grid.lower_border, -1.0)):
        points = pixels[:, rows.flatten(), :2].unflatten(1, rows.shape)  # (N, R, C, 2)
        low = border.floor().long().clamp(max=rows.shape[0] - 2)
        share = (border - low).clamp(0, 1)[None, :, None]
        column = torch.arange(rows.shape[1], device=rows.device)
        outer = points[:, low, column] * (1 - share) + points[:, low + 1, column] * share
        with torch.no_grad():
            hanging = sign * (points * down[:, None, None]).sum(-1)  # (N, R, C)
            beyond = torch.arange(rows.shape[0], device=rows.device)[:, None] > border
            lowest = hanging.masked_fill(beyond, -torch.inf).argmax(1)  # (N, C)
        inner = points.gather(1, lowest[:, None, :, None].expand(-1, 1, -1, 2))[:, 0]
        contours += [_subdivided(outer), _subdivided(inner)]
    return tuple(contours)


def _subdivided(line: Tensor) -> Tensor:
    """(N, (C - 1) * 4 + 1, 2) points along lines (N, C, 2)."""
    share = (
        torch.arange(_POINTS_PER_SEGMENT, device=line.device, dtype=line.dtype)[None, None, :, None]
        / _POINTS_PER_SEGMENT
    )
    between = line[:, :-1, None] * (1 - share) + line[:, 1:, None] * share
    return torch.cat([between.flatten(1, 2), line[:, -1:]], 1)


def contour_error(mesh: tuple[Tensor, ...], photo: PhotoContours, size: int, threshold: float = 6.0) -> Tensor:
    """Equation 7, mean over the contours' points, in per cent of the picture's side (the second part squared).

    For each point of the mesh's contour its distance to the photo's, and for each pixel of the photo's contour the
    squared distance to the nearest point of the mesh's. Pairs farther apart than ``threshold`` per cent are ignored as
    label errors, as in the paper. A contour that is not visible in the photo counts zero.
    """
    scale = 100.0 / size
    total, count = photo.points.new_zeros(()), photo.points.new_zeros(())
    for number, line in enumerate(mesh):
        known = photo.known[:, number]  # (N, P)
        apart = (line[:, :, None] - photo.points[:, number, None]) * scale  # (N, M, P, 2)
        squared = apart.square().sum(-1)
        hidden = squared.masked_fill(~known[:, None], torch.inf)
        to_photo, to_mesh = hidden.amin(2), torch.where(known, squared.amin(1), torch.inf)
        for found, is_root in ((to_photo, True), (to_mesh, False)):
            near = found < threshold**2
            value = torch.where(near, found, 0.0)
            value = (value + 1e-4).sqrt() if is_root else value
            total = total + (value * near).sum() / near.sum().clamp(min=1)
            count = count + near.any()
    return total / count.clamp(min=1)
