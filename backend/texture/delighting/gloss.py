"""Gloss that all photos show: the light's own colour on smooth skin, which division by diffuse light leaves in.

Skin mirrors about as much light whatever its pigment, so that on dark skin, or under a high sun, what is mirrored is a
good share of all: foreheads and cheekbones turn grey. Dichromatic reflection (Shafer 1985) tells it from pigment: it
adds the same amount to all channels and only brightens, while pigments keep the ratio of blue to red.
"""

from __future__ import annotations

import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.geometry.surface_fields import SurfaceOperators, smooth_field, weighted_quantile

_MATT = 0.3  # quantile of seen skin, by colour and by brightness, that is taken for skin without gloss
_BRIGHTER = 1.2  # times what a texel is brighter than matt skin may be gloss; darker skin has none, whatever its colour
_CLEAR = (0.03, 0.08)  # of a texel's light: less is blood, a tan, or a lamp of another colour
_MOST = 0.6  # of the blue light: what is left of white has no colour to judge by
_LENGTH = 0.009  # metres: finer highlights are the detail's (``detail.without_highlight``)
_FAR = 0.004  # pull of no gloss on what is not seen
_LITTLE = 20.0  # summed weight below which nothing is said


def gloss(log_skin: np.ndarray, weight: np.ndarray, operators: SurfaceOperators) -> np.ndarray:
    """(C, 3) log units by which gloss brightens smooth skin, 0 or more.

    Parameters
    ----------
    log_skin : (C, 3) log linear albedo at the cage's vertices, light divided out. weight : (C,) how far each is seen
    bare skin.
    """
    if weight.sum() < _LITTLE:
        return np.zeros_like(log_skin)
    linear = np.exp(log_skin)
    mean = linear.mean(1)
    red, blue = linear[:, 0], linear[:, 2]
    ratio = min(float(weighted_quantile((blue / red)[:, None], weight, _MATT)[0]), 0.9)
    amount = np.maximum(blue - ratio * red, 0.0) / (1.0 - ratio)
    amount = amount * smoothstep(*_CLEAR, amount / mean)
    amount = np.minimum(amount, _BRIGHTER * np.maximum(mean - weighted_quantile(mean[:, None], weight, _MATT)[0], 0.0))
    amount = np.minimum(amount, _MOST * blue)
    brightens = log_skin - np.log(linear - amount[:, None])
    trusted = np.sqrt(np.clip(weight, 0.0, 1.0))  # towards a photo's border gloss ends with the skin, not before
    return np.maximum(smooth_field(operators, brightens, trusted, _LENGTH, np.zeros(3), _FAR), 0.0)
