"""Reduce sets that were drawn at a higher resolution for the landmark net."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from backend.rendering.camera_models import CanonicalCamera
from trainer.contracts import Source
from trainer.data.lap.batch import CanonicalTruth, LapBatch


class ReducedSets:
    """A source of sets, reduced from pictures that are an integer number of times as large.

    Raises ``ValueError`` where they are not.
    """

    def __init__(self, source: Source, size: int) -> None:
        self._source, self._size = source, size

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        """See ``trainer.contracts.Source``."""
        return reduced(self._source.batch(indices, device), self._size)


def reduced(batch: LapBatch, size: int) -> LapBatch:
    """Reduce pictures and maps to ``size`` pixels. Pixels are means, labels those of one pixel; depth is kept where all
    of it is known.

    The canonical camera's field of view spans the outermost pixel centres. Its unit, in sides of the picture, therefore
    depends slightly on the number of pixels; depths and translations are converted.
    """
    large = batch.images.shape[-1]
    factor = large // size
    if factor * size != large:
        raise ValueError(f"pictures of {large} px cannot be reduced to {size} px")
    unit = (CanonicalCamera((large, large)).focal / large) / (CanonicalCamera((size, size)).focal / size)

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, factor)

    def depth(values: Tensor) -> Tensor:
        known = values > 0
        whole = mean(known[:, None].float())[:, 0] > 0.999
        near = 1 + (mean(values[:, None])[:, 0] - 1) * unit
        return torch.where(whole, near, 0.0)

    truth = batch.truth
    if truth is not None:
        seen = mean(truth.albedo_seen[:, None].float())
        albedo = mean(truth.albedo * truth.albedo_seen[:, None]) / seen.clamp(min=1e-6)
        truth = CanonicalTruth(
            depth=depth(truth.depth),
            albedo=albedo,
            albedo_seen=seen[:, 0] > 0.999,
            personal_depth=depth(truth.personal_depth),
            rotation=truth.rotation,
            translation=truth.translation * unit,
            view_depth=depth(truth.view_depth),
        )
    middle = factor // 2
    return dataclasses.replace(
        batch, images=mean(batch.images), labels=batch.labels[:, middle::factor, middle::factor], truth=truth
    )
