"""Synthetic people with labels and unlabelled portraits in one batch: ``kind = "people_and_portraits"`` in recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch

from trainer.contracts import SourceConfig
from trainer.data.turns import Turns


class Concatenable(Protocol):
    """A batch that can be concatenated with others of its kind."""

    @classmethod
    def joined(cls, batches: Sequence[Self], device: torch.device) -> Self:
        """Concatenate all samples in order, on ``device``."""
        ...


@dataclass(frozen=True, kw_only=True)
class PeopleAndPortraitsConfig(SourceConfig):
    """Synthetic people and portraits in one batch; both sources' batches are of one ``Concatenable`` kind."""

    people: SourceConfig
    """The source with labels."""
    portraits: SourceConfig
    """The source without labels."""
    shares: tuple[int, int] = (3, 1)
    """Number of consecutive people, then of consecutive portraits."""

    def __post_init__(self) -> None:
        if len(self.shares) != 2 or min(self.shares) < 1:
            raise ValueError("shares must be two numbers of at least 1: of people and of portraits")

    def build(self) -> PeopleAndPortraits:
        """Make the source."""
        return PeopleAndPortraits(self)


class PeopleAndPortraits:
    """See ``PeopleAndPortraitsConfig``."""

    def __init__(self, config: PeopleAndPortraitsConfig) -> None:
        self._sources = (config.people.build(), config.portraits.build())
        self._turns = Turns(config.shares)

    def batch(self, indices: range, device: torch.device) -> Concatenable:
        """Return the people of ``indices`` first, then the portraits."""
        own = [(source, self._turns.own(indices, number)) for number, source in enumerate(self._sources)]
        batches: list[Concatenable] = [source.batch(part, device) for source, part in own if len(part)]
        return type(batches[0]).joined(batches, device)
