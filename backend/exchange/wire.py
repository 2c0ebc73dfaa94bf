"""Encode a ``FaceAsset`` as a message: a JSON header, then raw buffers (docs/protocol.md, *result*).

Encode the skin's relief in a message (docs/protocol.md, *result*).

Encode the eyes' image, UVs and surfaces in a message (docs/protocol.md, *result*).

Encode hair in a message: guide strands and cards (docs/protocol.md, *result*).

Encode single lashes in a message (docs/protocol.md, *result*).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from backend.detail.skin_detail import KEY_GROUPS, MIDDLE, SkinDetail
from backend.exchange.buffers import FLOATS, INTS, BufferEntry, BufferList, WireMessage, png_bytes
from backend.exchange.face_asset import AssetPhoto, EyeDressing, FaceAsset, FacePart
from backend.exchange.lashes import lash_alpha, lash_picture, lash_places
from backend.hair.cards import HairCards, card_atlas
from backend.hair.hair_strands import HairStrands
from protocol.names import ARKIT_NAMES

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


class HairEntry(msgspec.Struct, frozen=True):
    """Hair as guide strands; the first five fields are names of buffers. See ``HairStrands``."""

    points: str
    root_uv: str
    width: str
    root_colour: str
    tip_colour: str
    hair_radius: float
    style: str
    parameters: dict[str, float]


class CardsEntry(msgspec.Struct, frozen=True):
    """Hair as cards, if requested: names of buffers. See ``HairCards`` and ``CardAtlas``."""

    vertices: str
    normals: str
    uv: str
    colours: str
    triangles: str
    strands: str
    relief: str


def encode_hair(hair: HairStrands, buffers: BufferList) -> HairEntry:
    """Append the strands to ``buffers`` and return their entry."""

    def add(field: str, array: np.ndarray) -> str:
        return buffers.add_array(f"hair.{field}", array, FLOATS)

    return HairEntry(
        points=add("points", hair.points),
        root_uv=add("root_uv", hair.root_uv),
        width=add("width", hair.width),
        root_colour=add("root_colour", hair.root_colour),
        tip_colour=add("tip_colour", hair.tip_colour),
        hair_radius=float(hair.hair_radius),
        style=hair.style,
        parameters={name: float(value) for name, value in hair.parameters.items()},
    )


def encode_cards(cards: HairCards, buffers: BufferList) -> CardsEntry:
    """Append the cards and their atlas to ``buffers`` and return their entry."""

    def add(field: str, dtype: str, array: np.ndarray) -> str:
        return buffers.add_array(f"hair_cards.{field}", array, dtype)

    atlas = card_atlas()
    return CardsEntry(
        vertices=add("vertices", FLOATS, cards.vertices),
        normals=add("normals", FLOATS, cards.normals),
        uv=add("uv", FLOATS, cards.uv),
        colours=add("colours", FLOATS, cards.colours),
        triangles=add("triangles", INTS, cards.triangles),
        strands=buffers.add_picture("hair_cards.strands", atlas.strands),
        relief=buffers.add_picture("hair_cards.relief", atlas.normals),
    )


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


FORMAT_VERSION = 1


class PartEntry(msgspec.Struct, frozen=True):
    """One part; every field except ``name`` and ``key_names`` is the name of a buffer."""

    name: str
    vertices: str
    quads: str
    uv: str
    uv_quads: str
    uv_makehuman: str
    uv_makehuman_quads: str
    hm08_vertex: str
    keys: str
    key_names: tuple[str, ...]
    alpha: str | None


class PhotoEntry(msgspec.Struct, frozen=True):
    """One used photo, in pixels of the whole file after EXIF rotation; ``landmarks`` and ``head_points`` are names of
    buffers."""

    name: str
    width: int
    height: int
    intrinsics: tuple[tuple[float, float, float], ...]
    camera_from_head: tuple[tuple[float, float, float, float], ...]
    expression: tuple[float, ...]
    landmark_error_percent: float | None
    photometric_error: float | None
    landmarks: str | None = None
    head_points: str | None = None


class FaceHeader(msgspec.Struct, frozen=True):
    """The header of a ``result`` without the fields that identify the job."""

    version: int
    arkit_names: tuple[str, ...]
    albedo: str | None
    parts: tuple[PartEntry, ...]
    photos: tuple[PhotoEntry, ...]
    report: dict[str, Any]
    buffers: tuple[BufferEntry, ...]
    hair: HairEntry | None = None
    hair_cards: CardsEntry | None = None
    detail: DetailEntry | None = None
    eyes: EyesEntry | None = None
    mouth_inside: str | None = None
    skin_roughness: str | None = None
    bust: PartEntry | None = None
    albedo_small: str | None = None
    lashes: LashesEntry | None = None


def encode_face(asset: FaceAsset) -> WireMessage:
    """Encode a ``FaceAsset`` as a message (without ``type`` and the fields that identify the job)."""
    buffers = BufferList()
    parts = tuple(_encode_part(part, buffers, asset) for part in asset.parts)
    eyes = None if asset.eyes is None else encode_eyes(asset.eyes, _encode_part, buffers)
    bust = None if asset.bust is None else _encode_part(asset.bust, buffers)
    hair = None if asset.hair_strands is None else encode_hair(asset.hair_strands, buffers)
    cards = None if asset.hair_cards is None else encode_cards(asset.hair_cards, buffers)
    detail = None if asset.detail is None else encode_detail(asset.detail, buffers)
    inside, roughness = (
        None if values is None else buffers.add_array(name, values, FLOATS)
        for name, values in (("mouth_inside", asset.mouth_inside), ("skin_roughness", asset.skin_roughness))
    )
    photos = tuple(_encode_photo(photo, number, buffers) for number, photo in enumerate(asset.photos))
    if asset.albedo is not None:
        buffers.add_picture("albedo", asset.albedo)
        buffers.add_small_picture("albedo_small", asset.albedo)
    lashes = None if asset.albedo is None else encode_lashes(asset, buffers)
    header = FaceHeader(
        version=FORMAT_VERSION,
        arkit_names=tuple(ARKIT_NAMES),
        albedo=None if asset.albedo is None else "albedo",
        parts=parts,
        photos=photos,
        report=dict(asset.report),
        buffers=(),
        hair=hair,
        hair_cards=cards,
        detail=detail,
        eyes=eyes,
        mouth_inside=inside,
        skin_roughness=roughness,
        bust=bust,
        albedo_small=None if asset.albedo is None else "albedo_small",
        lashes=lashes,
    )
    return buffers.message(msgspec.to_builtins(header, enc_hook=_plain))


def _encode_part(part: FacePart, buffers: BufferList, asset: FaceAsset | None = None) -> PartEntry:
    """Encode one part; ``asset``, if given, supplies the lashes' opacity."""

    def add(field: str, dtype: str, array: np.ndarray) -> str:
        return buffers.add_array(f"{part.name}.{field}", array, dtype)

    names = tuple(name for name in ARKIT_NAMES if name in part.keys)
    keys = np.stack([part.keys[name] for name in names]) if names else np.zeros((0, len(part.vertices), 3))
    return PartEntry(
        name=part.name,
        vertices=add("vertices", FLOATS, part.vertices),
        quads=add("quads", INTS, part.quads),
        uv=add("uv", FLOATS, part.uv),
        uv_quads=add("uv_quads", INTS, part.uv_quads),
        uv_makehuman=add("uv_makehuman", FLOATS, part.uv_makehuman),
        uv_makehuman_quads=add("uv_makehuman_quads", INTS, part.uv_makehuman_quads),
        hm08_vertex=add("hm08_vertex", INTS, part.hm08_vertex),
        keys=add("keys", FLOATS, keys),
        key_names=names,
        alpha=add("alpha", FLOATS, lash_alpha(asset)) if asset is not None and part.name == "lashes" else None,
    )


def _encode_photo(photo: AssetPhoto, number: int, buffers: BufferList) -> PhotoEntry:
    camera, landmarks, head_points = photo.camera, None, None
    if photo.landmarks is not None:
        landmarks = buffers.add_array(f"photo.{number}.landmarks", photo.landmarks, FLOATS)
    if photo.head_points is not None:
        head_points = buffers.add_array(f"photo.{number}.head_points", photo.head_points, FLOATS)
    return PhotoEntry(
        name=photo.name,
        width=int(camera.size[0]),
        height=int(camera.size[1]),
        intrinsics=tuple(map(tuple, np.asarray(camera.intrinsics, float).tolist())),
        camera_from_head=tuple(map(tuple, np.asarray(camera.camera_from_head, float).tolist())),
        expression=tuple(round(float(weight), 5) for weight in photo.expression),
        landmark_error_percent=_finite(photo.landmark_error_percent),
        photometric_error=_finite(photo.photometric_error),
        landmarks=landmarks,
        head_points=head_points,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Convert NumPy numbers and arrays to plain JSON values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
