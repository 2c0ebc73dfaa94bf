"""Encode hair in a message: guide strands and cards (docs/protocol.md, *result*)."""

from __future__ import annotations

import msgspec
import numpy as np

from backend.exchange.wire_buffers import FLOATS, INTS, BufferList
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
    """Hair as cards, if requested: names of buffers. See ``HairCards`` and ``CardAtlas``."""

    vertices: str
    normals: str
    uv: str
    colours: str
    triangles: str
    strands: str
    relief: str


def encode_hair(hair: HairStrands, buffers: BufferList) -> HairEntry:
    """Append the strands to ``buffers`` and return their entry."""

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
    """Append the cards and their atlas to ``buffers`` and return their entry."""

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
