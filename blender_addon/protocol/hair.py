"""The hair of a ``result`` message, checked (docs/protocol.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .buffers import NamedBuffers, checked_field, malformed

MOST_GUIDES, MOST_POINTS = 4096, 64
"""Guides, and points of each; as in docs/protocol.md."""
LARGEST_METRES = 10.0
"""No coordinate is larger than this, as with the head's own."""
WIDEST_METRES = 0.2
"""No lock is wider than a head."""
THICKEST_METRES = 0.01
"""No hair's radius is larger; a dread's is half of that."""
MOST_PARAMETERS, MOST_CHARACTERS = 64, 64


@dataclass(frozen=True)
class ResultHair:
    """Guide strands, G of P points, in the head frame in metres.

    Attributes
    ----------
    points : (G, P, 3) float32 of the neutral face, root first.
    root_uv : (G, 2) float32 the root's place in UV map ``Head``, v up.
    width : (G,) float32 metres across the lock that a guide stands for.
    root_colour, tip_colour : (G, 3) float32 albedo in linear light, 0-1.
    hair_radius : of a single hair at its root, metres.
    style : the hairstyle's name; parameters : its fitted numbers, lengths in metres.
    """

    points: np.ndarray
    root_uv: np.ndarray
    width: np.ndarray
    root_colour: np.ndarray
    tip_colour: np.ndarray
    hair_radius: float
    style: str
    parameters: Mapping[str, float]


def decode_hair(named: NamedBuffers, entry: Any) -> ResultHair:
    """Check ``hair`` of a result; the arrays are views of the buffers. Raises ``AddonError`` ``malformed``."""

    def array(field: str, *shape: int | None) -> np.ndarray:
        return named.array(checked_field(entry, field, str), "<f4", shape)

    points = array("points", None, None, 3)
    guides, count = points.shape[:2]
    if not (1 <= guides <= MOST_GUIDES and 2 <= count <= MOST_POINTS):
        raise malformed(f"its hair has {guides} guides of {count} points")
    root_uv, width = array("root_uv", guides, 2), array("width", guides)
    colours = array("root_colour", guides, 3), array("tip_colour", guides, 3)
    for values, low, high in (
        (points, -LARGEST_METRES, LARGEST_METRES),
        (root_uv, -100.0, 100.0),
        (width, 0.0, WIDEST_METRES),
        *((colour, 0.0, 1.0) for colour in colours),
    ):
        if not (values.min() >= low and values.max() <= high):  # False for NaN, too
            raise malformed("a number of its hair is not finite or outside of its limits")
    radius, style = checked_field(entry, "hair_radius", float), checked_field(entry, "style", str)
    if not 0 < radius <= THICKEST_METRES:
        raise malformed("its hairs have an impossible thickness")
    if len(style) > MOST_CHARACTERS or not style.isprintable():
        raise malformed("its hairstyle's name is too long or has control characters")
    return ResultHair(points, root_uv, width, *colours, radius, style, _parameters(entry))


def _parameters(entry: Mapping[str, Any]) -> Mapping[str, float]:
    found = checked_field(entry, "parameters", dict)
    if len(found) > MOST_PARAMETERS:
        raise malformed(f"its hair has {len(found)} parameters")
    for name, value in found.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
        if not (number and math.isfinite(value) and len(name) <= MOST_CHARACTERS and name.isprintable()):
            raise malformed("a parameter of its hair is no number")
    return {name: float(value) for name, value in found.items()}
