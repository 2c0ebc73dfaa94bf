"""Draw strands over a picture of the head, as thin lines with depth, for previews and comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.vectors import unit_vectors
from backend.hair.attach import skin_normals
from backend.hair.groom.scalp import waves
from backend.hair.hair_strands import WHOLE_LOCK, HairStrands, resampled_to
from backend.rendering import spherical_harmonics as sh
from backend.rendering.camera import Camera
from backend.rendering.rasterize import depth_map
from backend.system.numba_cache import numba
from protocol.hair_cards import light_at_root

_SUPERSAMPLE = 2
"""Supersampling per image axis, because hairs are half a pixel wide."""
_FULL = 0.6
"""Hairs per pixel of a lock's width: lines are a pixel wide, and overlap."""
_OVER = 3.0
"""Widths of a lock over which hair lies on its neighbours; shorter hair needs as many more hairs to hide the skin."""
_FEWEST, _MOST = 4, 48
"""Limits on the hairs per guide: locks in a thumbnail still look like hairs, and a close-up takes no longer to draw
than the head."""
_CLUMP, _STRENGTH, _AWAY = 0.7, (0.4, 1.6), 1.2
"""Share of the way to their tuft's place that hairs go until their tips, its random factor by tuft, and that place's
distance from the guide, relative to a random hair's. The first is the add-on's input, as are ``_TOUSLE`` and
``_UNEVEN``; all else is the same in its nodes."""
_NARROWS = 0.45
"""Share by which what ``lock_edges`` counts as a lock narrows towards its tips: single hairs go further."""
_TUFTS = 9
"""Tufts in a lock, the first with a third of the hairs, the last with a twentieth: what lies close in a photo of a head
is 2 to 4 mm wide, and never alike."""
_TOUSLE, _LOOSE, _FLAT = 0.1, 0.4, 0.5
"""How far a tuft's tip strays, relative to its hair's length or that of a lock (``_LOCK``), a hair's own share of this,
and that of the way off the head, because hair keeps its outline. Chosen by the
coherence of lines, 0.60 on the mean of four people and 0.66 in their photos (0.57 with 0.2)."""
_UNEVEN, _UNEVEN_LONG = 0.25, 0.08
"""Hairs end at random between 75 % and 100 % of the guide's length, at most that of a guide of so many metres, half of
it alike in a tuft: no blunt ends, and a fringe of long hair does not thin out."""
_YOUNG, _FINE, _SOFT = 2.4, 0.5, 0.5
"""Hairs of the hairline: what the shortest lacks of its length, relative to ``_UNEVEN`` (so 0.6), how much wider a lock
begins before its guide, and how much thinner it is: no cords begin there."""
_TONES = (0.4, 1.6)
"""Range of the random factor on a hair's colour, 0.3 of it per hair, the rest half per tuft and half per lock, which
distant views still tell apart."""
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
_STRETCH, _OWN = 3.0, 0.25
"""A neighbour that has gone so many times as far from a guide as their roots are apart does not spread its hair (a
parting); how much a lock keeps its own width, relative to one neighbour a width away."""
_THIN = 1.29
"""Distance of the outermost hairs from the guide, in lock radii. The density of hairs falls linearly to 0 there, with
the same spread as a uniform density within the radius. The same as in the add-on."""
_BACK = 0.5
"""Distance of the hairs' roots behind the guide's root, in lock radii, so that locks cover the skin where they part."""
_FINISHED = 16
"""Points of a finished hair at most: twice those of a card."""
_BESIDE, _ALIKE = 4, 0.3
"""Guides of which three make a hair, and how much places of middle and tip count beside the root for which these are:
none across a parting."""
_BEHIND = 0.002
"""Depth tolerance in metres: a hair may lie this far under the drawn skin and still be visible, because roots lie on a
finer surface than the one drawn."""


@dataclass(frozen=True)
class DrawnHair:
    """``color`` : (H, W, 3) float32 linear light, premultiplied. ``alpha`` : (H, W) float32 coverage by hair."""

    color: np.ndarray
    alpha: np.ndarray


@dataclass(frozen=True)
class FinishedHairs:
    """N hairs as they grow between guides. ``points`` : (N, P, 3) float32 metres, root first. ``root_colour``,
    ``tip_colour`` : (N, 3) linear light, albedo. ``curl`` : metres, radius of curls about them."""

    points: np.ndarray
    root_colour: np.ndarray
    tip_colour: np.ndarray
    curl: float


def finished_hairs(strands: HairStrands, count: int) -> FinishedHairs:
    """About ``count`` hairs over the skin, each a mixture of three guides that grow beside each other and alike, of
    uneven length, in waves, and fewer where the scalp is bare: in principle what the add-on's nodes grow."""
    generator, chain = np.random.default_rng(0), strands.chain or {}
    guides = resampled_to(strands.points.astype(np.float64), min(strands.points.shape[1], _FINISHED))
    if chain.get("wave"):
        far, swing = 1 / chain["wave_scale"], 0.5 * chain["wave"] * np.linspace(0, 1, guides.shape[1])
        flat = guides.reshape(-1, 3)
        aside = np.stack([waves(flat, far, seed) for seed in range(3)], -1).reshape(guides.shape)
        guides = guides + swing[:, None] * aside
    alike = guides[:, [0, guides.shape[1] // 2, -1]] * np.array([1, _ALIKE, _ALIKE])[:, None]
    near = cKDTree(alike.reshape(-1, 9)).query(alike.reshape(-1, 9), k=min(_BESIDE, len(guides)))[1]
    near = near.reshape(len(guides), -1)
    area = np.cumsum(strands.width.astype(np.float64) ** 2)
    own = np.searchsorted(area, (np.arange(count) + 0.5) / count * area[-1]).clip(0, len(guides) - 1)
    others = near[own[:, None], generator.integers(0, near.shape[1], (count, 2))]
    three, weight = np.column_stack([own, others]), generator.dirichlet((1.0, 1.0, 1.0), count)
    roots = (weight[..., None] * guides[three, 0]).sum(1)
    out, beside = unit_vectors(roots - guides[:, 0].mean(0)), generator.normal(0, 0.3, (count, 3))
    beside -= (beside * out).sum(1, keepdims=True) * out  # a lock reaches beyond its guide
    beside *= strands.width[own, None]
    if strands.scalp is not None:
        density = strands.scalp.density[cKDTree(strands.scalp.vertices).query(roots + beside)[1]]
        kept = (generator.random(count) < density) | (strands.free[own] > 0)
        three, weight, beside = three[kept], weight[kept], beside[kept]
    end = 1 - chain.get("trim", _UNEVEN) * generator.random(len(three)) ** chain.get("trim_power", 1.0)
    place = np.linspace(0, 1, guides.shape[1]) * end[:, None] * (guides.shape[1] - 1)
    low = np.minimum(place.astype(np.int64), guides.shape[1] - 2)
    t, points = (place - low)[..., None], np.repeat(beside[:, None], place.shape[1], axis=1)
    for corner in range(3):
        number, share = three[:, corner, None], weight[:, corner, None, None]
        points += share * ((1 - t) * guides[number, low] + t * guides[number, low + 1])
    root, tip = ((weight[..., None] * colour[three]).sum(1) for colour in (strands.root_colour, strands.tip_colour))
    return FinishedHairs(points.astype(np.float32), root, tip, chain.get("curl_radius", 0.0))


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
    normals = skin_normals(points[:, 0], vertices, faces)
    middle, axes, rim = lock_axes(points, strands.width, normals)
    tangent, outwards = _frames(points)
    colours = _shaded(strands, tangent, outwards, camera, light).astype(np.float32)
    to_pixels = (large.intrinsics @ large.camera_from_head[:3]).astype(np.float32)
    distance = float((points[:, 0] @ to_pixels[2, :3] + to_pixels[2, 3]).mean())
    lock = float(np.median(strands.width)) * float(large.intrinsics[0, 0]) / max(distance, 1e-3)
    length = np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(1)
    short = max(1.0, _OVER * float(np.median(strands.width) / max(np.median(length), 1e-6)))
    count = int(np.clip(round(_FULL * lock * short), _FEWEST, _MOST))
    counts = np.ceil(count * np.minimum(1.0, strands.width / WHOLE_LOCK) ** 2).astype(np.int64)
    canvas = np.zeros((height, width, 3), np.float32)
    front = np.full((height, width), np.inf, np.float32)
    hairs = [each.astype(np.float32) for each in _hairs(count, strands.width, length, rim)]
    _lines(middle, axes, colours, *hairs, counts, to_pixels, depth, front, canvas)
    drawn = np.isfinite(front).astype(np.float32)
    return DrawnHair(*(cv2.resize(image, camera.size, interpolation=cv2.INTER_AREA) for image in (canvas, drawn)))


def lock_edges(points: np.ndarray, width: np.ndarray, normals: np.ndarray, count: int = 8) -> np.ndarray:
    """(G, count + 1, P, 3) the guides (G, P, 3), then ``count`` of the outermost hairs of each lock.

    width : (G,) metres at the root; locks get narrower towards their tips. normals : (G, 3) of the skin at the roots.
    """
    axes = lock_axes(points, width, normals)[1]
    angle = np.arange(count) * 2 * np.pi / count
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)  # (count, 2)
    away = np.einsum("ca,gpax->gcpx", ring, axes)
    radius = 0.5 * width[:, None] * (1 - _NARROWS * _share(points)[:, None] * np.linspace(0, 1, points.shape[1]))
    return np.concatenate([points[:, None], points[:, None] + radius[:, None, :, None] * away], 1)


def _share(points: np.ndarray) -> np.ndarray:
    """(G,) in [0, 1] how far the hairs of guides (G, P, 3) form locks."""
    return np.minimum(np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(1) / _LOCK, 1)


def _frames(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames of guides, unit vectors (G, P, 3) each: tangent, and normal away from the head."""
    tangent = unit_vectors(np.gradient(points, axis=1))
    return tangent, _without(unit_vectors(points - points[:, :1].mean(0)), tangent)


def _without(vectors: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3), perpendicular to the unit vectors ``way`` (..., 3)."""
    return unit_vectors(vectors - (vectors * way).sum(-1, keepdims=True) * way)


def lock_axes(points: np.ndarray, width: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middles (G, P, 3) float32 of the locks of guides (G, P, 3), ``width`` (G,) metres wide; two axes (G, P, 2, 3)
    float32 of each one's cross-section; and (G,) in [0, 1] how far a guide stands at the hairline.

    Along the first axis hair spreads and gathers as the guides at both sides do, so that it fills what lies between
    them. The second lies in the skin, of ``normals`` (G, 3), at the root, and leads away from the head beyond it.
    """
    root = points[:, 0]
    flow = _without(points[:, -1] - root + [1e-6, 2e-6, 3e-6], normals)
    side = np.cross(normals, flow)
    tangent = unit_vectors(np.gradient(points, axis=1))
    middle = 0.5 * (points.min((0, 1)) + points.max((0, 1)))
    up = _without(unit_vectors(points - middle) - 0.2 * flow[:, None], tangent)  # against the flow where hair stands
    probes = root + width[:, None] * np.stack([side, -side, -flow])
    alone, near = cKDTree(root).query(probes)
    rim = np.clip(2.5 * (alone / width).max(0) - 1.5, 0, 1)[:, None, None]
    own = _OWN * width[:, None, None] ** 2
    spread, weight = own * np.cross(up, tangent), own
    for other in near[:2]:
        away = ((root[other] - root) * side).sum(-1)[:, None, None]
        way = points[other] - points
        way -= (way * tangent).sum(-1, keepdims=True) * tangent
        stretch = np.linalg.norm(way, axis=-1, keepdims=True) / np.maximum(np.abs(away), 1e-6)
        told = np.clip(_STRETCH - stretch, 0, 1) * away
        spread, weight = spread + told * way, weight + told * away
    leaves = _share(points)[:, None, None] * np.clip(np.linspace(0, _LEAVES, points.shape[1]), 0, 1)[:, None]
    thick = (1 - leaves) * -(1 + _FINE * rim) * flow[:, None] + leaves * (1 - _SOFT * rim) * up
    behind = points - _BACK * 0.5 * width[:, None, None] * (1 - leaves) * tangent
    axes = np.stack([spread / weight, thick], 2)
    return behind.astype(np.float32), axes.astype(np.float32), rim[:, 0, 0]


def _hairs(
    count: int, width: np.ndarray, length: np.ndarray, rim: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``count`` hairs N of each guide: (G, N, 2) metres at the root along the lock's axes and from there to the tip,
    (G, N) share of the guide's length at which they end, and (G, N) factors on their colour."""
    random, guides = np.random.default_rng(0), len(width)
    chance = random.random((guides, count, 6))
    tuft = (_TUFTS * chance[..., 2] ** 2).astype(np.int64)
    of_tuft, row = random.random((guides, _TUFTS, 5)), np.arange(guides)[:, None]
    own, other = (
        _from_guide(each[..., 0])[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        for each in (chance, of_tuft[row, tuft])
        for angle in (2 * np.pi * each[..., 1],)
    )
    share, radius = np.minimum(length / _LOCK, 1)[:, None, None], 0.5 * width[:, None, None]
    strength = _STRENGTH[0] + (_STRENGTH[1] - _STRENGTH[0]) * of_tuft[row, tuft, 2, None]
    clump = np.clip(_CLUMP * share * strength, 0, 1) * radius
    strays = _TOUSLE * share * np.minimum(length, _LOCK)[:, None, None]
    to = clump * (_AWAY * other - own) + strays * (other + _LOOSE * own) * [1, _FLAT]
    most = np.minimum(1, _UNEVEN_LONG / np.maximum(length, 1e-6))[:, None]
    uneven = 0.5 * (chance[..., 3] + of_tuft[row, tuft, 3]) * most
    end = 1 - _UNEVEN * (uneven + _YOUNG * (rim[:, None] * chance[..., 4]) ** 2)
    tone = 0.3 * chance[..., 5] + 0.35 * (of_tuft[row, tuft, 4] + chance[:, :1, 5])
    return radius * own, to, end, _TONES[0] + (_TONES[1] - _TONES[0]) * tone


def _shaded(
    strands: HairStrands, tangent: np.ndarray, across: np.ndarray, camera: Camera, light: np.ndarray
) -> np.ndarray:
    """(G, P, 3) linear light of each guide's points."""
    points = strands.points
    along = np.linspace(0, 1, points.shape[1], dtype=np.float32)[:, None]
    albedo = strands.root_colour[:, None] * (1 - along) + strands.tip_colour[:, None] * along
    shading = np.maximum(sh.shade(across.astype(np.float32), light), 0.02)
    way = np.linalg.norm(points - points[:, :1], axis=-1, keepdims=True)
    lamp = light[[3, 1, 2]].mean(1)  # the first band is the light's direction: x, y, z
    to_camera = unit_vectors(camera.centre() - points)
    half = unit_vectors(unit_vectors(lamp[None, None]) + to_camera) if np.linalg.norm(lamp) > 1e-6 else to_camera
    sine = np.sqrt(np.clip(1 - (tangent * half).sum(-1, keepdims=True) ** 2, 0, 1))
    highlight = sine**_SHARPNESS
    usual = max(float(highlight.mean()), 1e-6)
    shine = np.minimum(_SHINE, _MOST_SHINE * albedo.min(-1, keepdims=True) / usual)
    return (albedo + shine * (highlight - usual)) * shading * light_at_root(way, way.max(1, keepdims=True))


def _from_guide(chance: np.ndarray) -> np.ndarray:
    """Distances of hairs from their guides in lock radii, for chances drawn uniformly from [0, 1]."""
    return (0.5 - np.sin(np.arcsin(1 - 2 * chance) / 3)) * _THIN  # the inverse of 3 r^2 - 2 r^3


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _lines(points, axes, colours, root, to, ends, tones, counts, to_pixels, limit, front, canvas):
    height, width = limit.shape
    guides, count = points.shape[0], points.shape[1]
    for g in range(guides):
        for n in range(counts[g]):
            tone = tones[g, n]
            last_x, last_y, last_z = np.float32(0), np.float32(0), np.float32(-1)
            for k in range(count):
                t = k / (count - 1)
                if t > ends[g, n]:
                    break
                one, other = root[g, n, 0] + t * to[g, n, 0], root[g, n, 1] + t * to[g, n, 1]
                x = points[g, k, 0] + one * axes[g, k, 0, 0] + other * axes[g, k, 1, 0]
                y = points[g, k, 1] + one * axes[g, k, 0, 1] + other * axes[g, k, 1, 1]
                z = points[g, k, 2] + one * axes[g, k, 0, 2] + other * axes[g, k, 1, 2]
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
