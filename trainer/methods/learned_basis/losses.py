"""Losses of the learned face model (Mallikarjun et al., CVPR 2021, section 3.5), and our terms against truth.

All are means, so that weights do not depend on batch, picture or mesh size; the paper uses sums. Lengths in pictures
are in per cent of the side, on the face in millimetres. Equation 7 compares the lips' contours, border pixels of the
parsed lips and of the mesh, as point sets directly; the paper's distance transforms hold the same values, rounded to
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass
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
    for feature, wanted in zip(rendered, photos, strict=True):
        cosine = torch.nn.functional.cosine_similarity(feature.flatten(1), wanted.flatten(1), dim=1, eps=1e-6)
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
    offset = (points[..., :2] - truth[..., :2]) * (100.0 / size)
    extent = truth[..., :2].flatten(1).std(1) / truth[..., 2].flatten(1).std(1).clamp(min=1e-6)  # pixels per metre
    depth = points[..., 2] - points[..., 2].mean(1, keepdim=True)
    wanted = truth[..., 2] - truth[..., 2].mean(1, keepdim=True)
    along = (depth - wanted) * (0.5 * extent[:, None] * (100.0 / size))
    return (offset.square().sum(-1) + along.square() + 1e-4).sqrt().mean()


def light_error(light: Tensor, truth: Tensor, normals: Tensor) -> Tensor:
    """Mean absolute difference of the shading by two lights (N, 9, C) at a face's unit normals (P, 3)."""
    return torch.einsum("pk,nkc->npc", harmonics(normals), light - truth).abs().mean()


UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""MediaPipe landmarks along the inner lips, from the person's right corner to the left one."""
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
    contours = []
    for lip, other in ((masks.upper, masks.lower), (masks.lower, masks.upper)):
        contours += [lip & _dilated(~mouth), lip & _dilated(masks.opening | other)]
    border = torch.stack(contours, 1).flatten(2)  # (N, 4, S * S)
    number = border.sum(-1)
    length = min(most, max(1, int(number.max())))
    rank = border.cumsum(-1) - 1
    slot = torch.where(number[..., None] > length, rank * length // number[..., None].clamp(min=1), rank)
    image, contour, pixel = border.nonzero().unbind(1)
    row = slot[image, contour, pixel]
    size = masks.upper.shape[-1]
    values = torch.stack([pixel % size, torch.div(pixel, size, rounding_mode="floor")], 1).float() + 0.5
    points = values.new_zeros(*border.shape[:2], length, 2)
    known = torch.zeros(points.shape[:3], dtype=torch.bool, device=points.device)
    points[image, contour, row] = values
    known[image, contour, row] = True
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
    steps = torch.arange(_POINTS_PER_SEGMENT, device=line.device, dtype=line.dtype)
    share = steps[None, None, :, None] / _POINTS_PER_SEGMENT
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
        for distances, is_root in ((to_photo, True), (to_mesh, False)):
            near = distances < threshold**2
            value = torch.where(near, distances, 0.0)
            value = (value + 1e-4).sqrt() if is_root else value
            total = total + (value * near).sum() / near.sum().clamp(min=1)
            count = count + near.any()
    return total / count.clamp(min=1)
