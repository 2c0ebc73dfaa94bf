"""Pictures of several sources in one batch: ``kind = "mixed"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainer.contracts import SourceConfig
from trainer.data.drawn_faces import LabelledPictures
from trainer.data.turns import Turns


@dataclass(frozen=True, kw_only=True)
class MixedConfig(SourceConfig):
    """Samples of several sources in turn; their pictures must have the same size."""

    sources: tuple[SourceConfig, ...]
    """The sources; their batches have ``images`` and ``labels``."""
    shares: tuple[int, ...]
    """Number of consecutive samples of each source before the next source's turn."""

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
        self._turns = Turns(config.shares)

    def batch(self, indices: range, device: torch.device) -> LabelledPictures:
        """Samples ``indices``, in their order."""
        made = {}
        for number, source in enumerate(self._sources):
            own = self._turns.own(indices, number)
            if len(own):
                batch = source.batch(own, device)
                made[number] = zip(batch.images, batch.labels, strict=True)
        images, labels = zip(*(next(made[self._turns.source_of(index)]) for index in indices), strict=True)
        return LabelledPictures(torch.stack(images), torch.stack(labels))
