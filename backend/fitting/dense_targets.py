"""Targets from optical flow: each photo is compared with predictions from the other photos.

For a pair of photos the second is warped through the current mesh into the first's view. The optical flow between this
prediction and the photo measures the error of the mesh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.fitting.dense_views import DenseMesh, View, pair_flow, sample, view_of
from backend.fitting.options import DenseStage
from backend.fitting.parameters import PhotoParameters
from backend.fitting.solver import PointTargets
from backend.photos.collection import PhotoFace

LEAST_WEIGHT = 0.1
"""Summed confidence of the flow at a vertex below which a photo gets no target there."""
FEWEST_TARGETS = 50


@dataclass(frozen=True)
class DenseTargets:
    """Targets for single vertices: vertices (M,) ids, and their ``PointTargets``."""

    vertices: np.ndarray
    targets: PointTargets

    def combined_with(self, more: DenseTargets) -> DenseTargets:
        """Both sets, one after the other."""
        vertices = np.concatenate([self.vertices, more.vertices])
        return DenseTargets(vertices, PointTargets.joined(self.targets, more.targets))


def dense_targets(
    views: Sequence[View],
    face_scales: tuple[float, ...],
    mesh: DenseMesh,
    width: int,
    stage: DenseStage,
    nuisance_size: int,
) -> tuple[DenseTargets | None, ...]:
    """Targets of every photo for ``mesh.vertices``; None for a photo that overlaps no other.

    Parameters
    ----------
    views : ``views_of`` the photos at ``width``. face_scales : ``initial_pose.face_scale`` of each photo.
    width : working resolution, pixels per ``1.5 * face_scale`` (about the face's width).
    nuisance_size : of the photos' parameters.
    """
    directions = np.stack([view.direction for view in views])
    closeness = directions @ directions.T
    results: list[DenseTargets | None] = []
    for number, view in enumerate(views):
        order = [other for other in np.argsort(-closeness[number]) if other != number][: stage.partners]
        flow_sum = np.zeros((*view.normalised.shape, 2), np.float32)
        weight_sum = np.zeros(view.normalised.shape, np.float32)
        for other in order:
            flow, confidence = pair_flow(view, views[other], width)
            flow_sum += flow * confidence[..., None]
            weight_sum += confidence
        results.append(_targets_of(view, flow_sum, weight_sum, mesh, face_scales[number], stage, nuisance_size))
    return tuple(results)


def views_of(
    faces: tuple[PhotoFace, ...],
    parameters: tuple[PhotoParameters, ...],
    meshes: tuple[np.ndarray, ...],
    face_scales: tuple[float, ...],
    mesh: DenseMesh,
    width: int,
) -> list[View]:
    """Every photo at working resolution.

    meshes : posed vertices (V, 3) of each photo, head frame. For the other arguments see ``dense_targets``.
    """
    return [
        view_of(face, photo.camera(), posed, mesh, width, 1.5 * scale)
        for face, photo, posed, scale in zip(faces, parameters, meshes, face_scales, strict=True)
    ]


def _targets_of(
    view: View,
    flow_sum: np.ndarray,
    weight_sum: np.ndarray,
    mesh: DenseMesh,
    scale: float,
    stage: DenseStage,
    nuisance_size: int,
) -> DenseTargets | None:
    places = view.pixels[mesh.vertices, :2]
    weight = sample(weight_sum, places[:, 0], places[:, 1])
    kept = (weight > LEAST_WEIGHT) & view.shows(mesh.vertices)
    flow = np.stack(
        [sample(np.ascontiguousarray(flow_sum[..., axis]), places[:, 0], places[:, 1]) for axis in (0, 1)], -1
    )
    off = flow / np.maximum(weight, LEAST_WEIGHT)[:, None] / view.factor
    return targets_at(mesh, kept, view.in_crop(mesh.vertices), off, weight, scale, view.factor, stage, nuisance_size)


def targets_at(
    mesh: DenseMesh,
    kept: np.ndarray,
    places: np.ndarray,
    off: np.ndarray,
    weight: np.ndarray,
    scale: float,
    factor: float,
    stage: DenseStage,
    nuisance_size: int,
) -> DenseTargets | None:
    """Targets of one photo at the vertices ``kept`` (M,) bool; None when they are too few.

    places : (M, 2) projected vertices in crop pixels. off : (M, 2) their error in pixels. weight : (M,) summed
    confidence. scale : ``face_scale``. factor : working pixels per crop pixel.
    """
    count = int(kept.sum())
    if count < FEWEST_TARGETS:
        return None
    deviation = max(stage.deviation_percent / 100.0 * scale, 0.25 / factor)
    whitening = np.broadcast_to(np.eye(2) / deviation, (count, 2, 2))
    information = stage.independent_fraction * np.minimum(weight[kept], 1.0)
    nuisance = np.zeros((count, 2, nuisance_size))
    target = places[kept] + stage.step * off[kept]
    return DenseTargets(
        mesh.vertices[kept], PointTargets(mesh.points.take(kept), target, whitening, information, nuisance)
    )
