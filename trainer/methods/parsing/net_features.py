"""Train the photo stage's classifiers of glasses and beards on features of the parsing net.

``python -m trainer net-classifiers FOLDER`` reads the portraits listed in ``traits.csv`` (the public-domain set),
runs the shipped parsing net on each and on a degraded mirror image of it, and writes ``glasses_by_net.npz`` and
``beard_by_net.npz`` into ``assets/parsing``. They are valid for this version of the net only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from backend.models.parsing.accessories import eye_features, mouth_features
from backend.models.parsing.apply import WORK_SIDE
from backend.models.parsing.network import FaceParser
from backend.photos.faces import crop_head, face_square, landmarks_of_largest, mean_landmarks
from backend.photos.formats import PhotoSource, PhotoUnreadableError
from backend.photos.reading import read_photo
from backend.system.assets import ASSETS
from trainer.methods.parsing.portrait_statistics import logistic_regression
from trainer.portraits.relabel import BEARD, MOUSTACHE, NO, read_traits

_RIDGE_PER_FEATURE = 0.3
_RARITY = 0.5
_LEAST_SPREAD = 1e-3
_SHRUNK, _BRIGHTNESS, _TINT, _QUALITY = (0.28, 0.8), (0.7, 1.25), (0.85, 1.15), (35, 85)
"""Augmentation that imitates press photos: smaller, darker, tinted and more compressed than official portraits."""


def fit(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (F,), weights (F,) and bias of a logistic regression of labels (P,), 0 or 1, on features (P, F).

    Features are scaled to equal spread, so that the ridge acts equally on all; the weights undo the scaling.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0) + _LEAST_SPREAD
    scaled = (features - mean) / spread
    weights, bias = logistic_regression(scaled, labels, _RIDGE_PER_FEATURE * features.shape[1], _RARITY)
    return mean, weights / spread, bias


def save(path: Path, mean: np.ndarray, weights: np.ndarray, bias: float, net_version: str) -> None:
    """Write a classifier; ``net_version`` is the version of the net that computed its features."""
    np.savez_compressed(
        path,
        mean=mean.astype(np.float16),
        weights=weights.astype(np.float16),
        bias=np.float32(bias),
        net=np.array(net_version),
    )


def degraded_picture(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Degrade a picture (S, S, 3) uint8: lower resolution, another light, JPEG compression."""
    side = pixels.shape[0]
    small = max(8, int(side * rng.uniform(*_SHRUNK)))
    soft = cv2.resize(cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA), (side, side))
    lit = soft.astype(np.float32) * rng.uniform(*_BRIGHTNESS)
    if rng.random() < 0.5:
        lit = lit * rng.uniform(*_TINT, 3)
    quality = int(rng.integers(*_QUALITY))
    _, encoded = cv2.imencode(".jpg", np.clip(lit, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def face_features(
    parser: FaceParser, pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Eye and mouth features of a head crop (S, S, 3) with landmarks (478, 3); with ``rng`` the crop is degraded."""
    face = face_square(landmarks)
    near = face.cut(pixels, parser.size)
    near = near if rng is None else degraded_picture(near, rng)
    places = face.from_picture(landmarks[:, :2], parser.size)
    features = parser.look(near).features
    return eye_features(features, places), mouth_features(features, places)


def _head(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Head crop and landmarks of the largest face of a picture; None if unreadable or without a face."""
    try:
        pixels = read_photo(PhotoSource.from_path(path)).pixels
    except PhotoUnreadableError:
        return None
    landmarks = landmarks_of_largest(pixels)
    if landmarks is None:
        return None
    crop = crop_head(pixels, landmarks, max_side=WORK_SIDE)
    return crop.pixels, crop.to_crop(landmarks)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer net-classifiers``."""
    parser.add_argument("folder", type=Path, help="folder of portraits, one per person")
    parser.add_argument("--model", type=Path, help="folder of an exported parsing net; default: the shipped one")
    parser.add_argument("--out", type=Path, default=ASSETS / "parsing", help="folder to write to")


def run(arguments: argparse.Namespace) -> int:
    """Compute features, train both classifiers and write them; returns the exit code."""
    parser, rng = FaceParser.load(arguments.model), np.random.default_rng(0)
    arguments.out.mkdir(parents=True, exist_ok=True)
    eyes, mouths, glasses, hair = [], [], [], []
    for name, traits in read_traits().items():
        head = _head(arguments.folder / name)
        if head is None:
            continue
        pixels, landmarks = head
        flipped = (landmarks * [-1, 1, 1] + [pixels.shape[1], 0, 0])[mean_landmarks().mirror]
        for version in (
            face_features(parser, pixels, landmarks),
            face_features(parser, np.ascontiguousarray(pixels[:, ::-1]), flipped, rng),
        ):
            eyes.append(version[0])
            mouths.append(version[1])
            glasses.append(traits.glasses)
            hair.append(traits.facial_hair)
    known = np.array([seen is not None for seen in glasses])
    told = np.isin(np.array([-1 if seen is None else seen for seen in hair]), (NO, MOUSTACHE, BEARD))
    rows = np.array(eyes, dtype=np.float64)[known]
    worn = np.array([float(bool(seen)) for seen in glasses])[known]
    save(arguments.out / "glasses_by_net.npz", *fit(rows, worn), parser.version)
    rows = np.array(mouths, dtype=np.float64)[told]
    beards = np.array([float(seen == BEARD) for seen in hair])[told]
    save(arguments.out / "beard_by_net.npz", *fit(rows, beards), parser.version)
    return 0
