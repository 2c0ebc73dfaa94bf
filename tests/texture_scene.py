"""A head with a known albedo, photographed by known cameras under known light: what texture tests recover."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import torch
from portrait_camera import portrait_camera

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.subdivision import Subdivision, subdivision
from backend.geometry.template import Template, load_template, triangulate
from backend.photos.collection import FaceClass, PhotoFace, PhotoQuality
from backend.rendering.camera import Camera
from backend.rendering.rasterize import face_ids
from backend.rendering.render import render_linear
from backend.rendering.spherical_harmonics import light_from_directions
from backend.rig.eye_surfaces import IRIS_RADIUS
from backend.texture.eyes import SCLERA
from backend.texture.parts import fractal_noise
from backend.texture.surface import head_surface, texture_space

TRUTH_SIZE = 1024
TONE = np.array([0.48, 0.29, 0.21])


@dataclass(frozen=True)
class Scene:
    """``truth`` (TRUTH_SIZE, TRUTH_SIZE, 3) linear albedo of the head's own chart, ``covered`` its mask."""

    template: Template
    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    truth: np.ndarray
    covered: np.ndarray


@dataclass(frozen=True)
class Shot:
    """How one photo is taken: yaw in degrees (positive: the person looks to their own left), light (9, 3)."""

    yaw: float = 0.0
    light: np.ndarray | None = None
    size: int = 512
    monochrome: bool = False
    expression: tuple[tuple[int, float], ...] = ()


def soft_light(x: float, y: float = 0.3, z: float = 0.8, key: float = 0.8, ambient: float = 0.35) -> np.ndarray:
    """(9, 3) one lamp from a direction, slightly warm, and ambient light, slightly cool."""
    direction = np.array([[x, y, z]]) / np.linalg.norm([x, y, z])
    return light_from_directions(direction, key * np.array([[1.05, 1.0, 0.92]]), ambient * np.array([0.95, 1.0, 1.06]))


@lru_cache(maxsize=2)
def _known_albedo(beard: float) -> tuple[np.ndarray, np.ndarray]:
    return known_albedo(load_template(), beard)


def known_albedo(template: Template, beard: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A skin with lips, brows, blotches and moles that are not the same left and right; eyes; all else skin. ``beard``:
    log units by which the chin is darker."""
    surface, space = head_surface(template), texture_space(template, TRUTH_SIZE)
    positions = surface.lifted(template.vertices[: surface.count])
    where = space.skin.sample(positions)
    masks = space.skin.sample(np.stack([surface.regions["lips"], surface.regions["brows"]], 1))
    log = np.log(TONE) + np.zeros((len(where), 1))
    log = log + 0.05 * fractal_noise(where, 0.006, 3, 3)[:, None] * np.array([0.8, 1.0, 1.1])
    moles = np.clip(fractal_noise(where, 0.010, 1, 9) - 2.2, 0, 0.5)[:, None]
    log = log - moles * np.array([0.8, 1.4, 1.6])
    log = log - masks[:, :1] * np.array([0.15, 0.55, 0.40])
    log = log - masks[:, 1:] * (1.0 + 0.3 * fractal_noise(where, 0.0015, 2, 4)[:, None]) * np.array([1.2, 1.3, 1.3])
    log = log - beard * space.skin.sample(surface.regions["chin"][:, None]) * (1.0 - masks[:, :1])
    image = np.broadcast_to(TONE, (TRUTH_SIZE, TRUTH_SIZE, 3)).astype(np.float32).copy()
    image.reshape(-1, 3)[space.skin.texel] = np.exp(log)
    for index, name in enumerate(("eye_left", "eye_right")):
        points = space.parts[name].sample(template.vertices) - template.eye_pivots[index].astype(np.float32)
        iris = (np.hypot(points[:, 0], points[:, 1]) < IRIS_RADIUS) & (points[:, 2] > 0)
        image.reshape(-1, 3)[space.parts[name].texel] = np.where(iris[:, None], (0.10, 0.15, 0.20), SCLERA)
    covered = np.zeros(TRUTH_SIZE**2, bool)
    covered[space.skin.texel] = True
    return image, covered.reshape(TRUTH_SIZE, TRUTH_SIZE)


def make_scene(
    shots: list[Shot],
    background: tuple[int, int, int] = (0, 255, 0),
    fitted_light: np.ndarray | None = None,
    beard: float = 0.0,
) -> Scene:
    """Photograph the template's mean face; ``fitted_light`` is what the fit believes (the truth when None)."""
    template = load_template()
    truth, covered = _known_albedo(beard)
    fine = subdivision(1)
    target = template.vertices[template.parts["head"].vertex_start : template.parts["head"].vertex_stop].mean(0)
    target = np.array([0.0, template.eye_pivots[0, 1] - 0.02, target[2]])
    faces, photos = [], []
    for index, shot in enumerate(shots):
        light = soft_light(0.2) if shot.light is None else shot.light
        vertices = template.vertices.copy()
        for key, weight in shot.expression:
            vertices = vertices + weight * template.expressions[key]
        expression = np.zeros(52)
        for key, weight in shot.expression:
            expression[key] = weight
        camera = portrait_camera(target, shot.yaw, shot.size, distance=0.9)
        face = _photograph(template, fine, vertices, camera, truth, light, background, f"photo{index}.png", shot)
        faces.append(face)
        believed = light if fitted_light is None else fitted_light
        photos.append(FittedPhoto(face.name, camera, expression, vertices, believed, 1.0, 0.02))
    albedo = np.broadcast_to(TONE, (template.head.vertex_stop, 3)).astype(np.float32)
    fitted = FittedFace(np.zeros(len(template.identity_modes)), template.vertices, albedo, tuple(photos))
    return Scene(template, fitted, tuple(faces), truth, covered)


def _photograph(
    template: Template,
    fine: Subdivision,
    vertices: np.ndarray,
    camera: Camera,
    truth: np.ndarray,
    light: np.ndarray,
    background: tuple[int, int, int],
    name: str,
    shot: Shot,
) -> PhotoFace:
    positions = fine.positions(vertices)
    split = triangulate(fine.quads)
    picture = render_linear(
        positions, split.faces, camera, texture=truth, uv=fine.uv_head, uv_faces=split.apply(fine.uv_head_quads),
        light=light, supersample=2,
    ).over(background)  # fmt: skip
    if shot.monochrome:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    labels = _labels(template, fine, positions, split.faces, camera)
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[:, :2] = camera.project(template.landmarks478.positions(vertices).astype(np.float64))[:, :2]
    quality = PhotoQuality(0.9, 1.0, 1.0, 1.0, 1.0, 1.0)
    return PhotoFace(
        name, camera.size, None, picture, 1.0, (0.0, 0.0), landmarks, labels, shot.monochrome, shot.yaw, quality
    )


def _labels(
    template: Template, fine: Subdivision, positions: np.ndarray, triangles: np.ndarray, camera: Camera
) -> np.ndarray:
    classes = np.full(len(positions), FaceClass.SKIN, np.uint8)
    for region, label in (
        ("ears", FaceClass.EARS), ("neck", FaceClass.NECK), ("lips", FaceClass.LIPS), ("brows", FaceClass.BROWS),
        ("mouth_interior", FaceClass.MOUTH_INTERIOR), ("eye_sockets", FaceClass.SKIN),
    ):  # fmt: skip
        classes[fine.matrix @ template.regions[region] > 0.5] = label
    for part, label in (
        ("eye_left", FaceClass.EYES), ("eye_right", FaceClass.EYES), ("lashes", FaceClass.SKIN),
        ("teeth_upper", FaceClass.MOUTH_INTERIOR), ("teeth_lower", FaceClass.MOUTH_INTERIOR),
        ("tongue", FaceClass.MOUTH_INTERIOR),
    ):  # fmt: skip
        span = fine.parts[part]
        classes[span.vertex_start : span.vertex_stop] = label
    points = torch.from_numpy(camera.project(positions.astype(np.float64)).astype(np.float32))[None]
    ids = face_ids(points, torch.from_numpy(triangles), (camera.size[1], camera.size[0]))[0].numpy()
    labels = classes[triangles[np.maximum(ids, 0), 0]]
    return np.where(ids >= 0, labels, FaceClass.BACKGROUND).astype(np.uint8)


def with_labels(face: PhotoFace, labels: np.ndarray, pixels: np.ndarray | None = None) -> PhotoFace:
    """The same photo with other labels (and pixels)."""
    return replace(face, labels=labels, pixels=face.pixels if pixels is None else pixels)
