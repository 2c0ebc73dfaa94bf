"""The skin's relief in a message (docs/protocol.md, *result*)."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import msgspec
import numpy as np

from backend.detail.groups import KEY_GROUPS
from backend.detail.skin_detail import MIDDLE, HeightMap, SkinDetail
from backend.exchange.detail_files import png_bytes
from backend.exchange.wire_buffers import BufferList, WireError

PACKED = 3
"""Wrinkle maps in one picture: its red, green and blue."""


class WrinkleEntry(msgspec.Struct, frozen=True):
    """A group of keys and the picture's channel (0 red, 1 green, 2 blue) that has its wrinkles."""

    name: str
    keys: tuple[str, ...]
    picture: str
    channel: int


class DetailEntry(msgspec.Struct, frozen=True):
    """Relief as 16-bit pictures: millimetres = (value / 65536 - 0.5) * 2 * reach."""

    always: str
    always_reach: float
    wrinkles: tuple[WrinkleEntry, ...]
    wrinkle_reach: float


def encode_detail(detail: SkinDetail, buffers: BufferList) -> DetailEntry:
    """Append the maps and say where they are."""
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


def decode_detail(entry: DetailEntry, content: Mapping[str, np.ndarray | memoryview]) -> SkinDetail:
    """The relief. Raises ``WireError``."""

    def picture(name: str, channels: int) -> np.ndarray:
        data = content.get(name)
        if not isinstance(data, memoryview) or bytes(data[:8]) != b"\x89PNG\r\n\x1a\n":
            raise WireError(f"detail: no picture {name!r}")
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16 or (1 if pixels.ndim == 2 else pixels.shape[2]) != channels:
            raise WireError(f"detail: picture {name!r} is damaged or has no 16 bits")
        return pixels if channels == 1 else pixels[..., ::-1]

    try:
        wrinkles = {
            one.name: HeightMap(
                np.ascontiguousarray(picture(one.picture, PACKED)[..., one.channel]), entry.wrinkle_reach
            )
            for one in entry.wrinkles
        }
        return SkinDetail(HeightMap(picture(entry.always, 1), entry.always_reach), wrinkles)
    except (ValueError, IndexError, cv2.error) as error:
        raise error if isinstance(error, WireError) else WireError(f"detail: {error}") from error
