"""What the source of people gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PeopleBatch:
    """Pictures of people with labels. N = people times pictures of each; see ``grouped``.

    Images: x right, y down. Head frame: metres, x to the person's left, y up, z out of the face.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB. labels : (N, S, S) uint8 of ``FaceClass``, 255 unknown.
    photos : pictures of each person, one after the other in the batch.
    person : (N,) int64 number of the person.
    """

    images: Tensor
    labels: Tensor
    photos: int
    person: Tensor

    def grouped(self, values: Tensor) -> Tensor:
        """(N, ...) of this batch as (people, photos, ...)."""
        return values.view(-1, self.photos, *values.shape[1:])
