"""Fit the classifier of drawings and photographs to portraits that were sorted by eye.

``python -m trainer.portraits.fit_drawings FOLDER`` reads ``drawing_labels.csv`` and its pictures in FOLDER,
prints the accuracy by cross-validation, and writes ``assets/photos/drawing_classifier.npz``.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from backend.photos.faces import face_square, landmarks_of_largest
from backend.photos.formats import PhotoSource
from backend.photos.reading import read_photo
from backend.photos.screening import drawing_features
from backend.system.assets import ASSETS

LABELS_PATH = Path(__file__).parent / "drawing_labels.csv"
_RIDGE = 100.0
_STEPS, _ENOUGH = 25, 1e-9  # most Newton steps; change of the weights at which they stop
_FOLDS = 10


def logistic_regression(x: np.ndarray, y: np.ndarray, ridge: float, rarity: float) -> tuple[np.ndarray, float]:
    """Weights (F,) and bias of a ridge-penalised logistic regression of labels (P,), 0 or 1, on features (P, F).

    By Newton's method. Rows labelled 1 have the weight (rows labelled 0 / rows labelled 1) ** ``rarity``: 1 gives both
    classes equal weight, 0 gives all rows equal weight.
    """
    design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    penalty = np.diag([ridge] * x.shape[1] + [1e-6])
    importance = np.where(y > 0, ((1 - y).sum() / max(y.sum(), 1.0)) ** rarity, 1.0)
    weights = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (importance * (chance - y)) + penalty @ weights
        curvature = (design * (importance * chance * (1 - chance))[:, None]).T @ design + penalty
        change = np.linalg.solve(curvature, gradient)
        weights -= change
        if np.abs(change).max() < _ENOUGH:
            break
    return weights[:-1], float(weights[-1])


def main() -> None:
    """Command line: see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the portraits that drawing_labels.csv names")
    arguments = parser.parse_args()
    features, labels = [], []
    with LABELS_PATH.open(newline="") as file:
        for row in csv.DictReader(file):
            face = _face(arguments.folder / row["file"])
            if face is not None:
                features += [drawing_features(face), drawing_features(face[:, ::-1])]
                labels += [float(row["drawing"])] * 2
    x, y = np.array(features), np.array(labels)
    for name, share in held_out_accuracy(x, y).items():
        print(f"{name}: {share:.3f}")
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    weights, bias = logistic_regression((x - mean) / scale, y, _RIDGE, rarity=1.0)
    np.savez_compressed(
        ASSETS / "photos" / "drawing_classifier.npz",
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        weights=weights.astype(np.float32),
        bias=np.float32(bias),
    )


def held_out_accuracy(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Cross-validated shares of correctly classified drawings and photographs. A picture and its mirror image,
    neighbours in ``x`` (P, F), stay in the same fold."""
    fold = np.arange(len(y)) // 2 % _FOLDS
    right = np.zeros(len(y), dtype=bool)
    for index in range(_FOLDS):
        inside = fold != index
        mean, scale = x[inside].mean(axis=0), x[inside].std(axis=0) + 1e-6
        weights, bias = logistic_regression((x[inside] - mean) / scale, y[inside], _RIDGE, rarity=1.0)
        right[~inside] = (((x[~inside] - mean) / scale) @ weights + bias > 0) == (y[~inside] > 0)
    return {"drawings found": float(right[y > 0].mean()), "photographs kept": float(right[y == 0].mean())}


def _face(path: Path) -> np.ndarray | None:
    """(64, 64, 3) face square of the largest face."""
    pixels = read_photo(PhotoSource.from_path(path)).pixels
    landmarks = landmarks_of_largest(pixels)
    return None if landmarks is None else face_square(landmarks).cut(pixels, 64)


if __name__ == "__main__":
    main()
