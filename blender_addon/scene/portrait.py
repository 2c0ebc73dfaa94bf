"""Pictures of a head, and the head as an asset with such a picture.

Shading by fixed lamps, for small previews drawn without a renderer.

Render a small front view of a head in numpy, because Blender without a window has no OpenGL.

A head as an asset: its description, tags, catalogue and preview in Blender's Asset Browser.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import bpy
import numpy as np

from ..protocol.names import BUST
from ..protocol.result import HeadResult
from . import tags
from .hair import ROOT_COLOUR, TIP_COLOUR, WIDTH
from .materials import file_bytes, packed_image, picture_pixels
from .meshes import UV_EYE, UV_HEAD, cross_2d, neutral_coordinates, origin_of

Lamp = tuple[np.ndarray, float]
"""Direction (3,) towards a lamp, of any length, and the lamp's strength."""


def light_on(vertices: np.ndarray, triangles: np.ndarray, lamps: Sequence[Lamp], ambient: float) -> np.ndarray:
    """(V,) float32 diffuse shading of vertices (V, 3) with triangles (T, 3), from area-weighted vertex normals."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    across = np.repeat(np.cross(b - a, c - a), 3, axis=0)  # in the order of triangles.ravel()
    normals = np.stack([np.bincount(triangles.ravel(), axis, len(vertices)) for axis in across.T], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-20
    light = np.full(len(vertices), ambient, np.float32)
    for direction, strength in lamps:
        light += strength * np.clip(normals @ (direction / np.linalg.norm(direction)), 0, None).astype(np.float32)
    return light


SIDE_PIXELS = 256
"""Size of Blender's own previews."""
MARGIN = 0.1
"""Margin as a share of the picture's side, around the head without its hair, which may be cropped."""
FINER = 2
"""Supersampling factor per side."""
PORTRAIT_PARTS = ("head", BUST, "eye_left", "eye_right")
"""Parts that are drawn. Closed lips hide the mouth; lashes, corneas and tears are transparent."""
_LIGHTS = (  # direction towards the light in Blender's axes of the head frame, strength
    (np.array([0.45, -0.75, 0.5], np.float32), 0.75),
    (np.array([-0.9, -0.3, 0.1], np.float32), 0.30),
)
_AMBIENT = 0.25
_ACROSS_HAIR = np.linspace(-0.5, 0.5, 5, dtype=np.float32)
"""Offsets of the lines that draw a lock, as shares of its width."""
_CHUNK = 4_000
"""Ten times this many samples are drawn per slice: 10 ms, less than 100 MB."""
MOST_TEXELS = 1024
"""Limit for a texture's side: twice the supersampled size of the head."""

_Samples = tuple[np.ndarray, np.ndarray]
"""(N, 3) float32 positions in the picture (x to the right, y up, larger z nearer; pixels), (N, 3) linear colours."""


@dataclass(frozen=True)
class _Part:
    """Copied data of a part to draw, independent of later changes in Blender.

    ``shape`` (V, 3) metres, head frame; ``triangles`` and ``loops`` (T, 3); ``uv`` (L, 2) and ``picture`` (H, W, 3)
    display colours, None without a picture.
    """

    shape: np.ndarray
    triangles: np.ndarray
    loops: np.ndarray
    uv: np.ndarray | None
    picture: np.ndarray | None


@dataclass(frozen=True)
class _Hair:
    """Copied data of the guides: ``strands`` (G, P, 3) metres, ``width`` (G,) metres or None, colours (G, 3) linear."""

    strands: np.ndarray
    width: np.ndarray | None
    root: np.ndarray
    tip: np.ndarray


def portrait(collection: bpy.types.Collection, side: int = SIDE_PIXELS) -> np.ndarray:
    """(side, side, 4) float32 display colours and opacity, row 0 at the bottom, of a head at rest from the front.

    Transparent if the head has no parts any more.
    """
    steps = portrait_steps(collection, side)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def small_pictures(result: HeadResult) -> dict[str, bytes]:
    """Tag of a head's picture -> small PNG copy of it; empty for a result with the geometry only."""
    pictures = {tags.ALBEDO: result.albedo_small_png, tags.EYES: result.eyes.picture_small_png}
    return {tag: png for tag, png in pictures.items() if png is not None}


def portrait_steps(
    collection: bpy.types.Collection, side: int = SIDE_PIXELS, small: Mapping[str, bytes] = MappingProxyType({})
) -> Generator[None, None, np.ndarray]:
    """``portrait`` in slices. Pictures are read first, one per slice; one more slice copies the meshes, and the rest
    does not access Blender. Raises ``ReferenceError`` if the head is removed before.

    ``small`` : ``small_pictures`` of a head that was just made. Without them a slice decodes a full picture, 0.15 s at
        2 k and 0.5 s at 4 k.
    """
    objects = [obj for obj in (tags.part_object(collection, name) for name in PORTRAIT_PARTS) if obj is not None]
    if not objects:
        return np.zeros((side, side, 4), np.float32)
    pictures: dict[str, np.ndarray | None] = {}
    for tag in dict.fromkeys(_picture_tag(collection, obj) for obj in objects):
        pictures[tag] = _decoded(small[tag]) if tag in small else _picture(collection.get(tag))
        yield
    parts = [_part(obj, pictures[tag], tag) for obj, tag in ((o, _picture_tag(collection, o)) for o in objects)]
    hair, own = tags.hair_object(collection, "CURVES"), tags.part_object(collection, "head")
    strands = None if hair is None or own is None else _hair(hair.data, own.data)
    yield
    low, high = parts[0].shape.min(axis=0), parts[0].shape.max(axis=0)
    fine = side * FINER
    scale = fine * (1 - 2 * MARGIN) / max(high[0] - low[0], high[2] - low[2])
    middle = (low + high) / 2

    def to_picture(points: np.ndarray) -> np.ndarray:
        placed = (points - middle) * scale
        return np.stack([placed[..., 0] + fine / 2, placed[..., 2] + fine / 2, -placed[..., 1]], axis=-1)

    picture, depth = np.zeros((fine, fine, 4), np.float32), np.full((fine, fine), -np.inf, np.float32)
    for part in parts:
        for samples in _part_samples(part, to_picture(part.shape)):
            _draw(picture, depth, samples)
            yield
    if strands is not None:
        for samples in _hair_samples(strands, to_picture(strands.strands), scale):
            _draw(picture, depth, samples)
            yield
    return _averaged(picture, side)


def _draw(picture: np.ndarray, depth: np.ndarray, samples: _Samples) -> None:
    """Draw samples with a depth test: keep the nearest sample of each pixel."""
    places, colours = samples
    inside = ((places[:, :2] >= 0) & (places[:, :2] < len(depth))).all(axis=1)
    places, colours = places[inside], colours[inside]
    columns, rows = places[:, 0].astype(np.int32), places[:, 1].astype(np.int32)
    pixels = rows * len(depth) + columns
    nearer = np.flatnonzero(places[:, 2] > depth.ravel()[pixels])
    order = nearer[np.argsort(places[nearer, 2], kind="stable")]  # the last, nearest sample wins
    depth.reshape(-1)[pixels[order]] = places[order, 2]
    picture.reshape(-1, 4)[pixels[order]] = np.column_stack([colours[order], np.ones(len(order), np.float32)])


def _averaged(picture: np.ndarray, side: int) -> np.ndarray:
    cells = picture.reshape(side, FINER, side, FINER, 4).mean(axis=(1, 3))
    cells[..., :3] = (np.clip(cells[..., :3] / np.maximum(cells[..., 3:], 1e-6), 0, 1)) ** (1 / 2.2)
    return cells


def _part_samples(part: _Part, places: np.ndarray) -> Iterator[_Samples]:
    """Samples of a part's front-facing triangles, less than a pixel apart."""
    triangles, loops = part.triangles, part.loops
    a, b, c = (places[triangles[:, corner], :2] for corner in range(3))
    front = np.flatnonzero(cross_2d(b - a, c - a) > 0)
    light = light_on(part.shape, triangles, _LIGHTS, _AMBIENT)
    triangles, loops = triangles[front], loops[front]
    corners = places[triangles]
    longest = np.linalg.norm(corners[..., :2] - np.roll(corners[..., :2], 1, axis=1), axis=2).max(axis=1)
    steps = 2 ** np.ceil(np.log2(np.maximum(longest * 1.5, 1.0))).astype(int)
    for count in np.unique(steps):
        u, v = np.divmod(np.arange((count + 1) ** 2), count + 1)
        inside = u + v <= count
        weights = np.stack([count - u - v, u, v], axis=1)[inside].astype(np.float32) / count
        chosen = np.flatnonzero(steps == count)
        chunk = max(1, _CHUNK * 10 // len(weights))
        for some in (chosen[first : first + chunk] for first in range(0, len(chosen), chunk)):
            colours = np.ones((len(some) * len(weights), 3), np.float32) * 0.6
            if part.uv is not None:
                colours = _texels(part.picture, (weights @ part.uv[loops[some]]).reshape(-1, 2))
            lit = (weights @ light[triangles[some]][..., None]).reshape(-1, 1)
            yield (weights @ corners[some]).reshape(-1, 3), colours * lit


def _hair_samples(hair: _Hair, places: np.ndarray, scale: float) -> Iterator[_Samples]:
    """Locks as lines beside their guides, at pixel density, darker towards roots and edges."""
    guides, points = places.shape[:2]
    if not guides:
        return
    long = np.percentile(np.linalg.norm(np.diff(places[..., :2], axis=1), axis=2), 90)
    at = np.linspace(0, points - 1, (points - 1) * int(np.clip(np.ceil(long), 1, 32)) + 1)
    low = np.minimum(at.astype(int), points - 2)
    share = (at - low).astype(np.float32)[None, :, None]
    along = (at / (points - 1)).astype(np.float32)[None, :, None]
    shade = 0.55 + 0.45 * (1 - np.abs(_ACROSS_HAIR) * 2)[:, None, None, None] * (0.6 + 0.4 * along)
    wide = np.full(guides, 2.0, np.float32) if hair.width is None else hair.width * scale
    chunk = max(1, _CHUNK * 10 // (len(at) * len(_ACROSS_HAIR)))
    for some in (slice(first, first + chunk) for first in range(0, guides, chunk)):
        line = places[some, low] * (1 - share) + places[some, low + 1] * share
        colours = hair.root[some, None] * (1 - along) + hair.tip[some, None] * along
        line = np.repeat(line[None], len(_ACROSS_HAIR), axis=0)
        line[..., 0] += _ACROSS_HAIR[:, None, None] * wide[None, some, None]
        yield line.reshape(-1, 3), (colours[None] * shade).reshape(-1, 3)


def _hair(curves: bpy.types.Curves, head: bpy.types.Mesh) -> _Hair:
    width = None
    if WIDTH in curves.attributes:
        width = _numbers(curves.attributes[WIDTH].data, "value", np.float32)
    root, tip = (_curve_colours(curves, name) for name in (ROOT_COLOUR, TIP_COLOUR))
    return _Hair(_strands(curves) + origin_of(head), width, root, tip)


def _curve_colours(curves: bpy.types.Curves, name: str) -> np.ndarray:
    """(G, 3) linear; dark brown if the curves have no colour."""
    if name not in curves.attributes:
        return np.tile(np.array([0.05, 0.03, 0.02], np.float32), (len(curves.curves), 1))
    return _numbers(curves.attributes[name].data, "color", np.float32).reshape(-1, 4)[:, :3]


def _strands(curves: bpy.types.Curves) -> np.ndarray:
    """(G, P, 3) points of the guides; empty if their point counts are no longer equal."""
    places = _numbers(curves.position_data, "vector", np.float32).reshape(-1, 3)
    guides = len(curves.curves)
    if not guides or len(places) % guides or len(places) // guides < 2:
        return np.zeros((0, 2, 3), np.float32)
    return places.reshape(guides, -1, 3)


def _part(obj: bpy.types.Object, picture: np.ndarray | None, tag: str) -> _Part:
    mesh = obj.data
    mesh.calc_loop_triangles()
    triangles = _numbers(mesh.loop_triangles, "vertices", np.int32).reshape(-1, 3)
    loops = _numbers(mesh.loop_triangles, "loops", np.int32).reshape(-1, 3)
    layer = None if picture is None else mesh.uv_layers.get(UV_EYE if tag == tags.EYES else UV_HEAD)
    uv = None if layer is None else _numbers(layer.uv, "vector", np.float32).reshape(-1, 2)
    return _Part(neutral_coordinates(mesh) + origin_of(mesh), triangles, loops, uv, picture)


def _picture_tag(collection: bpy.types.Collection, obj: bpy.types.Object) -> str:
    """Tag of the head's picture that a part shows."""
    return tags.EYES if UV_EYE in obj.data.uv_layers and collection.get(tags.EYES) is not None else tags.ALBEDO


def _picture(image: bpy.types.Image | None) -> np.ndarray | None:
    """(H, W, 3) display colours of a picture, downscaled; None without one, or if its file is missing or damaged."""
    if image is None:
        return None
    if image.has_data:  # already displayed, or painted
        return picture_pixels(image)
    data = file_bytes(image)
    return None if data is None else _decoded(data)


def _decoded(data: bytes) -> np.ndarray | None:
    """(H, W, 3) display colours of a picture file, at most ``MOST_TEXELS`` per side; None if it is damaged."""
    own = packed_image("likeness portrait", data)  # scaled down before its pixels are read, the slowest step
    try:
        width, height = own.size
        if not width * height:
            return None
        smaller = min(1.0, MOST_TEXELS / max(width, height))
        own.scale(max(1, round(smaller * width)), max(1, round(smaller * height)))
        return picture_pixels(own) if len(own.pixels) else None
    finally:
        bpy.data.images.remove(own)


def _texels(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours at UV (N, 2), v up, of a picture in display colours with row 0 at the bottom."""
    height, width = picture.shape[:2]
    columns = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    rows = np.clip((uv[:, 1] * height).astype(int), 0, height - 1)
    return picture[rows, columns] ** 2.2


def _numbers(items: bpy.types.bpy_prop_collection, name: str, kind: type) -> np.ndarray:
    """A property of every item, flat."""
    size = 0 if not len(items) else np.size(getattr(items[0], name))
    flat = np.empty(len(items) * size, kind)
    if size:
        items.foreach_get(name, flat)
    return flat


TAGS = ("Likeness", "head")
CATALOGUE_ID = "6d2f0c7e-5b3a-4c55-9a53-0e8d4f1b7a26"
"""Id of the catalogue ``Likeness/Heads`` unless a library already has another one; fixed, so that folders agree."""


def mark_as_asset(collection: bpy.types.Collection, catalogue: str = CATALOGUE_ID, pictured: bool = True) -> None:
    """Mark a head's collection as an asset, or update its description, tags, catalogue and preview.

    Tags added by the user stay. ``pictured`` draws the preview, which takes about a second; in a window it is drawn in
    slices instead (``portrait_steps``, ``put_picture``).
    """
    collection.asset_mark()
    data = collection.asset_data
    photos = sum(bool(photo["used"]) for photo in collection.get(tags.PHOTOS, ()))
    data.description = f"Head from {photos} photo{'' if photos == 1 else 's'}, with 52 shape keys"
    data.catalog_id = catalogue
    for tag in TAGS:
        data.tags.new(tag, skip_if_exists=True)
    if pictured:
        put_picture(collection, portrait(collection))


def put_picture(collection: bpy.types.Collection, picture: np.ndarray) -> None:
    """Set the asset's preview: (SIDE_PIXELS, SIDE_PIXELS, 4) display colours and opacity."""
    preview = collection.preview_ensure()
    preview.image_size = (SIDE_PIXELS, SIDE_PIXELS)
    preview.image_pixels_float.foreach_set(np.ascontiguousarray(picture).ravel())
