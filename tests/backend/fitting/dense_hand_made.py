"""Textured heads of known shape, photographed from known places."""

import numpy as np
from plain_photo import plain_photo
from view_hand_made import view

from backend.fitting.parameters import PhotoParameters
from backend.geometry.template import triangles_from_quads
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.render import render_linear

SIZE = 480


def blotched(template, seed: int = 0) -> np.ndarray:
    """(V, 3) linear colours with detail at several scales, the same on every render with a seed."""
    generator = np.random.default_rng(seed)
    value = np.zeros(len(template.vertices))
    for wavelength in (0.012, 0.02, 0.035):
        directions = generator.normal(0, 1, (8, 3))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        phases = generator.uniform(0, 6.28, 8)
        value += np.sin(template.vertices @ directions.T * 6.28 / wavelength + phases).mean(-1)
    return np.clip(0.35 + 0.25 * value[:, None], 0.02, 0.9).repeat(3, axis=1).astype(np.float32)


def photo(template, yaw: float) -> PhotoParameters:
    return view(template, yaw, SIZE, 1800.0, 1.0)


def photograph(template, vertices: np.ndarray, parameters: PhotoParameters, colors: np.ndarray) -> PhotoFace:
    triangles = triangles_from_quads(template.quads)
    camera = parameters.camera()
    pixels = render_linear(vertices.astype(np.float32), triangles, camera, colors=colors).over((90, 120, 150))
    landmarks = camera.project(template.landmarks478.positions(vertices))
    return plain_photo(
        (SIZE, SIZE),
        name=f"{parameters.rotation[0, 2]:.2f}",
        pixels=pixels,
        landmarks=landmarks.astype(np.float32),
        labels=np.full((SIZE, SIZE), FaceClass.SKIN, np.uint8),
    )
