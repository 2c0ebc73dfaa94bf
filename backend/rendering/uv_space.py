"""Rendering in UV space: face and barycentrics of each texel, and gutters around charts."""

import cv2
import numpy as np
import torch

from backend.rendering.interpolate import Fragments, fragment_barycentrics
from backend.rendering.rasterize import face_ids

_BLOCK = 1 << 19
"""Texels per step, to bound memory on 4 k maps."""


def texel_faces(uv: np.ndarray, uv_faces: np.ndarray, resolution: int) -> np.ndarray:
    """(R * R,) int32 face under the centre of each texel of a square texture, row 0 is v = 1; -1 outside all charts,
    the lowest index where they overlap.

    uv : (T, 2) in [0, 1], v up. uv_faces : (F, 3) indices into ``uv``. resolution : R, texels along a side.
    """
    points, faces = _texel_places(uv, resolution), torch.from_numpy(np.array(uv_faces, np.int64))
    return face_ids(points, faces, (resolution, resolution)).numpy().ravel().astype(np.int32)


def texel_barycentrics(
    uv: np.ndarray, uv_faces: np.ndarray, resolution: int, texel: np.ndarray, face: np.ndarray
) -> np.ndarray:
    """(P, 3) float32 barycentrics of the centres of texels (P,), flat indices, ascending, in their faces (P,) of
    ``texel_faces``."""
    points, corners = _texel_places(uv, resolution), torch.from_numpy(np.array(uv_faces, np.int32))
    weights = np.empty((len(texel), 3), np.float32)
    rows = max(1, _BLOCK // resolution)
    for start in range(0, resolution, rows):
        block = slice(*np.searchsorted(texel, [start * resolution, (start + rows) * resolution]))
        pixel, ids = torch.from_numpy(texel[block] - start * resolution), torch.from_numpy(face[block].astype(np.int64))
        size = (1, rows, resolution)
        found = Fragments(size, pixel, torch.zeros_like(pixel), ids, corners.t().contiguous().index_select(1, ids).t())
        shifted = points - torch.tensor([0.0, float(start), 0.0])
        weights[block] = fragment_barycentrics(shifted, found).numpy()
    return weights


def _texel_places(uv: np.ndarray, resolution: int) -> torch.Tensor:
    points = np.ones((1, len(uv), 3), np.float32)
    points[0, :, 0] = uv[:, 0] * resolution
    points[0, :, 1] = (1 - uv[:, 1]) * resolution
    return torch.from_numpy(points)


def gutter_source(covered: np.ndarray, pixels: int | None = None) -> np.ndarray:
    """For every texel the flat index (H, W) int32 of the nearest covered texel (by chamfer distance, 2 % off at most);
    its own index where covered.

    covered : (H, W) bool. pixels : largest distance; texels further away keep their own index. None: no limit.
    """
    own = np.arange(covered.size, dtype=np.int32).reshape(covered.shape)
    if covered.all() or not covered.any():
        return own
    away = (~covered).astype(np.uint8)
    distance, label = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    source = np.empty(label.max() + 1, np.int32)
    source[label[covered]] = own[covered]
    return source[label] if pixels is None else np.where(distance <= pixels, source[label], own)


def dilate(image: np.ndarray, covered: np.ndarray, pixels: int | None = None) -> np.ndarray:
    """Fill the gutter around charts with the nearest covered texel, against bleeding in bilinear lookups and mipmaps.

    image : (H, W) or (H, W, C). covered : (H, W) bool. pixels : width of the padding; None fills everything.
    """
    flat = image.reshape(covered.size, *image.shape[2:])
    return flat[gutter_source(covered, pixels).reshape(-1)].reshape(image.shape)
