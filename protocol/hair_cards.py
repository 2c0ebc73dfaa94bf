"""Hair cards: textured strips of triangles along bundles of hairs, for game engines that draw no strands. The backend
makes them from hairs between guides, the extension from the hairs of the scene."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .message import CARD_LEVELS, fewest_card_points

ATLAS_SIDE, ATLAS_LENGTH, COLUMNS = 1024, 512, 16
"""Pixels across and along the atlas, and number of different cards side by side in it: ``_LAYERS``' of straight hair,
then as many of curls. A strand of 3 pixels on a card of 10 mm is half a millimetre wide."""
ALPHA_CUTOFF = 0.35
"""Least opacity in [0, 1] at which a texel of a card is drawn. It is below a half, because texels of small mip maps
average strands and gaps."""
SMALLEST_CARD_OFFSET_M = 1e-4
"""Metres: hair cards do not follow smaller motions of the skin."""
_STRAIGHT = 0.25
"""Share of a card's points that go to where it is long; the others go to where it bends."""
_ROOT_WORTH = 50.0
"""Weight of the root in a card's fit, relative to its other points, because cards begin on the scalp; and of a point of
the hairs relative to the card's own first place, which is felt only where a card has more points than they."""


@dataclass(frozen=True)
class _Layer:
    """Cards of one depth. ``share`` : of all cards. ``columns`` : of the atlas. ``wide`` : half width relative to the
    spread (standard deviation) of its hairs, 1.7 for hairs that lie evenly. ``off`` : metres out of the mean of its
    hairs. ``tone`` : brightness, because deep hair lies in the shade. ``strands`` : in the atlas. ``core`` : width of
    the opaque middle behind its strands, at the root, in cards; ``core_end`` : share of the length at which it ends."""

    share: float
    columns: int
    wide: float
    off: float
    tone: float
    strands: int
    core: float
    core_end: float


_LAYERS = (
    _Layer(0.22, 2, 2.25, 0.0005, 0.75, 34, 0.8, 0.85),
    _Layer(0.36, 3, 1.9, 0.0012, 1.0, 26, 0.4, 0.6),
    _Layer(0.42, 3, 1.6, 0.002, 1.1, 14, 0.0, 1.0),
)
_ROUNDS = 3
"""Rounds of Lloyd's: bundles move by less than a millimetre after."""
_BUNDLED = (1.0, 0.8, 0.6)
"""How much places of root, middle and tip count for which hairs form a bundle: roots most, so that the scalp is hidden
evenly."""
_ABREAST = 4.0
"""Metres: width of all hairs of a head side by side, of which a card has its hairs' share at most: where few part, or
stand at a hairline, it would be a sheet."""
_NARROWEST = 0.0008
"""Metres: half the width of a card at least, which is a few hairs."""
_LONG = 4.25
"""Half widths of a card from which length on its middle is opaque; shorter ones would be leaves, and are single
strands."""
_HULL = 0.7
"""Share of the direction out of the hair as a whole in normals: with those of each card alone, cards shine like
plates."""
_BACK = 1.5
"""Half widths by which a card begins behind its roots along the skin, so that partings hide the scalp."""
_BARE, _MOST_BACK = 0.04, 0.01
"""Share of a card's length that has few strands at its root, by which it begins further behind, and metres behind at
most, because longer ones stand out over the forehead."""
_STRAND_PIXELS = 1.3
"""Half the width of a strand in the atlas, in pixels: the narrowest that bilinear filtering draws without aliasing."""
_CORE_TONE = 0.6
"""Tone of the opaque middle relative to the brightest strand's, as display values."""
_CURLS, _CURL = 9, 0.12
"""Turns of a curly strand over a card, and their amplitude in cards."""
_CURLY = 0.001
"""Metres: radius of curls from which cards are curly."""
_GATHERS = 0.45
"""Share by which strands of a card come together towards its tip."""
_LAYERED = 0.03
"""Metres of length from which layers lie wholly apart."""

_DEEP = 0.5
"""Share of the light that reaches a hair's root, relative to its end, because the hair above shades it (ambient
occlusion). Colours come from photos, so they already contain the shade along a hair on the mean."""
OUT = 0.012
"""Metres from the root (at most half of the hair's length) over which a hair moves from the skin to its place among
others."""


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
    """``strands`` : (L, S, 4) uint8 sRGB, grey strands. ``normals`` : (L, S, 3) uint8 tangent-space normals.
    ``strand_map`` : (L, S, 4) uint8, for shaders of hair: red and green the strands' direction from root to tip,
    (1 + u) / 2 and (1 - v) / 2 with v up; blue a random number of each strand; alpha the depth, 1 in front."""

    strands: np.ndarray
    normals: np.ndarray
    strand_map: np.ndarray

    def mean_tone(self) -> float:
        """Mean linear light of the strands that are drawn."""
        shown = self.strands[..., 0][self.strands[..., 3] >= 255 * ALPHA_CUTOFF] / 255
        return float((((shown + 0.055) / 1.055) ** 2.4).mean())  # none is darker than where sRGB is a power


def bundled_cards(
    hairs: np.ndarray, root: np.ndarray, tip: np.ndarray, curl: float, most: int = CARD_LEVELS[0]
) -> HairCards:
    """Bundle hairs into cards of three layers, at most ``most`` triangles: each along the mean of its hairs, as wide as
    they lie apart. ``hairs`` : (N, P, 3) metres, head frame, root first. ``root``, ``tip`` : (N, 3) albedo at both
    ends, linear light. ``curl`` : metres, radius of curls about the hairs."""
    points, grown = fewest_card_points(most), np.ptp(hairs, axis=1).max(1) > SMALLEST_CARD_OFFSET_M
    grown |= not grown.any()
    hairs, ends, number = hairs[grown], (root[grown], tip[grown]), most // (2 * (points - 1))
    cards = np.concatenate([_layer(layer, hairs, ends, number, points) for layer in range(len(_LAYERS))])
    place = np.concatenate([np.linspace(0, 1, int((cards["layer"] == n).sum())) for n in range(len(_LAYERS))])
    cards = cards[np.argsort(place, kind="stable")]  # every n-th card is a level of detail too
    lines, along, turn = cards["line"], cards["along"][..., None], np.arange(len(cards))
    half = np.maximum(cards["half"] + curl, _NARROWEST)[..., None]
    tangent = unit_vectors(np.gradient(lines, axis=1))
    side, length = _sides(lines, tangent), np.linalg.norm(np.diff(lines, axis=1), axis=-1).sum(1)
    out = unit_vectors(outwards(lines))
    back = unit_vectors(tangent[:, :1] - (tangent[:, :1] * out[:, :1]).sum(-1, keepdims=True) * out[:, :1])
    lines[:, :1] -= np.minimum(_BACK * half[:, :1] + _BARE * length[:, None, None], _MOST_BACK) * back
    vertices = np.stack([lines - half * side, lines + half * side], 2)  # (C, P, 2, 3)
    normals = unit_vectors(_HULL * out + (1 - _HULL) * np.cross(tangent, side))
    layer = np.where(length > _LONG * half.mean((1, 2)), cards["layer"], len(_LAYERS) - 1)
    columns, first = np.array([(each.columns, before) for each, before in zip(_LAYERS, _firsts(), strict=True)]).T
    column = first[layer] + turn % columns[layer] + (COLUMNS // 2 if curl > _CURLY else 0)
    ends = np.where((turn // 2 % 2 == 0)[:, None, None], [0.02, 0.98], [0.98, 0.02])
    uv = np.stack(np.broadcast_arrays((column[:, None, None] + ends) / COLUMNS, 1 - along), -1)
    colours = (1 - along) * cards["root"][:, None] + along * cards["tip"][:, None]
    open_ = _light_at_root(along * length[:, None, None], np.median(length))
    colours = colours * open_ / (open_.mean() * card_atlas().mean_tone())
    normals, colours = (np.repeat(each[:, :, None], 2, axis=2) for each in (normals, colours))
    start = (turn[:, None] * points + np.arange(points - 1)).ravel() * 2
    triangles = np.concatenate([np.stack([start, start + 2, start + 1], 1),
                                np.stack([start + 1, start + 2, start + 3], 1)])  # fmt: skip
    flat = (np.ascontiguousarray(each.reshape(-1, each.shape[-1]), np.float32)
            for each in (vertices, normals, uv, np.minimum(colours, 1.0)))  # fmt: skip
    return HairCards(*flat, triangles.astype(np.int32))


def _layer(
    number: int, hairs: np.ndarray, colours: tuple[np.ndarray, np.ndarray], cards: int, points: int
) -> np.ndarray:
    """The cards of a layer of ``_LAYERS``, its share of so many, each of so many points: an array of records."""
    layer, places = _LAYERS[number], hairs.astype(np.float64)
    bundle = _bundles(places, max(1, int(cards * layer.share)))
    order, sizes = np.argsort(bundle, kind="stable"), np.bincount(bundle)
    start = np.cumsum([0, *sizes[:-1]])

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values[order], start) / sizes.reshape(-1, *[1] * (values.ndim - 1))

    means = mean(places)
    tangent = unit_vectors(np.gradient(means, axis=1))
    side = _sides(means, tangent)
    apart = layer.wide * np.sqrt(mean(((places - means[bundle]) * side[bundle]).sum(-1) ** 2))
    length = np.linalg.norm(np.diff(means, axis=1), axis=-1).sum(1)[:, None, None]
    apart = np.minimum(apart, 0.5 * _ABREAST * sizes[:, None] / len(hairs))
    means += layer.off * np.minimum(length / _LAYERED, 1) * np.cross(tangent, side)
    line, along = _fitted(np.concatenate([means, apart[..., None]], -1), points)
    kind = [("line", "f8", (points, 3)), ("half", "f8", points), ("along", "f8", points), ("layer", "i8"),
            ("root", "f8", 3), ("tip", "f8", 3)]  # fmt: skip
    result = np.zeros(len(means), kind)
    result["line"], result["half"], result["along"] = line[..., :3], line[..., 3], along[..., 0]
    result["layer"] = number
    result["root"], result["tip"] = (layer.tone * mean(colour) for colour in colours)
    return result


def _bundles(hairs: np.ndarray, count: int) -> np.ndarray:
    """(N,) numbers, from 0 without gaps, of at most ``count`` bundles of hairs (N, P, 3) that lie together (Lloyd)."""
    shape = (hairs[:, [0, hairs.shape[1] // 2, -1]] * np.array(_BUNDLED)[:, None]).reshape(-1, 9)
    shape = (shape - shape.mean(0)).astype(np.float32)
    middles = shape[(np.arange(count) * len(shape) // count) % len(shape)][: len(shape)]
    for _ in range(_ROUNDS):
        own = ((middles**2).sum(1) - 2 * shape @ middles.T).argmin(1)
        _, own, sizes = np.unique(own, return_inverse=True, return_counts=True)
        middles = np.stack([np.bincount(own, column) for column in shape.T], 1).astype(np.float32) / sizes[:, None]
    return own


def _firsts() -> list[int]:
    """The first column of the atlas of each layer."""
    return [sum(layer.columns for layer in _LAYERS[:number]) for number in range(len(_LAYERS))]


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
    side = np.cross(unit_vectors(outwards(lines)), tangent)  # short where hair stands
    for _ in range(6):
        side[:, 1:-1] = 0.25 * side[:, :-2] + 0.5 * side[:, 1:-1] + 0.25 * side[:, 2:]
        side[:, [0, -1]] = 0.5 * (side[:, [0, -1]] + side[:, [1, -2]])
    side += 1e-6 * np.cross(tangent, [0.0, 0.0, 1.0])
    return unit_vectors(side - (side * tangent).sum(-1, keepdims=True) * tangent)


def outwards(lines: np.ndarray) -> np.ndarray:
    """(C, P, 3) ways out of the hair's body at points of cards or hairs, none downwards."""
    result = lines - lines[:, 0].mean(0)
    result[..., 1] = np.maximum(result[..., 1], 0)
    return result


@cache
def card_atlas() -> CardAtlas:
    """The cards' texture: bundles of strands that thin out towards tip, sides and root; the second half curl."""
    generator, width = np.random.default_rng(0), ATLAS_SIDE // COLUMNS
    v = np.linspace(0, 1, ATLAS_LENGTH)  # 0 at the root
    middle, half, shown, tone, core = [], [], [], [], np.zeros((ATLAS_LENGTH, ATLAS_SIDE))
    across = np.abs(np.arange(ATLAS_SIDE) % width - 0.5 * width + 0.5)
    for number in range(COLUMNS):
        layer = _LAYERS[np.searchsorted(_firsts(), number % (COLUMNS // 2), side="right") - 1]
        place, drift = generator.uniform(-1, 1, layer.strands), generator.normal(0, 0.05, layer.strands)
        place = 0.5 + 0.46 * place * np.abs(place) ** 0.3
        begin = generator.uniform(0, 0.025, layer.strands) + 0.05 * (1 - np.sqrt(1 - (2 * place - 1) ** 2))
        end, phase = generator.uniform(0.65, 1.02, layer.strands), generator.uniform(0, 2 * np.pi, layer.strands)
        bent = generator.uniform(0, 0.03, layer.strands)[:, None] * np.sin(phase[:, None] + 7 * v)
        if number >= COLUMNS // 2:
            turns = _CURLS * generator.uniform(0.7, 1.3)
            bent = _CURL * np.sin(generator.uniform(0, 7) + 0.25 * phase[:, None] + 2 * np.pi * turns * v)
            place = 0.5 + (1 - 2 * _CURL) * (place - 0.5)
        x = 0.5 + (place[:, None] - 0.5) * (1 - _GATHERS * v) + drift[:, None] * v + bent * np.minimum(3 * v, 1)
        middle.append((number + np.clip(x, 0.04, 0.96)) * width)
        half.append(_STRAND_PIXELS * np.clip(8 * (end[:, None] - v), 0, 1) ** 0.5 * np.ones_like(x))
        shown.append((v > begin[:, None]) & (v < end[:, None]))
        tone.append(generator.uniform(0.6, 1.0, layer.strands))
        round_root = np.sqrt(1 - np.clip(1 - (v - 0.025) / 0.05, 0, 1) ** 2)
        solid = 0.5 * layer.core * width * np.sqrt(np.clip(1 - (v / layer.core_end) ** 3, 0, 1)) * round_root
        rows = slice(number * width, (number + 1) * width)
        core[:, rows] = np.clip(solid[:, None] - across[rows], 0, 1)
    middle, half, shown, tone = (np.concatenate(each) for each in (middle, half, shown, tone))
    strand, row = np.nonzero(shown)
    centre, thick = middle[strand, row], half[strand, row]
    best = np.zeros((ATLAS_LENGTH, ATLAS_SIDE), np.int64)  # cover, then number of the strand in front
    for step in (-1, 0, 1):
        pixel = np.floor(centre).astype(np.int64) + step
        cover = np.clip(thick + 0.5 - np.abs(pixel + 0.5 - centre), 0, 1)
        np.maximum.at(best, (row, np.clip(pixel, 0, ATLAS_SIDE - 1)), ((cover * 255).astype(np.int64) << 32) + strand)
    cover, front = (best >> 32) / 255, best & (2**32 - 1)
    number = np.arange(ATLAS_LENGTH)[:, None]
    alpha = np.maximum(cover, core)
    shade = np.where(cover < core, _CORE_TONE, tone[front])
    strands = np.stack([shade] * 3 + [alpha], -1)
    flow = unit_vectors(np.stack([-np.gradient(middle, axis=1) * ATLAS_LENGTH / ATLAS_SIDE, np.ones_like(middle)], -1))[
        front, number
    ]
    aside = (np.arange(ATLAS_SIDE) + 0.5 - middle[front, number]) / _STRAND_PIXELS * (cover > core)
    normal = unit_vectors(np.stack([0.35 * np.clip(aside, -1, 1), 0 * aside, np.ones_like(aside)], -1))
    chance = generator.random(len(tone))[front]
    strand_map = np.concatenate([0.5 + 0.5 * flow, np.stack([chance, alpha * shade], -1)], -1)
    return CardAtlas(*((each * 255 + 0.5).astype(np.uint8) for each in (strands, 0.5 + 0.5 * normal, strand_map)))


def _light_at_root(way: np.ndarray, length: float) -> np.ndarray:
    """Share of the light that reaches places ``way`` metres from the root among hairs of a length, which hair above
    shades near the root."""
    deep = np.clip(length / 2, 1e-6, OUT)  # no occlusion beyond this distance from the root
    return _DEEP + (1 - _DEEP) * np.clip(way / deep, 0, 1)


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) divided by their length; those shorter than 1e-9 are divided by that."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
