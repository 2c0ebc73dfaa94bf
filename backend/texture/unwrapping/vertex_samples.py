"""One photo's skin colours at the mesh's vertices, its shading there, and the variation of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.rendering.color import LUMINANCE
from backend.texture.unwrapping.settings import UNWRAPPING
from backend.texture.unwrapping.unwrap import DARKEST


@dataclass(frozen=True)
class PhotoSamples:
    """One photo sampled at the head's V vertices.

    Attributes
    ----------
    linear : (V, 3) linear light around each vertex, bare skin only.
    weight : (V,) 0 where no bare skin is visible.
    transfer : (V, 9) spherical-harmonics basis at the posed normals: shading = transfer @ light.
    light : (9, 3) the fit's.
    trust : 0-1, of the photo as a whole.
    monochrome : its channels are equal.
    coloured_light : it is lit by coloured lamps: light is solved per channel, but the remaining chroma is not the
        skin's.
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
        """Whether the photo's chroma is useless for skin colour."""
        return self.monochrome or self.coloured_light


def shading(transfer: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(V, 3) light on the surface, (V, 9) @ (9, 3), softly clamped above a share of its mean."""
    raw = transfer @ light
    floor = UNWRAPPING.shading_floor * np.maximum(raw.mean(0), 1e-4)
    return floor + np.logaddexp(0.0, (raw - floor) / (0.25 * floor)) * 0.25 * floor


def shading_contrast(samples: PhotoSamples) -> float:
    """Standard deviation of the log of the fit's shading over the visible skin."""
    logs = np.log(shading(samples.transfer, samples.light) @ np.array(LUMINANCE))
    return _spread(logs[:, None], samples.weight)


def colour_spread(linear: np.ndarray, weight: np.ndarray) -> float:
    """Weighted root mean square deviation of the log chroma of linear light (C, 3) from its mean; weight (C,)."""
    logs = np.log(np.maximum(linear, DARKEST))
    return _spread(logs - logs.mean(1, keepdims=True), weight)


def _spread(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted root mean square distance of values (C, K) from their mean; 0 if all weights (C,) are 0."""
    if not (weight > 0).any():
        return 0.0
    squares = ((values - np.average(values, axis=0, weights=weight)) ** 2).sum(1)
    return float(np.sqrt(np.average(squares, weights=weight)))
