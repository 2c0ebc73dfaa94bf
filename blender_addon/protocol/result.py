"""A ``result`` message, checked and decoded: head and parts, relief, eyes, hair, lashes (docs/protocol.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import AddonError
from ..shared import message
from ..shared.names import ARKIT_NAMES, BUST, EYE_PART_NAMES, GLASSES, LASHES, PART_NAMES
from ..shared.options import ONLY
from .buffers import NamedBuffers, malformed, reading

MOST_MILLIMETRES = 100.0
CHANNELS = (0, 1, 2)


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


def _detail(named: NamedBuffers, entry: Mapping[str, Any]) -> ResultDetail:
    reaches = entry["always_reach"], entry["wrinkle_reach"]
    if not all(0 < reach <= MOST_MILLIMETRES for reach in reaches):  # fails for NaN, too
        raise malformed("its skin has an impossible depth")
    names = list(dict.fromkeys(group["picture"] for group in entry["wrinkles"]))
    wrinkles = tuple(
        ResultWrinkles(one["name"], tuple(one["keys"]), names.index(one["picture"]), CHANNELS.index(one["channel"]))
        for one in entry["wrinkles"]
    )
    if not all(one.keys and set(one.keys) <= set(ARKIT_NAMES) for one in wrinkles):
        raise malformed("the keys of a wrinkle map are not ARKit's")
    pictures = tuple(named.picture(name) for name in names)
    return ResultDetail(named.picture(entry["always"]), reaches[0], pictures, reaches[1], wrinkles)


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


THICKEST_METRES = 0.01
"""Limit for a hair's radius; a dread's is half of that."""


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


def _hair(named: NamedBuffers, entry: Mapping[str, Any]) -> ResultHair:
    arrays, radius = named.entry(entry, message.HAIR, "its hair"), entry["hair_radius"]
    if not 0 < radius <= THICKEST_METRES:
        raise malformed("its hairs have an impossible thickness")
    scalp = ResultScalp(**named.entry(entry["scalp"], message.SCALP, "its scalp"))
    numbers = {name: {key: float(value) for key, value in entry[name].items()} for name in ("parameters", "chain")}
    if not np.isfinite([value for one in numbers.values() for value in one.values()]).all():
        raise malformed("a parameter of its hair is not finite")
    return ResultHair(**arrays, **numbers, hair_radius=radius, scalp=scalp)


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


def _looks(entry: Mapping[str, Any]) -> Mapping[str, tuple[float, ...]]:
    """Linear colour and opacity of the two parts of ``glasses``."""
    looks = (*entry["frame_colour"], 1.0), (*entry["lens_colour"], entry["lens_opacity"])
    if any(len(look) != 4 or not 0 <= min(look) <= max(look) <= 1 for look in looks):
        raise malformed("the colours of its glasses are not from 0 to 1")
    return dict(zip(GLASSES, looks, strict=True))


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
    with reading("the result"):
        return _result(header, buffers)


def _result(header: Mapping[str, Any], buffers: Sequence[bytes]) -> HeadResult:
    version = header["version"]
    if version != message.RESULT_VERSION:
        raise AddonError(
            f"The backend's result has format {version}, this extension reads format {message.RESULT_VERSION}.",
            "Update the extension and the backend to the same version.",
            "version",
        )
    named, arkit_names = NamedBuffers(header["buffers"], buffers), tuple(header["arkit_names"])
    if sorted(arkit_names) != sorted(ARKIT_NAMES):
        raise malformed("its shape keys are not the 52 of ARKit")
    parts = _parts(named, header["parts"], PART_NAMES, "its parts are not what they should be")
    if parts[0].key_names != arkit_names:
        raise malformed("the head does not have all 52 shape keys in their order")
    sizes = {part.name: len(part.vertices) for part in parts}
    of_head = named.entry(header, message.HEAD, "the head", V=sizes["head"])
    of_eyes, glasses = header["eyes"], header.get("glasses")
    maps = named.entry(of_eyes, message.EYES, "its eyes", left=sizes["eye_left"], right=sizes["eye_right"])
    eyes = ResultEyes(
        None if of_eyes.get("picture") is None else named.picture(of_eyes["picture"]),
        {"eye_left": maps["uv_left"], "eye_right": maps["uv_right"]},
    )
    parts += _parts(named, of_eyes["parts"], EYE_PART_NAMES, "what its eyes have is not what it should be")
    if glasses is not None:
        parts += _parts(named, glasses["parts"], GLASSES, "its glasses are not what they should be")
    if header.get("bust") is not None:
        parts += _parts(named, [header["bust"]], (BUST,), "its bust is not one")
    png = portrait = lashes = None
    if header.get("albedo", "") is not None:
        png = named.picture(header["albedo"])
        if (entry := header.get("lashes")) is not None:
            places = named.entry(entry, message.LASHES, "its lashes", V=sizes[LASHES])
            lashes = ResultLashes(named.picture(entry["picture"]), **places)
    if header.get("portrait") is not None:
        portrait = named.picture(header["portrait"], message.MOST_PORTRAIT)
    photos = tuple(_photo(named, entry, arkit_names) for entry in header["photos"])
    if len({photo.name for photo in photos}) != len(photos):
        raise malformed("two of its photos have the same name")
    return HeadResult(
        parts=parts,
        albedo_png=png,
        photos=photos,
        report=dict(header["report"].items()),
        eyes=eyes,
        **of_head,
        hair=None if header.get("hair") is None else _hair(named, header["hair"]),
        detail=None if header.get("detail") is None else _detail(named, header["detail"]),
        portrait_png=portrait,
        lashes=lashes,
        looks={} if glasses is None else _looks(glasses),
        only=header["only"] if header.get("only") in ONLY else "",
        token=str(header.get("token", "")),
    )


def _parts(named: NamedBuffers, entries: Any, names: tuple[str, ...], otherwise: str) -> tuple[ResultPart, ...]:
    """The parts called ``names``; where they are others, ``otherwise`` is said."""
    if tuple(entry["name"] for entry in entries) != names:
        raise malformed(otherwise)
    return tuple(_part(named, entry) for entry in entries)


def _part(named: NamedBuffers, entry: Mapping[str, Any]) -> ResultPart:
    keys = tuple(entry["key_names"])
    if not set(keys) <= set(ARKIT_NAMES) or len(set(keys)) != len(keys):
        raise malformed(f"part {entry['name']} has an unknown shape key or one of them twice")
    arrays = named.entry(entry, message.PART, f"part {entry['name']}", K=len(keys))
    return ResultPart(name=entry["name"], key_names=keys, **arrays)


def _photo(named: NamedBuffers, entry: Mapping[str, Any], arkit_names: tuple[str, ...]) -> ResultPhoto:
    name, size = entry["name"], (entry["width"], entry["height"])
    if not name.isprintable() or not 0 < len(name) < 256:
        raise malformed("a photo's name is empty, too long or has control characters")
    intrinsics = np.array(entry["intrinsics"], np.float64).reshape(3, 3)
    pose = np.array(entry["camera_from_head"], np.float64).reshape(4, 4)
    turn = pose[:3, :3] @ pose[:3, :3].T
    if not (min(size) > 0 < intrinsics[[0, 1], [0, 1]].min() and np.abs(turn - np.eye(3)).max() < 1e-3):
        raise malformed(f"the camera of photo {name} is impossible")
    weights = np.clip(np.array(entry["expression"], np.float64), 0.0, 1.0)
    figures = (entry.get(figure) for figure in ("landmark_error_percent", "photometric_error"))
    return ResultPhoto(
        name,
        size,
        intrinsics,
        pose,
        dict(zip(arkit_names, weights.tolist(), strict=True)),
        *(None if figure is None else float(figure) for figure in figures),
        **named.entry(entry, message.PHOTO, f"photo {name}"),
    )
