"""Encode single lashes in a message (docs/protocol.md, *result*)."""

from __future__ import annotations

import msgspec

from backend.exchange.face_asset import FaceAsset
from backend.exchange.lash_hairs import lash_picture, lash_places
from backend.exchange.wire_buffers import FLOATS, BufferList


class LashesEntry(msgspec.Struct, frozen=True):
    """Names of buffers."""

    picture: str
    places: str


def encode_lashes(asset: FaceAsset, buffers: BufferList) -> LashesEntry | None:
    """Append the lashes to ``buffers`` and return their entry; None if the lashes are not strips."""
    places = lash_places(asset)
    if places is None:
        return None
    return LashesEntry(
        picture=buffers.add_picture("lashes.picture", lash_picture()),
        places=buffers.add_array("lashes.places", places, FLOATS),
    )
