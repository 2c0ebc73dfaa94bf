"""The scalp below the hair: where hair grows, by the roots of its strands, and the shade of roots on the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.smoothstep import smoothstep
from backend.hair.hair_strands import HairStrands
from backend.texture.parts.settings import PARTS

_BROWN = np.log(np.array([0.045, 0.028, 0.018]))
"""Log linear albedo of brows where no hair is known: brown hair, the commonest."""
_AROUND = 8
"""Guides whose length counts at a place: a neighbourhood of some two centimetres, so that no single one shows."""


@dataclass(frozen=True)
class Scalp:
    """The scalp at the head's V subdivided vertices.

    Attributes
    ----------
    grows : (V,) float32 in [0, 1], where hair grows. shade : (V,) float32 in [0, 1], share of the hair's log colour in
        that of the skin. log_color : (3,) log linear albedo of the hair at its roots, brown where there is none.
    """

    grows: np.ndarray
    shade: np.ndarray
    log_color: np.ndarray


def scalp_below(strands: HairStrands | None, positions: np.ndarray) -> Scalp:
    """The scalp of a head with vertices at ``positions`` (V, 3), metres, and its hair; bald without one."""
    if strands is None:
        return Scalp(*np.zeros((2, len(positions)), np.float32), _BROWN)
    roots = strands.points[:, 0]
    distance, near = cKDTree(roots).query(positions, k=min(_AROUND, len(roots)))
    distance, near = distance.reshape(len(positions), -1), near.reshape(len(positions), -1)
    grows = smoothstep(*PARTS.scalp_grows, distance[:, 0])
    length = np.linalg.norm(np.diff(strands.points, axis=1), axis=-1).sum(1)[near].mean(1)
    colour = np.log(np.maximum(np.median(strands.root_colour, axis=0), 1e-3))
    return Scalp(grows.astype(np.float32), (grows * _covered(length)).astype(np.float32), colour)


def _covered(length: np.ndarray) -> np.ndarray:
    """(...) share of the scalp that hair of ``length`` (...), metres, covers for the eye, at least ``root_shade``.

    Hairs of a crew cut hide the skin between them, and the drawn locks are too few for that. Long locks hide it
    themselves, and below them the scalp has the shade of roots alone.
    """
    covered = 1 - np.exp(-PARTS.hairs_per_area * PARTS.hair_diameter * length)
    cropped = 1 - smoothstep(*PARTS.cropped_length, length)
    return PARTS.root_shade + np.maximum(covered - PARTS.root_shade, 0) * cropped


def shown_beside_hair(weight: np.ndarray, grows: np.ndarray) -> np.ndarray:
    """(P,) float32 how far a photo shows skin that no hair hides or shades; weight (P,) of bare skin."""
    return (weight * (1.0 - smoothstep(0.1, 0.5, grows))).astype(np.float32)


def with_roots(log_skin: np.ndarray, shade: np.ndarray, log_color: np.ndarray) -> np.ndarray:
    """(P, 3) log albedo of skin (P, 3) with the shade (P,) of roots, see ``Scalp``, in the hair's colour (3,).

    Roots take light and give none: white hair leaves the skin as it is.
    """
    return log_skin + shade[:, None] * np.minimum(log_color.astype(np.float32) - log_skin, 0)
