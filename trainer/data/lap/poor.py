"""Photos of sets made poor: covered, dark, blurred, or ending in the middle of the face, so that one photo is not
enough and sets have something to aggregate."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass
from trainer.contracts import Source
from trainer.data.lap.batch import LapBatch

UNKNOWN = 255
"""Label of what nobody can tell."""
_SECOND = 0.3
"""How often a poor photo is poor in two ways."""
_COVERED = (0.3, 0.55)
"""Sides of what covers a face, in sides of the picture."""
_EXPOSURE = (0.06, 0.25)
"""Factor on the light of dark photos."""
_NOISE = (0.01, 0.04)
"""Deviation of their noise, of full scale."""
_BLUR = (0.015, 0.05)
"""Deviation of the blur, in sides of the picture."""
_CUT = (0.3, 0.5)
"""How much of the picture lies outside the photo."""


class PoorSets:
    """A source of sets, a share ``poor`` of whose photos are made poor; which and how follows from seed and index.

    A covered face's labels say ``OCCLUDER``, beyond the photo's end ``UNKNOWN``; truth stays what it is.
    """

    def __init__(self, source: Source, poor: float, seed: int) -> None:
        self._source, self._poor, self._seed = source, poor, seed

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        """See ``trainer.contracts.Source``."""
        batch = self._source.batch(indices, device)
        photos = len(batch.images) // len(indices)
        images, labels = batch.images.clone(), batch.labels.clone()
        for place, index in enumerate(indices):
            for photo in range(photos):
                row = place * photos + photo
                generator = np.random.default_rng((self._seed, index, photo, 77))
                if generator.random() < self._poor:
                    images[row], labels[row] = made_poor(images[row], labels[row], generator)
        return dataclasses.replace(batch, images=images, labels=labels)


def made_poor(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A picture (3, S, S) in [0, 1] and its labels (S, S), poor in one way or two."""
    ways = generator.permutation(len(_WAYS))[: 2 if generator.random() < _SECOND else 1]
    for way in sorted(ways):  # what covers a face is blurred and dark with it
        image, label = _WAYS[way](image, label, generator)
    return image.clamp(0, 1), label


def _cover(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """An ellipse of one colour with grain, somewhere over the face."""
    side = image.shape[-1]
    middle, angle = generator.uniform(0.2, 0.8, 2), generator.uniform(0, np.pi)
    extent = generator.uniform(*_COVERED, 2) / 2 * (1.0, 1.5)
    y, x = ((np.mgrid[:side, :side] + 0.5) / side - middle[:, None, None]).astype(np.float64)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    inside = torch.from_numpy((u / extent[0]) ** 2 + (v / extent[1]) ** 2 < 1).to(image.device)
    colour = generator.uniform(0.05, 0.9, 3)[:, None, None] + generator.normal(0, 0.06, (1, side, side))
    coloured = torch.from_numpy(colour).to(image)
    return torch.where(inside, coloured, image), torch.where(inside, int(FaceClass.OCCLUDER), label)


def _cut(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The photo ends within the face; what lies beyond repeats its edge, as crops are padded."""
    side, turns = image.shape[-1], int(generator.integers(4))
    first = round(side * (1 - generator.uniform(*_CUT)))
    image, label = image.rot90(turns, (-2, -1)).clone(), label.rot90(turns).clone()
    image[:, :, first:] = image[:, :, first - 1 : first]
    label[:, first:] = UNKNOWN
    return image.rot90(-turns, (-2, -1)), label.rot90(-turns)


def _blur(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    deviation = generator.uniform(*_BLUR) * image.shape[-1]
    reach = int(np.ceil(2.5 * deviation))
    steps = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (steps / deviation) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = functional.pad(image[None], (reach,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel[:, :, None], groups=3)
    return functional.conv2d(across, kernel[..., None], groups=3)[0], label


def _darken(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Too little light, in linear light, and the noise that goes with it."""
    gain, noise = generator.uniform(*_EXPOSURE), generator.uniform(*_NOISE)
    grain = torch.from_numpy(generator.normal(0, noise, tuple(image.shape))).to(image)
    return image * gain ** (1 / 2.2) + grain, label


_WAYS = (_cover, _cut, _blur, _darken)
