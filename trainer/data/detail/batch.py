"""Batches of the detail stage: people, their photos in UV, and pictures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

TARGETS = 3
"""Expressions per person with a target displacement: at rest, the first photo's, and one that no photo shows."""


@dataclass(frozen=True)
class DetailPictures:
    """The P photos as pictures of S x S pixels, for image losses.

    Attributes
    ----------
    photos : (P, 3, S, S) sRGB in [0, 1]. coarse : (P, 3, S, S) the same without the colour detail, which is the
    residual
        of the smooth face under the fitted light. places : (P, S, S, 2) position of each pixel in the window, -1 to 1
        (right, down), for ``torch.nn.functional.grid_sample``. mask : (P, 1, S, S) in [0, 1], share of a pixel that is
        bare skin and may be displaced.
    """

    photos: Tensor
    coarse: Tensor
    places: Tensor
    mask: Tensor


@dataclass(frozen=True)
class DetailBatch:
    """B people, P photos of them, T = 3 B targets (``TARGETS`` consecutive rows per person). The window has N x N
    texels, expression maps n x n.

    Attributes
    ----------
    photos : (P, 7, N, N) observations. expressions : (P, 9, n, n) with a fit's errors. person : (P,) int64, ascending
        from 0. wanted : (T, 9, n, n) target expressions. displacement : (T, 1, N, N) ground truth, millimetres; zero
        for
        people without ground truth. told : (B,) bool, whether a person has ground truth. allowed : (1, 1, N, N) in
        [0, 1], where skin may be displaced. pictures : None where the recipe asks for none.
    """

    photos: Tensor
    expressions: Tensor
    person: Tensor
    wanted: Tensor
    displacement: Tensor
    told: Tensor
    allowed: Tensor
    pictures: DetailPictures | None = None

    @classmethod
    def joined(cls, batches: Sequence[DetailBatch], device: torch.device) -> DetailBatch:
        """Concatenate batches on ``device``, in order; pictures are kept only where all batches have them."""
        values = {
            name: torch.cat([getattr(batch, name) for batch in batches]).to(device)
            for name in ("photos", "expressions", "wanted", "displacement", "told")
        }
        before, person = 0, []
        for batch in batches:
            person.append(batch.person + before)
            before += len(batch.told)
        shown = [batch.pictures for batch in batches if batch.pictures is not None]
        return cls(
            **values,
            person=torch.cat(person).to(device),
            allowed=batches[0].allowed.to(device),
            pictures=joined_pictures(shown, device) if len(shown) == len(batches) else None,
        )


def joined_pictures(parts: Sequence[DetailPictures], device: torch.device | None = None) -> DetailPictures:
    """Concatenate in order, on ``device`` (None: where they are)."""
    names = [one.name for one in fields(DetailPictures)]
    return DetailPictures(**{name: torch.cat([getattr(part, name) for part in parts]).to(device) for name in names})
