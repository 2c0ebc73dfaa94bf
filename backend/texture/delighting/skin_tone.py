"""Estimate the person's skin tone by separating skin colour from the colour of the light.

All photos are brought to one tone, which fixes their exposure and white balance, under a prior over skin tones. Two
pigments determine the colour of skin (Tsumura et al., "Independent-component analysis of skin color image", 1999):
melanin, which runs from light to dark skin along one curve, and haemoglobin, which reddens. In optical density (minus
the logarithm of linear reflectance) haemoglobin is nearly one direction. Real people fill a thin sheet around the
curve, while light of any colour and exposure shifts an estimate freely. So an estimate is drawn to that sheet.

Cameras raise contrast, and with it the chroma of everything but white and grey, so the sheet is that of photographed
skin (``DelightingSettings.camera_chroma``): relighting it with white light gives the colour of a photograph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.texture.delighting.settings import DELIGHTING
from backend.texture.unwrapping.vertex_samples import PhotoSamples

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
