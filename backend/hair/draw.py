"""Hairs between guides, as they grow in the extension; and a picture of them over the head, for previews."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from backend.geometry.vectors import area_vectors, smoothstep, unit_vectors
from backend.hair.groom.scalp import lock_variation
from backend.hair.hair_strands import FACIAL_GUIDES, HIDES, HairStrands, Scalp, resampled_to, shortened
from backend.rendering import spherical_harmonics as sh
from backend.rendering.camera import Camera
from backend.rendering.rasterize import depth_map
from backend.system.numba_cache import numba
from protocol.hair_cards import HairCards, bundled_cards, outwards
from protocol.message import CARD_LEVELS

DRAWN = 40000
"""Hairs of a preview, each a line as wide as two or three hairs of a head."""
_SUPERSAMPLE = 4
"""Supersampling per image axis, because hairs are a fifth of a pixel wide: at 2 every border is specks."""
_LINE = 0.0003
"""Metres: a line for each hair of ``DRAWN``. Smaller pictures draw as many fewer as their pixels are wider."""
_SOFT, _THIN = 0.3, 0.3
"""Share of a hair's end over which it thins out; thickness of hairs at the hairline relative to others."""
_YOUNG = 0.1
"""Least share of their length that short hairs at the hairline have."""
_RIM = 0.008
"""Metres behind the hairline over which hairs get longer and thicker."""
_TONES, _BY_LOCK = 0.3, 0.5
"""Half the range of brightness between hairs, and that between locks relative to it."""
_LIT = 5
"""Places along a hair that are shaded."""
_SHINE, _SHARPNESS = 0.06, 30.0
"""Strength of the specular highlight under white light (linear), and its exponent (Kajiya and Kay 1989, on the sine of
the angle between the strand and the half vector)."""
_MOST_SHINE = 0.5
"""Largest mean highlight, relative to a hair's albedo in its darkest channel. Colours come from photos, so they already
contain white highlights."""
_GLOW = 0.25
"""Share of a hair's colour in its second highlight, which has passed through it and is broader: of light hair the
brightest tenth was 16 L* darker than in 24 people's photos, with it 8."""
_AROUND, _DENSE, _CELL = 0.18, 0.12, 10 * _LINE
"""Share of light that comes round other hairs; optical depth of hairs that cover an area once, most of whose light goes
on; and metres across a lock, between which are shadows."""
_FINISHED, _CURLED, _TURN = 16, 48, 12
"""Points of a finished hair, and of one in curls at most; points of a turn, of 6 strays were polygons."""
_BESIDE, _ALIKE = 4, 0.3
"""Guides of which three make a hair, and how much places of middle and tip count beside the root for which these are:
none across a parting."""
_BEARD = 0.5
"""Hairs of beards relative to the widths of their guides' locks, which overlap: with all of them borders are hard."""
_SCALP = 0.13
"""Square metres, of the squares of widths of the locks of a head's hair, by which a beard without any is as dense."""
_ABOVE_SKIN = 0.003
"""Metres from skin to the hair above it at a hairline, as grooms have it: it shades skin so far around."""
_BEHIND = 0.002
"""Depth tolerance in metres: a hair may lie this far under the drawn skin and still be visible, because roots lie on a
finer surface than the one drawn."""


@dataclass(frozen=True)
class DrawnHair:
    """``color`` : (H, W, 3) float32 linear light, premultiplied. ``alpha`` : (H, W) float32 coverage by hair.
    ``light`` : (H, W, 3) share of its light that skin gets among hair: what hair does not cover, or lets through in its
    colour; 1 beside the head."""

    color: np.ndarray
    alpha: np.ndarray
    light: np.ndarray


@dataclass(frozen=True)
class FinishedHairs:
    """N hairs as they grow between guides. ``points`` : (N, P, 3) float32 metres, root first. ``root_colour``,
    ``tip_colour`` : (N, 3) linear light, albedo, of the lock. ``thick`` : (N,) relative to the thickest. ``facial`` :
    (N,) bool. ``curl`` : metres, radius of their curls."""

    points: np.ndarray
    root_colour: np.ndarray
    tip_colour: np.ndarray
    thick: np.ndarray
    facial: np.ndarray
    curl: float


def finished_hairs(strands: HairStrands, count: int) -> FinishedHairs:
    """About ``count`` hairs over the skin, each a mixture of three guides that grow beside each other and alike, fewer
    where the scalp is bare, and finished as by the add-on's nodes: of uneven length, fine at the hairline, in locks of
    two sizes, and curls."""
    generator, chain = np.random.default_rng(0), strands.chain or {}
    most = _FINISHED if strands.free is None or not strands.free.any() else _CURLED  # braids turn often
    guides = resampled_to(strands.points.astype(np.float64), min(strands.points.shape[1], most))
    near = cKDTree(_alike(guides)).query(_alike(guides), k=min(_BESIDE, len(guides)))[1].reshape(len(guides), -1)
    # short hairs are drawn as more and finer ones, else napes and sideburns are dots
    finer = np.sqrt(np.maximum(HIDES / np.linalg.norm(np.diff(guides, axis=1), axis=-1).sum(1), 1.0))
    scalp, area = len(guides) - int(strands.parameters.get(FACIAL_GUIDES, 0.0)), strands.width.astype(np.float64) ** 2
    count /= area[:scalp].sum() if scalp else _SCALP
    area[scalp:] *= _BEARD
    area = np.cumsum(finer * area)
    count = round(count * area[-1])
    own = np.searchsorted(area, (np.arange(count) + 0.5) / count * area[-1]).clip(0, len(guides) - 1)
    loose = np.ones(len(guides), bool) if strands.scalp is None else strands.free > 0
    sown = np.zeros((0, 5)) if loose.all() else _sown(strands.scalp, int((~loose[own]).sum()), generator)
    nearest = cKDTree(guides[~loose, 0]).query(sown[:, :3])[1]
    own = np.append(own[loose[own]], np.flatnonzero(~loose)[nearest])
    count, first = len(own), len(own) - len(sown)
    others = near[own[:, None], generator.integers(0, near.shape[1], (count, 2))]
    three, weight = np.column_stack([own, others]), generator.dirichlet((1.0, 1.0, 1.0), count)
    roots = (weight[..., None] * guides[three, 0]).sum(1)
    out = unit_vectors(roots - guides[:, 0].mean(0))
    beside = generator.normal(0, 0.3 * strands.width[own], (3, count)).T
    beside -= (beside * out).sum(1, keepdims=True) * out  # a lock reaches beyond its guide
    beside[first:] = sown[:, :3] - roots[first:]
    edge, top = np.concatenate([np.full((first, 2), (_RIM, 0.0)), sown[:, 3:]]).T
    rim, chance = smoothstep(0.0, _RIM, edge), generator.random((4, count))
    end = 1 - chain.get("trim", 0.25) * chance[0] ** chain.get("trim_power", 1.0)
    young = chance[1] < chain.get("baby", 0.0) * (1 - rim)
    end *= np.where(young, _YOUNG + (1 - _YOUNG) * chance[2], 1.0)
    length = end * np.linalg.norm(np.diff(guides, axis=1), axis=-1).sum(1)[own]
    turns = _TURN * chain.get("curl_frequency", 0.0) * float(np.median(length)) * (chain.get("curl_radius", 0.0) > 0)
    full = resampled_to(guides, int(np.clip(turns, guides.shape[1], _CURLED))).astype(np.float32)
    hairs = sum(weight[:, k, None, None].astype(np.float32) * full[three[:, k]] for k in range(3))
    hairs += beside[:, None].astype(np.float32)
    deep = (np.arange(count) >= first) * smoothstep(0.0, chain.get("clump_edge", _RIM), edge)
    hairs, phase = _in_locks(hairs, chain, deep, top, strands.width, 7 * chance[3])
    hairs = shortened(hairs, end)  # in locks before: hairs of one lock end apart, and its tip thins out
    hairs += _turned(hairs, chain, length, phase, top, rim)
    tone = 1 + _TONES * (1 - 2 * chance[3] - _BY_LOCK * lock_variation(hairs[:, 0]))[:, None]
    colours = strands.root_colour, strands.tip_colour
    root, tip = (tone * (weight[..., None] * colour[three]).sum(1) for colour in colours)
    thick = (_THIN + (1 - _THIN) * rim) / (weight * finer[three]).sum(1)
    return FinishedHairs(hairs, root, tip, thick, own >= scalp, chain.get("curl_radius", 0.0))


def _sown(scalp: Scalp, count: int, generator: np.random.Generator) -> np.ndarray:
    """(N, 5) places of roots, and edge and top there, of ``count`` hairs if all is full: as even as the scalp's
    density, and denser where hair is shorter. About their guides they stood in spots."""
    area = np.linalg.norm(area_vectors(scalp.vertices.astype(np.float64), scalp.triangles), axis=1)[:, None]
    area = area * np.sqrt(np.maximum(HIDES / scalp.length, 1.0))[scalp.triangles]
    dense = np.cumsum((area * scalp.density[scalp.triangles]).sum(1))
    count = round(count * dense[-1] / area[scalp.edge[scalp.triangles] > 0].sum())
    which = scalp.triangles[np.searchsorted(dense, (np.arange(count) + 0.5) / count * dense[-1])]
    share, maps = generator.dirichlet((1.0, 1.0, 1.0), count), np.column_stack([scalp.vertices, scalp.edge, scalp.top])
    return (share[..., None] * maps[which]).sum(1)


def _alike(hairs: np.ndarray) -> np.ndarray:
    """(N, 9) places of hairs (N, P, 3) by which those are near that grow beside each other the same way."""
    return (hairs[:, [0, hairs.shape[1] // 2, -1]] * np.array([1, _ALIKE, _ALIKE])[:, None]).reshape(len(hairs), -1)


def _in_locks(
    hairs: np.ndarray,
    chain: Mapping[str, float],
    rim: np.ndarray,
    top: np.ndarray,
    width: np.ndarray,
    phase: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Hairs (N, P, 3) that come together towards their tips, in locks of two sizes, by a share ``rim`` (N,), and the
    phase (N,) of their curls, alike in a lock. ``width`` : (G,) metres, of guides."""
    generator = np.random.default_rng(2)
    for name in ("clump", "lock") if chain else ():
        fewer = len(hairs) * chain[f"{name}_distance"] ** 2 / (width.astype(np.float64) ** 2).sum()
        middles = np.flatnonzero(rim > 0)[:: max(1, round(fewer))]
        if len(middles):
            near = middles[cKDTree(_alike(hairs[middles])).query(_alike(hairs))[1]]
            side, shape = chain[f"{name}_side"], chain[f"{name}_shape"]
            share = rim * (side + (chain[f"{name}_top"] - side) * top)
            along = np.linspace(0, 1, hairs.shape[1]) ** (shape / (1 - shape))
            along[0] = 0.0
            apart = (chain[f"{name}_spread"] * generator.normal(0, 0.6, (len(hairs), 1, 3))).astype(np.float32)
            tips = hairs[near] + apart * np.linspace(0, 1, hairs.shape[1], dtype=np.float32)[:, None]
            hairs = hairs + (share[:, None] * along).astype(np.float32)[..., None] * (tips - hairs)
            phase = phase[near] + chain["curl_random"] * np.sin(phase)
    return hairs, phase


def _turned(
    hairs: np.ndarray,
    chain: Mapping[str, float],
    length: np.ndarray,
    phase: np.ndarray,
    top: np.ndarray,
    rim: np.ndarray,
) -> np.ndarray:
    """(N, P, 3) float32 by which noise and curls, tight at the hairline, move hairs (N, P, 3) of a length (N,)."""
    generator, along = np.random.default_rng(1), np.linspace(0, 1, hairs.shape[1], dtype=np.float32)
    run = (length[:, None] * along).astype(np.float32)
    side, fly = chain.get("noise_side", 0.0), generator.random(len(hairs)) < chain.get("fly_share", 0.0)
    size = side + (chain.get("noise_top", side) - side) * top + chain.get("fly", 0.0) * fly
    scale = np.where(fly, chain.get("fly_scale", 0.0), chain.get("noise_scale", 0.0))
    scale = np.minimum(scale, hairs.shape[1] / (_TURN * np.maximum(length, 1e-6)))[:, None]  # no kinks between points
    move = np.zeros_like(hairs)
    for number in range(2):
        way = (generator.normal(0, 0.6, (len(hairs), 3)) * size[:, None]).astype(np.float32)
        turn = 2 * np.pi * scale * run + 7 * generator.random((len(hairs), 1), np.float32)
        move += (along * np.sin(turn / (number + 1)))[..., None] * way[:, None]
    if chain.get("curl_radius", 0.0) > 0:
        tangent = unit_vectors(np.gradient(hairs, axis=1))
        across = unit_vectors(np.cross(tangent, outwards(hairs)))
        often = chain["curl_frequency"] * (1 + 0.5 * chain["curl_random"] * np.sin(phase))
        angle = (2 * np.pi * often[:, None] * run + phase[:, None]).astype(np.float32)[..., None]
        grown = np.minimum(7 * along, chain["curl_start"] + (1 - chain["curl_start"]) * along)
        share = rim * (chain["curl_side"] + (1 - chain["curl_side"]) * top)
        radius = (chain["curl_radius"] * share[:, None] * grown).astype(np.float32)[..., None]
        move += radius * (np.cos(angle) * across + np.sin(angle) * np.cross(tangent, across))
    return move


def draw_hair(
    hairs: FinishedHairs,
    camera: Camera,
    vertices: np.ndarray,
    faces: np.ndarray,
    light: np.ndarray,
    depth: np.ndarray | None = None,
) -> DrawnHair:
    """Draw hair as a camera sees it, occluded by the head.

    Parameters
    ----------
    hairs : metres, head frame. vertices : (V, 3), faces : (T, 3) of the occluders, the same frame.
    light : (9, 3) as in ``spherical_harmonics``. A strand is shaded as a diffuse cylinder, by the hair's normal as a
        whole. depth : ``Rendering.depth`` of the occluders by this camera, of any size; None: made here.
    """
    large = camera.scaled(float(_SUPERSAMPLE))
    depth = depth_map(vertices, faces, large) if depth is None else depth
    depth = cv2.resize(depth, large.size, interpolation=cv2.INTER_NEAREST) + np.float32(_BEHIND)
    to_pixels = (large.intrinsics @ large.camera_from_head[:3]).astype(np.float32)
    pixel = max(float((hairs.points[:, 0] @ to_pixels[2, :3]).mean() + to_pixels[2, 3]), 1e-3) / large.intrinsics[0, 0]
    step, wide = max(1, round(pixel / _LINE)), max(1, round(_LINE / pixel))
    points, thick = hairs.points[::step], hairs.thick[::step].astype(np.float32)
    colours = _shaded(points, hairs.root_colour[::step], hairs.tip_colour[::step], camera, light)
    canvas, front = np.zeros((*depth.shape, 3), np.float32), np.full(depth.shape, np.inf, np.float32)
    _lines(np.ascontiguousarray(points, np.float32), colours, thick, wide, to_pixels, depth, front, canvas)
    images = canvas, *(np.isfinite(seen).astype(np.float32) for seen in (front, depth))
    color, alpha, skin = (cv2.resize(image, camera.size, interpolation=cv2.INTER_AREA) for image in images)
    through = cv2.GaussianBlur(color - alpha[..., None], (0, 0), _ABOVE_SKIN / (pixel * _SUPERSAMPLE))
    return DrawnHair(color, alpha, np.clip(1 + skin[..., None] * through, 0, 1))


def _shaded(points: np.ndarray, root: np.ndarray, tip: np.ndarray, camera: Camera, light: np.ndarray) -> np.ndarray:
    """(N, ``_LIT``, 3) linear light of places along hairs (N, P, 3)."""
    places = resampled_to(points, _LIT)
    along = np.linspace(0, 1, _LIT, dtype=np.float32)[:, None]
    tangent, out = unit_vectors(np.gradient(places, axis=1)), unit_vectors(outwards(places))
    normal = unit_vectors(out - (out * tangent).sum(-1, keepdims=True) * tangent)
    albedo = root[:, None] * (1 - along) + tip[:, None] * along
    shading = np.maximum(sh.shade(normal.astype(np.float32), light), 0.02)
    lamp = light[[3, 1, 2]].mean(1)  # the first band is the light's direction: x, y, z
    to_camera = unit_vectors(camera.centre() - places)
    half = unit_vectors(unit_vectors(lamp[None, None]) + to_camera) if np.linalg.norm(lamp) > 1e-6 else to_camera
    sine = np.sqrt(np.clip(1 - (tangent * half).sum(-1, keepdims=True) ** 2, 0, 1))
    seen = _reached(points, places, to_camera.mean((0, 1))) ** 4  # hairs hide more than they shade
    highlight = sine**_SHARPNESS
    usual, glow = max(float(highlight.mean()), 1e-6), _evened(highlight**0.25, seen)
    shine = np.minimum(_SHINE, _MOST_SHINE * albedo.min(-1, keepdims=True) / usual)
    open_ = _AROUND + (1 - _AROUND) * _reached(points, places, lamp)
    lit = (albedo * (1 + _GLOW * (glow - 1)) + shine * (highlight - usual)) * shading * _evened(open_, seen)
    return lit.astype(np.float32)


def _reached(points: np.ndarray, places: np.ndarray, way: np.ndarray) -> np.ndarray:
    """(N, L, 1) share of the light from direction ``way`` (3,) that reaches ``places`` (N, L, 3) between hairs
    (N, P, 3): a deep opacity map (Yuksel and Keyser 2008)."""
    if np.linalg.norm(way) < 1e-6:
        return np.ones((*places.shape[:2], 1))
    frame = np.linalg.svd(way[None])[2] / _CELL
    frame[0] *= np.sign(frame[0] @ way)
    cells = np.floor(points.reshape(-1, 3) @ frame.T).astype(np.int64)
    low = cells.min(0) - 2
    size = tuple(cells.max(0) - low + 3)
    run = np.linalg.norm(np.diff(points, axis=1), axis=2).mean(1).repeat(points.shape[1])
    area = np.bincount(np.ravel_multi_index(tuple((cells - low).T), size), run * _LINE / _CELL**2, np.prod(size))
    before = np.cumsum(area.reshape(size)[::-1], 0)[::-1] - area.reshape(size)
    where = (places.reshape(-1, 3) @ frame.T - low - 0.5).T
    return np.exp(-_DENSE * map_coordinates(before, where, order=1)).reshape(*places.shape[:2], 1)


def _evened(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Values (N, L, 1) divided by their mean over what is seen, of shares ``seen`` (N, L, 1)."""
    return values / max(float((values * seen).sum() / seen.sum()), 1e-6)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _lines(points, colours, thick, wide, to_pixels, limit, front, canvas):
    height, width = limit.shape
    count, lit = points.shape[1], colours.shape[1]
    for g in range(points.shape[0]):
        last_x, last_y, last_z, number = np.float32(0), np.float32(0), np.float32(-1), 0
        for k in range(count):
            x, y, z = points[g, k]
            depth = to_pixels[2, 0] * x + to_pixels[2, 1] * y + to_pixels[2, 2] * z + to_pixels[2, 3]
            if not depth > 0.01:
                break
            u = (to_pixels[0, 0] * x + to_pixels[0, 1] * y + to_pixels[0, 2] * z + to_pixels[0, 3]) / depth
            v = (to_pixels[1, 0] * x + to_pixels[1, 1] * y + to_pixels[1, 2] * z + to_pixels[1, 3]) / depth
            steps = max(1, int(max(abs(u - last_x), abs(v - last_y)) + 0.999))
            if last_z > 0 and steps < 4 * (width + height):  # longer ones pass close to the camera
                steep = abs(v - last_y) > abs(u - last_x)
                for s in range(steps):
                    w = s / steps
                    along = (k - 1 + w) / (count - 1)
                    number += 1
                    chance = (0.618034 * number + 0.7548777 * g) % 1.0  # evenly spread
                    if chance > thick[g] * min(1.0, (1 - along) / _SOFT):
                        continue
                    place = along * (lit - 1)
                    low = min(int(place), lit - 2)
                    part = place - low
                    here = last_z + w * (depth - last_z)
                    for beside in range(wide):
                        j = int(np.floor(last_x + w * (u - last_x))) + (beside if steep else 0)
                        i = int(np.floor(last_y + w * (v - last_y))) + (0 if steep else beside)
                        if 0 <= j < width and 0 <= i < height and here <= limit[i, j] and here < front[i, j]:
                            front[i, j] = here
                            for c in range(3):
                                canvas[i, j, c] = (1 - part) * colours[g, low, c] + part * colours[g, low + 1, c]
            last_x, last_y, last_z = u, v, depth


_HAIRS = 4000
"""Finished hairs that are bundled into cards: five a card."""


def hair_cards(strands: HairStrands, most: int = CARD_LEVELS[0]) -> HairCards:
    """Cards of at most ``most`` triangles in bundles of a head's finished hairs (``finished_hairs``)."""
    hairs = finished_hairs(strands, _HAIRS)
    return bundled_cards(hairs.points, hairs.root_colour, hairs.tip_colour, hairs.curl, most)
