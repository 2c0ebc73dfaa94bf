"""Face verification with the encoder's identity codes, on pairs of photos of the same and of different people.

The codes themselves are compared: this needs no other network and leaves reflectance out. ``basis_renders`` compares
renders, as the paper does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.stats import wasserstein_distance

from backend.models.learned_basis.apply import encoder_input
from backend.models.learned_basis.network import LearnedBasisNet
from trainer.data.surface_landmarks import detect_landmarks

_BATCH = 32


@dataclass(frozen=True)
class FoundFace:
    """A picture (H, W, 3) uint8 sRGB and the landmarks (478, 3) of the face in it."""

    pixels: np.ndarray
    landmarks: np.ndarray


def pairs_of_photos(folder: Path, people: int, seed: int = 0) -> list[tuple[Path, Path]]:
    """First two photos of ``people`` random people (``seed``) with at least two; ``folder`` has a folder per person."""
    found = [sorted(person.glob("*.jpg"))[:2] for person in sorted(folder.iterdir()) if person.is_dir()]
    found = [photos for photos in found if len(photos) == 2]
    chosen = np.random.default_rng(seed).permutation(len(found))[:people]
    return [(found[number][0], found[number][1]) for number in np.sort(chosen)]


def read_face(path: Path) -> FoundFace | None:
    """Read a photo and detect its face; None if the file cannot be read or shows no face."""
    picture = cv2.imread(str(path))
    if picture is None:
        return None
    pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    landmarks = detect_landmarks(pixels)
    return None if landmarks is None else FoundFace(pixels, landmarks)


@torch.no_grad()
def identity_codes(network: LearnedBasisNet, faces: Sequence[FoundFace]) -> np.ndarray:
    """(N, m_i) identity codes of single photos."""
    codes = []
    for start in range(0, len(faces), _BATCH):
        given = encoder_input(faces[start : start + _BATCH], network.config.size)
        alone = torch.arange(len(given.pictures))
        codes.append(network(given.pictures * 2 - 1, alone, given.landmarks).identity)
    return torch.cat(codes).double().numpy()


def similarities(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines between codes (P, m) of P people's first and second photos, with the mean code subtracted: (P,) of the
    same person, and (P (P - 1),) of one person's first photo and another's second."""
    middle = np.concatenate([first, second]).mean(0)
    return cosines_of_pairs(first - middle, second - middle)


def cosines_of_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines between vectors (P, m) of P people's first and second photos: (P,) of the same person, and
    (P (P - 1),) of one person's first photo with another's second."""
    a, b = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (first, second))
    cosines = a @ b.T
    return np.diag(cosines).copy(), cosines[~np.eye(len(a), dtype=bool)]


def equal_error_rate(same: np.ndarray, other: np.ndarray) -> float:
    """Equal error rate: the error at the threshold where the false rejection and false acceptance rates are equal.

    same, other : (S,), (O,) similarities. If no threshold gives equality, the two nearest rates are averaged.
    """
    thresholds = np.unique(np.concatenate([same, other, [np.inf]]))
    refused = np.searchsorted(np.sort(same), thresholds, side="left") / len(same)
    taken = 1.0 - np.searchsorted(np.sort(other), thresholds, side="left") / len(other)
    nearest = int(np.abs(refused - taken).argmin())
    return float((refused[nearest] + taken[nearest]) / 2)


def found_pairs(folder: Path, people: int) -> list[tuple[FoundFace, FoundFace]]:
    """The pairs of ``pairs_of_photos`` with a face in both photos."""
    found = [(read_face(one), read_face(two)) for one, two in pairs_of_photos(folder, people)]
    return [(one, two) for one, two in found if one is not None and two is not None]


def verification_figures(network: LearnedBasisNet, pairs: Sequence[tuple[FoundFace, FoundFace]]) -> dict[str, float]:
    """``verification.eer``, ``.emd`` (earth mover's distance between the cosines of same and of other pairs; larger is
    better) and ``.people``, the number of people."""
    codes = identity_codes(network, [face for pair in pairs for face in pair])
    same, other = similarities(codes[0::2], codes[1::2])
    return {
        "verification.eer": equal_error_rate(same, other),
        "verification.emd": float(wasserstein_distance(same, other)),
        "verification.people": float(len(pairs)),
    }
