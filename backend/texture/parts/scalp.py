"""The scalp below the hair: where hair grows, by the roots of its strands, and the shade of roots on the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.smoothstep import smoothstep
from backend.hair.hair_strands import HairStrands
from backend.texture.parts.settings import PARTS

_BROWN = np.log(np.array([0.045, 0.028, 0.018]))
"""Of brows where no hair is known: linear albedo of brown hair, the commonest."""


@dataclass(frozen=True)
class Scalp:
    """``grows`` : (V,) float32 in [0, 1] at the head's subdivided vertices, where hair grows. ``log_color`` : (3,) log
    linear albedo of the hair at its roots, brown where there is none."""

    grows: np.ndarray
    log_color: np.ndarray


def scalp_below(strands: HairStrands | None, positions: np.ndarray) -> Scalp:
    """The scalp of a head with vertices at ``positions`` (V, 3), metres, and its hair; bald without one."""
    if strands is None:
        return Scalp(np.zeros(len(positions), np.float32), _BROWN)
    distance = cKDTree(strands.points[:, 0]).query(positions)[0]
    colour = np.log(np.maximum(np.median(strands.root_colour, axis=0), 1e-3))
    return Scalp(smoothstep(*PARTS.scalp_grows, distance).astype(np.float32), colour)


def shown_beside_hair(weight: np.ndarray, grows: np.ndarray) -> np.ndarray:
    """(P,) float32 how far a photo shows skin that no hair hides or shades; weight (P,) of bare skin."""
    return (weight * (1.0 - smoothstep(0.1, 0.5, grows))).astype(np.float32)


def with_roots(log_skin: np.ndarray, grows: np.ndarray, log_color: np.ndarray) -> np.ndarray:
    """(P, 3) log albedo of skin (P, 3) with the shade of roots where hair ``grows`` (P,), in the hair's colour (3,).

    Roots take light and give none: white hair leaves the skin as it is.
    """
    return log_skin + (PARTS.root_shade * grows[:, None]) * np.minimum(log_color.astype(np.float32) - log_skin, 0)
