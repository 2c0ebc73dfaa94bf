"""What moves the fit by a tenth of a millimetre does not move the skin's tone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from texture_scene import Scene, Shot, make_scene, soft_light

from backend.photos.collection import PhotoFace
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space

SIZE = 256
TINTS = ([1.0, 1.0, 1.0], [1.03, 1.0, 0.94], [0.97, 1.0, 1.07], [1.22, 1.08, 0.80], [0.96, 1.0, 1.10])
"""Casts of five photos of one person, one of them warm, as snapshots have them."""


def _face_level(scene: Scene) -> np.ndarray:
    """(3,) mean sRGB, 0 to 255, of the face."""
    albedo = build_albedo(scene.template, scene.fitted, scene.faces, SIZE).albedo
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    face = space.skin.image(space.skin.sample(surface.regions["face"][:, None])[:, 0]) > 0.5
    return albedo[face].mean(0)


def _moved(scene: Scene, seed: int) -> Scene:
    """The head moved smoothly by 0.1 mm on average."""
    random, place = np.random.default_rng(seed), scene.template.vertices
    waves = np.cos(place @ random.normal(0.0, 30.0, (3, 40)) + random.uniform(0.0, 6.28, 40)) @ random.normal(
        size=(40, 3)
    )
    step = (1e-4 * waves / np.linalg.norm(waves, axis=1).mean()).astype(np.float32)
    photos = tuple(replace(photo, vertices=photo.vertices + step) for photo in scene.fitted.photos)
    return replace(scene, fitted=replace(scene.fitted, neutral=place + step, photos=photos))


def _turned(scene: Scene, number: int) -> Scene:
    """The camera of one photo turned by a tenth of a degree around the head."""
    photos = list(scene.fitted.photos)
    camera = photos[number].camera
    turn, pose = np.eye(4), camera.camera_from_head
    turn[:3, :3] = Rotation.from_euler("xyz"[number % 3], 0.1, degrees=True).as_matrix()
    middle = pose @ np.append(scene.template.eye_pivots.mean(0), 1.0)
    turn[:3, 3] = (middle - turn @ middle)[:3] + turn[:3, 3]
    photos[number] = replace(photos[number], camera=replace(camera, camera_from_head=turn @ pose))
    return replace(scene, fitted=replace(scene.fitted, photos=tuple(photos)))


def _packed(face: PhotoFace) -> PhotoFace:
    data = cv2.imencode(".jpg", face.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return replace(face, pixels=np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]))


@pytest.mark.slow
def test_small_changes_of_the_fit_leave_the_face_its_colour() -> None:
    yaws = (0.0, 25.0, -25.0, 10.0, -40.0)
    scene = make_scene([Shot(yaw, soft_light(0.2) * tint) for yaw, tint in zip(yaws, TINTS, strict=True)])
    changed = [_moved(scene, 0), _turned(scene, 1)]
    changed.append(replace(scene, faces=tuple(_packed(face) for face in scene.faces)))
    levels = np.array([_face_level(one) for one in (scene, *changed)])
    assert np.abs(levels[1:] - levels[0]).max() <= 1.5, levels.round(1)
