"""Sources made of other sources: stored, mixed, people beside portraits.

Round-robin over several sources: the source and sample of an index.

Faces drawn from ellipses, with all twelve parsing classes: a data source without inputs, to try out the trainer.

A net trained on them does not work on real faces. They serve tests, a first run on a new machine, and quick checks
that a changed loop or loss still learns.

Disk store for labelled pictures, made once and read many times, for machines where making them is slower than
training.

Pictures of several sources in one batch: ``kind = "mixed"`` in recipes.

Synthetic people with labels and unlabelled portraits in one batch: ``kind = "people_and_portraits"`` in recipes.

Processes that make the rows of a store in order, ahead of a training that reads them.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass
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
        self._all = [
            context.Process(target=_work, args=(make, argument, count, at_once, taken), daemon=True)
            for _ in range(processes)
        ]
        for process in self._all:
            process.start()

    @property
    def alive(self) -> bool:
        """Whether a process is still at work."""
        return any(process.is_alive() for process in self._all)


def _work(
    make: Callable[[Any], Callable[[range], None]],
    argument: Any,
    count: int,
    at_once: int,
    taken: Synchronized,
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
class Turns:
    """``shares`` : number of consecutive samples of each source before the next one's turn; all at least 1.

    An index determines its source and its sample there, so that a sample does not depend on its batch.
    """

    shares: tuple[int, ...]

    def source_of(self, index: int) -> int:
        """Return the number of the source whose turn ``index`` is."""
        return bisect_right(list(accumulate(self.shares)), index % sum(self.shares))

    def own(self, indices: range, number: int) -> range:
        """Return the source's own indices of its samples among ``indices`` (step 1)."""
        return range(self._before(indices.start, number), self._before(indices.stop, number))

    def _before(self, index: int, number: int) -> int:
        """Count a source's samples among the first ``index``."""
        rounds, place = divmod(index, sum(self.shares))
        turn = sum(self.shares[:number])
        return rounds * self.shares[number] + min(max(place - turn, 0), self.shares[number])


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
class DrawnFacesConfig(SourceConfig):
    """An endless sequence of drawn faces."""

    size: int = 64
    """Side of the pictures in pixels."""
    seed: int = 0
    """Another seed gives other faces."""
    noise: float = 0.03
    """Standard deviation of the pixel noise."""

    def __post_init__(self) -> None:
        if self.size < 8 or self.noise < 0:
            raise ValueError("size must be at least 8 and noise not negative")

    def build(self) -> DrawnFaces:
        """Make the source."""
        return DrawnFaces(self)


_NUMBERS_PER_FACE = 48
_NOISE_CELLS = 16


class DrawnFaces:
    """See ``DrawnFacesConfig``."""

    def __init__(self, config: DrawnFacesConfig) -> None:
        self.config = config

    def batch(self, indices: range, device: torch.device) -> LabelledPictures:
        """Faces number ``indices``."""
        numbers, noise = [], []
        for index in indices:
            generator = np.random.Generator(np.random.Philox(key=[self.config.seed, index]))
            numbers.append(generator.random(_NUMBERS_PER_FACE, dtype=np.float32))
            noise.append(generator.standard_normal((3, _NOISE_CELLS, _NOISE_CELLS), dtype=np.float32))
        pen = _Pen(torch.from_numpy(np.stack(numbers)).to(device), self.config.size)
        _draw_face(pen)
        grain = torch.from_numpy(np.stack(noise)).to(device) * self.config.noise
        grain = functional.interpolate(
            grain, (self.config.size, self.config.size), mode="bilinear", align_corners=False
        )
        return LabelledPictures((pen.images + grain).clamp(0, 1), pen.labels)


class _Pen:
    """Paint shapes over pictures and labels; give each face its random numbers one after the other."""

    def __init__(self, numbers: Tensor, size: int) -> None:
        self.numbers = numbers  # (N, _NUMBERS_PER_FACE) in [0, 1)
        self.next_number = 0
        count = len(numbers)
        ticks = (torch.arange(size, device=numbers.device) + 0.5) / size * 2 - 1
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        turn, scale = self.draw(-0.35, 0.35), self.draw(0.85, 1.35)
        x, y = x - self.draw(-0.15, 0.15), y - self.draw(-0.15, 0.15)  # (N, S, S)
        self.x = scale * (torch.cos(turn) * x + torch.sin(turn) * y)
        self.y = scale * (torch.cos(turn) * y - torch.sin(turn) * x)
        self.images = torch.zeros(count, 3, size, size, device=numbers.device)
        self.labels = torch.zeros(count, size, size, dtype=torch.uint8, device=numbers.device)

    def draw(self, low: float, high: float) -> Tensor:
        """(N, 1, 1) uniform numbers."""
        value = self.numbers[:, self.next_number, None, None]
        self.next_number += 1
        return low + (high - low) * value

    def chance(self, probability: float) -> Tensor:
        """(N, 1, 1) bool, True with this probability."""
        return self.draw(0.0, 1.0) < probability

    def colour(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> Tensor:
        """(N, 3, 1, 1) colours on the line from ``low`` to ``high``."""
        mix = self.draw(0.0, 1.0)[:, None]
        ends = self.numbers.new_tensor([low, high])[..., None, None]
        return ends[0] + (ends[1] - ends[0]) * mix

    def ellipse(
        self, centre: tuple[Tensor | float, Tensor | float], radii: tuple[Tensor | float, Tensor | float]
    ) -> Tensor:
        """(N, S, S) squared distance from the centre relative to the radii: below 1 inside."""
        return ((self.x - centre[0]) / radii[0]) ** 2 + ((self.y - centre[1]) / radii[1]) ** 2

    def paint(self, inside: Tensor, colour: Tensor, label: FaceClass) -> None:
        """Fill the mask ``inside`` (N, S, S) with a colour, lit slightly from one side."""
        shade = 1.0 + 0.15 * self.x[:, None] - 0.1 * self.y[:, None]
        self.images = torch.where(inside[:, None], colour * shade, self.images)
        self.labels = torch.where(inside, torch.full_like(self.labels, int(label)), self.labels)


def _draw_face(pen: _Pen) -> None:
    """Paint from back to front; x and y are about 1 at the picture's border."""
    width, height = pen.draw(0.42, 0.55), pen.draw(0.55, 0.7)
    skin = pen.colour((0.95, 0.8, 0.7), (0.3, 0.18, 0.12))
    hair = pen.colour((0.1, 0.07, 0.06), (0.8, 0.65, 0.35))
    pen.paint(pen.x.abs() < 9, pen.colour((0.1, 0.2, 0.3), (0.8, 0.8, 0.75)), FaceClass.BACKGROUND)
    pen.paint((pen.ellipse((0, -0.15), (width * 1.25, height * 1.2)) < 1) & (pen.y < 0.4), hair, FaceClass.HAIR)
    pen.paint((pen.x.abs() < 0.55 * width) & (pen.y > 0.3) & (pen.y < 1.1), skin * 0.8, FaceClass.NECK)
    for side in (-1, 1):
        pen.paint(pen.ellipse((side * width, 0.0), (0.09, 0.16)) < 1, skin * 0.9, FaceClass.EARS)
    face = pen.ellipse((0, 0), (width, height)) < 1
    pen.paint(face, skin, FaceClass.SKIN)
    beard = face & (pen.y > pen.draw(0.2, 0.3)) & pen.chance(0.35)
    pen.paint(beard, hair * 0.8, FaceClass.FACIAL_HAIR)
    pen.paint(face & (pen.y < -height * pen.draw(0.5, 0.8)), hair, FaceClass.HAIR)
    eye_x, eye_open, gaze = width * pen.draw(0.38, 0.48), pen.draw(0.02, 0.06), pen.draw(-0.03, 0.03)
    brow_y = pen.draw(-0.26, -0.18)
    iris = pen.colour((0.2, 0.15, 0.1), (0.3, 0.5, 0.7))
    for side in (-1, 1):
        eye = pen.ellipse((side * eye_x, -0.08), (0.1, eye_open)) < 1
        pen.paint(eye, torch.full_like(skin, 0.92), FaceClass.EYES)
        pen.paint(eye & (pen.ellipse((side * eye_x + gaze, -0.08), (0.04, 0.04)) < 1), iris, FaceClass.EYES)
        pen.paint(pen.ellipse((side * eye_x, brow_y), (0.13, 0.035)) < 1, hair * 0.7, FaceClass.BROWS)
    mouth_y, mouth_width = pen.draw(0.28, 0.36), pen.draw(0.14, 0.24)
    mouth_open = pen.draw(0.0, 0.08)
    lips = pen.colour((0.75, 0.3, 0.3), (0.5, 0.2, 0.22))
    pen.paint(pen.ellipse((0, mouth_y), (mouth_width, 0.05 + mouth_open)) < 1, lips, FaceClass.LIPS)
    inside = pen.ellipse((0, mouth_y), (mouth_width * 0.8, mouth_open.clamp_min(1e-3))) < 1
    pen.paint(inside, torch.full_like(skin, 0.12), FaceClass.MOUTH_INTERIOR)
    frame, thickness = pen.colour((0.05, 0.05, 0.08), (0.6, 0.1, 0.1)), pen.draw(0.02, 0.05)
    worn = pen.chance(0.3)
    bridge = (pen.x.abs() < eye_x) & ((pen.y + 0.08).abs() < thickness / 2)
    rims = torch.zeros_like(bridge)
    for side in (-1, 1):
        radius = pen.ellipse((side * eye_x, -0.06), (0.17, 0.14)).sqrt()
        rims |= (radius - 1).abs() < thickness / 0.15 / 2
        bridge &= radius > 1
    pen.paint((rims | bridge) & worn, frame, FaceClass.GLASSES)
    hand_x, hand_y = pen.draw(-0.6, 0.6), pen.draw(0.2, 0.9)
    hand = (pen.ellipse((hand_x, hand_y), (0.12, 0.3)) < 1) & pen.chance(0.25)
    pen.paint(hand, pen.colour((0.9, 0.6, 0.5), (0.2, 0.5, 0.4)), FaceClass.OCCLUDER)


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

    def build(self) -> Source:
        """Make the source; pictures are made on demand."""
        source = self.source.build()
        root = Path(self.folder) if self.folder else cache_folder() / "pictures"
        folder = root / content_key(self.source, self.count, *code_of(source))
        return StoredBatches(LabelledPictures, source, self.count, folder)


def code_of(source: Source) -> list[Path]:
    """Return the source files of the packages of the source's classes; a change of them makes new pictures."""
    paths = [Path(inspect.getfile(each)) for each in type(source).__mro__[:-1]]
    return [file for path in paths for file in sorted(path.parent.rglob("*.py"))]


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


@dataclass(frozen=True, kw_only=True)
class PeopleAndPortraitsConfig(SourceConfig):
    """Synthetic people and portraits in one batch; both sources' batches are of one kind."""

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

    def batch(self, indices: range, device: torch.device) -> Batch:
        """Return the people of ``indices`` first, then the portraits."""
        own = [(source, self._turns.own(indices, number)) for number, source in enumerate(self._sources)]
        batches: list[Batch] = [source.batch(part, device) for source, part in own if len(part)]
        return type(batches[0]).concatenate(batches, device)
