"""Degrade photos of sets: occluded, dark, blurred, or cut off within the face. Then one photo is not enough and
aggregating a set is worthwhile."""

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
"""Label of unknown pixels."""
_TWO_DEGRADATIONS = 0.3
"""Probability that a degraded photo has two degradations."""
_OCCLUDER_SIZE = (0.3, 0.55)
"""Size of an occluder, in sides of the picture."""
_EXPOSURE = (0.06, 0.25)
"""Factor on the light of dark photos."""
_NOISE = (0.01, 0.04)
"""Standard deviation of their noise, relative to full scale."""
_BLUR = (0.015, 0.05)
"""Standard deviation of the blur, in sides of the picture."""
_CUT_SHARE = (0.3, 0.5)
"""Share of the picture that lies outside the photo."""


class DegradedSets:
    """A source of sets with a share ``poor`` of degraded photos; seed and index determine which and how.

    Occluded pixels get the label ``OCCLUDER``, pixels beyond the photo's end ``UNKNOWN``. The ground truth stays
    unchanged.
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
                    images[row], labels[row] = degraded_sample(images[row], labels[row], generator)
        return dataclasses.replace(batch, images=images, labels=labels)


def degraded_sample(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Degrade a picture (3, S, S) in [0, 1] and its labels (S, S) in one way or two."""
    ways = generator.permutation(len(_DEGRADATIONS))[: 2 if generator.random() < _TWO_DEGRADATIONS else 1]
    for way in sorted(ways):  # an occluder is blurred and darkened with the face
        image, label = _DEGRADATIONS[way](image, label, generator)
    return image.clamp(0, 1), label


def _occlude(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Paint an occluder over the face: an ellipse of one colour with grain."""
    side = image.shape[-1]
    middle, angle = generator.uniform(0.2, 0.8, 2), generator.uniform(0, np.pi)
    extent = generator.uniform(*_OCCLUDER_SIZE, 2) / 2 * (1.0, 1.5)
    y, x = ((np.mgrid[:side, :side] + 0.5) / side - middle[:, None, None]).astype(np.float64)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    inside = torch.from_numpy((u / extent[0]) ** 2 + (v / extent[1]) ** 2 < 1).to(image.device)
    colour = generator.uniform(0.05, 0.9, 3)[:, None, None] + generator.normal(0, 0.06, (1, side, side))
    coloured = torch.from_numpy(colour).to(image)
    return torch.where(inside, coloured, image), torch.where(inside, int(FaceClass.OCCLUDER), label)


def _cut_off(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """End the photo within the face; beyond it the edge is repeated, as in padded crops."""
    side, turns = image.shape[-1], int(generator.integers(4))
    first = round(side * (1 - generator.uniform(*_CUT_SHARE)))
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
    """Reduce the linear light and add the noise that goes with it."""
    gain, noise = generator.uniform(*_EXPOSURE), generator.uniform(*_NOISE)
    grain = torch.from_numpy(generator.normal(0, noise, tuple(image.shape))).to(image)
    return image * gain ** (1 / 2.2) + grain, label


_DEGRADATIONS = (_occlude, _cut_off, _blur, _darken)
