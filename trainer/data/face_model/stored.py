"""Disk store for sets of synthetic people for the learned face model: made once, read many times."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import load_template
from trainer.contracts import SourceConfig
from trainer.data.disk_cache import cache_folder, content_key
from trainer.data.face_model.batch import FaceBatch, FaceTruth
from trainer.data.kept_rows import mapped, missing_runs

_MADE_AT_ONCE = 8
_LANDMARK_STEP = 1 / 64
"""Pixels; landmarks are stored as 16-bit multiples of it."""
_OFFSET_STEP = 1e-5
"""Metres; shapes are stored as 16-bit multiples of it, relative to the mean face, up to 33 cm."""


class FaceSource(Protocol):
    """Source of sets of equal size, all with ground truth."""

    def batch(self, indices: range, device: torch.device) -> FaceBatch:
        """See ``trainer.contracts.Source``."""
        ...


class StoredFaces:
    """The first ``count`` people of a source, stored on disk; they repeat in the same order.

    The store is identified by the configuration ``key`` and by the code that makes people.
    """

    def __init__(self, source: FaceSource, key: SourceConfig, count: int, folder: str = "") -> None:
        self._source, self._count = source, count
        here = Path(__file__).resolve().parent
        code = [here / "source.py", here / "stored.py", *sorted((here.parent / "people").rglob("*.py"))]
        root = Path(folder) if folder else cache_folder() / "face_model"
        self._folder = root / content_key(key, count, *code)
        template = load_template()
        self._mean = template.vertices[: template.head.vertex_stop]
        self._arrays: dict[str, np.ndarray] | None = None

    def batch(self, indices: range, device: torch.device) -> FaceBatch:
        """Return people ``indices``, modulo the count."""
        rows = np.array([index % self._count for index in indices])
        if self._arrays is None or not self._arrays["made"][rows].all():
            self._make(rows, device)
        arrays = self._arrays
        photos = arrays["images"].shape[1]
        mean = torch.from_numpy(self._mean).to(device)

        def read(name: str) -> Tensor:
            return torch.from_numpy(arrays[name][rows]).to(device).flatten(0, 1)

        count = len(rows) * photos
        own = torch.arange(count, device=device) // photos
        neutral = torch.from_numpy(arrays["identity"][rows]).to(device).float() * _OFFSET_STEP + mean
        truth = FaceTruth(
            neutral=neutral[own],
            vertices=read("shape").float() * _OFFSET_STEP + mean,
            intrinsics=read("intrinsics").view(-1, 3, 3),
            camera_from_head=read("pose").view(-1, 4, 4),
            light=read("light"),
            albedo=read("albedo").float() / 255,
        )
        return FaceBatch(
            images=read("images").float() / 255,
            labels=read("labels"),
            landmarks=read("landmarks").float() * _LANDMARK_STEP,
            landmark_weight=read("weight"),
            slides=torch.zeros(count, dtype=torch.bool, device=device),
            is_grey=torch.zeros(count, dtype=torch.bool, device=device),
            neutral=read("neutral") > 0,
            set_of=own,
            truth=truth,
        )

    def _make(self, rows: np.ndarray, device: torch.device) -> None:
        """Make the missing rows, adjacent ones together; a row is marked once all its files are written."""
        if self._arrays is None:
            self._open(self._source.batch(range(int(rows[0]), int(rows[0]) + 1), device))
        for part in missing_runs(self._arrays["made"], rows, _MADE_AT_ONCE):
            self._write(part, self._source.batch(range(int(part[0]), int(part[-1]) + 1), device))

    def _open(self, one: FaceBatch) -> None:
        """Map the files into memory, with shapes from a first set; missing files are made, sparse."""
        self._folder.mkdir(parents=True, exist_ok=True)
        photos, size = len(one.images), one.images.shape[-1]
        vertices = one.truth.vertices.shape[1]
        each = (self._count, photos)
        shapes = {
            "images": ((*each, 3, size, size), np.uint8),
            "labels": ((*each, size, size), np.uint8),
            "albedo": ((*each, 3, size, size), np.uint8),
            "landmarks": ((*each, *one.landmarks.shape[1:]), np.int16),
            "weight": ((*each, one.landmarks.shape[1]), np.float32),
            "neutral": (each, np.uint8),
            "shape": ((*each, vertices, 3), np.int16),
            "identity": ((self._count, vertices, 3), np.int16),
            "intrinsics": ((*each, 9), np.float32),
            "pose": ((*each, 16), np.float32),
            "light": ((*each, 9, 3), np.float32),
            "made": ((self._count,), np.uint8),
        }
        self._arrays = {name: mapped(self._folder / f"{name}.npy", *what) for name, what in shapes.items()}

    def _write(self, rows: np.ndarray, batch: FaceBatch) -> None:
        arrays, truth, photos = self._arrays, batch.truth, len(batch.images) // len(rows)
        mean = torch.from_numpy(self._mean).to(truth.vertices.device)
        values = {
            "images": (batch.images * 255).round(),
            "labels": batch.labels,
            "albedo": (truth.albedo * 255).round(),
            "landmarks": (batch.landmarks / _LANDMARK_STEP).round().clamp(-32768, 32767),
            "weight": batch.landmark_weight,
            "neutral": batch.neutral,
            "shape": ((truth.vertices - mean) / _OFFSET_STEP).round(),
            "identity": ((truth.neutral[::photos] - mean) / _OFFSET_STEP).round(),
            "intrinsics": truth.intrinsics,
            "pose": truth.camera_from_head,
            "light": truth.light,
        }
        for name, value in values.items():
            array = arrays[name]
            array[rows] = value.cpu().numpy().reshape(len(rows), *array.shape[1:]).astype(array.dtype)
        for array in arrays.values():
            array.flush()
        arrays["made"][rows] = 1
