"""Draw strands over a picture of the head, as thin lines with depth, for previews and comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.geometry.vectors import unit_vectors
from backend.hair.attach import skin_normals
from backend.hair.hair_strands import OUT, WHOLE_LOCK, HairStrands
from backend.rendering import spherical_harmonics as sh
from backend.rendering.camera import Camera
from backend.rendering.rasterize import depth_map
from backend.system.numba_cache import numba

_SUPERSAMPLE = 2
"""Supersampling per image axis, because hairs are half a pixel wide."""
_FULL = 0.6
"""Hairs per pixel of a lock's width: lines are a pixel wide, and overlap."""
_OVER = 3.0
"""Widths of a lock over which hair lies on its neighbours; shorter hair needs as many more hairs to hide the skin."""
_FEWEST, _MOST = 4, 48
"""Limits on the hairs per guide: locks in a thumbnail still look like hairs, and a close-up takes no longer to draw
than the head."""
_CLUMP = 0.45
"""Share of the distance from the guide that hairs lose towards the tip; the same as in the add-on's modifier."""
_UNEVEN, _UNEVEN_LONG = 0.15, 0.08
"""Hairs end at random between 85 % and 100 % of the guide's length, at most that of a guide of so many metres: no blunt
ends, locks keep their outline, and a fringe of long hair does not thin out. The same as in the add-on."""
_TONES = (0.55, 1.4)
"""Range of the random factor on a hair's colour, half of it per hair and half per lock. With it drawn hair has 0.68 of
the photos' contrast (``evaluate hair``)."""
_DEEP = 0.5
"""Share of the light that reaches a hair's root, relative to its end, because the hair above shades it (ambient
occlusion). Colours come from photos, so they already contain the shade along a hair on the mean."""
_SHINE, _SHARPNESS = 0.05, 30.0
"""Strength of the specular highlight under white light (linear), and its exponent (Kajiya and Kay 1989, on the sine of
the angle between the strand and the half vector)."""
_MOST_SHINE = 0.5
"""Largest mean highlight, relative to a hair's albedo in its darkest channel. Colours come from photos, so they already
contain white highlights."""
_LEAVES = 5.0
"""A hair moves from the skin to its place in the lock over 1 / ``_LEAVES`` of its length, as in the add-on."""
_LOCK = 0.05
"""Metres. Shorter hair clumps in proportion to its length, because 5 mm of hair that came together from 15 mm of skin
would look like a tuft. The same as in the add-on."""
_THIN = 1.29
"""Distance of the outermost hairs from the guide, in lock radii. The density of hairs falls linearly to 0 there, with
the same spread as a uniform density within the radius. The same as in the add-on."""
_BACK = 0.5
"""Distance of the hairs' roots behind the guide's root, in lock radii, so that locks cover the skin where they part."""
_BEHIND = 0.002
"""Depth tolerance in metres: a hair may lie this far under the drawn skin and still be visible, because roots lie on a
finer surface than the one drawn."""


@dataclass(frozen=True)
class DrawnHair:
    """``color`` : (H, W, 3) float32 linear light, premultiplied. ``alpha`` : (H, W) float32 coverage by hair."""

    color: np.ndarray
    alpha: np.ndarray


def draw_hair(
    strands: HairStrands,
    camera: Camera,
    vertices: np.ndarray,
    faces: np.ndarray,
    light: np.ndarray,
    depth: np.ndarray | None = None,
) -> DrawnHair:
    """Draw hair as a camera sees it, occluded by the head.

    Parameters
    ----------
    strands : metres, head frame. vertices : (V, 3), faces : (T, 3) of the occluders, the same frame.
    light : (9, 3) as in ``spherical_harmonics``. A strand is shaded as a diffuse cylinder, by its normal that points
        away from the head. depth : ``Rendering.depth`` of the occluders by this camera; None: made here.
    """
    large = camera.scaled(float(_SUPERSAMPLE))
    width, height = large.size
    depth = (depth_map(vertices, faces, large) if depth is None else depth) + np.float32(_BEHIND)
    points = strands.points.astype(np.float32)  # (G, P, 3)
    tangent, across, side = _frames(points)
    clump, leaves = (each.astype(np.float32) for each in _locked(points))
    normals = skin_normals(points[:, 0], vertices, faces).astype(np.float32)
    one, other = _from_skin(across, side, normals, leaves)
    colours = _shaded(strands, tangent, across, camera, light).astype(np.float32)
    to_pixels = (large.intrinsics @ large.camera_from_head[:3]).astype(np.float32)
    distance = float((points[:, 0] @ to_pixels[2, :3] + to_pixels[2, 3]).mean())
    lock = float(np.median(strands.width)) * float(large.intrinsics[0, 0]) / max(distance, 1e-3)
    length = np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(1)
    short = max(1.0, _OVER * float(np.median(strands.width) / max(np.median(length), 1e-6)))
    count = int(np.clip(round(_FULL * lock * short), _FEWEST, _MOST))
    random = np.random.default_rng(0).random((len(points), count, 4)).astype(np.float32)
    counts = np.ceil(count * np.minimum(1.0, strands.width / WHOLE_LOCK) ** 2).astype(np.int64)
    canvas = np.zeros((height, width, 3), np.float32)
    front = np.full((height, width), np.inf, np.float32)
    radius = 0.5 * strands.width.astype(np.float32)
    middle = points - _BACK * (1 - leaves) * radius[:, None, None] * tangent[:, :1]
    uneven = _UNEVEN * np.minimum(1, _UNEVEN_LONG / np.maximum(length, 1e-6)).astype(np.float32)
    _lines(middle, one, other, colours, radius, clump, uneven, counts, random, to_pixels, depth, front, canvas)
    drawn = np.isfinite(front).astype(np.float32)
    return DrawnHair(*(cv2.resize(image, camera.size, interpolation=cv2.INTER_AREA) for image in (canvas, drawn)))


def lock_edges(points: np.ndarray, width: np.ndarray, normals: np.ndarray, count: int = 8) -> np.ndarray:
    """(G, count + 1, P, 3) the guides (G, P, 3), then ``count`` of the outermost hairs of each lock.

    width : (G,) metres at the root; locks get narrower towards their tips. normals : (G, 3) of the skin at the roots.
    """
    _, across, side = _frames(points)
    one, other = _from_skin(across, side, normals, _locked(points)[1])
    angle = np.arange(count) * 2 * np.pi / count
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)  # (count, 2)
    away = ring[:, 0, None, None] * one[:, None] + ring[:, 1, None, None] * other[:, None]
    radius = 0.5 * width[:, None] * (1 - _locked(points)[0][:, None] * np.linspace(0, 1, points.shape[1]))
    edges = points[:, None] + radius[:, None, :, None] * away
    return np.concatenate([points[:, None], edges], 1)


def _locked(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clumping of hairs around guides (G, P, 3): (G,) share of the distance to the guide lost at the tips, and
    (G, P, 1) in [0, 1] how far hairs have moved from the skin to their place in the lock."""
    share = np.minimum(np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(1) / _LOCK, 1)
    leaves = np.clip(np.linspace(0, _LEAVES, points.shape[1]), 0, 1)
    return _CLUMP * share, (share[:, None] * leaves)[..., None]


def _frames(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames of guides, unit vectors (G, P, 3) each: tangent, normal away from the head, and their cross product."""
    tangent = unit_vectors(np.gradient(points, axis=1))
    outwards = unit_vectors(points - points[:, :1].mean(0))
    across = unit_vectors(outwards - (outwards * tangent).sum(-1, keepdims=True) * tangent)
    return tangent, across, np.cross(tangent, across)


def _from_skin(
    across: np.ndarray, side: np.ndarray, normal: np.ndarray, leaves: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two axes (G, P, 3) of each lock's cross-section. At the roots they lie in the skin's plane, so that hair lying
    flat grows from a patch of skin; where ``leaves`` (G, P, 1) is 1 they are ``across`` and ``side`` (G, P, 3)."""
    normal = normal[:, None]
    other = unit_vectors(side - (side * normal).sum(-1, keepdims=True) * normal)
    return tuple((1 - leaves) * on + leaves * off for on, off in ((np.cross(other, normal), across), (other, side)))


def _shaded(
    strands: HairStrands, tangent: np.ndarray, across: np.ndarray, camera: Camera, light: np.ndarray
) -> np.ndarray:
    """(G, P, 3) linear light of each guide's points."""
    points = strands.points
    along = np.linspace(0, 1, points.shape[1], dtype=np.float32)[:, None]
    albedo = strands.root_colour[:, None] * (1 - along) + strands.tip_colour[:, None] * along
    shading = np.maximum(sh.shade(across.astype(np.float32), light), 0.02)
    way = np.linalg.norm(points - points[:, :1], axis=-1, keepdims=True)
    deep = np.clip(way.max(1, keepdims=True) / 2, 1e-6, OUT)  # no occlusion beyond this distance from the root
    open_ = _DEEP + (1 - _DEEP) * np.clip(way / deep, 0, 1)
    lamp = light[[3, 1, 2]].mean(1)  # the first band is the light's direction: x, y, z
    to_camera = unit_vectors(camera.centre() - points)
    half = unit_vectors(unit_vectors(lamp[None, None]) + to_camera) if np.linalg.norm(lamp) > 1e-6 else to_camera
    sine = np.sqrt(np.clip(1 - (tangent * half).sum(-1, keepdims=True) ** 2, 0, 1))
    highlight = sine**_SHARPNESS
    usual = max(float(highlight.mean()), 1e-6)
    shine = np.minimum(_SHINE, _MOST_SHINE * albedo.min(-1, keepdims=True) / usual)
    return (albedo + shine * (highlight - usual)) * shading * open_ / open_.mean(1, keepdims=True)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def from_guide(chance):
    """Distance of a hair from its guide in lock radii, for a ``chance`` drawn uniformly from [0, 1]."""
    return (0.5 - np.sin(np.arcsin(1 - 2 * chance) / 3)) * _THIN  # the inverse of 3 r^2 - 2 r^3


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _lines(points, one_way, other_way, colours, radius, clump, uneven, counts, random, to_pixels, limit, front, canvas):
    height, width = limit.shape
    guides, count = points.shape[0], points.shape[1]
    for g in range(guides):
        for n in range(counts[g]):
            distance = from_guide(random[g, n, 0]) * radius[g]
            angle = random[g, n, 1] * np.float32(2 * np.pi)
            one, other = distance * np.cos(angle), distance * np.sin(angle)
            end = 1 - uneven[g] * random[g, n, 2]
            tone = _TONES[0] + (_TONES[1] - _TONES[0]) * 0.5 * (random[g, n, 3] + random[g, 0, 3])
            last_x, last_y, last_z = np.float32(0), np.float32(0), np.float32(-1)
            for k in range(count):
                t = k / (count - 1)
                if t > end:
                    break
                share = 1 - clump[g] * t
                x = points[g, k, 0] + share * (one * one_way[g, k, 0] + other * other_way[g, k, 0])
                y = points[g, k, 1] + share * (one * one_way[g, k, 1] + other * other_way[g, k, 1])
                z = points[g, k, 2] + share * (one * one_way[g, k, 2] + other * other_way[g, k, 2])
                depth = to_pixels[2, 0] * x + to_pixels[2, 1] * y + to_pixels[2, 2] * z + to_pixels[2, 3]
                if not depth > 0.01:
                    break
                u = (to_pixels[0, 0] * x + to_pixels[0, 1] * y + to_pixels[0, 2] * z + to_pixels[0, 3]) / depth
                v = (to_pixels[1, 0] * x + to_pixels[1, 1] * y + to_pixels[1, 2] * z + to_pixels[1, 3]) / depth
                if last_z > 0:
                    steps = max(1, int(max(abs(u - last_x), abs(v - last_y)) + 0.999))
                    if steps < 4 * (width + height):  # longer ones pass close to the camera
                        for s in range(steps):
                            w = s / steps
                            column, row = last_x + w * (u - last_x), last_y + w * (v - last_y)
                            if not (0 <= column < width and 0 <= row < height):
                                continue
                            i, j = int(row), int(column)
                            here = last_z + w * (depth - last_z)
                            if here > limit[i, j] or here >= front[i, j]:
                                continue
                            front[i, j] = here
                            for c in range(3):
                                canvas[i, j, c] = tone * ((1 - w) * colours[g, k - 1, c] + w * colours[g, k, c])
                last_x, last_y, last_z = u, v, depth
