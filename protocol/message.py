"""The arrays of a ``result`` message, each declared once: the backend packs them, the extension checks and unpacks.

An entry of the header names its arrays' buffers under these names (docs/protocol.md, *result*). Each table below is
an entry: the message's parts, its photos, its hair, and so on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FLOATS, INTS = "<f4", "<i4"
RESULT_VERSION = 1
HEAD_METRES, HAIR_METRES, FAR_UV, FAR_PIXELS = 1.0, 2.0, 100.0, 1e7
"""Limits of coordinates: of a head, whose origin is hm08's (ours reach 0.9), of its hair, in a UV map, in a photo."""
LAST_HM08_VERTEX = 19_157
MOST_PORTRAIT = 256
"""Pixels a side of a head's portrait: the size of Blender's own previews."""


@dataclass(frozen=True)
class ArrayField:
    """An array of an entry.

    Attributes
    ----------
    shape : lengths; a word or letter is a length that is the same in all arrays of the entry, within ``LENGTHS``.
    low, high : limits of its numbers; a letter as ``high``: below that length, as indices are.
    """

    dtype: str
    shape: tuple[str | int, ...]
    low: float
    high: float | str
    optional: bool = False


def _floats(*shape: str | int, within: float = 0.0, low: float = 0.0, high: float = 1.0) -> ArrayField:
    return ArrayField(FLOATS, shape, *((-within, within) if within else (low, high)))


def _indices(*shape: str | int, of: str) -> ArrayField:
    return ArrayField(INTS, shape, 0, of)


LENGTHS: Mapping[str, tuple[int, int]] = {
    "V": (3, 200_000),  # vertices; a head has 4,200
    "F": (1, 400_000),  # faces
    "U": (1, 1_600_000),  # coordinates in map Head
    "M": (1, 1_600_000),  # coordinates in map MakeHuman
    "K": (0, 52),  # keys
    "G": (1, 4096),  # guides
    "P": (2, 64),  # points of a guide
    "T": (1, 200_000),  # triangles of the cards, of the scalp
}
"""Least and greatest length by letter."""
PART: Mapping[str, ArrayField] = {
    "vertices": _floats("V", 3, within=HEAD_METRES),
    "quads": _indices("F", 4, of="V"),
    "uv": _floats("U", 2, within=FAR_UV),
    "uv_quads": _indices("F", 4, of="U"),
    "uv_makehuman": _floats("M", 2, within=FAR_UV),
    "uv_makehuman_quads": _indices("F", 4, of="M"),
    "hm08_vertex": ArrayField(INTS, ("V",), -1, LAST_HM08_VERTEX),
    "keys": _floats("K", "V", 3, within=HEAD_METRES),
    "alpha": ArrayField(FLOATS, ("V",), 0.0, 1.0, optional=True),
}
HAIR: Mapping[str, ArrayField] = {
    "points": _floats("G", "P", 3, within=HAIR_METRES),
    "root_uv": _floats("G", 2, within=FAR_UV),
    "scalp_uv": _floats("G", 2),
    "free": _floats("G"),
    "width": _floats("G", high=0.2),  # metres: no lock is wider than a head
    "root_colour": _floats("G", 3),
    "tip_colour": _floats("G", 3),
}
SCALP: Mapping[str, ArrayField] = {
    "vertices": _floats("V", 3, within=HEAD_METRES),
    "triangles": _indices("T", 3, of="V"),
    "uv": _floats("V", 2),
    "density": _floats("V"),
    "edge": _floats("V", within=HEAD_METRES),
    "top": _floats("V"),
    "melanin": _floats("V", within=1.0),
}
CARD_LEVELS, CARD_POINTS = (12_000, 4_000, 1_000), (8, 6, 4)
"""Triangles at most of each level of hair cards, the usual budget of game engines for a head of hair near by, in a room
and far away, and the fewest points along a card of each: with eight, nine of ten guides of 15 cm are within 2 mm of
their cards (with five evenly placed ones within 12 mm)."""


def fewest_card_points(most: int) -> int:
    """The fewest points along a card where there are ``most`` triangles."""
    return CARD_POINTS[sum(most < level for level in CARD_LEVELS[:-1])]


EYES: Mapping[str, ArrayField] = {
    "uv_left": _floats("left", 2, within=FAR_UV),
    "uv_right": _floats("right", 2, within=FAR_UV),
}
LASHES: Mapping[str, ArrayField] = {"places": _floats("V", 2, within=FAR_UV)}
HEAD: Mapping[str, ArrayField] = {"mouth_inside": _floats("V"), "skin_roughness": _floats("V")}
PHOTO: Mapping[str, ArrayField] = {
    "landmarks": _floats(478, 4, within=FAR_PIXELS),
    "head_points": _floats(11, 3, within=FAR_PIXELS),
}
