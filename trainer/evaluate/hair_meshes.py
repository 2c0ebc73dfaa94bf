"""Hair of another hand whose truth is known: MakeHuman's hair meshes on its mean adult, fitted to the pictures that
Cycles draws, with true shape and cameras, and compared with the mesh itself.

The truth of directions are the lines painted in a mesh's texture, whose charts have no common axis along the hair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console

from backend.errors import LikenessError
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import Template, load_template
from backend.hair.fit_hair import fit_hair
from backend.hair.hair_strands import HairStrands, resampled_to
from backend.hair.hair_views import HairView, body_mesh, closed_head, strand_direction
from backend.models.parsing.apply import label_face
from backend.photos.collection import FaceClass, PhotoFace, PhotoQuality
from backend.rendering.camera import Camera, look_at
from backend.rendering.interpolate import sample_texture
from backend.rendering.rasterize import depth_map, face_ids
from trainer.engine.disk_cache import shared_folder
from trainer.evaluate.hair_figures import cap, hair_outline, hairline_distance, line_angle, mask_overlap
from trainer.heads.drawing import SAMPLES, Shot, draw, draw_light
from trainer.heads.dressed import AHEAD, Head, adult, dressed, random_look
from trainer.heads.makehuman import Proxy, read_proxy
from trainer.measures.harness import Figures, judged

SEEN = ((0.0, 0.0), (25.0, 0.0), (-35.0, 0.0), (45.0, 0.0), (-12.0, -12.0))
UNSEEN = ((90.0, 0.0), (-90.0, 0.0), (180.0, 0.0), (20.0, -60.0))
"""Yaw and pitch in degrees of the head in the pictures that are fitted, and in the views that are only compared."""
SIDE, _SPAN, _DISTANCE = 512, 0.56, 1.2
"""Pixels a side of a picture, metres across it and from the camera."""
_STEP, _LAYER = 0.0006, 0.003
"""Metres between points of a mesh, less than a pixel; behind the foremost within which layers are seen together."""
_TOGETHER = 6.0
"""Texels over which painted lines are smoothed: some two millimetres."""
_SECTORS, _LOWEST = 24, 98
"""Sectors of azimuth, and percentile of the way below the crown at which hair ends in one: without stray tips."""


@dataclass(frozen=True)
class HairMesh:
    """A hair mesh on a body; ``texture`` : the file of its colours and alpha. points : (N, 3) opaque places, metres.
    direction : (N, 3) unit vectors along the painted lines, sign unknown; sure : (N,) their coherence, 0 to 1."""

    proxy: Proxy
    texture: Path
    points: np.ndarray
    direction: np.ndarray
    sure: np.ndarray


def hair_meshes() -> dict[str, Path]:
    """Name -> folder of MakeHuman's hair meshes; raises ``LikenessError`` where ``../shared`` does not hold them."""
    folder = shared_folder() / "makehuman" / "parts" / "hair"
    if not folder.is_dir():
        raise LikenessError("missing_part", f"{folder} is missing.", "MakeHuman's hair meshes are not part of this.")
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}


def on_template(template: Template, body: np.ndarray) -> np.ndarray:
    """(V, 3) float32 the template's vertices on a body (19158, 3)."""
    count = template.head.vertex_stop
    offsets = body[template.hm08_vertex[:count]] - template.vertices[:count]
    return (template.vertices + template.following_skin(offsets)).astype(np.float32)


def camera_of(template: Template, neutral: np.ndarray, yaw: float, pitch: float) -> Camera:
    """The camera that sees the head (V, 3) turned by ``yaw`` to its left and ``pitch`` upwards, degrees."""
    aim = neutral[: template.head.vertex_stop].mean(0) - [0, 0.03, 0]
    return look_at(yaw, pitch, 0.0, _DISTANCE, SIDE * _DISTANCE / _SPAN, (SIDE, SIDE), aim)


def draw_hair(folder: Path, drawn: Path, cameras: Sequence[Camera]) -> None:
    """Draw the missing pictures of the hair mesh in ``folder`` on the mean adult, who looks the same under each."""
    nothing, shots = np.zeros((0, 3), np.int64), {}
    head = Head(adult(), nothing, (), np.zeros((478, 3)), nothing, body=adult())
    look = replace(random_look(np.random.default_rng(2026)), hair=folder.name, hair_tint=(1.0, 1.0, 1.0))
    middle = adult()[load_template().hm08_vertex[: load_template().head.vertex_stop]].mean(0)
    for k, camera in enumerate(cameras):
        light = draw_light("overcast", camera.centre() - middle, np.random.default_rng([2026, k]))
        shots[drawn / folder.name / f"{k}.jpg"] = Shot(camera, light, 16.0, _DISTANCE - 0.08, 0.0, "AgX", SAMPLES, k)
    draw(dressed(head, look, middle + AHEAD), middle, shots)


def read_hair_mesh(folder: Path, body: np.ndarray) -> HairMesh:
    """Read a hair mesh onto a body (19158, 3); raises ``LikenessError`` for one without a texture."""
    texture = next(iter(sorted(folder.glob("*_diffuse.png"))), None)
    if texture is None:
        raise LikenessError("missing_part", f"{folder.name} has no texture.", "Its lines and ends are in the texture.")
    proxy, picture = read_proxy(folder, body), np.asarray(Image.open(texture).convert("RGBA"))
    corners = np.concatenate([proxy.points[proxy.quads], proxy.uv[proxy.uv_quads]], -1)  # (F, 4, 5)
    side = np.ceil(np.linalg.norm((corners - np.roll(corners, 1, 1))[..., :3], axis=-1).max(1) / _STEP).astype(int)
    quad = np.repeat(np.arange(len(side)), side**2)
    number = np.arange(len(quad)) - np.repeat(np.cumsum(side**2) - side**2, side**2)
    s, t = (number % side[quad] + 0.5) / side[quad], (number // side[quad] + 0.5) / side[quad]
    weights = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], 1)
    place = np.einsum("nc,nck->nk", weights, corners[quad])
    opaque = sample_texture(picture[..., 3:].astype(np.float32), place[:, 3:])[:, 0] > 127
    quad, place = quad[opaque], place[opaque]
    lines = strand_direction(picture[..., :3].copy(), picture[..., 3].astype(np.float32) / 255)
    painted = sample_texture(cv2.GaussianBlur(lines, (0, 0), _TOGETHER), place[:, 3:])
    angle = 0.5 * np.arctan2(painted[:, 1], painted[:, 0])
    right, up = np.stack([np.cos(angle), -np.sin(angle)]) / np.array(picture.shape[1::-1])[:, None]
    across = (corners[:, 1] - corners[:, 0] + corners[:, 2] - corners[:, 3])[quad]  # (N, 5) change of place and texture
    along = (corners[:, 3] - corners[:, 0] + corners[:, 2] - corners[:, 1])[quad]
    way = (along[:, 4] * right - along[:, 3] * up)[:, None] * across[:, :3]
    way += (across[:, 3] * up - across[:, 4] * right)[:, None] * along[:, :3]
    size = np.linalg.norm(way, axis=1)
    direction = way / np.maximum(size, 1e-20)[:, None]
    return HairMesh(proxy, texture, place[:, :3], direction, np.hypot(*painted.T) * (size > 0))


def mesh_view(template: Template, neutral: np.ndarray, mesh: HairMesh, camera: Camera) -> tuple[HairView, np.ndarray]:
    """What a camera sees of a mesh on a head (V, 3), and the picture's labels (H, W) uint8 of ``FaceClass``."""
    head, triangles = closed_head(neutral.astype(np.float64), template)
    body, rings = body_mesh(head[: template.head.vertex_stop], template)
    whole, faces = np.concatenate([head, body]), np.concatenate([triangles, rings + len(head)])
    depth = depth_map(whole, faces, camera)
    kinds = np.full(len(faces) + 1, FaceClass.BACKGROUND, np.uint8)  # the last: no face
    kinds[: len(triangles)] = FaceClass.SKIN
    for region, kind in (("neck", FaceClass.NECK), ("ears", FaceClass.EARS)):
        kinds[: len(triangles)][template.regions[region][triangles].mean(1) > 0.5] = kind
    pixels = torch.from_numpy(camera.project(whole))[None]
    labels = kinds[face_ids(pixels, torch.from_numpy(faces), depth.shape)[0].numpy()]

    pixel, ahead = camera.project(mesh.points), camera.project(mesh.points + 0.001 * mesh.direction)
    column, row = np.floor(pixel[:, :2]).astype(int).T
    kept = (column >= 0) & (column < SIDE) & (row >= 0) & (row < SIDE)
    column, row, far, step = column[kept], row[kept], pixel[kept, 2], (ahead - pixel)[kept, :2]
    front = np.full(depth.shape, np.inf)
    np.minimum.at(front, (row, column), far)
    labels[front < depth] = FaceClass.HAIR
    shown = (front < depth)[row, column] & (far < front[row, column] + _LAYER)
    twice = 2 * np.arctan2(step[:, 1], step[:, 0])
    values = np.stack([np.cos(twice), np.sin(twice), np.ones(len(twice))], 1) * mesh.sure[kept, None]
    total = np.zeros((*depth.shape, 3))
    np.add.at(total, (row[shown], column[shown]), values[shown])
    direction = (total[..., :2] / np.maximum(total[..., 2:], 1e-6)).astype(np.float32)
    hair, face = ((labels == k).astype(np.float32) for k in (FaceClass.HAIR, FaceClass.SKIN))
    return HairView("", camera, hair, np.ones_like(hair), face, direction, depth, 1.0), labels


def ends(points: np.ndarray, template: Template, neutral: np.ndarray) -> np.ndarray:
    """(24,) millimetres below the crown at which hair with points (N, 3) ends by azimuth, no lower than the pictures
    reach; NaN where it has none."""
    head = neutral[: template.head.vertex_stop].astype(np.float64)
    middle = head[template.regions["scalp"][: len(head)] > 0.5].mean(0)
    x, _, z = (points - middle).T
    sector = ((np.arctan2(x, z) / (2 * np.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
    lowest = head[:, 1].mean() - 0.03 - _SPAN / 2
    below = 1000 * (head[:, 1].max() - np.maximum(points[:, 1], lowest))
    parts = [below[sector == k] for k in range(_SECTORS)]
    return np.array([np.percentile(part, _LOWEST) if len(part) else np.nan for part in parts])


def mesh_figures(
    template: Template, neutral: np.ndarray, mesh: HairMesh, strands: HairStrands | None, views: Sequence[HairView]
) -> dict[str, float]:
    """How fitted hair differs from a mesh in ``views`` of it, those of ``SEEN`` before those of ``UNSEEN``.

    ``seen_overlap``, ``unseen_overlap``, ``seen_angle``, ``unseen_angle`` (degrees) as in ``hair.held_out_hair``;
    ``hairline`` : millimetres, from the front. ``ends``, ``ends_far`` : median and 90th percentile over azimuths of the
    size of the difference of ``ends``, ``ends_low`` : its mean, positive where the fit is too long.
    """
    if strands is None:
        return {"found": 0.0, "seen_overlap": 0.0, "unseen_overlap": 0.0}
    drawn = [hair_outline(strands, view) for view in views]
    overlap = [mask_overlap(*pair) for pair in zip(drawn, views, strict=True)]
    angle = [line_angle(strands, view) for view in views]
    lines = resampled_to(strands.points.astype(np.float64), 4 * strands.points.shape[1]).reshape(-1, 3)
    apart = ends(lines, template, neutral) - ends(mesh.points, template, neutral)
    figures = {
        "seen_overlap": np.mean(overlap[: len(SEEN)]),
        "unseen_overlap": np.mean(overlap[len(SEEN) :]),
        "seen_angle": np.nanmean(angle[: len(SEEN)]),
        "unseen_angle": np.nanmean(angle[len(SEEN) :]),
        "hairline": hairline_distance(drawn[0], views[0]),
        "ends": np.nanmedian(np.abs(apart)),
        "ends_far": np.nanpercentile(np.abs(apart), 90),
        "ends_low": np.nanmean(apart),
    }
    return {"found": 1.0} | {name: float(value) for name, value in figures.items()}


def compared(folder: Path, drawn: Path, template: Template, body: np.ndarray) -> dict[str, float]:
    """``truth.FIGURE`` with the mesh's own labels and ``net.FIGURE`` with those of the parsing net, of the mesh in
    ``folder`` as pictured in ``drawn``; ``cap_overlap`` in the unseen views, of hair that is fitted to no picture."""
    neutral, mesh = on_template(template, body), read_hair_mesh(folder, body)
    cameras = [camera_of(template, neutral, *way) for way in (*SEEN, *UNSEEN)]
    draw_hair(folder, drawn, cameras[: len(SEEN)])
    views, labels = zip(*(mesh_view(template, neutral, mesh, camera) for camera in cameras), strict=True)
    photos, faces, light = [], [], np.outer(np.eye(9)[0], np.ones(3))
    corners = template.landmarks478.positions(neutral).astype(np.float64)
    for k, ((yaw, _), camera) in enumerate(zip(SEEN, cameras, strict=False)):
        file = drawn / folder.name / f"{k}.jpg"
        pixels, marks = np.asarray(Image.open(file).convert("RGB")), camera.project(corners).astype(np.float32)
        seen = (pixels, 1.0, (0.0, 0.0), marks, labels[k], False, yaw, PhotoQuality(*[1.0] * 6))
        faces.append(PhotoFace(file.name, camera.size, None, *seen))
        photos.append(FittedPhoto(file.name, camera, np.zeros(len(template.expressions)), neutral, light, 1.0, 0.1))
    fitted = FittedFace(np.zeros(1), neutral, np.full((template.head.vertex_stop, 3), 0.3, np.float32), tuple(photos))
    by_net = [replace(face, labels=label_face(face.pixels, face.landmarks)) for face in faces]
    bare = [mask_overlap(cap(neutral, view), view) for view in views[len(SEEN) :]]
    figures = {"cap_overlap": float(np.mean(bare))}
    for name, labelled in (("truth", faces), ("net", by_net)):
        found = mesh_figures(template, neutral, mesh, fit_hair(template, fitted, labelled).strands, views)
        figures |= {f"{name}.{key}": value for key, value in found.items()}
    return figures


def mesh_truth(drawn: Path, console: Console) -> Figures:
    """``meshes.LABELS.FIGURE`` : means over MakeHuman's hair meshes as pictured in ``drawn``, and
    ``head.NAME.LABELS.FIGURE`` of each."""
    meshes, template, body = hair_meshes(), load_template(), adult()
    return judged(meshes, lambda folder: compared(folder, drawn, template, body), console, "meshes", "head")
