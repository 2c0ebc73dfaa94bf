"""Convert traced light to a photograph: subsurface scattering, exposure, noise, blur, JPEG.

The ray tracer's compiled inner loop: light arriving at each pixel's surface points.

Render a surface with camera and light to linear light and depth in one call.

A bounding-volume hierarchy over triangles, and ray queries against it (numba).

The ray tracer's scene: a surface with its material, and its lighting.
"""

from __future__ import annotations

import io
import math
from collections import namedtuple
from dataclasses import dataclass, fields, replace

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from backend.rendering.camera import Camera
from backend.rendering.color import srgb_from_linear
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
    moved = [replace(s, faces=s.faces + start) for s, start in zip(surfaces, starts[:-1], strict=True)]
    return Surface(*(np.concatenate([getattr(s, field.name) for s in moved]) for field in fields(Surface)))


SCATTER_METRES = np.array([0.0016, 0.0008, 0.0005])
"""Standard deviation of the subsurface scattering of red, green and blue light in skin."""


@dataclass(frozen=True)
class Film:
    """Camera settings.

    Attributes
    ----------
    exposure : factor on linear light. white_balance : (3,) factor per channel.
    noise : standard deviation of read noise in linear units at exposure 1; shot noise, which grows with the signal,
        is added.
    blur : Gaussian blur in pixels. jpeg_quality : 1-95. contrast : strength 0-1 of an S-shaped tone curve.
    """

    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.002
    blur: float = 0.5
    jpeg_quality: int = 90
    contrast: float = 0.0


@numba.njit(cache=True)
def _spread_rows(image, depth, mask, sigma, out):  # pragma: no cover - compiled
    """Gaussian along rows with a width per pixel and channel, weighted by closeness in depth."""
    height, width, _ = image.shape
    for row in range(height):
        for column in range(width):
            if mask[row, column] <= 0:
                continue
            for c in range(3):
                s = sigma[row, column, c]
                reach = min(int(np.ceil(2.5 * s)), 24)
                total, weights = 0.0, 0.0
                for k in range(max(column - reach, 0), min(column + reach + 1, width)):
                    if mask[row, k] <= 0:
                        continue
                    step = (k - column) / s
                    jump = (depth[row, k] - depth[row, column]) / 0.006
                    weight = np.exp(-0.5 * (step * step + jump * jump)) * mask[row, k]
                    total += weight * image[row, k, c]
                    weights += weight
                out[row, column, c] = total / weights


def scatter(
    irradiance: np.ndarray, depth: np.ndarray, coverage: np.ndarray, translucency: np.ndarray, focal_px: float
) -> np.ndarray:
    """Apply subsurface scattering to light (H, W, 3), per channel; this also removes the sampling noise.

    ``irradiance``, ``depth`` and ``translucency`` are means over the covered part of each pixel.
    """
    metres = np.maximum(depth, 1e-3)[..., None] / focal_px
    sigma = np.clip(translucency[..., None] * SCATTER_METRES / metres, 0.6, 10.0).astype(np.float32)  # (H, W, 3)
    image = np.ascontiguousarray(irradiance, dtype=np.float32)
    for _ in range(2):
        rows = np.zeros_like(image)
        _spread_rows(image, depth, coverage, sigma, rows)
        image = np.ascontiguousarray(rows.transpose(1, 0, 2))
        depth, coverage = np.ascontiguousarray(depth.T), np.ascontiguousarray(coverage.T)
        sigma = np.ascontiguousarray(sigma.transpose(1, 0, 2))
    return image


def develop(linear: np.ndarray, film: Film, generator: np.random.Generator) -> np.ndarray:
    """Develop linear light (H, W, 3) to an (H, W, 3) uint8 sRGB picture: exposure, soft highlights, noise, blur."""
    light = linear * film.exposure * np.asarray(film.white_balance)
    if film.blur > 0:
        light = gaussian_filter(light, (film.blur, film.blur, 0))
    shot = np.sqrt(np.maximum(light, 0.0)) * film.noise * 3
    grain = generator.normal(size=light.shape) * (film.noise + shot)
    light = np.maximum(light + grain, 0.0)
    knee = 0.8  # highlights roll off above this
    light = np.where(light > knee, knee + (1 - knee) * (1 - np.exp(-(light - knee) / (1 - knee))), light)
    encoded = srgb_from_linear(light)
    curved = encoded * encoded * (3 - 2 * encoded)
    encoded = encoded + film.contrast * (curved - encoded)
    return np.round(encoded * 255).astype(np.uint8)


def jpeg_bytes(picture: np.ndarray, quality: int) -> bytes:
    """Encode an (H, W, 3) uint8 picture as JPEG without EXIF."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 85 else 2)
    return buffer.getvalue()


BOUNCE = 0.5
"""Share of the ambient light that a blocking surface reflects, times its albedo."""


@numba.njit(cache=True)
def _hash01(a, b, c, seed):  # pragma: no cover - compiled
    """Hash four integers to a number in [0, 1) (a finaliser like MurmurHash3's)."""
    h = np.uint32(a) * np.uint32(0x9E3779B1) ^ np.uint32(b) * np.uint32(0x85EBCA77)
    h ^= np.uint32(c) * np.uint32(0xC2B2AE3D) ^ np.uint32(seed) * np.uint32(0x27D4EB2F)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return np.float32(h & np.uint32(0xFFFFFF)) * np.float32(1.0 / 16777216.0)


@numba.njit(cache=True, fastmath=True)
def _environment(x, y, z, gradient, directions, sharpness, colours, out):  # pragma: no cover - compiled
    height = np.float32(0.5) * (y + np.float32(1.0))
    for c in range(3):
        out[c] = gradient[0, c] + (gradient[1, c] - gradient[0, c]) * height
    for k in range(len(sharpness)):
        cosine = x * directions[k, 0] + y * directions[k, 1] + z * directions[k, 2]
        value = np.float32(math.exp(sharpness[k] * (cosine - np.float32(1.0))))
        for c in range(3):
            out[c] += value * colours[k, c]


@numba.njit(cache=True, fastmath=True)
def _frame(nx, ny, nz, tangents):  # pragma: no cover - compiled
    """Two unit vectors orthogonal to a unit normal (Duff et al. 2017)."""
    sign = np.float32(1.0) if nz >= 0 else np.float32(-1.0)
    a = np.float32(-1.0) / (sign + nz)
    b = nx * ny * a
    tangents[0, 0], tangents[0, 1], tangents[0, 2] = np.float32(1.0) + sign * nx * nx * a, sign * b, -sign * nx
    tangents[1, 0], tangents[1, 1], tangents[1, 2] = b, sign + ny * ny * a, -ny


@numba.njit(cache=True, fastmath=True)
def _ggx(n_h, n_v, n_l, v_h, alpha, f0):  # pragma: no cover - compiled
    """Cook-Torrance specular term times the cosine: D G F / (4 n.v) (Walter et al. 2007; Schlick's Fresnel)."""
    a2 = alpha * alpha
    lobe = n_h * n_h * (a2 - 1) + 1
    density = a2 / (np.float32(math.pi) * lobe * lobe)
    shadow_v = 2 * n_v / (n_v + math.sqrt(a2 + (1 - a2) * n_v * n_v))
    shadow_l = 2 * n_l / (n_l + math.sqrt(a2 + (1 - a2) * n_l * n_l))
    fresnel = f0 + (1 - f0) * (1 - v_h) ** 5
    return density * shadow_v * shadow_l * fresnel / (4 * n_v)


_Sums = namedtuple("_Sums", "diffuse specular colour coverage depth translucency")
"""Per pixel: (H, W, 3) diffuse irradiance (white = 1), specular radiance and albedo, each already weighted by coverage;
(H, W) coverage, mean depth along the optical axis, and translucency."""
_Scene = namedtuple(
    "_Scene",
    "bounds links corners face_order faces normals albedo material inverse_k rotation centre"
    " light_positions light_radii light_irradiance gradient directions sharpness colours mean_sky",
)


@numba.njit(cache=True)
def _row(row, sums, scene, samples, ambient_rays, seed):  # pragma: no cover - compiled
    """Average ``samples`` jittered rays in every pixel of one row; adds to the ``sums``."""
    diffuse, specular, colour, coverage, depth, translucency = sums
    bounds, links, corners, face_order, faces, normals, albedo, material, inverse_k, rotation, centre = scene[:11]
    light_positions, light_radii, light_irradiance, gradient, directions, sharpness, colours, mean_sky = scene[11:]
    one = np.float32(1.0)
    scale = one / np.float32(samples)
    ox, oy, oz = np.float32(centre[0]), np.float32(centre[1]), np.float32(centre[2])
    side = math.ceil(math.sqrt(samples))
    width = coverage.shape[1]
    tangents = np.empty((2, 3), np.float32)
    sky = np.empty(3, np.float32)
    for column in range(width):
        for s in range(samples):
            jitter_x = ((s % side) + _hash01(column, row, s, seed)) / side
            jitter_y = ((s // side) + _hash01(column, row, s, seed + 1)) / side
            px, py = column + jitter_x, row + jitter_y
            cx = inverse_k[0, 0] * px + inverse_k[0, 1] * py + inverse_k[0, 2]
            cy = inverse_k[1, 1] * py + inverse_k[1, 2]
            # rotation maps head to camera: its transpose brings the ray to the head frame
            dx = np.float32(rotation[0, 0] * cx + rotation[1, 0] * cy + rotation[2, 0])
            dy = np.float32(rotation[0, 1] * cx + rotation[1, 1] * cy + rotation[2, 1])
            dz = np.float32(rotation[0, 2] * cx + rotation[1, 2] * cy + rotation[2, 2])
            hit, along, u, v = trace(bounds, links, corners, ox, oy, oz, dx, dy, dz, NO_HIT_DISTANCE, False)
            if hit < 0:
                continue
            coverage[row, column] += scale
            depth[row, column] += scale * along
            face = face_order[hit]
            i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
            w = one - u - v
            nx = w * normals[i0, 0] + u * normals[i1, 0] + v * normals[i2, 0]
            ny = w * normals[i0, 1] + u * normals[i1, 1] + v * normals[i2, 1]
            nz = w * normals[i0, 2] + u * normals[i1, 2] + v * normals[i2, 2]
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-12)
            view = -one / np.float32(math.sqrt(dx * dx + dy * dy + dz * dz))
            vx, vy, vz = dx * view, dy * view, dz * view
            # geometric normal on the viewer's side
            gx = corners[hit, 1, 1] * corners[hit, 2, 2] - corners[hit, 1, 2] * corners[hit, 2, 1]
            gy = corners[hit, 1, 2] * corners[hit, 2, 0] - corners[hit, 1, 0] * corners[hit, 2, 2]
            gz = corners[hit, 1, 0] * corners[hit, 2, 1] - corners[hit, 1, 1] * corners[hit, 2, 0]
            g_length = math.sqrt(gx * gx + gy * gy + gz * gz) + np.float32(1e-20)
            flip = one if gx * vx + gy * vy + gz * vz >= 0 else -one
            nx, ny, nz = flip * nx / length, flip * ny / length, flip * nz / length
            gx, gy, gz = flip * gx / g_length, flip * gy / g_length, flip * gz / g_length
            lift = np.float32(2e-4)
            hx, hy, hz = ox + dx * along + gx * lift, oy + dy * along + gy * lift, oz + dz * along + gz * lift
            f0 = w * material[i0, 0] + u * material[i1, 0] + v * material[i2, 0]
            alpha = max(w * material[i0, 1] + u * material[i1, 1] + v * material[i2, 1], np.float32(0.03))
            translucency[row, column] += scale * (w * material[i0, 2] + u * material[i1, 2] + v * material[i2, 2])
            for c in range(3):
                colour[row, column, c] += scale * (w * albedo[i0, c] + u * albedo[i1, c] + v * albedo[i2, c])
            n_v = max(nx * vx + ny * vy + nz * vz, np.float32(0.05))
            _frame(nx, ny, nz, tangents)
            for k in range(len(light_radii)):
                # a point on the light's disc as seen from here
                lx, ly, lz = light_positions[k, 0] - hx, light_positions[k, 1] - hy, light_positions[k, 2] - hz
                r1 = _hash01(column, row, s * 64 + k, seed + 2)
                r2 = _hash01(column, row, s * 64 + k, seed + 3)
                r3 = _hash01(column, row, s * 64 + k, seed + 4)
                bx, by, bz = r1 - np.float32(0.5), r2 - np.float32(0.5), r3 - np.float32(0.5)
                norm = math.sqrt(bx * bx + by * by + bz * bz) + np.float32(1e-6)
                reach = light_radii[k] * max(abs(bx), max(abs(by), abs(bz))) * 2 / norm
                tx, ty, tz = lx + bx * reach, ly + by * reach, lz + bz * reach
                distance = np.float32(math.sqrt(tx * tx + ty * ty + tz * tz))
                tx, ty, tz = tx / distance, ty / distance, tz / distance
                cosine = nx * tx + ny * ty + nz * tz
                if cosine <= 0 or gx * tx + gy * ty + gz * tz <= 0:
                    continue
                blocked, _, _, _ = trace(bounds, links, corners, hx, hy, hz, tx, ty, tz, distance, True)
                if blocked >= 0:
                    continue
                home = (light_positions[k, 0] ** 2 + light_positions[k, 1] ** 2 + light_positions[k, 2] ** 2) / (
                    distance * distance
                )
                half_x, half_y, half_z = tx + vx, ty + vy, tz + vz
                half = math.sqrt(half_x * half_x + half_y * half_y + half_z * half_z) + np.float32(1e-9)
                n_h = max((nx * half_x + ny * half_y + nz * half_z) / half, np.float32(0.0))
                v_h = max((vx * half_x + vy * half_y + vz * half_z) / half, np.float32(0.0))
                shine = np.float32(math.pi) * _ggx(n_h, n_v, cosine, v_h, alpha, f0)
                for c in range(3):
                    arriving = scale * home * light_irradiance[k, c]
                    diffuse[row, column, c] += arriving * cosine
                    specular[row, column, c] += min(arriving * shine, np.float32(4.0) * scale)
            turn = _hash01(column, row, 7, seed + 5)
            offset = _hash01(column, row, 8, seed + 6)
            total = samples * ambient_rays
            for k in range(ambient_rays):
                index = s * ambient_rays + k
                radial = (index + _hash01(column, row, index, seed + 7)) / total
                angle = np.float32(2 * math.pi) * (index * np.float32(0.61803399) + turn)
                radius = math.sqrt(radial)
                ax, ay, az = radius * math.cos(angle), radius * math.sin(angle), math.sqrt(one - radial)
                tx = np.float32(ax * tangents[0, 0] + ay * tangents[1, 0] + az * nx)
                ty = np.float32(ax * tangents[0, 1] + ay * tangents[1, 1] + az * ny)
                tz = np.float32(ax * tangents[0, 2] + ay * tangents[1, 2] + az * nz)
                blocked, _, _, _ = trace(bounds, links, corners, hx, hy, hz, tx, ty, tz, NO_HIT_DISTANCE, True)
                if blocked >= 0:
                    other = faces[face_order[blocked], 0]
                    for c in range(3):
                        diffuse[row, column, c] += (
                            scale / ambient_rays * np.float32(BOUNCE) * albedo[other, c] * mean_sky[c]
                        )
                    continue
                _environment(tx, ty, tz, gradient, directions, sharpness, colours, sky)
                for c in range(3):
                    diffuse[row, column, c] += scale / ambient_rays * sky[c]
            # one GGX-distributed half vector for the reflection of the surroundings
            r1 = (s + offset) / samples
            r2 = _hash01(column, row, s, seed + 8)
            cosine_h = math.sqrt((one - r1) / (one + (alpha * alpha - one) * r1))
            sine_h = math.sqrt(max(one - cosine_h * cosine_h, np.float32(0.0)))
            angle = np.float32(2 * math.pi) * r2
            ax, ay = sine_h * math.cos(angle), sine_h * math.sin(angle)
            mx = np.float32(ax * tangents[0, 0] + ay * tangents[1, 0] + cosine_h * nx)
            my = np.float32(ax * tangents[0, 1] + ay * tangents[1, 1] + cosine_h * ny)
            mz = np.float32(ax * tangents[0, 2] + ay * tangents[1, 2] + cosine_h * nz)
            v_h = vx * mx + vy * my + vz * mz
            if v_h > 0:
                tx, ty, tz = 2 * v_h * mx - vx, 2 * v_h * my - vy, 2 * v_h * mz - vz
                n_l = nx * tx + ny * ty + nz * tz
                if n_l > 0 and gx * tx + gy * ty + gz * tz > 0:
                    blocked, _, _, _ = trace(bounds, links, corners, hx, hy, hz, tx, ty, tz, NO_HIT_DISTANCE, True)
                    if blocked < 0:
                        a2 = alpha * alpha
                        shadow_v = 2 * n_v / (n_v + math.sqrt(a2 + (1 - a2) * n_v * n_v))
                        shadow_l = 2 * n_l / (n_l + math.sqrt(a2 + (1 - a2) * n_l * n_l))
                        # rough surfaces reflect less at grazing angles than by Schlick's formula
                        fresnel = f0 + (one - f0) * (one - alpha) ** 2 * (one - v_h) ** 5
                        gain = fresnel * shadow_v * shadow_l * v_h / (n_v * max(cosine_h, np.float32(0.05)))
                        gain = min(gain, one)
                        _environment(tx, ty, tz, gradient, directions, sharpness, colours, sky)
                        for c in range(3):
                            specular[row, column, c] += scale * gain * sky[c]


@numba.njit(cache=True, parallel=True)
def _rows(sums, scene, samples, ambient_rays, seed):  # pragma: no cover - compiled
    """Run all rows in parallel threads. Only this loop is compiled as parallel; compiling more takes numba several
    times as long."""
    for row in numba.prange(len(sums.coverage)):
        _row(np.int64(row), sums, scene, samples, ambient_rays, seed)


@dataclass(frozen=True)
class TracedView:
    """A rendered view.

    Attributes
    ----------
    linear : (H, W, 3) float32 linear light in front of black. coverage : (H, W) 0-1. depth : (H, W) metres along the
        optical axis, 0 on the background.
    """

    linear: np.ndarray
    coverage: np.ndarray
    depth: np.ndarray

    def over(self, background: np.ndarray) -> np.ndarray:
        """Composite the view over a linear-light background (H, W, 3)."""
        return self.linear + (1 - self.coverage[..., None]) * background


def trace_view(
    surface: Surface,
    camera: Camera,
    lighting: Lighting,
    samples: int = 4,
    ambient_rays: int = 4,
    seed: int = 0,
    bvh: Bvh | None = None,
) -> TracedView:
    """Trace ``surface`` as seen by ``camera``.

    Parameters
    ----------
    surface : in the camera's head frame, metres. lighting : in the same frame.
    samples : primary rays per pixel. ambient_rays : rays into the surroundings per primary ray.
    seed : of the sampling noise; the same seed gives the same picture.
    bvh : of ``surface``, for sharing between pictures; built here when None.
    """
    bvh = build_bvh(surface.vertices, surface.faces) if bvh is None else bvh
    width, height = camera.size
    environment = lighting.environment
    material = np.stack([surface.specular, surface.roughness, surface.translucency], axis=1)
    gradient = _single([environment.ground, environment.sky])
    scene = _Scene(
        *(bvh.bounds, bvh.links, bvh.corners, bvh.face_order, np.ascontiguousarray(surface.faces, dtype=np.int32)),
        *(_single(surface.normals), _single(surface.albedo), _single(material)),
        np.linalg.inv(camera.intrinsics),
        np.ascontiguousarray(camera.camera_from_head[:3, :3], dtype=np.float64),
        camera.centre(),
        _single([light.position for light in lighting.lights]).reshape(-1, 3),
        _single([light.radius for light in lighting.lights]),
        _single([light.irradiance for light in lighting.lights]).reshape(-1, 3),
        gradient,
        _single(environment.directions).reshape(-1, 3),
        _single(environment.sharpness),
        _single(environment.colours).reshape(-1, 3),
        (gradient[0] + gradient[1]) * np.float32(0.5),
    )
    sums = _Sums(*(np.zeros(shape, np.float32) for shape in ((height, width, 3),) * 3 + ((height, width),) * 3))
    _rows(sums, scene, samples, ambient_rays, seed)
    diffuse, specular, colour, coverage, depth, translucency = sums
    covered = np.maximum(coverage, 1e-6)
    depth = np.where(coverage > 0, depth / covered, 0).astype(np.float32)
    focal = float(camera.intrinsics[0, 0])
    spread = scatter(diffuse / covered[..., None], depth, coverage, translucency / covered, focal)
    shine = scatter(specular / covered[..., None], depth, coverage, np.zeros_like(coverage), focal)  # denoised
    linear = spread * colour + shine * coverage[..., None]
    return TracedView(linear.astype(np.float32), coverage, depth)


def _single(values: object) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)


def look_at(
    yaw_degrees: float,
    pitch_degrees: float,
    roll_degrees: float,
    distance: float,
    focal_px: float,
    size: tuple[int, int],
    target: np.ndarray,
) -> Camera:
    """Build a camera that looks at ``target`` (3,) in the head frame from ``distance`` metres.

    Positive yaw shows the head turned to its own left (the camera is on the person's right), positive pitch shows it
    looking up (the camera is low), positive roll rotates the picture clockwise. The target is in the picture's centre.
    """
    yaw, pitch, roll = np.radians([yaw_degrees, pitch_degrees, roll_degrees])
    turn_yaw = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_pitch = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    turn_roll = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    rotation = turn_roll @ np.diag([1.0, -1.0, -1.0]) @ turn_pitch @ turn_yaw
    camera_from_head = np.eye(4)
    camera_from_head[:3, :3] = rotation
    camera_from_head[:3, 3] = np.array([0, 0, distance]) - rotation @ target
    intrinsics = np.array([[focal_px, 0, size[0] / 2], [0, focal_px, size[1] / 2], [0, 0, 1.0]])
    return Camera(intrinsics, camera_from_head, size)
