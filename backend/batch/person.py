"""One person of a manifest: what is made from what, and how."""

from __future__ import annotations

import msgspec

from backend.choices import FaceModel, Hair, Quality, TextureSize


class PersonOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides how one head looks; the same choices as those of ``reconstruct``."""

    quality: Quality = "standard"
    texture: TextureSize = 2048
    hair: Hair = "cards"
    face_model: FaceModel = "linear"
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
    sources : absolute paths of photos, or of folders of photos.
    """

    name: str
    line: int
    sources: tuple[str, ...]
    options: PersonOptions = PersonOptions()


def to_json(person: Person) -> bytes:
    """The person as JSON, to be sent to another process."""
    return msgspec.json.encode(person)


def from_json(data: bytes) -> Person:
    """What ``to_json`` gave. Raises ``msgspec.ValidationError``."""
    return msgspec.json.decode(data, type=Person)
