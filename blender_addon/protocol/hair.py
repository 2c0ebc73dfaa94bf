"""The hair of a ``result`` message, as guides and as cards, checked (docs/protocol.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .buffers import NamedBuffers, checked_field, malformed

MOST_GUIDES, MOST_POINTS = 4096, 64
"""Guides, and points per guide; as in docs/protocol.md."""
LARGEST_METRES = 10.0
"""Limit for coordinates, as for the head."""
WIDEST_METRES = 0.2
"""Limit for a lock's width: the width of a head."""
THICKEST_METRES = 0.01
"""Limit for a hair's radius; a dread's is half of that."""
MOST_CARD_CORNERS = 200_000
"""Limit for the vertices of all hair cards, and for their triangles."""
MOST_ATLAS_PIXELS = 4096
MOST_PARAMETERS, MOST_CHARACTERS = 64, 64


@dataclass(frozen=True)
class ResultHair:
    """Guide strands, G guides of P points, in the head frame in metres.

    Attributes
    ----------
    points : (G, P, 3) float32 on the neutral face, root first.
    root_uv : (G, 2) float32 position of the root in UV map ``Head``, v up.
    width : (G,) float32 width of the lock that a guide represents, metres.
    root_colour, tip_colour : (G, 3) float32 albedo in linear light, 0-1.
    hair_radius : of a single hair at its root, metres.
    style : name of the hairstyle.
    parameters : its fitted numbers, lengths in metres.
    """

    points: np.ndarray
    root_uv: np.ndarray
    width: np.ndarray
    root_colour: np.ndarray
    tip_colour: np.ndarray
    hair_radius: float
    style: str
    parameters: Mapping[str, float]


@dataclass(frozen=True)
class ResultCards:
    """Hair cards: two-sided strips of triangles, in the head frame in metres.

    Attributes
    ----------
    vertices, normals : (V, 3) float32.
    uv : (V, 2) float32 in the atlas, v up.
    colours : (V, 3) float32 albedo in linear light, 0-1; multiplies the atlas.
    triangles : (T, 3) int32.
    strands_png, relief_png : the atlas: grey strands with opacity; their tangent-space normals.
    """

    vertices: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    colours: np.ndarray
    triangles: np.ndarray
    strands_png: bytes
    relief_png: bytes


def decode_cards(named: NamedBuffers, entry: Any) -> ResultCards:
    """Check and decode ``hair_cards`` of a result; arrays are views of the buffers. Raises ``AddonError``
    ``malformed``."""

    def array(field: str, dtype: str, *shape: int | None) -> np.ndarray:
        return named.array(checked_field(entry, field, str), dtype, shape)

    vertices = array("vertices", "<f4", None, 3)
    count = len(vertices)
    normals, uv, colours = (array(field, "<f4", count, k) for field, k in (("normals", 3), ("uv", 2), ("colours", 3)))
    triangles = array("triangles", "<i4", None, 3)
    if not (3 <= count <= MOST_CARD_CORNERS and 1 <= len(triangles) <= MOST_CARD_CORNERS):
        raise malformed(f"its hair has {len(triangles)} triangles")
    if triangles.min() < 0 or triangles.max() >= count:
        raise malformed("a triangle of its hair points outside of the vertices")
    limits = ((vertices, LARGEST_METRES), (normals, 1.001), (uv, 100.0), (colours, 1.0))
    if not all(abs(values).max() <= limit for values, limit in limits) or colours.min() < 0:  # fails for NaN, too
        raise malformed("a number of its hair is not finite or outside of its limits")
    strands, relief = (
        named.picture(checked_field(entry, field, str), MOST_ATLAS_PIXELS)[0] for field in ("strands", "relief")
    )
    return ResultCards(vertices, normals, uv, colours, triangles, strands, relief)


def decode_hair(named: NamedBuffers, entry: Any) -> ResultHair:
    """Check and decode ``hair`` of a result; arrays are views of the buffers. Raises ``AddonError`` ``malformed``."""

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
        if not (values.min() >= low and values.max() <= high):  # fails for NaN, too
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
