"""Fit the classifier of drawings and photographs to portraits that were sorted by eye.

``python -m trainer.portraits.fit_drawings FOLDER`` reads ``drawing_labels.csv`` and its pictures in FOLDER,
prints the accuracy by cross-validation, and writes ``assets/photos/drawing_classifier.npz``.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from backend.photos.collection import PhotoSource
from backend.photos.faces import face_square, landmarks_of_largest
from backend.photos.reading import read_photo
from backend.photos.screening import drawing_features
from backend.system.files import ASSETS
from trainer.portraits.hair_kind import fit_logistic

LABELS_PATH = Path(__file__).parent / "drawing_labels.csv"
_RIDGE = 110.0
_FOLDS = 10


def fitted(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and scale (F,) of features (P, F), and weights (F,) and bias of the score of labels (P,), 0 or 1; drawings,
    which are few, weigh as much as photographs."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    weights = np.diff(fit_logistic((x - mean) / scale, y.astype(int), 2, even=True, ridge=_RIDGE), axis=1)[:, 0]
    return {"mean": mean, "scale": scale, "weights": weights[:-1], "bias": weights[-1]}


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
    table = {name: value.astype(np.float32) for name, value in fitted(x, y).items()}
    np.savez_compressed(ASSETS / "photos" / "drawing_classifier.npz", **table)


def held_out_accuracy(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Cross-validated shares of correctly classified drawings and photographs. A picture and its mirror image,
    neighbours in ``x`` (P, F), stay in the same fold."""
    fold = np.arange(len(y)) // 2 % _FOLDS
    right = np.zeros(len(y), dtype=bool)
    for index in range(_FOLDS):
        inside = fold != index
        found = fitted(x[inside], y[inside])
        score = ((x[~inside] - found["mean"]) / found["scale"]) @ found["weights"] + found["bias"]
        right[~inside] = (score > 0) == (y[~inside] > 0)
    return {"drawings found": float(right[y > 0].mean()), "photographs kept": float(right[y == 0].mean())}


def _face(path: Path) -> np.ndarray | None:
    """(64, 64, 3) face square of the largest face."""
    pixels = read_photo(PhotoSource.from_path(path)).pixels
    landmarks = landmarks_of_largest(pixels)
    return None if landmarks is None else face_square(landmarks).cut(pixels, 64)


if __name__ == "__main__":
    main()
