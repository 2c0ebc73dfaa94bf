"""Continue a fit after a person has corrected landmarks, in a fraction of a whole fit's time."""

from __future__ import annotations

from dataclasses import replace

from backend.fitting.dense_views import dense_mesh
from backend.fitting.fit import finished_state, fitted_face, in_order, no_receiver, prior_weights, targets_of_photos
from backend.fitting.fit_state import FitState, ResumableFit, all_landmark_targets
from backend.fitting.fitted_face import FittedFace
from backend.fitting.initial_pose import camera_prior
from backend.fitting.landmark_targets import landmark_model
from backend.fitting.options import FitOptions, started_options
from backend.fitting.solver import PointTargets, solve
from backend.photos.collection import PhotoFace
from backend.progress import ProgressReporter, silent

OUTLIER_SCALES = (4.0, 1.0)
"""Robust scales of the two rounds, as factors: the first is wide, because landmarks that move along with a correction
are far off at first. With 1 in both, errors are 3 % larger (``benchmarks.corrections``)."""
ITERATIONS = 4
"""Gauss-Newton steps of each round; few, because they start from a finished fit."""


def refit_face(
    begun: ResumableFit, faces: tuple[PhotoFace, ...], options: FitOptions, progress: ProgressReporter = silent
) -> FittedFace:
    """Continue a fit after a person has corrected landmarks. Shape and cage are solved again from the fit's estimate
    and matches; light and albedo are kept. ``options`` are those of that fit.

    Raises ``ValueError`` for other photos (``ResumableFit.matches_photos``).
    """
    if not begun.matches_photos(faces):
        raise ValueError("not the photos of the fit that was begun")
    by_name = {face.name: face for face in faces}
    state = replace(begun.state, faces=tuple(by_name[face.name] for face in begun.state.faces))
    if state.started:
        options = started_options(options)
    state = run_corrected_stage(state, options)
    textures = tuple(face for face in faces if face.use == "texture")
    state = finished_state(state, textures, options, progress, no_receiver)
    progress("appearance", 1.0)
    return in_order(fitted_face(state, begun.appearance), faces)


def run_corrected_stage(state: FitState, options: FitOptions) -> FitState:
    """Move the estimate to the corrected landmarks, together with the dense targets of the photos (from matches where
    there are any)."""
    template, faces, stage = state.template, state.faces, options.dense
    model = landmark_model(template)
    cameras = tuple(camera_prior(face, options.prior) for face in faces)
    weights = prior_weights(template, options)
    for scale in OUTLIER_SCALES:
        targets = landmarks = all_landmark_targets(template, model, faces, state.estimate, options)
        if stage is not None and len(faces) > 1:
            dense = targets_of_photos(state, dense_mesh(template), stage.face_widths[-1], stage)
            targets = tuple(
                one if more is None else PointTargets.joined(one, more.targets)
                for one, more in zip(landmarks, dense, strict=True)
            )
        own = replace(weights, outlier_scale=scale * weights.outlier_scale)
        estimate = solve(state.estimate, targets, cameras, own, ITERATIONS, state.belief)
        state = replace(state, estimate=estimate, targets=landmarks)
    return state
