"""Pictures of several sources in one batch: ``kind = "mixed"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from trainer.contracts import SourceConfig
from trainer.data.drawn_faces import LabelledPictures


@dataclass(frozen=True, kw_only=True)
class MixedConfig(SourceConfig):
    """Samples of several sources, in turn; their pictures must have the same size."""

    sources: tuple[SourceConfig, ...]
    """Where the pictures come from; batches have ``images`` and ``labels``."""
    shares: tuple[int, ...]
    """How many samples of each follow each other before the next source's turn."""

    def __post_init__(self) -> None:
        if not self.sources or len(self.shares) != len(self.sources) or min(self.shares) < 1:
            raise ValueError("a mixed source needs sources, and for each a share of at least 1")

    def build(self) -> Mixed:
        """Make the source."""
        return Mixed(self)


class Mixed:
    """See ``MixedConfig``."""

    def __init__(self, config: MixedConfig) -> None:
        self._sources = [source.build() for source in config.sources]
        self._turn = np.repeat(np.arange(len(config.shares)), config.shares)  # (T,) whose turn it is
        self._before = np.array([(self._turn[:k] == self._turn[k]).sum() for k in range(len(self._turn))])
        self._shares = np.array(config.shares)

    def batch(self, indices: range, device: torch.device) -> LabelledPictures:
        """Samples ``indices``, in their order."""
        rounds, place = np.divmod(np.asarray(indices), len(self._turn))
        whose = self._turn[place]
        own = rounds * self._shares[whose] + self._before[place]  # index within its source
        images: list[torch.Tensor | None] = [None] * len(own)
        labels: list[torch.Tensor | None] = [None] * len(own)
        for number in np.unique(whose):
            rows = np.flatnonzero(whose == number)  # consecutive in their source
            made = self._sources[number].batch(range(int(own[rows[0]]), int(own[rows[-1]]) + 1), device)
            for row, image, label in zip(rows, made.images, made.labels, strict=True):
                images[row], labels[row] = image, label
        return LabelledPictures(torch.stack(images), torch.stack(labels))
