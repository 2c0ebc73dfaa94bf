"""Lashes: MakeHuman's strips as grids from the lid's edge to the tips, their opacity, and an image of single tapering
hairs with the strips' UVs in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, shortest_path

from backend.exchange.face_asset import FaceAsset
from backend.geometry.template import boundary_edges, vertex_adjacency
from backend.rendering.color import srgb_from_linear
from backend.texture.parts import LASHES


@dataclass(frozen=True)
class LashStrip:
    """A strip of P vertices of part ``lashes``.

    Attributes
    ----------
    members : (P,) int vertices of part ``lashes``. points : (P, 3) float64, their positions, metres, head frame.
    row : (P,) int edge steps from the root, the side at the lid. column : (P,) int nearest root vertex, counted along
        the root.
    share : (P,) in [0, 1] from the root to the tips, by steps.
    upper : whether the strip belongs to the upper lid.
    """

    members: np.ndarray
    points: np.ndarray
    row: np.ndarray
    column: np.ndarray
    share: np.ndarray
    upper: bool

    def grid(self) -> np.ndarray | None:
        """(R, C) int positions in ``members``, root row first; None if the strip is not a regular grid."""
        grid = np.full((self.row.max() + 1, self.column.max() + 1), -1)
        grid[self.row, self.column] = np.arange(len(self.members))
        return None if (grid < 0).any() else grid


def lash_strips(asset: FaceAsset) -> Iterator[LashStrip]:
    """Yield the strips of part ``lashes``: pieces with four corners. The root is the long side nearer to the
    eyeball."""
    part = asset.part("lashes")
    eyes = np.stack([asset.part(name).vertices.mean(axis=0) for name in ("eye_left", "eye_right")])
    adjacency = vertex_adjacency(part.quads, len(part.vertices))
    border = boundary_edges(part.quads)
    count, strip_of = connected_components(adjacency, directed=False)
    for strip in range(count):
        members = np.flatnonzero(strip_of == strip)
        points = part.vertices[members].astype(np.float64)
        to_eye = np.linalg.norm(points[:, None] - eyes[None], axis=-1)
        eye = to_eye.mean(axis=0).argmin()
        sides = _long_sides(members, border[strip_of[border[:, 0]] == strip], adjacency)
        if sides is None:
            continue
        root, tip = sorted(sides, key=lambda side: to_eye[side, eye].mean())
        steps = shortest_path(adjacency[members][:, members], unweighted=True, indices=np.concatenate([root, tip]))
        from_root, from_tip = steps[: len(root)].min(axis=0), steps[len(root) :].min(axis=0)
        yield LashStrip(
            members,
            points,
            row=from_root.astype(int),
            column=steps[: len(root)].argmin(axis=0),
            share=from_root / np.maximum(from_root + from_tip, 1),
            upper=bool(points[:, 1].mean() > eyes[eye, 1]),
        )


def _long_sides(members: np.ndarray, border: np.ndarray, adjacency: csr_matrix) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions in ``members`` of the vertices of a grid's two long sides; None unless it has four corners."""
    degree = np.diff(adjacency.indptr)
    follows = dict(border.tolist())
    corners = [vertex for vertex in members.tolist() if degree[vertex] == 2 and vertex in follows]
    if len(corners) != 4:
        return None
    sides = []
    for corner in corners:
        side = [corner, follows[corner]]
        while side[-1] not in corners and len(side) <= len(members):
            side.append(follows[side[-1]])
        sides.append(np.searchsorted(members, side))
    sides.sort(key=len)
    return sides[-2], sides[-1]


UPPER_ALPHA, LOWER_ALPHA = 1.0, 0.45
"""Alpha at the lid's edge."""

FALL_OFF = 0.9
"""Exponent: alpha is (1 - t)**FALL_OFF, t from 0 at the lid to 1 at the tips."""


def lash_alpha(asset: FaceAsset) -> np.ndarray:
    """(V,) float32 alpha in [0, 1] of the vertices of part ``lashes``.

    Pieces that are not strips (``lash_strips``) are opaque.
    """
    alpha = np.ones(len(asset.part("lashes").vertices), np.float32)
    for strip in lash_strips(asset):
        alpha[strip.members] = (UPPER_ALPHA if strip.upper else LOWER_ALPHA) * (1 - strip.share) ** FALL_OFF
        alpha[strip.members] *= _relative_density(strip)
    return alpha


def _relative_density(strip: LashStrip) -> np.ndarray:
    """(P,) factor in (0, 1] that lowers opacity where hairs are farther apart than elsewhere in their row of a strip.

    A lid has the same number of hairs on each millimetre of its edge. At the outer corner ``hm08``'s strips fan out
    from a very short edge; with the same opacity as elsewhere they would be a dark blot there.
    """
    grid = strip.grid()
    if grid is None:
        return np.ones(len(strip.members))
    step = np.linalg.norm(np.diff(strip.points[grid], axis=1), axis=-1)  # (R, C - 1)
    step = 0.5 * (np.pad(step, ((0, 0), (1, 0)), "edge") + np.pad(step, ((0, 0), (0, 1)), "edge"))
    hairs = step[0] / np.maximum(step, 1e-9)
    share = np.minimum(1.0, hairs / np.median(hairs, axis=1, keepdims=True))
    return np.round(share, 4)[strip.row, strip.column]


WIDTH, HEIGHT = 1024, 512
"""Pixels: a strip is 33 mm long at the lid, so a hair of 0.1 mm is three pixels wide. Upper lashes are the upper half
of the image, lower ones the lower half; roots lie at the lower edge of each, the eye's inner corner at the left."""
_SUPERSAMPLING = 2
"""Supersampling factor per side."""
_MARGIN = 0.02
"""Fraction of a half's height left empty above and below the hairs, so that filtering does not mix the halves."""
_UPPER_HAIRS, _LOWER_HAIRS = 120, 62
"""People have 90 to 160 and 75 to 80. Lower lashes are fainter, and hairs thinner than a pixel flicker."""
_UPPER_LENGTH, _LOWER_LENGTH = 0.95, 0.62
"""Longest hairs, as a fraction of the strip's width, which is up to 11 mm on the upper lid and 8 on the lower."""
_UPPER_PIXELS, _LOWER_PIXELS = 3.4, 2.6
"""Width of a hair at its root, pixels."""
_CLUMP_SIZE = 3
"""Hairs per clump; their tips lean towards each other."""
_SEED = 3


def lash_positions(asset: FaceAsset) -> np.ndarray | None:
    """(V, 2) float32 UVs of part ``lashes`` in ``lash_picture``, v up; None if its pieces are not strips. The number of
    hairs per millimetre of lid edge is constant, so hairs fan out with the strips."""
    places = np.full((len(asset.part("lashes").vertices), 2), -1.0, np.float32)
    for strip in lash_strips(asset):
        grid = strip.grid()
        if grid is None:
            return None
        points = strip.points[grid]
        if abs(points[0, 0, 0]) > abs(points[0, -1, 0]):  # the nose is at x = 0
            grid, points = grid[:, ::-1], points[:, ::-1]
        along = np.cumsum(np.r_[0.0, np.linalg.norm(np.diff(points[0], axis=0), axis=-1)])
        across = np.cumsum(np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=-1), axis=0)
        up = _MARGIN + (1 - 2 * _MARGIN) * across / np.maximum(across[-1], 1e-9)
        places[strip.members[grid], 0] = along / max(along[-1], 1e-9)
        places[strip.members[grid], 1] = 0.5 * (up + strip.upper)
    return None if (places < 0).any() else places


@cache
def lash_picture() -> np.ndarray:
    """(HEIGHT, WIDTH, 4) uint8: one sRGB colour, opaque on hairs; row 0 is v = 1. Deterministic."""
    random = np.random.default_rng(_SEED)
    lower = _hairs(random, _LOWER_HAIRS, _LOWER_LENGTH, _LOWER_PIXELS)
    upper = _hairs(random, _UPPER_HAIRS, _UPPER_LENGTH, _UPPER_PIXELS)
    picture = np.empty((HEIGHT, WIDTH, 4), np.uint8)
    picture[..., :3] = np.round(255 * srgb_from_linear(LASHES))
    picture[..., 3] = np.concatenate([lower, upper])[::-1]
    picture.setflags(write=False)
    return picture


def _hairs(random: np.random.Generator, count: int, longest: float, pixels: float) -> np.ndarray:
    """(HEIGHT / 2, WIDTH) uint8 opacity of a row of hairs, roots in row 0."""
    high, wide = HEIGHT // 2 * _SUPERSAMPLING, WIDTH * _SUPERSAMPLING
    drawn = np.zeros((high, wide), np.uint8)
    clumps = random.uniform(0.0, 1.0, count // _CLUMP_SIZE)
    way = np.linspace(0.0, 1.0, 24)
    for number in range(count):
        root = (number + random.uniform(-0.6, 0.6)) / count
        clump = clumps[np.abs(clumps - root).argmin()]
        pull = 0.55 * (clump - root) if abs(clump - root) < 0.02 else 0.0
        lean = 0.05 * (root - 0.42) + random.normal(0.0, 0.004)  # away from the middle
        length = longest * (1.0 - 0.72 * abs(root - 0.6) ** 1.5) * random.uniform(0.68, 1.0)
        across = (root + lean * way**1.6 + pull * way**1.3) * wide
        up = (_MARGIN + (1 - 2 * _MARGIN) * length * way) * high
        thick = _SUPERSAMPLING * (0.5 * pixels * (1.0 - way**1.4) * random.uniform(0.75, 1.1) + 0.25)
        points = np.round(16 * np.stack([across, up], axis=-1)).astype(int)
        for start, end, line in zip(points[:-1], points[1:], thick[:-1], strict=True):
            cv2.line(drawn, start, end, 255, max(1, round(line)), cv2.LINE_AA, shift=4)
    return cv2.resize(drawn, (WIDTH, HEIGHT // 2), interpolation=cv2.INTER_AREA)
