"""Disk store for sets of synthetic people: made once, read many times, with quantised values."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from backend.models.landmarks.network import LANDMARKS
from trainer.contracts import SourceConfig
from trainer.data.disk_cache import cache_folder, content_key
from trainer.data.kept_rows import mapped, missing_runs
from trainer.data.lap.batch import CanonicalTruth, LapBatch

_LOWEST, _STEP = 0.5, 1.0 / 65534
"""Depths are stored as 16-bit multiples of the step over [0.5, 1.5]; 0 means none."""
MARK_STEP = 1 / 16384
"""Sides of the picture; landmarks of the landmark net are stored as 16-bit multiples of it."""
_MADE_AT_ONCE = 16


def code_of_sets() -> list[Path]:
    """Return the source files that determine the content of stored sets; a change of them makes a new store."""
    here = Path(__file__).resolve().parent
    own = (here / f"{name}.py" for name in ("truth", "stored", "degraded", "reduced"))
    return [*own, *sorted((here.parent / "people").rglob("*.py"))]


class SetSource(Protocol):
    """Source of sets of equal size, all with ground truth."""

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        """See ``trainer.contracts.Source``."""
        ...


class StoredSets:
    """The first ``count`` people of a source, stored on disk with marks if it has them; they repeat in the same
    order."""

    def __init__(self, source: SetSource, key: SourceConfig, count: int, folder: str = "") -> None:
        self._source, self._count = source, count
        root = Path(folder) if folder else cache_folder() / "lap"
        self._folder = root / content_key(key, count, *code_of_sets())
        self._arrays: dict[str, np.ndarray] | None = None

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        """Return people ``indices``, modulo the count."""
        rows = np.array([index % self._count for index in indices])
        if self._arrays is None or not self._arrays["made"][rows].all():
            self._make(rows, device)
        arrays = self._arrays

        def read(name: str) -> Tensor:
            return torch.from_numpy(arrays[name][rows]).to(device)

        photos = arrays["images"].shape[1]
        view = read("view").flatten(0, 1)
        truth = CanonicalTruth(
            depth=_depth(read("depth")),
            albedo=read("albedo").float() / 255,
            albedo_seen=read("albedo_seen") > 0,
            personal_depth=_depth(read("personal_depth").flatten(0, 1)),
            rotation=view[:, :9].reshape(-1, 3, 3),
            translation=view[:, 9:],
            view_depth=_depth(read("view_depth").flatten(0, 1)),
        )
        return LapBatch(
            images=read("images").flatten(0, 1).float() / 255,
            labels=read("labels").flatten(0, 1),
            is_grey=torch.zeros(len(rows) * photos, dtype=torch.bool, device=device),
            set_of=torch.arange(len(rows) * photos, device=device) // photos,
            truth=truth,
            marks=read("marks").flatten(0, 1).float() * MARK_STEP if "marks" in arrays else None,
        )

    def _make(self, rows: np.ndarray, device: torch.device) -> None:
        """Make the missing rows, adjacent ones together; a row is marked once all its files are written."""
        if self._arrays is None:
            first = self._source.batch(range(int(rows[0]), int(rows[0]) + 1), device)
            self._open(len(first.images), first.images.shape[-1], first.marks is not None)
        for part in missing_runs(self._arrays["made"], rows, _MADE_AT_ONCE):
            self._write(part, self._source.batch(range(int(part[0]), int(part[-1]) + 1), device))

    def _open(self, photos: int, size: int, marked: bool) -> None:
        """Map the files into memory; missing files are made, sparse."""
        self._folder.mkdir(parents=True, exist_ok=True)
        sq, n = (size, size), self._count
        shapes = {
            "images": ((n, photos, 3, *sq), np.uint8),
            "labels": ((n, photos, *sq), np.uint8),
            "depth": ((n, *sq), np.uint16),
            "albedo": ((n, 3, *sq), np.uint8),
            "albedo_seen": ((n, *sq), np.uint8),
            "personal_depth": ((n, photos, *sq), np.uint16),
            "view_depth": ((n, photos, *sq), np.uint16),
            "view": ((n, photos, 12), np.float32),
            "made": ((n,), np.uint8),
        }
        if marked:
            shapes["marks"] = ((n, photos, LANDMARKS, 3), np.int16)
        self._arrays = {name: mapped(self._folder / f"{name}.npy", *what) for name, what in shapes.items()}

    def _write(self, rows: np.ndarray, batch: LapBatch) -> None:
        arrays, truth, n = self._arrays, batch.truth, len(rows)

        def put(name: str, value: Tensor) -> None:
            arrays[name][rows] = value.reshape(n, *arrays[name].shape[1:]).cpu().numpy()

        put("images", _bytes(batch.images))
        put("labels", batch.labels)
        put("albedo", _bytes(truth.albedo))
        put("albedo_seen", truth.albedo_seen.byte())
        put("view", torch.cat([truth.rotation.flatten(1), truth.translation], 1))
        for name in ("depth", "personal_depth", "view_depth"):
            put(name, _steps(getattr(truth, name)))
        if batch.marks is not None:
            put("marks", (batch.marks / MARK_STEP).round().clamp(-32768, 32767).short())
        arrays["made"][rows] = 1


def _bytes(values: Tensor) -> Tensor:
    return (values * 255).round().clamp(0, 255).byte()


def _steps(depth: Tensor) -> Tensor:
    steps = ((depth - _LOWEST) / _STEP).round().clamp(0, 65534) + 1
    return torch.where(depth > 0, steps, 0.0).to(torch.int32)


def _depth(steps: Tensor) -> Tensor:
    wide = steps.to(torch.int32)
    return torch.where(wide > 0, (wide.float() - 1) * _STEP + _LOWEST, 0.0)
