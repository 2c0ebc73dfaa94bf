"""Prepared portraits as a source of training data; needs torch and numpy alone."""

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
"""``hue_spread`` above which a picture has colours of its own; a toned black-and-white print has one hue."""


@dataclass(frozen=True)
class PortraitBatch:
    """Real portraits; with ``photos`` K in the configuration, N = people x K, photos of one person in a row.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB.
    labels : (N, S, S) uint8 of ``FaceClass`` as the parsing net sees them, 255 outside the photo.
    landmarks : (N, 478, 2) float32 in pixels of the picture.
    person : (N,) int64.
    is_grey : (N,) bool; their colours say nothing, losses on them use luminance.
    """

    images: Tensor
    labels: Tensor
    landmarks: Tensor
    person: Tensor
    is_grey: Tensor


@dataclass(frozen=True, kw_only=True)
class PortraitsConfig(SourceConfig):
    """Real portraits that ``python -m trainer portraits`` prepared."""

    folder: str
    """Where the prepared collection lies."""
    part: Literal["all", "training", "held_out"] = "all"
    """``held_out`` is every tenth person, ``training`` the others."""
    photos: int = 1
    """Photos per person; who has fewer is left out."""
    colour: Literal["any", "colour", "grey"] = "any"
    """Which pictures."""
    smallest_face: float = 0.0
    """Height of the smallest face, in pixels of the photo itself."""
    largest_yaw: float = 90.0
    """Degrees to either side."""
    mirror: bool = False
    """Mirror every other picture, all photos of a person alike; landmarks are not given names again: left is right."""
    by_hand: bool = False
    """Only portraits whose labels somebody corrected (``hand_labels.npz``), without those that are held out."""
    close_up: bool = False
    """Cut the face's square (``backend.photos.faces.crop.face_square``) out of a collection of head crops."""
    seed: int = 0
    """Order of the people, and which of their photos."""

    def __post_init__(self) -> None:
        if self.photos < 1:
            raise ValueError(f"photos must be at least 1, not {self.photos}")

    def build(self) -> Portraits:
        """Open the collection.

        Raises
        ------
        FileNotFoundError : it is not prepared. ValueError : nothing in it is as the configuration wants it.
        """
        return Portraits(self, open_cache(Path(self.folder)))


class Portraits:
    """See ``PortraitsConfig``; an index is a person, who comes once before anybody comes again."""

    def __init__(self, config: PortraitsConfig, cache: PortraitCache) -> None:
        self.config = config
        self.cache = cache
        self.grey = np.asarray(cache.hue_spread) <= COLOUR_FROM
        wanted = np.asarray(cache.verdicts) == Verdict.KEPT
        wanted &= np.asarray(cache.face_px) >= config.smallest_face
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
        """People that fit."""
        return len(self.people)

    def batch(self, indices: range, device: torch.device) -> PortraitBatch:
        """People number ``indices``; from ``len(self)`` on they come again in another order, with other photos."""
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
