"""Map texels to surface points, as compact arrays over the covered texels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numba import njit, prange

from backend.rendering.uv_space import rasterize_uv

_PIECE = 1 << 16  # texels; three float32 channels are 0.8 MB


def pieces(count: int) -> list[slice]:
    """Slices of ``count`` texels, small enough to stay in the processor's cache."""
    return [slice(first, first + _PIECE) for first in range(0, count, _PIECE)]


@dataclass(frozen=True)
class SurfaceAtlas:
    """The P covered texels of a UV map and their surface points; row 0 is the top (v = 1).

    Attributes
    ----------
    resolution : R, edge of the square texture.
    texel : (P,) int64 index into the flattened (R, R) texture, ascending.
    triangles : (F, 3) int32 mesh vertices. triangle : (P,) int32 index of the triangle under the texel's centre.
    barycentrics : (P, 3) float32, rows sum to 1.
    """

    resolution: int
    texel: np.ndarray
    triangles: np.ndarray
    triangle: np.ndarray
    barycentrics: np.ndarray

    def part(self, used: np.ndarray | slice) -> SurfaceAtlas:
        """Atlas of the ``used`` texels: ascending indices into (P,), or a slice."""
        return replace(self, texel=self.texel[used], triangle=self.triangle[used], barycentrics=self.barycentrics[used])

    def sample(self, attributes: np.ndarray) -> np.ndarray:
        """Interpolate vertex attributes (V, C) at the covered texels: (P, C) float32."""
        out = np.empty((len(self.texel), attributes.shape[1]), np.float32)
        values = np.ascontiguousarray(attributes, np.float32)
        _interpolate(values, self.triangles, self.triangle, self.barycentrics, out)
        return out

    def image(self, values: np.ndarray, background: float = 0.0) -> np.ndarray:
        """Texel values (P,) or (P, C) as an image (R, R) or (R, R, C), ``background`` elsewhere."""
        size = self.resolution
        canvas = np.full((size * size, *values.shape[1:]), background, values.dtype)
        canvas[self.texel] = values
        return canvas.reshape(size, size, *values.shape[1:])

    def gather(self, image: np.ndarray) -> np.ndarray:
        """Image values (R, R) or (R, R, C) at the covered texels: (P,) or (P, C)."""
        return image.reshape(self.resolution**2, *image.shape[2:])[self.texel]

    def gather_small(self, image: np.ndarray) -> np.ndarray:
        """``gather`` with linear interpolation from an image (S, S) of another size."""
        size = self.resolution
        if image.shape[0] != size:
            image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
        return self.gather(image)

    def splat(self, values: np.ndarray, weights: np.ndarray, vertex_count: int) -> tuple[np.ndarray, np.ndarray]:
        """Weighted mean of texel values (P, C) around each mesh vertex, and the summed weight (texels).

        Returns (V, C) float64 and (V,) float64; the mean is 0 where the weight is 0.
        """
        sums, total = np.zeros((vertex_count, values.shape[1])), np.zeros(vertex_count)
        weights = np.ascontiguousarray(weights)
        _gather_up(values, weights, self.triangles, self.triangle, self.barycentrics, sums, total)
        return sums / np.maximum(total, 1e-9)[:, None], total


@dataclass(frozen=True)
class UvChart:
    """A part of a UV map: ``uv`` (T, 2) v up, ``uv_triangles`` (F, 3) into it, and ``triangles`` (F, 3) into the mesh,
    with corresponding corners."""

    uv: np.ndarray
    uv_triangles: np.ndarray
    triangles: np.ndarray


def build_atlases(charts: Sequence[UvChart], resolution: int) -> list[SurfaceAtlas]:
    """Rasterize all charts of one UV map together; where charts overlap, the first gets the texel."""
    points = np.cumsum([0, *(len(chart.uv) for chart in charts)])
    faces = np.cumsum([0, *(len(chart.uv_triangles) for chart in charts)])
    uv_triangles = np.concatenate([chart.uv_triangles + first for chart, first in zip(charts, points, strict=False)])
    raster = rasterize_uv(np.concatenate([chart.uv for chart in charts]), uv_triangles, resolution)
    ids, weights = raster.face_ids.reshape(-1), raster.barycentrics.reshape(-1, 3)
    atlases = []
    for chart, first, stop in zip(charts, faces, faces[1:], strict=False):
        texel = np.flatnonzero((ids >= first) & (ids < stop))
        triangles = np.asarray(chart.triangles, np.int32)
        shares = np.clip(weights[texel], 0.0, 1.0)
        atlases.append(SurfaceAtlas(resolution, texel, triangles, ids[texel] - np.int32(first), shares))
    return atlases


@njit(cache=True, nogil=True)
def _gather_up(
    values: np.ndarray,
    weights: np.ndarray,
    triangles: np.ndarray,
    triangle: np.ndarray,
    barycentrics: np.ndarray,
    sums: np.ndarray,
    total: np.ndarray,
) -> None:
    for i in range(len(weights)):
        if weights[i] > 0:
            for k in range(3):
                share, vertex = barycentrics[i, k] * weights[i], triangles[triangle[i], k]
                total[vertex] += share
                for channel in range(values.shape[1]):
                    sums[vertex, channel] += share * values[i, channel]


@njit(cache=True, parallel=True, nogil=True)
def _interpolate(
    attributes: np.ndarray, triangles: np.ndarray, triangle: np.ndarray, weights: np.ndarray, out: np.ndarray
) -> None:
    channels = attributes.shape[1]
    for i in prange(len(triangle)):
        corners = triangles[triangle[i]]
        a, b, c = corners[0], corners[1], corners[2]
        for k in range(channels):
            out[i, k] = (
                weights[i, 0] * attributes[a, k] + weights[i, 1] * attributes[b, k] + weights[i, 2] * attributes[c, k]
            )
