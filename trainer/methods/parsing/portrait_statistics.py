"""Statistics of portraits for the photo stage: the identity descriptor.

``python -m trainer portrait-statistics FOLDER`` reads one portrait per person (the public-domain set) and writes
``identity_projection.npz`` into ``assets/photos``.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from backend.photos import faces
from backend.photos.collection import PhotoSource, PhotoUnreadableError
from backend.photos.reading import read_photo
from backend.photos.screening import gradient_histogram
from backend.system.files import ASSETS

_MIN_FACE_PX = 52
_WITHIN_PRIOR = 0.3
_DIMENSIONS = 128
_VARIANTS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer portrait-statistics``."""
    parser.add_argument("folder", type=Path, help="folder of portraits, one per person")
    parser.add_argument("--limit", type=int, default=2600, help="portraits to use (default 2600)")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder whose photos/ is written to")


def run(arguments: argparse.Namespace) -> int:
    """Compute the statistics and write them; returns the exit code."""
    (arguments.out / "photos").mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in arguments.folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    np.random.default_rng(0).shuffle(paths)
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
