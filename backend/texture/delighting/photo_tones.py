"""One skin tone for all photos: exposure and white balance are brought together by agreeing on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.texture.delighting.light import PhotoSamples
from backend.texture.delighting.skin_tone import plausible_tone

_FIT_DEVIATION = 0.25  # of the fit's log albedo level
_PHOTO_DEVIATION = 0.45  # of one photo's log skin brightness as an estimate of albedo: exposure
_COMMON_DEVIATION = 0.15  # of all photos alike
_WHITE_BALANCE_DEVIATION = 0.12  # of one photo's log chroma
_COMMON_CAST = 0.08  # of all photos alike: people are photographed under warm lamps
_TYPICAL_SHADING = 0.85  # cameras expose so that what lights a face is about this, in log average


def estimate_tone(samples: Sequence[PhotoSamples], fitted_albedo: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The person's skin tone (3,), linear albedo, from the fit's, the photos' own brightness and the family of tones.

    Each photo's median skin, over the light that cameras expose for, is one noisy estimate, the fit's albedo another;
    they are averaged by precision in log-RGB and drawn to the family (``tone.plausible_tone``).

    Parameters
    ----------
    fitted_albedo : (V, 3) linear, the fit's. skin : (V,) weight of plain skin (no lips, no brows).
    """
    plain = skin > 0.5
    fit = np.median(np.log(np.clip(fitted_albedo[plain], 1e-3, 1.0)), axis=0)  # (3,)
    estimates, precisions = [fit], [1.0 / _FIT_DEVIATION**2]
    chromas, chroma_precisions = [fit - fit.mean()], [0.5 / _WHITE_BALANCE_DEVIATION**2]
    for photo in samples:
        used = (photo.weight > 0) & plain
        if used.sum() < 20 or photo.trust <= 0:
            continue
        seen = np.median(np.log(np.maximum(photo.linear[used], 1e-4)), axis=0)
        estimates.append(seen - np.log(_TYPICAL_SHADING))
        precisions.append(photo.trust / _PHOTO_DEVIATION**2)
        if not photo.colourless:
            chromas.append(seen - seen.mean())
            chroma_precisions.append(photo.trust / _WHITE_BALANCE_DEVIATION**2)
    level = float(np.average([e.mean() for e in estimates], weights=precisions))
    if len(chromas) == 1 and any(photo.colourless for photo in samples):
        chroma, chroma_deviation = chromas[0], np.inf  # no photo has colour; what the fit has is its own prior
    else:
        chroma = _robust_mean(np.array(chromas), np.array(chroma_precisions))
        chroma_deviation = float(np.sqrt(1.0 / sum(chroma_precisions) + _COMMON_CAST**2))
    level_deviation = float(np.sqrt(1.0 / sum(precisions) + _COMMON_DEVIATION**2))
    return plausible_tone(np.exp(level + chroma), level_deviation, chroma_deviation)


def _robust_mean(values: np.ndarray, weights: np.ndarray, scale: float = 0.15) -> np.ndarray:
    """(C,) mean of rows (N, C), strangers weighted down (Geman-McClure, from the component-wise median)."""
    centre = np.median(values, axis=0)
    for _ in range(5):
        robust = weights / (1.0 + ((values - centre) ** 2).sum(1) / scale**2) ** 2
        centre = np.average(values, axis=0, weights=robust)
    return centre


def light_cast(samples: PhotoSamples, tone: np.ndarray) -> np.ndarray | None:
    """(3,) log colour of a photo's light, without its brightness: the photo's skin over skin of albedo ``tone`` (3,).
    None where colour says nothing; zero where hardly any skin shows."""
    if samples.colourless:
        return None
    used = samples.weight > 0.3
    if used.sum() < 20:
        return np.zeros(3)
    cast = np.median(np.log(np.maximum(samples.linear[used], 1e-4)), axis=0) - np.log(tone)
    return cast - cast.mean()
