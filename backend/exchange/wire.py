"""``FaceAsset`` as a message: a JSON header, then raw buffers (docs/protocol.md, *result*)."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from backend.exchange.face_asset import PART_NAMES, AssetPhoto, FaceAsset, FacePart
from backend.exchange.lash_alpha import lash_alpha
from backend.exchange.wire_buffers import (
    DTYPES,
    FLOATS,
    INTS,
    BufferEntry,
    BufferList,
    WireError,
    WireMessage,
    unpack_buffers,
)
from backend.exchange.wire_detail import DetailEntry, decode_detail, encode_detail
from backend.exchange.wire_hair import (
    CardsEntry,
    HairEntry,
    decode_cards,
    decode_hair,
    encode_cards,
    encode_hair,
)
from backend.photos.corrections import LANDMARKS
from backend.rendering.camera import Camera
from backend.rig.arkit import ARKIT_NAMES

FORMAT_VERSION = 1


class PartEntry(msgspec.Struct, frozen=True):
    """One part; every field but ``name`` and ``key_names`` is the name of a buffer."""

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
    """One used photo, in pixels of the whole file after EXIF rotation; ``landmarks`` is the name of a buffer."""

    name: str
    width: int
    height: int
    intrinsics: tuple[tuple[float, float, float], ...]
    camera_from_head: tuple[tuple[float, float, float, float], ...]
    expression: tuple[float, ...]
    landmark_error_percent: float | None
    photometric_error: float | None
    landmarks: str | None = None


class FaceHeader(msgspec.Struct, frozen=True):
    """The header of a ``result`` without the fields that name the job."""

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


def encode_face(asset: FaceAsset) -> WireMessage:
    """A ``FaceAsset`` as a message (without ``type`` and the fields that name the job)."""
    buffers = BufferList()
    parts = tuple(_encode_part(asset, part, buffers) for part in asset.parts)
    hair = None if asset.hair_strands is None else encode_hair(asset.hair_strands, buffers)
    cards = None if asset.hair_cards is None else encode_cards(asset.hair_cards, buffers)
    detail = None if asset.detail is None else encode_detail(asset.detail, buffers)
    photos = tuple(_encode_photo(photo, number, buffers) for number, photo in enumerate(asset.photos))
    if asset.albedo is not None:
        buffers.add_picture("albedo", asset.albedo)
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
    )
    return buffers.message(msgspec.to_builtins(header, enc_hook=_plain))


def _encode_part(asset: FaceAsset, part: FacePart, buffers: BufferList) -> PartEntry:
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
        alpha=add("alpha", FLOATS, lash_alpha(asset)) if part.name == "lashes" else None,
    )


def _encode_photo(photo: AssetPhoto, number: int, buffers: BufferList) -> PhotoEntry:
    camera, landmarks = photo.camera, None
    if photo.landmarks is not None:
        landmarks = buffers.add_array(f"photo.{number}.landmarks", photo.landmarks, FLOATS)
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
    )


def decode_face(header: Mapping[str, Any] | bytes, buffers: Sequence[bytes | memoryview]) -> FaceAsset:
    """The ``FaceAsset`` in a message; every buffer's length, dtype, shape and indices are checked.

    Raises ``WireError``.
    """
    try:
        if isinstance(header, bytes):
            face = msgspec.json.decode(header, type=FaceHeader)
        else:
            face = msgspec.convert(header, FaceHeader)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"not a face: {error}") from error
    if face.version != FORMAT_VERSION:
        raise WireError(f"face format {face.version}; this program reads {FORMAT_VERSION}")
    if tuple(part.name for part in face.parts) != PART_NAMES:
        raise WireError("the parts are not those of a face")
    content = unpack_buffers(face.buffers, buffers)
    return FaceAsset(
        parts=tuple(_decode_part(part, content) for part in face.parts),
        albedo=None if face.albedo is None else _decode_picture(content, face.albedo),
        photos=tuple(_decode_photo(photo, content) for photo in face.photos),
        report=face.report,
        hair_strands=None if face.hair is None else decode_hair(face.hair, content),
        hair_cards=None if face.hair_cards is None else decode_cards(face.hair_cards, content),
        detail=None if face.detail is None else decode_detail(face.detail, content),
    )


def _decode_part(part: PartEntry, content: Mapping[str, np.ndarray | memoryview]) -> FacePart:
    def take(name: str, dtype: str, *shape: int | None) -> np.ndarray:
        array = content.get(name)
        if not isinstance(array, np.ndarray) or array.dtype != DTYPES[dtype]:
            raise WireError(f"part {part.name!r}: no {dtype} array {name!r}")
        if len(array.shape) != len(shape) or any(
            want is not None and want != have for want, have in zip(shape, array.shape, strict=True)
        ):
            raise WireError(f"part {part.name!r}: array {name!r} has shape {array.shape}")
        if dtype == FLOATS and not np.isfinite(array).all():
            raise WireError(f"part {part.name!r}: array {name!r} is not finite")
        return array

    def take_corners(name: str, faces: int | None, points: int) -> np.ndarray:
        corners = take(name, INTS, faces, 4)
        if corners.size and (corners.min() < 0 or corners.max() >= points):
            raise WireError(f"part {part.name!r}: {name!r} points outside its array")
        return corners

    vertices = take(part.vertices, FLOATS, None, 3)
    quads = take_corners(part.quads, None, len(vertices))
    uv, uv_makehuman = take(part.uv, FLOATS, None, 2), take(part.uv_makehuman, FLOATS, None, 2)
    keys = take(part.keys, FLOATS, len(part.key_names), len(vertices), 3)
    if len(set(part.key_names)) != len(part.key_names) or not set(part.key_names) <= set(ARKIT_NAMES):
        raise WireError(f"part {part.name!r}: its keys are not ARKit's")
    if part.alpha is not None:
        take(part.alpha, FLOATS, len(vertices))
    return FacePart(
        name=part.name,
        vertices=vertices,
        quads=quads,
        uv=uv,
        uv_quads=take_corners(part.uv_quads, len(quads), len(uv)),
        uv_makehuman=uv_makehuman,
        uv_makehuman_quads=take_corners(part.uv_makehuman_quads, len(quads), len(uv_makehuman)),
        hm08_vertex=take(part.hm08_vertex, INTS, len(vertices)),
        keys=dict(zip(part.key_names, keys, strict=True)),
    )


def _decode_picture(content: Mapping[str, np.ndarray | memoryview], name: str) -> np.ndarray:
    data = content.get(name)
    if not isinstance(data, memoryview):
        raise WireError(f"no picture {name!r}")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise WireError(f"picture {name!r} cannot be read: {error}") from error
    return pixels


def _decode_photo(photo: PhotoEntry, content: Mapping[str, np.ndarray | memoryview]) -> AssetPhoto:
    intrinsics, pose = np.array(photo.intrinsics), np.array(photo.camera_from_head)
    if intrinsics.shape != (3, 3) or pose.shape != (4, 4) or len(photo.expression) != len(ARKIT_NAMES):
        raise WireError(f"photo {photo.name!r}: its camera or expression is incomplete")

    landmarks = None if photo.landmarks is None else content.get(photo.landmarks)
    if photo.landmarks is not None and not (
        isinstance(landmarks, np.ndarray)
        and landmarks.dtype == DTYPES[FLOATS]
        and landmarks.shape == (LANDMARKS, 4)
        and np.isfinite(landmarks).all()
    ):
        raise WireError(f"photo {photo.name!r}: its landmarks are not {LANDMARKS} of four numbers")

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    return AssetPhoto(
        name=photo.name,
        camera=Camera(intrinsics, pose, (photo.width, photo.height)),
        expression=np.array(photo.expression, np.float32),
        landmark_error_percent=number(photo.landmark_error_percent),
        photometric_error=number(photo.photometric_error),
        landmarks=landmarks,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays as plain JSON values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
