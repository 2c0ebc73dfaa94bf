"""Expression reader: a small network from the landmark net's points and the picture to expression and head pose.

Made by ``python -m trainer expressions`` on synthetic people (docs/expressions.md). Its result is the start and the
prior of a frame's solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import erf

from backend.asset_file import read_asset
from backend.assets import ASSETS
from backend.expression.evidence import FaceEvidence
from backend.expression.frontalised import FrontalisedFace, frontalised_face
from backend.fitting.initial_pose import face_scale
from backend.photos.faces.landmarks import mean_landmarks
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, mirrored_name
from backend.safetensors_file import write_arrays

READER_PATH = ASSETS / "expressions" / "expression_reader.safetensors"
LARGEST_RESIDUAL = 25.0
LID_ROWS = ((386, 374), (385, 380), (387, 373)), ((159, 145), (158, 153), (160, 144))
"""Landmarks of the upper and the lower lid, of the left and the right eye."""
BASES = ("surface", "eye", "mouth", "face", "colours", "impression")
ROTATION_UNIT = 0.2
"""Unit of the network's last three outputs, radians."""
MIRRORED_KEYS = np.array([ARKIT_INDEX[mirrored_name(name)] for name in ARKIT_NAMES])


@dataclass(frozen=True)
class FaceReader:
    """The network's parameters.

    Attributes
    ----------
    means, bases : by ``BASES``: (D,) mean and (K, D) scaled principal directions.
    offset, scale : (P,) normalisation of the inputs that are not principal components: view and lids.
    layers : (weights (in, out), bias (out,)) of each ensemble's layers, all with ``len(layers[0][0])`` members.
    covariance : (52, 52) of the weights' errors on held-out people; rotation_covariance : (3, 3) rad², head axes.
    """

    means: dict[str, np.ndarray]
    bases: dict[str, np.ndarray]
    offset: np.ndarray
    scale: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    covariance: np.ndarray
    rotation_covariance: np.ndarray


@dataclass(frozen=True)
class Reading:
    """The reader's result for one picture.

    Attributes
    ----------
    weights : (52,) in [0, 1]. rotation : (3, 3) from the head frame to a camera that looks straight at the face's
        middle. scale : the face's size, pixels (``face_scale``).
    """

    weights: np.ndarray
    rotation: np.ndarray
    scale: float


@dataclass(frozen=True)
class RawFeatures:
    """Features of one picture before reduction: long vectors by ``BASES`` (None if unknown), and (P,) plain numbers."""

    long: dict[str, list[np.ndarray | None]]
    plain: np.ndarray


def raw_features(evidence: FaceEvidence, face: FrontalisedFace) -> tuple[RawFeatures, RawFeatures]:
    """Features of a picture and of its mirror image, with mirrored pose and residuals; ``face`` is the frontalised
    ``evidence.on_surface()``."""
    swapped = face.residual[mean_landmarks().mirror] * [-1.0, 1.0]
    return _raw(evidence, face.residual, face.turn), _raw(evidence.mirrored(), swapped, face.turn * [-1.0, 1.0])


def _raw(evidence: FaceEvidence, residual: np.ndarray, view: np.ndarray) -> RawFeatures:
    yaw, pitch = view
    lids = [residual[top] - residual[bottom] for eye in LID_ROWS for top, bottom in eye]
    views = [yaw, pitch, yaw**2, pitch**2, yaw * pitch]
    plain = np.concatenate([views, np.clip(np.ravel(lids), -15.0, 15.0)])
    long = {
        "surface": [np.clip(residual, -LARGEST_RESIDUAL, LARGEST_RESIDUAL).ravel()],
        "eye": [evidence.eyes[0], evidence.eyes[1]],
        "mouth": [evidence.mouth[0]],
        "face": [evidence.face[0]],
        "colours": [evidence.colours[0]],
        "impression": [None if evidence.impression is None else evidence.impression[0]],
    }
    return RawFeatures(long, plain)


def reduced(reader: FaceReader, raw: RawFeatures) -> np.ndarray:
    """(I,) inputs of the network; unknown features take their mean."""
    parts = [(raw.plain - reader.offset) / reader.scale]
    for name in BASES:
        vectors = [reader.means[name] if vector is None else vector for vector in raw.long[name]]
        parts += [reader.bases[name] @ (vector - reader.means[name]) for vector in vectors]
    return np.concatenate(parts)


def run_network(layers: tuple[tuple[np.ndarray, np.ndarray], ...], inputs: np.ndarray) -> np.ndarray:
    """(..., 55) mean over the ensemble of (M, in, out) layers with GELU between them, for inputs (..., I)."""
    outputs = []
    for member in range(len(layers[0][0])):
        values = inputs
        for number, (weights, bias) in enumerate(layers):
            values = values @ weights[member] + bias[member]
            if number + 1 < len(layers):
                values = 0.5 * values * (1.0 + erf(values / np.sqrt(2.0)))
        outputs.append(values)
    return np.mean(outputs, axis=0)


def read_face(reader: FaceReader, evidence: FaceEvidence, neutral: np.ndarray) -> Reading:
    """Read a face with ``neutral`` landmarks at (478, 3) metres, head frame; the mean over the picture and its mirror
    image. Raises ``ValueError`` when no pose explains the landmarks."""
    face = frontalised_face(evidence.on_surface(), neutral)
    inputs = np.array([reduced(reader, raw) for raw in raw_features(evidence, face)])
    plain, flipped = run_network(reader.layers, inputs)
    weights = 0.5 * (plain[:52] + flipped[:52][MIRRORED_KEYS])
    turn = 0.5 * ROTATION_UNIT * (plain[52:] + flipped[52:] * [1.0, -1.0, -1.0])
    rotation = face.rotation @ Rotation.from_rotvec(turn).as_matrix()
    return Reading(np.clip(weights, 0.0, 1.0), rotation, face_scale(evidence.landmarks))


@lru_cache(maxsize=1)
def load_reader(path: Path = READER_PATH) -> FaceReader:
    """The committed reader; raises ``LikenessError`` when the file is missing or damaged."""
    arrays = {name: array.astype(np.float64) for name, array in read_asset(path).arrays.items()}
    count = sum(name.startswith("weights") for name in arrays)
    return FaceReader(
        means={name: arrays[f"mean_{name}"] for name in BASES},
        bases={name: arrays[f"basis_{name}"] for name in BASES},
        offset=arrays["offset"],
        scale=arrays["scale"],
        layers=tuple((arrays[f"weights{number}"], arrays[f"bias{number}"]) for number in range(count)),
        covariance=arrays["covariance"],
        rotation_covariance=arrays["rotation_covariance"],
    )


def save_reader(reader: FaceReader, path: Path = READER_PATH, metadata: dict[str, str] | None = None) -> None:
    """Write the reader, matrices as float16."""
    arrays = {"offset": reader.offset, "scale": reader.scale}
    arrays |= {"covariance": reader.covariance, "rotation_covariance": reader.rotation_covariance}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    for name in BASES:
        arrays[f"mean_{name}"] = reader.means[name].astype(np.float32)
        arrays[f"basis_{name}"] = reader.bases[name].astype(np.float16)
    for number, (weights, bias) in enumerate(reader.layers):
        arrays[f"weights{number}"], arrays[f"bias{number}"] = weights.astype(np.float16), bias.astype(np.float32)
    write_arrays(path, arrays, metadata or {})
