"""Stages for photos whose landmarks a person has corrected: targets for the cage, and a final pose on the finished
shape, which photos used for the texture alone get too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.fitting.dense_targets import DenseTargets
from backend.fitting.fit_state import FitState, all_landmark_targets
from backend.fitting.initial_pose import camera_prior, initial_parameters
from backend.fitting.landmark_targets import corrected_targets, landmark_model
from backend.fitting.options import FitOptions
from backend.fitting.solver import (
    FaceEstimate,
    IdentityPrior,
    solve,
    solver_weights,
)
from backend.geometry.head_points import ear_vertices
from backend.models.landmarks.network import net_points
from backend.photos.collection import PhotoFace


def placed_on_face(state: FitState, more: tuple[PhotoFace, ...], options: FitOptions) -> FitState:
    """The state with the photos ``more`` added. Their pose and expression, and those of corrected photos, are solved on
    the fixed shape."""
    placed = tuple(number for number, face in enumerate(state.faces) if face.corrected is not None)
    if not placed and not more:
        return state
    no_modes = np.zeros((0, *state.template.vertices.shape), np.float32)
    known = replace(state.template, vertices=state.neutral().astype(np.float32), identity_modes=no_modes)
    model = landmark_model(known)
    faces = tuple(state.faces[number] for number in placed) + more
    cameras = tuple(camera_prior(face, options.prior) for face in faces)
    nothing = IdentityPrior(np.zeros((0, 0)), np.zeros(0))
    weights = solver_weights(options.prior, nothing, options.landmarks.outlier_scale)
    starts = tuple(state.estimate.photos[number] for number in placed) + tuple(
        initial_parameters(known, face, options.prior, model.nuisance_size) for face in more
    )
    estimate = FaceEstimate(np.zeros(0), starts, state.estimate.distance_habit)
    for scale in (4.0, 1.0, 1.0) if more else (1.0,):
        targets = all_landmark_targets(known, model, faces, estimate, options)
        own = replace(weights, outlier_scale=scale * weights.outlier_scale)
        estimate = solve(estimate, targets, cameras, own, options.landmarks.iterations)
    model = landmark_model(state.template)
    everybody = list(state.estimate.photos)
    for number, parameters in zip(placed, estimate.photos, strict=False):
        everybody[number] = parameters
    photos = (*everybody, *estimate.photos[len(placed) :])
    all_faces = state.faces + more
    estimate = replace(state.estimate, photos=photos)
    return replace(
        state,
        faces=all_faces,
        estimate=estimate,
        targets=all_landmark_targets(state.template, model, all_faces, estimate, options),
    )


def with_corrected(state: FitState, dense: tuple[DenseTargets | None, ...]) -> tuple[DenseTargets | None, ...]:
    """Add the targets of corrected landmarks, each at its nearest vertex, to the dense ones."""
    if all(face.corrected is None for face in state.faces):
        return dense
    model, points = landmark_model(state.template), net_points()
    nearest = np.take_along_axis(points.vertices, points.barycentrics.argmax(1)[:, None], 1)[:, 0]
    joined = []
    for face, one in zip(state.faces, dense, strict=True):
        if face.corrected is not None:
            vertices = np.concatenate([nearest[face.corrected.landmarks], ear_vertices()[face.corrected.ears]])
            more = DenseTargets(vertices, corrected_targets(model, face, face.corrected))
            one = more if one is None else one.combined_with(more)
        joined.append(one)
    return tuple(joined)
