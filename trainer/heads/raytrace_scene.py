"""A bounding-volume hierarchy over triangles, and ray queries against it (numba).

The ray tracer's scene: a surface with its material, and its lighting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backend.geometry.normals import vertex_normals
from backend.system.numba_cache import numba

LEAF_SIZE = 4
STACK_SIZE = 64
NO_HIT_DISTANCE = np.float32(1e30)


@dataclass(frozen=True)
class Bvh:
    """Nodes in depth-first order.

    Attributes
    ----------
    bounds : (N, 6) float32, minimum x y z, then maximum x y z.
    links : (N, 2) int32. Inner node: (index of the second child, 0); the first child follows its parent. Leaf: (first
        triangle, number of triangles).
    corners : (F, 3, 3) triangle corner positions in the hierarchy's order: first corner, then the two edges from it.
        float32 for rays, float32 or float64 for closest points.
    face_order : (F,) int32, original face index of every triangle in ``corners``.
    """

    bounds: np.ndarray
    links: np.ndarray
    corners: np.ndarray
    face_order: np.ndarray


def build_bvh(vertices: np.ndarray, faces: np.ndarray, dtype: type = np.float32) -> Bvh:
    """Build the hierarchy over triangles ``faces`` (F, 3) of ``vertices`` (V, 3), with corners of ``dtype``; median
    split along the longest axis."""
    if len(faces) == 0:
        raise ValueError("a BVH needs at least one triangle")
    triangles = np.ascontiguousarray(vertices[faces], dtype=np.float32)  # (F, 3, 3)
    lows, highs = triangles.min(1), triangles.max(1)
    order = np.arange(len(faces), dtype=np.int32)
    bounds, links, count = _build(lows, highs, (lows + highs) * np.float32(0.5), order)
    corners = vertices[faces[order]].astype(dtype)
    corners[:, 1:] -= corners[:, :1]
    return Bvh(bounds[:count].copy(), links[:count].copy(), np.ascontiguousarray(corners), order)


@numba.njit(cache=True)
def _select(order, centres, axis, start, stop, middle):  # pragma: no cover - compiled
    """Quickselect ``order[start:stop]`` in place so that ``middle`` splits it by ``centres[:, axis]``."""
    low, high = start, stop - 1
    while low < high:
        pivot = centres[order[(low + high) // 2], axis]
        i, j = low, high
        while i <= j:
            while centres[order[i], axis] < pivot:
                i += 1
            while centres[order[j], axis] > pivot:
                j -= 1
            if i <= j:
                swap = order[i]
                order[i] = order[j]
                order[j] = swap
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@numba.njit(cache=True)
def _build(lows, highs, centres, order):  # pragma: no cover - compiled
    capacity = 2 * len(order) + 1
    bounds = np.empty((capacity, 6), np.float32)
    links = np.zeros((capacity, 2), np.int32)
    # (start, stop, parent node for the second-child link, -1 for none)
    stack = np.empty((STACK_SIZE, 3), np.int32)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, len(order), -1
    depth = 1
    count = 0
    while depth > 0:
        depth -= 1
        start, stop, parent = stack[depth, 0], stack[depth, 1], stack[depth, 2]
        node = count
        count += 1
        if parent >= 0:
            links[parent, 0] = node
        for axis in range(3):
            low, high = NO_HIT_DISTANCE, -NO_HIT_DISTANCE
            for k in range(start, stop):
                low = min(low, lows[order[k], axis])
                high = max(high, highs[order[k], axis])
            bounds[node, axis], bounds[node, 3 + axis] = low, high
        if stop - start <= LEAF_SIZE:
            links[node, 0], links[node, 1] = start, stop - start
            continue
        best, widest = 0, np.float32(-1.0)
        for axis in range(3):
            low, high = NO_HIT_DISTANCE, -NO_HIT_DISTANCE
            for k in range(start, stop):
                centre = centres[order[k], axis]
                low = min(low, centre)
                high = max(high, centre)
            if high - low > widest:
                best, widest = axis, high - low
        middle = (start + stop) // 2
        _select(order, centres, best, start, stop, middle)
        stack[depth, 0], stack[depth, 1], stack[depth, 2] = middle, stop, node
        stack[depth + 1, 0], stack[depth + 1, 1], stack[depth + 1, 2] = start, middle, -1
        depth += 2
    return bounds, links, count


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _box_entry(bounds, node, ox, oy, oz, ix, iy, iz, limit):  # pragma: no cover - compiled
    """Distance at which the ray enters the node's box; NO_HIT_DISTANCE when it misses the box or enters beyond
    ``limit``."""
    a = (bounds[node, 0] - ox) * ix
    b = (bounds[node, 3] - ox) * ix
    near, far = min(a, b), max(a, b)
    a = (bounds[node, 1] - oy) * iy
    b = (bounds[node, 4] - oy) * iy
    near, far = max(near, min(a, b)), min(far, max(a, b))
    a = (bounds[node, 2] - oz) * iz
    b = (bounds[node, 5] - oz) * iz
    near, far = max(near, min(a, b)), min(far, max(a, b))
    if near > far or far < 0 or near > limit:
        return NO_HIT_DISTANCE
    return near


@numba.njit(cache=True, error_model="numpy")
def trace(bounds, links, corners, ox, oy, oz, dx, dy, dz, limit, any_hit):  # pragma: no cover - compiled
    """Nearest triangle along a ray (any triangle when ``any_hit``): (position in ``corners`` or -1, distance, u, v).

    ``u`` and ``v`` are the barycentric weights of the second and third corner (Moller & Trumbore 1997); both sides
    count.
    """
    tiny = np.float32(1e-12)
    ix = np.float32(1.0) / (dx if abs(dx) > tiny else tiny)
    iy = np.float32(1.0) / (dy if abs(dy) > tiny else tiny)
    iz = np.float32(1.0) / (dz if abs(dz) > tiny else tiny)
    stack = np.empty(STACK_SIZE, np.int32)
    stack[0] = 0
    depth = 1
    best, best_u, best_v = -1, np.float32(0.0), np.float32(0.0)
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if _box_entry(bounds, node, ox, oy, oz, ix, iy, iz, limit) >= NO_HIT_DISTANCE:
            continue
        size = links[node, 1]
        if size == 0:
            first, second = node + 1, links[node, 0]
            near_first = _box_entry(bounds, first, ox, oy, oz, ix, iy, iz, limit)
            near_second = _box_entry(bounds, second, ox, oy, oz, ix, iy, iz, limit)
            if near_first <= near_second:
                if near_second < NO_HIT_DISTANCE:
                    stack[depth] = second
                    depth += 1
                if near_first < NO_HIT_DISTANCE:
                    stack[depth] = first
                    depth += 1
            else:
                if near_first < NO_HIT_DISTANCE:
                    stack[depth] = first
                    depth += 1
                stack[depth] = second
                depth += 1
            continue
        for k in range(links[node, 0], links[node, 0] + size):
            e1x, e1y, e1z = corners[k, 1, 0], corners[k, 1, 1], corners[k, 1, 2]
            e2x, e2y, e2z = corners[k, 2, 0], corners[k, 2, 1], corners[k, 2, 2]
            px, py, pz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
            determinant = e1x * px + e1y * py + e1z * pz
            if abs(determinant) < tiny:
                continue
            inverse = np.float32(1.0) / determinant
            tx, ty, tz = ox - corners[k, 0, 0], oy - corners[k, 0, 1], oz - corners[k, 0, 2]
            u = (tx * px + ty * py + tz * pz) * inverse
            if u < 0 or u > 1:
                continue
            qx, qy, qz = ty * e1z - tz * e1y, tz * e1x - tx * e1z, tx * e1y - ty * e1x
            v = (dx * qx + dy * qy + dz * qz) * inverse
            if v < 0 or u + v > 1:
                continue
            distance = (e2x * qx + e2y * qy + e2z * qz) * inverse
            if distance > 0 and distance < limit:
                limit, best, best_u, best_v = distance, k, u, v
                if any_hit:
                    return best, limit, best_u, best_v
    return best, limit, best_u, best_v


@numba.njit(cache=True)
def _closest(bounds, links, corners, origins, directions, limit):  # pragma: no cover - compiled
    count = len(origins)
    hits = np.empty(count, np.int32)
    coordinates = np.empty((count, 3), np.float32)
    for k in range(count):
        hit, distance, u, v = trace(
            bounds, links, corners,
            origins[k, 0], origins[k, 1], origins[k, 2],
            directions[k, 0], directions[k, 1], directions[k, 2],
            limit, False,
        )  # fmt: skip
        hits[k] = hit
        coordinates[k, 0], coordinates[k, 1], coordinates[k, 2] = distance, u, v
    return hits, coordinates


def closest_hits(bvh: Bvh, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the first triangle along each ray.

    Parameters
    ----------
    origins, directions : (R, 3); distances are in units of the direction's length.

    Returns
    -------
    faces (R,) int32, -1 where nothing is hit; distances (R,) float32; barycentrics (R, 3) float32.
    """
    hits, coordinates = _closest(
        bvh.bounds,
        bvh.links,
        bvh.corners,
        np.ascontiguousarray(origins, dtype=np.float32),
        np.ascontiguousarray(directions, dtype=np.float32),
        NO_HIT_DISTANCE,
    )
    faces = np.where(hits >= 0, bvh.face_order[hits], -1).astype(np.int32)
    u, v = coordinates[:, 1], coordinates[:, 2]
    return faces, coordinates[:, 0], np.stack([1 - u - v, u, v], axis=1)


@numba.njit(cache=True)
def _point_triangle(px, py, pz, a, e1, e2):  # pragma: no cover - compiled
    """Squared distance of a point from triangle a, a+e1, a+e2; u, v of the closest point (Ericson 2005, 5.1.5)."""
    apx, apy, apz = px - a[0], py - a[1], pz - a[2]
    d1 = e1[0] * apx + e1[1] * apy + e1[2] * apz
    d2 = e2[0] * apx + e2[1] * apy + e2[2] * apz
    e11 = e1[0] * e1[0] + e1[1] * e1[1] + e1[2] * e1[2]
    e22 = e2[0] * e2[0] + e2[1] * e2[1] + e2[2] * e2[2]
    e12 = e1[0] * e2[0] + e1[1] * e2[1] + e1[2] * e2[2]
    d3, d4, d5, d6 = d1 - e11, d2 - e12, d1 - e12, d2 - e22
    u, v = 0.0, 0.0
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        u = 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        u = d1 / (d1 - d3)
    elif d6 >= 0 and d5 <= d6:
        v = 1.0
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        v = d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        v = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        u = 1 - v
    else:
        total = va + vb + vc
        u, v = vb / total, vc / total
    dx, dy, dz = apx - u * e1[0] - v * e2[0], apy - u * e1[1] - v * e2[1], apz - u * e1[2] - v * e2[2]
    return dx * dx + dy * dy + dz * dz, u, v


@numba.njit(cache=True)
def _nearest(bounds, links, corners, points):  # pragma: no cover - compiled
    count = len(points)
    faces = np.empty(count, np.int32)
    results = np.empty((count, 3), np.float64)
    stack = np.empty(STACK_SIZE, np.int32)
    limits = np.empty(STACK_SIZE, np.float64)
    for k in range(count):
        p = points[k]
        best, best_face, best_u, best_v = 1e30, -1, 0.0, 0.0
        stack[0], limits[0] = 0, 0.0
        depth = 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            if limits[depth] >= best:
                continue
            if links[node, 1] > 0:
                for t in range(links[node, 0], links[node, 0] + links[node, 1]):
                    squared, u, v = _point_triangle(p[0], p[1], p[2], corners[t, 0], corners[t, 1], corners[t, 2])
                    if squared < best:
                        best, best_face, best_u, best_v = squared, t, u, v
                continue
            near, far = node + 1, links[node, 0]
            gap_near, gap_far = 0.0, 0.0
            for axis in range(3):
                gap = max(bounds[near, axis] - p[axis], max(p[axis] - bounds[near, 3 + axis], 0.0))
                gap_near += gap * gap
                gap = max(bounds[far, axis] - p[axis], max(p[axis] - bounds[far, 3 + axis], 0.0))
                gap_far += gap * gap
            if gap_far < gap_near:
                near, far = far, near
                gap_near, gap_far = gap_far, gap_near
            stack[depth], limits[depth] = far, gap_far
            stack[depth + 1], limits[depth + 1] = near, gap_near
            depth += 2
        faces[k] = best_face
        results[k, 0], results[k, 1], results[k, 2] = math.sqrt(best), best_u, best_v
    return faces, results


def closest_points(bvh: Bvh, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the closest surface point of each of ``points`` (P, 3).

    Returns
    -------
    faces (P,) int32, distances (P,) float64, barycentrics (P, 3) float64.
    """
    hits, results = _nearest(bvh.bounds, bvh.links, bvh.corners, np.ascontiguousarray(points, dtype=np.float64))
    u, v = results[:, 1], results[:, 2]
    return bvh.face_order[hits], results[:, 0], np.stack([1 - u - v, u, v], axis=1)


@dataclass(frozen=True)
class Surface:
    """A triangle mesh with per-vertex material. Everything in one frame, metres.

    Attributes
    ----------
    vertices : (V, 3) positions; faces : (F, 3) int, counter-clockwise from outside.
    normals : (V, 3) shading normals, unit length (they may contain pores that the positions lack).
    albedo : (V, 3) linear light, 0-1.
    specular : (V,) reflectance at normal incidence (skin 0.028, wet eye 0.03 with low roughness, hair 0.05).
    roughness : (V,) GGX alpha, 0-1.
    translucency : (V,) extent of subsurface scattering relative to skin's (0 = opaque).
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    specular: np.ndarray
    roughness: np.ndarray
    translucency: np.ndarray

    def moved(self, vertices: np.ndarray) -> Surface:
        """The same material at other positions, with smooth vertex normals."""
        return Surface(
            vertices,
            self.faces,
            vertex_normals(vertices, self.faces),
            self.albedo,
            self.specular,
            self.roughness,
            self.translucency,
        )


@dataclass(frozen=True)
class AreaLight:
    """A glowing sphere.

    Attributes
    ----------
    position : (3,) metres. radius : metres. irradiance : (3,) RGB at the origin of the frame, on a surface facing the
        light (a white surface gets this value).
    """

    position: np.ndarray
    radius: float
    irradiance: np.ndarray


@dataclass(frozen=True)
class Environment:
    """Distant light: a vertical gradient plus soft spherical-Gaussian windows.

    Attributes
    ----------
    ground, sky : (3,) RGB radiance from straight below and straight above, linearly blended by height in between.
    directions : (L, 3) unit vectors of the windows; sharpness : (L,); colours : (L, 3) radiance at their centre.
    """

    ground: np.ndarray
    sky: np.ndarray
    directions: np.ndarray
    sharpness: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Lighting:
    """All lights of a picture."""

    lights: tuple[AreaLight, ...]
    environment: Environment


def joined(surfaces: tuple[Surface, ...]) -> Surface:
    """Join several surfaces to one."""
    starts = np.cumsum([0] + [len(s.vertices) for s in surfaces])
    return Surface(
        np.concatenate([s.vertices for s in surfaces]),
        np.concatenate([s.faces + start for s, start in zip(surfaces, starts[:-1], strict=True)]),
        np.concatenate([s.normals for s in surfaces]),
        np.concatenate([s.albedo for s in surfaces]),
        np.concatenate([s.specular for s in surfaces]),
        np.concatenate([s.roughness for s in surfaces]),
        np.concatenate([s.translucency for s in surfaces]),
    )
