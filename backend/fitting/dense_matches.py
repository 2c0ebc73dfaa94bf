"""Matches between photos: pairs of image points that show the same skin, found by one optical flow per pair of photos.

A match does not depend on the mesh or the poses. It gives targets for both photos, and again for a later estimate,
without a new flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.fitting.dense_targets import LEAST_WEIGHT, DenseTargets, targets_at
from backend.fitting.dense_views import DenseMesh, View, pair_flow, sample
from backend.fitting.options import DenseStage
from backend.fitting.parameters import PhotoParameters, project_with_derivatives
from backend.geometry.normals import vertex_normals
from backend.parallel import each

_LEAST_CONFIDENCE = 0.02
"""Flow with less confidence gives no match."""
_TANGENT_RIDGE = 1e-4
"""Ridge that bounds steps in a tangent plane that a later estimate shows edge-on. Matches are made at a cosine of 0.25
or more, where the ridge changes steps by 0.1 %."""


@dataclass(frozen=True)
class PairMatches:
    """Matches of one pair of photos.

    Attributes
    ----------
    first, second : numbers of the photos. rows : (M,) into ``DenseMesh.vertices``.
    in_first, in_second : (M, 2) crop pixels. weight : (M,) the flow's confidence.
    """

    first: int
    second: int
    rows: np.ndarray
    in_first: np.ndarray
    in_second: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class DenseMatches:
    """Matches of all pairs, and for each photo the working pixels per crop pixel of its flow."""

    pairs: tuple[PairMatches, ...]
    factors: tuple[float, ...]


def compared_pairs(directions: np.ndarray, partners: int) -> list[tuple[int, int]]:
    """Pairs of photos where one is among the other's ``partners`` nearest in viewing direction; directions (P, 3)."""
    closeness = directions @ directions.T
    pairs = set()
    for number in range(len(directions)):
        order = [int(other) for other in np.argsort(-closeness[number]) if other != number][:partners]
        pairs |= {(min(number, other), max(number, other)) for other in order}
    return sorted(pairs)


def dense_matches(views: Sequence[View], mesh: DenseMesh, width: int, partners: int) -> DenseMatches:
    """Compute one flow for each pair of photos; arguments as in ``dense_targets``."""
    shown = [view.shows(mesh.vertices) for view in views]
    places = [view.in_crop(mesh.vertices) for view in views]

    def matched(first: int, second: int) -> PairMatches:
        flow, confidence = pair_flow(views[first], views[second], width)
        x, y = views[first].pixels[mesh.vertices, :2].T
        weight = sample(confidence, x, y) * shown[first] * shown[second]
        rows = np.flatnonzero(weight > _LEAST_CONFIDENCE)
        off = np.stack([sample(np.ascontiguousarray(flow[..., axis]), x, y) for axis in (0, 1)], -1)
        found = places[first] + off / views[first].factor
        return PairMatches(first, second, rows, found[rows], places[second][rows], weight[rows])

    pairs = compared_pairs(np.stack([view.direction for view in views]), partners)
    return DenseMatches(tuple(each(matched, *zip(*pairs, strict=True))), tuple(view.factor for view in views))


def matched_targets(
    matches: DenseMatches,
    parameters: tuple[PhotoParameters, ...],
    meshes: tuple[np.ndarray, ...],
    face_scales: tuple[float, ...],
    mesh: DenseMesh,
    stage: DenseStage,
) -> tuple[DenseTargets | None, ...]:
    """Targets of every photo for ``mesh.vertices`` under the current estimate; None for a photo without matches.

    For a match (q, q') of photos a and b: let p, p' be the vertex's projections and A, B (2, 2) those of its tangent
    plane. Pixel q' in b shows the point at u = B^-1 (q' - p') in the tangent plane. It projects to p + A u in a, but
    was found at q, so the vertex is off by q - p - A B^-1 (q' - p') in a; in b the other way round.
    """
    count = len(parameters)
    seen = [_projected_tangents(own, posed, mesh) for own, posed in zip(parameters, meshes, strict=True)]
    off = np.zeros((count, len(mesh.vertices), 2))
    weights = np.zeros((count, len(mesh.vertices)))
    for pair in matches.pairs:
        ends = ((pair.first, pair.in_first), (pair.second, pair.in_second))
        for (own, found), (other, found_there) in (ends, ends[::-1]):
            place, plane = (values[pair.rows] for values in seen[own])
            place_there, plane_there = (values[pair.rows] for values in seen[other])
            beside = _tangent_steps(plane_there, found_there - place_there)
            gap = found - place - (plane @ beside[..., None])[..., 0]
            off[own, pair.rows] += pair.weight[:, None] * gap
            weights[own, pair.rows] += pair.weight
    results: list[DenseTargets | None] = []
    for number, (place, _) in enumerate(seen):
        weight = weights[number]
        kept = weight > LEAST_WEIGHT
        gap = off[number] / np.maximum(weight, LEAST_WEIGHT)[:, None]
        size = len(parameters[number].nuisance)
        factor = matches.factors[number]
        results.append(targets_at(mesh, kept, place, gap, weight, face_scales[number], factor, stage, size))
    return tuple(results)


def _projected_tangents(
    parameters: PhotoParameters, posed: np.ndarray, mesh: DenseMesh
) -> tuple[np.ndarray, np.ndarray]:
    """Projections (M, 2) of the mesh's vertices and of their tangent planes (M, 2, 2), in crop pixels."""
    normals = vertex_normals(posed, mesh.triangles)[mesh.vertices]
    helper = np.where(np.abs(normals[:, :1]) < 0.8, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    across = np.cross(normals, helper)
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    tangents = np.stack([across, np.cross(normals, across)], -1)  # (M, 3, 2)
    pixels, by_point, _ = project_with_derivatives(parameters, posed[mesh.vertices])
    return pixels, by_point @ tangents


def _tangent_steps(planes: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(M, 2) steps in tangent planes (M, 2, 2) that project to pixel steps (M, 2)."""
    squared = planes.transpose(0, 2, 1) @ planes
    ridge = _TANGENT_RIDGE * np.trace(squared, axis1=1, axis2=2)[:, None, None] * np.eye(2)
    return np.linalg.solve(squared + ridge, planes.transpose(0, 2, 1) @ steps[..., None])[..., 0]
