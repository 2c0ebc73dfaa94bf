"""The fit's stages in order: landmarks, outlier photos, dense alignment, cage, light and albedo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from backend.fitting.appearance import Appearance, PosedPhoto, estimate_appearance
from backend.fitting.cage import solve_cage
from backend.fitting.canonical_stage import canonical_mesh, canonical_prior, place_by_landmarks
from backend.fitting.canonical_start import head_lights, start_from_view
from backend.fitting.corrected_stages import placed_on_face, with_corrected
from backend.fitting.dense_matches import DenseMatches, dense_matches, matched_targets
from backend.fitting.dense_targets import DenseTargets, dense_targets, views_of
from backend.fitting.dense_views import DenseMesh, View, dense_mesh
from backend.fitting.encoded_start import started_estimate
from backend.fitting.fit_state import FitState, ResumableFit, all_landmark_targets
from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.fitting.initial_pose import camera_prior, face_scale, initial_parameters
from backend.fitting.landmark_targets import LandmarkModel, landmark_model
from backend.fitting.mouths import seen_mouth
from backend.fitting.options import CageStage, CanonicalStage, DenseStage, FitOptions, started_options
from backend.fitting.parameters import PhotoParameters
from backend.fitting.population import identity_prior
from backend.fitting.solver import (
    FaceEstimate,
    PointTargets,
    SolverWeights,
    residuals,
    solve,
    solver_weights,
)
from backend.fitting.symmetric_state import symmetric_state
from backend.geometry.template import Template, load_template
from backend.geometry.topology import triangles_from_quads
from backend.models.encoded_face import EncodedFace
from backend.models.landmarks.network import net_points
from backend.models.lap.canonical_face import CanonicalFace
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.progress import ProgressReporter, silent
from backend.rig.lip_contact import closed_lips

REJECT_RATIO = 2.0
"""A photo is left out when its landmark residual is more than this many times the median photo's."""

CanonicalSource = Callable[[tuple[PhotoFace, ...]], CanonicalFace | None]
"""Gives the canonical face of one person's photos, or None where there is none."""

EncodedSource = Callable[[tuple[PhotoFace, ...]], EncodedFace | None]
"""Gives the encoding of one person's photos by the learned face model, or None where it is not trained."""

ModesSource = Callable[[np.ndarray], Template]
"""Linearises a non-linear face model: gives the template with identity modes around a code (K,)."""

EstimateReceiver = Callable[[str, np.ndarray], None]
"""Called with a stage's name and neutral vertices (V, 3) float, head frame, metres."""


FitKeeper = Callable[[ResumableFit], None]
"""Receives the state from which ``refit_face`` can continue after corrections."""


def no_receiver(stage: str, neutral: np.ndarray) -> None:
    """An ``EstimateReceiver`` that does nothing."""


def _keep_nothing(begun: ResumableFit) -> None:
    """A ``FitKeeper`` that does nothing."""


def fit_face(
    collection: PhotoCollection,
    options: FitOptions | None = None,
    progress: ProgressReporter = silent,
    template: Template | None = None,
    on_estimate: EstimateReceiver | None = None,
    canonical: CanonicalSource = lambda faces: None,
    encoded: EncodedSource = lambda faces: None,
    modes_around: ModesSource | None = None,
    keep: FitKeeper = _keep_nothing,
) -> FittedFace:
    """Fit one person to all photos of a collection.

    Reports progress under the stage names ``landmarks``, ``dense``, ``cage`` and ``appearance``. ``on_estimate`` is
    called with the stage's name and the neutral vertices (V, 3) whenever there is a better estimate. ``canonical`` is
    called with the photos for their canonical face, and again with the rest when some are left out. ``encoded`` gives
    the encoder's start; the stages are shorter then. ``modes_around`` belongs to an encoder that gives a code: the
    identity is then that code, and the modes are renewed after each stage, which makes the fit Gauss-Newton in a
    non-linear decoder. Photos for the texture alone are posed on the finished face. ``keep`` receives the input of
    ``refit_face``.
    """
    options = options or FitOptions()
    textures = tuple(face for face in collection.faces if face.use == "texture")
    given = collection.faces
    collection = replace(collection, faces=tuple(face for face in collection.faces if face.use != "texture"))
    template = template or load_template()
    on_estimate = on_estimate or no_receiver
    first = canonical(collection.faces) if options.canonical is not None else None
    started = encoded(collection.faces) if options.encoded is not None else None
    if modes_around is None or started is None or started.code is None:
        renewed = _unchanged
    else:
        template = modes_around(started.code)
        renewed = partial(_with_modes_of, modes_around)
    progress("landmarks", 0.0)
    state = renewed(run_landmark_stage(template, collection.faces, options, first, started))
    if state.started:
        options = started_options(options)
    progress("landmarks", 1.0)
    on_estimate("landmarks", state.neutral())
    if first is not None and options.canonical is not None:
        same = len(state.faces) == len(collection.faces)
        state = replace(state, canonical=first if same else canonical(state.faces))
        state = renewed(run_canonical_stage(state, options, options.canonical))
        on_estimate("landmarks", state.neutral())
    if options.dense is not None and len(state.faces) > 1:
        state = renewed(run_dense_stage(state, options, options.dense, progress, on_estimate))
    before = state
    state = finished_state(state, textures, options, progress, on_estimate)
    appearance = appearance_of(state)
    keep(ResumableFit(given, before, appearance))
    progress("appearance", 1.0)
    return in_order(fitted_face(state, appearance), given)


def finished_state(
    state: FitState,
    textures: tuple[PhotoFace, ...],
    options: FitOptions,
    progress: ProgressReporter,
    on_estimate: EstimateReceiver,
) -> FitState:
    """Run the closing stages: cage, wished symmetry, closed lips, poses of further photos and mouth openings."""
    if options.cage is not None and len(state.faces) > 1:
        for turn in range(options.cage.rounds):
            state = run_cage_stage(state, options, options.cage)
            progress("cage", (turn + 1) / options.cage.rounds)
            on_estimate("cage", state.neutral())
    progress("appearance", 0.0)
    if options.symmetry > 0:
        state = symmetric_state(state, options.symmetry)
    return with_seen_mouths(placed_on_face(with_closed_lips(state), textures, options), options)


def in_order(fitted: FittedFace, faces: tuple[PhotoFace, ...]) -> FittedFace:
    """The fitted face with its photos in the order of ``faces``."""
    order = {face.name: number for number, face in enumerate(faces)}
    return replace(fitted, photos=tuple(sorted(fitted.photos, key=lambda photo: order[photo.name])))


def _unchanged(state: FitState) -> FitState:
    """The state unchanged, because linear modes need no renewal."""
    return state


def _with_modes_of(modes_around: ModesSource, state: FitState) -> FitState:
    """The state with modes linearised around its own code; its neutral face is the decoder's."""
    return replace(state, template=modes_around(state.estimate.identity))


def run_landmark_stage(
    template: Template,
    faces: tuple[PhotoFace, ...],
    options: FitOptions,
    canonical: CanonicalFace | None = None,
    encoded: EncodedFace | None = None,
) -> FitState:
    """Fit landmarks jointly; leave out photos that do not show this person's shape and fit the rest again.

    canonical : of the same photos; poses start from its views where those fit better. encoded : of the same photos;
    the fit starts from it. Only a cold fit leaves photos out; the fit of the rest uses neither of the two.
    """
    model = landmark_model(template)
    state = fit_landmarks(template, model, faces, options, canonical, encoded)
    outliers = _outliers(state)
    if outliers.any() and state.started:  # its few steps may not have converged
        state = fit_landmarks(template, model, faces, options, canonical)
        outliers = _outliers(state)
    if not outliers.any():
        return state
    kept = tuple(face for face, outlier in zip(faces, outliers, strict=True) if not outlier)
    reason = "Its face does not fit the shape of the face in the other photos; it may be another person."
    rejected = tuple((face.name, reason) for face, outlier in zip(faces, outliers, strict=True) if outlier)
    return replace(fit_landmarks(template, model, kept, options), rejected=rejected)


def _outliers(state: FitState) -> np.ndarray:
    """(P,) bool: photos with outlying landmark residuals. No photo of fewer than three is one, and no corrected photo,
    because a person has confirmed it."""
    errors = np.array(
        [
            np.sqrt(np.median((residuals(photo, state.estimate.identity, target) ** 2).sum(-1)))
            for photo, target in zip(state.estimate.photos, state.targets, strict=True)
        ]
    )
    corrected = np.array([face.corrected is not None for face in state.faces])
    return (errors > REJECT_RATIO * np.median(errors)) & (len(errors) >= 3) & ~corrected


def fit_landmarks(
    template: Template,
    model: LandmarkModel,
    faces: tuple[PhotoFace, ...],
    options: FitOptions,
    canonical: CanonicalFace | None = None,
    encoded: EncodedFace | None = None,
) -> FitState:
    """Joint landmark fit; visibility and the outline's points are updated between its rounds."""
    stage, prior = options.landmarks, options.prior
    cameras = tuple(camera_prior(face, prior) for face in faces)
    weights = prior_weights(template, options)
    starts = tuple(initial_parameters(template, face, prior, model.nuisance_size) for face in faces)
    if canonical is not None:
        place = place_by_landmarks(template, canonical)
        views = zip(faces, starts, canonical.photos, strict=True)
        starts = tuple(start_from_view(template, face, start, photo, place) for face, start, photo in views)
    estimate = FaceEstimate(np.zeros(len(template.identity_modes)), starts)
    # The first rounds may be far off, so the robust scale starts wide.
    scales, iterations = (4.0, 1.0, 1.0), stage.iterations
    started = encoded is not None and options.encoded is not None
    if encoded is not None and options.encoded is not None:
        estimate = started_estimate(template, faces, starts, encoded, prior, options.encoded)
        scales, iterations = options.encoded.outlier_scales, options.encoded.iterations
    for scale in scales:
        targets = all_landmark_targets(template, model, faces, estimate, options)
        own = replace(weights, outlier_scale=scale * stage.outlier_scale)
        estimate = solve(estimate, targets, cameras, own, iterations)
    targets = all_landmark_targets(template, model, faces, estimate, options)
    return FitState(template, faces, estimate, targets, (), started=started)


def prior_weights(template: Template, options: FitOptions) -> SolverWeights:
    """The solver's prior for the template's modes, with the landmarks' robust scale."""
    return solver_weights(options.prior, identity_prior(template, options.prior), options.landmarks.outlier_scale)


def run_canonical_stage(state: FitState, options: FitOptions, stage: CanonicalStage) -> FitState:
    """Register the canonical face; fit the identity to its depth and normals together with the landmarks."""
    template, faces, face = state.template, state.faces, state.canonical
    if face is None or stage.depth_information + stage.normal_information <= 0:
        return state
    mesh, model = canonical_mesh(template), landmark_model(template)
    cameras = tuple(camera_prior(one, options.prior) for one in faces)
    weights = prior_weights(template, options)
    for _ in range(stage.rounds):
        belief = canonical_prior(template, mesh, face, state.estimate.identity, stage)
        targets = all_landmark_targets(template, model, faces, state.estimate, options)
        estimate = solve(state.estimate, targets, cameras, weights, stage.iterations, belief)
        state = replace(state, estimate=estimate, targets=targets, belief=belief)
    return state


def run_dense_stage(
    state: FitState,
    options: FitOptions,
    stage: DenseStage,
    progress: ProgressReporter = silent,
    on_estimate: EstimateReceiver = no_receiver,
) -> FitState:
    """Align the photos with each other through the mesh, coarse to fine, together with the landmarks."""
    template, faces = state.template, state.faces
    mesh, model = dense_mesh(template), landmark_model(template)
    cameras = tuple(camera_prior(face, options.prior) for face in faces)
    weights = prior_weights(template, options)
    for round_number, width in enumerate(stage.face_widths):
        progress("dense", round_number / len(stage.face_widths))
        if stage.matched:
            state = replace(state, matches=_matches(state, mesh, width, stage))
        dense = targets_of_photos(state, mesh, width, stage)
        landmarks = all_landmark_targets(template, model, faces, state.estimate, options)
        targets = tuple(
            one if more is None else PointTargets.joined(one, more.targets)
            for one, more in zip(landmarks, dense, strict=True)
        )
        estimate = solve(state.estimate, targets, cameras, weights, stage.iterations, state.belief)
        state = replace(state, estimate=estimate, targets=landmarks)
        on_estimate("dense", state.neutral())
    progress("dense", 1.0)
    return state


def _matches(state: FitState, mesh: DenseMesh, width: int, stage: DenseStage) -> DenseMatches:
    return dense_matches(_views(state, mesh, width), mesh, width, stage.partners)


def targets_of_photos(
    state: FitState, mesh: DenseMesh, width: int, stage: DenseStage
) -> tuple[DenseTargets | None, ...]:
    """Dense targets: from the state's matches where there are any, else from new flow."""
    photos = state.estimate.photos
    if state.matches is not None:
        return matched_targets(state.matches, photos, *_posed_heads(state), mesh, stage)
    _, scales = _posed_heads(state)
    return dense_targets(_views(state, mesh, width), scales, mesh, width, stage, len(photos[0].nuisance))


def _views(state: FitState, mesh: DenseMesh, width: int) -> list[View]:
    return views_of(state.faces, state.estimate.photos, *_posed_heads(state), mesh, width)


def _posed_heads(state: FitState) -> tuple[tuple[np.ndarray, ...], tuple[float, ...]]:
    """Posed vertices (V, 3) and face scale in pixels of every photo."""
    meshes = tuple(state.posed(number) for number in range(len(state.faces)))
    return meshes, tuple(face_scale(face.landmarks) for face in state.faces)


def run_cage_stage(state: FitState, options: FitOptions, stage: CageStage) -> FitState:
    """Offset the cage smoothly beyond the identity modes, towards the photos' dense targets and corrected landmarks."""
    template = state.template
    mesh = dense_mesh(template)
    trust = replace(options.dense or DenseStage(), independent_fraction=stage.independent_fraction)
    dense = targets_of_photos(state, mesh, stage.face_width, trust)
    dense = with_corrected(state, dense)
    used = [(photo, target) for photo, target in zip(state.estimate.photos, dense, strict=True) if target is not None]
    if not used:
        return state
    photos, targets = zip(*used, strict=True)
    offsets = solve_cage(template, photos, state.estimate.identity, targets, stage, options.landmarks.outlier_scale)
    return replace(state, template=replace(template, vertices=(template.vertices + offsets).astype(np.float32)))


def with_closed_lips(state: FitState) -> FitState:
    """Close the lips of the neutral face. Modes and cage have no contact constraint, so the lips rarely touch as they
    do on the mean face."""
    neutral = state.neutral()
    offsets = closed_lips(state.template, neutral) - neutral
    return replace(
        state, template=replace(state.template, vertices=(state.template.vertices + offsets).astype(np.float32))
    )


def with_seen_mouths(state: FitState, options: FitOptions) -> FitState:
    """Set each photo's mouth opening to the detected one (``mouths.seen_mouth``)."""
    template, estimate = state.template, state.estimate
    model = landmark_model(template)
    weights = prior_weights(template, options)
    photos = tuple(
        seen_mouth(model, face, parameters, estimate.identity, targets, weights)
        for face, parameters, targets in zip(state.faces, estimate.photos, state.targets, strict=True)
    )
    return replace(state, estimate=replace(estimate, photos=photos))


def appearance_of(state: FitState) -> Appearance:
    """Light per photo and albedo per head vertex of the current estimate."""
    template = state.template
    count = template.head.vertex_stop
    photos = tuple(
        PosedPhoto(face, parameters.camera(), state.posed(number))
        for number, (face, parameters) in enumerate(zip(state.faces, state.estimate.photos, strict=True))
    )
    regions = template.regions
    not_skin = regions["lips"] + regions["brows"] + regions["mouth_interior"] + regions["scalp"] + regions["ears"]
    skin = (regions["face"] * np.clip(1.0 - not_skin, 0.0, 1.0))[:count]
    triangles = triangles_from_quads(template.quads)
    lights = ()
    if state.canonical is not None:
        lights = head_lights(state.canonical, place_by_landmarks(template, state.canonical))
    return estimate_appearance(photos, triangles, count, template.mirror[:count], skin, lights)


def fitted_face(state: FitState, appearance: Appearance) -> FittedFace:
    """The result of a finished state, with the light and albedo of its photos."""
    net = net_points()
    photos = []
    for number, (face, parameters) in enumerate(zip(state.faces, state.estimate.photos, strict=True)):
        target = state.targets[number]
        positions = target.points.positions(state.estimate.identity, parameters.expression)
        found = parameters.camera().project(positions)[:, :2]
        error = np.median(np.linalg.norm(found - target.pixels, axis=-1)) / face_scale(face.landmarks)
        photos.append(
            FittedPhoto(
                name=face.name,
                landmarks=_seen_landmarks(net.positions(state.posed(number)), face, parameters),
                camera=parameters.camera(),
                expression=parameters.expression,
                vertices=state.posed(number).astype(np.float32),
                light=appearance.light[number],
                landmark_error_percent=float(100.0 * error),
                photometric_error=float(appearance.photometric_error[number]),
            )
        )
    return FittedFace(
        identity=state.estimate.identity,
        neutral=state.neutral().astype(np.float32),
        vertex_albedo=appearance.albedo.astype(np.float32),
        photos=tuple(photos),
        rejected=state.rejected,
    )


def _seen_landmarks(positions: np.ndarray, face: PhotoFace, parameters: PhotoParameters) -> np.ndarray:
    """(478, 4) ``FittedPhoto.landmarks``: found places, and projections of ``positions`` (478, 3) of the posed head."""
    found = face.landmarks[:, :2] if face.corrected is None else face.corrected.found
    return np.concatenate([found, parameters.camera().project(positions)[:, :2]], axis=1).astype(np.float32)
