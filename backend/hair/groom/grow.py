"""Grow a groom's guides on a head: where they start, which way they leave, how they bend and fall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.subdivision import subdivision
from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.geometry.vectors import area_vectors, smoothstep, unit_vectors, vertex_normals
from backend.hair.groom import scalp
from backend.hair.groom.description import Groom
from backend.hair.groom.tied import Tie, gather, loose_ends, tie_field
from backend.hair.hair_strands import Scalp, apart
from backend.hair.hair_views import off_body

ANGLES, HEIGHTS = 12, np.array([30.0, 75.0, 120.0])
"""Angles round the head, from the forehead to the left, and degrees from the crown, of factors on length and shell."""
_DOWN = np.array([0.0, -1.0, 0.0])
_RADIUS = 0.1
"""Metres from a skull's middle to its skin."""
_INMOST = 0.085
"""Metres from the hairline to the roots whose hair is the outermost, and in layered hair the shortest; and from a
parting to those that stand off as photos show: nearer, two lobes stood."""
_FEWER_POINTS = 16
"""Points of guides of which only some are wanted, to draw an outline."""
_DEEP, _LEAST_OFF = 0.05, 0.0004
"""Metres. A point deeper inside than this counts as behind the head, a third of its depth; least height of hair."""


@dataclass(frozen=True)
class GrownGroom:
    """A groom on one head, metres, head frame, float32.

    Attributes
    ----------
    name : of the groom.
    points : (G, P, 3) guides on the scalp, root first. root_uv : (G, 2) roots in map ``Head``; scalp_uv : (G, 2) in
        the scalp's own.
    free : (F, Q, 3) guides that start at a tie: of a tail, a braid, a bun. free_uv : (2,) place of the tie in map
        ``Head``.
    scalp : where hairs grow, with maps for each of its vertices.
    chain : number by name: inputs of the nodes that grow hairs between the guides.
    """

    name: str
    points: np.ndarray
    root_uv: np.ndarray
    scalp_uv: np.ndarray
    free: np.ndarray
    free_uv: np.ndarray
    scalp: Scalp
    chain: Mapping[str, float]


def grow_guides(groom: Groom, head_vertices: np.ndarray, **fitted: Any) -> GrownGroom:
    """``grown_on`` the head of ``head_vertices`` (V, 3), metres, of the template's topology."""
    return grown_on(groom, GroomHead(load_template(), head_vertices), **fitted)


def grown_on(
    groom: Groom,
    head: GroomHead,
    *,
    hairline: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    shells: np.ndarray | None = None,
    seed: int = 0,
) -> GrownGroom:
    """Grow ``groom`` on a head.

    hairline : (28, 2) in place of the groom's. lengths, shells : (``ANGLES``, 3) factors on the hair's length and on
    its distance from the skin, at angles from the forehead to the left and at ``HEIGHTS``. Raises ``ValueError`` for
    other shapes.
    """
    mean = scalp.mean_scalp()
    combed = comb(groom, head, hairline, lengths, shells, seed=seed)
    points = _in_waves(head, combed.points, groom.chain) if groom.chain["wave"] > 0 else combed.points
    corner_uv = scalp.chart_uv(mean.places)[mean.triangles[combed.triangle]]
    return GrownGroom(
        groom.name,
        points.astype(np.float32),
        np.einsum("gk,gkc->gc", combed.weight, mean.head_uv[combed.triangle]).astype(np.float32),
        np.einsum("gk,gkc->gc", combed.weight, corner_uv).astype(np.float32),
        combed.free.astype(np.float32),
        _nearest_uv(head, combed.tie),
        _scalp(groom, head, _edge(groom, hairline), _ones(lengths)),
        {**groom.chain, "wave": 0.0},  # the guides have it
    )


def _in_waves(head: GroomHead, points: np.ndarray, chain: Mapping[str, float]) -> np.ndarray:
    """Guides (G, P, 3) that swing by ``wave`` metres aside and half of it out and in, off head and body, ``wave_scale``
    times a metre: fully from the second wave on, nearly in step with guides beside them."""
    length = 1 / chain["wave_scale"]
    roots, along = head.in_mean(points[:, 0]), unit_vectors(np.gradient(points, axis=1))
    run = np.pad(np.linalg.norm(np.diff(points, axis=1), axis=2).cumsum(1), ((0, 0), (1, 0)))
    start, often = 2.0 * scalp.waves(roots, length, 31), 1 + 0.05 * scalp.waves(roots, length, 32)
    turn = 2 * np.pi / length * run * often[:, None] + start[:, None]
    out = (points - points[:, 0].mean(0)) * (1.0, 0.0, 1.0)
    out = unit_vectors(out - (out * along).sum(-1, keepdims=True) * along)
    swing, turn = 0.5 * chain["wave"] * smoothstep(0.0, length, run)[..., None], turn[..., None]
    moved = points + swing * (np.sin(turn) * np.cross(along, out) + 0.5 * np.cos(turn) * out)
    moved[:, 1:] = head.pushed_out(moved[:, 1:].reshape(-1, 3), _LEAST_OFF)[0].reshape(moved[:, 1:].shape)
    return head.off_body(moved)


@dataclass(frozen=True)
class CombedGuides:
    """Guides alone. ``points`` : (G, P, 3); ``free`` : (F, Q, 3); roots: ``triangle`` (G,) and ``weight`` (G, 3) of the
    mean scalp, ``about``, ``away`` (G,) in its chart, ``edge`` (G,) metres to the hairline, ``thin`` (G,) share of full
    hair that grows there, ``number`` (G,) among all roots: not all of tied hair arrive."""

    points: np.ndarray
    free: np.ndarray
    triangle: np.ndarray
    weight: np.ndarray
    about: np.ndarray
    away: np.ndarray
    edge: np.ndarray
    thin: np.ndarray
    number: np.ndarray
    tie: Tie | None


def comb(
    groom: Groom,
    head: GroomHead,
    hairline: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    shells: np.ndarray | None = None,
    *,
    share: float = 1.0,
    seed: int = 0,
) -> CombedGuides:
    """The guides of ``grow_guides`` on a head, a ``share`` of them, with fewer points if they are fewer."""
    generator, mean = np.random.default_rng(seed), scalp.mean_scalp()
    edge, flow = _edge(groom, hairline), groom.shape["flow"]
    part = (flow["part_mm"], flow["part_slope"], flow["part_end"]) if flow["part_end"] < 0.2 else ()
    line = (groom.hairline if hairline is None else hairline).astype(float).tobytes()
    triangle, weight = _roots(line, int(share * groom.shape["guides"]["count"]), part, seed)
    corners = mean.triangles[triangle]

    def at(values: np.ndarray) -> np.ndarray:
        return np.einsum("gk,gk...->g...", weight, values[corners])

    places, normals = at(head.scalp), unit_vectors(at(head.normals))
    roots = _Places(at(mean.places), at(edge), unit_vectors(at(head.mean_normals)))
    long = length_map(groom, roots) * factor_at(_ones(lengths), roots.about, roots.away)
    far = _INMOST if groom.shape["lift"]["part"] else 1e-6
    beside = smoothstep(0.0, far, np.abs(part_offset(groom, roots.points)))
    away = shell_map(groom, roots) * (1 + beside * (factor_at(_ones(shells), roots.about, roots.away) - 1))
    base = 0.001 * groom.shape["shell"]["base_mm"]
    away = base + (away - base) * smoothstep(
        0.0, far / 2, np.abs(part_offset(groom, roots.points))
    )  # hair rises from a parting to a dome, not to two lobes
    tie = tie_field(groom, head.scalp, mean.places, edge)
    kept, count = np.arange(len(triangle)), int(groom.shape["guides"]["points"])
    count = count if share == 1.0 else min(count, _FEWER_POINTS)
    if tie is None:
        points = head.off_body(_grow(groom, head, roots, places, normals, long, away, count, generator))
    else:
        points, kept = gather(tie, places, normals, away, head.pushed_out, count, generator)
    free = np.zeros((0, 2, 3)) if tie is None else head.off_body(loose_ends(tie, groom, head.pushed_out, generator))
    each = (triangle, weight, roots.about, roots.away, roots.edge, _thin(groom, roots))
    return CombedGuides(points, free, *(values[kept] for values in each), kept, tie)


def _ones(factors: np.ndarray | None) -> np.ndarray:
    result = np.ones((ANGLES, len(HEIGHTS))) if factors is None else factors
    if result.shape != (ANGLES, len(HEIGHTS)):
        raise ValueError(f"factors must be ({ANGLES}, {len(HEIGHTS)})")
    return result


def _edge(groom: Groom, hairline: np.ndarray | None) -> np.ndarray:
    """(N,) metres from the mean scalp's vertices to a hairline, the groom's where it is None."""
    line = groom.hairline if hairline is None else hairline
    if line.shape != groom.hairline.shape:
        raise ValueError(f"a hairline must be {groom.hairline.shape}")
    return _edge_of(line.astype(float).tobytes())


@lru_cache(maxsize=32)
def _edge_of(line: bytes) -> np.ndarray:
    return scalp.line_distance(scalp.mean_scalp().places, np.frombuffer(line).reshape(-1, 2))


class GroomHead:
    """A person's head: scalp, map to the mean head, and what pushes points out of head and body."""

    def __init__(self, template: Template, neutral: np.ndarray) -> None:
        self.scalp, self.normals = scalp.person_scalp(neutral)
        self.affine = scalp.to_mean(neutral, template)
        _, self.mean_normals = scalp.person_scalp(template.vertices)
        fine = subdivision(1)
        names = ("head", "eye_left", "eye_right")
        stop = max(fine.parts[name].vertex_stop for name in names)
        skin = fine.positions(neutral.astype(np.float64))[:stop]
        quads = [fine.quads[fine.parts[name].face_start : fine.parts[name].face_stop] for name in names]
        skin_normals = vertex_normals(skin, triangles_from_quads(np.concatenate(quads)))
        self._skin, self._normals, self._tree = skin, skin_normals, cKDTree(skin)
        self._template, self._head = template, neutral[: template.head.vertex_stop].astype(np.float64)

    def off_body(self, points: np.ndarray) -> np.ndarray:
        """Guides (G, P, 3) before and behind neck and shoulders."""
        return off_body(points, self._head, self._template)

    def in_mean(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) on the mean head."""
        return points @ self.affine[:, :3].T + self.affine[:, 3]

    def down_at(self, about: np.ndarray, away: np.ndarray) -> np.ndarray:
        """(N, 3) metres for each degree away from the crown, on this head, at chart angles (N,)."""
        ends = [scalp.on_sphere(np.stack([about, away + more], 1)) for more in (-0.5, 0.5)]
        return _RADIUS * (ends[1] - ends[0]) @ np.linalg.inv(self.affine[:, :3]).T

    def pushed_out(self, points: np.ndarray, least: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, 3) at least so far (N,) from the skin, and their heights above it before."""
        near = self._tree.query(points, k=4)[1]
        offset = points[:, None] - self._skin[near]
        close = 1.0 / (np.linalg.norm(offset, axis=-1) + 0.001)
        close /= close.sum(1, keepdims=True)
        height = ((offset * self._normals[near]).sum(-1) * close).sum(1)
        normal = unit_vectors((self._normals[near] * close[..., None]).sum(1))
        inside = (height < least) & (height > -_DEEP)
        return points + normal * np.where(inside, least - height, 0.0)[:, None], height


class _Places:
    """Places on the mean head: where they lie in the chart, and their distances to the hairline."""

    def __init__(self, points: np.ndarray, edge: np.ndarray, normals: np.ndarray | None = None) -> None:
        self.points, self.edge = points, edge
        self.about, self.away = scalp.chart(points)
        self.front, self.back = (smoothstep(0.03, 0.11, points[:, 2]), smoothstep(0.01, -0.02, points[:, 2]))
        outward = unit_vectors(points - scalp.CENTRE) if normals is None else normals
        about, away = (np.radians(angle)[:, None] for angle in (self.about, self.away))
        radial = np.sin(about) * scalp.LEFT + np.cos(about) * scalp.AHEAD
        down = np.cos(away) * radial - np.sin(away) * scalp.CROWN
        self.down = unit_vectors(down - (down * outward).sum(1, keepdims=True) * outward)
        self.round = np.cross(outward, self.down)
        self.round *= np.sign((self.round * np.cross(scalp.CROWN, radial)).sum(1, keepdims=True))


def top_map(groom: Groom, points: np.ndarray) -> np.ndarray:
    """(N,) 0 on sides and back to 1 on top, at points (N, 3) of the mean head."""
    zone = groom.shape["zone"]
    return smoothstep(zone["low"], zone["high"], points[:, 1] - zone["drop"] * np.maximum(0.0, -points[:, 2]))


def part_offset(groom: Groom, points: np.ndarray) -> np.ndarray:
    """(N,) metres to the left of the parting of points (N, 3) of the mean head."""
    flow = groom.shape["flow"]
    return points[:, 0] - 0.001 * flow["part_mm"] - flow["part_slope"] * (points[:, 2] - 0.08)


def length_map(groom: Groom, at: _Places) -> np.ndarray:
    """(N,) metres, how long hair is at places of the mean head."""
    zone, long = groom.shape["zone"], {name: 0.001 * value for name, value in groom.shape["length"].items()}
    top = top_map(groom, at.points)
    side = long["side_mm"] + long["side_up_mm"] * smoothstep(0.012, 0.060, at.edge)
    side = side + (long["nape_mm"] - long["side_mm"]) * at.back * smoothstep(0.72, 0.68, at.points[:, 1])
    side = long["edge_mm"] + side * smoothstep(0.0, max(long["fade_mm"], 1e-6), at.edge)
    result = side * (1.0 - top) + (long["top_mm"] + long["front_mm"] * at.front) * top
    result *= zone["edge_share"] + (1.0 - zone["edge_share"]) * smoothstep(-0.002, 0.012, at.edge + 0.012 * (1.0 - top))
    if zone["hang"] > 0:
        fall = (at.points[:, 1] - zone["hang"]) * 1.1 + 0.035 * top
        fringe = _fringe(groom, at)
        result = fall * (1.0 - fringe) + (result + at.edge) * fringe  # all of a fringe ends alike
    return np.maximum(result, 0.0004)


def _fringe(groom: Groom, at: _Places) -> np.ndarray:
    """(N,) 1 where hair belongs to a fringe: that deep behind the hairline and that far to the sides."""
    zone = groom.shape["zone"]
    if zone["fringe_mm"] <= 0:
        return np.zeros(len(at.edge))
    ahead = smoothstep(zone["fringe_side"] + 6.0, zone["fringe_side"] - 6.0, np.abs(at.about))
    return ahead * smoothstep(0.001 * zone["fringe_mm"] + 0.006, 0.001 * zone["fringe_mm"] - 0.006, at.edge)


def shell_map(groom: Groom, at: _Places) -> np.ndarray:
    """(N,) metres that hair keeps from the skin: more from higher roots, so that it lies over what grows below."""
    shell = groom.shape["shell"]
    depth = np.clip(at.edge / _INMOST, 0.0, 1.0) * (1.0 - shell["front_less"] * at.front)
    return 0.001 * (shell["base_mm"] + shell["gain_mm"] * depth + shell["top_mm"] * top_map(groom, at.points))


def direction(groom: Groom, at: _Places) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) unit vectors along the skin of the mean head in which hair is combed, and (N,) how much it is combed.

    They are an angle from the way that hair grows, away from the crown, and turn smoothly from the top's to the sides'.
    """
    flow, side = groom.shape["flow"], np.sign(at.about)
    across = part_offset(groom, at.points)
    sign = np.where((at.back > 0.5) | (flow["apart_front"] >= 175.0), side, np.sign(across))
    middle = np.interp(at.points[:, 2], [-0.02, 0.04, 0.11], [flow["apart_back"], flow["apart"], flow["apart_front"]])
    wish = flow["angle"] + flow["fan"] * np.clip(at.points[:, 0] / 0.07, -1.0, 1.0) + sign * middle
    combed = top_map(groom, at.points) * _off_whorl(groom, at) * smoothstep(180.0, flow["behind"], np.abs(at.about))
    fringe = _fringe(groom, at)
    beside = side * flow["side_back"] * np.sin(np.radians(np.clip(np.abs(at.about), 0, 180)))
    swirl = flow["swirl"] * np.exp(-((at.away / 22.0) ** 2))
    turn = combed * (wish - at.about) + (1.0 - combed) * (beside + swirl)
    turn = np.radians(turn * (1.0 - fringe) + fringe * (flow["fringe_angle"] - 0.6 * at.about))
    return np.cos(turn)[:, None] * at.down + np.sin(turn)[:, None] * at.round, combed


def _off_whorl(groom: Groom, at: _Places) -> np.ndarray:
    """(N,) 0 in the middle of the groom's whorl, where hair lies as it grows, to 1 away from it or without one."""
    return 1.0 - np.exp(-((at.away / max(groom.shape["flow"]["whorl"], 1e-3)) ** 2))


def factor_at(factors: np.ndarray, about: np.ndarray, away: np.ndarray) -> np.ndarray:
    """(N,) factors (``ANGLES``, 3) at chart angles (N,)."""
    return factor_weights(about, away) @ factors.ravel()


def factor_weights(about: np.ndarray, away: np.ndarray) -> np.ndarray:
    """(N, C) weights of factors (``ANGLES``, 3) at chart angles (N,), linear between."""
    place = (about / 360.0) % 1.0 * ANGLES
    low = np.floor(place).astype(int)
    height = np.clip(np.interp(away, HEIGHTS, np.arange(3.0)), 0.0, 1.999)
    row, number = height.astype(int), np.arange(len(about))
    result = np.zeros((len(about), ANGLES, len(HEIGHTS)))
    for turn, across in ((0, 1 - place + low), (1, place - low)):
        for down, share in ((0, 1 - height + row), (1, height - row)):
            result[number, (low + turn) % ANGLES, row + down] += across * share
    return result.reshape(len(about), -1)


@lru_cache(maxsize=64)
def _roots(line: bytes, count: int, part: tuple[float, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (G,) of the mean scalp and weights (G, 3) of evenly spread roots within a hairline, none on a
    parting."""
    mean, edge, generator = scalp.mean_scalp(), _edge_of(line), np.random.default_rng(seed)
    corners = mean.places[mean.triangles]
    area = np.linalg.norm(area_vectors(mean.places, mean.triangles), axis=1)
    area *= edge[mean.triangles].min(1) > -0.004
    triangle = generator.choice(len(area), 12 * count, p=area / area.sum())
    weight = generator.dirichlet((1.0, 1.0, 1.0), len(triangle))
    places = np.einsum("gk,gkc->gc", weight, corners[triangle])
    chosen = apart(places, 0.78 * np.sqrt(area.sum() / 2 / count))
    if part:
        aside = places[chosen, 0] - 0.001 * part[0] - part[1] * (places[chosen, 2] - 0.08)
        chosen = chosen[(np.abs(aside) >= 0.002) | (places[chosen, 2] <= part[2])]
    return triangle[chosen], weight[chosen]


def _grow(
    groom: Groom,
    head: GroomHead,
    roots: _Places,
    places: np.ndarray,
    normals: np.ndarray,
    long: np.ndarray,
    away: np.ndarray,
    points: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """(G, points, 3) guides: they leave the skin lifted, bend to where hair is combed and down, and stay off bodies."""
    bend, lift = groom.shape["bend"], groom.shape["lift"]
    count, top = len(places), top_map(groom, roots.points)
    shape, depth = groom.shape["length"], np.clip(roots.edge / _INMOST, 0.0, 1.0)
    stray = smoothstep(0.0, 1.0, depth)[:, None] * generator.normal(size=(count, 7))  # ends over skin stay a clean line
    long = long * (1.0 - shape["layers"] * depth ** shape["layer_power"])
    long = long * (1.0 + shape["vary"] * stray[:, 0] * (0.3 + 0.7 * top))
    back = np.linalg.inv(head.affine[:, :3])
    wished = unit_vectors(direction(groom, roots)[0] @ back.T)
    wished = unit_vectors(wished + bend["random"] * stray[:, 1:4] * (0.5 + 0.5 * top)[:, None])
    wished = unit_vectors(wished - (wished * normals).sum(1, keepdims=True) * normals)
    near_part = np.exp(-np.abs(part_offset(groom, roots.points)) / 0.018) * (1.0 - roots.back)
    close = smoothstep(0.0, 0.001 * shape["fade_mm"], roots.edge)  # at the border hair lies flat
    raised = lift["side"] * (1.0 - top) * close + (lift["top"] + lift["front"] * roots.front) * top
    raised = np.radians(np.clip(raised + lift["part"] * near_part, 0.0, 88.0) * _off_whorl(groom, roots))[:, None]
    way = wished * np.cos(raised) + normals * np.sin(raised)
    rest = stray[:, 4:] * [0.1, 0.02, 0.1] * bend["rest"]
    side = np.where(part_offset(groom, roots.points) > 0, 1.0, -1.0)
    clear = bend["clear"] * (1.0 - _fringe(groom, roots))[:, None]
    step, run = long / (points - 1), np.zeros(count)
    result = np.empty((count, points, 3))
    result[:, 0] = places
    for number in range(1, points):
        last = result[:, number - 1]
        mean = head.in_mean(last)
        wish = bend["comb"] * wished + rest + _clear_of_face(mean, side) * clear
        if bend["follow"] > 0:
            wish = wish + bend["follow"] * unit_vectors(direction(groom, _Places(mean, roots.edge))[0] @ back.T)
        wish = wish + bend["keep"] * way + bend["gravity"] * _DOWN + _inwards(mean) * bend["hug"]
        stiff = (bend["stiff"] ** (step / 0.005))[:, None]
        way = unit_vectors(way * stiff + (1.0 - stiff) * wish)
        run = run + step
        least = _LEAST_OFF + (away - _LEAST_OFF) * smoothstep(0.0, 0.001 * bend["ramp_mm"], run)
        moved, _ = head.pushed_out(last + way * step[:, None], least)
        way = unit_vectors(moved - last)
        result[:, number] = last + way * step[:, None]
    return result


def _clear_of_face(mean: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(N, 3) sideways and back where hair at places (N, 3) of the mean head would fall over the face."""
    x, y, z = mean.T
    over = smoothstep(0.055, 0.085, z) * smoothstep(0.80, 0.77, y) * smoothstep(0.60, 0.64, y)
    return over[:, None] * np.stack([0.55 * side, np.zeros(len(x)), np.full(len(x), -0.75)], 1)


def _inwards(mean: np.ndarray) -> np.ndarray:
    """(N, 3) towards the neck where hair at places (N, 3) of the mean head hangs beside it, wider than the head."""
    x, y, z = mean.T
    out = np.stack([x, np.zeros(len(x)), z - 0.035], 1)
    wide = smoothstep(0.055, 0.095, np.linalg.norm(out, axis=1))
    return -unit_vectors(out) * (wide * smoothstep(0.73, 0.66, y) * smoothstep(0.60, 0.64, y))[:, None]


def _scalp(groom: Groom, head: GroomHead, edge: np.ndarray, factors: np.ndarray) -> Scalp:
    """The part of the head near or within the hairline, with its maps; cut along the parting."""
    mean, flow = scalp.mean_scalp(), groom.shape["flow"]
    at = _Places(mean.places, edge)
    thin = _thin(groom, at)
    triangles = mean.triangles
    twice = np.tile(np.arange(len(mean.places)), 2)
    if flow["part_end"] < 0.2:
        triangles = scalp.cut_along(triangles, part_offset(groom, mean.places))
    kept = (edge[twice][triangles] > -scalp.BEYOND).all(1)
    used, numbers = np.unique(triangles[kept], return_inverse=True)
    rows = twice[used]
    thin *= scalp.density_at_edge(edge, mean.places, groom.chain["fall"], groom.chain["jitter"])
    melanin = scalp.lock_variation(mean.places)
    long = length_map(groom, at) * factor_at(factors, at.about, at.away)
    part = (head.scalp, scalp.chart_uv(mean.places), thin, edge, top_map(groom, mean.places), long, melanin)
    vertices, uv, *maps = (values[rows].astype(np.float32) for values in part)
    return Scalp(vertices, numbers.reshape(-1, 3).astype(np.int32), uv, *maps)


def _thin(groom: Groom, at: _Places) -> np.ndarray:
    """(N,) share of full hair that grows at places of the mean head."""
    zone = groom.shape["zone"]
    thin = 1.0 - zone["thin"] * smoothstep(zone["thin_end"], zone["thin_end"] - 0.2, at.away / 90.0)
    return thin * (1.0 - zone["receded"] * at.front * smoothstep(0.03, 0.0, at.edge))


def _nearest_uv(head: GroomHead, tie: Tie | None) -> np.ndarray:
    mean = scalp.mean_scalp()
    if tie is None:
        return np.zeros(2, np.float32)
    nearest = np.linalg.norm(head.scalp[mean.triangles].mean(1) - tie.skin, axis=1).argmin()
    return mean.head_uv[nearest].mean(0).astype(np.float32)
