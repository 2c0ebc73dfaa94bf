"""Canonical faces of known heads, photos of them, and networks that have learnt nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from plain_photo import plain_photo

from backend.fitting.canonical import CanonicalFrame
from backend.geometry.subdivision import subdivision
from backend.geometry.template import Template, triangles_from_quads
from backend.models.checkpoints import ModelWeights, fingerprint, half_precision, save_model
from backend.models.lap.canonical_face import CanonicalFace, CanonicalPhoto, PhotoAlignment
from backend.models.lap.network import LapConfig, LapNet
from backend.models.registry import LAP
from backend.photos.collection import FaceClass, PhotoFace, PhotoQuality
from backend.photos.faces import Window, mean_landmarks
from backend.rendering.camera import LAP_PIVOT, CanonicalCamera
from backend.rendering.depth_surface import normals_from_depth
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids

TINY = LapConfig(
    size=32,
    depth_width=8,
    albedo_width=8,
    code=16,
    pooled=8,
    scene_width=8,
    confidence_width=8,
    confidence_code=16,
    refine_width=8,
    rotation_degrees=20.0,
)


def tiny_network(config: LapConfig | None = None) -> LapNet:
    """Random weights; codes of different photos weigh differently, and albedo is not the same everywhere."""
    torch.manual_seed(3)
    network = LapNet(TINY if config is None else config).eval()
    for encoder in (network.depth_encoder, network.albedo_encoder):
        torch.nn.init.normal_(encoder.weigh.weight)
    return network


def save_tiny(folder: Path, config: LapConfig | None = None) -> Path:
    """The tiny network as an exported model."""
    network = tiny_network(config)
    tensors = half_precision(network.state_dict())
    save_model(ModelWeights(LAP.name, network.config.to_json(), tensors, fingerprint(tensors)), folder)
    return folder


def made_photo(number: int, **changes: object) -> PhotoFace:
    """A crop of 300 px with the mean face's landmarks and colours by chance."""
    generator = np.random.default_rng(number)
    pixels = np.kron(generator.integers(40, 220, (10, 10, 3)), np.ones((30, 30, 1))).astype(np.uint8)
    values = {
        "name": f"{number}.png",
        "pixels": pixels,
        "landmarks": (mean_landmarks().points * 130 + 150).astype(np.float32),
        "labels": np.full((300, 300), FaceClass.SKIN, np.uint8),
        "quality": PhotoQuality(0.9, 0.9, 0.9, 0.9, 0.9, 0.9),
    }
    return plain_photo((300, 300), **(values | changes))


def canonical_of(template: Template, identity: np.ndarray, place: CanonicalFrame, size: int = 64) -> CanonicalFace:
    """What perfect networks would say of a head with ``identity`` (K,) that lies at ``place``."""
    neutral = template.vertices + np.tensordot(identity, template.identity_modes, 1)
    camera = CanonicalCamera((size, size))
    head = template.head
    drawn = subdivision(1).matrix[: head.vertex_stop, : head.vertex_stop] @ neutral[: head.vertex_stop]
    triangles = torch.from_numpy(triangles_from_quads(template.quads[head.face_start : head.face_stop]))
    points = camera.project(torch.from_numpy(place.apply(drawn))[None])
    found = fragments(face_ids(points, triangles, camera.size), triangles)
    values = fragment_values(points[..., 2:], found, fragment_barycentrics(points, found))
    depth = found.scatter(values, 1.1)[..., 0].clamp(0.9, 1.1)
    landmarks = place.apply(template.landmarks478.positions(neutral)[:468])
    return CanonicalFace(
        depth=depth[0].numpy(),
        normals=-normals_from_depth(depth, camera)[0].numpy(),
        albedo=np.full((size, size, 3), 0.6),
        confidence=(depth[0] < 1.09).double().numpy(),
        landmarks=landmarks,
        landmark_weights=np.ones(468),
        photos=(still_photo("one.png", size, depth[0].numpy()),),
        version="made",
    )


def still_photo(name: str, size: int, depth: np.ndarray) -> CanonicalPhoto:
    """A photo that shows the canonical face as it is."""
    return CanonicalPhoto(
        name=name,
        window=Window((150.0, 150.0), 200.0),
        alignment=PhotoAlignment(),
        rotation=np.eye(3),
        translation=np.zeros(3),
        ambient=0.4,
        diffuse=0.6,
        direction=np.array([0.0, 0.0, 1.0]),
        depth=depth,
        albedo=np.full((size, size, 3), 0.6),
    )


def usual_place(template: Template, scale: float = 1.0) -> CanonicalFrame:
    """The head looks into the canonical camera, the middle of its landmarks on the pivot."""
    marks = template.landmarks478.positions(template.vertices)[:468].astype(np.float64)
    middle = (marks.min(0) + marks.max(0)) / 2
    return CanonicalFrame(scale, np.diag([1.0, -1.0, -1.0]), middle, np.array(LAP_PIVOT))
