"""``detail`` of a result: height maps of the skin, checked (docs/protocol.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .buffers import NamedBuffers, checked_field, malformed
from .names import ARKIT_NAMES

MOST_GROUPS = 64
MOST_PIXELS_A_SIDE = 8192
MOST_MILLIMETRES = 100.0
CHANNELS = 3


@dataclass(frozen=True)
class ResultWrinkles:
    """Wrinkle map of a group of keys.

    Attributes
    ----------
    name : of the group.
    keys : ARKit names.
    picture : index in ``ResultDetail.pictures``.
    channel : of that picture: 0 red, 1 green, 2 blue.
    """

    name: str
    keys: tuple[str, ...]
    picture: int
    channel: int


@dataclass(frozen=True)
class ResultDetail:
    """Relief of the skin: 16-bit PNG files in map ``Head``; millimetres outwards = (value / 65536 - 0.5) * 2 * reach.

    Attributes
    ----------
    always_png, always_reach : relief of the face at rest.
    pictures : files of the wrinkle maps.
    wrinkle_reach : of all wrinkle maps.
    wrinkles : the picture and channel of each group.
    """

    always_png: bytes
    always_reach: float
    pictures: tuple[bytes, ...]
    wrinkle_reach: float
    wrinkles: tuple[ResultWrinkles, ...]


def decode_detail(named: NamedBuffers, entry: Any) -> ResultDetail:
    """Check and decode ``detail`` of a result. Raises ``AddonError`` ``malformed``."""
    always = named.picture(checked_field(entry, "always", str), MOST_PIXELS_A_SIDE)[0]
    reaches = [checked_field(entry, field, float) for field in ("always_reach", "wrinkle_reach")]
    if not all(0 < reach <= MOST_MILLIMETRES for reach in reaches):  # fails for NaN, too
        raise malformed("its skin has an impossible depth")
    groups = checked_field(entry, "wrinkles", list)
    if len(groups) > MOST_GROUPS:
        raise malformed(f"its skin has {len(groups)} wrinkle maps")
    names: list[str] = []
    wrinkles = []
    for group in groups:
        name, picture = checked_field(group, "name", str), checked_field(group, "picture", str)
        keys, channel = checked_field(group, "keys", list), checked_field(group, "channel", int)
        if not 1 <= len(name) <= 40 or not name.isprintable() or not 0 <= channel < CHANNELS:
            raise malformed("a wrinkle map of its skin has no name or no channel")
        if not keys or not all(isinstance(key, str) and key in ARKIT_NAMES for key in keys):
            raise malformed(f"the keys of wrinkle map {name} are not ARKit's")
        if picture not in names:
            names.append(picture)
        wrinkles.append(ResultWrinkles(name, tuple(keys), names.index(picture), channel))
    pictures = tuple(named.picture(name, MOST_PIXELS_A_SIDE)[0] for name in names)
    return ResultDetail(always, reaches[0], pictures, reaches[1], tuple(wrinkles))
