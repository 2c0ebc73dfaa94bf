"""The fit in order: which face model, the encoder's start, landmarks, photos of another person, dense alignment, cage,
light and albedo; and going on after landmarks were corrected, in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
from scipy.optimize import lsq_linear

from backend.fitting import dense, solver, stages
from backend.fitting.appearance import Appearance, PosedPhoto, estimate_appearance
from backend.fitting.canonical import align_by_landmarks, canonical_mesh, canonical_prior, head_light, start_from_view
from backend.fitting.detector_model import camera_prior, face_scale, initial_parameters, landmark_error, turned_to
from backend.fitting.landmark_targets import LandmarkModel, landmark_model
from backend.fitting.options import DenseStage, EncodedStage, FitOptions, PriorWeights, started_options
from backend.fitting.parameters import PhotoParameters
from backend.fitting.scan import laid_on_scan
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import Template, load_template, triangles_from_quads, usable_landmarks
from backend.models.graph_face import GraphModel, graph_face, template_around
from backend.models.landmarks import net_points
from backend.models.lap.apply import LapModel, canonical_face
from backend.models.lap.canonical_face import CanonicalFace
from backend.models.learned_basis.apply import BasisModel, EncodedFace, EncodedPhoto, encoded_face
from backend.models.registry import GRAPH_FACE, LAP, LEARNED_BASIS, Models
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.screening import identity_descriptor
from backend.progress import ProgressReporter, silent
from backend.rig.mouth import closed_lips
from backend.system.parallel import each

TEXTURE_WEIGHT = 4.0
"""Log-likelihood, 2 to 8, per unit of the descriptor's cosine."""
TWO_PEOPLE = 3.5
"""Log-likelihood, 2 to 5, by which two people explain two photos better than one. Of 115 pairs of photos of one person
5 % are above, of 60 pairs of two people 95 %."""
_SEEM_TWO = "The photos seem to show two people; the head is then neither of them."
_ODD_ONE = "It seems to show another person than the other two photos do."

PhotoFitter = Callable[[tuple[PhotoFace, ...]], stages.FitState]
"""Fits landmarks of one person to photos, from a cold start."""


@dataclass(frozen=True)
class PeopleVerdict:
    """Photos to leave out, and photos to doubt: (name, sentence) each."""

    rejected: tuple[tuple[str, str], ...] = ()
    doubts: tuple[tuple[str, str], ...] = ()


def judge_people(
    faces: tuple[PhotoFace, ...], fit: PhotoFitter, weights: solver.SolverWeights, options: FitOptions
) -> PeopleVerdict:
    """Judge two or three photos; other counts, and photos that a person has corrected, are not judged.

    With three photos of which two agree and the third agrees with neither, the third is to be left out. In all other
    cases of disagreement every photo is doubted.
    """
    if len(faces) not in (2, 3) or any(face.corrected is not None for face in faces):
        return PeopleVerdict()
    described = [identity_descriptor(face.pixels, face.landmarks) for face in faces]
    alone = [_cost(fit((face,)), weights, options) for face in faces]
    apart = set()
    for one, other in combinations(range(len(faces)), 2):
        together = _cost(fit((faces[one], faces[other])), weights, options)
        gain = together - alone[one] - alone[other]
        if gain - TEXTURE_WEIGHT * float(described[one] @ described[other]) > TWO_PEOPLE:
            apart.add((one, other))
    if not apart:
        return PeopleVerdict()
    if len(faces) == 3 and len(apart) == 2:
        (odd,) = set.intersection(*map(set, apart))
        return PeopleVerdict(rejected=((faces[odd].name, _ODD_ONE),))
    return PeopleVerdict(doubts=tuple((face.name, _SEEM_TWO) for face in faces))


def _cost(state: stages.FitState, weights: solver.SolverWeights, options: FitOptions) -> float:
    """What the photos cost in a fit: minus their log-likelihood, without the prior of the identity."""
    each = zip(state.faces, state.estimate.photos, state.targets, strict=True)
    return sum(
        solver.photo_cost(photo, state.estimate, target, camera_prior(face, options.prior), weights)
        for face, photo, target in each
    )


_STRIDE = 4
"""Every so many vertices of the face is compared, because neighbours carry the same information."""


def compared_vertices(template: Template) -> np.ndarray:
    """(M,) head vertices at which shapes are compared: the face's skin without the mouth's inside and the sockets."""
    count = template.head.vertex_stop
    regions = {name: template.regions[name][:count] for name in ("face", "mouth_interior", "eye_sockets")}
    usable = (regions["face"] > 0.5) & (regions["mouth_interior"] < 0.3) & (regions["eye_sockets"] < 0.5)
    return np.flatnonzero(usable)[::_STRIDE]


def projected_identity(template: Template, encoded: EncodedFace, stage: EncodedStage, deviation: float) -> np.ndarray:
    """(K,) identity a in σ of the fit's modes that is nearest to the encoder's, regularised by the prior.

    d = B a + noise, where d are its offsets from the mean face at the compared vertices and B the identity modes there:
    least squares with ``stage.deviation_mm``, and a ~ N(0, deviation²). No rigid motion is removed from d, because
    model and modes share the head's frame.
    """
    chosen = compared_vertices(template)
    modes = template.identity_modes[:, chosen].reshape(len(template.identity_modes), -1).astype(np.float64)
    weight = (stage.deviation_mm / 1000.0) ** -2
    system = weight * (modes @ modes.T) + np.eye(len(modes)) / deviation**2
    return np.linalg.solve(system, weight * (modes @ encoded.identity[chosen].ravel()))


def projected_expression(
    template: Template, photo: EncodedPhoto, prior: PriorWeights, stage: EncodedStage
) -> np.ndarray:
    """(52,) weights in [0, 1] whose keys are nearest to the encoder's expression of a photo, regularised by the fit's
    prior on expressions."""
    chosen = compared_vertices(template)
    keys = template.expressions[:, chosen].reshape(len(template.expressions), -1).astype(np.float64)
    weight = (stage.deviation_mm / 1000.0) ** -2 / len(chosen) * stage.expression_information
    information, bias = solver.expression_prior(prior)
    system = weight * (keys @ keys.T) + np.diag(information)
    right = weight * (keys @ photo.expression[chosen].ravel()) - bias
    root = np.linalg.cholesky(system)  # 1/2 x^T S x - r^T x = 1/2 |L^T x - L^-1 r|² + constant
    solved = lsq_linear(root.T, np.linalg.solve(root, right), bounds=(0.0, 1.0), method="bvls")
    return np.clip(solved.x, 0.0, 1.0)


def started_photo(
    template: Template,
    face: PhotoFace,
    parameters: PhotoParameters,
    photo: EncodedPhoto,
    identity: np.ndarray,
    expression: np.ndarray,
    prior: PriorWeights,
) -> PhotoParameters:
    """The start with the smallest median landmark error: ``parameters`` (the mean face, no expression), the encoder's
    face in the pose that fits the landmarks, or the encoder's face in the encoder's own rotation and distance."""
    shape = template.vertices + np.tensordot(identity, template.identity_modes, 1)
    shape = shape + np.tensordot(expression, template.expressions, 1)
    chosen = np.flatnonzero(usable_landmarks(template))
    detected = face.landmarks[chosen, :2].astype(np.float64)
    points = template.landmarks478.positions(shape)[chosen].astype(np.float64)
    mean = template.landmarks478.positions(template.vertices)[chosen].astype(np.float64)

    candidates = [(landmark_error(parameters, mean, detected), parameters)]
    own = initial_parameters(template, face, prior, len(parameters.nuisance), shape)
    at_distance = own
    if face.focal_px is None:  # else the focal length decides
        at_distance = replace(own, log_distance=float(np.log(max(photo.distance, 0.15))))
    turned = turned_to(at_distance, photo.rotation_in_photo(), points, detected, keep_focal=face.focal_px is not None)
    for guess in (own, turned):
        if guess is not None:
            candidates.append((landmark_error(guess, points, detected), replace(guess, expression=expression)))
    return min(candidates, key=lambda pair: pair[0])[1]


def started_estimate(
    template: Template,
    faces: tuple[PhotoFace, ...],
    starts: tuple[PhotoParameters, ...],
    encoded: EncodedFace,
    prior: PriorWeights,
    stage: EncodedStage,
) -> solver.FaceEstimate:
    """The fit's first estimate: the encoder's identity and expressions, in the poses with the least landmark error."""
    identity = encoded.code
    if identity is None:
        identity = projected_identity(template, encoded, stage, prior.identity_deviation)
    photos = tuple(
        started_photo(
            template, face, start, photo, identity, projected_expression(template, photo, prior, stage), prior
        )
        for face, start, photo in zip(faces, starts, encoded.photos, strict=True)
    )
    return solver.FaceEstimate(identity, photos)


REJECT_RATIO = 2.0
"""A photo is left out when its landmark residual is more than this many times the median photo's."""

EstimateReceiver = Callable[[str, np.ndarray], None]
"""Called with a stage's name and neutral vertices (V, 3) float, head frame, metres."""


def no_receiver(stage: str, neutral: np.ndarray) -> None:
    """An ``EstimateReceiver`` that does nothing."""


@dataclass(frozen=True)
class FaceModels:
    """Learned models as functions of one person's photos, each None where it takes no part.

    Attributes
    ----------
    canonical : their canonical face; called again with the rest where some are left out.
    encoded : the encoder's estimate, from which the fit starts; the stages are shorter then.
    modes_around : linearises a non-linear face model: gives the template with identity modes around a code (K,). The
        encoder then gives a code, which is the identity, and the modes are renewed after each stage, which makes the
        fit Gauss-Newton in a non-linear decoder.
    """

    canonical: Callable[[tuple[PhotoFace, ...]], CanonicalFace | None] | None = None
    encoded: Callable[[tuple[PhotoFace, ...]], EncodedFace | None] | None = None
    modes_around: Callable[[np.ndarray], Template] | None = None

    @classmethod
    def of(cls, models: Models, template: Template, progress: ProgressReporter = silent) -> FaceModels:
        """LAP, and the graph face model where it takes part, else the learned face model's encoder."""
        lap, graph = models.of(LAP, LapModel), models.of(GRAPH_FACE, GraphModel)
        canonical = None if lap is None else partial(canonical_face, model=lap, progress=progress)
        if graph is not None:
            encoded = partial(graph_face, model=graph, progress=progress)
            return cls(canonical, encoded, partial(template_around, template, graph))
        basis = models.of(LEARNED_BASIS, BasisModel)
        return cls(canonical, None if basis is None else partial(encoded_face, model=basis, progress=progress))


def fit_face(
    collection: PhotoCollection,
    options: FitOptions | None = None,
    template: Template | None = None,
    models: FaceModels | None = None,
) -> FittedFace:
    """Fit one person to all photos of a collection, as ``resumable_fit`` does."""
    return resumable_fit(collection, options, template, models).face


def resumable_fit(
    collection: PhotoCollection,
    options: FitOptions | None = None,
    template: Template | None = None,
    models: FaceModels | None = None,
    progress: ProgressReporter = silent,
    on_estimate: EstimateReceiver = no_receiver,
) -> stages.ResumableFit:
    """Fit one person to all photos of a collection; ``refit_face`` can go on from the result.

    Reports progress under the stage names ``landmarks``, ``dense``, ``cage`` and ``appearance``. ``on_estimate`` is
    called whenever there is a better estimate. Photos for the texture alone are posed on the finished face.
    """
    options, models = options or FitOptions(), models or FaceModels()
    scan = collection.scan
    shape = {face.name for face in collection.faces if face.use != "texture"} if scan is None else scan.cameras
    textures = tuple(face for face in collection.faces if face.name not in shape)
    faces = tuple(face for face in collection.faces if face.name in shape)
    template, first, start = template or load_template(), None, None
    if scan is not None:
        models = FaceModels()
    if options.canonical is not None and models.canonical is not None:
        first = models.canonical(faces)
    if options.encoded is not None and models.encoded is not None:
        start = models.encoded(faces)
    nonlinear = models.modes_around is not None and start is not None and start.code is not None
    if nonlinear:
        template = models.modes_around(start.code)

    def renewed(state: stages.FitState) -> stages.FitState:
        """With modes linearised around its own code; its neutral face is the decoder's."""
        return replace(state, template=models.modes_around(state.estimate.identity)) if nonlinear else state

    progress("landmarks", 0.0)
    if scan is None:
        state = renewed(run_landmark_stage(template, faces, options, first, start))
    else:
        state = laid_on_scan(fit_landmarks(template, landmark_model(template), faces, options), scan)
    if state.started:
        options = started_options(options)
    progress("landmarks", 1.0)
    on_estimate("landmarks", state.neutral)
    if first is not None and options.canonical is not None:
        same = len(state.faces) == len(faces)
        state = replace(state, canonical=first if same else models.canonical(state.faces))
        state = renewed(run_canonical_stage(state, options))
        on_estimate("landmarks", state.neutral)
    if options.dense is not None and len(state.faces) > 1 and scan is None:
        state = renewed(run_dense_stage(state, options, progress, on_estimate))
    finished = finished_state(state, textures, options, progress, on_estimate)
    appearance = appearance_of(finished)
    progress("appearance", 1.0)
    face = in_order(fitted_face(finished, appearance), collection.faces)
    return stages.ResumableFit(collection.faces, state, appearance, face)


def finished_state(
    state: stages.FitState,
    textures: tuple[PhotoFace, ...],
    options: FitOptions,
    progress: ProgressReporter,
    on_estimate: EstimateReceiver,
) -> stages.FitState:
    """Run the closing stages: cage, wished symmetry, closed lips, poses of further photos and mouth openings."""
    if options.cage is not None and len(state.faces) > 1 and state.scan is None:
        for turn in range(options.cage.rounds):
            state = run_cage_stage(state, options)
            progress("cage", (turn + 1) / options.cage.rounds)
            on_estimate("cage", state.neutral)
    progress("appearance", 0.0)
    if options.symmetry > 0:
        state = stages.symmetric_state(state, options.symmetry)
    placed = stages.with_added_photos(with_closed_lips(state), textures, options)
    return stages.with_corrected_points(with_detected_openings(placed, options), options.reach)


def in_order(fitted: FittedFace, faces: tuple[PhotoFace, ...]) -> FittedFace:
    """The fitted face with its photos in the order of ``faces``."""
    order = {face.name: number for number, face in enumerate(faces)}
    return replace(fitted, photos=tuple(sorted(fitted.photos, key=lambda photo: order[photo.name])))


def run_landmark_stage(
    template: Template,
    faces: tuple[PhotoFace, ...],
    options: FitOptions,
    canonical: CanonicalFace | None = None,
    encoded: EncodedFace | None = None,
) -> stages.FitState:
    """Fit landmarks jointly; leave out photos that do not show this person's shape and fit the rest again.

    canonical : of the same photos; poses start from its views where those fit better. encoded : of the same photos;
    the fit starts from it. Only a cold fit leaves photos out; the fit of the rest uses neither of the two.
    """
    model = landmark_model(template)

    def cold(some: tuple[PhotoFace, ...]) -> stages.FitState:
        return fit_landmarks(template, model, some, options)

    judged = judge_people(faces, cold, prior_weights(template, options), options)
    if judged.rejected:
        left_out = dict(judged.rejected)
        remaining = tuple(face for face in faces if face.name not in left_out)
        return replace(cold(remaining), rejected=judged.rejected)
    state = replace(fit_landmarks(template, model, faces, options, canonical, encoded), doubts=judged.doubts)
    outliers = _outliers(state)
    if outliers.any() and state.started:  # its few steps may not have converged
        state = replace(fit_landmarks(template, model, faces, options, canonical), doubts=judged.doubts)
        outliers = _outliers(state)
    if not outliers.any():
        return state
    remaining = tuple(face for face, outlier in zip(faces, outliers, strict=True) if not outlier)
    reason = "Its face does not fit the shape of the face in the other photos; it may be another person."
    rejected = tuple((face.name, reason) for face, outlier in zip(faces, outliers, strict=True) if outlier)
    return replace(cold(remaining), rejected=rejected)


def _outliers(state: stages.FitState) -> np.ndarray:
    """(P,) bool: photos with outlying landmark residuals. No photo of fewer than three is one, and no corrected photo,
    because a person has confirmed it."""
    errors = np.array(
        [
            np.sqrt(np.median((solver.residuals(photo, state.estimate.identity, target) ** 2).sum(-1)))
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
) -> stages.FitState:
    """Joint landmark fit; visibility and the outline's points are updated between its rounds."""
    stage, prior = options.landmarks, options.prior
    cameras = tuple(camera_prior(face, prior) for face in faces)
    weights = prior_weights(template, options)
    starts = tuple(initial_parameters(template, face, prior, model.nuisance_size) for face in faces)
    if canonical is not None:
        placement = align_by_landmarks(template, canonical)
        views = zip(faces, starts, canonical.photos, strict=True)
        starts = tuple(start_from_view(template, face, start, photo, placement) for face, start, photo in views)
    estimate = solver.FaceEstimate(np.zeros(len(template.identity_modes)), starts)
    # The first rounds may be far off, so the robust scale starts wide.
    scales, iterations = (4.0, 1.0, 1.0), stage.iterations
    started = encoded is not None and options.encoded is not None
    if started:
        estimate = started_estimate(template, faces, starts, encoded, prior, options.encoded)
        scales, iterations = options.encoded.outlier_scales, options.encoded.iterations
    for scale in scales:
        targets = stages.all_landmark_targets(template, model, faces, estimate, options)
        own = replace(weights, outlier_scale=scale * stage.outlier_scale)
        estimate = solver.solve(estimate, targets, cameras, own, iterations)
    targets = stages.all_landmark_targets(template, model, faces, estimate, options)
    return stages.FitState(template, faces, estimate, targets, (), started=started)


def prior_weights(template: Template, options: FitOptions) -> solver.SolverWeights:
    """The solver's prior for the template's modes, with the landmarks' robust scale."""
    return solver.solver_weights(
        options.prior, solver.identity_prior(template, options.prior), options.landmarks.outlier_scale
    )


def run_canonical_stage(state: stages.FitState, options: FitOptions) -> stages.FitState:
    """Register the canonical face; fit the identity to its depth and normals together with the landmarks."""
    template, face, stage = state.template, state.canonical, options.canonical
    if face is None or stage.depth_information + stage.normal_information <= 0:
        return state
    mesh, model = canonical_mesh(template), landmark_model(template)
    for _ in range(stage.rounds):
        state = replace(state, belief=canonical_prior(template, mesh, face, state.estimate.identity, stage))
        state = _solved(state, options, stage.iterations, model)
    return state


def _solved(
    state: stages.FitState,
    options: FitOptions,
    iterations: int,
    model: LandmarkModel,
    shown: Sequence[dense.DenseTargets | None] = (),
) -> stages.FitState:
    """The state moved to its landmarks' targets, and to the dense ``shown`` of each photo where there are any."""
    template, faces = state.template, state.faces
    targets = landmarks = stages.all_landmark_targets(template, model, faces, state.estimate, options)
    if shown:
        pairs = zip(landmarks, shown, strict=True)
        targets = tuple(one if more is None else solver.PointTargets.joined(one, more.targets) for one, more in pairs)
    cameras = tuple(camera_prior(face, options.prior) for face in faces)
    weights = prior_weights(template, options)
    estimate = solver.solve(state.estimate, targets, cameras, weights, iterations, state.belief)
    return replace(state, estimate=estimate, targets=landmarks)


def run_dense_stage(
    state: stages.FitState,
    options: FitOptions,
    progress: ProgressReporter = silent,
    on_estimate: EstimateReceiver = no_receiver,
) -> stages.FitState:
    """Align the photos with each other through the mesh, coarse to fine, together with the landmarks."""
    stage = options.dense
    mesh, model = dense.dense_mesh(state.template), landmark_model(state.template)
    for round_number, width in enumerate(stage.face_widths):
        progress("dense", round_number / len(stage.face_widths))
        if stage.matched:
            matches = dense.dense_matches(_views(state, mesh, width), mesh, width, stage.partners)
            state = replace(state, matches=matches)
        shown = targets_of_photos(state, mesh, width, stage)
        state = _solved(state, options, stage.iterations, model, shown)
        on_estimate("dense", state.neutral)
    progress("dense", 1.0)
    return state


def targets_of_photos(
    state: stages.FitState, mesh: dense.DenseMesh, width: int, stage: DenseStage
) -> tuple[dense.DenseTargets | None, ...]:
    """Dense targets: from the state's matches where there are any, else from new flow."""
    photos = state.estimate.photos
    if state.matches is not None:
        return dense.matched_targets(state.matches, photos, *_posed_heads(state), mesh, stage)
    _, scales = _posed_heads(state)
    return dense.dense_targets(_views(state, mesh, width), scales, mesh, width, stage, len(photos[0].nuisance))


def _views(state: stages.FitState, mesh: dense.DenseMesh, width: int) -> list[dense.View]:
    return dense.views_of(state.faces, state.estimate.photos, *_posed_heads(state), mesh, width)


def _posed_heads(state: stages.FitState) -> tuple[tuple[np.ndarray, ...], tuple[float, ...]]:
    """Posed vertices (V, 3) and face scale in pixels of every photo."""
    meshes = tuple(state.posed(number) for number in range(len(state.faces)))
    return meshes, tuple(face_scale(face.landmarks) for face in state.faces)


def run_cage_stage(state: stages.FitState, options: FitOptions) -> stages.FitState:
    """Offset the cage smoothly beyond the identity modes, towards the photos' dense targets."""
    template, stage = state.template, options.cage
    mesh = dense.dense_mesh(template)
    trust = replace(options.dense or DenseStage(), independent_fraction=stage.independent_fraction)
    shown = targets_of_photos(state, mesh, stage.face_width, trust)
    used = [(photo, target) for photo, target in zip(state.estimate.photos, shown, strict=True) if target is not None]
    if not used:
        return state
    photos, targets = zip(*used, strict=True)
    offsets = stages.solve_cage(
        template, photos, state.estimate.identity, targets, stage, options.landmarks.outlier_scale
    )
    return replace(state, template=replace(template, vertices=(template.vertices + offsets).astype(np.float32)))


def with_closed_lips(state: stages.FitState) -> stages.FitState:
    """Close the lips of the neutral face. Modes and cage have no contact constraint, so the lips rarely touch as they
    do on the mean face."""
    neutral = state.neutral
    offsets = closed_lips(state.template, neutral) - neutral
    return replace(
        state, template=replace(state.template, vertices=(state.template.vertices + offsets).astype(np.float32))
    )


def with_detected_openings(state: stages.FitState, options: FitOptions) -> stages.FitState:
    """Set the openings of each photo's mouth and eyes to the detected ones (``detected_openings``)."""
    template, estimate = state.template, state.estimate
    model = landmark_model(template)
    weights = prior_weights(template, options)
    opened = partial(stages.detected_openings, model, identity=estimate.identity, weights=weights)
    photos = each(opened, state.faces, estimate.photos, state.targets)
    return replace(state, estimate=replace(estimate, photos=tuple(photos)))


def appearance_of(state: stages.FitState) -> Appearance:
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
        placement = align_by_landmarks(template, state.canonical)
        lights = tuple(head_light(photo, placement) for photo in state.canonical.photos)
    return estimate_appearance(photos, triangles, count, template.mirror[:count], skin, lights)


def fitted_face(state: stages.FitState, appearance: Appearance) -> FittedFace:
    """The result of a finished state, with the light and albedo of its photos."""
    net = net_points()
    photos = []
    for number, (face, parameters) in enumerate(zip(state.faces, state.estimate.photos, strict=True)):
        target = state.targets[number]
        positions = target.points.positions(state.estimate.identity, parameters.expression)
        detected = parameters.camera().project(positions)[:, :2]
        error = np.median(np.linalg.norm(detected - target.pixels, axis=-1)) / face_scale(face.landmarks)
        photos.append(
            FittedPhoto(
                name=face.name,
                landmarks=_landmark_pairs(net.positions(state.posed(number)), face, parameters),
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
        neutral=state.neutral.astype(np.float32),
        vertex_albedo=appearance.albedo.astype(np.float32),
        photos=tuple(photos),
        rejected=state.rejected,
        doubts=state.doubts,
    )


def _landmark_pairs(positions: np.ndarray, face: PhotoFace, parameters: PhotoParameters) -> np.ndarray:
    """(478, 4) ``FittedPhoto.landmarks``: found places, and projections of ``positions`` (478, 3) of the posed head."""
    detected = face.landmarks[:, :2] if face.corrected is None else face.corrected.detected
    return np.concatenate([detected, parameters.camera().project(positions)[:, :2]], axis=1).astype(np.float32)


ITERATIONS = 4
"""Gauss-Newton steps after a correction; few, because they start from a finished fit."""


def refit_face(
    begun: stages.ResumableFit, faces: tuple[PhotoFace, ...], options: FitOptions, progress: ProgressReporter = silent
) -> FittedFace | None:
    """Continue a fit after a person has corrected landmarks. Shape and cage are solved again from the fit's estimate
    and matches; light and albedo are kept. ``options`` are those of that fit. None for other photos
    (``ResumableFit.matches_photos``).
    """
    if not begun.matches_photos(faces):
        return None
    by_name = {face.name: face for face in faces}
    state = replace(begun.state, faces=tuple(by_name[face.name] for face in begun.state.faces))
    if state.started:
        options = started_options(options)
    state = run_corrected_stage(state, options)
    fitted = {face.name for face in state.faces}
    textures = tuple(face for face in faces if face.use == "texture" or (state.scan and face.name not in fitted))
    state = finished_state(state, textures, options, progress, no_receiver)
    progress("appearance", 1.0)
    return in_order(fitted_face(state, begun.appearance), faces)


def run_corrected_stage(state: stages.FitState, options: FitOptions) -> stages.FitState:
    """Move the estimate to the corrected landmarks, together with the dense targets of the photos (from matches where
    there are any)."""
    stage, shown, model = options.dense, (), landmark_model(state.template)
    if state.scan is not None:
        targets = stages.all_landmark_targets(state.template, model, state.faces, state.estimate, options)
        return replace(state, targets=targets)
    if stage is not None and len(state.faces) > 1:
        shown = targets_of_photos(state, dense.dense_mesh(state.template), stage.face_widths[-1], stage)
    return _solved(state, options, ITERATIONS, model, shown)
