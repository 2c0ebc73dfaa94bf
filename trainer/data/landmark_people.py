"""Faces of synthetic people with their true landmarks, kept on disk: ``kind = "landmark_people"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.contracts import SourceConfig
from trainer.data.disk_cache import cache_folder, content_key
from trainer.data.kept_rows import mapped, missing_runs
from trainer.data.people import PeopleConfig
from trainer.data.stored import code_of

_STEP = 1 / 64
"""Pixels; landmarks are kept as 16-bit steps."""


@dataclass(frozen=True)
class LandmarkBatch:
    """images : (N, 3, S, S) float32 in [0, 1], sRGB. landmarks : (N, 478, 2) true places in pixels, hidden ones too."""

    images: Tensor
    landmarks: Tensor


@dataclass(frozen=True, kw_only=True)
class LandmarkPeopleConfig(SourceConfig):
    """The first ``count`` pictures of a source of people; an index is a person. Then they come again."""

    people: PeopleConfig = field(default_factory=lambda: PeopleConfig(size=160, framing="roomy"))
    """Who, and how large; one photo of each."""
    count: int = 10000
    """Pictures that are kept."""
    folder: str = ""
    """Where they are kept; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.people.photos != 1:
            raise ValueError("count must be at least 1, and people must have one photo each")

    def build(self) -> LandmarkPeople:
        """Make the source; pictures follow when they are asked for."""
        return LandmarkPeople(self)


class LandmarkPeople:
    """See ``LandmarkPeopleConfig``."""

    def __init__(self, config: LandmarkPeopleConfig) -> None:
        self.config = config
        self._people = config.people.build()
        root = Path(config.folder) if config.folder else cache_folder() / "landmarks"
        folder = root / content_key(config.people, config.count, *code_of(self._people))
        folder.mkdir(parents=True, exist_ok=True)
        size, count = config.people.size, config.count
        self._images = mapped(folder / "images.npy", (count, 3, size, size))
        self._landmarks = mapped(folder / "landmarks.npy", (count, 478, 2), np.int16)
        self._made = mapped(folder / "made.npy", (count,))

    def batch(self, indices: range, device: torch.device) -> LandmarkBatch:
        """Pictures ``indices`` modulo ``count``."""
        rows = np.array([index % self.config.count for index in indices])
        for run in missing_runs(self._made, rows, len(rows)):
            made = self._people.batch(range(int(run[0]), int(run[-1]) + 1), device)
            self._images[run] = (made.images * 255).round().clamp(0, 255).byte().cpu().numpy()
            steps = (made.landmarks478 / _STEP).round().clamp(-32768, 32767)
            self._landmarks[run] = steps.cpu().numpy().astype(np.int16)
            self._made[run] = 1
        return LandmarkBatch(
            torch.from_numpy(self._images[rows]).to(device).float() / 255,
            torch.from_numpy(self._landmarks[rows]).to(device).float() * _STEP,
        )
