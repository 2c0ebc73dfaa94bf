"""A photo's detail: what differs from smooth skin once the light is divided out, without highlights."""

from __future__ import annotations

import numpy as np

_BRIGHT_KNEE = 0.30  # log units above the smooth skin: brighter is a highlight's rest
_MONOCHROME_DETAIL = np.array([0.86, 1.03, 1.12], np.float32)  # skin's contrast per channel, of a grey photo's
_CHROMA_LIMIT = 0.11  # log units by which a detail's colour may differ from what is expected
_DARKEST = np.float32(0.003)


def photo_detail(
    linear: np.ndarray,
    log_field: np.ndarray,
    log_base: np.ndarray,
    prior: np.ndarray,
    hair: np.ndarray,
    monochrome: bool,
) -> np.ndarray:
    """A photo's log detail (P, 3).

    Parameters
    ----------
    linear : (P, 3). log_field : (P, 3), linear light over exp(this) is albedo on the level of log_base (P, 3).
    prior : (P, 3) log offset from plain skin of the colour to expect, for telling pink lips from highlights.
    hair : (P,) in [0, 1], brows and beards: what is bright there is grey hair, no highlight.
    """
    log_albedo = np.log(np.maximum(linear, _DARKEST)) - log_field
    if monochrome:
        detail = (log_albedo - log_base).mean(1, keepdims=True) * _MONOCHROME_DETAIL
    else:
        matt = compress_bright(remove_highlights(log_albedo, log_base + prior) - log_base, _BRIGHT_KNEE)
        detail = matt + (log_albedo - log_base - matt) * hair[:, None]
    detail = np.clip(detail, -3.0, 0.9)
    brightness = detail.mean(1, keepdims=True)
    chroma = detail - brightness
    expected = prior - prior.mean(1, keepdims=True)
    # dark hairs look grey or blue through a camera's noise; they carry melanin like the skin around them
    off = (chroma - expected) * (1.0 - 0.75 * np.clip((-0.10 - brightness) / 0.35, 0.0, 1.0))
    size = np.linalg.norm(off, axis=1, keepdims=True)
    limit = _CHROMA_LIMIT + np.linalg.norm(expected, axis=1, keepdims=True) * 0.5 + 0.3 * hair[:, None]
    return (brightness + expected + off * limit / np.maximum(limit, size)).astype(np.float32)


def remove_highlights(log_albedo: np.ndarray, log_base: np.ndarray, strength: float = 0.85) -> np.ndarray:
    """Take the light's own colour out of delit skin: dichromatic reflection (Shafer 1985).

    After division by the shading a highlight adds the same amount to all channels. Skin's blue-to-red ratio is known
    from the base; the amount that restores it is ``s = (b - q r) / (1 - q)``, and only what makes a texel brighter than
    its base counts.

    Parameters
    ----------
    log_albedo : (P, 3) texels; log_base : (P, 3) smooth skin there.

    Returns
    -------
    (P, 3) log albedo.
    """
    linear, base = np.exp(log_albedo), np.exp(log_base)
    ratio = np.clip(base[:, 2] / np.maximum(base[:, 0], 1e-4), 0.05, 0.8)
    amount = np.maximum(linear[:, 2] - ratio * linear[:, 0], 0.0) / (1.0 - ratio)
    excess = np.maximum(linear.mean(1) - 1.02 * base.mean(1), 0.0)
    amount = strength * np.minimum(amount, 1.2 * excess)
    left = np.log(np.maximum(linear - amount[:, None], 0.3 * np.minimum(linear, base)))
    # where much was taken away (or the photo was clipped) what is left has no colour of its own: take the base's
    share = np.clip(amount / np.maximum(base.mean(1), 1e-4) * 5.0, 0.0, 1.0)[:, None]
    brightness = left.mean(1, keepdims=True)
    skin = log_base - log_base.mean(1, keepdims=True)
    return (brightness + (left - brightness) * (1.0 - share) + skin * share).astype(log_albedo.dtype)


def compress_bright(detail: np.ndarray, knee: float, slope: float = 0.35) -> np.ndarray:
    """Details (P, 3) in log units whose brightness is above ``knee`` rise only with ``slope``."""
    brightness = detail.mean(1, keepdims=True)
    return detail - np.maximum(brightness - knee, 0.0) * (1.0 - slope)
