"""Skin of a synthetic person from further photos, in place of a reconstructed head's texture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from backend.expression.appearance import Appearance, face_vertices
from backend.geometry.normals import vertex_normals
from backend.geometry.template import load_template
from backend.geometry.topology import triangles_from_quads
from backend.photos.collection import FaceClass
from trainer.data.people.source import PeopleConfig

FIRST_PHOTO, PHOTOS = 2, 4
"""The person's photos that are used here; the evaluated photos are not among them."""
BLUR_PIXELS = 0.7
LEAST_FACING, LEAST_SEEN = 0.3, 0.2
SKIN = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.FACIAL_HAIR)


def seen_appearance(config: PeopleConfig, index: int) -> Appearance:
    """Mean albedo of person ``index`` at the vertices of the face, from ``PHOTOS`` photos with true cameras."""
    config = replace(config, photos=FIRST_PHOTO + PHOTOS, clips=False, albedo=True)
    batch = config.build().batch(range(index, index + 1), torch.device("cpu"))
    template = load_template()
    head = template.head
    triangles = triangles_from_quads(template.quads[head.face_start : head.face_stop])
    total, seen = np.zeros((head.vertex_stop, 3)), np.zeros(head.vertex_stop)
    for photo in range(FIRST_PHOTO, FIRST_PHOTO + PHOTOS):
        pose, intrinsics = (
            values[photo].numpy().astype(np.float64) for values in (batch.camera_from_head, batch.intrinsics)
        )
        vertices = batch.vertices[photo, : head.vertex_stop].numpy().astype(np.float64)
        in_camera = vertices @ pose[:3, :3].T + pose[:3, 3]
        towards = -pose[:3, :3].T @ pose[:3, 3] - vertices
        facing = (vertex_normals(vertices, triangles) * towards).sum(1) / np.linalg.norm(towards, axis=1)
        places = in_camera[:, :2] / in_camera[:, 2:] * intrinsics[0, 0] + intrinsics[:2, 2]
        columns, rows = np.clip(places.astype(int), 0, config.size - 1).T
        weight = np.clip(facing - LEAST_FACING, 0.0, 1.0) * np.isin(batch.labels[photo].numpy()[rows, columns], SKIN)
        weight *= ((places > 1) & (places < config.size - 1)).all(1)
        albedo = cv2.GaussianBlur(batch.albedo[photo].permute(1, 2, 0).numpy(), (0, 0), BLUR_PIXELS)
        at = places.astype(np.float32)[None] - 0.5
        total += weight[:, None] * cv2.remap(albedo, at[..., 0], at[..., 1], cv2.INTER_LINEAR)[0]
        seen += weight
    vertices = face_vertices(template)
    vertices = vertices[seen[vertices] > LEAST_SEEN]
    return Appearance(vertices, total[vertices] / seen[vertices, None])
