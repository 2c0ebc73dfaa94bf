"""Encoded faces of known shapes, photos of them, and a model that has learnt nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from plain_photo import plain_photo
from scipy.spatial.transform import Rotation

from backend.geometry.template import Template
from backend.models.checkpoints import ModelWeights, fingerprint, half_precision, save_model
from backend.models.learned_basis.apply import EncodedFace, EncodedPhoto
from backend.models.learned_basis.network import LearnedBasisConfig, LearnedBasisNet
from backend.models.registry import LEARNED_BASIS
from backend.photos.collection import FaceClass, PhotoFace
from backend.photos.faces import Window

TINY = LearnedBasisConfig(
    size=32, level=0, nodes=60, identity=6, reflectance=4, expression=5, width=8, stages=3, feature=16, focal=0.0
)


def tiny_network() -> LearnedBasisNet:
    """Random bases and weights."""
    torch.manual_seed(5)
    network = LearnedBasisNet(TINY).eval()
    with torch.no_grad():
        for basis in (network.bases.identity_raw, network.bases.expression):
            basis.copy_(torch.randn(basis.shape))
        network.bases.reflectance.copy_(0.02 * torch.randn(network.bases.reflectance.shape))
        for head in (network.encoder.identity, network.encoder.expression):
            head.weight.mul_(20.0)
    return network


def save_tiny(folder: Path) -> Path:
    """The tiny model as an exported one."""
    tensors = half_precision(tiny_network().state_dict())
    save_model(ModelWeights(LEARNED_BASIS.name, TINY.to_json(), tensors, fingerprint(tensors)), folder)
    return folder


def photo_of(
    template: Template, identity: np.ndarray, expression: np.ndarray, yaw: float, distance: float, number: int = 0
) -> tuple[PhotoFace, EncodedPhoto]:
    """A photo whose landmarks are a known head's, 400 x 400 pixels, and what a perfect encoder says of it."""
    turn = Rotation.from_euler("y", yaw, degrees=True).as_matrix()
    rotation = np.diag([1.0, -1.0, -1.0]) @ turn
    moved = np.tensordot(expression, template.expressions, 1)
    shape = template.vertices + np.tensordot(identity, template.identity_modes, 1) + moved
    points = template.landmarks478.positions(shape).astype(np.float64)
    in_camera = (points - points.mean(0)) @ rotation.T + [0.01 * distance, -0.02 * distance, distance]
    pixels = 1700 * distance * in_camera[:, :2] / in_camera[:, 2:] + 200
    generator = np.random.default_rng(number)
    face = plain_photo(
        (400, 400),
        name=f"{number}.png",
        pixels=np.kron(generator.integers(40, 220, (10, 10, 3)), np.ones((40, 40, 1))).astype(np.uint8),
        landmarks=np.concatenate([pixels, np.zeros((478, 1))], 1).astype(np.float32),
        labels=np.full((400, 400), FaceClass.SKIN, np.uint8),
        yaw_degrees=yaw,
    )
    count = template.head.vertex_stop
    window = Window((200.0, 200.0), 300.0)
    return face, EncodedPhoto(face.name, window, moved[:count], rotation, distance, np.zeros((9, 3)))


def encoded_of(template: Template, identity: np.ndarray, photos: list[EncodedPhoto]) -> EncodedFace:
    """What a perfect encoder says of a person."""
    count = template.head.vertex_stop
    offsets = np.tensordot(identity, template.identity_modes[:, :count], 1)
    return EncodedFace(offsets, np.full((count, 3), 0.3), tuple(photos), "made")


def nothing_known(encoded: EncodedFace) -> EncodedFace:
    """The mean face without expression, whatever was there."""
    photos = tuple(replace(photo, expression=np.zeros_like(photo.expression)) for photo in encoded.photos)
    return replace(encoded, identity=np.zeros_like(encoded.identity), photos=photos)
