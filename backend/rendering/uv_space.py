"""Rendering in UV space: face and barycentrics of each texel, and gutters around charts."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from backend.rendering.interpolate import fragment_barycentrics, fragments
from backend.rendering.rasterize import face_ids

_BLOCK = 1 << 19
"""Texels per step, to bound memory on 4 k maps."""


@dataclass(frozen=True)
class UvRaster:
    """A UV map rasterized into a square texture; row 0 is v = 1. Constant for a template, so keep it.

    Attributes
    ----------
    face_ids : (R, R) int32 index of the (UV) face of each texel centre, -1 outside all charts; where charts overlap
        the lowest index.
    barycentrics : (R, R, 3) float32, zero outside.
    """

    face_ids: np.ndarray
    barycentrics: np.ndarray

    @property
    def resolution(self) -> int:
        """Texels along a side."""
        return self.face_ids.shape[0]

    @property
    def covered(self) -> np.ndarray:
        """(R, R) bool, texels on a face."""
        return self.face_ids >= 0

    def interpolate(self, attributes: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """(R, R, C) float32 vertex attributes (V, C) at texels, by faces (F, 3) parallel to the UV faces; else zero."""
        attributes = np.asarray(attributes, np.float32)
        out = np.zeros((self.resolution**2, attributes.shape[1]), np.float32)
        ids, weights = self.face_ids.reshape(-1), self.barycentrics.reshape(-1, 3)
        covered = np.flatnonzero(ids >= 0)
        for start in range(0, len(covered), _BLOCK):
            texels = covered[start : start + _BLOCK]
            corners = np.asarray(faces)[ids[texels]]  # (B, 3)
            weight = weights[texels]
            total = attributes[corners[:, 0]] * weight[:, :1]
            total += attributes[corners[:, 1]] * weight[:, 1:2]
            total += attributes[corners[:, 2]] * weight[:, 2:]
            out[texels] = total
        return out.reshape(self.resolution, self.resolution, -1)


def rasterize_uv(uv: np.ndarray, uv_faces: np.ndarray, resolution: int) -> UvRaster:
    """Rasterize a UV map.

    Parameters
    ----------
    uv : (T, 2) in [0, 1], v up. uv_faces : (F, 3) indices into ``uv``. resolution : texels along a side.
    """
    points = np.ones((1, len(uv), 3), np.float32)
    points[0, :, 0] = uv[:, 0] * resolution
    points[0, :, 1] = (1 - uv[:, 1]) * resolution
    vertices, faces = torch.from_numpy(points), torch.from_numpy(np.array(uv_faces, np.int64))
    ids = face_ids(vertices, faces, (resolution, resolution))
    weights = np.zeros((resolution * resolution, 3), np.float32)
    rows = max(1, _BLOCK // resolution)
    for start in range(0, resolution, rows):
        found = fragments(ids[:, start : start + rows], faces)
        shifted = vertices - torch.tensor([0.0, float(start), 0.0])
        block = weights[start * resolution : (start + rows) * resolution]
        block[found.pixel.numpy()] = fragment_barycentrics(shifted, found).numpy()
    return UvRaster(ids[0].numpy().astype(np.int32), weights.reshape(resolution, resolution, 3))


def gutter_source(covered: np.ndarray, pixels: int | None = None) -> np.ndarray:
    """For every texel the flat index (H, W) int64 of the nearest covered texel (by chamfer distance, 2 % off at most);
    its own index where covered.

    covered : (H, W) bool. pixels : largest distance; texels further away keep their own index. None: no limit.
    """
    own = np.arange(covered.size).reshape(covered.shape)
    if covered.all() or not covered.any():
        return own
    away = (~covered).astype(np.uint8)
    distance, label = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    source = np.empty(label.max() + 1, np.int64)
    source[label[covered]] = own[covered]
    return source[label] if pixels is None else np.where(distance <= pixels, source[label], own)


def dilate(image: np.ndarray, covered: np.ndarray, pixels: int | None = None) -> np.ndarray:
    """Fill the gutter around charts with the nearest covered texel, against bleeding in bilinear lookups and mipmaps.

    image : (H, W) or (H, W, C). covered : (H, W) bool. pixels : width of the padding; None fills everything.
    """
    flat = image.reshape(covered.size, *image.shape[2:])
    return flat[gutter_source(covered, pixels).reshape(-1)].reshape(image.shape)
