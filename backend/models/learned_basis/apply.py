"""Run the learned face model's encoder on the faces of a photo collection: one pass, no fitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.deformation_graph import DeformationGraph, deformation_graph
from backend.models.encoded_face import EncodedFace, EncodedPhoto
from backend.models.learned_basis import LEARNED_BASIS
from backend.models.learned_basis.encoder import LANDMARKS
from backend.models.learned_basis.network import MILLIMETRE, LearnedBasisConfig, LearnedBasisNet
from backend.models.loaded import LoadedNetwork
from backend.photos.collection import PhotoFace
from backend.photos.faces.crop import upright_square
from backend.photos.faces.sampling import Window
from backend.progress import ProgressReporter, silent

STAGE = "encoder"


class BasisModel(LoadedNetwork[LearnedBasisNet]):
    """The learned face model."""

    model = LEARNED_BASIS
    network_type, config_type = LearnedBasisNet, LearnedBasisConfig


@dataclass(frozen=True)
class EncoderInput:
    """Input of the encoder for N photos.

    Attributes
    ----------
    windows : the upright square around each face. pictures : (N, 3, S, S) in [0, 1], its content.
    landmarks : (N, LANDMARKS, 2) in sides of the square.
    """

    windows: tuple[Window, ...]
    pictures: Tensor
    landmarks: Tensor


def encoder_input(faces: Sequence[PhotoFace], size: int) -> EncoderInput:
    """Cut N faces out of their crops, ``size`` pixels per side."""
    windows = tuple(upright_square(face.landmarks) for face in faces)
    cut = np.stack([window.cut(face.pixels, size) for face, window in zip(faces, windows, strict=True)])
    marks = np.stack(
        [w.from_picture(face.landmarks[:LANDMARKS, :2], 1.0) for face, w in zip(faces, windows, strict=True)]
    )
    pictures = torch.from_numpy(cut).permute(0, 3, 1, 2).float() / 255
    return EncoderInput(windows, pictures, torch.from_numpy(marks).float())


@torch.inference_mode()
def encoded_face(faces: Sequence[PhotoFace], model: BasisModel, progress: ProgressReporter = silent) -> EncodedFace:
    """Run the encoder once over all faces of one person. Reports progress under ``encoder``.

    Raises
    ------
    ValueError : no face was given.
    """
    if not faces:
        raise ValueError("an encoded face needs at least one photo")
    progress(STAGE, 0.0)
    network = model.network
    given = encoder_input(faces, network.config.size)
    together = torch.zeros(len(faces), dtype=torch.int64, device=model.device)
    code = network(given.pictures.to(model.device) * 2 - 1, together, given.landmarks.to(model.device))
    identity_nodes, expression_nodes = network.bases.node_offsets(code.identity, code.expression)
    graph = deformation_graph(network.config.nodes)
    rotation = code.pose.cameras(network.config.size).rotation
    photos = tuple(
        EncodedPhoto(photo.name, window, *arrays)
        for photo, window, *arrays in zip(
            faces,
            given.windows,
            _metres(graph, expression_nodes),
            _array(rotation),
            _array(code.pose.distance).tolist(),
            _array(code.light),
            strict=True,
        )
    )
    progress(STAGE, 1.0)
    identity = _metres(graph, identity_nodes)[0]
    reflectance = _array(network.bases.reflectance_of(code.reflectance)[0, : len(identity)])
    return EncodedFace(identity, reflectance, photos, model.version)


def _metres(graph: DeformationGraph, nodes: Tensor) -> np.ndarray:
    """(N, V_head, 3) float64 offsets of the cage in metres, from node offsets (N, G, 3) in millimetres."""
    return MILLIMETRE * graph.offsets(nodes.cpu().numpy()).astype(np.float64)


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()
