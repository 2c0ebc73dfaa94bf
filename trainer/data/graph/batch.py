"""Photos of people with the faces that made them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class GraphPhotos:
    """What N photos show, S x S pixels; C vertices of the head, seen where nothing is before them.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB, the square of ``backend.photos.crop.face_square``.
    places : (N, C, 2) where the head's surface is in the picture, its sides are 1, x right, y down from the top left.
    albedo : (N, C, 3) sRGB in [0, 1]. seen : (N, C) bool: bare skin, brows or lips of the face; albedo holds only there.
    light : (N, 9, 3) as ``PeopleBatch`` has it.
    """

    images: Tensor
    places: Tensor
    albedo: Tensor
    seen: Tensor
    light: Tensor


@dataclass(frozen=True)
class GraphBatch:
    """N faces of people; those of one person in a row. Head frame, metres.

    Attributes
    ----------
    person : (N,) int64 number of the person. neutral : (N, V, 3) the template's cage without expression.
    weights : (N, 52) of the keys. vertices : (N, C, 3) the head's cage with expression. photos : None for shapes alone.
    """

    person: Tensor
    neutral: Tensor
    weights: Tensor
    vertices: Tensor
    photos: GraphPhotos | None
