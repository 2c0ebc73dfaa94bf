"""Prepared portraits as a source of training data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.contracts import SourceConfig
from trainer.data.portraits.cache import PortraitCache, Verdict, open_cache
from trainer.data.portraits.close_up import close_up
from trainer.data.portraits.hand_labels import read_hand_labels

COLOUR_FROM = 6.0
"""``hue_spread`` above which a picture is in colour; a toned black-and-white print has only one hue."""


@dataclass(frozen=True)
class PortraitBatch:
    """Real portraits. With ``photos`` K in the configuration, N = people x K, the photos of one person consecutive.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB.
    labels : (N, S, S) uint8 of ``FaceClass`` from the parsing net, 255 outside the photo.
    landmarks : (N, 478, 2) float32 in pixels of the picture.
    person : (N,) int64.
    is_grey : (N,) bool; without colour, so losses use luminance.
    """

    images: Tensor
    labels: Tensor
    landmarks: Tensor
    person: Tensor
    is_grey: Tensor


@dataclass(frozen=True, kw_only=True)
class PortraitsConfig(SourceConfig):
    """Real portraits prepared by ``python -m trainer portraits``."""

    folder: str
    """Folder of the prepared collection."""
    part: Literal["all", "training", "held_out"] = "all"
    """``held_out`` is every tenth person, ``training`` the others."""
    photos: int = 1
    """Photos per person; people with fewer are left out."""
    colour: Literal["any", "colour", "grey"] = "any"
    """Filter by colour."""
    largest_yaw: float = 90.0
    """Largest yaw to either side, degrees."""
    mirror: bool = False
    """Mirror pictures at random, all photos of a person alike. Landmarks are not renamed: left becomes right."""
    by_hand: bool = False
    """Only portraits with hand-corrected labels (``hand_labels.npz``), without the held-out ones."""
    close_up: bool = False
    """Cut the face's square (``backend.photos.faces.crop.face_square``) out of a collection of head crops."""
    seed: int = 0
    """Seed of the people's order and of the choice of their photos."""

    def __post_init__(self) -> None:
        if self.photos < 1:
            raise ValueError(f"photos must be at least 1, not {self.photos}")

    def build(self) -> Portraits:
        """Open the collection.

        Raises
        ------
        FileNotFoundError : it is not prepared. ValueError : nothing in it matches the configuration.
        """
        return Portraits(self, open_cache(Path(self.folder)))


class Portraits:
    """See ``PortraitsConfig``. An index is a person; all come once before any repeats."""

    def __init__(self, config: PortraitsConfig, cache: PortraitCache) -> None:
        self.config = config
        self.cache = cache
        self.grey = np.asarray(cache.hue_spread) <= COLOUR_FROM
        wanted = np.asarray(cache.verdicts) == Verdict.KEPT
        wanted &= np.abs(np.asarray(cache.yaw)) <= config.largest_yaw
        if config.colour != "any":
            wanted &= self.grey == (config.colour == "grey")
        if config.by_hand:
            corrected = {name for name, portrait in read_hand_labels().items() if not portrait.held_out}
            wanted &= np.array([file.path in corrected for file in cache.files])
        person = np.array([file.person for file in cache.files])
        if config.part != "all":
            wanted &= (person % 10 == 9) == (config.part == "held_out")
        photos_of = {int(who): np.flatnonzero(wanted & (person == who)) for who in np.unique(person[wanted])}
        self.people = [(who, rows) for who, rows in photos_of.items() if len(rows) >= config.photos]
        if not self.people:
            raise ValueError(f"{config.folder} holds no portraits as they are asked for")

    def __len__(self) -> int:
        """Number of people that match the configuration."""
        return len(self.people)

    def batch(self, indices: range, device: torch.device) -> PortraitBatch:
        """Return people number ``indices``; from ``len(self)`` on they repeat in another order, with other photos."""
        rows, who, mirrored = [], [], []
        for index in indices:
            turn, place = divmod(index, len(self.people))
            order = np.random.Generator(np.random.Philox(key=[self.config.seed, turn])).permutation(len(self.people))
            person, photos = self.people[order[place]]
            generator = np.random.Generator(np.random.Philox(key=[self.config.seed + 1, index]))
            rows.append(generator.choice(photos, self.config.photos, replace=False))
            who += [person] * self.config.photos
            mirrored += [self.config.mirror and bool(generator.integers(2))] * self.config.photos
        chosen = np.concatenate(rows)
        images = torch.from_numpy(self.cache.crops[chosen]).to(device).permute(0, 3, 1, 2).float() / 255
        labels = torch.from_numpy(self.cache.labels[chosen]).to(device)
        landmarks = torch.from_numpy(self.cache.landmarks[chosen]).to(device)
        flip = torch.tensor(mirrored, device=device)
        images = torch.where(flip[:, None, None, None], images.flip(-1), images)
        labels = torch.where(flip[:, None, None], labels.flip(-1), labels)
        size = float(images.shape[-1])
        landmarks = torch.where(
            flip[:, None, None], landmarks.new_tensor([size, 0]) + landmarks * landmarks.new_tensor([-1, 1]), landmarks
        )
        if self.config.close_up:
            images, labels, landmarks = close_up(images, labels, landmarks)
        return PortraitBatch(
            images, labels, landmarks, torch.tensor(who, device=device), torch.from_numpy(self.grey[chosen]).to(device)
        )
