"""Barycentrics, depth and attributes at the pixels of a rasterized mesh, differentiable, and bilinear samples of
pictures.

One implementation for all rasterizers, so that gradients do not depend on the rasterizer. Everything is computed only
at covered pixels (``Fragments``); ``Fragments.scatter`` turns the result into images. Pixel centres are at i + 0.5;
beyond a picture's border its pixels are repeated.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor
from torch.nn.functional import grid_sample

from backend.system.numba_cache import njit

_CHANNELS = 4
"""Channels that OpenCV samples at once."""
_ROW = 2048
"""Points in a row of OpenCV's maps, which must have less than 32,768 columns."""


def sample_image(
    image: np.ndarray, points: np.ndarray, interpolation: int = cv2.INTER_LINEAR, outside: float | None = None
) -> np.ndarray:
    """Sample an image (H, W) or (H, W, C), uint8 or float32, at points (P, 2); (P,) or (P, C) of its type.

    OpenCV's, fast; points are rounded to a 32nd of a pixel. ``outside`` : value beyond the border instead of its
    pixels.
    """
    if image.ndim == 3 and image.shape[2] > _CHANNELS:
        parts = (np.ascontiguousarray(image[..., k : k + _CHANNELS]) for k in range(0, image.shape[2], _CHANNELS))
        return np.concatenate([sample_image(part, points, interpolation, outside) for part in parts], -1)
    count = len(points)
    grid = np.empty((-(-count // _ROW) * _ROW, 2), np.float32)
    np.subtract(points, 0.5, out=grid[:count], casting="same_kind")
    grid[count:] = 0.0
    border = {"borderMode": cv2.BORDER_REPLICATE}
    if outside is not None:
        border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": outside}
    sampled = cv2.remap(image, grid.reshape(-1, _ROW, 2), None, interpolation, **border) if count else image[:0, 0]
    return sampled.reshape(-1, *image.shape[2:])[:count]


_STEPS = 32
"""Of a pixel: OpenCV's samples have weights for so many points across."""
_WHOLE = 1 << 15
"""Sum of OpenCV's weights of bytes, which are whole numbers."""


@njit(cache=True)
def bilinear(image: np.ndarray, x: np.float32, y: np.float32, channel: int) -> np.float32:
    """One channel of a float32 image (H, W, C) at a point, in ``dense`` loops; equal to ``sample_image`` to the bit."""
    across = np.int32(round((x - np.float32(0.5)) * np.float32(_STEPS)))
    down = np.int32(round((y - np.float32(0.5)) * np.float32(_STEPS)))
    right, below = across >> 5, down >> 5
    u = np.float32(across & 31) * np.float32(1.0 / _STEPS)
    v = np.float32(down & 31) * np.float32(1.0 / _STEPS)
    x0, x1 = min(max(right, 0), image.shape[1] - 1), min(max(right + 1, 0), image.shape[1] - 1)
    y0, y1 = min(max(below, 0), image.shape[0] - 1), min(max(below + 1, 0), image.shape[0] - 1)
    rest_u, rest_v = np.float32(1.0) - u, np.float32(1.0) - v
    upper = image[y0, x0, channel] * (rest_v * rest_u) + image[y0, x1, channel] * (rest_v * u)
    return upper + image[y1, x0, channel] * (v * rest_u) + image[y1, x1, channel] * (v * u)


@cache
def byte_taps(interpolation: int) -> np.ndarray:
    """(32, 32, 4, 4) int32 weights of the pixels around a point of an image of bytes, by its place in its pixel (down,
    across), for ``sampled_bytes``: OpenCV's, linear or cubic."""
    t = np.arange(_STEPS, dtype=np.float32) / np.float32(_STEPS)
    one, zero = np.float32(1.0), np.zeros_like(t)
    if interpolation == cv2.INTER_LINEAR:
        line = np.stack([zero, one - t, t, zero], 1)
    else:
        a = np.float32(-0.75)
        first = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a
        second = ((a + 2) * t - (a + 3)) * t * t + 1
        third = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1
        line = np.stack([first, second, third, one - first - second - third], 1)
    weights = np.rint(line[:, None, :, None] * line[None, :, None, :] * np.float32(_WHOLE)).astype(np.int32)
    excess = weights.sum((2, 3)).ravel() - _WHOLE  # taken from a neighbour, the heaviest or the lightest
    near = weights[:, :, 2:, 2:].reshape(-1, 4)
    near[np.arange(len(near)), np.where(excess < 0, near.argmax(1), near.argmin(1))] -= excess
    weights[:, :, 2:, 2:] = near.reshape(_STEPS, _STEPS, 2, 2)
    return weights


@njit(cache=True)
def sampled_bytes(image: np.ndarray, taps: np.ndarray, x: np.float32, y: np.float32) -> tuple[int, int, int]:
    """The three channels of an image (H, W, 3) of bytes at a point, in ``dense`` loops, with ``byte_taps``; equal to
    ``sample_image`` to the bit."""
    across = np.int32(round((x - np.float32(0.5)) * np.float32(_STEPS)))
    down = np.int32(round((y - np.float32(0.5)) * np.float32(_STEPS)))
    left, top, u, v = (across >> 5) - 1, (down >> 5) - 1, across & 31, down & 31
    height, width = image.shape[0], image.shape[1]
    within = left >= 0 and top >= 0 and left + 3 < width and top + 3 < height
    red, green, blue = _WHOLE >> 1, _WHOLE >> 1, _WHOLE >> 1
    for row in range(4):
        py = top + row if within else min(max(top + row, 0), height - 1)
        for column in range(4):
            px = left + column if within else min(max(left + column, 0), width - 1)
            weight = taps[v, u, row, column]
            red += weight * image[py, px, 0]
            green += weight * image[py, px, 1]
            blue += weight * image[py, px, 2]
    return min(max(red >> 15, 0), 255), min(max(green >> 15, 0), 255), min(max(blue >> 15, 0), 255)


def sample_exactly(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sample an image (H, W) or (H, W, C) at points (..., 2), as they are; (...) or (..., C) of its type."""
    at = np.moveaxis(points[..., ::-1], -1, 0) - 0.5
    if image.ndim == 2:
        return map_coordinates(image, at, order=1, mode="nearest")
    return np.stack([map_coordinates(image[..., c], at, order=1, mode="nearest") for c in range(image.shape[-1])], -1)


def sample_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Sample a texture (H, W, C) at UV coordinates (..., 2), v up; (..., C)."""
    height, width = texture.shape[:2]
    return sample_exactly(texture, np.stack([uv[..., 0] * width, (1 - uv[..., 1]) * height], -1))


def sample_points(pictures: Tensor, grid: Tensor, padding: str = "border") -> Tensor:
    """Sample pictures (N, C, H, W) at points (N, P, 2), -1 and 1 at the borders; (N, P, C). ``padding``: see
    ``grid_sample``."""
    return grid_sample(pictures, grid[:, None], padding_mode=padding, align_corners=False)[:, :, 0].transpose(1, 2)


SLIVER_AREA = 1e-4
"""Square pixels: smaller faces are edge-on. Their pixels get the mean of the corners and no gradient, because it would
grow with the inverse of their area."""


@dataclass(frozen=True)
class Fragments:
    """The covered pixels of a batch of images, P in all.

    Attributes
    ----------
    size : (N, H, W) of the batch.
    pixel : (P,) int64 index into the flattened (N*H*W) images, ascending.
    image : (P,) int64 index of the image.
    face : (P,) int64 index of the face.
    corners : (P, 3) int32 vertex indices of the face (stored by corner, which is faster to gather with).
    """

    size: tuple[int, int, int]
    pixel: torch.Tensor
    image: torch.Tensor
    face: torch.Tensor
    corners: torch.Tensor

    def scatter(self, values: torch.Tensor, background: float = 0.0) -> torch.Tensor:
        """Write values (P, ...) at covered pixels into images (N, H, W, ...), ``background`` elsewhere."""
        n, h, w = self.size
        if len(self.pixel) == n * h * w:
            return values.reshape(n, h, w, *values.shape[1:])
        canvas = values.new_full((n * h * w, *values.shape[1:]), background)
        return canvas.index_copy_(0, self.pixel, values).view(n, h, w, *values.shape[1:])

    def gather(self, images: torch.Tensor) -> torch.Tensor:
        """The covered pixels (P, ...) of images (N, H, W, ...)."""
        n, h, w = self.size
        return images.reshape(n * h * w, *images.shape[3:]).index_select(0, self.pixel)

    def rows(self, count: int, batch: int) -> torch.Tensor:
        """(3, P) int32 rows of the corners in attributes (batch, count, ...) flattened to (batch * count, ...)."""
        planes = self.corners.t()
        return planes if batch == 1 else planes + (self.image * count).int()


def fragments(face_ids: torch.Tensor, faces: torch.Tensor) -> Fragments:
    """Compact the face ids (N, H, W) of ``rasterize.face_ids`` for faces (F, 3)."""
    n, h, w = face_ids.shape
    flat = face_ids.reshape(-1)
    pixel = (flat >= 0).nonzero()[:, 0]
    face = flat.index_select(0, pixel)
    image = torch.div(pixel, h * w, rounding_mode="floor") if n > 1 else torch.zeros_like(pixel)
    corners = faces.t().int().contiguous().index_select(1, face).t()
    return Fragments((n, h, w), pixel, image, face, corners)


def fragment_barycentrics(vertices_px: torch.Tensor, found: Fragments) -> torch.Tensor:
    """(P, 3) perspective-correct barycentrics at covered pixels' centres, differentiable in ``vertices_px``.

    b_i = (w_i / z_i) / sum_j (w_j / z_j) with w the barycentrics in the image plane; rows sum to 1.
    ``vertices_px`` (N, V, 3): x, y in pixels, z camera depth, as for ``rasterize.face_ids``.
    """
    n, count, _ = vertices_px.shape
    _, height, width = found.size
    row = torch.div(found.pixel, width, rounding_mode="floor")
    x = (found.pixel - row * width).to(vertices_px.dtype) + 0.5
    y = (row - found.image * height).to(vertices_px.dtype) + 0.5
    corners = [vertices_px.reshape(-1, 3).index_select(0, rows) for rows in found.rows(count, n)]
    (ax, ay), (bx, by), (cx, cy) = ((corner[:, 0] - x, corner[:, 1] - y) for corner in corners)
    share = torch.stack([bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx], 1)
    sliver = share.sum(1, keepdim=True).abs() < SLIVER_AREA
    share = share / torch.stack([corner[:, 2] for corner in corners], 1)
    return torch.where(sliver, 1 / 3, share / torch.where(sliver, 1.0, share.sum(1, keepdim=True)))


def fragment_values(attributes: torch.Tensor, found: Fragments, barycentrics: torch.Tensor) -> torch.Tensor:
    """(P, C) attributes (N or 1, V, C) at covered pixels by their barycentrics (P, 3); differentiable in both.

    One set of attributes can serve the whole batch. Attributes are indexed by the corners of ``found``; for other
    faces, such as UV faces, make ``fragments`` of these.
    """
    n, count, channels = attributes.shape
    flat, rows = attributes.reshape(-1, channels), found.rows(count, n)
    return sum(flat.index_select(0, corner) * barycentrics[:, k : k + 1] for k, corner in enumerate(rows))
