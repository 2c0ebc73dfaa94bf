"""Training data of the expression reader: the product's landmarks on synthetic people, with the truth. Lids, brows and
lips are learned from it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from backend.expression.evidence import WINDOW_PER_FACE, WINDOW_PIXELS
from backend.expression.follow import find_face
from backend.geometry.template import load_template
from backend.photos.faces.landmarks import landmark_window
from trainer.data.disk_cache import save_arrays
from trainer.data.given_box import given_box
from trainer.data.people.batch import PeopleBatch
from trainer.data.people.source import PeopleConfig
from trainer.expressions.cached_people import KEPT, CachedPeople, cached_shot, chosen
from trainer.expressions.cast import HardPeople, WidePeople
from trainer.expressions.pictures import frame_camera

SEED, HARD_SEED = 31000, 31500
HARD_NUMBERS, KEPT_NUMBERS = 1_000_000, 2_000_000
NUMBERS = {"hard_": HARD_NUMBERS, "rare_": KEPT_NUMBERS, "calm_": KEPT_NUMBERS, "": 0}
"""Offsets of people's numbers by the prefix of their files: hard people, and the landmark net's people."""
SIZES = (224, 160)
"""Sides of the heads' crops in pixels."""
PICTURES_OF_EACH = 2
PEOPLE_AT_ONCE = 20


@dataclass(frozen=True)
class Observed:
    """Landmarks and truth of N pictures.

    Attributes
    ----------
    person : (N,) int64. found : (N, 478, 3) float32 landmarks, pixels of the whole frame; for the landmark net's
        people they are ``surface`` with zero depth. side : (N,) side of the frame in pixels.
    camera_from_head : (N, 4, 4). weights : (N, 52).
    neutral : (N, 5376, 3) float16 offsets of the person's neutral vertices from the template's, millimetres.
    surface : (N, 478, 2) float32 the landmark net's points, pixels of the whole frame.
    window : (N, 144, 144, 3) uint8 of the upright face, ``landmark_window(found, WINDOW_PER_FACE)``.
    """

    person: np.ndarray
    found: np.ndarray
    side: np.ndarray
    camera_from_head: np.ndarray
    weights: np.ndarray
    neutral: np.ndarray
    surface: np.ndarray
    window: np.ndarray


def observe(batch: PeopleBatch, size: int) -> Observed:
    """Detect landmarks in every picture of a batch; pictures without a sure face are left out."""
    rows = []
    mean = load_template().vertices
    for number, (image, own) in enumerate(zip(batch.images, batch.intrinsics.numpy().astype(np.float64), strict=True)):
        pixels = np.ascontiguousarray((image.permute(1, 2, 0).numpy() * 255.0 + 0.5).astype(np.uint8))
        face = find_face(pixels, given_box(batch.landmarks478[number].numpy()))
        if face is None or not face.sure:
            continue
        found, surface = face.landmarks.copy(), face.surface.places
        window = landmark_window(found, WINDOW_PER_FACE).cut(pixels, WINDOW_PIXELS)
        camera, side = frame_camera(float(own[0, 0]), size)
        found[:, :2] += camera[:2, 2] - own[:2, 2]  # the frame is the crop, continued
        surface = (surface + camera[:2, 2] - own[:2, 2]).astype(np.float32)
        neutral = _offsets(batch.neutral[number].numpy(), mean)
        pose, weights = batch.camera_from_head[number].numpy(), batch.expression[number].numpy()
        rows.append((int(batch.person[number]), found, side, pose, weights, neutral, surface, window))
    return _observed(rows)


def observe_kept(people: CachedPeople, numbers: np.ndarray) -> Observed:
    """Kept pictures with the landmark net's points alone. The detector would take most of the time, and the reader does
    not use its landmarks."""
    rows = []
    mean, side = load_template().vertices, KEPT.people.size
    seen = zip(numbers, people.rows(numbers), strict=True)
    for number, (pixels, places, pose, weights, neutral) in seen:
        window = landmark_window(places, WINDOW_PER_FACE).cut(pixels, WINDOW_PIXELS)
        found = np.column_stack([places, np.zeros(len(places))]).astype(np.float32)
        offsets, surface = _offsets(neutral, mean), places.astype(np.float32)
        rows.append((int(number), found, side, pose, weights, offsets, surface, window))
    return _observed(rows)


def _offsets(neutral: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return (1000.0 * (neutral - mean)).astype(np.float16)


def _observed(rows: list[tuple]) -> Observed:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Observed(**{field.name: column for field, column in zip(fields(Observed), columns, strict=True)})


def collect(folder: Path, people: range, hard: range, end: float = math.inf) -> None:
    """Render people and detect their landmarks, into one file in ``folder`` per ``PEOPLE_AT_ONCE`` people.

    Existing files are kept. ``hard`` people have a seed of their own. No file is begun after ``end``, seconds of
    ``time.monotonic``."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(WidePeople, SEED, "", people), (HardPeople, HARD_SEED, "hard_", hard)]
    for kind, seed, prefix, numbers in wanted:
        for first in range(numbers.start, numbers.stop, PEOPLE_AT_ONCE):
            path = folder / f"{prefix}{first:06d}.npz"
            if path.exists():
                continue
            if time.monotonic() > end:
                return
            size = SIZES[(first // PEOPLE_AT_ONCE) % len(SIZES)]
            source = kind(PeopleConfig(size=size, seed=seed, photos=PICTURES_OF_EACH))
            last = min(first + PEOPLE_AT_ONCE, numbers.stop)
            save_arrays(path, **vars(observe(source.batch(range(first, last), torch.device("cpu")), size)))


def collect_kept(folder: Path, rare: int, calm: int, end: float = math.inf) -> None:
    """The same for the landmark net's people that ``cached_people.chosen`` selects."""
    if not rare and not calm:
        return
    numbers = chosen(_kept_weights(folder / "kept" / "weights.npz"), rare, calm)
    parts = [
        (folder / f"{prefix}{first:06d}.npz", own[first : first + PEOPLE_AT_ONCE])
        for prefix, own in zip(("rare_", "calm_"), numbers, strict=True)
        for first in range(0, len(own), PEOPLE_AT_ONCE)
    ]
    missing = [(path, own) for path, own in parts if not path.exists()]
    people = CachedPeople() if missing else None
    for path, own in missing:
        if time.monotonic() > end:
            return
        save_arrays(path, **vars(observe_kept(people, own)))


def _kept_weights(path: Path) -> np.ndarray:
    """(N, 52) expression weights of all the landmark net's people, drawn once and cached in a file."""
    if not path.exists():
        save_arrays(path, weights=np.array([cached_shot(number).expression.weights for number in range(KEPT.count)]))
    with np.load(path) as data:
        return data["weights"]


def read_observed(folder: Path) -> Observed:
    """Read and concatenate all files of ``folder``."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            parts.append({field.name: data[field.name] for field in fields(Observed)})
        parts[-1]["person"] = parts[-1]["person"] + NUMBERS[path.stem.rstrip("0123456789")]
    return Observed(**{field.name: np.concatenate([part[field.name] for part in parts]) for field in fields(Observed)})
