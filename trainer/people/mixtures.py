"""Sources made of other sources: stored on disk by processes ahead of the training, several in one batch (``kind =
"mixed"``).
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.engine.batch import BYTES, Batch, StoredBatches, batch_field
from trainer.engine.contracts import Source, SourceConfig
from trainer.engine.disk_cache import cache_folder, content_key

NICENESS = 10
"""So that the training, which feeds an accelerator, goes first."""


class DrawingProcesses:
    """``count`` rows, made ``at_once`` together by ``processes`` processes of one thread each; they end with this one.

    ``make(argument)`` is called once in every process, and what it returns with the rows (range) to make.
    """

    def __init__(
        self, make: Callable[[Any], Callable[[range], None]], argument: Any, count: int, at_once: int, processes: int
    ) -> None:
        context = multiprocessing.get_context("spawn")
        taken = context.Value("q", 0)
        self._taken = taken  # it must live until the processes have begun
        given = make, argument, count, at_once, taken
        self._all = [context.Process(target=_work, args=given, daemon=True) for _ in range(processes)]
        for process in self._all:
            process.start()

    @property
    def alive(self) -> bool:
        """Whether a process is still at work."""
        return any(process.is_alive() for process in self._all)


def _work(
    make: Callable[[Any], Callable[[range], None]], argument: Any, count: int, at_once: int, taken: Synchronized
) -> None:
    torch.set_num_threads(1)
    os.nice(NICENESS)
    rows = make(argument)
    while True:
        with taken.get_lock():
            start, taken.value = taken.value, taken.value + at_once
        if start >= count:
            return
        rows(range(start, min(start + at_once, count)))


@dataclass(frozen=True)
class LabelledPictures(Batch):
    """Pictures with parsing labels.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB.
    labels : (N, S, S) uint8 of ``FaceClass``.
    """

    images: Tensor = batch_field(coding=BYTES)
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class StoredConfig(SourceConfig):
    """The first ``count`` samples of another source, stored on disk as 8-bit pictures and labels.

    The store is identified by the configuration and by the code that makes the samples. Samples are made on demand.
    """

    source: SourceConfig
    """The source of the pictures; its batches have ``images`` and ``labels``."""
    count: int = 10000
    """Number of stored pictures, which repeat in the same order. A stage's augmentation varies them."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, not {self.count}")

    def build(self) -> Source:
        """Make the source; pictures are made on demand."""
        return stored(LabelledPictures, self.source.build(), self.count, self.folder, "pictures", 0, self.source)


def stored(
    kind: type[Batch],
    source: Source,
    count: int,
    folder: str,
    name: str,
    at_once: int,
    *key: object,
    on_device: bool = False,
) -> StoredBatches:
    """The first ``count`` samples of a source of synthetic people, kept in ``folder``, else in the user's cache as
    ``name``, apart by their ``key`` and the code of the source and of people."""
    root = Path(folder) if folder else cache_folder() / name
    code = Path(inspect.getfile(type(source))), *sorted(Path(__file__).parent.rglob("*.py"))
    return StoredBatches(kind, source, count, root / content_key(*key, count, *code), at_once, on_device)


@dataclass(frozen=True, kw_only=True)
class MixedConfig(SourceConfig):
    """Samples of several sources in turn; their pictures must have the same size."""

    sources: tuple[SourceConfig, ...]
    """The sources, those without ground truth last."""
    shares: tuple[int, ...]
    """Number of consecutive samples of each source before the next source's turn."""

    def __post_init__(self) -> None:
        if not self.sources or len(self.shares) != len(self.sources) or min(self.shares) < 1:
            raise ValueError("a mixed source needs sources, and for each a share of at least 1")

    def build(self) -> Mixed:
        """Make the source."""
        return Mixed(self)


class Mixed:
    """See ``MixedConfig``. An index determines its source and its sample there, so that a sample does not depend on its
    batch."""

    def __init__(self, config: MixedConfig) -> None:
        self._sources = [source.build() for source in config.sources]
        self._shares = config.shares

    def batch(self, indices: range, device: torch.device) -> Batch:
        """Samples ``indices``, those of each source together; of batches of different kinds images and labels alone."""
        parts = [range(self._before(indices.start, k), self._before(indices.stop, k)) for k in range(len(self._shares))]
        rows = zip(self._sources, parts, strict=True)
        batches = [source.batch(part, device) for source, part in rows if len(part)]
        if len({type(batch) for batch in batches}) == 1:
            return type(batches[0]).concatenate(batches, device)
        return LabelledPictures(*(torch.cat([getattr(one, name) for one in batches]) for name in ("images", "labels")))

    def _before(self, index: int, number: int) -> int:
        """Count a source's samples among the first ``index``."""
        rounds, remainder = divmod(index, sum(self._shares))
        turn = sum(self._shares[:number])
        return rounds * self._shares[number] + min(max(remainder - turn, 0), self._shares[number])
