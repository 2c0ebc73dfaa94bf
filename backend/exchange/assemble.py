"""Assemble a ``FaceAsset`` from the template and one face's vertices, keys and texture."""

from dataclasses import replace

import numpy as np

from backend.detail.skin_detail import SkinDetail, skin_roughness
from backend.exchange import face_asset
from backend.fitting.stages import FittedPhoto
from backend.geometry.template import Template
from backend.models.parsing.glasses import Glasses, glasses_mesh
from backend.photos.collection import PhotoFace
from backend.rendering.camera import Camera
from backend.rig.bust import BustModel, BustShape, bust_shape, load_bust
from backend.rig.eye_surfaces import EyeShapes, EyeSurface, eye_shapes
from backend.rig.mouth import TEETH, mouth_shapes, sculpted_teeth
from backend.texture.eyes import eye_uv
from backend.texture.parts import with_bust
from protocol.names import ARKIT_NAMES, BUST, GLASSES, PART_NAMES

STILL_METRES = 1e-5
"""Metres: a key that moves no vertex of a part by more than this is left out of the part."""


def face_parts(template: Template, neutral: np.ndarray, keys: np.ndarray) -> tuple[face_asset.FacePart, ...]:
    """Cut neutral vertices (V, 3) and keys (52, V, 3) into parts, each with its own vertex numbering."""
    plain = (_part(template, name, neutral, keys) for name in PART_NAMES)
    return tuple(_with_crowns(part, template, neutral, keys) if part.name in TEETH else part for part in plain)


def _with_crowns(
    strip: face_asset.FacePart, template: Template, neutral: np.ndarray, keys: np.ndarray
) -> face_asset.FacePart:
    """The part of a row of teeth with crowns in place of hm08's strip, of which its vertices keep their numbers."""
    vertices, moves = sculpted_teeth(template, strip.name, neutral, keys)
    mouth, row = template.sculpture, TEETH.index(strip.name)
    numbers = mouth.crown_strip[row]
    hm08 = np.where(numbers >= 0, strip.hm08_vertex[numbers], -1).astype(np.int32)
    quads, uv, makehuman = mouth.crown_quads[row].astype(np.int32), mouth.crown_uv[row], mouth.crown_uv_makehuman[row]
    return face_asset.FacePart(strip.name, vertices, quads, uv, quads, makehuman, quads, hm08, _moving(moves))


def _part(template: Template, name: str, neutral: np.ndarray, keys: np.ndarray) -> face_asset.FacePart:
    span = template.parts[name]
    vertices = slice(span.vertex_start, span.vertex_stop)
    faces = slice(span.face_start, span.face_stop)
    uv, uv_quads = _compact(template.uv_head, template.uv_head_quads[faces])
    uv_makehuman, uv_makehuman_quads = _compact(template.uv_makehuman, template.uv_makehuman_quads[faces])
    moves = {
        key: np.ascontiguousarray(keys[number, vertices], dtype=np.float32) for number, key in enumerate(ARKIT_NAMES)
    }
    if name != "head":
        moves = {key: delta for key, delta in moves.items() if np.abs(delta).max() > STILL_METRES}
    return face_asset.FacePart(
        name=name,
        vertices=np.ascontiguousarray(neutral[vertices], dtype=np.float32),
        quads=(template.quads[faces] - span.vertex_start).astype(np.int32),
        uv=uv,
        uv_quads=uv_quads,
        uv_makehuman=uv_makehuman,
        uv_makehuman_quads=uv_makehuman_quads,
        hm08_vertex=template.hm08_vertex[vertices].astype(np.int32),
        keys=moves,
    )


def eye_dressing(template: Template, shapes: EyeShapes, picture: np.ndarray | None) -> face_asset.EyeDressing:
    """The eyes' surfaces as parts, and the eyeballs' UVs in the eyes' image."""
    uv = {}
    for eye, name in enumerate(("eye_left", "eye_right")):
        span = template.parts[name]
        ball = template.vertices[span.vertex_start : span.vertex_stop] - template.eye_pivots[eye]
        uv[name] = eye_uv(ball, float(template.eye_radius), left=eye == 0)
    return face_asset.EyeDressing(picture, uv, tuple(_surface_part(surface) for surface in shapes.surfaces))


def _surface_part(surface: EyeSurface) -> face_asset.FacePart:
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    uv = ((surface.vertices - low) / (high - low).max())[:, :2].astype(np.float32)
    none = np.full(len(surface.vertices), -1, np.int32)
    quads = surface.quads
    return face_asset.FacePart(surface.name, surface.vertices, quads, uv, quads, uv, quads, none, _moving(surface.keys))


def worn_glasses(found: Glasses, template: Template, head: np.ndarray, tone: np.ndarray) -> face_asset.WornGlasses:
    """The glasses as parts on a head with neutral vertices (V, 3), in the tone (3,) of its texture."""
    bare = head[: template.head.vertex_stop][template.regions["ears"][: template.head.vertex_stop] == 0]
    still = np.zeros((len(ARKIT_NAMES), 1, 3), np.float32)
    meshes = zip(GLASSES, glasses_mesh(found, bare), strict=True)
    parts = tuple(_surface_part(EyeSurface(name, *mesh, still)) for name, mesh in meshes)
    frame, lens = (tuple(np.clip(one * tone, 0, 1).tolist()) for one in (found.frame_colour, found.lens_colour))
    return face_asset.WornGlasses(parts, frame, lens, found.lens_opacity)


def bust_part(model: BustModel, shape: BustShape) -> face_asset.FacePart:
    """The bust as a part, with the keys that move it."""
    return face_asset.FacePart(
        name=BUST,
        vertices=shape.vertices,
        quads=model.quads,
        uv=model.uv,
        uv_quads=model.uv_quads,
        uv_makehuman=model.uv_makehuman,
        uv_makehuman_quads=model.uv_makehuman_quads,
        hm08_vertex=model.hm08_vertex,
        keys=_moving(shape.keys),
    )


def _moving(keys: np.ndarray) -> dict[str, np.ndarray]:
    """The keys (52, V, 3), in ARKit's order, that move the part, by name."""
    named = zip(ARKIT_NAMES, keys, strict=True)
    return {name: delta for name, delta in named if np.abs(delta).max() > STILL_METRES}


def _compact(coordinates: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep only the texture coordinates used by the quads, renumbered."""
    used, inverse = np.unique(quads, return_inverse=True)
    return coordinates[used].astype(np.float32), inverse.reshape(quads.shape).astype(np.int32)


def camera_in_file(camera: Camera, face: PhotoFace) -> Camera:
    """Convert a camera from crop pixels to pixels of the whole file after EXIF rotation.

    The camera of a photo that was turned upright is turned back about its axis: the intrinsics keep their form.
    """
    to_file = face.file_from_crop
    turn = np.eye(4)
    turn[:2, :2] = to_file[:2, :2] * face.crop_scale
    return Camera(to_file @ camera.intrinsics @ turn[:3, :3].T, turn @ camera.camera_from_head, face.file_size)


def asset_photo(photo: FittedPhoto, face: PhotoFace) -> face_asset.AssetPhoto:
    """The photo as exported: its camera in the file's own pixels."""
    landmarks = None
    if photo.landmarks is not None:
        pairs = photo.landmarks.reshape(-1, 2)
        landmarks = face.in_file(pairs).reshape(photo.landmarks.shape).astype(np.float32)
    return face_asset.AssetPhoto(
        name=photo.name,
        landmarks=landmarks,
        camera=camera_in_file(photo.camera, face),
        expression=photo.expression.astype(np.float32),
        landmark_error_percent=photo.landmark_error_percent,
        photometric_error=photo.photometric_error,
    )


def assemble(
    template: Template,
    neutral: np.ndarray,
    keys: np.ndarray,
    photos: tuple[face_asset.AssetPhoto, ...] = (),
    with_shoulders: bool = False,
) -> face_asset.FaceAsset:
    """Assemble what neutral (V, 3) and keys (52, V, 3) give: everything but pictures (``with_pictures``), hair and
    report. ``with_shoulders`` : whether to add the bust."""
    head = template.head
    shapes = eye_shapes(template, *mouth_shapes(template, neutral, keys))
    bust = None
    if with_shoulders:
        bust = bust_part(load_bust(), bust_shape(load_bust(), template, shapes.neutral, shapes.keys))
    return face_asset.FaceAsset(
        face_parts(template, shapes.neutral, shapes.keys),
        None,
        photos,
        {},
        eyes=eye_dressing(template, shapes, None),
        mouth_inside=template.regions["mouth_interior"][head.vertex_start : head.vertex_stop].astype(np.float32),
        skin_roughness=skin_roughness(template),
        bust=bust,
    )


def with_pictures(
    asset: face_asset.FaceAsset,
    template: Template,
    albedo: np.ndarray,
    eyes: np.ndarray | None = None,
    detail: SkinDetail | None = None,
) -> face_asset.FaceAsset:
    """The asset with albedo (R, R, 3) uint8 sRGB, into which a bust's chart is painted, and picture of the eyes
    (S, 2 S, 3) uint8 sRGB of map ``Eye``. detail : see ``FaceAsset``."""
    if asset.bust is not None:
        albedo = with_bust(albedo, template, load_bust(), asset.bust.vertices)
    return replace(asset, albedo=albedo, eyes=replace(asset.eyes, picture=eyes), detail=detail)
