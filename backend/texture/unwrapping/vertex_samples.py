"""One photo's skin at the mesh's vertices, the light that falls there, and how much both vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.rendering.color import LUMINANCE
from backend.texture.unwrapping.settings import UNWRAPPING


@dataclass(frozen=True)
class PhotoSamples:
    """One photo at the head's V vertices.

    Attributes
    ----------
    linear : (V, 3) linear light around each vertex, bare skin only.
    weight : (V,) 0 where there is none.
    transfer : (V, 9) of the posed vertices (``occlusion``): shading = transfer @ light.
    light : (9, 3) the fit's.
    trust : 0-1, of the photo as a whole.
    monochrome : its channels are equal.
    coloured_light : its colours are the lamps': light is found for each channel, but what is left is not the skin's
        colour.
    """

    linear: np.ndarray
    weight: np.ndarray
    transfer: np.ndarray
    light: np.ndarray
    trust: float
    monochrome: bool
    coloured_light: bool = False

    @property
    def colourless(self) -> bool:
        """Whether colour says nothing of the skin in it."""
        return self.monochrome or self.coloured_light


def shading(transfer: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(V, 3) light that reaches the surface, (V, 9) @ (9, 3), softly kept above a share of its mean."""
    raw = transfer @ light
    floor = UNWRAPPING.shading_floor * np.maximum(raw.mean(0), 1e-4)
    return floor + np.logaddexp(0.0, (raw - floor) / (0.25 * floor)) * 0.25 * floor


def shading_contrast(samples: PhotoSamples) -> float:
    """Standard deviation of the logarithm of the fit's shading over the skin that a photo shows."""
    logs = np.log(shading(samples.transfer, samples.light) @ np.array(LUMINANCE))
    return _spread(logs[:, None], samples.weight)


def colour_spread(linear: np.ndarray, weight: np.ndarray) -> float:
    """Weighted root mean square of the log chroma of linear light (C, 3) around its mean; weight (C,)."""
    logs = np.log(np.maximum(linear, UNWRAPPING.darkest_chroma))
    return _spread(logs - logs.mean(1, keepdims=True), weight)


def _spread(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted root mean square of values' (C, K) distance from their mean; 0 where there is no weight (C,)."""
    if not (weight > 0).any():
        return 0.0
    squares = ((values - np.average(values, axis=0, weights=weight)) ** 2).sum(1)
    return float(np.sqrt(np.average(squares, weights=weight)))
