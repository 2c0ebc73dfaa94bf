"""Remove light from photos: each one's spherical harmonics, found together with the skin, gloss common to all, and the
smooth difference from what the photos have in common.

**Gloss.** Skin reflects about the same specular light whatever its pigment, so on dark skin, or under a high sun,
foreheads and cheekbones turn grey. Dichromatic reflection (Shafer 1985) separates it from pigment: specular light adds
the same amount to all channels and only brightens, while pigment keeps the ratio of blue to red.

**Tone.** All photos are brought to one tone, which fixes their exposure and white balance, under a prior over skin
tones. Two pigments determine the colour of skin (Tsumura et al., "Independent-component analysis of skin color image",
1999): melanin, which runs from light to dark skin along one curve, and haemoglobin, which reddens. In optical density
haemoglobin is nearly one direction. Real people fill a thin sheet around the curve, while light of any colour and
exposure shifts an estimate freely. So an estimate is drawn to that sheet. Cameras raise contrast, and with it the
chroma of everything but white and grey, so the sheet is that of photographed skin (``camera_chroma``).

**Consensus.** A photo divided by its light is albedo times exposure, cast shadows and other light that the model cannot
express. This remainder is the photo's smooth difference from the robust mean of all photos, and is divided out as well.
What all photos show (a beard, brows, lips, the shade in a fold) stays.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from backend.geometry.robust_statistics import robust_consensus, weighted_median, weighted_quantile
from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.geometry.vectors import area_vectors, smoothstep, spread_directions, unit_vectors, vertex_normals
from backend.photos.collection import FaceClass
from backend.rendering import spherical_harmonics as sh
from backend.rendering.rasterize import face_ids
from backend.system.numba_cache import njit, prange
from backend.system.parallel import each
from backend.texture import unwrap
from backend.texture.skin_prior import SKIN_PRIOR, modes_posterior, skin_posterior, skin_prior
from backend.texture.surface import HeadSurface, SurfaceAtlas, relative_weight


@dataclass(frozen=True)
class DelightingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    light_deviations: tuple[float, float, float] = (0.5, 0.2, 0.1)
    """Standard deviations, 0.02 to 1, of the photos' constant, linear and quadratic coefficients of light about the
    fit's, as shares of its mean shading; one-sided photos hardly constrain the last."""
    even_light: float = 0.2
    """Standard deviation, 0.1 to 0.6, of log shading over the visible skin at which a photo counts half for the smooth
    skin: what tone curves and shadows leave of its light grows with it. Of fifteen synthetic photos 0.04 to 0.07 log
    units are mostly left below 0.3, 0.2 above 0.45. Half of the photos have less than 0.25."""
    jaw_shade: float = 0.8
    """Share in [0, 1] of the photos' evidence that is not believed on the neck and under the jaw, where shadows always
    fall."""
    unlit: float = 0.05
    """Share in [0, 1] of evidence up to which a place is shown in a hat's shade only: photos are compared with the
    skin there."""
    light_length: float = 0.004
    """Metres, 0.001 to 0.01: light is divided out down to this size; finer shading is part of the look of folds."""
    difference_length: float = 0.010
    """Metres, 0.005 to 0.05: scale of a photo's smooth difference from the others (exposure, cast shadows)."""
    consensus_outlier: float = 0.25
    """Log units, 0.1 to 0.8: a photo this far from the others around a vertex gets a quarter of its weight there."""
    colour_range: float = 0.10
    """Log units of chroma, 0.03 to 0.3: most that detail may differ from the smooth albedo; more is coloured light."""
    lip_colour_range: float = 0.5
    """The same of lips: sharp photos show lipstick."""
    matt_quantile: float = 0.3
    """Quantile of visible skin, by chroma and by brightness, that is assumed free of gloss."""
    gloss_from: float = 0.03
    """Share of a place's light, 0.01 to 0.1, below which it is not gloss but blood, a tan, or a lamp's colour."""
    gloss_sure: float = 0.08
    """Share of a place's light from which all of it counts as gloss."""
    gloss_most: float = 0.6
    """Upper limit of gloss as a share in [0, 1] of the blue light: the remainder needs a measurable colour."""
    gloss_length: float = 0.009
    """Metres: finer highlights are photos' differences, or noise."""
    sheet_brightness: float = 0.10
    """Log units: standard deviation of skin tones from the two-pigment family in brightness."""
    sheet_red_green: float = 0.08
    """The same in red over green, as among 78 portraits with white cloth."""
    sheet_yellow_blue: float = 0.12
    """The same in yellow over blue."""
    haemoglobin_spread: float = 0.20
    """Standard deviation of haemoglobin among people, in units of ``skin_tone.HAEMOGLOBIN_DENSITY``."""
    fit_deviation: float = 0.25
    """Log units: standard deviation of the level of the fit's albedo."""
    photo_deviation: float = 0.45
    """Log units: standard deviation of one photo's skin brightness as an estimate of albedo; exposure causes it."""
    common_deviation: float = 0.15
    """Log units: the part of that deviation common to all photos of a person."""
    camera_chroma: float = 1.15
    """Log chroma of photographed skin relative to its reflectance, 1 to 1.4: the contrast of cameras' tone curves.
    With 1, skin was less red than beside white cloth, by 0.16 log units in 78 portraits, 0.08 in 115 press photos."""
    white_balance_deviation: float = 0.2
    """Log units of chroma: standard deviation of one photo's white balance. Red over green of one person's skin varies
    by 0.20 between press photos, green over blue by 0.24 (80 people)."""
    common_cast: float = 0.08
    """Log units of chroma: the part of that deviation common to all photos, because indoor lamps are warm."""
    typical_shading: float = 0.85
    """Typical shading of a face, as a log average: cameras expose for about this level."""


DELIGHTING = DelightingSettings()


_BOUNCE = 0.3  # share of the blocked light that the blocking skin reflects; about its albedo
_MOST_BLOCKED = 0.6  # share of the light at which openness reaches 0; darker cavities are not corrected by division


def _nearest_faces(vertices: np.ndarray, triangles: np.ndarray, directions: np.ndarray, resolution: int) -> np.ndarray:
    """(D, V) first face hit when looking at each vertex from far away, for directions (D, 3); -1 = none."""
    helper = np.where(np.abs(directions[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    right = np.cross(helper, directions)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    axes = np.stack([right, np.cross(directions, right), -directions], 2)  # (D, 3, 3)
    seen = vertices[None] @ axes  # (D, V, 3)
    low = seen.min(1, keepdims=True)
    scale = (resolution - 2) / np.maximum(np.ptp(seen[..., :2], axis=1).max(1), 1e-9)
    pixels = (seen - low) * scale[:, None, None] + np.array([1.0, 1.0, 1000.0])
    size = (resolution, resolution)
    ids = face_ids(torch.from_numpy(pixels.astype(np.float32)), torch.from_numpy(triangles), size).numpy()
    columns, rows = pixels[..., 0].astype(int), pixels[..., 1].astype(int)
    return ids[np.arange(len(directions))[:, None], rows, columns]


def openness(vertices: np.ndarray, triangles: np.ndarray, normals: np.ndarray, **sampling: int) -> np.ndarray:
    """(V,) float64 openness of the hemisphere over each vertex, 1 where it is open, 0 in a closed cavity; arguments as
    of ``blocked_light``."""
    share = (1.0 - _BOUNCE) * blocked_light(vertices, triangles, normals, **sampling)
    return np.clip(1.0 - share / _MOST_BLOCKED, 0.0, 1.0)


def blocked_light(
    vertices: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    directions: int = 128,
    resolution: int = 128,
    bias: float = 0.004,
) -> np.ndarray:
    """Compute the share of the hemisphere over each vertex that the mesh blocks.

    Parameters
    ----------
    vertices : (V, 3) metres, head frame; triangles : (F, 3); normals : (V, 3) unit.
    directions, resolution : number of directions tested, and edge of each depth buffer in pixels.
    bias : metres; nearer faces do not count as blocking.

    Returns
    -------
    (V,) float64, cosine-weighted.
    """
    triangles = np.ascontiguousarray(triangles, np.int64)
    vertices = vertices.astype(np.float64)
    face_normal, centroid = unit_vectors(area_vectors(vertices, triangles)), vertices[triangles].mean(1)
    spread = spread_directions(directions)
    nearest = _nearest_faces(vertices, triangles, spread, resolution)  # (D, V)
    lost = np.zeros(len(vertices))
    for direction, face in zip(spread, nearest, strict=True):
        slope = face_normal[face] @ direction
        to_face = np.where(  # distance along the direction from the vertex to the face hit first
            np.abs(slope) > 0.1,
            ((vertices[triangles[face, 0]] - vertices) * face_normal[face]).sum(1) / np.where(slope == 0, 1.0, slope),
            (centroid[face] - vertices) @ direction,
        )
        blocked = (face >= 0) & (to_face > bias)
        lost += np.maximum(normals @ direction, 0.0) * blocked
    return lost * 4.0 / directions


def matched_light(photo: unwrap.PhotoSamples, albedo: np.ndarray) -> np.ndarray:
    """The fit's light, scaled per channel to match the photo's median brightness under this albedo."""
    used = photo.weight > 0
    if not used.any():
        return photo.light.astype(np.float64)
    explained = albedo[used] * unwrap.shading(photo.transfer[used], photo.light)
    ratio = np.median(photo.linear[used] / np.maximum(explained, 1e-4), axis=0)
    return photo.light.astype(np.float64) * np.clip(ratio, 0.02, 50.0)


def photo_detail(
    linear: np.ndarray, log_field: np.ndarray, log_base: np.ndarray, colour_range: np.ndarray, monochrome: bool
) -> np.ndarray:
    """Compute a photo's log detail (P, 3) float32.

    Chroma far from the smooth albedo is drawn towards it: dark hairs look grey or blue through camera noise, but
    contain melanin like the skin. Lips have their own colour and a wider range.

    Parameters
    ----------
    linear : (P, 3). log_field : (P, 3), linear light over exp(this) is albedo on the level of log_base (P, 3).
    colour_range : (P,) log units by which the chroma may differ from ``log_base``.
    """
    out = np.empty(linear.shape, np.float32)
    _details(
        *(np.ascontiguousarray(a, np.float32) for a in (linear, log_field, log_base, colour_range)), monochrome, out
    )
    return out


@njit(cache=True)
def texel_detail(linear, log_field, log_base, colour_range, monochrome):
    """``photo_detail`` of one texel, in compiled loops: colours as tuples of three."""
    red = math.log(max(linear[0], unwrap.DARKEST)) - log_field[0] - log_base[0]
    green = math.log(max(linear[1], unwrap.DARKEST)) - log_field[1] - log_base[1]
    blue = math.log(max(linear[2], unwrap.DARKEST)) - log_field[2] - log_base[2]
    if monochrome:
        red = green = blue = (red + green + blue) / 3.0
    red, green, blue = min(max(red, -3.0), 0.9), min(max(green, -3.0), 0.9), min(max(blue, -3.0), 0.9)
    level = (red + green + blue) / 3.0
    o0, o1, o2 = red - level, green - level, blue - level
    shrink = min(colour_range / max(math.sqrt(o0 * o0 + o1 * o1 + o2 * o2), 1e-9), 1.0)
    return level + o0 * shrink, level + o1 * shrink, level + o2 * shrink


@njit(cache=True, parallel=True, nogil=True)
def _details(linear, log_field, log_base, colour_range, monochrome, out):
    for i in prange(len(linear)):
        out[i, 0], out[i, 1], out[i, 2] = texel_detail(
            (linear[i, 0], linear[i, 1], linear[i, 2]),
            (log_field[i, 0], log_field[i, 1], log_field[i, 2]),
            (log_base[i, 0], log_base[i, 1], log_base[i, 2]),
            colour_range[i],
            monochrome,
        )


def gloss(log_skin: np.ndarray, weight: np.ndarray, operators: SurfaceOperators) -> np.ndarray:
    """(C, 3) log units by which gloss brightens smooth skin, at least 0.

    Parameters
    ----------
    log_skin : (C, 3) log linear albedo at the cage's vertices, light divided out. weight : (C,) visibility of bare skin
    at each vertex.
    """
    linear = np.exp(log_skin)
    mean = linear.mean(1)
    red, blue = linear[:, 0], linear[:, 2]
    ratio = min(float(weighted_quantile((blue / red)[:, None], weight, DELIGHTING.matt_quantile)[0]), 0.9)
    amount = np.maximum(blue - ratio * red, 0.0) / (1.0 - ratio)
    amount = amount * smoothstep(DELIGHTING.gloss_from, DELIGHTING.gloss_sure, amount / mean)
    brighter = mean - weighted_quantile(mean[:, None], weight, DELIGHTING.matt_quantile)[0]
    amount = np.clip(amount, 0.0, np.minimum(np.maximum(brighter, 0.0), DELIGHTING.gloss_most * linear.min(1)))
    brightens = log_skin - np.log(linear - amount[:, None])
    trusted = np.sqrt(np.clip(weight, 0.0, 1.0))  # the root keeps gloss from fading before the photo's border
    return np.maximum(smooth_field(operators, brightens, trusted, DELIGHTING.gloss_length, np.zeros(3), 1e-3), 0.0)


_MELANIN_LIGHT = np.array([76.0, 68.0, 59.0, 47.0, 36.0, 27.0])
"""CIELAB's L of cheeks and foreheads, from very light to very dark skin."""
_SKIN_HUE = np.array([[12.9, 51.3, 11.5], [19.6, 54.6, 8.6]])
"""Their a and b: the first, less the square of L's distance from the second over the third."""
HAEMOGLOBIN_DENSITY = np.array([0.10, 0.42, 0.34])  # density of one unit, R G B: absorbs green most, then blue
_OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])  # log-RGB to brightness and chroma


def skin_log_albedo(melanin: np.ndarray, haemoglobin: np.ndarray | float = 0.0) -> np.ndarray:
    """Logarithm of linear-light skin albedo (..., 3), as photographs show it beside white, for ``melanin`` in [0, 1]
    (light to dark; the curve goes on by a fifth at both ends) and ``haemoglobin`` in units of its density relative to a
    typical face (about -1 to 1)."""
    melanin = np.asarray(melanin, float)
    lab = [_MELANIN_LIGHT, *(most - ((_MELANIN_LIGHT - at) / wide) ** 2 for most, at, wide in _SKIN_HUE)]
    anchors = np.log(cv2.cvtColor(np.float32(lab).T[None], cv2.COLOR_Lab2LRGB)[0].astype(float))
    anchors = np.concatenate([[2 * anchors[0] - anchors[1]], anchors, [2 * anchors[-1] - anchors[-2]]])
    position = (np.arange(len(anchors)) - 1) / (len(_MELANIN_LIGHT) - 1)
    curve = np.stack([np.interp(melanin, position, anchors[:, c]) for c in range(3)], -1)
    reflected = curve - np.asarray(haemoglobin, float)[..., None] * HAEMOGLOBIN_DENSITY
    brightness = reflected.mean(-1, keepdims=True)
    return brightness + DELIGHTING.camera_chroma * (reflected - brightness)


def plausible_tone(
    estimate: np.ndarray, brightness_deviation: float = 0.25, chroma_deviation: float = 0.15
) -> np.ndarray:
    """The expected linear albedo (3,), as mean logarithm, given a noisy estimate and the two-pigment family.

    Minus twice the log density of the tone ``t`` and the pigments is ``|e - t|² / s_e² + |t - f(m, h)|² / s_f² +
    h² / s_h²``, all in brightness and chroma of log-RGB. It has two maxima where light skin in warm light looks like
    darker skin; its mean has no jumps.

    Parameters
    ----------
    estimate : (3,) positive linear-light albedo from the fit.
    brightness_deviation : its standard deviation in log-brightness (the light's strength is unknown).
    chroma_deviation : the same in log-chroma (the light's colour is unknown); ``np.inf`` for black-and-white photos.
    """
    measured = _OPPONENT @ np.log(np.clip(estimate, 1e-3, 1.0))  # (3,)
    melanin, haemoglobin = np.meshgrid(np.linspace(-0.2, 1.2, 141), np.linspace(-0.9, 0.9, 73), indexing="ij")
    family = skin_log_albedo(melanin, haemoglobin) @ _OPPONENT.T  # (141, 73, 3)
    noise = np.array([brightness_deviation, chroma_deviation, chroma_deviation])
    sheet = np.array([DELIGHTING.sheet_brightness, DELIGHTING.sheet_red_green, DELIGHTING.sheet_yellow_blue])
    total = noise**2 + sheet**2
    cost = ((measured - family) ** 2 / total).sum(-1) + (haemoglobin / DELIGHTING.haemoglobin_spread) ** 2
    typical = np.average(family.reshape(-1, 3), axis=0, weights=np.exp(0.5 * (cost.min() - cost)).ravel())
    tone = typical + sheet**2 / total * (measured - typical)
    return np.clip(np.exp(np.linalg.solve(_OPPONENT, tone)), 0.005, 0.9)


def estimate_tone(samples: Sequence[unwrap.PhotoSamples], fitted_albedo: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Estimate the skin tone (3,), linear albedo, from the fit, the photos' brightness and the family of skin tones.

    Each photo's median skin, divided by the typical exposure, is one noisy estimate; the fit's albedo is another. They
    are averaged by precision in log-RGB and drawn to the family (``plausible_tone``).

    Parameters
    ----------
    fitted_albedo : (V, 3) linear, the fit's. skin : (V,) weight of plain skin (no lips, no brows).
    """
    plain = skin > 0.5
    fit = np.median(np.log(np.clip(fitted_albedo[plain], 1e-3, 1.0)), axis=0)  # (3,)
    estimates, precisions = [fit], [1.0 / DELIGHTING.fit_deviation**2]
    chromas, chroma_precisions = [fit - fit.mean()], [0.5 / DELIGHTING.white_balance_deviation**2]
    for photo in samples:
        used = (photo.weight > 0) & plain
        if used.sum() < 20 or photo.trust <= 0:
            continue
        seen = np.median(np.log(np.maximum(photo.linear[used], 1e-4)), axis=0)
        estimates.append(seen - np.log(DELIGHTING.typical_shading))
        precisions.append(photo.trust / DELIGHTING.photo_deviation**2)
        if not photo.colourless:
            chromas.append(seen - seen.mean())
            chroma_precisions.append(photo.trust / DELIGHTING.white_balance_deviation**2)
    level = float(np.average([e.mean() for e in estimates], weights=precisions))
    if len(chromas) == 1 and any(photo.colourless for photo in samples):
        chroma, chroma_deviation = chromas[0], np.inf  # no colour photo: the fit's chroma is only its own prior
    else:
        chroma = _common_chroma(np.array(chromas), np.array(chroma_precisions))
        chroma_deviation = float(np.sqrt(1.0 / sum(chroma_precisions) + DELIGHTING.common_cast**2))
    level_deviation = float(np.sqrt(1.0 / sum(precisions) + DELIGHTING.common_deviation**2))
    return plausible_tone(np.exp(level + chroma), level_deviation, chroma_deviation)


def _common_chroma(chromas: np.ndarray, precisions: np.ndarray) -> np.ndarray:
    """(3,) that the chromas (E, 3) have in common: the minimum of a pseudo-Huber cost, square up to the deviation of
    white balance. The cost is convex, so there is one minimum, and it moves no farther than the chromas do."""
    common = np.average(chromas, axis=0, weights=precisions)
    for _ in range(_ROUNDS_OF_CHROMA):
        far = ((chromas - common) ** 2).sum(1) / DELIGHTING.white_balance_deviation**2
        common = np.average(chromas, axis=0, weights=precisions / np.sqrt(1.0 + far))
    return common


_ROUNDS_OF_CHROMA = 20  # of weights, each at most half as far from the minimum as the last
_ROUNDS = 4  # steps of Gauss and Newton


@dataclass(frozen=True)
class Delit:
    """Smooth albedo and the photos' light fields on the head's V subdivided vertices.

    Attributes
    ----------
    log_fields : (V, 3) float32 per photo; the photo's linear light divided by exp(field) is albedo on the common level.
    log_base : (V, 3) float32, the posterior of this person's smooth skin, without brows.
    colour_range : (V, 1) float32, log units by which the chroma of finer detail may differ from ``log_base``.
    beard : (S, S) float32 in [0, 1], weighted share of the photos that show a beard at a texel.
    """

    log_fields: tuple[np.ndarray, ...]
    log_base: np.ndarray
    colour_range: np.ndarray
    beard: np.ndarray


def solve_light(
    samples: Sequence[unwrap.PhotoSamples], share: np.ndarray, tone: np.ndarray, mass: np.ndarray, plain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lights (P, 9, 3) of the photos and the most probable skin (C, 3) of the prior's modes, log albedo, solved
    together: a few steps of Gauss and Newton from the fit's light.

    Parameters
    ----------
    share : (P,) of each photo (``evenness``). tone : (3,) linear skin albedo. Its level is kept, because photos cannot
    separate it from exposure. mass : (C,) square metres, less where shadows always fall. plain : (C,) mask of plain
    skin, which has the tone.
    """
    prior = skin_prior()
    weights = np.stack([s.weight * s.trust for s in samples]) * share[:, None] * mass / SKIN_PRIOR.light_extent**2
    base = _at_tone(prior.mean, tone, plain * mass)
    starts = np.stack([matched_light(photo, np.exp(base)) for photo in samples])
    deviation = np.array(DELIGHTING.light_deviations)[list(sh.BAND_OF_COEFFICIENT)]
    units = np.stack([unwrap.shading(s.transfer, own).mean(0) for s, own in zip(samples, starts, strict=True)])
    units = deviation[:, None] * units[:, None]  # (P, 9, 3)
    codes = np.zeros_like(units)
    for _ in range(_ROUNDS):
        values, designs = [], []
        for photo, light, unit, code in zip(samples, starts + units * codes, units, codes, strict=True):
            lit = unwrap.shading(photo.transfer, light)
            design = photo.transfer[:, :, None] * unit / lit[:, None]
            shown = np.log(np.maximum(photo.linear, 1e-4)) - np.log(lit)
            shown = _with_chroma(shown, base) if photo.colourless else shown
            values.append(shown + np.einsum("vnc,nc->vc", design, code))
            designs.append(design)
        base, codes = modes_posterior(prior, np.stack(values), weights, np.stack(designs))
        base = _at_tone(base, tone, plain * mass)
        for photo, code in zip(samples, codes, strict=True):
            if photo.monochrome:
                code[:] = code.mean(1, keepdims=True)
    return starts + units * codes, base


def evenness(samples: Sequence[unwrap.PhotoSamples]) -> np.ndarray:
    """(P,) in (0, 1], how even each photo's light is beside the evenest one's: its share in the skin's level."""
    even = np.array([1.0 / (1.0 + (unwrap.shading_contrast(own) / DELIGHTING.even_light) ** 4) for own in samples])
    return even / even.max()


def remove_light(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[unwrap.TexturePhoto],
    operators: SurfaceOperators,
    tone: np.ndarray,
    positions: np.ndarray,
) -> Delit:
    """Estimate every photo's light and this person's smooth skin.

    Beside its spherical harmonics a photo's field holds its smooth difference from the skin: exposure, cast shadows
    and other light that low orders cannot express.

    Parameters
    ----------
    atlas : at the working size. tone : (3,) linear albedo assigned to plain skin. positions : (V, 3) neutral, metres.
    """
    count, plain = surface.count, unwrap.plain_skin(surface)[: surface.count]
    harmonics = sh.basis(vertex_normals(positions[:count], surface.cage_triangles))
    regions = {name: region[:count] for name, region in surface.regions.items()}
    votes = unwrap.labelled_share(atlas, photos, FaceClass.FACIAL_HAIR)
    personal = 1.0 - np.maximum(DELIGHTING.jaw_shade * unwrap.under_jaw(surface, positions), 0.5 * regions["ears"])

    samples = [photo.samples for photo in photos]
    share = evenness(samples)
    lights, matt = solve_light(samples, share, tone, personal * operators.mass, plain)
    smooth = [smooth_light(operators, photo.samples.transfer, own) for photo, own in zip(photos, lights, strict=True)]

    def around(photo: unwrap.TexturePhoto, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(C, 3) mean log albedo around each vertex, and (C,) its weight in [0, 1], in a hat's shade too."""
        texels = np.log(np.maximum(photo.unwrap.linear, unwrap.DARKEST))
        mean, total = surface.at_cage(atlas, texels, photo.unwrap.weight * np.maximum(photo.unwrap.cosine, 0.0) ** 2)
        mean = mean - light
        mean = _with_chroma(mean, matt) if photo.samples.colourless else mean
        return mean, relative_weight(total) * photo.samples.trust

    values, weight = (np.stack(arrays) for arrays in zip(*each(around, photos, smooth), strict=True))
    other = [regions[name] for name in ("brows", "lids_left", "lids_right", "eye_sockets", "scalp")]
    skin = 1.0 - smoothstep(0.0, 0.25, np.maximum.reduce(other))

    def difference(own: np.ndarray, seen: np.ndarray, common: np.ndarray) -> np.ndarray:
        trusted = seen * skin / max(float((seen * skin).max()), 1e-9)
        return smooth_field(operators, own - common, trusted, DELIGHTING.difference_length, None, 1e-3)

    lit = weight * skin * np.stack([1.0 - photo.below_hat[:count] for photo in photos])
    shown = _beards_shown(surface, atlas, photos)
    beard = _beard(surface, shown, operators)
    bald = 1.0 - smoothstep(0.0, 0.5, beard)
    levels = np.stack(
        [weighted_median(own - matt, seen * plain * bald + 1e-9) for own, seen in zip(values, weight, strict=True)]
    )
    common, total = robust_consensus(
        values - levels[:, None], lit, DELIGHTING.consensus_outlier, iterations=3, share=share
    )
    evidence = relative_weight(total)
    shaven = evidence * bald
    bare = common - gloss(common, plain * shaven, operators)
    base = skin_posterior(skin_prior(), bare, shaven, operators, surface.mirror, personal, harmonics)
    base = _at_tone(base, tone, plain * (0.01 + shaven) * operators.mass)
    # what the photos have in common, as smooth as the skin, is replaced by the skin
    light = smooth_field(operators, common - base, shaven, SKIN_PRIOR.personal_length, np.zeros(3), 0.01 + beard)
    coloured = np.array([not photo.samples.colourless for photo in photos])
    base = base + beard[:, None] * _beard_tone(
        shown, np.stack(smooth) + levels[:, None] + light, base, coloured, plain * personal, operators
    )
    known = (evidence > DELIGHTING.unlit)[:, None]
    rests = each(difference, values, weight, [np.where(known, common, base + light)] * len(values))
    fields = tuple(
        surface.lifted(own + rest + light).astype(np.float32) for own, rest in zip(smooth, rests, strict=True)
    )
    colours = np.maximum(DELIGHTING.colour_range, DELIGHTING.lip_colour_range * surface.regions["lips"])
    return Delit(fields, surface.lifted(base).astype(np.float32), np.float32(colours)[:, None], votes)


_BEARDED_OR_NOT = (FaceClass.FACIAL_HAIR, FaceClass.SKIN, FaceClass.LIPS)


def _beards_shown(surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[unwrap.TexturePhoto]) -> np.ndarray:
    """(P, C, 5) by photo around the cage's vertices: weight of texels labelled beard times log light, that weight,
    and that of all texels whose labels say whether a beard grows there; aslant, too, where beards are densest."""

    def around(photo: unwrap.TexturePhoto) -> np.ndarray:
        seen, labels = photo.samples.trust * photo.unwrap.visible[:, None], photo.unwrap.labels[:, None]
        hairs = seen * (labels == FaceClass.FACIAL_HAIR)
        logs = np.log(np.maximum(photo.unwrap.linear, unwrap.DARKEST))
        shown = np.concatenate([hairs * logs, hairs, seen * np.isin(labels, _BEARDED_OR_NOT)], 1)
        return surface.at_cage(atlas, shown.astype(np.float32), np.ones(len(shown), np.float32))[0]

    return np.stack(each(around, photos))


def _beard(surface: HeadSurface, shown: np.ndarray, operators: SurfaceOperators) -> np.ndarray:
    """(C,) in [0, 1], how far skin is bearded, of ``_beards_shown``; beyond the photos, too, down to the jaw."""
    lips, neck = (surface.regions[name][: surface.count] for name in ("lips", "neck"))
    hairs, known = shown[..., 3:].sum(0).T[..., None]
    seen, pull = known[:, 0].clip(max=1.0) * (1.0 - neck), unwrap.SEEN * (1.0 + 2.0 * neck)
    share = hairs / np.maximum(known, 1e-6)
    return smooth_field(operators, share, seen, DELIGHTING.light_length, np.zeros(1), pull)[:, 0].clip(0.0, 1.0 - lips)


_GREY, _GINGER = -1.0, 0.5
"""Limits of a beard's chroma beside that of the skin below it, as a share of that: all human hair is from grey to red
along the hue of skin, so that what is purple or green is light."""


def _beard_tone(
    shown: np.ndarray, light: np.ndarray, skin: np.ndarray, coloured: np.ndarray, believed: np.ndarray,
    operators: SurfaceOperators,
) -> np.ndarray:  # fmt: skip
    """(C, 3) log ratio of the beard to ``skin`` (C, 3), of ``_beards_shown``, and their median where no photo shows it.
    light : (P, C, 3) of the photos. coloured : (P,) bool. believed : (C,) in [0, 1]."""
    tones, seen = shown[..., :3] - shown[..., 3:4] * (light + skin), believed * shown[..., 3].sum(0)
    tones = np.where(coloured[:, None, None], tones, tones.mean(2, keepdims=True))
    mean = believed[:, None] * tones.sum(0) / np.maximum(seen, 1e-9)[:, None]
    usual = weighted_median(mean, seen * operators.mass + 1e-12)
    tone = smooth_field(operators, mean, seen, SKIN_PRIOR.personal_length, usual, SKIN_PRIOR.personal_pull)
    hue = skin - skin.mean(1, keepdims=True)
    warmth = ((tone * hue).sum(1) / (hue**2).sum(1)).clip(_GREY, _GINGER)
    return tone.mean(1, keepdims=True) + warmth[:, None] * hue


def _with_chroma(values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """(C, 3) brightness of log albedo ``values`` (C, 3) with the chroma of ``base`` (C, 3)."""
    return base + (values - base).mean(1, keepdims=True)


def _at_tone(base: np.ndarray, tone: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Log albedo (C, 3) shifted so that its median by ``weight`` (C,) is the tone (3,), linear."""
    return base + np.log(tone) - weighted_median(base, weight)


def smooth_light(operators: SurfaceOperators, transfer: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(C, 3) log light on the cage from (C, 9) transfer and (9, 3) light, without its finest relief. Bounced light
    fills folds and the underside of lips, which spherical harmonics make dark; dividing by that would bleach them.
    """
    lit = np.log(unwrap.shading(transfer, light))
    return smooth_field(operators, lit, np.ones(len(lit)), DELIGHTING.light_length, None, 1e-3)
