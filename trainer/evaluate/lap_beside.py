"""Baselines for LAP's fused face: the plain mean of the photos' own codes, and a linear map of the landmark net's
points in the same photos."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.models.lap.landmark_face import LandmarkFace
from backend.models.lap.network import LapNet
from trainer.contracts import Source
from trainer.data.lap import LapBatch
from trainer.data.lap.landmark_shapes import landmark_shapes
from trainer.stages.lap_initialisation import VIEW_SHAPES
from trainer.stages.lap_metrics import canonical_errors, first_photos
from trainer.stages.lap_sets import filled_depth

COUNTS = (1, 4)
"""Numbers of photos given; each has a linear map of its own."""
_BATCH = 16
_MEASURED = 64
"""People whose points give the residual around the face shapes: a median over them and their photos."""


@torch.no_grad()
def mean_code_errors(network: LapNet, batches: Iterable[LapBatch], photos: int) -> Tensor:
    """(P,) SIDE (times 100), facing the camera, of the mean of the codes of the first ``photos`` photos, each encoded
    alone."""
    found = []
    for batch in batches:
        rows = first_photos(batch.set_of, photos)
        marks = None if batch.marks is None else batch.marks[rows]
        codes = network.encode_depth(batch.images[rows] * 2 - 1, marks)
        own = network.depth_codes(codes, torch.arange(len(rows)))
        depth = network.decode_depth(own.unflatten(0, (-1, photos)).mean(1))
        found.append(100 * canonical_errors(depth, batch.truth.depth).side)
    return torch.cat(found)


@dataclass(frozen=True)
class LinearMaps:
    """Linear regression of canonical depth on the most probable shape of a set's points.

    points : solves for shapes (G, K). weights : (1 + K, S * S) for each number of photos.
    """

    points: LandmarkFace
    weights: dict[int, Tensor]

    def depth(self, marks: Tensor, photos: int) -> Tensor:
        """(G, S, S) depth from points (G * photos, 478, 3), grouped by set."""
        flat = _shapes(self.points, marks, photos) @ self.weights[photos]
        side = round(flat.shape[1] ** 0.5)
        return flat.view(-1, side, side)


@torch.no_grad()
def linear_maps(source: Source, people: int, size: int) -> LinearMaps:
    """Maps for ``COUNTS`` photos, learned from the first ``people`` of a source with truth and points.

    size : side of the canonical maps. Raises ``ValueError`` for sets without truth or points.
    """
    starts = range(0, people, _BATCH)
    batches = [source.batch(range(start, min(start + _BATCH, people)), torch.device("cpu")) for start in starts]
    if any(batch.marks is None or batch.truth is None for batch in batches):
        raise ValueError("a linear map is learned from sets with truth and the landmark net's points")
    points = LandmarkFace(size, VIEW_SHAPES)
    marks = torch.cat([batch.marks for batch in batches])
    points.set_reference(landmark_shapes(size, VIEW_SHAPES, torch.device("cpu")), marks[: _MEASURED * max(COUNTS)])
    depth = torch.cat([filled_depth(batch.truth.depth) for batch in batches]).flatten(1)
    weights = {}
    for photos in COUNTS:
        told = torch.cat([_shapes(points, own.marks[first_photos(own.set_of, photos)], photos) for own in batches])
        weights[photos] = torch.linalg.lstsq(told.double(), depth.double()).solution.float()
    return LinearMaps(points, weights)


@dataclass(frozen=True)
class LinearErrors:
    """(P,) SIDE (times 100), facing the camera, by number of photos. linear : of the maps alone. both : of the mean of
    their depth and the networks', which is better than either if the pictures add information to the points."""

    linear: dict[int, Tensor]
    both: dict[int, Tensor]


@torch.no_grad()
def linear_errors(maps: LinearMaps, network: LapNet, batches: Iterable[LapBatch]) -> LinearErrors:
    """Measure the maps, alone and averaged with the networks, on sets with truth and points."""
    alone: dict[int, list[Tensor]] = {photos: [] for photos in COUNTS}
    both: dict[int, list[Tensor]] = {photos: [] for photos in COUNTS}
    for batch in batches:
        codes = network.encode_depth(batch.images * 2 - 1, batch.marks)
        for photos in COUNTS:
            rows = first_photos(batch.set_of, photos)
            depth = maps.depth(batch.marks[rows], photos)
            own = network.decode_depth(network.depth_codes(codes.of(rows), torch.arange(len(rows)) // photos))
            for found, shown in ((alone, depth), (both, (depth + own) / 2)):
                found[photos].append(100 * canonical_errors(shown, batch.truth.depth).side)
    return LinearErrors(*({photos: torch.cat(errors) for photos, errors in found.items()} for found in (alone, both)))


def _shapes(points: LandmarkFace, marks: Tensor, photos: int) -> Tensor:
    """(G, 1 + K) regressors from points (G * photos, 478, 3): a one, then the shape."""
    shape = points.faces(marks, torch.arange(len(marks)) // photos).shape
    return torch.cat([torch.ones_like(shape[:, :1]), shape], 1)
