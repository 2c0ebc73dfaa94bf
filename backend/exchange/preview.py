"""Draw ``preview.png``: the head from three sides, and each photo beside its fit.

``tone_change``: ratio of the texture's skin tone to the fit's; the pipeline uses it for hair and lights, too.

``with_head_points``: the ears' and hairline's points in the photos, which the user corrects in Blender.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from backend.exchange import asset_mesh as meshes
from backend.exchange.buffers import png_bytes
from backend.exchange.face_asset import AssetPhoto, FaceAsset
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import HAIR_DEGREES, Template, ear_vertices
from backend.hair.hair_line import line_points
from backend.hair.hair_views import closed_head
from backend.photos.collection import PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb
from backend.rendering.rasterize import depth_map, point_visibility
from backend.system.parallel import each
from protocol.message import MOST_PORTRAIT


def tone_change(asset: FaceAsset, vertex_albedo: np.ndarray, face_region: np.ndarray) -> np.ndarray:
    """(3,) ratio of the asset's albedo to the fit's, linear: the median over the face's vertices.

    A photo determines the product of albedo and light, not each. Multiplying the fit's albedo by this ratio and
    dividing its lights by it leaves renders unchanged.

    Parameters
    ----------
    vertex_albedo : (V_head, 3) linear, the fit's. face_region : (V_head,) weights in [0, 1] of visible vertices.
    """
    head = asset.part("head")
    uv = np.zeros((len(head.vertices), 2), np.float32)
    uv[head.quads] = head.uv[head.uv_quads]
    size = len(asset.albedo)
    texel = np.clip(np.stack([uv[:, 0], 1 - uv[:, 1]]) * size, 0, size - 1).astype(int)
    texture = linear_from_srgb(asset.albedo[texel[1], texel[0]])
    shown = face_region > 0.5
    return np.median(np.maximum(texture[shown], 1e-3) / np.maximum(vertex_albedo[shown], 1e-3), axis=0)


_SIDE = 256
"""Pixels of the longer side of the crop in which occlusion is tested: an ear has about 20."""
_BIAS = 0.01
"""Metres that a point may lie behind the depth map and still count as seen: its mesh is coarser than the scalp."""


def with_head_points(
    photos: Sequence[AssetPhoto],
    fitted: Sequence[FittedPhoto],
    faces: Sequence[PhotoFace],
    template: Template,
    style: Mapping[str, float] | None,
    examined: bool = True,
) -> tuple[AssetPhoto, ...]:
    """The photos with ``AssetPhoto.head_points``. ``style`` : parameters of the hair, None without hair and so without
    a hairline, or if hair was not ``examined``."""

    def points(photo: FittedPhoto, face: PhotoFace) -> np.ndarray:
        """(N, 3) column and row in the file, and 1 visible, 0 hidden or absent, -1 unknown."""
        ears = photo.vertices[ear_vertices()].astype(np.float64)
        line = np.zeros((len(HAIR_DEGREES), 3)) if style is None else line_points(photo.vertices, style)
        points_in_head = np.concatenate([ears, line])
        camera = photo.camera.scaled(min(1.0, _SIDE / max(face.labels.shape)))
        depth = depth_map(*closed_head(photo.vertices, template), camera)
        visible = (point_visibility(points_in_head, camera, depth, bias=_BIAS) > 0.5).astype(np.float32)
        if style is None:
            visible[len(ears) :] = 0.0 if examined else -1.0
        in_file = face.in_file(photo.camera.project(points_in_head)[:, :2])
        return np.concatenate([in_file, visible[:, None]], axis=1).astype(np.float32)

    pairs = zip(photos, fitted, faces, strict=True)
    return tuple(replace(photo, head_points=points(fit, face)) for photo, fit, face in pairs)


WIDTH = 1536  # pixels, as all sizes here
PORTRAIT_SIZE = (512, 640)  # width, height
PORTRAIT_YAWS = (-40.0, 0.0, 40.0)
MARGIN = 12
LABEL_HEIGHT = 26
BACKDROP = (58, 60, 64)
PAPER = (24, 25, 27)
INK = (225, 225, 220)
MOST_PHOTOS = 24  # rows below the portraits
TILE_TEXTURE = 512
"""Side of the albedo in texels for the fits beside the photos, whose faces are 100 to 200 pixels wide."""


@dataclass(frozen=True)
class PhotoPreview:
    """Inputs of the preview for one used photo.

    Attributes
    ----------
    name : the photo's name.
    pixels : (H, W, 3) uint8 sRGB crop.
    camera : in pixels of the crop.
    expression : (52,) weights.
    light : (9, 3) SH coefficients of the shading, head frame (see ``rendering.spherical_harmonics``).
    inside : left, top, right and bottom of the photo in crop pixels; the rest is padding and is not shown. None: no
        padding.
    """

    name: str
    pixels: np.ndarray
    camera: Camera
    expression: np.ndarray
    light: np.ndarray
    inside: tuple[int, int, int, int] | None = None


def photo_previews(fitted: FittedFace, faces: Sequence[PhotoFace], tone: np.ndarray) -> tuple[PhotoPreview, ...]:
    """Collect the inputs of the preview for the used photos; ``faces`` in the order of ``fitted.photos``.

    The fit's lights belong to the fit's albedo; divided by ``tone`` (3,), of ``tone_change``, they fit the texture.
    """
    gain, previews = 1 / tone, []
    for photo, face in zip(fitted.photos, faces, strict=True):
        edges = face.crop_scale * (np.array([[0, 0], face.source_size]) - np.array(face.crop_offset))  # (2, 2)
        low, high = np.clip([np.ceil(edges[0]), np.floor(edges[1])], 0, face.pixels.shape[1::-1]).astype(int).tolist()
        light = photo.light * gain
        previews.append(PhotoPreview(photo.name, face.pixels, photo.camera, photo.expression, light, (*low, *high)))
    return tuple(previews)


def write_preview(asset: FaceAsset, previews: Sequence[PhotoPreview], path: Path) -> None:
    """Write ``preview.png``. Raises ``OSError`` if it cannot be written."""
    path.write_bytes(png_bytes(preview_picture(asset, previews)))


def preview_picture(asset: FaceAsset, previews: Sequence[PhotoPreview]) -> np.ndarray:
    """Draw the preview (H, ``WIDTH``, 3) uint8 sRGB.

    Top: the neutral head in neutral light from its right, front and left, on its bust if it has one. Below: each photo,
    and the same crop with the head rendered over it in that photo's camera, expression and light; at most
    ``MOST_PHOTOS``.
    """
    mesh = meshes.asset_mesh(asset)  # without the bust, because photos show the person's own shoulders
    on_bust = mesh
    if asset.bust is not None:
        on_bust = replace(meshes.asset_mesh(replace(asset, hair_strands=None), with_bust=True), hair=mesh.hair)
    framed = _portrait_points(on_bust, len(mesh.positions()))
    shown = list(previews)[:MOST_PHOTOS]
    columns = 2 if len(shown) <= 4 else 3
    tile = (WIDTH - MARGIN) // (2 * columns) - MARGIN // 2
    rows = -(-len(shown) // columns)
    photos_top = PORTRAIT_SIZE[1] + LABEL_HEIGHT
    canvas = Image.new("RGB", (WIDTH, photos_top + rows * (tile + LABEL_HEIGHT) + MARGIN * bool(rows)), PAPER)
    draw = ImageDraw.Draw(canvas)

    def portrait_from(yaw: float) -> np.ndarray:
        camera = meshes.portrait_camera(framed, yaw, PORTRAIT_SIZE)
        return on_bust.render(camera, meshes.neutral_light(yaw), BACKDROP, lamp=meshes.neutral_lamps(yaw)[0])

    for column, (yaw, portrait) in enumerate(zip(PORTRAIT_YAWS, each(portrait_from, PORTRAIT_YAWS), strict=True)):
        left = column * PORTRAIT_SIZE[0]
        canvas.paste(Image.fromarray(portrait), (left, 0))
        text = "front" if yaw == 0 else f"from the person's {'left' if yaw > 0 else 'right'}"
        _label(draw, left + MARGIN, PORTRAIT_SIZE[1], text, PORTRAIT_SIZE[0] - 2 * MARGIN)
    small = replace(mesh, albedo=meshes.reduced(mesh.albedo, TILE_TEXTURE))
    tiles = each(lambda preview: photo_and_fit(small, preview, tile), shown)
    for number, (preview, (photo, overlay)) in enumerate(zip(shown, tiles, strict=True)):
        row, column = divmod(number, columns)
        left = MARGIN + column * (2 * tile + MARGIN)
        top = photos_top + row * (tile + LABEL_HEIGHT)
        canvas.paste(Image.fromarray(photo), (left, top))
        canvas.paste(Image.fromarray(overlay), (left + tile, top))
        _label(draw, left, top + tile, drawable(preview.name, number + 1), 2 * tile)
    return np.asarray(canvas)


def front_portrait(asset: FaceAsset) -> np.ndarray:
    """(``MOST_PORTRAIT``, ``MOST_PORTRAIT``, 3) uint8 sRGB picture of the neutral head from the front in neutral light,
    without relief, for lists of heads. The head fills it; hair may be cropped."""
    mesh = meshes.asset_mesh(replace(asset, detail=None), with_bust=True)
    camera = meshes.portrait_camera(asset.part("head").vertices, 0.0, (MOST_PORTRAIT, MOST_PORTRAIT))
    return mesh.render(camera, meshes.neutral_light(), BACKDROP, lamp=meshes.neutral_lamps()[0])


def _portrait_points(mesh: meshes.AssetMesh, of_head: int) -> np.ndarray:
    """(N, 3) points a portrait must show: the head (the mesh's first ``of_head`` vertices), the part of the bust that
    is no wider, and hair down to the same height."""
    points = mesh.positions()
    head, bust = points[:of_head], points[of_head:]
    shown = np.concatenate([head, bust[np.abs(bust[:, 0]) <= np.abs(head[:, 0]).max()]])
    if mesh.hair is None:
        return shown
    strands = mesh.hair.points.reshape(-1, 3)
    return np.concatenate([shown, strands[strands[:, 1] > shown[:, 1].min()]])


def photo_and_fit(mesh: meshes.AssetMesh, preview: PhotoPreview, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The photo cropped around the head as (side, side, 3) uint8, and the same with the head rendered over it."""
    left, top, width = _around_head(mesh, preview)
    crop = Image.fromarray(_without_padding(preview)).resize(
        (side, side), Image.Resampling.LANCZOS, box=(left, top, left + width, top + width)
    )
    camera = meshes.camera_window(preview.camera, left, top, width, width).scaled(side / width)
    photo = np.asarray(crop)
    return photo, mesh.render(camera, preview.light, photo, preview.expression)


def _without_padding(preview: PhotoPreview) -> np.ndarray:
    """The crop with its padding replaced by ``PAPER``."""
    if preview.inside is None:
        return preview.pixels
    left, top, right, bottom = preview.inside
    pixels = np.full_like(preview.pixels, PAPER)
    pixels[top:bottom, left:right] = preview.pixels[top:bottom, left:right]
    return pixels


def _around_head(mesh: meshes.AssetMesh, preview: PhotoPreview) -> tuple[int, int, int]:
    """Left, top and side in pixels of a square around the visible head."""
    height, width = preview.pixels.shape[:2]
    left, top, right, bottom = preview.inside or (0, 0, width, height)
    points = preview.camera.project(mesh.positions(preview.expression))[:, :2]
    low, high = (np.clip(corner, (left, top), (right, bottom)) for corner in (points.min(axis=0), points.max(axis=0)))
    side = int(np.clip(1.15 * (high - low).max(), 16, min(width, height)))
    corner = np.clip((low + high - side) / 2, 0, (width - side, height - side)).astype(int)
    return int(corner[0]), int(corner[1]), side


def drawable(name: str, number: int) -> str:
    """Reduce a photo's name to printable ASCII, all that the font has. Accents are dropped; if other characters become
    question marks, the photo's ``number`` is added to keep names distinct."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    shown = "".join(char if " " <= char <= "~" else "?" for char in plain)
    return shown if shown == plain else f"{number}: {shown}"


def _label(draw: ImageDraw.ImageDraw, left: int, top: int, text: str, width: int) -> None:
    """Draw text in one line, shortened in the middle if it does not fit."""
    font = ImageFont.load_default(size=15)  # Pillow's own font, the same everywhere; it has no accents
    shown = text
    while draw.textlength(shown, font=font) > width and len(text) > 8:
        text = text[: len(text) // 2 - 1] + text[len(text) // 2 + 1 :]
        shown = text[: len(text) // 2] + "…" + text[len(text) // 2 :]
    draw.text((left, top + 4), shown, font=font, fill=INK)
