"""``FaceAsset`` as a message: a JSON header, then raw buffers (docs/protocol.md, *result*)."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from backend.exchange.face_asset import PART_NAMES, AssetPhoto, FaceAsset, FacePart
from backend.exchange.lash_alpha import lash_alpha
from backend.hair.cards import HairCards, card_atlas
from backend.hair.hair_strands import HairStrands
from backend.rendering.camera import Camera
from backend.rig.arkit import ARKIT_NAMES

FORMAT_VERSION = 1
PNG = "image/png"
DTYPES: Mapping[str, np.dtype] = {"<f4": np.dtype("<f4"), "<i4": np.dtype("<i4")}
MOST_BUFFER_BYTES = 256 * 2**20
"""The largest buffer that is taken."""

_FLOATS, _INTS = "<f4", "<i4"
_PNG_COMPRESSION = 1
"""A 2048 px albedo: level 1 0.19 s and 3.3 MB, level 4 0.30 s and 2.9 MB."""


class WireError(ValueError):
    """A message does not hold what its header says; the message says what is wrong."""


class BufferEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one buffer holds: an array (``dtype``, ``shape``) or a picture (``media_type``, its size)."""

    name: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None


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
    hair: str | None = None


class PhotoEntry(msgspec.Struct, frozen=True):
    """One used photo, in pixels of the whole file after EXIF rotation."""

    name: str
    width: int
    height: int
    intrinsics: tuple[tuple[float, float, float], ...]
    camera_from_head: tuple[tuple[float, float, float, float], ...]
    expression: tuple[float, ...]
    landmark_error_percent: float | None
    photometric_error: float | None


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
    """Hair as cards, for who asked for them: names of buffers. See ``HairCards`` and ``CardAtlas``."""

    vertices: str
    normals: str
    uv: str
    colours: str
    triangles: str
    strands: str
    relief: str


class FaceHeader(msgspec.Struct, frozen=True):
    """The header of a ``result`` without the fields that name the job."""

    version: int
    arkit_names: tuple[str, ...]
    albedo: str
    parts: tuple[PartEntry, ...]
    photos: tuple[PhotoEntry, ...]
    report: dict[str, Any]
    buffers: tuple[BufferEntry, ...]
    hair: HairEntry | None = None
    hair_cards: CardsEntry | None = None


@dataclass(frozen=True)
class WireMessage:
    """A header, JSON types only, and the buffers that its ``buffers`` describe, in order."""

    header: dict[str, Any]
    buffers: tuple[bytes, ...]


class BufferList:
    """Collects buffers and what the header says of them."""

    def __init__(self) -> None:
        self.entries: list[BufferEntry] = []
        self.buffers: list[bytes] = []

    def add_array(self, name: str, array: np.ndarray, dtype: str) -> str:
        """Append an array, converted to ``dtype``, little-endian and C-contiguous; returns ``name``."""
        array = np.ascontiguousarray(array, DTYPES[dtype])
        self.entries.append(BufferEntry(name, dtype=dtype, shape=array.shape))
        self.buffers.append(array.tobytes())
        return name

    def add_picture(self, name: str, pixels: np.ndarray) -> str:
        """Append (H, W, 3) or, with opacity, (H, W, 4) uint8 pixels as PNG; returns ``name``."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=_PNG_COMPRESSION)
        height, width = pixels.shape[:2]
        data = file.getvalue()
        self.entries.append(BufferEntry(name, media_type=PNG, width=width, height=height, bytes=len(data)))
        self.buffers.append(data)
        return name

    def add_file(self, name: str, data: bytes, media_type: str) -> str:
        """Append a whole file's bytes; returns ``name``."""
        self.entries.append(BufferEntry(name, media_type=media_type, bytes=len(data)))
        self.buffers.append(data)
        return name

    def message(self, header: Mapping[str, Any]) -> WireMessage:
        """The header with ``buffers`` added, and the buffers."""
        return WireMessage({**header, "buffers": msgspec.to_builtins(self.entries)}, tuple(self.buffers))


def encode_face(asset: FaceAsset) -> WireMessage:
    """A ``FaceAsset`` as a message (without ``type`` and the fields that name the job)."""
    buffers = BufferList()
    parts = tuple(_encode_part(asset, part, buffers) for part in asset.parts)
    hair = None if asset.hair_strands is None else _encode_hair(asset.hair_strands, buffers)
    cards = None if asset.hair_cards is None else _encode_cards(asset.hair_cards, buffers)
    buffers.add_picture("albedo", asset.albedo)
    header = FaceHeader(
        version=FORMAT_VERSION,
        arkit_names=tuple(ARKIT_NAMES),
        albedo="albedo",
        parts=parts,
        photos=tuple(_encode_photo(photo) for photo in asset.photos),
        report=dict(asset.report),
        buffers=(),
        hair=hair,
        hair_cards=cards,
    )
    return buffers.message(msgspec.to_builtins(header, enc_hook=_plain))


def _encode_part(asset: FaceAsset, part: FacePart, buffers: BufferList) -> PartEntry:
    def add(field: str, dtype: str, array: np.ndarray) -> str:
        return buffers.add_array(f"{part.name}.{field}", array, dtype)

    names = tuple(name for name in ARKIT_NAMES if name in part.keys)
    keys = np.stack([part.keys[name] for name in names]) if names else np.zeros((0, len(part.vertices), 3))
    return PartEntry(
        name=part.name,
        vertices=add("vertices", _FLOATS, part.vertices),
        quads=add("quads", _INTS, part.quads),
        uv=add("uv", _FLOATS, part.uv),
        uv_quads=add("uv_quads", _INTS, part.uv_quads),
        uv_makehuman=add("uv_makehuman", _FLOATS, part.uv_makehuman),
        uv_makehuman_quads=add("uv_makehuman_quads", _INTS, part.uv_makehuman_quads),
        hm08_vertex=add("hm08_vertex", _INTS, part.hm08_vertex),
        keys=add("keys", _FLOATS, keys),
        key_names=names,
        alpha=add("alpha", _FLOATS, lash_alpha(asset)) if part.name == "lashes" else None,
        hair=None if part.hair is None else add("hair", _FLOATS, part.hair),
    )


def _encode_hair(hair: HairStrands, buffers: BufferList) -> HairEntry:
    def add(field: str, array: np.ndarray) -> str:
        return buffers.add_array(f"hair.{field}", array, _FLOATS)

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


def _encode_cards(cards: HairCards, buffers: BufferList) -> CardsEntry:
    def add(field: str, dtype: str, array: np.ndarray) -> str:
        return buffers.add_array(f"hair_cards.{field}", array, dtype)

    atlas = card_atlas()
    return CardsEntry(
        vertices=add("vertices", _FLOATS, cards.vertices),
        normals=add("normals", _FLOATS, cards.normals),
        uv=add("uv", _FLOATS, cards.uv),
        colours=add("colours", _FLOATS, cards.colours),
        triangles=add("triangles", _INTS, cards.triangles),
        strands=buffers.add_picture("hair_cards.strands", atlas.strands),
        relief=buffers.add_picture("hair_cards.relief", atlas.normals),
    )


def _encode_photo(photo: AssetPhoto) -> PhotoEntry:
    camera = photo.camera
    return PhotoEntry(
        name=photo.name,
        width=int(camera.size[0]),
        height=int(camera.size[1]),
        intrinsics=tuple(map(tuple, np.asarray(camera.intrinsics, float).tolist())),
        camera_from_head=tuple(map(tuple, np.asarray(camera.camera_from_head, float).tolist())),
        expression=tuple(round(float(weight), 5) for weight in photo.expression),
        landmark_error_percent=_finite(photo.landmark_error_percent),
        photometric_error=_finite(photo.photometric_error),
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
        albedo=_decode_picture(content, face.albedo),
        photos=tuple(_decode_photo(photo) for photo in face.photos),
        report=face.report,
        hair_strands=None if face.hair is None else _decode_hair(face.hair, content),
        hair_cards=None if face.hair_cards is None else _decode_cards(face.hair_cards, content),
    )


def unpack_buffers(
    entries: Sequence[BufferEntry], buffers: Sequence[bytes | memoryview]
) -> dict[str, np.ndarray | memoryview]:
    """Buffer name -> array (read-only) or a picture's bytes. Raises ``WireError`` where entry and buffer differ."""
    if len(entries) != len(buffers):
        raise WireError(f"{len(entries)} buffers are described and {len(buffers)} came")
    content: dict[str, np.ndarray | memoryview] = {}
    for entry, buffer in zip(entries, buffers, strict=True):
        data = memoryview(buffer).cast("B")
        if entry.name in content:
            raise WireError(f"two buffers are called {entry.name!r}")
        content[entry.name] = data if entry.dtype is None else _array(entry, data)
        if entry.dtype is None and entry.bytes != len(data):
            raise WireError(f"buffer {entry.name!r} has {len(data)} bytes and not {entry.bytes}")
    return content


def _array(entry: BufferEntry, data: memoryview) -> np.ndarray:
    dtype = DTYPES.get(entry.dtype or "")
    if dtype is None:
        raise WireError(f"buffer {entry.name!r} has the unknown dtype {entry.dtype!r}")
    shape = entry.shape
    if shape is None or any(side < 0 for side in shape):
        raise WireError(f"buffer {entry.name!r} has no shape")
    size = math.prod(shape) * dtype.itemsize
    if size != len(data) or size > MOST_BUFFER_BYTES:
        raise WireError(f"buffer {entry.name!r} has {len(data)} bytes; its shape needs {size}")
    return np.frombuffer(data, dtype).reshape(shape)


def _decode_part(part: PartEntry, content: Mapping[str, np.ndarray | memoryview]) -> FacePart:
    def take(name: str, dtype: str, *shape: int | None) -> np.ndarray:
        array = content.get(name)
        if not isinstance(array, np.ndarray) or array.dtype != DTYPES[dtype]:
            raise WireError(f"part {part.name!r}: no {dtype} array {name!r}")
        if len(array.shape) != len(shape) or any(
            want is not None and want != have for want, have in zip(shape, array.shape, strict=True)
        ):
            raise WireError(f"part {part.name!r}: array {name!r} has shape {array.shape}")
        if dtype == _FLOATS and not np.isfinite(array).all():
            raise WireError(f"part {part.name!r}: array {name!r} is not finite")
        return array

    def take_corners(name: str, faces: int | None, points: int) -> np.ndarray:
        corners = take(name, _INTS, faces, 4)
        if corners.size and (corners.min() < 0 or corners.max() >= points):
            raise WireError(f"part {part.name!r}: {name!r} points outside its array")
        return corners

    vertices = take(part.vertices, _FLOATS, None, 3)
    quads = take_corners(part.quads, None, len(vertices))
    uv, uv_makehuman = take(part.uv, _FLOATS, None, 2), take(part.uv_makehuman, _FLOATS, None, 2)
    keys = take(part.keys, _FLOATS, len(part.key_names), len(vertices), 3)
    if len(set(part.key_names)) != len(part.key_names) or not set(part.key_names) <= set(ARKIT_NAMES):
        raise WireError(f"part {part.name!r}: its keys are not ARKit's")
    if part.alpha is not None:
        take(part.alpha, _FLOATS, len(vertices))
    return FacePart(
        name=part.name,
        vertices=vertices,
        quads=quads,
        uv=uv,
        uv_quads=take_corners(part.uv_quads, len(quads), len(uv)),
        uv_makehuman=uv_makehuman,
        uv_makehuman_quads=take_corners(part.uv_makehuman_quads, len(quads), len(uv_makehuman)),
        hm08_vertex=take(part.hm08_vertex, _INTS, len(vertices)),
        keys=dict(zip(part.key_names, keys, strict=True)),
        hair=None if part.hair is None else take(part.hair, _FLOATS, len(vertices)),
    )


def _decode_hair(hair: HairEntry, content: Mapping[str, np.ndarray | memoryview]) -> HairStrands:
    def take(name: str) -> np.ndarray:
        array = content.get(name)
        if not isinstance(array, np.ndarray) or array.dtype != DTYPES[_FLOATS]:
            raise WireError(f"hair: no {_FLOATS} array {name!r}")
        return array

    points = take(hair.points)
    if points.ndim != 3:
        raise WireError(f"hair: array {hair.points!r} has shape {points.shape}")
    try:
        return HairStrands(
            points=points,
            root_uv=take(hair.root_uv),
            width=take(hair.width),
            root_colour=take(hair.root_colour),
            tip_colour=take(hair.tip_colour),
            hair_radius=hair.hair_radius,
            style=hair.style,
            parameters=hair.parameters,
        )
    except ValueError as error:
        raise WireError(f"hair: {error}") from error


def _decode_cards(cards: CardsEntry, content: Mapping[str, np.ndarray | memoryview]) -> HairCards:
    def take(name: str, dtype: str, columns: int) -> np.ndarray:
        array = content.get(name)
        if not isinstance(array, np.ndarray) or array.dtype != DTYPES[dtype]:
            raise WireError(f"hair cards: no {dtype} array {name!r}")
        if array.ndim != 2 or array.shape[1] != columns or not np.isfinite(array).all():
            raise WireError(f"hair cards: array {name!r} is not finite or has shape {array.shape}")
        return array

    vertices, triangles = take(cards.vertices, _FLOATS, 3), take(cards.triangles, _INTS, 3)
    normals, uv, colours = (
        take(cards.normals, _FLOATS, 3),
        take(cards.uv, _FLOATS, 2),
        take(cards.colours, _FLOATS, 3),
    )
    if not len(vertices) == len(normals) == len(uv) == len(colours):
        raise WireError("hair cards: its arrays differ in length")
    if triangles.size and (triangles.min() < 0 or triangles.max() >= len(vertices)):
        raise WireError("hair cards: a triangle points outside of the vertices")
    return HairCards(vertices, normals, uv, colours, triangles)


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


def _decode_photo(photo: PhotoEntry) -> AssetPhoto:
    intrinsics, pose = np.array(photo.intrinsics), np.array(photo.camera_from_head)
    if intrinsics.shape != (3, 3) or pose.shape != (4, 4) or len(photo.expression) != len(ARKIT_NAMES):
        raise WireError(f"photo {photo.name!r}: its camera or expression is incomplete")

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    return AssetPhoto(
        name=photo.name,
        camera=Camera(intrinsics, pose, (photo.width, photo.height)),
        expression=np.array(photo.expression, np.float32),
        landmark_error_percent=number(photo.landmark_error_percent),
        photometric_error=number(photo.photometric_error),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """NumPy numbers and arrays as plain JSON values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
