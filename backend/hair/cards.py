"""Hair cards: textured strips of triangles in place of guides, for game engines that cannot render strands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from backend.geometry.vectors import unit_vectors
from backend.hair.draw import lock_axes
from backend.hair.hair_strands import WHOLE_LOCK, HairStrands
from backend.rendering.color import linear_from_srgb
from protocol.message import CARD_LEVELS, FEWER_CARDS, fewest_card_points

ATLAS_SIDE, COLUMNS = 512, 4
"""Side of the atlas in pixels, and number of different cards side by side in it. Fewer cards look alike; more are
narrower than 128 pixels."""
ALPHA_CUTOFF = 0.35
"""Least opacity in [0, 1] at which a texel of a card is drawn. It is below a half, because texels of small mip maps
average strands and gaps."""
_MOST_POINTS = 12
"""Points along a card: twelve bend like a guide of 24 points."""
_STRAIGHT = 0.25
"""Share of a card's points that go to where it is long; the others go to where it bends."""
_ROOT_WORTH = 50.0
"""Weight of a guide's root in a card's fit, relative to its other points, because cards begin on the scalp; and of a
guide's point relative to the card's own first place, which is felt only where a card has more points than a guide."""
_LAYERS, _GOLDEN = 1.0, 0.618
"""Range of the height in its lock at which a card lies, in half widths, so that neighbours overlap and do not cut each
other; from card to card it goes on by the golden section, which spreads any number of them evenly."""
_WIDER, _ROUNDED = 2.0, 0.2
"""Width of a card relative to what is to fill between its neighbours, because cards overlap and thin out at their
sides; and the tilt of normals at its edges: with 0.5 cards were ropes."""
_BACK = 0.9
"""Half widths (of fewer cards less) by which a card begins behind its lock, so that partings hide the scalp."""
_STRANDS = 44
"""Strands per card: at ``_STRAND_PIXELS`` they cover its middle twice and leave gaps at its sides."""
_ROOTS, _ROUND = 0.06, 0.12
"""Shares of a card's length over which its strands begin, and by which its edges begin later than its middle, so that
roots form no visible line and no corners."""
_STRAND_PIXELS = 1.3
"""Half the width of a strand in the atlas, in pixels: the narrowest that bilinear filtering draws without aliasing."""
_CORE, _CORE_END, _CORE_TONE = 0.8, 0.95, 0.7
"""The opaque middle of a card, behind its strands, so that few layers are clear along a ray: its width at the root in
cards, the share of the length at which it ends, and its tone relative to the brightest strand's, as display values."""
_LONG = 4.25
"""Half widths of a card from which length on its middle is opaque; shorter ones would be leaves and have single strands
only, in the atlas's last column."""


@dataclass(frozen=True)
class HairCards:
    """A mesh of cards, two-sided.

    Attributes
    ----------
    vertices, normals : (V, 3) float32 metres, head frame; unit normals that point out of the hair as a whole.
    uv : (V, 2) float32 in the atlas, v up; roots at the top. colours : (V, 3) float32 linear light, by which the
        atlas is multiplied; the mean of the product is the albedo.
    triangles : (T, 3) int32, T at most ``hair_cards``' ``most``.
    """

    vertices: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    colours: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True)
class CardAtlas:
    """``strands`` : (S, S, 4) uint8 sRGB, grey strands. ``normals`` : (S, S, 3) uint8 tangent-space normals.
    ``strand_map`` : (S, S, 4) uint8, for shaders of hair: red and green the strands' direction from root to tip,
    (1 + u) / 2 and (1 - v) / 2 with v up; blue a random number of each strand; alpha the depth, 1 in front."""

    strands: np.ndarray
    normals: np.ndarray
    strand_map: np.ndarray

    def mean_tone(self) -> float:
        """Mean linear light of the strands that are drawn."""
        return float(linear_from_srgb(self.strands[..., 0][self.strands[..., 3] >= 255 * ALPHA_CUTOFF]).mean())


def hair_cards(strands: HairStrands, most: int = CARD_LEVELS[0]) -> HairCards:
    """Make cards along guides, each the nearest polyline to a layer of its lock (``lock_axes``), as wide as its
    neighbours are apart. Where ``most`` triangles are too few for a card per guide that bends like it, guides are left
    out, evenly, and the others fill what is between them."""
    guides = len(strands.points)
    points = int(np.clip(most // (2 * guides) + 1, fewest_card_points(most), _MOST_POINTS))
    count = min(guides, most // (2 * (points - 1)))
    chosen, fewer = np.arange(count) * guides // count, guides / count
    hair, width = strands.points[chosen].astype(np.float64), strands.width[chosen, None, None]
    normals = unit_vectors(hair[:, 0] - hair[:, 0].mean(0))
    middle, axes, _ = lock_axes(hair, width[:, 0, 0] * np.sqrt(fewer), normals)
    layer = _LAYERS * (np.arange(count) * _GOLDEN % 1 - 0.5)
    middle = middle + 0.5 * layer[:, None, None] * width * axes[:, :, 1]
    fitted, along = _fitted(np.concatenate([middle, axes[:, :, 0]], -1).astype(np.float64), points)
    lines, across = fitted[..., :3], fitted[..., 3:]
    tangent = unit_vectors(np.gradient(lines, axis=1))
    side = _sides(lines, tangent)
    half = 0.5 * _WIDER * fewer**FEWER_CARDS * width * np.abs((across * side).sum(-1, keepdims=True))
    lines[:, :1] -= _BACK * half[:, :1] / fewer ** (FEWER_CARDS / 2) * tangent[:, :1]
    outwards = np.cross(tangent, side)
    vertices = np.stack([lines - half * side, lines + half * side], 2)  # (C, P, 2, 3)
    normals = unit_vectors(np.stack([outwards - _ROUNDED * side, outwards + _ROUNDED * side], 2))
    long = np.linalg.norm(np.diff(lines, axis=1), axis=-1).sum(1) > _LONG * half[:, 0, 0]
    long &= strands.width[chosen] >= WHOLE_LOCK
    column = np.where(long, np.arange(count) % (COLUMNS - 1), COLUMNS - 1)
    ends = np.where((np.arange(count) // COLUMNS % 2 == 0)[:, None, None], [0.02, 0.98], [0.98, 0.02])
    u = (column[:, None, None] + ends) / COLUMNS
    uv = np.stack(np.broadcast_arrays(u, 1 - along), -1)
    root, tip = strands.root_colour[chosen, None], strands.tip_colour[chosen, None]
    colours = np.repeat((root + (tip - root) * along)[:, :, None], 2, axis=2) / card_atlas().mean_tone()
    start = (np.arange(count)[:, None] * points + np.arange(points - 1)).ravel() * 2
    triangles = np.concatenate([np.stack([start, start + 2, start + 1], 1),
                                np.stack([start + 1, start + 2, start + 3], 1)])  # fmt: skip
    flat = (np.ascontiguousarray(each.reshape(-1, each.shape[-1]), np.float32)
            for each in (vertices, normals, uv, np.minimum(colours, 1.0)))  # fmt: skip
    return HairCards(*flat, triangles.astype(np.int32))


def card_roots(cards: HairCards) -> np.ndarray:
    """(V, 3) where the card of each vertex stands: the middle of its upper end."""
    rows = 2 * len(cards.vertices) // max(int((cards.uv[:, 1] > 1 - 1e-6).sum()), 1)
    return np.repeat(cards.vertices.reshape(-1, rows, 3)[:, :2].mean(1), rows, axis=0)


def _fitted(guides: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Polylines (G, count, C) nearest to guides (G, P, C) by least squares, and (G, count, 1) how far along each point
    is, 0 to 1. The first three of C are places. Points lie closer together where a guide bends: by the square root of
    its curvature, which makes the largest errors of the pieces alike."""
    step = np.diff(guides[..., :3], axis=1)
    size = np.maximum(np.linalg.norm(step, axis=-1), 1e-9)
    way = step / size[..., None]
    turn = np.pad(np.arccos(np.clip((way[:, 1:] * way[:, :-1]).sum(-1), -1, 1)), ((0, 0), (1, 1)), mode="edge")
    bends = np.sqrt(0.5 * (turn[:, 1:] + turn[:, :-1]) * size) + 1e-9
    shares = (1 - _STRAIGHT) * bends / bends.sum(1, keepdims=True) + _STRAIGHT * size / size.sum(1, keepdims=True)
    length, share = (np.pad(each.cumsum(1), ((0, 0), (1, 0))) for each in (size, shares))
    length, share = length / length[:, -1:], share / share[:, -1:]
    wanted = np.linspace(0, 1, count)
    along = np.array([np.interp(wanted, one, other) for one, other in zip(share, length, strict=True)])
    each = np.eye(count)
    hats = np.array([[np.interp(x, y, one) for one in each] for x, y in zip(length, along, strict=True)])
    hats = hats.transpose(0, 2, 1)  # (G, P, count) weights of a card's points at the guide's
    first = [[np.interp(x, y, channel) for channel in one.T] for x, y, one in zip(along, length, guides, strict=True)]
    first = np.array(first).transpose(0, 2, 1)
    weighed = hats * np.r_[_ROOT_WORTH, np.ones(guides.shape[1] - 1)][:, None]
    gram = np.einsum("gpk,gpl->gkl", weighed, hats) + np.eye(count) / _ROOT_WORTH
    return first + np.linalg.solve(gram, np.einsum("gpk,gpc->gkc", weighed, guides - hats @ first)), along[..., None]


def _sides(lines: np.ndarray, tangent: np.ndarray) -> np.ndarray:
    """Unit vectors (C, P, 3) across cards of ``lines`` (C, P, 3), flat on the hair's body: a ball about the scalp's
    middle, and below it a cylinder. Where hair stands straight up, a card goes on as it lies nearer its other end."""
    outwards = lines - lines[:, 0].mean(0)
    outwards[..., 1] = np.maximum(outwards[..., 1], 0)
    side = np.cross(unit_vectors(outwards), tangent)  # short where hair stands
    for _ in range(6):
        side[:, 1:-1] = 0.25 * side[:, :-2] + 0.5 * side[:, 1:-1] + 0.25 * side[:, 2:]
        side[:, [0, -1]] = 0.5 * (side[:, [0, -1]] + side[:, [1, -2]])
    side += 1e-6 * np.cross(tangent, [0.0, 0.0, 1.0])
    return unit_vectors(side - (side * tangent).sum(-1, keepdims=True) * tangent)


@cache
def card_atlas() -> CardAtlas:
    """The cards' texture: ``COLUMNS`` bundles of strands that thin out towards tip, sides and root."""
    generator = np.random.default_rng(0)
    width = ATLAS_SIDE // COLUMNS
    v = np.linspace(0, 1, ATLAS_SIDE, dtype=np.float32)[:, None]  # 0 at the root
    x = np.arange(width, dtype=np.float32)[None, :, None]
    pictures, heights, maps = [], [], []
    for number in range(COLUMNS):
        place, drift = generator.triangular(0.04, 0.5, 0.96, _STRANDS), generator.normal(0, 0.05, _STRANDS)
        start = generator.uniform(0, _ROOTS, _STRANDS) + _ROUND * (1 - np.sqrt(1 - (2 * place - 1) ** 2))
        wave, phase = generator.uniform(0, 0.025, _STRANDS), generator.uniform(0, 2 * np.pi, _STRANDS)
        end, tone = generator.uniform(0.7, 1.05, _STRANDS), generator.uniform(0.6, 1.0, _STRANDS)
        middle = 0.5 + (place - 0.5) * (1 - 0.35 * v) + drift * v + wave * np.sin(phase + 7 * v) * v  # (S, K)
        away = np.abs(x - (middle * width)[:, None]) / (_STRAND_PIXELS * (1.2 - 0.5 * v))[:, :, None]  # (S, width, K)
        shape = np.clip(1.6 - away, 0, 1) * np.clip((np.minimum(end - v, v - start) + 0.02) * 25, 0, 1)[:, None]
        front = (shape - 1e-3 * away).argmax(-1)
        round_root = np.sqrt(1 - np.clip(1 - (v - _ROOTS) / _ROUND, 0, 1) ** 2)
        half = 0.5 * _CORE * width * (1 - (v / _CORE_END) ** 3) * round_root
        core = np.clip(half - np.abs(x[..., 0] - 0.5 * width), 0, 1)
        core *= number < COLUMNS - 1
        alpha = shape.max(-1)
        shown = np.where(alpha < core, _CORE_TONE, tone[front])
        alpha = np.maximum(alpha, core)
        pictures.append(np.stack([shown] * 3 + [alpha], -1))
        slope = np.gradient(middle * width, axis=0)  # pixels aside per pixel down
        flow = unit_vectors(np.stack([-slope, np.ones_like(slope)], -1))[np.arange(ATLAS_SIDE)[:, None], front]
        depth = alpha * shown
        maps.append(np.concatenate([0.5 + 0.5 * flow, np.stack([generator.random(_STRANDS)[front], depth], -1)], -1))
        heights.append(alpha * np.sqrt(np.clip(1 - (away.min(-1) / 1.6) ** 2, 0, 1)))
    strands, strand_map = ((np.concatenate(each, 1) * 255 + 0.5).astype(np.uint8) for each in (pictures, maps))
    slope = np.gradient(np.concatenate(heights, 1), axis=1)
    normal = unit_vectors(np.stack([-0.75 * slope, np.zeros_like(slope), np.ones_like(slope)], -1))
    return CardAtlas(strands, (normal * 127.5 + 128).clip(0, 255).astype(np.uint8), strand_map)
