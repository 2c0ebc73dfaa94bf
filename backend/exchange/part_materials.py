"""Materials of the parts, for formats with a colour, a roughness and an opacity per material."""

from __future__ import annotations

from dataclasses import dataclass

from backend.exchange.face_asset import FaceAsset

ALBEDO, EYES, LASHES = "albedo", "eyes", "lashes"
"""Images of a part: the eyes' is of map ``Eye``; the lashes' has an opacity and its own map."""


@dataclass(frozen=True)
class PartMaterial:
    """A part's material.

    ``picture`` : ``ALBEDO``, ``EYES``, ``LASHES``, or None for plain ``colour`` (linear light). ``opacity`` : of the
    whole part.
    """

    name: str
    roughness: float
    picture: str | None = ALBEDO
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    opacity: float = 1.0


SKIN = PartMaterial("skin", 0.5)
_CLEAR = 0.12
"""Opacity of clear parts: in these formats highlights fade with opacity, so that 0 would remove the catchlight."""
_OF_PARTS: dict[str, PartMaterial] = {
    "eye_left": PartMaterial("eye", 0.15),
    "eye_right": PartMaterial("eye", 0.15),
    "teeth_upper": PartMaterial("teeth", 0.3),
    "teeth_lower": PartMaterial("teeth", 0.3),
    "tongue": PartMaterial("tongue", 0.35),
    "lashes": PartMaterial("lashes", 0.5),
    "cornea_left": PartMaterial("cornea", 0.03, None, (0.02, 0.02, 0.02), _CLEAR),
    "cornea_right": PartMaterial("cornea", 0.03, None, (0.02, 0.02, 0.02), _CLEAR),
    "tear_lines": PartMaterial("tears", 0.05, None, (0.5, 0.5, 0.5), _CLEAR),
    "caruncles": PartMaterial("caruncles", 0.25, None, (0.41, 0.18, 0.15)),
}
_EYE_WITH_OWN_MAP = PartMaterial("eye", 0.3, EYES)
SINGLE_LASHES = PartMaterial("lashes", 0.5, LASHES)


def part_material(asset: FaceAsset, name: str) -> PartMaterial:
    """The material of the asset's part ``name``."""
    if asset.eyes is not None and name in asset.eyes.uv:
        return _EYE_WITH_OWN_MAP
    return _OF_PARTS.get(name, SKIN)
