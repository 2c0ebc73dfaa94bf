"""Disk store for labelled pictures, made once and read many times, for machines where making them is slower than
training."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from trainer.contracts import Source, SourceConfig
from trainer.data.disk_cache import cache_folder, content_key
from trainer.data.drawn_faces import DrawnFacesConfig, LabelledPictures
from trainer.data.kept_rows import mapped, missing_runs


@dataclass(frozen=True, kw_only=True)
class StoredConfig(SourceConfig):
    """The first ``count`` samples of another source, stored on disk as 8-bit pictures and labels.

    The store is identified by the configuration and by the code that makes the samples. Samples are made on demand.
    """

    source: SourceConfig = field(default_factory=DrawnFacesConfig)
    """The source of the pictures; its batches have ``images`` and ``labels``."""
    count: int = 10000
    """Number of stored pictures, which repeat in the same order. A stage's augmentation varies them."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, not {self.count}")

    def build(self) -> Stored:
        """Make the source; pictures are made on demand."""
        return Stored(self)


class Stored:
    """See ``StoredConfig``."""

    def __init__(self, config: StoredConfig) -> None:
        self.config = config
        self._source: Source = config.source.build()
        root = Path(config.folder) if config.folder else cache_folder() / "pictures"
        self._folder = root / content_key(config.source, config.count, *code_of(self._source))
        self._images: np.ndarray | None = None
        self._labels: np.ndarray | None = None
        self._made: np.ndarray | None = None

    def batch(self, indices: range, device: torch.device) -> LabelledPictures:
        """Return samples ``indices``, modulo ``count``."""
        rows = np.array([index % self.config.count for index in indices])
        if self._made is None or not self._made[rows].all():
            self._make(rows, device)
        images = torch.from_numpy(self._images[rows]).to(device).float() / 255
        return LabelledPictures(images, torch.from_numpy(self._labels[rows]).to(device))

    def _make(self, rows: np.ndarray, device: torch.device) -> None:
        """Make the missing rows, adjacent ones together; a row is marked once all its files are written."""
        if self._made is None:
            first = self._source.batch(range(int(rows[0]), int(rows[0]) + 1), device)
            self._open(tuple(first.images.shape[1:]))
        for run in missing_runs(self._made, rows, len(rows)):
            made = self._source.batch(range(int(run[0]), int(run[-1]) + 1), device)
            self._images[run] = (made.images * 255).round().clamp(0, 255).byte().cpu().numpy()
            self._labels[run] = made.labels.cpu().numpy()
            self._made[run] = 1

    def _open(self, shape: tuple[int, int, int]) -> None:
        """Map the files into memory; missing files are made, sparse."""
        self._folder.mkdir(parents=True, exist_ok=True)
        count, size = self.config.count, shape[1:]
        self._images = mapped(self._folder / "images.npy", (count, *shape))
        self._labels = mapped(self._folder / "labels.npy", (count, *size))
        self._made = mapped(self._folder / "made.npy", (count,))


def code_of(source: Source) -> list[Path]:
    """Return the source files of the packages of the source's classes; a change of them makes new pictures."""
    paths = [Path(inspect.getfile(each)) for each in type(source).__mro__[:-1]]
    return [file for path in paths for file in _files_beside(path)]


def _files_beside(path: Path) -> list[Path]:
    return sorted(path.parent.rglob("*.py")) if path.parent.name != "data" else [path]
