"""Face verification on renders of the encoder's identities: the paper's measure (section 4.2).

The identity of a photo's reconstruction is rendered in the photo's pose and light. A face-recognition network embeds
the renders; the measure is the distance between the cosines of the same and of different people. The paper uses
VGG-Face, we use dlib's network. The photos themselves, compared in the same way, give the upper bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import wasserstein_distance

from backend.models.learned_basis.apply import encoder_input
from backend.models.learned_basis.network import LearnedBasisNet
from backend.models.learned_basis.picture import render_face
from trainer.evaluate.basis_pairs import FoundFace, cosines_of_pairs, equal_error_rate
from trainer.evaluate.metrics.identity import dlib_box, embedding_in
from trainer.stages.learned_basis_render import FaceMarks

RENDER_SIDE = 150
"""Pixels: the input size of dlib's network."""
_BACKGROUND = 0.5
_BATCH = 16


@torch.no_grad()
def identity_renders(network: LearnedBasisNet, faces: Sequence[FoundFace]) -> Iterator[FoundFace]:
    """Render each photo's neutral face with its reflectance, in the photo's pose and light; landmarks (468, 2)."""
    marks = FaceMarks()
    for start in range(0, len(faces), _BATCH):
        given = encoder_input(faces[start : start + _BATCH], network.config.size)
        code = network(given.pictures * 2 - 1, torch.arange(len(given.pictures)), given.landmarks)
        face = network.face(replace(code, expression=torch.zeros_like(code.expression)))
        cameras = code.pose.cameras(RENDER_SIDE)
        rendered = render_face(network.bases, face, cameras.project(face.vertices), code.light, RENDER_SIDE)
        pictures = torch.where(rendered.mask[:, None], rendered.image, _BACKGROUND).permute(0, 2, 3, 1)
        places = cameras.project(marks.points(face.vertices))[..., :2]
        for picture, own in zip(pictures, places, strict=True):
            yield FoundFace((picture.clamp(0, 1) * 255).round().byte().numpy(), own.double().numpy())


def render_figures(network: LearnedBasisNet, pairs: Sequence[tuple[FoundFace, FoundFace]]) -> dict[str, float]:
    """``verification.renders.emd`` and ``.eer`` of the pairs' renders, and ``verification.photos.*`` of their photos.

    pairs : two photos of one person each.

    Raises
    ------
    LikenessError("missing_part") : the face-recognition network is not installed.
    """
    faces = [face for pair in pairs for face in pair]
    figures = {}
    for name, pictures in (("renders", identity_renders(network, faces)), ("photos", faces)):
        found = np.stack([embedding_in(one.pixels, dlib_box(one.landmarks)) for one in pictures])
        same, other = cosines_of_pairs(found[0::2], found[1::2])
        figures[f"verification.{name}.emd"] = float(wasserstein_distance(same, other))
        figures[f"verification.{name}.eer"] = equal_error_rate(same, other)
    return figures
