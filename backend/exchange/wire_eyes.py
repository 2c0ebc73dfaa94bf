"""Encode the eyes' image, UVs and surfaces in a message (docs/protocol.md, *result*)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from backend.exchange.face_asset import EyeDressing, FacePart
from backend.exchange.wire_buffers import FLOATS, BufferList


class EyesEntry(msgspec.Struct, frozen=True):
    """Eye data for close-ups; every field except ``parts`` is the name of a buffer. The images are None for a
    geometry-only job."""

    picture: str | None
    uv_left: str
    uv_right: str
    parts: tuple[msgspec.Struct, ...]
    picture_small: str | None = None


def encode_eyes(
    eyes: EyeDressing, encode_part: Callable[[FacePart, BufferList], msgspec.Struct], buffers: BufferList
) -> EyesEntry:
    """Append the eyes' data to ``buffers`` and return their entry."""
    return EyesEntry(
        picture=None if eyes.picture is None else buffers.add_picture("eyes.picture", eyes.picture),
        uv_left=buffers.add_array("eyes.uv_left", eyes.uv["eye_left"], FLOATS),
        uv_right=buffers.add_array("eyes.uv_right", eyes.uv["eye_right"], FLOATS),
        parts=tuple(encode_part(part, buffers) for part in eyes.parts),
        picture_small=None if eyes.picture is None else buffers.add_small_picture("eyes.picture_small", eyes.picture),
    )
