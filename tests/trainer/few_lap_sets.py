"""A source of LAP's photo sets, drawn once for all tests of a run: two people."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch

from trainer.engine.contracts import SourceConfig
from trainer.methods.lap.data import LapBatch, LapPeopleConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class FewSetsConfig(SourceConfig):
    """The same two people with ``photos`` photos each, whatever is asked for."""

    photos: int = 2

    def build(self) -> FewSets:
        return FewSets(self.photos)


@dataclasses.dataclass(frozen=True)
class FewSets:
    photos: int

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        return few_sets(self.photos)


@cache
def few_sets(photos: int) -> LapBatch:
    source = LapPeopleConfig(size=32, photos=photos, seed=3, film=False)
    return source.build().batch(range(2), torch.device("cpu"))
