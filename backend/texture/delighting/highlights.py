"""Remove specular highlights: smooth gloss common to all photos, and highlights in one photo's detail.

Skin reflects about the same specular light whatever its pigment, so on dark skin, or under a high sun, foreheads and
cheekbones turn grey. Dichromatic reflection (Shafer 1985) separates it from pigment: specular light adds the same
amount to all channels and only brightens, while pigment keeps the ratio of blue to red.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from backend.geometry.robust_statistics import weighted_quantile
from backend.geometry.smoothstep import smoothstep
from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.texture.delighting.settings import DELIGHTING
from backend.texture.unwrapping.unwrap import DARKEST

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
