"""Statistics of portraits for the photo stage: mean landmarks and the identity descriptor.

``python -m trainer portrait-statistics FOLDER`` reads one portrait per person (the public-domain set) and writes
``mean_landmarks.npz`` (with ``--landmarks``) and ``identity_projection.npz`` into ``assets/photos``.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from backend.photos import faces, mediapipe_models
from backend.photos.formats import PhotoSource, PhotoUnreadableError
from backend.photos.reading import read_photo
from backend.photos.screening import gradient_histogram
from backend.system.assets import ASSETS
from protocol.similarity import fit_similarity

_MIN_FACE_PX = 52
_WITHIN_PRIOR = 0.3
_DIMENSIONS = 128
_VARIANTS = 2
_MESH_SIDE = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer portrait-statistics``."""
    parser.add_argument("folder", type=Path, help="folder of portraits, one per person")
    parser.add_argument("--limit", type=int, default=2600, help="portraits to use (default 2600)")
    parser.add_argument("--landmarks", action="store_true", help="make the mean landmarks anew as well")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder whose photos/ is written to")


def run(arguments: argparse.Namespace) -> int:
    """Compute the statistics and write them; returns the exit code."""
    (arguments.out / "photos").mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in arguments.folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    np.random.default_rng(0).shuffle(paths)
    if arguments.landmarks:
        points, mirror = mean_and_mirror(paths[:600])
        np.savez_compressed(arguments.out / "photos" / "mean_landmarks.npz", points=points, mirror=mirror)
        faces.mean_landmarks.cache_clear()
    mean, projection = identity_projection(paths, arguments.limit)
    scale = np.abs(projection).max(axis=0) / 127
    np.savez_compressed(
        arguments.out / "photos" / "identity_projection.npz",
        mean=mean.astype(np.float16),
        projection=np.round(projection / scale).astype(np.int8),
        scale=scale.astype(np.float32),
    )
    return 0


def identity_projection(paths: list[Path], limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (800,) and projection (800, 128) by linear discriminant analysis (Fisher 1936, Rao 1948).

    There is one portrait per person, so the within-person covariance comes from portraits that are mirrored, relit,
    blurred, and have perturbed landmarks. The projected vectors have unit variance over people.
    """
    rng = np.random.default_rng(1)
    rows = []
    for path in paths:
        if len(rows) == limit:
            break
        face = read_portrait(path)
        if face is None:
            continue
        versions = [face, mirrored_portrait(*face)]
        for _ in range(_VARIANTS):
            versions.append(_varied(*(face if rng.random() < 0.5 else mirrored_portrait(*face)), rng))
        rows.append([gradient_histogram(*version) for version in versions])
    features = np.array(rows, dtype=np.float64)  # (people, versions, 800)
    people, versions, size = features.shape
    mean = features.mean(axis=(0, 1))
    within = (features - features.mean(axis=1, keepdims=True)).reshape(-1, size)
    within = within.T @ within / (people * (versions - 1))
    total = (features - mean).reshape(-1, size)
    covariance = total.T @ total / len(total)
    root = np.linalg.cholesky(within + _WITHIN_PRIOR * np.trace(within) / size * np.eye(size))
    whiten = np.linalg.inv(root)
    _, directions = np.linalg.eigh(whiten @ covariance @ whiten.T)
    projection = whiten.T @ directions[:, ::-1][:, :_DIMENSIONS]
    return mean, projection / (total @ projection).std(axis=0)


def mean_and_mirror(paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Mean landmarks (478, 3) in the frame of ``backend.photos.faces.MeanLandmarks``, and mirror map (478,).

    The mirror map gives, for each landmark, the one at the same place in the mirrored picture.
    """
    pairs = []
    for path in paths:
        pixels = _read(path)
        detections = faces.detect_faces(pixels) if pixels is not None else ()
        if not detections:
            continue
        scale = 1.9 * detections[0].side
        low = np.clip(np.array(detections[0].centre) - scale / 2, 0, None).astype(int)
        part = pixels[low[1] : int(low[1] + scale), low[0] : int(low[0] + scale)]
        square = np.zeros((max(part.shape), max(part.shape), 3), np.uint8)
        square[: part.shape[0], : part.shape[1]] = part
        square = cv2.resize(square, (_MESH_SIDE, _MESH_SIDE))
        answers = [_mesh(square), _mesh(square[:, ::-1])]
        if all(answer is not None for answer in answers):
            pairs.append(answers)
    shapes = np.array(pairs)  # (photos, 2, 478, 3)
    back = shapes[:, 1] * [-1, 1, 1] + [_MESH_SIDE, 0, 0]
    cost = np.zeros((faces.LANDMARK_COUNT, faces.LANDMARK_COUNT))
    for plain, mirrored in zip(shapes[:, 0], back, strict=True):
        cost += np.linalg.norm(plain[:, None] - mirrored[None], axis=2)
    mirror = linear_sum_assignment(cost)[1]
    return _symmetric_mean(shapes.reshape(-1, faces.LANDMARK_COUNT, 3), mirror), mirror.astype(np.int16)


def _symmetric_mean(shapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Generalised Procrustes mean (Gower 1975), upright, symmetric about x = 0, eye corners 1 apart."""
    mean = shapes[0]
    for _ in range(6):
        mean = np.mean([fit_similarity(shape, mean).apply(shape) for shape in shapes], axis=0)
    mean = mean - mean[: faces.MESH_COUNT].mean(axis=0)
    for _ in range(8):
        image = (mean * [-1, 1, 1])[mirror]
        mean = (mean + fit_similarity(image, mean).apply(image)) / 2
    across = mean - mean[mirror]
    across = across[np.linalg.norm(across, axis=1) > 1]
    x_axis = (across * np.sign(across[:, :1])).mean(axis=0)
    x_axis /= np.linalg.norm(x_axis)
    down = mean[faces.CHIN] - mean[faces.FOREHEAD_TOP]
    y_axis = down - x_axis * (x_axis @ down)
    y_axis /= np.linalg.norm(y_axis)
    mean = mean @ np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)]).T
    mean -= [mean[:, 0].mean(), 0, 0]
    mean = (mean + (mean * [-1, 1, 1])[mirror]) / 2
    return (mean / np.linalg.norm(mean[faces.EYE_OUTER_LEFT] - mean[faces.EYE_OUTER_RIGHT])).astype(np.float32)


def _mesh(square: np.ndarray) -> np.ndarray | None:
    meshes = mediapipe_models.face_mesh().process(square).multi_face_landmarks
    return np.array([[p.x, p.y, p.z] for p in meshes[0].landmark]) * _MESH_SIDE if meshes else None


def _read(path: Path) -> np.ndarray | None:
    try:
        return read_photo(PhotoSource.from_path(path)).pixels
    except PhotoUnreadableError:
        return None


def read_portrait(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Pixels and landmarks of a portrait's largest face; None if unreadable, without a face, or too small."""
    pixels = _read(path)
    landmarks = None if pixels is None else faces.landmarks_of_largest(pixels)
    if landmarks is None or faces.landmark_window(landmarks, 1.0).side < _MIN_FACE_PX:
        return None
    return pixels, landmarks


def mirrored_portrait(pixels: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror a picture and its landmarks."""
    turned = landmarks * [-1, 1, 1] + [pixels.shape[1], 0, 0]
    return np.ascontiguousarray(pixels[:, ::-1]), turned[faces.mean_landmarks().mirror].astype(np.float32)


def _varied(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Augment a portrait: another light, blur, noise, and landmarks perturbed by small turns and detection errors."""
    size = float(np.ptp(landmarks[: faces.MESH_COUNT, 1]))
    centre = landmarks[: faces.MESH_COUNT, :2].mean(axis=0)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1.2)
    along = ((columns - centre[0]) * np.cos(angle) + (rows - centre[1]) * np.sin(angle)) / size
    linear = (pixels / np.float32(255)) ** 2.2 * np.exp(slope * along)[..., None] * rng.uniform(0.5, 1.5)
    lit = np.clip(linear, 0, 1).astype(np.float32) ** (1 / 2.2)
    lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, 1.6) * max(size / 100, 0.3)) * 255
    noisy = np.clip(lit + rng.normal(0, 3, lit.shape), 0, 255).astype(np.uint8)
    moved = landmarks + rng.normal(0, 0.006 * size, (1, 3))
    depth = landmarks[:, 2] - landmarks[:, 2].mean()
    moved[:, 0] += rng.normal(0, 0.12) * depth
    moved[:, 1] += rng.normal(0, 0.10) * depth
    moved[:, :2] += rng.normal(0, 0.004 * size, (faces.LANDMARK_COUNT, 2))
    return noisy, moved.astype(np.float32)
