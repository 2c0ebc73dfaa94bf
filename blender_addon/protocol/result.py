"""A ``result`` message, checked and decoded: head and parts, relief, eyes, hair, lashes (docs/protocol.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import AddonError
from ..shared import message
from ..shared.names import ALL_PART_NAMES, ARKIT_NAMES, BUST, EYE_PART_NAMES, GLASSES, LASHES, PART_NAMES
from ..shared.options import ONLY
from .buffers import NamedBuffers, checked_field, is_number, malformed

MOST_GROUPS = 64
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
    always = named.picture(checked_field(entry, "always", str))
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
    pictures = tuple(named.picture(name) for name in names)
    return ResultDetail(always, reaches[0], pictures, reaches[1], tuple(wrinkles))


@dataclass(frozen=True)
class ResultEyes:
    """Texture and UV coordinates of both eyes.

    Attributes
    ----------
    picture_png : PNG file, 8-bit sRGB, row 0 is v = 1 of map ``Eye``; None if the job asked for the geometry only.
    uv : name of an eyeball -> (V, 2) float32 map ``Eye`` of its vertices, v up.
    """

    picture_png: bytes | None
    uv: Mapping[str, np.ndarray]


def decode_eyes(named: NamedBuffers, entry: Mapping[str, Any], left: int, right: int) -> ResultEyes:
    """Check and decode a result's ``eyes``; ``left`` and ``right`` are the eyeballs' vertex counts.

    Raises ``AddonError`` ``malformed``.
    """
    picture = None
    if entry.get("picture") is not None:
        picture = named.picture(checked_field(entry, "picture", str))
    arrays = named.entry(entry, message.EYES, "its eyes", left=left, right=right)
    uv = {"eye_left": arrays["uv_left"], "eye_right": arrays["uv_right"]}
    return ResultEyes(picture, uv)


THICKEST_METRES = 0.01
"""Limit for a hair's radius; a dread's is half of that."""
MOST_PARAMETERS, MOST_CHARACTERS = 64, 64


@dataclass(frozen=True)
class ResultScalp:
    """Where hairs grow, in the head frame in metres, at rest.

    Attributes
    ----------
    vertices : (S, 3) float32. triangles : (T, 3) int32. uv : (S, 2) float32, a map of its own.
    density : (S,) float32 share of full hair. edge : (S,) metres to the hairline, positive inside. top : (S,) 0-1.
    melanin : (S,) -1 to 1, variation by lock.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    density: np.ndarray
    edge: np.ndarray
    top: np.ndarray
    melanin: np.ndarray


@dataclass(frozen=True)
class ResultHair:
    """Guide strands, G guides of P points, in the head frame in metres.

    Attributes
    ----------
    points : (G, P, 3) float32 on the neutral face, root first.
    root_uv : (G, 2) float32 position of the root in UV map ``Head``, v up.
    scalp_uv : (G, 2) float32 position of the root in the map of ``scalp``.
    free : (G,) float32, 1 for guides that begin at a tie, not on the skin.
    width : (G,) float32 width of the lock that a guide represents, metres.
    root_colour, tip_colour : (G, 3) float32 albedo in linear light, 0-1.
    hair_radius : of a single hair at its root, metres.
    parameters : the hairline's numbers by name, metres.
    scalp : where hairs grow between the guides. chain : inputs of the nodes that grow them, by name.
    """

    points: np.ndarray
    root_uv: np.ndarray
    scalp_uv: np.ndarray
    free: np.ndarray
    width: np.ndarray
    root_colour: np.ndarray
    tip_colour: np.ndarray
    hair_radius: float
    parameters: Mapping[str, float]
    scalp: ResultScalp
    chain: Mapping[str, float]


def decode_hair(named: NamedBuffers, entry: Any) -> ResultHair:
    """Check and decode ``hair`` of a result; arrays are views of the buffers. Raises ``AddonError`` ``malformed``."""
    arrays = named.entry(entry, message.HAIR, "its hair")
    radius = checked_field(entry, "hair_radius", float)
    if not 0 < radius <= THICKEST_METRES:
        raise malformed("its hairs have an impossible thickness")
    scalp = ResultScalp(**named.entry(checked_field(entry, "scalp", dict), message.SCALP, "its scalp"))
    parameters, chain = (_parameters(entry, name) for name in ("parameters", "chain"))
    return ResultHair(**arrays, hair_radius=radius, parameters=parameters, scalp=scalp, chain=chain)


def _parameters(entry: Mapping[str, Any], name: str) -> Mapping[str, float]:
    numbers = checked_field(entry, name, dict)
    if len(numbers) > MOST_PARAMETERS:
        raise malformed(f"its hair has {len(numbers)} parameters")
    for name, value in numbers.items():
        if not (is_number(value) and len(name) <= MOST_CHARACTERS and name.isprintable()):
            raise malformed("a parameter of its hair is no number")
    return {name: float(value) for name, value in numbers.items()}


@dataclass(frozen=True)
class ResultLashes:
    """Texture of single hairs for the part ``lashes``.

    Attributes
    ----------
    picture_png : PNG file, 8-bit sRGB with opacity.
    places : (V, 2) float32 UV coordinates of the part's vertices in it, v up.
    """

    picture_png: bytes
    places: np.ndarray


def decode_lashes(named: NamedBuffers, entry: Mapping[str, Any], count: int) -> ResultLashes:
    """Check and decode a result's ``lashes``; ``count`` is the part's number of vertices.

    Raises ``AddonError`` ``malformed``.
    """
    picture = named.picture(checked_field(entry, "picture", str))
    return ResultLashes(picture, **named.entry(entry, message.LASHES, "its lashes", V=count))


def decode_looks(entry: Mapping[str, Any]) -> Mapping[str, tuple[float, ...]]:
    """Check the colours of ``glasses``. Raises ``AddonError`` ``malformed``."""
    colours = [checked_field(entry, name, list) for name in ("frame_colour", "lens_colour")]
    opacity = checked_field(entry, "lens_opacity", float)
    if not all(len(one) == 3 and all(is_number(x) and 0 <= x <= 1 for x in one) for one in (*colours, [opacity] * 3)):
        raise malformed("the colours of its glasses are not from 0 to 1")
    return dict(zip(GLASSES, ((*colours[0], 1.0), (*colours[1], opacity)), strict=True))


EYEBALLS = ("eye_left", "eye_right")
MOST_PHOTOS = 256


@dataclass(frozen=True)
class ResultPart:
    """One mesh of the head, in the head frame: metres, x to the person's left, y up, z out of the face.

    Attributes
    ----------
    name : one of ``ALL_PART_NAMES``.
    vertices : (V, 3) float32 neutral.
    quads : (F, 4) int32, counter-clockwise from outside; a triangle repeats its last vertex.
    uv, uv_quads : (T, 2) float32, (F, 4) int32 map ``Head``, v up, corner by corner with ``quads``.
    uv_makehuman, uv_makehuman_quads : the same for map ``MakeHuman``.
    hm08_vertex : (V,) int32 vertex index in MakeHuman's whole base mesh, -1 for none.
    key_names : ARKit names of the keys.
    keys : (K, V, 3) float32 offsets from ``vertices`` at weight 1.
    alpha : (V,) float32 opacity 0-1, or None if the part is opaque.
    """

    name: str
    vertices: np.ndarray
    quads: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray
    uv_makehuman: np.ndarray
    uv_makehuman_quads: np.ndarray
    hm08_vertex: np.ndarray
    key_names: tuple[str, ...]
    keys: np.ndarray
    alpha: np.ndarray | None


@dataclass(frozen=True)
class ResultPhoto:
    """A used photo.

    Attributes
    ----------
    intrinsics : (3, 3) float64 K in pixels of the whole file after EXIF rotation, whose size is ``size`` (W, H).
    camera_from_head : (4, 4) float64 rigid; camera: x right, y down, z forward.
    expression : ARKit name -> weight in [0, 1], all 52.
    landmark_error_percent, photometric_error : of the fit, None if unknown.
    landmarks : (478, 4) float32 in the same pixels: detected position, and position on the fitted head.
    head_points : (11, 3) float32: x and y of ``HEAD_POINTS`` in the same pixels, and a visibility: 1 visible, 0 hidden,
        -1 not checked.
    """

    name: str
    size: tuple[int, int]
    intrinsics: np.ndarray
    camera_from_head: np.ndarray
    expression: Mapping[str, float]
    landmark_error_percent: float | None
    photometric_error: float | None
    landmarks: np.ndarray
    head_points: np.ndarray


@dataclass(frozen=True)
class HeadResult:
    """A finished head.

    Attributes
    ----------
    parts : in the order of ``PART_NAMES``, then ``EYE_PART_NAMES``, ``GLASSES`` if worn, ``BUST`` if requested.
    albedo_png : PNG file, 8-bit sRGB, row 0 is v = 1 of map ``Head``; None if the job asked for the geometry only: then
        the existing albedo, hair and relief stay.
    photos : the used ones, best first.
    report : provenance, JSON-ready (docs/files.md).
    eyes : texture and UV map of the eyes.
    mouth_inside : (V,) float32 in [0, 1] per head vertex, 1 behind the lips.
    skin_roughness : (V,) float32 roughness of the skin, likewise.
    hair : guide strands; None if there is none.
    detail : relief of the skin; None if there is none.
    portrait_png : PNG file, the head from the front, for lists of heads; None where an earlier one stays.
    lashes : single hairs; None without an albedo, and where the part ``lashes`` has no strips.
    looks : linear colour and opacity of ``GLASSES``; empty without glasses.
    only : what alone is new, one of ``ONLY``; "" also from backends that do not say it of a shape.
    token : of the job that made it.
    """

    parts: tuple[ResultPart, ...]
    albedo_png: bytes | None
    photos: tuple[ResultPhoto, ...]
    report: Mapping[str, Any]
    eyes: ResultEyes
    mouth_inside: np.ndarray
    skin_roughness: np.ndarray
    hair: ResultHair | None = None
    detail: ResultDetail | None = None
    portrait_png: bytes | None = None
    lashes: ResultLashes | None = None
    looks: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    only: str = ""
    token: str = ""

    @property
    def geometry_only(self) -> bool:
        """Whether the result has only shapes, keys and cameras."""
        return self.albedo_png is None

    @property
    def head(self) -> ResultPart:
        """The part ``head``."""
        return self.parts[0]


def decode_result(header: Mapping[str, Any], buffers: Sequence[bytes]) -> HeadResult:
    """Check and decode a ``result`` message. The arrays are read-only views of the buffers; nothing is copied.

    Parameters
    ----------
    header : the message's JSON object.
    buffers : its buffers, bytes or anything with the buffer protocol.

    Raises
    ------
    AddonError : code ``malformed`` (one sentence says what is wrong), or ``version`` for a newer format.
    """
    version = checked_field(header, "version", int)
    if version != message.RESULT_VERSION:
        raise AddonError(
            f"The backend's result has format {version}, this extension reads format {message.RESULT_VERSION}.",
            "Update the extension and the backend to the same version.",
            "version",
        )
    named = NamedBuffers(checked_field(header, "buffers", list), buffers)
    names = checked_field(header, "arkit_names", list)
    if not all(isinstance(name, str) for name in names) or len(names) != 52 or set(names) != set(ARKIT_NAMES):
        raise malformed("its shape keys are not the 52 of ARKit")
    arkit_names = tuple(names)
    parts = tuple(_part(named, entry, arkit_names) for entry in checked_field(header, "parts", list))
    if tuple(part.name for part in parts) != PART_NAMES:
        raise malformed("its parts are not " + ", ".join(PART_NAMES))
    of_head = named.entry(header, message.HEAD, "the head", V=len(parts[0].vertices))
    entry = checked_field(header, "eyes", dict)
    eyes = decode_eyes(named, entry, *(len(parts[PART_NAMES.index(name)].vertices) for name in EYEBALLS))
    more = tuple(_part(named, part, arkit_names) for part in checked_field(entry, "parts", list))
    if tuple(part.name for part in more) != EYE_PART_NAMES:
        raise malformed("what its eyes have is not " + ", ".join(EYE_PART_NAMES))
    parts += more
    looks: Mapping[str, tuple[float, ...]] = {}
    if header.get("glasses") is not None:
        entry = checked_field(header, "glasses", dict)
        worn = tuple(_part(named, part, arkit_names) for part in checked_field(entry, "parts", list))
        if tuple(part.name for part in worn) != GLASSES:
            raise malformed("its glasses are not " + ", ".join(GLASSES))
        parts, looks = parts + worn, decode_looks(entry)
    if header.get("bust") is not None:
        parts += (_part(named, checked_field(header, "bust", dict), arkit_names),)
        if parts[-1].name != BUST:
            raise malformed("its bust is not one")
    png = portrait = lashes = None
    if "albedo" not in header or header["albedo"] is not None:
        png = named.picture(checked_field(header, "albedo", str))
        if header.get("lashes") is not None:
            count = len(parts[PART_NAMES.index(LASHES)].vertices)
            lashes = decode_lashes(named, checked_field(header, "lashes", dict), count)
    if header.get("portrait") is not None:
        portrait = named.picture(checked_field(header, "portrait", str), message.MOST_PORTRAIT)
    photo_entries = checked_field(header, "photos", list)
    if len(photo_entries) > MOST_PHOTOS:
        raise malformed(f"it has {len(photo_entries)} photos")
    photos = tuple(_photo(named, entry, arkit_names) for entry in photo_entries)
    if len({photo.name for photo in photos}) != len(photos):
        raise malformed("two of its photos have the same name")
    hair = decode_hair(named, header["hair"]) if header.get("hair") is not None else None
    detail = decode_detail(named, header["detail"]) if header.get("detail") is not None else None
    report = checked_field(header, "report", dict)
    only = header["only"] if header.get("only") in ONLY else ""
    more = (eyes, *of_head.values(), hair, detail, portrait, lashes, looks, only, str(header.get("token", "")))
    return HeadResult(parts, png, photos, report, *more)


def _part(named: NamedBuffers, entry: Any, arkit_names: tuple[str, ...]) -> ResultPart:
    name = checked_field(entry, "name", str)
    if name not in ALL_PART_NAMES:
        raise malformed("it has a part of an unknown name")

    key_names = _key_names(name, checked_field(entry, "key_names", list), arkit_names)
    arrays = named.entry(entry, message.PART, f"part {name}", K=len(key_names))
    _check_quads(name, arrays["quads"])
    return ResultPart(name=name, key_names=key_names, **arrays)


def _check_quads(name: str, quads: np.ndarray) -> None:
    """Check that every face has four different vertices, or three with the last one repeated."""
    a, b, c, d = quads.T
    if ((a == b) | (b == c) | (a == c) | (a == d) | (b == d)).any():
        raise malformed(f"a face of part {name} is not a quad and not a triangle")


def _key_names(part: str, names: list[Any], arkit_names: tuple[str, ...]) -> tuple[str, ...]:
    if part == "head" and tuple(names) != arkit_names:
        raise malformed("the head does not have all 52 shape keys in their order")
    if not all(isinstance(name, str) and name in ARKIT_NAMES for name in names) or len(set(names)) != len(names):
        raise malformed(f"part {part} has an unknown shape key or one of them twice")
    return tuple(names)


def _photo(named: NamedBuffers, entry: Any, arkit_names: tuple[str, ...]) -> ResultPhoto:
    name = checked_field(entry, "name", str)
    if not 1 <= len(name) <= 255 or not name.isprintable():
        raise malformed("a photo's name is empty, too long or has control characters")
    size = checked_field(entry, "width", int), checked_field(entry, "height", int)
    if not all(1 <= side <= 1_000_000 for side in size):
        raise malformed(f"photo {name} has an impossible size")
    intrinsics = _matrix(entry, "intrinsics", (3, 3))
    focal = intrinsics[[0, 1], [0, 1]]
    rest = intrinsics[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]]
    if not (focal > 0).all() or np.abs(rest - [0, 0, 0, 0, 1]).max() > 1e-6 * focal.min():
        raise malformed(f"the camera of photo {name} is not one of focal length and principal point")
    pose = _matrix(entry, "camera_from_head", (4, 4))
    rotation = pose[:3, :3]
    if (
        np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3
        or np.linalg.det(rotation) < 0
        or np.abs(pose[3] - [0, 0, 0, 1]).max() > 1e-6
        or np.abs(pose[:3, 3]).max() > 1000
    ):
        raise malformed(f"the position of photo {name} is not a rotation and a translation")
    weights = checked_field(entry, "expression", list)
    if len(weights) != 52 or not all(is_number(w) and -1e-4 <= w <= 1 + 1e-4 for w in weights):
        raise malformed(f"the expression of photo {name} is not 52 weights between 0 and 1")
    expression = {key: min(max(float(w), 0.0), 1.0) for key, w in zip(arkit_names, weights, strict=True)}
    errors = [
        float(entry[field]) if is_number(entry.get(field)) else None
        for field in ("landmark_error_percent", "photometric_error")
    ]
    points = named.entry(entry, message.PHOTO, f"photo {name}")
    return ResultPhoto(name, size, intrinsics, pose, expression, *errors, **points)


def _matrix(entry: Mapping[str, Any], field: str, shape: tuple[int, int]) -> np.ndarray:
    rows = checked_field(entry, field, list)
    if (
        len(rows) != shape[0]
        or not all(isinstance(row, list) and len(row) == shape[1] for row in rows)
        or not all(is_number(value) for row in rows for value in row)
    ):
        raise malformed(f"{field} is not a matrix of {shape[0]} by {shape[1]} numbers")
    return np.array(rows, np.float64)
