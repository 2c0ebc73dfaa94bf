"""Photos of people with the ground truth of their faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, mirrored_name
from trainer.data.landmark_mirror import landmark_mirror

_MIRRORED_KEYS = [ARKIT_INDEX[mirrored_name(name)] for name in ARKIT_NAMES]
_MIRRORED_LIGHT = (1, 1, 1, -1, -1, 1, 1, -1, 1)
"""Signs of the basis functions of ``spherical_harmonics`` under mirroring in x."""


UNKNOWN = -1
"""Person number of portraits without a name and labels."""


@dataclass(frozen=True)
class GraphPhotos:
    """Content of N photos of S x S pixels. The head has C vertices; a vertex is visible where nothing occludes it.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB, the square of ``backend.photos.faces.crop.face_square``.
    places : (N, C, 2) position of the head's surface in the picture, in sides, x right, y down from the top left.
    albedo : (N, C, 3) sRGB in [0, 1]. seen : (N, C) bool: visible bare skin, brows or lips of the face; albedo
        is valid only there.
    light : (N, 9, 3) as in ``PeopleBatch``. marks : (N, 478, 3) landmarks found by the landmark net: x, y and standard
        deviation in sides.
    """

    images: Tensor
    places: Tensor
    albedo: Tensor
    seen: Tensor
    light: Tensor
    marks: Tensor


@dataclass(frozen=True)
class GraphBatch:
    """N faces of people, those of one person consecutive. Head frame, metres.

    Attributes
    ----------
    person : (N,) int64 number of the person, ``UNKNOWN`` for portraits: of these only ``images``, ``marks``, ``places``
        and ``seen`` are known, and the shapes are fitted. neutral : (N, V, 3) the template's cage without expression.
    weights : (N, 52) of the keys. vertices : (N, C, 3) the head's cage with expression. photos : None for shapes alone.
    """

    person: Tensor
    neutral: Tensor
    weights: Tensor
    vertices: Tensor
    photos: GraphPhotos | None

    @classmethod
    def joined(cls, batches: Sequence[GraphBatch], device: torch.device) -> GraphBatch:
        """Concatenate batches on ``device``, in order. Raises ``ValueError`` where only some have photos."""
        photos = [batch.photos for batch in batches if batch.photos is not None]
        if photos and len(photos) != len(batches):
            raise ValueError("shapes alone and photos do not go into one batch")
        whole = _joined_tensors(batches, ("person", "neutral", "weights", "vertices"), device)
        names = [one.name for one in fields(GraphPhotos)]
        return cls(**whole, photos=GraphPhotos(**_joined_tensors(photos, names, device)) if photos else None)


def _joined_tensors(parts: Sequence[object], names: Sequence[str], device: torch.device) -> dict[str, Tensor]:
    return {name: torch.cat([getattr(part, name) for part in parts]).to(device) for name in names}


def mirrored_batch(batch: GraphBatch, mirror: Tensor) -> GraphBatch:
    """Mirror a batch. ``mirror`` (V,) int64 is the vertex across the median plane. People keep their numbers, so in the
    classification a face and its mirror image are one class. Raises ``ValueError`` for shapes without photos."""
    photos = batch.photos
    if photos is None:
        raise ValueError("shapes alone need no mirror: their source draws both sides alike")
    flip = batch.neutral.new_tensor([-1.0, 1.0, 1.0])
    head = mirror[: batch.vertices.shape[1]]
    places, marks = photos.places[:, head], photos.marks[:, landmark_mirror()]
    return replace(
        batch,
        neutral=batch.neutral[:, mirror] * flip,
        weights=batch.weights[:, _MIRRORED_KEYS],
        vertices=batch.vertices[:, head] * flip,
        photos=GraphPhotos(
            images=photos.images.flip(-1),
            places=places * places.new_tensor([-1.0, 1.0]) + places.new_tensor([1.0, 0.0]),
            albedo=photos.albedo[:, head],
            seen=photos.seen[:, head],
            light=photos.light * photos.light.new_tensor(_MIRRORED_LIGHT)[:, None],
            marks=marks * marks.new_tensor([-1.0, 1.0, 1.0]) + marks.new_tensor([1.0, 0.0, 0.0]),
        ),
    )


def smaller_batch(batch: GraphBatch, factors: Tensor) -> GraphBatch:
    """Scale the content of photos by factors (N,) in (0, 1] around the pictures' centres; borders are repeated. Raises
    ``ValueError`` for shapes without photos."""
    photos = batch.photos
    if photos is None:
        raise ValueError("shapes alone have no pictures to make smaller")
    turn = torch.zeros(len(factors), 2, 3, device=factors.device)
    turn[:, 0, 0] = turn[:, 1, 1] = 1.0 / factors
    grid = functional.affine_grid(turn, list(photos.images.shape), align_corners=False)
    each = factors[:, None, None]
    marks = photos.marks.clone()
    marks[..., :2] = 0.5 + each * (marks[..., :2] - 0.5)
    marks[..., 2:] = each * marks[..., 2:]
    images = functional.grid_sample(photos.images, grid, padding_mode="border", align_corners=False)
    return replace(batch, photos=replace(photos, images=images, places=0.5 + each * (photos.places - 0.5), marks=marks))


def known_part(batch: GraphBatch) -> GraphBatch:
    """Keep only photos of people with labels."""
    return part_of(batch, batch.person != UNKNOWN)


def part_of(batch: GraphBatch, chosen: Tensor) -> GraphBatch:
    """Keep the faces selected by ``chosen`` (N,) bool."""
    photos = batch.photos
    kept = None if photos is None else GraphPhotos(*(getattr(photos, one.name)[chosen] for one in fields(photos)))
    whole = {one.name: getattr(batch, one.name)[chosen] for one in fields(batch) if one.name != "photos"}
    return GraphBatch(**whole, photos=kept)


def labelled_people(person: Tensor, share: float) -> Tensor:
    """(N,) bool, which photos of people (N,) have labels: a share of those with a name, evenly spread over their
    numbers."""
    numbers = person.double()
    return (person != UNKNOWN) & (((numbers + 1) * share).floor() > (numbers * share).floor())
