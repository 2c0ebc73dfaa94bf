"""Paint skin, lips, brows, beards, make-up, lines, eyeballs, teeth and tongue per pixel, from static maps in UV space,
tiles of noise and a few numbers per person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.geometry.template import Template, load_template
from backend.geometry.vectors import smoothstep as numpy_smoothstep
from backend.photos.collection import FaceClass
from backend.photos.regions import BROW_LOWER, BROW_UPPER, LID_LOWER, LID_UPPER
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from trainer.people.look import BLOOD_ABSORPTION, MELANIN_ABSORPTION, PALE_SKIN, TABLES, PersonLook
from trainer.people.shape import HEAD, people_surface

MAP_NAMES = (
    "lips", "mouth", "ears", "neck", "brow_along", "brow_across", "lash", "lid", "moustache", "chin", "jaw", "scalp",
    "redness", "nasolabial", "forehead_lines", "crows_feet", "eye_bag", "frown_lines", "cheeks", "nose", "relief",
)  # fmt: skip
"""``relief`` is the shading of age lines under light from above: dark at their upper edge, bright at their lower
one."""
FULL_RESOLUTION = 512
TILE = 512
TILE_NAMES = ("low", "mid", "fine", "strands", "spots")


def _spline(points: np.ndarray, count: int) -> np.ndarray:
    """(count, 3) points on the Catmull-Rom curve through points (L, 3)."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    positions = np.linspace(0, len(points) - 1, count)
    start = np.minimum(positions.astype(int), len(points) - 2)
    t = (positions - start)[:, None]
    a, b, c, d = (padded[start + k] for k in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def _to_curve(points: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance (P,), position (P,) 0-1 along (beyond at the ends) and offset (P, 3) of points from a curve (L, 3)."""
    squared = ((points[:, None] - curve) ** 2).sum(-1)
    best = squared.argmin(1)
    step = np.gradient(curve, axis=0)
    offset = points - curve[best]
    along = (offset * step[best]).sum(1) / (step[best] ** 2).sum(1)
    across = offset - along[:, None] * step[best] * (np.abs(along) <= 1)[:, None]
    return np.linalg.norm(across, axis=1), (best + along) / (len(curve) - 1), across


def _line(points: np.ndarray, curve: np.ndarray, width: float) -> np.ndarray:
    """(P,) 1 on the curve, fading out over ``width`` metres and towards its ends."""
    value = np.zeros(len(points))
    near = np.flatnonzero(
        (np.abs(points - (curve.max(0) + curve.min(0)) / 2) < (curve.max(0) - curve.min(0)) / 2 + 2 * width).all(1)
    )
    if len(near):
        distance, along, _ = _to_curve(points[near], curve)
        ends = numpy_smoothstep(-0.05, 0.2, along) * numpy_smoothstep(1.05, 0.8, along)
        value[near] = np.exp(-((distance / width) ** 2)) * ends
    return value


def head_maps(points: np.ndarray, regions: Mapping[str, np.ndarray], marks: np.ndarray) -> dict[str, np.ndarray]:
    """Values (P,) of every map at points (P, 3) of the mean head; regions (P,) each; marks (478, 3)."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    both = np.stack([x, y, z], 1)  # everything is symmetric: use the person's left side
    maps = {"lips": regions["lips"], "mouth": regions["mouth_interior"], "ears": regions["ears"]}
    maps["neck"] = np.maximum(regions["neck"], numpy_smoothstep(0.612, 0.604, y) * numpy_smoothstep(0.115, 0.10, z))
    maps["nose"] = regions["nose"]
    # brows
    brow = _spline((marks[list(BROW_UPPER[1])] + marks[list(BROW_LOWER[1])])[::-1] / 2, 65)
    above = np.sign(y - np.interp(x, *_by_x(brow)))
    along, across = np.full(len(points), -0.5), 0.03 * above
    near = np.flatnonzero(np.linalg.norm(both - brow[32], axis=1) < 0.09)
    distance, at, _ = _to_curve(both[near], brow)
    along[near], across[near] = at, above[near] * distance
    maps["brow_along"], maps["brow_across"] = np.clip(along, -0.5, 1.5), np.clip(across, -0.03, 0.03) * 100
    # lids
    upper, lower = _spline(marks[list(LID_UPPER[1])], 65), _spline(marks[list(LID_LOWER[1])], 65)
    maps["lash"] = np.maximum(_lash(both, upper, 0.0052), 0.4 * _lash(both, lower, 0.0026))
    near = np.flatnonzero(np.linalg.norm(both - upper[32], axis=1) < 0.045)
    over = np.zeros(len(points))
    over[near] = np.exp(-((_to_curve(both[near], upper)[0] / 0.008) ** 2))
    maps["lid"] = over * numpy_smoothstep(0.0, 0.002, y - np.interp(x, *_by_x(upper)))
    # beards
    bare = 1 - np.maximum(regions["lips"], regions["mouth_interior"])
    nose_base, lip_top, lip_bottom = marks[2, 1], marks[0, 1], marks[17, 1]
    corner = marks[291]
    maps["moustache"] = (
        numpy_smoothstep(0.034, 0.024, x) * numpy_smoothstep(nose_base + 0.001, nose_base - 0.004, y)
        * numpy_smoothstep(corner[1] - 0.012, corner[1] - 0.002, y) * numpy_smoothstep(0.10, 0.12, z) * bare
    )  # fmt: skip
    chin_top = np.interp(x, [0, 0.010, 0.016, 0.026], [lip_bottom + 0.002, lip_bottom, lip_top, corner[1] + 0.002])
    maps["chin"] = (
        numpy_smoothstep(0.032, 0.024, x) * numpy_smoothstep(chin_top + 0.002, chin_top - 0.004, y)
        * numpy_smoothstep(0.596, 0.606, y) * numpy_smoothstep(0.08, 0.10, z) * bare
    )  # fmt: skip
    cheek = np.interp(x, [0.02, 0.03, 0.045, 0.058, 0.066, 0.075], [0.655, 0.658, 0.667, 0.686, 0.725, 0.76])
    maps["jaw"] = (
        numpy_smoothstep(0.022, 0.034, x) * numpy_smoothstep(cheek + 0.004, cheek - 0.006, y)
        * numpy_smoothstep(0.597, 0.612, y)
        * numpy_smoothstep(0.028, 0.045, z) * (1 - regions["ears"]) * bare
    )  # fmt: skip
    front = np.interp(x, [0, 0.035, 0.05, 0.062, 0.075, 0.1], [0.792, 0.788, 0.776, 0.752, 0.728, 0.72])
    line = np.where(z > 0.03, front, np.interp(z, [-0.09, -0.04, 0.0, 0.03], [0.625, 0.640, 0.70, 0.735]))
    maps["scalp"] = numpy_smoothstep(-0.004, 0.004, y - line) * (1 - regions["ears"])
    # blood near the surface
    cheeks = np.exp(-(((x - 0.043) / 0.018) ** 2) - ((y - 0.685) / 0.018) ** 2) * (z > 0.05)
    tip = np.exp(-((np.linalg.norm(points - marks[1], axis=1) / 0.016) ** 2))
    chin = np.exp(-((np.linalg.norm(points - marks[199], axis=1) / 0.016) ** 2))
    maps["cheeks"] = cheeks
    maps["redness"] = np.clip(0.8 * cheeks + 0.9 * tip + 0.35 * chin + 0.6 * regions["ears"], 0, 1.5)
    return maps | _age_maps(both, marks)


def _age_maps(both: np.ndarray, marks: np.ndarray) -> dict[str, np.ndarray]:
    """Lines of age at points (P, 3) of the mean head's left side; marks (478, 3)."""
    (x, y, z), maps = both.T, {}
    wing, mouth = marks[358], marks[291]
    offsets = np.array([[0.006, 0.004, 0], [0.010, 0.001, 0], [0.008, -0.002, 0], [0.007, -0.016, -0.002]])
    fold = _spline(np.stack([wing, (wing + mouth) / 2, mouth, mouth]) + offsets, 33)
    maps["nasolabial"] = _line(both, fold, 0.0028)
    brow_top = marks[334, 1]
    lines = np.zeros(len(both))
    for height, width in ((0.012, 0.035), (0.021, 0.038), (0.030, 0.036)):
        bend = brow_top + height - 5 * x**2 * 0.6 + 0.0007 * np.sin(x * 130 + height * 900)
        lines += np.exp(-(((y - bend) / 0.0016) ** 2)) * numpy_smoothstep(width, width * 0.6, x) * (z > 0.08)
    maps["forehead_lines"] = lines
    outer = marks[263]
    crow = np.zeros(len(both))
    for rise in (-0.55, -0.15, 0.3):
        ray = outer + np.linspace(0.006, 0.024, 17)[:, None] * np.array([0.8, rise, -0.6])
        crow = np.maximum(crow, _line(both, ray, 0.0014))
    maps["crows_feet"] = crow
    below = np.array([[0.0, 0, 0], [0, -0.008, 0], [0, -0.008, 0]])
    bag = _spline(marks[[362, 374, 263]] + below, 33)
    maps["eye_bag"] = _line(both, bag, 0.0035)
    between = np.array([[0.006, marks[336, 1] - 0.006, 0], [0.0065, marks[336, 1] + 0.008, 0]])
    between[:, 2] = marks[9, 2]
    maps["frown_lines"] = _line(both * [1, 1, 0], _spline(between, 17) * [1, 1, 0], 0.0013) * (z > 0.1)
    maps["relief"] = np.clip(maps["nasolabial"] + 0.8 * maps["eye_bag"] + 0.7 * lines + 0.7 * crow, 0, 1.5)
    return maps


def _by_x(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(curve[:, 0])
    return curve[order, 0], curve[order, 1]


def _lash(points: np.ndarray, curve: np.ndarray, width: float) -> np.ndarray:
    value = np.zeros(len(points))
    near = np.flatnonzero(np.linalg.norm(points - curve[len(curve) // 2], axis=1) < 0.03)
    distance, along, _ = _to_curve(points[near], curve)
    value[near] = numpy_smoothstep(width, width * 0.3, distance) * numpy_smoothstep(1.02, 0.85, along)
    return value


@lru_cache(maxsize=1)
def full_maps() -> Tensor:
    """(M, 512, 512) float32 of ``MAP_NAMES``; row 0 is v = 1. Computed once per process, on the CPU."""
    template: Template = load_template()
    surface = people_surface(torch.device("cpu"))
    keep = surface.face_kind == HEAD
    faces = surface.cut_faces[keep]
    points = torch.ones(1, len(surface.uv), 3)
    points[0, :, 0] = surface.uv[:, 0] * FULL_RESOLUTION
    points[0, :, 1] = (1 - surface.uv[:, 1]) * FULL_RESOLUTION
    raster = fragments(face_ids(points, faces, (FULL_RESOLUTION, FULL_RESOLUTION)), faces)
    weights = fragment_barycentrics(points, raster)
    names = list(template.regions)
    region = np.stack([template.regions[name] for name in names], 1)
    region = np.concatenate([region, np.zeros((len(surface.rest) - len(region), len(names)), np.float32)])
    values = torch.cat([surface.rest, torch.from_numpy(region)], 1)[surface.source][None]
    texels = fragment_values(values, raster, weights).double().numpy()
    marks = template.landmarks478.positions(surface.rest[: surface.vertex_count].double().numpy())
    regions = {name: texels[:, 3 + number] for number, name in enumerate(names)}
    maps = head_maps(texels[:, :3], regions, marks)
    stacked = torch.from_numpy(np.stack([maps[name] for name in MAP_NAMES], 1)).float()
    images = raster.scatter(stacked)[0].permute(2, 0, 1)
    covered = raster.scatter(torch.ones(len(stacked), 1))[0].permute(2, 0, 1)
    images = _fill_gutter(images, covered)
    groove = images[MAP_NAMES.index("relief")].clone()
    images[MAP_NAMES.index("relief")] = torch.roll(groove, -2, 0) - torch.roll(groove, 2, 0)
    return images


def _fill_gutter(images: Tensor, covered: Tensor, passes: int = 10) -> Tensor:
    """Extend charts outwards by the mean of their neighbours."""
    known, values = covered.clone(), images * covered
    for _ in range(passes):
        count = functional.avg_pool2d(known[None], 3, 1, 1)[0]
        mean = functional.avg_pool2d((values * known)[None], 3, 1, 1)[0] / count.clamp(min=1e-6)
        values = torch.where(known > 0, values, mean)
        known = ((known > 0) | (count > 0)).float()
    return values


def maps_at(resolution: int, device: torch.device) -> Tensor:
    """(1, M, R, R) the maps, averaged down to ``resolution`` (a power of two, at most 512)."""
    return functional.interpolate(full_maps()[None], (resolution, resolution), mode="area").to(device)


@lru_cache(maxsize=1)
def full_tiles() -> Tensor:
    """(T, 512, 512) float32 periodic noise of ``TILE_NAMES``, standard deviation 1 except ``spots`` (0-1)."""
    generator = np.random.Generator(np.random.Philox(key=20261120))
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE) * TILE, np.fft.rfftfreq(TILE) * TILE, indexing="ij")
    radius = np.hypot(fx, fy)

    def shaped(spectrum: np.ndarray) -> np.ndarray:
        noise = np.fft.irfft2(np.fft.rfft2(generator.standard_normal((TILE, TILE))) * spectrum, s=(TILE, TILE))
        noise -= noise.mean()
        return noise / noise.std()

    low = shaped(np.where(radius > 0, 1 / np.maximum(radius, 2) ** 1.8, 0) * np.exp(-((radius / 30) ** 2)))
    mid = shaped(np.exp(-((np.log(np.maximum(radius, 1e-3) / 24) / 0.7) ** 2)))
    fine = shaped(np.exp(-((np.log(np.maximum(radius, 1e-3) / 90) / 0.6) ** 2)))
    strands = shaped(np.exp(-((fx / 120) ** 2) - (fy / 14) ** 2) * (np.abs(fx) > 20))
    seeds = generator.random((TILE, TILE)) < 0.004
    blur = np.exp(-((radius / 75) ** 2))
    spots = np.fft.irfft2(np.fft.rfft2(seeds * generator.uniform(0.3, 1.0, (TILE, TILE))) * blur, s=(TILE, TILE))
    spots = np.clip(spots / spots.max() * 2.2, 0, 1)
    return torch.from_numpy(np.stack([low, mid, fine, strands, spots]).astype(np.float32))


def tiles_at(resolution: int, device: torch.device) -> Tensor:
    """(1, T, R + 1, R + 1) the noise at ``resolution``, with its first row and column repeated for periodic lookups."""
    tiles = functional.interpolate(full_tiles()[None], (resolution, resolution), mode="area")
    tiles = torch.cat([tiles, tiles[..., :1]], -1)
    return torch.cat([tiles, tiles[..., :1, :]], -2).to(device)


def sample_maps(maps: Tensor, uv: Tensor) -> Tensor:
    """Sample maps (1, M, R, R) bilinearly at uv (P, 2), v up, to (M, P)."""
    grid = torch.stack([uv[:, 0] * 2 - 1, 1 - uv[:, 1] * 2], -1)[None, :, None]
    return functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)[0, :, :, 0]


def sample_tiles(tiles: Tensor, coordinates: Tensor) -> Tensor:
    """Sample periodic tiles (1, T, R + 1, R + 1) bilinearly at coordinates (P, 2), period 1, to (T, P)."""
    grid = (coordinates.remainder(1.0) * 2 - 1)[None, :, None]
    return functional.grid_sample(tiles, grid, mode="bilinear", padding_mode="border", align_corners=True)[0, :, :, 0]


BROW_LABEL = 0.42
BEARD_LABEL = 0.25
LASHES = (0.016, 0.011, 0.009)


@dataclass(frozen=True)
class SkinParameters:
    """Parameters of one person's painted skin. Lengths in metres, colours linear.

    Attributes
    ----------
    melanin, redness : mean of the skin. blotch : unevenness. flush : blood in cheeks, nose and ears. freckles : 0-1.
    brow_colour, brow_density, brow_width, brow_start, brow_end, brow_arch, brow_lift, brow_taper : ``start`` and
        ``end`` along the brow (0 at the nose, 1 at the temple); ``arch`` raises its middle, ``lift`` the whole brow.
    beard_colour, stubble, moustache, chin, jaw : densities 0-1.
    lip_blood, lip_melanin : of bare lips. lipstick : strength, lipstick_colour. blush, eye_shadow, eye_shadow_colour,
        liner : make-up.
    folds, lines, crows, bags, frown : depth of nasolabial folds, forehead lines, crow's feet, bags, frown lines, 0-1.
    shine : strength of the highlight. noise : (6,) offsets in the noise tiles.
    """

    melanin: float
    redness: float
    blotch: float
    flush: float
    freckles: float
    brow_colour: tuple[float, float, float]
    brow_density: float
    brow_width: float
    brow_start: float
    brow_end: float
    brow_arch: float
    brow_lift: float
    brow_taper: float
    beard_colour: tuple[float, float, float]
    stubble: float
    moustache: float
    chin: float
    jaw: float
    lip_blood: float
    lip_melanin: float
    lipstick: float
    lipstick_colour: tuple[float, float, float]
    blush: float
    eye_shadow: float
    eye_shadow_colour: tuple[float, float, float]
    liner: float
    folds: float
    lines: float
    crows: float
    bags: float
    frown: float
    shine: float
    noise: tuple[float, float, float, float, float, float]


def draw_skin(generator: np.random.Generator, look: PersonLook) -> SkinParameters:
    """Draw skin for a person of this look."""
    g = generator
    old = float(np.clip((look.age - 28) / 45, 0, 1.2))
    wear = lambda strength: float(strength * old * g.uniform(0.3, 1.2) + g.exponential(0.06))  # noqa: E731
    masculine = 1 - look.femininity
    shades, shadows = (np.array(TABLES["colours"][name]) for name in ("lipsticks", "eye_shadows"))
    lipstick = np.clip(shades[g.integers(len(shades))] * np.exp(g.normal(0, 0.25, 3)), 0.01, 0.8)
    shadow = np.clip(shadows[g.integers(len(shadows))] * np.exp(g.normal(0, 0.25, 3)), 0.01, 0.8)
    return SkinParameters(
        melanin=look.melanin,
        redness=look.redness,
        blotch=float(np.exp(g.normal(0, 0.35))),
        flush=float(np.clip(g.normal(0.20, 0.12), 0.02, 0.6)) * (1 - 0.6 * look.melanin),
        freckles=float(g.beta(0.5, 2.5) * np.clip(1.3 - 2.2 * look.melanin, 0.05, 1) * (1 - 0.6 * look.make_up)),
        brow_colour=look.brow_hair,
        brow_density=float(np.clip(g.normal(0.78, 0.18), 0.25, 1.0)),
        brow_width=float(np.clip(g.normal(0.0048 + 0.0012 * masculine, 0.0011), 0.0022, 0.0095)),
        brow_start=float(g.normal(0.03, 0.05)),
        brow_end=float(g.normal(1.02, 0.08)),
        brow_arch=float(g.normal(0.0006 + 0.0008 * look.femininity, 0.0011)),
        brow_lift=float(g.normal(0.0004, 0.0012)),
        brow_taper=float(g.uniform(0.35, 0.9)),
        beard_colour=look.beard_hair,
        stubble=look.stubble * (0.75 if look.beard == 0 else 0.4),
        moustache=look.moustache,
        chin=look.chin,
        jaw=look.jaw,
        lip_blood=float(np.clip(g.normal(0.75, 0.18), 0.25, 1.3)),
        lip_melanin=float(np.clip(g.normal(0.02 + 0.12 * look.melanin, 0.05), -0.06, 0.25)),
        lipstick=look.make_up * float(g.uniform(0.2, 0.95)),
        lipstick_colour=tuple(lipstick),
        blush=look.make_up * float(g.uniform(0, 0.7)),
        eye_shadow=look.make_up * float(g.uniform(0, 0.7)),
        eye_shadow_colour=tuple(shadow),
        liner=look.make_up * float(g.uniform(0.2, 1.0)),
        folds=wear(0.7),
        lines=wear(0.65),
        crows=wear(0.6),
        bags=wear(0.6) + 0.1,
        frown=wear(0.6),
        shine=float(np.clip(g.normal(0.9, 0.35), 0.2, 2.0)) * (1 - 0.4 * look.make_up),
        noise=tuple(g.random(6)),
    )


Columns = Mapping[str, Tensor]
"""Parameters of a batch by name, (N,) or (N, C)."""


def columns_of(items: Sequence[Any], device: torch.device) -> Columns:
    """The parameters of single people as columns."""
    rows = {field.name: [getattr(item, field.name) for item in items] for field in fields(items[0])}
    return {name: torch.from_numpy(np.array(values, np.float32)).to(device) for name, values in rows.items()}


@dataclass(frozen=True)
class Painted:
    """Painted pixels.

    Attributes
    ----------
    albedo : (P, 3) linear. labels : (P,) uint8 of ``FaceClass``. gloss : (P,) factor on the highlight.
    roughness : (P,).
    """

    albedo: Tensor
    labels: Tensor
    gloss: Tensor
    roughness: Tensor


def smoothstep(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """0 below ``low``, 1 above ``high`` (or the reverse when low > high), smooth in between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def paint_skin(maps: Tensor, tiles: Tensor, hair: Tensor, columns: Columns, image: Tensor) -> Painted:
    """Paint the head's skin with brows, beard, make-up and lines.

    maps (M, P) of ``MAP_NAMES``; tiles (T, P) of ``TILE_NAMES``; hair (T, P): the same tiles, sampled along the hair's
    direction of growth; image (P,).
    """
    at = dict(zip(MAP_NAMES, maps, strict=True))
    noise = dict(zip(TILE_NAMES, tiles, strict=True))
    streaks = dict(zip(TILE_NAMES, hair, strict=True))

    def number(name: str) -> Tensor:
        return columns[name][image]

    lips = smoothstep(0.25, 0.75, at["lips"])
    blotch = number("blotch")
    melanin = number("melanin") * (1 + 0.07 * blotch * noise["low"] + 0.018 * noise["mid"])
    melanin = melanin + 0.16 * number("freckles") * noise["spots"] * (1 - lips) * (0.3 + at["redness"])
    melanin = melanin + number("bags") * 0.10 * at["eye_bag"] + lips * number("lip_melanin")
    lines = at["forehead_lines"] * (0.42 + 0.18 * noise["low"])
    folds = number("folds") * at["nasolabial"] + number("lines") * lines
    folds = folds + number("crows") * at["crows_feet"] + number("frown") * at["frown_lines"]
    blood = number("redness") + number("flush") * at["redness"] * (1 + 0.08 * noise["mid"])
    blood = blood + (0.03 * blotch) * (noise["mid"] + noise["low"]) + 0.025 * noise["fine"] + 0.12 * folds
    blood = blood + lips * number("lip_blood") * (1 + 0.10 * streaks["strands"]) + number("blush") * 0.5 * at["cheeks"]
    blood = blood + 0.05 * number("bags") * at["eye_bag"]
    density = melanin[:, None] * maps.new_tensor(MELANIN_ABSORPTION) + blood[:, None] * maps.new_tensor(
        BLOOD_ABSORPTION
    )
    worn = (number("folds") + number("lines") + number("bags")) * (1 / 3)
    density = density + (0.30 * folds + 0.45 * worn * at["relief"])[:, None]
    albedo = maps.new_tensor(PALE_SKIN) * torch.exp(-density)
    albedo = albedo.lerp(number("lipstick_colour"), (number("lipstick") * lips)[:, None] * 0.9)
    albedo = albedo.lerp(number("eye_shadow_colour"), (number("eye_shadow") * at["lid"])[:, None] * 0.8)
    inside = smoothstep(0.35, 0.65, at["mouth"])
    albedo = albedo.lerp(maps.new_tensor([0.20, 0.055, 0.05]), inside[:, None])
    labels = torch.full_like(image, int(FaceClass.SKIN), dtype=torch.uint8)
    labels = labels.masked_fill(at["neck"] > 0.5, int(FaceClass.NECK))
    labels = labels.masked_fill(at["ears"] > 0.5, int(FaceClass.EARS))
    labels = labels.masked_fill(at["lips"] > 0.5, int(FaceClass.LIPS))

    beard = number("moustache") * at["moustache"]
    beard = torch.maximum(beard, number("chin") * at["chin"])
    beard = torch.maximum(beard, number("jaw") * at["jaw"])
    grain = 0.30 * noise["fine"] + 0.30 * streaks["strands"]
    cover = smoothstep(0.12, 0.62, beard + (0.22 * grain + 0.10 * noise["mid"]) * (beard > 0.03))
    where = torch.maximum(torch.maximum(at["moustache"], at["chin"]), at["jaw"])
    day = number("stubble") * where * (0.34 + 0.13 * noise["fine"]) * (1 - cover)
    beard_colour = number("beard_colour")
    albedo = albedo.lerp(beard_colour * 0.8 + 0.05 * albedo, day.clamp(0, 0.6)[:, None])
    albedo = albedo.lerp(beard_colour * (1 + 0.45 * grain[:, None]).clamp(min=0.25), (0.93 * cover)[:, None])
    labels = labels.masked_fill(
        (smoothstep(0.12, 0.62, beard) > BEARD_LABEL) & ~inside.bool(), int(FaceClass.FACIAL_HAIR)
    )

    body = _brow_body(at["brow_along"], at["brow_across"] / 100, number)
    brow = (body * (0.82 + 0.42 * streaks["strands"])).clamp(0, 1) * number("brow_density")
    albedo = albedo.lerp(number("brow_colour"), brow[:, None])
    labels = labels.masked_fill(body > BROW_LABEL, int(FaceClass.BROWS))

    lash = at["lash"] * (0.75 + 0.25 * number("liner"))
    albedo = albedo.lerp(maps.new_tensor(LASHES), lash.clamp(0, 0.95)[:, None])
    labels = labels.masked_fill(at["mouth"] > 0.5, int(FaceClass.MOUTH_INTERIOR))
    oily = 1 + 0.5 * at["nose"] + 0.45 * lips + 0.1 * noise["mid"]
    gloss = number("shine") * oily * (1 - 0.8 * torch.maximum(cover, brow)) * (1 - 0.5 * inside)
    roughness = 0.40 - 0.10 * lips + 0.2 * cover
    return Painted(albedo, labels, gloss, roughness)


def _brow_body(along: Tensor, across: Tensor, number) -> Tensor:
    """(P,) 0-1 density of the brow without its single hairs."""
    start, end = number("brow_start"), number("brow_end")
    t = (along - start) / (end - start)
    inner = t.clamp(0, 1)
    middle = number("brow_lift") + number("brow_arch") * (1 - 4 * (inner - 0.6) ** 2)
    full = smoothstep(-0.02, 0.22, inner) * 0.25 + 0.75
    width = number("brow_width") * full * (1 - number("brow_taper") * smoothstep(0.45, 1.05, inner))
    distance = (across - middle).abs() / width
    ends = smoothstep(-0.06, 0.06, t) * smoothstep(1.04, 0.93, t)
    fade = 0.62 + 0.38 * smoothstep(0.0, 0.25, inner)
    return smoothstep(1.25, 0.45, distance) * ends * fade


TOOTH_EDGES = (0.0, 0.0086, 0.0152, 0.0225, 0.0285, 0.034)
LOWER_TOOTH_EDGES = (0.0, 0.0054, 0.0112, 0.0178, 0.0246, 0.031)


@dataclass(frozen=True)
class PartsParameters:
    """Appearance of eyes and teeth. Colours linear.

    Attributes
    ----------
    iris : colour. iris_radius : metres. pupil : share of the iris. ring : darkness of its rim. sclera : colour.
    veins : redness of the sclera. teeth : colour.
    """

    iris: tuple[float, float, float]
    iris_radius: float
    pupil: float
    ring: float
    sclera: tuple[float, float, float]
    veins: float
    teeth: tuple[float, float, float]


def draw_parts(generator: np.random.Generator, look: PersonLook) -> PartsParameters:
    """Draw eyes and teeth for a person of this look."""
    g = generator
    yellow = np.clip(g.normal(0.10 + 0.003 * (look.age - 20), 0.10), 0, 0.6)
    white = g.uniform(0.36, 0.54)
    return PartsParameters(
        iris=look.iris,
        iris_radius=float(np.clip(g.normal(0.0061, 0.0002), 0.0055, 0.0067)),
        pupil=float(np.clip(g.normal(0.40, 0.08), 0.22, 0.62)),
        ring=float(g.uniform(0.3, 0.85)),
        sclera=(white, white * g.uniform(0.90, 0.97), white * g.uniform(0.84, 0.95)),
        veins=float(g.exponential(0.25)),
        teeth=tuple(np.array([0.62, 0.60, 0.55]) * (1 - yellow * np.array([0.1, 0.28, 0.75]))),
    )


def lid_height(azimuth: Tensor, lids: Tensor, image: Tensor) -> Tensor:
    """(P,) elevation of a lid's edge at azimuths (P,); lids (N, 9, 2): azimuths, ascending, and elevations."""
    row = lids.index_select(0, image)  # (P, 9, 2)
    value = row[:, 0, 1]
    for k in range(row.shape[1] - 1):
        low, high = row[:, k, 0], row[:, k + 1, 0]
        t = ((azimuth - low) / (high - low).clamp(min=1e-4)).clamp(0, 1)
        value = value + t * (row[:, k + 1, 1] - row[:, k, 1])
    return value


def paint_eye(offset: Tensor, radius: float, tiles: Tensor, columns: Columns, image: Tensor) -> Painted:
    """Paint eyeball pixels. offset (P, 3) from the eye's centre, in the eye's axes (it looks along z); radius of the
    eyeball.

    tiles (T, P) at ``iris_uv``.
    """
    unit = torch.nn.functional.normalize(offset, dim=-1)
    away = radius * torch.acos(unit[:, 2].clamp(-1, 1))
    limit = columns["iris_radius"][image]
    share = away / limit
    strands, mid = tiles[3], tiles[1]
    shade = (1 + 0.28 * strands + 0.12 * mid) * (1.35 - 0.6 * smoothstep(0.45, 1.0, share))
    shade = shade * (1 - columns["ring"][image] * smoothstep(0.80, 0.97, share))
    pupil = columns["pupil"][image]
    iris = columns["iris"][image] * (shade * 1.2).clamp(min=0.1)[:, None]
    iris = iris * (1 - 0.97 * smoothstep(pupil + 0.05, pupil - 0.03, share))[:, None]
    red = columns["veins"][image] * smoothstep(0.006, 0.013, away) * (0.10 + 0.10 * mid.clamp(0, 2))
    red = red + 0.10 * smoothstep(0.009, 0.015, away)
    sclera = columns["sclera"][image] * (1 - red[:, None] * red.new_tensor([0.15, 1.0, 0.9]))
    albedo = sclera.lerp(iris, smoothstep(1.06, 0.95, share)[:, None])
    labels = torch.full_like(image, int(FaceClass.EYES), dtype=torch.uint8)
    return Painted(albedo.clamp(0.002, 0.9), labels, torch.full_like(away, 2.5), torch.full_like(away, 0.10))


def iris_uv(offset: Tensor) -> Tensor:
    """(P, 2) coordinates in the noise tiles of a point of the eye (P, 3): around and outwards."""
    around = torch.atan2(offset[:, 1], offset[:, 0]) / (2 * np.pi)
    return torch.stack([around * 0.8, torch.hypot(offset[:, 0], offset[:, 1]) * 8], -1)


def paint_mouth(rest: Tensor, tooth: Tensor, lower: Tensor, columns: Columns, image: Tensor) -> Painted:
    """Paint teeth and tongue. rest (P, 3) on the mean face; tooth, lower (P,) bool."""
    x = rest[:, 0].abs()
    gap = torch.zeros_like(x)
    for upper_edge, lower_edge in zip(TOOTH_EDGES, LOWER_TOOTH_EDGES, strict=True):
        edge = torch.where(lower, lower_edge, upper_edge)
        gap = torch.maximum(gap, torch.exp(-(((x - edge) / 0.00045) ** 2)))
    teeth = columns["teeth"][image] * (1 - 0.45 * gap - 6 * (x - 0.01).clamp(min=0))[:, None].clamp(min=0.2)
    tongue = rest.new_tensor([0.33, 0.11, 0.10]).expand_as(teeth)
    labels = torch.full_like(image, int(FaceClass.MOUTH_INTERIOR), dtype=torch.uint8)
    gloss, rough = torch.where(tooth, 0.6, 0.5), torch.where(tooth, 0.3, 0.4)
    return Painted(torch.where(tooth[:, None], teeth, tongue), labels, gloss, rough)
