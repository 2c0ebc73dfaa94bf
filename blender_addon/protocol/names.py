"""Names shared by the protocol and the scene."""

from ..shared.names import ARKIT_NAMES as ARKIT_ORDER

PART_NAMES: tuple[str, ...] = ("head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "lashes")
"""The objects of a head; the first one drives the others."""
LASHES = "lashes"
EYE_PART_NAMES: tuple[str, ...] = ("cornea_left", "cornea_right", "tear_lines", "caruncles")
"""Further parts of heads with close-up eyes."""
BUST = "bust"
"""Neck and shoulders, if requested for the head."""
GLASSES = ("glasses", "lenses")
"""Frame and lenses, if the person wears glasses."""
ALL_PART_NAMES: tuple[str, ...] = (*PART_NAMES, *EYE_PART_NAMES, *GLASSES, BUST)

ARKIT_NAMES: frozenset[str] = frozenset(ARKIT_ORDER)
"""The 52 shape keys of a head; a result states their order."""

KEY_GROUPS: dict[str, tuple[str, ...]] = {
    "Brows": ("brow",),
    "Eyes": ("eye",),
    "Cheeks and Nose": ("cheek", "nose"),
    "Mouth": ("mouth",),
    "Jaw and Tongue": ("jaw", "tongue"),
}
"""Prefixes of the key names of each group."""

LANDMARKS = 478
HEAD_POINTS = (
    *("Ear Top L", "Ear Side L", "Ear Lobe L", "Ear Top R", "Ear Side R", "Ear Lobe R"),
    *("Hair Line", "Hair Line L", "Hair Line R", "Hair Corner L", "Hair Corner R"),
)
"""Points of ears and hairline, numbered after the landmarks."""
