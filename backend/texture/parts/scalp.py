"""The scalp below the hair: where hair grows, from its strands' roots, and how roots darken the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.smoothstep import smoothstep
from backend.hair.hair_strands import HairStrands
from backend.texture.parts.settings import PARTS

_BROWN = np.log(np.array([0.045, 0.028, 0.018]))
"""Log linear albedo of brown hair, the commonest; colours the brows of a head without hair."""
_NEIGHBOUR_GUIDES = 8  # guides averaged for the hair length at a place: a neighbourhood of about two centimetres


@dataclass(frozen=True)
class Scalp:
    """The scalp at the head's V subdivided vertices.

    Attributes
    ----------
    grows : (V,) float32 in [0, 1], where hair grows. shade : (V,) float32 in [0, 1], weight of the hair's log colour in
        the skin's. log_color : (3,) log linear albedo of the hair at its roots, brown for a head without hair.
    """

    grows: np.ndarray
    shade: np.ndarray
    log_color: np.ndarray


def scalp_below(strands: HairStrands | None, positions: np.ndarray) -> Scalp:
    """Scalp of a head with vertices ``positions`` (V, 3), metres, below its hair; bald if ``strands`` is None."""
    if strands is None:
        return Scalp(*np.zeros((2, len(positions)), np.float32), _BROWN)
    roots = strands.points[:, 0]
    distance, near = cKDTree(roots).query(positions, k=min(_NEIGHBOUR_GUIDES, len(roots)))
    distance, near = distance.reshape(len(positions), -1), near.reshape(len(positions), -1)
    grows = smoothstep(*PARTS.scalp_grows, distance[:, 0])
    length = np.linalg.norm(np.diff(strands.points, axis=1), axis=-1).sum(1)[near].mean(1)
    colour = np.log(np.maximum(np.median(strands.root_colour, axis=0), 1e-3))
    return Scalp(grows.astype(np.float32), (grows * _scalp_coverage(length)).astype(np.float32), colour)


def _scalp_coverage(length: np.ndarray) -> np.ndarray:
    """(...) visible share of the scalp covered by hair of ``length`` (...), metres, at least ``root_shade``.

    A crew cut hides the skin between its hairs, but too few hairs are drawn for that, so the scalp is darkened. Drawn
    long locks hide the skin themselves; below them only the roots darken it.
    """
    covered = 1 - np.exp(-PARTS.hairs_per_area * PARTS.hair_diameter * length)
    cropped = 1 - smoothstep(*PARTS.cropped_length, length)
    return PARTS.root_shade + np.maximum(covered - PARTS.root_shade, 0) * cropped


def shown_beside_hair(weight: np.ndarray, grows: np.ndarray) -> np.ndarray:
    """(P,) float32 how far a photo shows skin that hair neither hides nor shades; weight (P,) of bare skin."""
    return (weight * (1.0 - smoothstep(0.1, 0.5, grows))).astype(np.float32)


def with_roots(log_skin: np.ndarray, shade: np.ndarray, log_color: np.ndarray) -> np.ndarray:
    """(P, 3) log albedo of skin (P, 3), darkened by ``shade`` (P,) of ``Scalp`` towards the hair's colour (3,).

    Roots only darken: white hair leaves the skin unchanged.
    """
    return log_skin + shade[:, None] * np.minimum(log_color.astype(np.float32) - log_skin, 0)
