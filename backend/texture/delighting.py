"""Remove light from photos: spherical harmonics, highlights, shade, and the colours on which photos agree.

Hand-set constants of delighting.

Ambient occlusion: the share of the light from all sides that reaches a point of the face.

Solve each photo's light: nine coefficients of spherical harmonics per channel.

Starts from the fit's light. Solves the coefficients again against one smooth albedo that all photos share and that is
nearly symmetric.

Remove specular highlights: smooth gloss common to all photos, and highlights in one photo's detail.

Skin reflects about the same specular light whatever its pigment, so on dark skin, or under a high sun, foreheads and
cheekbones turn grey. Dichromatic reflection (Shafer 1985) separates it from pigment: specular light adds the same
amount to all channels and only brightens, while pigment keeps the ratio of blue to red.

The shade that a hat casts on the forehead: neither light that spherical harmonics express, nor pigment.

Estimate the person's skin tone by separating skin colour from the colour of the light.

All photos are brought to one tone, which fixes their exposure and white balance, under a prior over skin tones. Two
pigments determine the colour of skin (Tsumura et al., "Independent-component analysis of skin color image", 1999):
melanin, which runs from light to dark skin along one curve, and haemoglobin, which reddens. In optical density (minus
the logarithm of linear reflectance) haemoglobin is nearly one direction. Real people fill a thin sheet around the
curve, while light of any colour and exposure shifts an estimate freely. So an estimate is drawn to that sheet.

Cameras raise contrast, and with it the chroma of everything but white and grey, so the sheet is that of photographed
skin (``DelightingSettings.camera_chroma``): relighting it with white light gives the colour of a photograph.

Multi-view consensus: bring every photo to a common level, smoothly, so that their mean has no seams.

A photo divided by its spherical-harmonics light is albedo times exposure, cast shadows and other light that the model
cannot express. This remainder is the photo's smooth difference from the robust mean of all photos, and is divided out
as well. What all photos show (a beard, brows, lips, the shade in a fold) stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import cv2
import numpy as np
import torch

from backend.geometry.robust_statistics import robust_consensus, weighted_median, weighted_quantile
from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.geometry.vectors import disc, smoothstep, spread_directions
from backend.photos.collection import FaceClass
from backend.rendering.color import LUMINANCE
from backend.rendering.rasterize import face_ids
from backend.rendering.spherical_harmonics import BAND_OF_COEFFICIENT
from backend.system.numba_cache import njit, prange
from backend.system.parallel import each
from backend.texture.surface import HeadSurface, SurfaceAtlas, masked_lowpass, usual_weight
from backend.texture.unwrap import DARKEST, UNWRAPPING, PhotoSamples, TexturePhoto, bare_skin, plain_skin, shading


@dataclass(frozen=True)
class DelightingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    ``benchmarks/sensitivity.py`` halves and doubles each constant and reports which figures respond.
    """

    base_length: float = 0.009
    """Metres, 0.005 to 0.02: scale that separates smooth albedo from photo detail. Smaller values let noise into the
    albedo, larger ones wash out the colour of the cheeks."""
    light_trust_linear: float = 0.002
    """Ridge on the light's three linear coefficients, 0 to 0.1: pull towards the fit's light where the photo constrains
    them weakly."""
    light_trust_quadratic: float = 0.012
    """The same for the five quadratic ones, which one-sided photos hardly constrain."""
    base_outlier: float = 0.16
    """Log units, 0.05 to 0.5: a photo whose albedo is this far from the others' gets a quarter of its weight."""
    skin_colours: float = 0.1
    """Log units of chroma, 0.05 to 0.3: most that skin may differ from its mean over centimetres, for blushes and the
    shadow of a beard. The top 1 % of the skin of ten people reached 0.05 to 0.13; under stage lamps half of it exceeded
    0.17, and a face was orange on its sides and purple in the middle."""
    base_pull: float = 0.06
    """Share, 0.01 to 0.3: pull of poorly seen smooth albedo towards the mean."""
    symmetric_level: float = 0.9
    """Share in [0, 1] of the symmetric smooth differences in brightness that is kept as skin."""
    one_sided_level: float = 0.3
    """Fraction of ``symmetric_level`` kept of asymmetric differences, which are more likely light."""
    symmetric_chroma: float = 0.7
    """Share in [0, 1] of the symmetric smooth differences in colour that is kept."""
    one_sided_chroma: float = 0.1
    """The same for asymmetric differences."""
    light_length: float = 0.004
    """Metres, 0.001 to 0.01: light is divided out down to this size; finer shading is part of the look of folds."""
    hat_shade_known: tuple[float, float] = (0.02, 0.25)
    """Share in [0, 1] of bare skin around a texel, from no shade of a hat to all of it; half at a straight edge."""
    hat_least_texels: float = 100.0
    """Texels, 30 to 1000: summed weight of lit skin, and of skin below the hat, that an estimate of its shade needs."""
    difference_length: float = 0.020
    """Metres, 0.01 to 0.05: scale of a photo's smooth difference from the others (exposure, cast shadows)."""
    consensus_outlier: float = 0.25
    """Log units, 0.1 to 0.8: a photo this far from the others around a vertex gets a quarter of its weight there."""
    one_sided_skin: float = 0.3
    """Share in [0, 1] of asymmetric differences over centimetres that is kept as skin."""
    plain_skin_pull: float = 0.02
    """Share, 0.005 to 0.1: pull of unseen skin towards plain skin; noticeable beyond 6 cm."""
    colour_range: float = 0.10
    """Log units of chroma, 0.03 to 0.3: most that detail may differ from the smooth albedo; more is coloured light."""
    coarse_colour: float = 0.4
    """Share of ``colour_range`` where no photo is sharp, because small JPEG images store one chroma per several
    pixels."""
    lip_colour_range: float = 0.3
    """Log units of chroma: ``colour_range`` of lips."""
    sharp_lip_colour_range: float = 0.8
    """The same in sharp photos, which show lipstick."""
    dark_grey: float = 0.5
    """Share in [0, 1] of its own chroma that dark detail loses, because camera noise makes dark hair look grey or
    blue."""
    skin_range: float = 0.45
    """Log units, 0.2 to 0.8: most that plain skin is brighter than its mean (the bridge of a nose); more is
    specular."""
    matt_quantile: float = 0.3
    """Quantile of visible skin, by chroma and by brightness, that is assumed free of gloss."""
    gloss_over_brightness: float = 1.2
    """Upper limit of gloss as a multiple of the brightness above matt skin; darker skin has none."""
    gloss_from: float = 0.03
    """Share of a place's light, 0.01 to 0.1, below which it is not gloss but blood, a tan, or a lamp's colour."""
    gloss_sure: float = 0.08
    """Share of a place's light from which all of it counts as gloss."""
    gloss_most: float = 0.6
    """Upper limit of gloss as a share in [0, 1] of the blue light: the remainder needs a measurable colour."""
    gloss_length: float = 0.009
    """Metres: finer highlights are removed from the detail (``highlights.without_highlight``)."""
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


def openness(
    vertices: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    directions: int = 128,
    resolution: int = 128,
    bias: float = 0.004,
) -> np.ndarray:
    """Compute the open share of the hemisphere over each vertex.

    Parameters
    ----------
    vertices : (V, 3) metres, head frame; triangles : (F, 3); normals : (V, 3) unit.
    directions, resolution : number of directions tested, and edge of each depth buffer in pixels.
    bias : metres; nearer faces do not count as blocking.

    Returns
    -------
    (V,) float64, cosine-weighted: 1 where the hemisphere is fully open, 0 in a closed cavity.
    """
    triangles = np.ascontiguousarray(triangles, np.int64)
    vertices = vertices.astype(np.float64)
    corner = vertices[triangles]  # (F, 3, 3)
    face_normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    face_normal /= np.maximum(np.linalg.norm(face_normal, axis=1, keepdims=True), 1e-12)
    centroid = corner.mean(1)
    spread = spread_directions(directions)
    nearest = _nearest_faces(vertices, triangles, spread, resolution)  # (D, V)
    blocked_light = np.zeros(len(vertices))
    for direction, face in zip(spread, nearest, strict=True):
        slope = face_normal[face] @ direction
        to_face = np.where(  # distance along the direction from the vertex to the face hit first
            np.abs(slope) > 0.1,
            ((corner[face, 0] - vertices) * face_normal[face]).sum(1) / np.where(slope == 0, 1.0, slope),
            (centroid[face] - vertices) @ direction,
        )
        blocked = (face >= 0) & (to_face > bias)
        blocked_light += np.maximum(normals @ direction, 0.0) * blocked
    share = blocked_light * 4.0 * (1.0 - _BOUNCE) / directions
    return np.clip(1.0 - share / _MOST_BLOCKED, 0.0, 1.0)


_LUMINANCE = np.array(LUMINANCE)


@dataclass(frozen=True)
class DelitBase:
    """Low-frequency skin albedo and the photos' lights.

    Attributes
    ----------
    base : (V, 3) log of the smooth skin albedo common to all photos.
    lights : (P, 9, 3) light per photo.
    """

    base: np.ndarray
    lights: np.ndarray


def fit_light(samples: PhotoSamples, albedo: np.ndarray, start: np.ndarray, iterations: int = 4) -> np.ndarray:
    """Fit the light (9, 3) such that ``albedo * (transfer @ light)`` matches the photo: robust ridge regression.

    albedo : (V, 3) linear. start : (9, 3) the light towards which the ridge pulls.
    """
    used = np.flatnonzero(samples.weight > 0)
    if len(used) < 20:
        return start
    transfer, weight = samples.transfer[used], samples.weight[used]
    light = start.copy()
    trust = np.array([0.0, DELIGHTING.light_trust_linear, DELIGHTING.light_trust_quadratic])[list(BAND_OF_COEFFICIENT)]
    for channel in range(3):
        design = transfer * albedo[used, channel, None]
        target = samples.linear[used, channel]
        level = max(float(np.average(target, weights=weight)), 1e-4)
        ridge = trust * weight.sum() * (level / max(abs(start[0, channel]), 1e-3)) ** 2
        robust = np.ones(len(used))
        for _ in range(iterations):
            predicted = np.maximum(design @ light[:, channel], 0.05 * level)
            relative = (target - design @ light[:, channel]) / predicted
            # robust loss: highlights and cast shadows are outliers; highlights get the tighter scale
            scale = np.where(relative > 0, 0.6, 1.0) * max(1.5 * float(np.median(np.abs(relative))), 0.04)
            robust = weight / (1.0 + (relative / scale) ** 2) / (0.3 * level + predicted) ** 2 * level**2
            normal = design.T @ (design * robust[:, None]) + np.diag(ridge + 1e-9)
            light[:, channel] = np.linalg.solve(normal, design.T @ (robust * target) + ridge * start[:, channel])
    if samples.monochrome:
        light = np.repeat(light.mean(1, keepdims=True), 3, axis=1)
    return light


def solve_base(
    samples: Sequence[PhotoSamples],
    tone: np.ndarray,
    operators: SurfaceOperators,
    mirror: np.ndarray,
    pigment: np.ndarray | float = 1.0,
    iterations: int = 4,
) -> DelitBase:
    """Split every photo into light and a smooth albedo that all photos share.

    Parameters
    ----------
    tone : (3,) initial linear skin albedo. Its level is kept, because photos cannot separate it from exposure.
    mirror : (V,) vertex on the other side of the face.
    pigment : (V,) or number in [0, 1], share of the low-frequency variation that may be skin; low where shadows always
        fall (neck).
    """
    log_tone = np.log(tone)
    count = len(samples[0].linear)
    base = np.broadcast_to(log_tone, (count, 3)).copy()
    lights = np.stack([s.light for s in samples]).astype(np.float64)
    weights = np.stack([s.weight * s.trust for s in samples])  # (P, V)
    colour = np.array([not s.colourless for s in samples])
    delit = np.zeros((len(samples), count, 3))
    for _ in range(iterations):
        for index, photo in enumerate(samples):
            albedo = np.exp(base)
            if photo.monochrome:
                albedo = np.repeat((albedo @ _LUMINANCE)[:, None], 3, axis=1)
            start = matched_light(photo, albedo)
            if photo.monochrome:
                start = np.repeat(start.mean(1, keepdims=True), 3, axis=1)
            # average of both: the refit alone explains hollows as light, the fit's light alone may be wrong
            lights[index] = 0.5 * (start + fit_light(photo, albedo, start))
            lit = shading(photo.transfer, lights[index])
            delit[index] = np.log(np.maximum(photo.linear, 1e-4)) - np.log(lit)
        base = _shared_base(delit, weights, colour, log_tone, operators, mirror, pigment)
    return DelitBase(base, lights)


def matched_light(photo: PhotoSamples, albedo: np.ndarray) -> np.ndarray:
    """The fit's light, scaled per channel to match the photo's median brightness under this albedo."""
    used = photo.weight > 0
    if not used.any():
        return photo.light.astype(np.float64)
    explained = albedo[used] * shading(photo.transfer[used], photo.light)
    ratio = np.median(photo.linear[used] / np.maximum(explained, 1e-4), axis=0)
    return photo.light.astype(np.float64) * np.clip(ratio, 0.02, 50.0)


def _shared_base(
    delit: np.ndarray,
    weights: np.ndarray,
    colour: np.ndarray,
    log_tone: np.ndarray,
    operators: SurfaceOperators,
    mirror: np.ndarray,
    pigment: np.ndarray | float,
) -> np.ndarray:
    """Robust consensus of (P, V, 3) log albedos: smooth, near symmetric, with mean ``log_tone``."""
    brightness = delit @ _LUMINANCE  # (P, V)
    level, total = robust_consensus(brightness[..., None], weights, DELIGHTING.base_outlier)
    if colour.any():
        chroma, chroma_total = robust_consensus(
            delit[colour] - brightness[colour][..., None], weights[colour], 0.6 * DELIGHTING.base_outlier
        )
    else:
        chroma, chroma_total = np.broadcast_to(log_tone - log_tone @ _LUMINANCE, delit.shape[1:]), total
    photos = (weights > 0.05 * max(float(weights.max()), 1e-9)).sum(0)
    residual = weights * (brightness - level[:, 0]) ** 2
    spread = np.sqrt(residual.sum(0) / np.maximum(weights.sum(0), 1e-9)) * (photos > 1)
    evidence = total / max(float(np.percentile(total[total > 0], 90)) if (total > 0).any() else 1.0, 1e-9)
    agreement = 1.0 / (1.0 + (spread / 0.1) ** 2)
    mean_level = _weighted_mean(operators, level, evidence)
    mean_chroma = _weighted_mean(operators, chroma, np.minimum(evidence, chroma_total))
    # symmetric variation is skin; asymmetric variation is more likely light
    keep = DELIGHTING
    one_sided = keep.one_sided_level * keep.symmetric_level
    level = _shrunk_deviation(
        operators, level - mean_level, evidence * agreement, mirror, keep.symmetric_level, one_sided
    )
    both = np.minimum(evidence, chroma_total)
    chroma = _shrunk_deviation(
        operators, chroma - mean_chroma, both, mirror, keep.symmetric_chroma, keep.one_sided_chroma
    )
    level = level * np.reshape(pigment, (-1, 1))
    chroma = chroma - excess_chroma(chroma, DELIGHTING.skin_colours)
    deviation = level + chroma - (chroma @ _LUMINANCE)[:, None]
    return log_tone + deviation


def excess_chroma(difference: np.ndarray, most: float) -> np.ndarray:
    """(V, 3) the part of a difference in log albedo (V, 3) whose chroma exceeds ``most`` (log units). Subtract it:
    coloured light reaches such chroma, skin does not."""
    colour = difference - difference.mean(1, keepdims=True)
    size = np.linalg.norm(colour, axis=1, keepdims=True)
    return colour * (1.0 - np.minimum(1.0, most / np.maximum(size, 1e-9)))


def _weighted_mean(operators: SurfaceOperators, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    share = operators.mass * weights
    return share @ values / max(float(share.sum()), 1e-12)


def _shrunk_deviation(
    operators: SurfaceOperators,
    deviation: np.ndarray,
    weights: np.ndarray,
    mirror: np.ndarray,
    symmetric: float,
    antisymmetric: float,
) -> np.ndarray:
    """Smooth deviations (V, C) from the mean, scaled by the shares ``symmetric`` and ``antisymmetric``."""
    weights = np.clip(weights, 0.0, 1.0)
    both = weights + 0.3 * weights[mirror] * (weights < 0.1)  # unseen skin takes the mirrored side's values
    values = np.where((weights < 0.1)[:, None], deviation[mirror], deviation)
    smooth = smooth_field(
        operators, values, both, DELIGHTING.base_length, np.zeros(deviation.shape[1]), DELIGHTING.base_pull
    )
    other = smooth[mirror]
    return symmetric * 0.5 * (smooth + other) + antisymmetric * 0.5 * (smooth - other)


_BRIGHT_KNEE = 0.15  # log units above bright skin from which brightness is compressed as a highlight's residue
_BRIGHT_SLOPE = 0.35  # slope of the compressed range
_HIGHLIGHT_STRENGTH = 0.85  # share of a detected highlight that is removed
_MONOCHROME_DETAIL = (0.86, 1.03, 1.12)  # contrast per channel given to the detail of a grey photo


def photo_detail(
    linear: np.ndarray,
    log_field: np.ndarray,
    log_base: np.ndarray,
    log_skin: np.ndarray,
    colour_range: np.ndarray,
    hair: np.ndarray,
    monochrome: bool,
) -> np.ndarray:
    """Compute a photo's log detail (P, 3) float32 without highlights.

    Highlights are removed (``without_highlight``) and their residue is compressed. Chroma far from the smooth albedo is
    drawn towards it: dark hairs look grey or blue through camera noise, but contain melanin like the skin. Lips have
    their own colour and a wider range.

    Parameters
    ----------
    linear : (P, 3). log_field : (P, 3), linear light over exp(this) is albedo on the level of log_base (P, 3).
    log_skin : (P, 3) upper limit of plain skin; brighter is a highlight. ``log_base`` cannot serve here, because it is
        dark beside a brow or the hairline.
    colour_range : (P, 2) log units by which the chroma may differ from ``log_base``, and the share of its difference
        removed from dark detail.
    hair : (P,) in [0, 1], light brows and beards: bright detail there is grey hair, not a highlight.
    """
    out = np.empty(linear.shape, np.float32)
    arrays = [np.ascontiguousarray(a, np.float32) for a in (linear, log_field, log_base, log_skin, colour_range, hair)]
    _details(*arrays, monochrome, out)
    return out


@njit(cache=True)
def without_highlight(red, green, blue, base_red, base_green, base_blue):
    """Remove the specular part of one texel of delit skin (log albedo) by dichromatic reflection (Shafer 1985).

    After division by the shading a highlight adds the same amount to all channels. The ratio q of blue to red is taken
    from the base (smooth skin there, log); ``s = (b - q r) / (1 - q)`` restores it. Only what makes the texel brighter
    than its base is removed. Where much is removed, or the photo is clipped, the remaining colour is unreliable and is
    replaced by the base's.
    """
    r, g, b = np.exp(red), np.exp(green), np.exp(blue)
    br, bg, bb = np.exp(base_red), np.exp(base_green), np.exp(base_blue)
    ratio = min(max(bb / max(br, 1e-4), 0.05), 0.8)
    mean = (br + bg + bb) / 3.0
    amount = max(b - ratio * r, 0.0) / (1.0 - ratio)
    amount = _HIGHLIGHT_STRENGTH * min(amount, 1.2 * max((r + g + b) / 3.0 - 1.02 * mean, 0.0))
    if amount <= 0.0:
        return red, green, blue
    left_red = np.log(max(r - amount, 0.3 * min(r, br)))
    left_green = np.log(max(g - amount, 0.3 * min(g, bg)))
    left_blue = np.log(max(b - amount, 0.3 * min(b, bb)))
    share = min(5.0 * amount / max(mean, 1e-4), 1.0)
    shift = (left_red + left_green + left_blue - base_red - base_green - base_blue) / 3.0
    return (
        left_red + share * (base_red + shift - left_red),
        left_green + share * (base_green + shift - left_green),
        left_blue + share * (base_blue + shift - left_blue),
    )


@njit(cache=True, parallel=True, nogil=True)
def _details(linear, log_field, log_base, log_skin, colour_range, hair, monochrome, out):
    for i in prange(len(linear)):
        red = np.log(max(linear[i, 0], DARKEST)) - log_field[i, 0] - log_base[i, 0]
        green = np.log(max(linear[i, 1], DARKEST)) - log_field[i, 1] - log_base[i, 1]
        blue = np.log(max(linear[i, 2], DARKEST)) - log_field[i, 2] - log_base[i, 2]
        if monochrome:
            grey = (red + green + blue) / 3.0
            red, green, blue = (
                grey * _MONOCHROME_DETAIL[0],
                grey * _MONOCHROME_DETAIL[1],
                grey * _MONOCHROME_DETAIL[2],
            )
        else:
            b0, b1, b2 = log_base[i, 0], log_base[i, 1], log_base[i, 2]
            s0, s1, s2 = log_skin[i, 0], log_skin[i, 1], log_skin[i, 2]
            m0, m1, m2 = without_highlight(red + b0, green + b1, blue + b2, s0, s1, s2)
            over = max((m0 + m1 + m2 - s0 - s1 - s2) / 3.0 - _BRIGHT_KNEE, 0.0) * (1.0 - _BRIGHT_SLOPE)
            m0, m1, m2 = m0 - b0 - over, m1 - b1 - over, m2 - b2 - over
            keep = hair[i]
            red, green, blue = m0 + keep * (red - m0), m1 + keep * (green - m1), m2 + keep * (blue - m2)
        red, green, blue = min(max(red, -3.0), 0.9), min(max(green, -3.0), 0.9), min(max(blue, -3.0), 0.9)
        level = (red + green + blue) / 3.0
        dark = 1.0 - colour_range[i, 1] * min(max((-0.10 - level) / 0.35, 0.0), 1.0)
        o0, o1, o2 = (red - level) * dark, (green - level) * dark, (blue - level) * dark
        size = np.sqrt(o0 * o0 + o1 * o1 + o2 * o2)
        limit = colour_range[i, 0] + 0.3 * hair[i]
        shrink = min(limit / max(size, 1e-9), 1.0)
        out[i, 0], out[i, 1], out[i, 2] = level + o0 * shrink, level + o1 * shrink, level + o2 * shrink


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
    amount = np.minimum(
        amount,
        DELIGHTING.gloss_over_brightness
        * np.maximum(mean - weighted_quantile(mean[:, None], weight, DELIGHTING.matt_quantile)[0], 0.0),
    )
    amount = np.minimum(amount, DELIGHTING.gloss_most * blue)
    brightens = log_skin - np.log(linear - amount[:, None])
    trusted = np.sqrt(np.clip(weight, 0.0, 1.0))  # the root keeps gloss from fading before the photo's border
    return np.maximum(smooth_field(operators, brightens, trusted, DELIGHTING.gloss_length, np.zeros(3), 1e-3), 0.0)


def hat_shade(
    surface: HeadSurface, atlas: SurfaceAtlas, photo: TexturePhoto, log_delit: np.ndarray, density: float
) -> np.ndarray:
    """(V, 3) float32 log light, at most 0, that a hat keeps from the skin below it; 0 in photos without a hat.

    Bare skin above the eyes is compared with the same photo's bare skin below them. Where it is darker over
    ``light_length`` or more, that is the hat's shade. Brows are left out, so they stay as dark as they are.

    Parameters
    ----------
    log_delit : (P, 3) log of the photo's linear light over its spherical-harmonics light, at the atlas's texels.
    density : texels per metre.
    """
    none = np.zeros((len(photo.below_hat), 3), np.float32)
    if photo.below_hat.max() <= 0.0:
        return none
    below, plain = atlas.sample(np.stack([photo.below_hat, plain_skin(surface)], 1).astype(np.float32)).T
    lit = bare_skin(photo.unwrap, plain) * photo.unwrap.weight * (1.0 - below)
    brows = atlas.image((photo.unwrap.labels == FaceClass.BROWS).astype(np.uint8))
    near_brows = atlas.gather(cv2.dilate(brows, disc(max(1, round(UNWRAPPING.margin * density))))) > 0
    shaded = photo.unwrap.weight * (photo.unwrap.labels == FaceClass.SKIN) * (below > 0.0) * ~near_brows
    if min(lit.sum(), shaded.sum()) < DELIGHTING.hat_least_texels:
        return none
    darker = (log_delit - weighted_median(log_delit, lit)).astype(np.float32)
    smooth, support = masked_lowpass(
        atlas.image(darker), atlas.image(shaded.astype(np.float32)), DELIGHTING.light_length * density
    )
    shade = (
        np.minimum(atlas.gather(smooth), 0.0) * smoothstep(*DELIGHTING.hat_shade_known, atlas.gather(support))[:, None]
    )
    at_vertices, _ = atlas.splat(shade, np.ones(len(shade), np.float32), len(photo.below_hat))
    return (at_vertices * photo.below_hat[:, None]).astype(np.float32)


_MELANIN_LAB = np.array(  # CIE L*a*b* (D65), cheeks and foreheads from very light to very dark skin
    [
        [76.0, 8.5, 13.5],
        [68.0, 10.5, 17.0],
        [59.0, 12.5, 19.5],
        [47.0, 13.0, 19.0],
        [36.0, 11.0, 14.5],
        [27.0, 8.5, 9.5],
    ]
)
HAEMOGLOBIN_DENSITY = np.array([0.10, 0.42, 0.34])  # density of one unit, R G B: absorbs green most, then blue
_OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])  # log-RGB to brightness and chroma


def _lab_to_linear(lab: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (..., 3) under D65 to linear sRGB."""
    fy = (lab[..., 0] + 16.0) / 116.0
    f = np.stack([fy + lab[..., 1] / 500.0, fy, fy - lab[..., 2] / 200.0], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * np.array([0.95047, 1.0, 1.08883])
    to_rgb = np.array(
        [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556], [0.0556434, -0.2040259, 1.0572252]]
    )
    return xyz @ to_rgb.T


def skin_log_albedo(melanin: np.ndarray, haemoglobin: np.ndarray | float = 0.0) -> np.ndarray:
    """Logarithm of linear-light skin albedo (..., 3), as photographs show it beside white, for ``melanin`` in [0, 1]
    (light to dark) and ``haemoglobin`` in units of its density relative to a typical face (about -1 to 1)."""
    melanin = np.asarray(melanin, float)
    anchors = np.log(_lab_to_linear(_MELANIN_LAB))
    position = np.linspace(0.0, 1.0, len(anchors))
    curve = np.stack([np.interp(melanin, position, anchors[:, c]) for c in range(3)], -1)
    reflected = curve - np.asarray(haemoglobin, float)[..., None] * HAEMOGLOBIN_DENSITY
    brightness = reflected.mean(-1, keepdims=True)
    return brightness + DELIGHTING.camera_chroma * (reflected - brightness)


def plausible_tone(
    estimate: np.ndarray, brightness_deviation: float = 0.25, chroma_deviation: float = 0.15
) -> np.ndarray:
    """The most probable linear albedo (3,) given a noisy estimate: maximum a posteriori under the two-pigment family.

    Minimises ``|e - t|² / s_e² + |t - f(m, h)|² / s_f² + h² / s_h²`` over the tone ``t`` and the pigments, all in
    brightness and chroma of log-RGB; eliminating ``t`` leaves a search over (m, h).

    Parameters
    ----------
    estimate : (3,) positive linear-light albedo from the fit.
    brightness_deviation : its standard deviation in log-brightness (the light's strength is unknown).
    chroma_deviation : the same in log-chroma (the light's colour is unknown); ``np.inf`` for black-and-white photos.
    """
    measured = _OPPONENT @ np.log(np.clip(estimate, 1e-3, 1.0))  # (3,)
    melanin, haemoglobin = np.meshgrid(np.linspace(0, 1, 101), np.linspace(-0.9, 0.9, 73), indexing="ij")
    family = skin_log_albedo(melanin, haemoglobin) @ _OPPONENT.T  # (101, 73, 3)
    noise = np.array([brightness_deviation, chroma_deviation, chroma_deviation])
    sheet = np.array([DELIGHTING.sheet_brightness, DELIGHTING.sheet_red_green, DELIGHTING.sheet_yellow_blue])
    total = noise**2 + sheet**2
    cost = ((measured - family) ** 2 / total).sum(-1) + (haemoglobin / DELIGHTING.haemoglobin_spread) ** 2
    m, h = np.unravel_index(np.argmin(cost), cost.shape)
    gain = np.array([1.0 if np.isinf(t) else s**2 / t for s, t in zip(sheet, total, strict=True)])
    gain = np.where(np.isinf(noise), 0.0, gain)
    tone = family[m, h] + gain * np.where(gain > 0, measured - family[m, h], 0.0)
    return np.clip(np.exp(np.linalg.solve(_OPPONENT, tone)), 0.005, 0.9)


def estimate_tone(samples: Sequence[PhotoSamples], fitted_albedo: np.ndarray, skin: np.ndarray) -> np.ndarray:
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
        chroma = _robust_mean(np.array(chromas), np.array(chroma_precisions))
        chroma_deviation = float(np.sqrt(1.0 / sum(chroma_precisions) + DELIGHTING.common_cast**2))
    level_deviation = float(np.sqrt(1.0 / sum(precisions) + DELIGHTING.common_deviation**2))
    return plausible_tone(np.exp(level + chroma), level_deviation, chroma_deviation)


def _robust_mean(values: np.ndarray, weights: np.ndarray, scale: float = 0.15) -> np.ndarray:
    """(C,) robust mean of rows (N, C): Geman-McClure weights, started at the component-wise median."""
    centre = np.median(values, axis=0)
    for _ in range(5):
        robust = weights / (1.0 + ((values - centre) ** 2).sum(1) / scale**2) ** 2
        centre = np.average(values, axis=0, weights=robust)
    return centre


_ROUNDS = 4  # iterations of estimating each photo's difference from the common mean


@dataclass(frozen=True)
class Consensus:
    """Per-photo light fields and the common smooth albedo on the head's V subdivided vertices.

    Attributes
    ----------
    log_fields : (V, 3) float32 per photo; the photo's linear light divided by exp(field) is albedo on the common level.
    log_base : (V, 3) float32, smooth albedo common to all photos, extrapolated to unseen skin.
    log_skin : (V, 3) float32, upper limit of plain skin; brighter texels are specular.
    colour_range : (V, 2) float32: log units by which the chroma of finer detail may differ from ``log_base``, and the
        share of that difference removed from dark detail.
    """

    log_fields: tuple[np.ndarray, ...]
    log_base: np.ndarray
    log_skin: np.ndarray
    colour_range: np.ndarray


def multi_view_consensus(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    base: DelitBase,
    operators: SurfaceOperators,
    tone: np.ndarray,
    density: float,
) -> Consensus:
    """Bring the photos to a common level.

    Parameters
    ----------
    atlas : at the working size, ``density`` texels per metre.
    tone : (3,) linear albedo assigned to plain skin.
    """

    def without_light(photo: TexturePhoto, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(V, 3) log light with a hat's shade, and (P, 3) the photo's log albedo under it."""
        smooth = surface.lifted(smooth_light(operators, photo.samples.transfer, light)).astype(np.float32)
        own = np.log(np.maximum(photo.unwrap.linear, DARKEST)) - atlas.sample(smooth)
        shade = hat_shade(surface, atlas, photo, own, density)
        smooth, own = smooth + shade, own - atlas.sample(shade)
        return smooth, np.repeat(own.mean(1, keepdims=True), 3, axis=1) if photo.samples.coloured_light else own

    lights, delit = zip(*each(without_light, photos, base.lights), strict=True)
    grey = np.array([photo.samples.colourless for photo in photos])
    values, weight = _at_cage(surface, atlas, photos, delit, [photo.shown for photo in photos])
    rests = _differences(operators, values, weight, grey)
    common = _consensus(values - rests, weight, grey)
    total = weight.sum(0)
    skin = plain_skin(surface)[: surface.count] * total * operators.mass
    level = np.log(tone) - weighted_median(common, skin)  # median, because beards and shade would bias a mean
    smooth = smooth_field(operators, common, _normalised_weight(total), DELIGHTING.difference_length, None, 1e-3)
    correction = level - (1.0 - DELIGHTING.one_sided_skin) * 0.5 * (smooth - smooth[surface.mirror])
    bare = plain_skin(surface)[: surface.count] * _normalised_weight(total)
    bare = bare * (1.0 - smoothstep(0.05, 0.3, _bearded(surface, atlas, photos)))  # grey hair looks like gloss
    correction = correction - gloss(smooth + correction, bare, operators)
    correction = correction + (np.log(tone) - weighted_median(common + correction, skin)).mean()
    matt = base.base - gloss(base.base, bare, operators)
    matt = matt + (np.log(tone) - weighted_median(matt, skin)).mean()
    # chroma beyond the range is coloured rim light
    correction = correction - excess_chroma(smooth + correction - matt, DELIGHTING.colour_range)
    log_base = surface.lifted(
        _extrapolated_base(surface, operators, common + correction, _normalised_weight(total), matt)
    ).astype(np.float32)
    fields = tuple(
        light + surface.lifted(rest - correction).astype(np.float32) for light, rest in zip(lights, rests, strict=True)
    )
    sharp = max(float(smoothstep(*UNWRAPPING.sharp, photo.view.pixels_per_metre)) for photo in photos)
    colour_range = _colour_range(surface.regions["lips"], sharp)
    log_skin = surface.lifted(matt + DELIGHTING.skin_range).astype(np.float32)
    return Consensus(fields, log_base, log_skin, colour_range.astype(np.float32))


def _colour_range(lips: np.ndarray, sharp: float) -> np.ndarray:
    """(V, 2) ``Consensus.colour_range``; lips : (V,) mask in [0, 1]. sharp : in [0, 1], of the sharpest photo."""
    plain = DELIGHTING.colour_range * (DELIGHTING.coarse_colour + (1.0 - DELIGHTING.coarse_colour) * sharp)
    blurred, crisp = DELIGHTING.lip_colour_range, DELIGHTING.sharp_lip_colour_range
    painted = (blurred + (crisp - blurred) * sharp) * lips
    return np.stack([np.maximum(plain, painted), DELIGHTING.dark_grey * (1.0 - sharp * lips)], 1)


def _normalised_weight(total: np.ndarray) -> np.ndarray:
    """(C,) confidence in [0, 1] from summed weights (C,): 1 from the 60th percentile on."""
    typical = float(np.percentile(total[total > 0], 60)) if (total > 0).any() else 1.0
    return np.clip(total / typical, 0.0, 1.0)


def _extrapolated_base(
    surface: HeadSurface,
    operators: SurfaceOperators,
    values: np.ndarray,
    seen: np.ndarray,
    unseen: np.ndarray,
) -> np.ndarray:
    """(C, 3) smooth field through values (C, 3). Unseen skin takes the mirrored value, the rest tends to ``unseen``."""
    other = seen < 0.1
    completed = np.where(other[:, None], values[surface.mirror], values)
    trusted = np.where(other, 0.5 * seen[surface.mirror], seen)
    return smooth_field(operators, completed, trusted, DELIGHTING.base_length, unseen, DELIGHTING.plain_skin_pull)


def smooth_light(operators: SurfaceOperators, transfer: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(C, 3) log light on the cage from (C, 9) transfer and (9, 3) light, without its finest relief. Bounced light
    fills folds and the underside of lips, which spherical harmonics make dark; dividing by that would bleach them.
    """
    lit = np.log(shading(transfer, light))
    return smooth_field(operators, lit, np.ones(len(lit)), DELIGHTING.light_length, None, 1e-3)


def _at_cage(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    values: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Average every photo's texel values (P, 3) around the cage's vertices: (N, C, 3), and weights (N, C) in [0, 1]."""

    def around(photo: TexturePhoto, value: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, total = surface.at_cage(atlas, value, weight * np.maximum(photo.unwrap.cosine, 0.0) ** 2)
        return mean, np.clip(total / usual_weight(total), 0.0, 1.0) * photo.samples.trust

    means, totals = zip(*each(around, photos, values, weights), strict=True)
    return np.stack(means), np.stack(totals)


def _bearded(surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[TexturePhoto]) -> np.ndarray:
    """(C,) share in [0, 1] of the visible texels around each vertex that are labelled beard."""
    labelled = [(p.unwrap.labels == FaceClass.FACIAL_HAIR).astype(np.float32)[:, None] for p in photos]
    values, weight = _at_cage(surface, atlas, photos, labelled, [p.unwrap.weight for p in photos])
    return (values[..., 0] * weight).sum(0) / np.maximum(weight.sum(0), 1e-9)


def _differences(operators: SurfaceOperators, values: np.ndarray, weight: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """(N, C, 3) each photo's smooth difference from the consensus; values (N, C, 3), weight (N, C)."""

    def smooth_difference(own: np.ndarray, common: np.ndarray, seen: np.ndarray) -> np.ndarray:
        if seen.max() <= 0:
            return np.zeros_like(own)
        return smooth_field(operators, own - common, seen / seen.max(), DELIGHTING.difference_length, None, 1e-3)

    differences = np.zeros_like(values)
    for _ in range(_ROUNDS if len(values) > 1 else 0):
        common = _consensus(values - differences, weight, grey)
        differences = np.stack(each(smooth_difference, values, repeat(common, len(values)), weight))
    return differences


def _consensus(values: np.ndarray, weight: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """(C, 3) robust mean of (P, C, 3); chroma only from the colour photos, if there are any."""
    common, _ = robust_consensus(values, weight, DELIGHTING.consensus_outlier, iterations=3)
    if not grey.any() or grey.all():
        return common
    coloured, total = robust_consensus(values[~grey], weight[~grey], DELIGHTING.consensus_outlier, iterations=3)
    chroma = coloured - coloured.mean(1, keepdims=True)
    share = np.clip(total / 0.05, 0.0, 1.0)[:, None]
    return common + share * (chroma - (common - common.mean(1, keepdims=True)))
