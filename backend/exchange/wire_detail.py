"""Encode the skin's relief in a message (docs/protocol.md, *result*)."""

from __future__ import annotations

import msgspec
import numpy as np

from backend.detail.groups import KEY_GROUPS
from backend.detail.skin_detail import MIDDLE, SkinDetail
from backend.exchange.png import png_bytes
from backend.exchange.wire_buffers import BufferList

PACKED = 3
"""Wrinkle maps per image, in its red, green and blue channels."""


class WrinkleEntry(msgspec.Struct, frozen=True):
    """A group of keys, and the image channel (0 red, 1 green, 2 blue) with its wrinkles."""

    name: str
    keys: tuple[str, ...]
    picture: str
    channel: int


class DetailEntry(msgspec.Struct, frozen=True):
    """Relief as 16-bit images: millimetres = (value / 65536 - 0.5) * 2 * reach."""

    always: str
    always_reach: float
    wrinkles: tuple[WrinkleEntry, ...]
    wrinkle_reach: float


def encode_detail(detail: SkinDetail, buffers: BufferList) -> DetailEntry:
    """Append the maps to ``buffers`` and return their entry."""
    size = len(detail.always.steps)
    always = buffers.add_file("detail.always", png_bytes(detail.always.steps), "image/png", (size, size))
    names, entries = list(detail.wrinkles), []
    for first in range(0, len(names), PACKED):
        group = names[first : first + PACKED]
        maps = [detail.wrinkles[name].steps for name in group]
        maps += [np.full_like(maps[0], MIDDLE)] * (PACKED - len(maps))
        side = len(maps[0])
        picture = f"detail.wrinkles.{first // PACKED}"
        buffers.add_file(picture, png_bytes(np.stack(maps, -1)), "image/png", (side, side))
        entries += [WrinkleEntry(name, KEY_GROUPS[name], picture, channel) for channel, name in enumerate(group)]
    reach = next(iter(detail.wrinkles.values())).reach
    return DetailEntry(always, detail.always.reach, tuple(entries), reach)
