"""The expression reader: landmarks after a rigid pose, the picture's evidence around eyes and mouth, and the small
network from both to weights and a rotation. ``python -m trainer expressions`` makes it (docs/expressions.md); its
result is start and prior of a frame's solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import erf

from backend.fitting.detector_model import WINDOW_PER_FACE, WINDOW_PIXELS, face_scale, tongue_out, upright_axes
from backend.geometry.template import OUTLINE_LANDMARKS, load_template
from backend.models.landmarks import net_points, surface_landmarker
from backend.photos.faces import landmark_window, mean_landmarks, rigid_indices
from backend.system.files import ASSETS, read_asset, write_arrays
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, mirrored_name

DISTANCE = 0.9
"""Assumed distance of the face in metres, so that the rotation does not depend on the unknown focal length."""
_UPPER_OUTLINE = (10, 338, 297, 332, 284, 251, 389, 356, 127, 162, 21, 54, 103, 67, 109)


@cache
def steady_landmarks() -> np.ndarray:
    """Landmarks that expressions move little and that lie inside the face's outline."""
    valid = np.flatnonzero(load_template().landmarks478.valid)
    return np.setdiff1d(np.intersect1d(rigid_indices(), valid), [*OUTLINE_LANDMARKS, *_UPPER_OUTLINE])


@dataclass(frozen=True)
class FrontalisedFace:
    """A face with its rigid pose removed.

    Attributes
    ----------
    rotation : (3, 3) from the head frame to a camera that looks straight at the face's middle.
    middle : (2,) pixels of that middle.
    residual : (478, 2) found minus neutral along the head's upright axes in the picture, per cent of ``face_scale``.
    depth : (478,) pixels away from the camera of the neutral landmarks, relative to the mean of ``steady_landmarks``.
    turn : (2,) radians: direction of the camera in the head frame, to the person's left and above.
    """

    rotation: np.ndarray
    middle: np.ndarray
    residual: np.ndarray
    depth: np.ndarray
    turn: np.ndarray


def frontalised_face(found: np.ndarray, neutral: np.ndarray) -> FrontalisedFace:
    """Frontalise landmarks (478, 2 or 3) in pixels; ``neutral`` : the person's (478, 3) metres, head frame.

    Raises ``ValueError`` when no pose explains them.
    """
    steady = steady_landmarks()
    points, pixels = neutral[steady].astype(np.float64), found[steady, :2].astype(np.float64)
    middle, scale = pixels.mean(0), face_scale(found)
    focal = scale / 0.09 * DISTANCE
    rotation, translation = _pose(points, pixels, focal, middle)
    focal *= DISTANCE / (rotation @ points.mean(0) + translation)[2]
    rotation, translation = _pose(points, pixels, focal, middle)
    posed = neutral @ rotation.T + translation
    projected = focal * posed[:, :2] / posed[:, 2:] + middle
    across = (found[:, :2] - projected) @ upright_axes(rotation)
    depth = (posed[:, 2] - posed[steady, 2].mean()) * focal / DISTANCE
    towards = -rotation.T @ translation - points.mean(0)
    towards /= np.linalg.norm(towards)
    return FrontalisedFace(
        rotation,
        middle,
        100.0 / scale * across,
        depth,
        np.array([np.arctan2(towards[0], towards[2]), np.arcsin(towards[1])]),
    )


def posed_depth(points: np.ndarray) -> np.ndarray:
    """(478,) pixels: depths of the mean face's landmarks in the pose of those at (478, 2) pixels, on the scale of
    ``PhotoFace.landmarks``. Raises ``ValueError`` when no pose explains them."""
    template = load_template()
    neutral = net_points().positions(template.vertices).astype(np.float64)
    return frontalised_face(points, neutral).depth


def _pose(points: np.ndarray, pixels: np.ndarray, focal: float, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    intrinsics = np.array([[focal, 0.0, middle[0]], [0.0, focal, middle[1]], [0.0, 0.0, 1.0]])
    try:
        solved, turn, translation = cv2.solvePnP(points, pixels, intrinsics, None, flags=cv2.SOLVEPNP_SQPNP)
        if solved:
            start = turn, translation, True
            solved, turn, translation = cv2.solvePnP(points, pixels, intrinsics, None, *start, cv2.SOLVEPNP_ITERATIVE)
    except cv2.error as error:
        raise ValueError("no pose explains the landmarks") from error
    rotation = cv2.Rodrigues(turn)[0]
    if not solved or not np.isfinite(rotation).all() or (rotation @ points.mean(0) + translation[:, 0])[2] <= 0.05:
        raise ValueError("no pose explains the landmarks")
    return rotation, translation[:, 0]


def towards_point(lateral: np.ndarray) -> np.ndarray:
    """(3, 3) rotation that takes the optical axis to the direction (x, y, 1) of ``lateral`` (2,) without rolling."""
    direction = np.array([lateral[0], lateral[1], 1.0]) / np.sqrt(1.0 + float(lateral @ lateral))
    axis = np.array([-direction[1], direction[0], 0.0])
    sine = float(np.linalg.norm(axis))
    return Rotation.from_rotvec(axis / max(sine, 1e-12) * np.arctan2(sine, direction[2])).as_matrix()


EYE, MOUTH, FACE, COLOURS = (48, 48), (64, 48), (64, 64), (12, 9)
"""Patches' width and height in pixels."""
EYE_SIDE, MOUTH_SIDE, FACE_SIDE = 0.62, 0.95, 1.6
"""Patches' widths in ``face_scale``."""
EYE_RAISED = 0.06
RIGHT_EYE, LEFT_EYE, AROUND_MOUTH, MIDDLE = (33, 133), (263, 362), (61, 291, 0, 17), (1, 168, 33, 263)
"""Landmarks whose mean is the centre of a patch."""


@dataclass(frozen=True)
class FaceEvidence:
    """Evidence of one face in one picture.

    Attributes
    ----------
    landmarks : (478, 3) pixels. width : of the picture, pixels.
    eyes : (2, E) histograms of oriented gradients (Dalal & Triggs 2005) of the left and the mirrored right eye.
    mouth : (2, M) of the mouth and of its mirror image. face : (2, F) likewise of the whole face.
    colours : (2, C) CIELAB of the mouth at ``COLOURS`` pixels relative to the face, and its mirror image: teeth, tongue
        and a dark mouth.
    tongue : how far a tongue is out, 0 to 1 (see ``tongue_out``).
    surface : (478, 2) points of the landmark net, pixels; None where it is not trained.
    impression : (2, H) features of the landmark net for the whole face and its mirror image
        (``SurfaceLandmarker.impression``); None likewise.
    """

    landmarks: np.ndarray
    width: int
    eyes: np.ndarray
    mouth: np.ndarray
    face: np.ndarray
    colours: np.ndarray
    tongue: float = 0.0
    surface: np.ndarray | None = None
    impression: np.ndarray | None = None

    def on_surface(self) -> np.ndarray:
        """(478, 2) the landmark net's points; the detector's where there are none."""
        return self.landmarks[:, :2] if self.surface is None else self.surface

    def mirrored(self) -> FaceEvidence:
        """The evidence of the mirrored picture."""
        landmarks = self._swapped(self.landmarks)
        surface = None if self.surface is None else self._swapped(self.surface)
        swapped = self.eyes[::-1], self.mouth[::-1], self.face[::-1], self.colours[::-1]
        impression = None if self.impression is None else self.impression[::-1]
        return FaceEvidence(landmarks, self.width, *swapped, self.tongue, surface, impression)

    def _swapped(self, landmarks: np.ndarray) -> np.ndarray:
        mirrored = landmarks[mean_landmarks().mirror].copy()
        mirrored[:, 0] = self.width - mirrored[:, 0]
        return mirrored


def evidence_of_window(
    window: np.ndarray, landmarks: np.ndarray, width: int, surface: np.ndarray | None = None
) -> FaceEvidence:
    """Evidence of a face with landmarks (478, 3) in a picture ``width`` pixels wide. window : (144, 144, 3) uint8 sRGB,
    upright, ``landmark_window(landmarks, WINDOW_PER_FACE)``; ``surface`` as in the result."""
    grey = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY)
    points = _in_window(landmarks, landmarks)
    scale = face_scale(points)
    raised = np.array([0.0, -EYE_RAISED * scale])
    left = _patch(grey, points[list(LEFT_EYE)].mean(0) + raised, EYE_SIDE * scale, EYE)
    right = _patch(grey, points[list(RIGHT_EYE)].mean(0) + raised, EYE_SIDE * scale, EYE)[:, ::-1]
    mouth = _patch(grey, points[list(AROUND_MOUTH)].mean(0), MOUTH_SIDE * scale, MOUTH)
    face = _patch(grey, points[list(MIDDLE)].mean(0), FACE_SIDE * scale, FACE)
    colours = _relative_colours(window, points, scale)
    return FaceEvidence(
        landmarks=np.asarray(landmarks, dtype=np.float64),
        width=width,
        eyes=np.stack([_gradients(left, EYE), _gradients(right, EYE)]),
        mouth=np.stack([_gradients(mouth, MOUTH), _gradients(mouth[:, ::-1], MOUTH)]),
        face=np.stack([_gradients(face, FACE), _gradients(face[:, ::-1], FACE)]),
        colours=np.stack([colours.ravel(), colours[:, ::-1].ravel()]),
        tongue=tongue_out(window, points),
        surface=surface,
        impression=_impression(window, landmarks, surface),
    )


def _impression(window: np.ndarray, landmarks: np.ndarray, surface: np.ndarray | None) -> np.ndarray | None:
    landmarker = surface_landmarker()
    if surface is None or landmarker is None:
        return None
    return landmarker.impression(window, _in_window(landmarks, surface))


def _relative_colours(window: np.ndarray, points: np.ndarray, scale: float) -> np.ndarray:
    """(height, width, 3) of the mouth in CIELAB, minus the face's mean, over the face's standard deviation."""
    lab = cv2.cvtColor(window, cv2.COLOR_RGB2LAB).astype(np.float32)
    face = _patch(lab, points[list(MIDDLE)].mean(0), 0.8 * FACE_SIDE * scale, (16, 16)).reshape(-1, 3)
    small = cv2.resize(
        _patch(lab, points[list(AROUND_MOUTH)].mean(0), MOUTH_SIDE * scale, MOUTH),
        COLOURS,
        interpolation=cv2.INTER_AREA,
    )
    spread = np.maximum(face.std(0), [8.0, 3.0, 3.0])
    return np.clip((small - face.mean(0)) / spread, -6.0, 6.0)


def _in_window(landmarks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (478, 2 or more) of the picture in pixels of the upright window around ``landmarks``, (478, 2)."""
    return landmark_window(landmarks, WINDOW_PER_FACE).from_picture(points[:, :2], WINDOW_PIXELS)


def _patch(grey: np.ndarray, centre: np.ndarray, side: float, size: tuple[int, int]) -> np.ndarray:
    """(height, width) patch around ``centre``, ``side`` window pixels wide."""
    width, height = size
    factor = width / side
    offset = [width / 2 - factor * centre[0] - 0.5 + 0.5 * factor, height / 2 - factor * centre[1] - 0.5 + 0.5 * factor]
    matrix = np.array([[factor, 0, offset[0]], [0, factor, offset[1]]])
    return cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@cache
def _descriptor(size: tuple[int, int]) -> cv2.HOGDescriptor:
    return cv2.HOGDescriptor(size, (16, 16), (8, 8), (8, 8), 9)


def _gradients(patch: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return _descriptor(size).compute(np.ascontiguousarray(patch)).ravel()


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
