"""What the product finds on synthetic people, beside what is true: the data that lids, brows and lips are learned
from."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from backend.expression.evidence import WINDOW_PER_FACE, WINDOW_PIXELS
from backend.expression.follow import find_face
from backend.geometry.template import load_template
from backend.photos.landmarks import landmark_window
from trainer.data.disk_cache import save_arrays
from trainer.data.given_box import given_box
from trainer.data.people.batch import PeopleBatch
from trainer.data.people.source import PeopleConfig
from trainer.expressions.cast import HardPeople, WidePeople
from trainer.expressions.pictures import frame_camera

SEED, HARD_SEED = 31000, 31500
HARD_PREFIX, HARD_NUMBERS = "hard_", 1_000_000
"""Of the files of hard people; and what is added to these people's numbers."""
SIZES = (224, 160)
"""Sides of the heads' crops in pixels."""
PICTURES_OF_EACH = 2
PEOPLE_AT_ONCE = 20


@dataclass(frozen=True)
class Observed:
    """N pictures.

    Attributes
    ----------
    person : (N,) int64. found : (N, 478, 3) float32 landmarks, pixels of the whole frame. side : (N,) its side.
    focal : (N,) pixels; the principal point is in the middle. camera_from_head : (N, 4, 4). weights : (N, 52).
    neutral : (N, 5376, 3) float16 offsets of the person's neutral vertices from the template's, millimetres.
    surface : (N, 478, 2) float32 what the landmark net sees, pixels of the whole frame.
    window : (N, 144, 144, 3) uint8 of the upright face, ``landmark_window(found, WINDOW_PER_FACE)``.
    """

    person: np.ndarray
    found: np.ndarray
    side: np.ndarray
    focal: np.ndarray
    camera_from_head: np.ndarray
    weights: np.ndarray
    neutral: np.ndarray
    surface: np.ndarray
    window: np.ndarray


def observe(batch: PeopleBatch, size: int) -> Observed:
    """Landmarks of every picture of a batch; those in which no face is seen are left out."""
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
        neutral = (1000.0 * (batch.neutral[number].numpy() - mean)).astype(np.float16)
        pose, weights = batch.camera_from_head[number].numpy(), batch.expression[number].numpy()
        rows.append((int(batch.person[number]), found, side, camera[0, 0], pose, weights, neutral, surface, window))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Observed(**{field.name: column for field, column in zip(fields(Observed), columns, strict=True)})


def collect(folder: Path, people: range, hard: range, minutes: float) -> None:
    """Draw and detect people into ``folder``, a file for every ``PEOPLE_AT_ONCE``; files that are there stay. ``hard``
    ones have seeds of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60.0 * minutes
    wanted = [(WidePeople, SEED, "", people), (HardPeople, HARD_SEED, HARD_PREFIX, hard)]
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


def read_observed(folder: Path) -> Observed:
    """All files of ``folder`` as one."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            parts.append(dict(data))
        if path.name.startswith(HARD_PREFIX):
            parts[-1]["person"] = parts[-1]["person"] + HARD_NUMBERS
    return Observed(**{field.name: np.concatenate([part[field.name] for part in parts]) for field in fields(Observed)})
