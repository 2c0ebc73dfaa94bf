"""Sources of ``LapBatch``: ``kind = "lap_people"`` and ``"lap_portraits"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from trainer.contracts import Source, SourceConfig
from trainer.data.lap.batch import LapBatch
from trainer.data.lap.degraded import DegradedSets
from trainer.data.lap.marks import MarkedSets
from trainer.data.lap.reduced import ReducedSets
from trainer.data.lap.stored import StoredSets
from trainer.data.lap.truth import TruthMaker
from trainer.data.people import PeopleConfig
from trainer.data.portraits import PortraitsConfig


@dataclass(frozen=True, kw_only=True)
class LapPeopleConfig(SourceConfig):
    """Sets of photos of synthetic people with canonical ground truth; an index is a person."""

    size: int = 64
    """Side of the pictures and of the canonical maps in pixels."""
    seed: int = 0
    """Another seed gives other people."""
    photos: int = 6
    """Number of photos per person; the default is the paper's largest set."""
    keep: int = 0
    """Number of people stored on disk, which repeat; 0: an endless sequence of new people, for fast machines."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""
    film: bool = True
    """Simulate a camera on the pictures."""
    marks: bool = False
    """Run the landmark net on the pictures."""
    quick_marks: bool = False
    """Two passes of the landmark net instead of ten: a fifth of the time, slightly less accurate."""
    drawn: int = 0
    """Side at which pictures are drawn, degraded and given to the landmark net before they are reduced; 0: ``size``."""
    poor: float = 0.0
    """Share of the photos that are occluded, dark, blurred, or cut off within the face."""

    def __post_init__(self) -> None:
        if self.keep < 0:
            raise ValueError(f"keep must be 0 or more, not {self.keep}")
        if not 0 <= self.poor <= 1:
            raise ValueError(f"poor must be in [0, 1], not {self.poor}")
        if self.drawn and self.drawn % self.size:
            raise ValueError(f"drawn must be a multiple of size {self.size}, not {self.drawn}")

    def people(self) -> PeopleConfig:
        """The source of the pictures."""
        return PeopleConfig(
            size=self.drawn or self.size,
            seed=self.seed,
            photos=self.photos,
            framing="face",
            depth=True,
            albedo=True,
            film=self.film,
        )

    def build(self) -> Source:
        """Make the source."""
        source: Source = LapPeople(self)
        if self.keep:
            source = StoredSets(source, self.people(), self.keep, self.folder)
        changed = self.poor > 0 or self.drawn > self.size
        if self.poor:
            source = DegradedSets(source, self.poor, self.seed)
        if self.marks:
            source = MarkedSets(source, self.people(), 0 if changed else self.keep, self.folder, self.quick_marks)
        if self.drawn > self.size:
            source = ReducedSets(source, self.size)
        if changed and self.keep:  # drawn once, changed once
            source = StoredSets(source, replace(self, folder=""), self.keep, self.folder)
        return source


class LapPeople:
    """See ``LapPeopleConfig``; without a store."""

    def __init__(self, config: LapPeopleConfig) -> None:
        self.config = config
        self._people = config.people().build()
        self._makers: dict[torch.device, TruthMaker] = {}

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> LapBatch:
        """Return people number ``indices``."""
        device = torch.device(device)
        if device not in self._makers:
            self._makers[device] = TruthMaker(device)
        people = self._people.batch(indices, device)
        count = len(people.images)
        return LapBatch(
            images=people.images,
            labels=people.labels,
            is_grey=torch.zeros(count, dtype=torch.bool, device=device),
            set_of=torch.arange(count, device=device) // self.config.photos,
            truth=self._makers[device](people),
        )


@dataclass(frozen=True, kw_only=True)
class LapPortraitsConfig(SourceConfig):
    """Real portraits prepared with ``framing = "face"``; without ground truth."""

    portraits: PortraitsConfig
    """The collection of portraits; ``photos`` is the size of the sets."""
    marks: bool = False
    """Run the landmark net on the pictures, anew for every batch."""

    def build(self) -> Source:
        """Open the collection; see ``PortraitsConfig.build``."""
        source = LapPortraits(self)
        return MarkedSets(source, self.portraits, 0) if self.marks else source


class LapPortraits:
    """See ``LapPortraitsConfig``."""

    def __init__(self, config: LapPortraitsConfig) -> None:
        self._photos = config.portraits.photos
        self._source = config.portraits.build()

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        """Return people number ``indices``."""
        found = self._source.batch(indices, device)
        sets = torch.arange(len(found.images), device=device) // self._photos
        return LapBatch(found.images, found.labels, found.is_grey, sets, None)
