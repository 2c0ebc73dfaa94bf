"""What no photo shows: brows behind frames, the bust in its own chart of map ``Head``, the scalp below the hair."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree

from backend.geometry.template import Template, triangulate
from backend.geometry.vectors import smoothstep, vertex_normals
from backend.hair.hair_strands import HairStrands
from backend.photos.regions import BROW_RIGHT, mirrored
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.rasterize import dilate
from backend.rig.bust import BustModel, load_bust
from backend.system.numba_cache import njit
from backend.texture.delighting import blocked_light
from backend.texture.skin_prior import SKIN_PRIOR, pull_share, skin_prior
from backend.texture.surface import SurfaceAtlas, UvChart, build_atlases, head_surface
from backend.texture.unwrap import TexturePhoto, beard_region, under_jaw


@dataclass(frozen=True)
class PartsSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    hairs_per_area: float = 2e6
    """Hairs per square metre of scalp; 1.2e6 to 3e6 in people."""
    hair_diameter: float = 8e-5
    """Metres, 5e-5 to 1e-4: diameter of a hair."""
    root_shade: float = 0.5
    """Weight in [0, 1] of the hair's log colour in skin with roots: about half of cropped stubble is skin."""
    hair_shade: float = 0.85
    """The same below longer hair, 0.7 to 1: it shades the skin between its locks, but a parting shows."""


PARTS = PartsSettings()


_BROW_DARKER = (-1.3, -0.45)
"""Log units: limits of how much darker than skin a mean brow is, for any hair colour."""
_BROW_COVER, _BROW_SOFT = 0.8, 0.0012
"""Share in [0, 1] of the skin that a mean brow covers; metres of the softness of its outline."""


def hidden_brows(
    atlas: SurfaceAtlas, shown: Sequence[np.ndarray], where: np.ndarray, landmarks: np.ndarray, density: float
) -> np.ndarray:
    """(S, S) float32 in [0, 1] of the mean brows, as far as no photo shows them, on neither side.

    atlas : at the working size, ``density`` texels per metre. shown : (S, S) per photo. where : (P, 3) the texels and
    landmarks : (478, 3) neutral, metres.
    """
    nearest, brows = cKDTree(where), np.zeros((atlas.resolution,) * 2, np.uint8)
    for outline in (BROW_RIGHT, mirrored(BROW_RIGHT)):
        row, column = np.divmod(atlas.texel[nearest.query(landmarks[list(outline)])[1]], atlas.resolution)
        cv2.fillPoly(brows, [np.stack([column, row], 1).astype(np.int32)], 1)
    most = smoothstep(0.0, 0.5, np.maximum.reduce(shown))
    soft = cv2.GaussianBlur(brows.astype(np.float32), (0, 0), _BROW_SOFT * density)
    return (soft * (1.0 - np.maximum(most, most[:, ::-1]))).astype(np.float32)


def with_mean_brows(log_skin: np.ndarray, hidden: np.ndarray, log_hair: np.ndarray) -> np.ndarray:
    """(P, 3) log albedo of skin (P, 3) with the template's brows as dark as hair (3,) where no photo shows them: behind
    frames, fringes and hats. hidden : (P,) in [0, 1]."""
    place = np.flatnonzero(hidden > 0.02)
    if len(place) == 0:
        return log_skin
    darker = np.clip(log_hair.mean() - np.median(log_skin[place]), *_BROW_DARKER)
    result = log_skin.copy()
    result[place] += np.float32(_BROW_COVER * darker) * hidden[place, None]
    return result


_GUTTER = 0.004
"""Gutter as a fraction of the map's side: the chart's rim is dilated this far, for coarse mipmaps."""


def bare_cheeks(template: Template) -> np.ndarray:
    """(N,) vertices of the cheeks above all beards."""
    surface = head_surface(template)
    bearded = beard_region(surface, template.vertices[: surface.count])
    return np.flatnonzero((surface.regions["cheeks"][: surface.count] > 0.5) & (bearded < 0.5))


def with_bust(albedo: np.ndarray, template: Template, model: BustModel, vertices: np.ndarray) -> np.ndarray:
    """Paint the bust's chart: the neck's colours at its rim, blending to the cheeks' times the usual ratio.

    By how much the neck is not as usual is evidence for the bust's colour, unless it deviates too much: shade, a beard.

    Parameters
    ----------
    albedo : (R, R, 3) uint8 sRGB, row 0 is v = 1 of map ``Head``. vertices : (B, 3) of the bust, metres.
    """
    side, prior = len(albedo), skin_prior()
    cheek, rim = (_beside(albedo, template, own) for own in (bare_cheeks(template), model.rim))
    cheek = np.median(cheek, axis=0)
    usual = cheek + cheek.mean() * prior.bust[0] + prior.bust[1]  # (B, 3)
    neck = np.median(rim - usual[: len(rim)], axis=0)
    variance = prior.bust_deviation**2
    tone = usual + variance / (variance + SKIN_PRIOR.light_deviation**2) * pull_share(neck) * neck
    log_colour = tone + model.carried(rim - tone[: len(rim)])  # (B, 3)
    split = triangulate(model.quads)
    (atlas,) = build_atlases([UvChart(model.uv, split.apply(model.uv_quads), split.faces)], side)
    sampled = atlas.sample(np.concatenate([log_colour, vertices], 1))
    painted = np.exp(sampled[:, :3] + GRAIN * skin_noise(sampled[:, 3:]))
    covered = np.zeros((side, side), bool)
    covered.reshape(-1)[atlas.texel] = True
    result = albedo.copy()
    result.reshape(-1, 3)[atlas.texel] = srgb_bytes(painted)
    gutter = max(2, round(_GUTTER * side))
    row, column = np.nonzero(covered)
    window = (
        slice(max(row.min() - gutter, 0), row.max() + gutter + 1),
        slice(max(column.min() - gutter, 0), column.max() + gutter + 1),
    )
    result[window] = dilate(result[window], covered[window], gutter)
    return result


def light_below_chin(template: Template, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Share (V,) float32 in [0, 1] of even light that head and shoulders let through to the neck and below it, for
    pictures without cast shadows; 1 on the face.

    parts : (V, 3) of the head, and of the bust if there is one, metres.
    """
    bust, surface, count = load_bust(), head_surface(template), len(parts[0])
    quads = [template.quads[: template.head.face_stop], bust.quads + count][: len(parts)]
    points, faces = np.concatenate(parts).astype(np.float64), triangulate(np.concatenate(quads)).faces
    blocked = blocked_light(points, faces, vertex_normals(points, faces))
    blocked[:count] *= under_jaw(surface, surface.lifted(points[:count]))
    if len(parts) > 1:
        blocked[count:][: len(bust.rim)] = blocked[bust.rim]
    return np.split(np.float32(1.0 - blocked), np.cumsum([len(part) for part in parts])[:-1])


def _beside(albedo: np.ndarray, template: Template, vertices: np.ndarray) -> np.ndarray:
    """(N, 3) log albedo of the head's faces beside each of its ``vertices`` (N,)."""
    side = min(512, len(albedo))
    logs = np.log(np.maximum(linear_from_srgb(cv2.resize(albedo, (side, side), interpolation=cv2.INTER_AREA)), 1e-3))
    quads = template.quads[: template.head.face_stop]
    column, row = np.moveaxis(template.uv_head[template.uv_head_quads[: len(quads)]].mean(1) * side, 1, 0).astype(int)
    return np.array([logs[side - 1 - row, column][(quads == vertex).any(1)].mean(0) for vertex in vertices])


_BROWN = np.log(np.array([0.045, 0.028, 0.018]))
"""Log linear albedo of brown hair, the commonest; colours the brows of a head without hair."""
_AROUND, _REACH = 8, 0.009
"""Vertices of the hair's scalp over which its density is averaged, so that the shade has no teeth where hairs have
them; and metres from them, beyond which no hair grows."""


@dataclass(frozen=True)
class Scalp:
    """The scalp at the head's V subdivided vertices.

    Attributes
    ----------
    grows : (V,) float32 in [0, 1], where hair grows or is near. shade : (V,) float32 in [0, 1], weight of the hair's
        log colour in the skin's. log_color : (3,) log linear albedo of the hair at its roots, brown for a head without
        hair.
    """

    grows: np.ndarray
    shade: np.ndarray
    log_color: np.ndarray


def scalp_below(strands: HairStrands | None, positions: np.ndarray) -> Scalp:
    """Scalp of a head with vertices ``positions`` (V, 3), metres, below its dressed hair; bald if ``strands`` is
    None."""
    if strands is None:
        return Scalp(*np.zeros((2, len(positions)), np.float32), _BROWN)
    scalp = strands.scalp
    distance, near = cKDTree(scalp.vertices).query(positions, k=_AROUND)
    beside = distance < _REACH
    rooted = (beside * scalp.density[near]).sum(1) / np.maximum(beside.sum(1), 1)
    grows = smoothstep(-_REACH, 0.0, np.where(beside[:, 0], scalp.edge[near[:, 0]], -_REACH))
    colour = np.log(np.maximum(np.median(strands.root_colour, axis=0), 1e-3))
    covered = 1 - np.exp(-PARTS.hairs_per_area * PARTS.hair_diameter * scalp.length[near[:, 0]])
    shade = rooted * np.clip(covered, PARTS.root_shade, PARTS.hair_shade)  # between hairs the skin is dark
    return Scalp(grows.astype(np.float32), shade.astype(np.float32), colour)


def beside_hair(photo: TexturePhoto, grows: np.ndarray) -> TexturePhoto:
    """The photo with its weight only where it shows skin that hair neither hides nor shades; grows (P,) in [0, 1]."""
    weight = (photo.unwrap.weight * (1.0 - smoothstep(0.1, 0.5, grows))).astype(np.float32)
    return replace(photo, unwrap=replace(photo.unwrap, weight=weight))


def with_roots(log_skin: np.ndarray, shade: np.ndarray, log_color: np.ndarray) -> np.ndarray:
    """(P, 3) log albedo of skin (P, 3), darkened by ``shade`` (P,) of ``Scalp`` towards the hair's colour (3,).

    Roots only darken: white hair leaves the skin unchanged.
    """
    darker = np.subtract(log_color.astype(np.float32), log_skin)
    np.minimum(darker, 0, out=darker)
    darker *= shade[:, None]
    darker += log_skin
    return darker


_LATTICE, _SPACING, _DEVIATION = 64, 0.6, 0.3385
"""Points of the lattice after which noise repeats, 2 cm of pores, which nobody sees; their distance in wavelengths; and
the standard deviation between them by a quadratic spline."""


@cache
def _lattice(seed: int) -> np.ndarray:
    """Independent numbers without their local mean, so that the noise has one wavelength."""
    values = np.random.default_rng(seed).standard_normal((_LATTICE,) * 3).astype(np.float32)
    values = (values - uniform_filter(values, 3, mode="wrap")) / np.float32(_DEVIATION)
    return np.pad(values, (0, 2), mode="wrap")


def lattice_noise(points: np.ndarray, wavelength: float, seed: int) -> np.ndarray:
    """(N,) float32 noise of about one ``wavelength`` at points (N, 3), in the same unit, without regard to the charts
    of a map: mean 0 and standard deviation about 1. Another ``seed`` gives an independent pattern."""
    places = np.asarray(points, np.float32).T / np.float32(_SPACING * wavelength)
    return _quadratic_spline(_lattice(seed), *places)


@njit(cache=True, nogil=True, fastmath=True)
def _quadratic_spline(lattice: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(N,) of a lattice whose last two rows repeat the first ones, as ``map_coordinates`` but several times as fast."""
    values, weight, first = np.zeros(len(x), np.float32), np.zeros((3, 3), np.float32), np.zeros(3, np.int64)
    for point in range(len(x)):
        for axis, place in enumerate((x[point], y[point], z[point])):
            before = np.floor(place - np.float32(0.5))
            part = place - before - np.float32(0.5)
            weight[axis, 0], weight[axis, 2] = (1 - part) * (1 - part) / 2, part * part / 2
            weight[axis, 1], first[axis] = 1 - weight[axis, 0] - weight[axis, 2], int(before) % _LATTICE
        for i in range(3):
            for j in range(3):
                row = lattice[first[0] + i, first[1] + j]
                for k in range(3):
                    values[point] += weight[0, i] * weight[1, j] * weight[2, k] * row[first[2] + k]
    return values


def fractal_noise(points: np.ndarray, wavelength: float, octaves: int, seed: int, gain: float = 0.6) -> np.ndarray:
    """Sum of ``octaves`` noises, each with half the wavelength and ``gain`` times the amplitude of the previous one;
    (N,) float32, standard deviation about 1."""
    total = np.zeros(len(points), np.float32)
    for octave in range(octaves):
        total += np.float32(gain**octave) * lattice_noise(points, wavelength / 2**octave, seed * 31 + octave)
    return total / np.float32(np.sqrt(sum(gain ** (2 * k) for k in range(octaves))))


GRAIN, _BLOTCH, _OCTAVES = 0.02, 0.009, 5
"""Log units: deviation of usual skin's detail; metres of the largest blotches of skin that no photo shows, coarser ones
are the smooth skin's; and halvings down to pores of half a millimetre."""


def skin_noise(positions: np.ndarray) -> np.ndarray:
    """(P, 1) float32 detail of skin that no photo shows at positions (P, 3) metres, with a deviation of 1."""
    return fractal_noise(positions, _BLOTCH, _OCTAVES, 1)[:, None]
