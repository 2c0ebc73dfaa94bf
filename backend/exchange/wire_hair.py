"""Hair in a message: guide strands, and cards (docs/protocol.md, *result*)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from backend.exchange.wire_buffers import DTYPES, FLOATS, INTS, BufferList, WireError
from backend.hair.cards import HairCards, card_atlas
from backend.hair.hair_strands import HairStrands


class HairEntry(msgspec.Struct, frozen=True):
    """Hair as guide strands; the first five fields are names of buffers. See ``HairStrands``."""

    points: str
    root_uv: str
    width: str
    root_colour: str
    tip_colour: str
    hair_radius: float
    style: str
    parameters: dict[str, float]


class CardsEntry(msgspec.Struct, frozen=True):
    """Hair as cards, for who asked for them: names of buffers. See ``HairCards`` and ``CardAtlas``."""

    vertices: str
    normals: str
    uv: str
    colours: str
    triangles: str
    strands: str
    relief: str


def encode_hair(hair: HairStrands, buffers: BufferList) -> HairEntry:
    """Append strands and say where they are."""

    def add(field: str, array: np.ndarray) -> str:
        return buffers.add_array(f"hair.{field}", array, FLOATS)

    return HairEntry(
        points=add("points", hair.points),
        root_uv=add("root_uv", hair.root_uv),
        width=add("width", hair.width),
        root_colour=add("root_colour", hair.root_colour),
        tip_colour=add("tip_colour", hair.tip_colour),
        hair_radius=float(hair.hair_radius),
        style=hair.style,
        parameters={name: float(value) for name, value in hair.parameters.items()},
    )


def encode_cards(cards: HairCards, buffers: BufferList) -> CardsEntry:
    """Append cards and their atlas and say where they are."""

    def add(field: str, dtype: str, array: np.ndarray) -> str:
        return buffers.add_array(f"hair_cards.{field}", array, dtype)

    atlas = card_atlas()
    return CardsEntry(
        vertices=add("vertices", FLOATS, cards.vertices),
        normals=add("normals", FLOATS, cards.normals),
        uv=add("uv", FLOATS, cards.uv),
        colours=add("colours", FLOATS, cards.colours),
        triangles=add("triangles", INTS, cards.triangles),
        strands=buffers.add_picture("hair_cards.strands", atlas.strands),
        relief=buffers.add_picture("hair_cards.relief", atlas.normals),
    )


def decode_hair(hair: HairEntry, content: Mapping[str, np.ndarray | memoryview]) -> HairStrands:
    """The strands. Raises ``WireError``."""

    def take(name: str) -> np.ndarray:
        array = content.get(name)
        if not isinstance(array, np.ndarray) or array.dtype != DTYPES[FLOATS]:
            raise WireError(f"hair: no {FLOATS} array {name!r}")
        return array

    points = take(hair.points)
    if points.ndim != 3:
        raise WireError(f"hair: array {hair.points!r} has shape {points.shape}")
    try:
        return HairStrands(
            points=points,
            root_uv=take(hair.root_uv),
            width=take(hair.width),
            root_colour=take(hair.root_colour),
            tip_colour=take(hair.tip_colour),
            hair_radius=hair.hair_radius,
            style=hair.style,
            parameters=hair.parameters,
        )
    except ValueError as error:
        raise WireError(f"hair: {error}") from error


def decode_cards(cards: CardsEntry, content: Mapping[str, np.ndarray | memoryview]) -> HairCards:
    """The cards. Raises ``WireError``."""

    def take(name: str, dtype: str, columns: int) -> np.ndarray:
        array = content.get(name)
        if not isinstance(array, np.ndarray) or array.dtype != DTYPES[dtype]:
            raise WireError(f"hair cards: no {dtype} array {name!r}")
        if array.ndim != 2 or array.shape[1] != columns or not np.isfinite(array).all():
            raise WireError(f"hair cards: array {name!r} is not finite or has shape {array.shape}")
        return array

    vertices, triangles = take(cards.vertices, FLOATS, 3), take(cards.triangles, INTS, 3)
    normals, uv, colours = (
        take(cards.normals, FLOATS, 3),
        take(cards.uv, FLOATS, 2),
        take(cards.colours, FLOATS, 3),
    )
    if not len(vertices) == len(normals) == len(uv) == len(colours):
        raise WireError("hair cards: its arrays differ in length")
    if triangles.size and (triangles.min() < 0 or triangles.max() >= len(vertices)):
        raise WireError("hair cards: a triangle points outside of the vertices")
    return HairCards(vertices, normals, uv, colours, triangles)
