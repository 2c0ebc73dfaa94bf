"""One person of a manifest: input, name and options."""

from __future__ import annotations

from typing import Annotated

import msgspec

from backend.choices import EVEN_AVERAGE, NO_SYMMETRY, FaceModel, Hair, HairStyle, Quality, TextureSize

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class PersonOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of one head; the same choices as those of ``reconstruct``."""

    quality: Quality = "standard"
    texture: TextureSize = 2048
    hair: Hair = "cards"
    hair_style: HairStyle = "auto"
    bust: bool = False
    face_model: FaceModel = "linear"
    symmetry: Share = NO_SYMMETRY
    average: Share = EVEN_AVERAGE
    landmark_net: bool = True
    lap: bool = True
    learned_basis: bool = True
    detail: bool = True
    personalise: bool = False


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One person.

    Attributes
    ----------
    name : also the name of the head's folder. line : of the manifest, from 1.
    sources : absolute paths of photos, or of folders of photos. corrections : absolute path of a file of corrections.
    """

    name: str
    line: int
    sources: tuple[str, ...]
    options: PersonOptions = PersonOptions()
    corrections: str | None = None
