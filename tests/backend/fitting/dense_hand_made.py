"""Textured heads of known shape, photographed from known places."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from backend.fitting.parameters import FACING_CAMERA, PhotoParameters
from backend.geometry.topology import triangles_from_quads
from backend.photos.collection import FaceClass, PhotoFace, PhotoQuality
from backend.rendering.render import render_mesh

SIZE = 480


def blotched(template) -> np.ndarray:
    """(V, 3) linear colours with detail at several scales, the same on every render."""
    generator = np.random.default_rng(0)
    value = np.zeros(len(template.vertices))
    for wavelength in (0.012, 0.02, 0.035):
        directions = generator.normal(0, 1, (8, 3))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        phases = generator.uniform(0, 6.28, 8)
        value += np.sin(template.vertices @ directions.T * 6.28 / wavelength + phases).mean(-1)
    return np.clip(0.35 + 0.25 * value[:, None], 0.02, 0.9).repeat(3, axis=1).astype(np.float32)


def photo(template, yaw: float) -> PhotoParameters:
    return PhotoParameters(
        rotation=FACING_CAMERA @ Rotation.from_euler("y", yaw, degrees=True).as_matrix(),
        pivot=template.landmarks68.positions(template.vertices).mean(0).astype(np.float64),
        lateral=np.zeros(2),
        log_scale=float(np.log(1800.0)),
        log_distance=0.0,
        principal_offset=np.zeros(2),
        centre=np.array([SIZE / 2, SIZE / 2]),
        size=(SIZE, SIZE),
        expression=np.zeros(52),
        nuisance=np.zeros(0),
    )


def photograph(template, vertices: np.ndarray, parameters: PhotoParameters, colors: np.ndarray) -> PhotoFace:
    triangles = triangles_from_quads(template.quads)
    camera = parameters.camera()
    pixels = render_mesh(vertices.astype(np.float32), triangles, camera, colors=colors, background=(90, 120, 150))
    landmarks = camera.project(template.landmarks478.positions(vertices))
    return PhotoFace(
        name=f"{parameters.rotation[0, 2]:.2f}",
        source_size=(SIZE, SIZE),
        focal_px=None,
        pixels=pixels,
        crop_scale=1.0,
        crop_offset=(0.0, 0.0),
        landmarks=landmarks.astype(np.float32),
        labels=np.full((SIZE, SIZE), FaceClass.SKIN, np.uint8),
        monochrome=False,
        yaw_degrees=0.0,
        quality=PhotoQuality(1, 1, 1, 1, 1, 1),
    )
