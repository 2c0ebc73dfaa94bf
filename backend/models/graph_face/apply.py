"""The graph face model on a photo collection: one pass of its encoder, and its decoder linearised around a code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from backend.geometry.template import Template
from backend.models.encoded_face import EncodedFace, EncodedPhoto
from backend.models.graph_face import GRAPH_FACE
from backend.models.graph_face.codes import CODE_STEP
from backend.models.graph_face.network import GraphCodes, GraphFaceNet
from backend.models.landmarks.apply import marks_in
from backend.models.loaded import LoadedNetwork
from backend.photos.collection import PhotoFace
from backend.photos.faces.crop import Window, upright_square
from backend.progress import ProgressReporter, silent
from backend.rendering.color import linear_from_srgb

STAGE = "encoder"
_USUAL_DISTANCE = 1.2
"""Usual distance of portraits in metres (``PriorWeights.distance_metres``), because weak perspective has none."""
_BATCH = 32


class GraphModel(LoadedNetwork[GraphFaceNet]):
    """The graph face model."""

    model = GRAPH_FACE
    build = staticmethod(GraphFaceNet.from_weights)

    @property
    def wants_surface(self) -> bool:
        return self.network.encoder.points is not None


@torch.inference_mode()
def graph_face(faces: Sequence[PhotoFace], model: GraphModel, progress: ProgressReporter = silent) -> EncodedFace:
    """Run encoder and decoders once over all faces of one person; the identity's code is the photos' mean weighted by
    confidence. Reports progress under ``encoder``.

    Raises
    ------
    ValueError : no face was given, or the encoder needs the landmark net's points and a face has none.
    """
    if not faces:
        raise ValueError("an encoded face needs at least one photo")
    progress(STAGE, 0.0)
    network = model.network
    windows, _, codes = read_codes(faces, model)
    identity = codes.person()[None]
    neutral = network.neutral(identity)
    moved = network.shape(identity.expand(len(faces), -1), codes.expression) - neutral  # (N, V_head, 3)
    albedo = linear_from_srgb(network.albedo(identity)[0].clamp(0, 1))
    photos = tuple(
        EncodedPhoto(face.name, window, expression, rotation, _USUAL_DISTANCE, light)
        for face, window, expression, rotation, light in zip(
            faces, windows, *map(_array, (moved, codes.pose.rotation(), codes.light)), strict=True
        )
    )
    progress(STAGE, 1.0)
    offsets = _array(neutral[0] - network.mean)
    return EncodedFace(offsets, _array(albedo), photos, model.version, _array(identity[0]))


@torch.inference_mode()
def read_codes(faces: Sequence[PhotoFace], model: GraphModel) -> tuple[tuple[Window, ...], torch.Tensor, GraphCodes]:
    """Windows cut out of N photos, their pixels (N, 3, S, S) sRGB in [0, 1], and their codes."""
    network, device = model.network, model.device
    windows = tuple(upright_square(face.landmarks) for face in faces)
    size = network.config.size
    cut = np.stack([window.cut(face.pixels, size) for face, window in zip(faces, windows, strict=True)])
    pictures = torch.from_numpy(cut).to(device).permute(0, 3, 1, 2).float() / 255
    marks = marks_in(faces, windows).to(device) if model.wants_surface else pictures.new_zeros(len(faces), 0, 3)
    return windows, pictures, network.encoder(pictures, marks)


@torch.inference_mode()
def template_around(template: Template, model: GraphModel, identity: np.ndarray) -> Template:
    """Linearise the decoder around a code: the template whose identity modes are the decoder's derivatives there.

    template : the committed one, whose skin is the decoder's mean. identity : (D,). A face of the result with
    coefficients c is f(identity) + J (c - identity), so a Gauss-Newton step in the modes is one in the code. The other
    parts of the head follow the skin. J by finite differences.
    """
    network = model.network
    code = torch.from_numpy(identity).to(model.device).float()
    here = network.neutral(code[None])[0]  # (V_head, 3)
    steps = code + CODE_STEP * torch.eye(len(code), device=model.device)
    around = torch.cat([network.neutral(part) for part in steps.split(_BATCH)])
    modes = _array((around - here) / CODE_STEP)  # (D, V_head, 3)
    offset = _array(here - network.mean) - np.tensordot(identity, modes, 1)
    return replace(
        template,
        vertices=(template.vertices + template.following_skin(offset)).astype(np.float32),
        identity_modes=template.following_skin(modes).astype(np.float32),
    )


def _array(values: torch.Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
