"""Convert a finished ``FaceAsset`` to a surface for the ray tracer."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from backend.exchange.face_asset import FaceAsset, FacePart
from backend.exchange.subdivided import subdivided
from backend.geometry.normals import vertex_normals
from backend.rendering.color import linear_from_srgb
from trainer.data.midpoint import subdivide_midpoint
from trainer.data.raytrace.scene import Surface, joined

HEAD_LEVELS = 2
PART_LEVELS = 1
EYES = ("eye_left", "eye_right")


def part_surface(part: FacePart, albedo: np.ndarray) -> Surface:
    """Surface of one part at Catmull-Clark level 1, split further to texture resolution; ``albedo`` (R, R, 3) uint8
    sRGB."""
    fine = subdivided(part)
    positions = fine.matrix @ part.vertices.astype(np.float64)
    # one vertex per pair of position and texture coordinate, so that both sides of a UV seam are kept
    pairs, inverse = np.unique(
        np.stack([fine.quads.ravel(), fine.uv_quads.ravel()], axis=1), axis=0, return_inverse=True
    )
    quads = inverse.reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    quad_faces = np.concatenate([fine.quads[:, [0, 1, 2]], fine.quads[:, [0, 2, 3]]])
    normals = vertex_normals(positions, quad_faces)[pairs[:, 0]]
    levels = HEAD_LEVELS if part.name == "head" else PART_LEVELS
    faces, matrix = subdivide_midpoint(faces, len(pairs), levels)
    points, normals, uv = matrix @ positions[pairs[:, 0]], matrix @ normals, matrix @ fine.uv[pairs[:, 1]]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    size = len(points)
    skin = part.name == "head"
    return Surface(
        points,
        faces,
        normals,
        sample_texture(albedo, uv),
        np.full(size, 0.028),
        np.full(size, 0.06 if part.name in EYES else 0.38),
        np.full(size, 1.0 if skin else 0.2),
    )


def sample_texture(albedo: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(P, 3) linear-light colours of an (R, R, 3) uint8 sRGB texture at ``uv`` (P, 2), v up, bilinear."""
    height, width = albedo.shape[:2]
    place = [(1 - uv[:, 1]) * height - 0.5, uv[:, 0] * width - 0.5]
    linear = linear_from_srgb(albedo.astype(np.float32) / 255)
    return np.stack([map_coordinates(linear[..., c], place, order=1, mode="nearest") for c in range(3)], axis=1)


def asset_surface(asset: FaceAsset) -> Surface:
    """Join all parts of a head into one surface. Teeth and tongue stay behind closed lips. Lashes are left out because
    they need transparency."""
    return joined(tuple(part_surface(part, asset.albedo) for part in asset.parts if part.name != "lashes"))
