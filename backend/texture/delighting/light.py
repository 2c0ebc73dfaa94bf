"""Solve each photo's light: nine coefficients of spherical harmonics per channel.

Starts from the fit's light. Solves the coefficients again against one smooth albedo that all photos share and that is
nearly symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.geometry.robust_statistics import robust_consensus
from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.rendering.color import LUMINANCE
from backend.rendering.spherical_harmonics import BAND_OF_COEFFICIENT
from backend.texture.delighting.settings import DELIGHTING
from backend.texture.unwrapping.vertex_samples import PhotoSamples, shading

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
