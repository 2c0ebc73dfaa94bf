"""The head's surface in UV space: the subdivided mesh with its atlases, texels with their points, and filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from backend.geometry.subdivision import subdivide
from backend.geometry.template import Template, triangulate
from backend.geometry.vectors import area_vectors, disc, smoothstep
from backend.rendering.rasterize import gutter_source, texel_barycentrics, texel_faces
from backend.rig.measure import face_loops
from backend.system.numba_cache import njit, prange
from protocol.names import ARKIT_INDEX

_PIECE = 1 << 16  # texels; three float32 channels are 0.8 MB, which stay in the processor's cache


@dataclass(frozen=True)
class SurfaceAtlas:
    """The P covered texels of a UV map and their surface points; row 0 is the top (v = 1).

    Attributes
    ----------
    resolution : R, edge of the square texture.
    texel : (P,) int32 index into the flattened (R, R) texture, ascending.
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
        """``gather`` with linear interpolation from an image (S, S) or (S, S, C) of another size."""
        values = np.empty((len(self.texel), *image.shape[2:]), image.dtype)
        for piece in self.bands():
            texel = self.texel[piece]
            first, last = int(texel[0]) // self.resolution, int(texel[-1]) // self.resolution + 1
            rows = enlarged(image, self.resolution, first, last)
            values[piece] = rows.reshape(-1, *image.shape[2:])[texel - first * self.resolution]
        return values

    def touching(self, vertices: np.ndarray) -> np.ndarray:
        """Ascending numbers of the texels in triangles with one of the ``vertices``, (V,) bool."""
        return np.flatnonzero(vertices[self.triangles].any(1)[self.triangle])

    def bands(self) -> list[slice]:
        """Slices of the texels, each of some whole rows of the square and small enough for the processor's cache."""
        rows = max(1, _PIECE // self.resolution) * self.resolution
        cuts = np.searchsorted(self.texel, np.arange(0, self.resolution**2 + rows, rows))
        return [slice(first, last) for first, last in pairwise(cuts) if first < last]

    def across(self) -> np.ndarray:
        """(P,) int32 number of the texel at each one's mirror image, -1 where none is; of whole rows."""
        size, first = self.resolution, self.texel[0] // self.resolution * self.resolution
        own = self.texel - first
        places = np.full(own[-1] // size * size + size, -1, np.int32)
        places[own] = np.arange(len(own), dtype=np.int32)
        return places[own + (size - 1 - 2 * (own % size))]

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
    uv = np.concatenate([chart.uv for chart in charts])
    face_of, atlases = texel_faces(uv, uv_triangles, resolution), []
    for chart, first, stop in zip(charts, faces, faces[1:], strict=False):
        texel = np.flatnonzero((face_of >= first) & (face_of < stop)).astype(np.int32)
        triangle = face_of[texel]
        shares = texel_barycentrics(uv, uv_triangles, resolution, texel, triangle)
        np.clip(shares, 0.0, 1.0, out=shares)
        triangle -= np.int32(first)
        atlases.append(SurfaceAtlas(resolution, texel, np.asarray(chart.triangles, np.int32), triangle, shares))
    return atlases


@njit(cache=True, nogil=True)
def _gather_up(values, weights, triangles, triangle, barycentrics, sums, total):
    for i in range(len(weights)):
        if weights[i] > 0:
            for k in range(3):
                share, vertex = barycentrics[i, k] * weights[i], triangles[triangle[i], k]
                total[vertex] += share
                for channel in range(values.shape[1]):
                    sums[vertex, channel] += share * values[i, channel]


@njit(cache=True)
def value_at(values: np.ndarray, corners: np.ndarray, shares: np.ndarray, channel: int) -> np.float32:
    """One channel of vertex values (V, C) at a point of a triangle, its corners and barycentrics (3,); in compiled
    loops."""
    first, second = shares[0] * values[corners[0], channel], shares[1] * values[corners[1], channel]
    return first + second + shares[2] * values[corners[2], channel]


@njit(cache=True)
def values_at(values: np.ndarray, corners: np.ndarray, shares: np.ndarray, first: int) -> tuple[float, float, float]:
    """Three channels from the ``first``, as ``value_at``."""
    return (
        value_at(values, corners, shares, first),
        value_at(values, corners, shares, first + 1),
        value_at(values, corners, shares, first + 2),
    )


@njit(cache=True, parallel=True, nogil=True)
def _interpolate(attributes, triangles, triangle, weights, out):
    for i in prange(len(triangle)):
        corners, shares = triangles[triangle[i]], weights[i]
        for k in range(attributes.shape[1]):
            out[i, k] = value_at(attributes, corners, shares, k)


LEVEL = 1


@dataclass(frozen=True)
class HeadSurface:
    """The head without the other parts; its cage has C vertices, the subdivided mesh V.

    Attributes
    ----------
    count : C. cage_triangles : (F0, 3).
    lift : (V, C) sparse; ``lift @ cage`` subdivides positions and scalars.
    triangles : (F, 3); uv : (T, 2); uv_triangles : (F, 3) corner by corner.
    main : (F,) bool, triangles of the face's own chart, which is symmetric in UV; False for the other charts (mouth,
        eye sockets, front of the neck).
    mirror : (C,) cage vertex on the other side.
    regions : name -> (V,) float32.
    """

    count: int
    cage_triangles: np.ndarray
    lift: sparse.csr_matrix
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    main: np.ndarray
    mirror: np.ndarray
    regions: Mapping[str, np.ndarray]

    def lifted(self, cage: np.ndarray) -> np.ndarray:
        """(V, C') subdivided values of cage values (C, C')."""
        return self.lift @ cage

    def at_cage(self, atlas: SurfaceAtlas, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(C, K) weighted mean around the cage's vertices of values (P, K) at an atlas's texels, and (C,) the summed
        weight (texels); weights (P,)."""
        mean, total = atlas.splat(values, weights, self.lift.shape[0])  # (V, K), (V,)
        weight = self.lift.T @ total
        return (self.lift.T @ (mean * total[:, None])) / np.maximum(weight, 1e-9)[:, None], weight


def relative_weight(weights: np.ndarray) -> np.ndarray:
    """(C,) summed weights (C,) over their usual value, the median of those above 0, at most 1."""
    seen = weights[weights > 0]
    return np.clip(weights / (np.median(seen) if len(seen) else 1.0), 0.0, 1.0)


@dataclass(frozen=True)
class TextureSpace:
    """Atlases of a ``HeadSurface`` at one texture size.

    Attributes
    ----------
    skin : atlas of the face's own chart. inner : atlas of the head's other charts. parts : part name -> atlas (cage
    vertices of the whole template) of eyes, teeth, tongue and lashes. gutter : (R * R,) int32, for every texel the flat
    index of the covered texel whose colour it copies; its own index where covered.
    """

    skin: SurfaceAtlas
    inner: SurfaceAtlas
    parts: Mapping[str, SurfaceAtlas]
    gutter: np.ndarray


@lru_cache(maxsize=1)
def head_surface(template: Template) -> HeadSurface:
    """Static data of the head; cached per template."""
    head = template.head
    fine = subdivide(template, LEVEL)
    part = fine.parts["head"]
    split = triangulate(fine.quads[part.face_start : part.face_stop])
    uv_quads = fine.uv_head_quads[part.face_start : part.face_stop]
    uv_triangles = split.apply(uv_quads)
    lift = fine.matrix[: part.vertex_stop, : head.vertex_stop].tocsr()
    return HeadSurface(
        count=head.vertex_stop,
        cage_triangles=triangulate(template.quads[: head.face_stop]).faces,
        lift=lift,
        triangles=split.faces,
        uv=fine.uv_head,
        uv_triangles=uv_triangles,
        main=_largest_chart(uv_triangles, len(fine.uv_head)),
        mirror=template.mirror[: head.vertex_stop],
        regions=_regions(template, lift),
    )


_STRETCH_STEP = (1.35, 2.0)
"""Ratio of edge lengths, closed eye over open eye: up to the first value a photo of an open eye shows the skin, from
the second on hairs and shadows, at a grazing angle, which a blink would stretch to three times their height."""
_LID_LOOPS = slice(1, 9)  # edge loops, counted outwards from the lid margin: the lid's own skin, below the brow


def lid_folds(template: Template) -> np.ndarray:
    """(C,) mask in [0, 1] on the head's vertices, how far a blink unfolds the skin of the upper lids."""
    folded = np.zeros(template.head.vertex_stop)
    for eye, side in enumerate(("Left", "Right")):
        loops = face_loops(template).eyes[eye]
        grid = loops.rows[loops.margin :, loops.upper]
        blink = template.expressions[ARKIT_INDEX[f"eyeBlink{side}"]]
        open_eye, shut = template.vertices[grid], template.vertices[grid] + blink[grid]
        lengths = [np.linalg.norm(np.diff(points, axis=0), axis=2) for points in (shut, open_eye)]
        stretch = lengths[0] / np.maximum(lengths[1], 1e-6)  # (R - 1, 13)
        at_vertex = np.maximum(np.pad(stretch, ((1, 0), (0, 0))), np.pad(stretch, ((0, 1), (0, 0))))
        folded[grid[_LID_LOOPS]] = smoothstep(*_STRETCH_STEP, at_vertex[_LID_LOOPS])
    return folded


def _regions(template: Template, lift: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Region masks on the subdivided head, with ``lid_folds``; masks without a side are made symmetric."""
    stop = template.head.vertex_stop
    masks = {"lid_folds": lift @ lid_folds(template)}
    for name, mask in template.regions.items():
        if not name.endswith(("_left", "_right")):
            mask = np.maximum(mask, mask[template.mirror])
        masks[name] = lift @ mask[:stop]
    return masks


def _largest_chart(uv_triangles: np.ndarray, count: int) -> np.ndarray:
    rows, columns = uv_triangles[:, [0, 1, 2]].ravel(), uv_triangles[:, [1, 2, 0]].ravel()
    graph = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count))
    label = connected_components(graph, directed=False)[1][uv_triangles[:, 0]]
    return label == np.bincount(label).argmax()


@lru_cache(maxsize=3)
def texture_space(template: Template, resolution: int) -> TextureSpace:
    """Atlases at a texture size; the last three sizes are cached, as many as a head takes."""
    surface = head_surface(template)
    charts = [
        UvChart(surface.uv, surface.uv_triangles[own], surface.triangles[own]) for own in (surface.main, ~surface.main)
    ]
    names = [name for name in template.parts if name != "head"]
    for name in names:
        part = template.parts[name]
        split = triangulate(template.quads[part.face_start : part.face_stop])
        uv_triangles = split.apply(template.uv_head_quads[part.face_start : part.face_stop])
        charts.append(UvChart(template.uv_head, uv_triangles, split.faces))
    skin, inner, *others = build_atlases(charts, resolution)
    parts = dict(zip(names, others, strict=True))
    covered = np.zeros(resolution**2, bool)
    for atlas in (skin, inner, *parts.values()):
        covered[atlas.texel] = True
    gutter = gutter_source(covered.reshape(resolution, resolution)).ravel()
    return TextureSpace(skin, inner, parts, gutter)


def texels_per_metre(surface: HeadSurface, positions: np.ndarray, resolution: int) -> float:
    """Median texels per metre over the face; positions (V, 3) metres."""
    faces = np.flatnonzero(surface.main & (surface.regions["face"][surface.triangles].mean(1) > 0.5))
    area = np.linalg.norm(area_vectors(positions, surface.triangles[faces]), axis=1)
    on_map = np.pad(surface.uv * resolution, ((0, 0), (0, 1)))
    map_area = np.linalg.norm(area_vectors(on_map, surface.uv_triangles[faces]), axis=1)
    return float(np.sqrt(np.median(map_area / np.maximum(area, 1e-12))))


def channel_mean(image: np.ndarray) -> np.ndarray:
    """Mean over the last axis of three channels; several times as fast as ``mean(-1)``."""
    return (image[..., 0] + image[..., 1] + image[..., 2]) * np.float32(1 / 3)


def masked_lowpass(values: np.ndarray, weights: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian mean of the weighted pixels (normalised convolution, Knutsson and Westin 1993).

    Parameters
    ----------
    values : (H, W, C) float32; weights : (H, W) float32, 0 where the value is undefined; sigma : pixels.

    Returns
    -------
    mean : (H, W, C) float32, 0 where no weight is near; support : (H, W) float32, the blurred weights.
    """
    step = 1
    while sigma / (2 * step) >= 3.0 and min(weights.shape) // (2 * step) >= 16:
        step *= 2
    stacked = np.empty((*weights.shape, values.shape[2] + 1), np.float32)
    _weigh(values, weights, stacked)
    height, width = weights.shape
    small = stacked if step == 1 else cv2.resize(stacked, (width // step, height // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_CONSTANT)
    if step > 1:
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    mean, support = np.empty(values.shape, np.float32), np.empty(weights.shape, np.float32)
    _normalise(small, mean, support)
    return mean, support


@njit(cache=True, parallel=True, nogil=True)
def _weigh(values, weights, stacked):
    for i in prange(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                stacked[i, j, k] = values[i, j, k] * weights[i, j]
            stacked[i, j, values.shape[2]] = weights[i, j]


@njit(cache=True, parallel=True, nogil=True)
def _normalise(stacked, mean, support):
    for i in prange(mean.shape[0]):
        for j in range(mean.shape[1]):
            weight = stacked[i, j, mean.shape[2]]
            support[i, j] = weight
            for k in range(mean.shape[2]):
                mean[i, j, k] = stacked[i, j, k] / weight if weight > np.float32(1e-6) else np.float32(0.0)


def grown(mask: np.ndarray, radius: int, gap: int) -> np.ndarray:
    """Close gaps of ``gap`` pixels in a soft mask (S, S), dilate it by ``radius`` and blur it."""
    steps = np.round(mask * 255.0).astype(np.uint8)  # bytes are several times as fast
    for operation, size in ((cv2.MORPH_CLOSE, gap), (cv2.MORPH_DILATE, radius)):
        if size > 0:
            steps = cv2.morphologyEx(steps, operation, disc(size))
    return cv2.GaussianBlur(steps.astype(np.float32) / np.float32(255.0), (0, 0), max(radius, 1) * 0.7)


def enlarged(image: np.ndarray, size: int, first: int = 0, last: int | None = None) -> np.ndarray:
    """Resize an image (S, S) or (S, S, C) to ``size``, linearly; its rows from ``first`` to before ``last``."""
    ratio, last = size // image.shape[0], size if last is None else last
    if image.shape[0] == size or size % image.shape[0]:
        whole = image if image.shape[0] == size else cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
        return whole[first:last]
    top = max(first // ratio - 1, 0)  # each row comes of two; what is at the band's edge is not used
    band = image[top : -(-last // ratio) + 1]
    rows = cv2.resize(band, (size, len(band) * ratio), interpolation=cv2.INTER_LINEAR)
    return rows[first - top * ratio : last - top * ratio]
