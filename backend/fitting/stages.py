"""The fit's stages after the first, and the state that they pass on: symmetry by the user's wish, the cage (a sparse
linear least-squares problem), mouths as open as the detector says, photos whose landmarks a person has corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.optimize import lsq_linear

from backend.fitting import detector_model, solver
from backend.fitting import landmark_targets as targeting
from backend.fitting.appearance import Appearance
from backend.fitting.dense import DenseMatches, DenseTargets
from backend.fitting.options import CageStage, FitOptions
from backend.fitting.parameters import PhotoParameters, SurfacePoints, project_with_derivatives
from backend.geometry.surface_fields import solve_symmetric
from backend.geometry.template import LANDMARKS, Template, ear_vertices, symmetric_part, uniform_laplacian
from backend.models.landmarks import net_points
from backend.models.lap.canonical_face import CanonicalFace
from backend.photos.collection import PhotoFace, Scan
from backend.photos.faces import LOWER_LID_EDGES, LOWER_LIP_EDGE, UPPER_LID_EDGES, UPPER_LIP_EDGE
from backend.rendering.camera import Camera
from backend.system.parallel import each
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, HANDLES
from protocol.similarity import LocalMotion, fit_similarity


@dataclass(frozen=True)
class FitState:
    """State between the stages: the photos not left out, the estimate, the template with its cage offsets, the photos'
    canonical face and its identity term (``belief``), whether the encoder ``started`` the fit, the last ``matches`` of
    a dense stage that makes them, (name, sentence) of photos that are used with ``doubts``, and the ``scan`` that the
    template lies on."""

    template: Template
    faces: tuple[PhotoFace, ...]
    estimate: solver.FaceEstimate
    targets: tuple[solver.PointTargets, ...]
    rejected: tuple[tuple[str, str], ...]
    belief: solver.IdentityPrior | None = None
    canonical: CanonicalFace | None = None
    started: bool = False
    matches: DenseMatches | None = None
    doubts: tuple[tuple[str, str], ...] = ()
    scan: Scan | None = None

    @cached_property
    def neutral(self) -> np.ndarray:
        """(V, 3) neutral vertices."""
        return self.template.vertices + np.tensordot(self.estimate.identity, self.template.identity_modes, 1)

    def posed(self, number: int) -> np.ndarray:
        """(V, 3) vertices with the expression of photo ``number``."""
        weights = self.estimate.photos[number].expression
        return self.neutral + np.tensordot(weights, self.template.expressions, 1)


MOST_LANDMARK_ERROR = 4.5
"""Per cent, 3 to 6: three times the usual ``FittedPhoto.landmark_error_percent``. 68 single photographs and portraits
have 0.9 to 3.6, median 1.5; landmarks on a face that stands on its head have 13."""


@dataclass(frozen=True)
class FittedPhoto:
    """One photo's part of the fit.

    Attributes
    ----------
    name : the photo's name.
    camera : in pixels of the photo's crop (``PhotoFace.pixels``).
    expression : (52,) weights in [0, 1], order of ``protocol.names.ARKIT_NAMES``.
    vertices : (V, 3) float32 posed vertices of all parts in the head frame, metres (neutral + this expression).
    light : (9, 3) float32 spherical-harmonics coefficients of the irradiance (bands 0-2, real basis, head frame,
        RGB): shading(n) = sum_k basis_k(n) light[k]; linear colour = albedo * shading. Exposure and white balance
        are inside. For a monochrome photo the three channels are equal.
    landmark_error_percent : median distance of projected and found landmarks, in per cent of the distance of the
        eyes' outer corners.
    photometric_error : mean absolute difference of render and photo over visible skin, in sRGB units 0-1.
    landmarks : (478, 4) float32 crop pixels: x and y of each detected landmark, then of its projection from the fitted
        head; None where they were not asked for.
    """

    name: str
    camera: Camera
    expression: np.ndarray
    vertices: np.ndarray
    light: np.ndarray
    landmark_error_percent: float
    photometric_error: float
    landmarks: np.ndarray | None = None

    @property
    def doubt(self) -> str:
        """A sentence for the user where the landmarks do not fit any head; empty otherwise."""
        if self.landmark_error_percent <= MOST_LANDMARK_ERROR:
            return ""
        return (
            f"The landmarks do not fit a head: their error of {self.landmark_error_percent:.0f} % is more than three "
            "times the usual. Look at the result with care, or correct the landmarks."
        )


@dataclass(frozen=True)
class FittedFace:
    """One person: shared identity, and one ``FittedPhoto`` per used photo.

    Attributes
    ----------
    identity : (K,) coefficients in standard deviations of ``Template.identity_modes``.
    neutral : (V, 3) float32 neutral vertices of all parts in the template's order, head frame, metres
        (identity and cage offsets included).
    vertex_albedo : (V_head, 3) float32 linear-light albedo estimated by the fit, per head vertex.
    rejected : (name, reason) of photos that the fit left out because they do not show this person's shape.
    doubts : (name, sentence) of photos that seem to show two people.
    photos : in the order of ``PhotoCollection.faces`` (rejected ones left out).
    """

    identity: np.ndarray
    neutral: np.ndarray
    vertex_albedo: np.ndarray
    photos: tuple[FittedPhoto, ...]
    rejected: tuple[tuple[str, str], ...] = ()
    doubts: tuple[tuple[str, str], ...] = ()

    def all_doubts(self) -> dict[str, str]:
        """Name of a used photo -> what is doubtful about it, empty if nothing is."""
        others = dict(self.doubts)
        return {photo.name: f"{photo.doubt} {others.get(photo.name, '')}".strip() for photo in self.photos}

    def used_faces(self, faces: Sequence[PhotoFace]) -> tuple[PhotoFace, ...]:
        """Those of ``faces`` that the fit used, in its order."""
        by_name = {face.name: face for face in faces}
        return tuple(by_name[photo.name] for photo in self.photos)

    def for_texture(self, faces: Sequence[PhotoFace]) -> FittedFace:
        """The same face without the photos that are reserved for the shape, unless all are."""
        shape_only = {face.name for face in faces if face.use == "shape"}
        photos = tuple(photo for photo in self.photos if photo.name not in shape_only)
        return replace(self, photos=photos or self.photos)


@dataclass(frozen=True)
class ResumableFit:
    """Result of a fit's slow stages, from which a fit with corrected landmarks can continue.

    Attributes
    ----------
    faces : all photos of the fit. state : before the cage, with the photos' ``matches`` where there are any.
    appearance : of the photos of the finished fit, in its order. face : the finished fit.
    """

    faces: tuple[PhotoFace, ...]
    state: FitState
    appearance: Appearance
    face: FittedFace

    def matches_photos(self, faces: tuple[PhotoFace, ...]) -> bool:
        """Whether these are the same photos with the same use and labels, so that at most landmarks differ. False if
        a photo that was left out is corrected now."""
        before = {face.name: face for face in self.faces}
        left_out = {name for name, _ in self.state.rejected}
        return before.keys() == {face.name for face in faces} and all(
            face.pixels is before[face.name].pixels
            and face.use == before[face.name].use
            and np.array_equal(face.labels, before[face.name].labels)
            and not (face.name in left_out and face.corrected is not None)
            for face in faces
        )


def all_landmark_targets(
    template: Template,
    model: targeting.LandmarkModel,
    faces: tuple[PhotoFace, ...],
    estimate: solver.FaceEstimate,
    options: FitOptions,
) -> tuple[solver.PointTargets, ...]:
    """``landmark_targets`` of every photo at the current estimate, photos in parallel."""
    return tuple(
        each(
            lambda face, parameters: targeting.landmark_targets(
                template, model, face, parameters, estimate.identity, options.landmarks
            ),
            faces,
            estimate.photos,
        )
    )


def symmetric_state(state: FitState, share: float) -> FitState:
    """The state with ``share`` (0 to 1) of the neutral shape's asymmetry removed, eyes and teeth included.

    The change goes into the template's vertices, as the cage's offsets do. Part of it is a rigid motion of the whole
    face in its frame; the poses compensate that, so that the head stays aligned with the photos.
    """
    template, neutral = state.template, state.neutral
    changed = neutral + share * (symmetric_part(neutral, template.mirror) - neutral)
    back = fit_similarity(changed, neutral, template.regions["face"], scale=1.0)
    photos = tuple(photo.in_moved_frame(back.rotation, back.translation) for photo in state.estimate.photos)
    return replace(
        state,
        template=replace(template, vertices=(template.vertices + changed - neutral).astype(np.float32)),
        estimate=replace(state.estimate, photos=photos),
    )


def solve_cage(
    template: Template,
    photos: tuple[PhotoParameters, ...],
    identity: np.ndarray,
    targets: tuple[DenseTargets, ...],
    stage: CageStage,
    outlier_scale: float,
) -> np.ndarray:
    """(V, 3) offsets in metres that bring the projected points nearer to their targets.

    Minimises the robust reprojection error + smoothness * |bending|² + |offset|² / magnitude². Parts other than the
    head follow the skin around them rigidly (translation only), so that eyes stay in their sockets.
    """
    head = template.head
    count = head.vertex_stop
    laplacian = uniform_laplacian(template.quads[head.face_start : head.face_stop], count)
    bending = (laplacian.T @ laplacian).tocsc()
    sigma = stage.magnitude_deviation_mm / 1000.0
    # Bending is in metres per edge ring; in units of sigma both terms are of order one.
    system = stage.smoothness * bending / sigma**2
    trusted = np.clip(template.regions["face"][:count], 0.0, 1.0)
    system = system + sparse.diags((1.0 + 50.0 * (1.0 - trusted)) / sigma**2)
    system = sparse.kron(system, sparse.eye(3), format="csc")
    right = np.zeros(3 * count)
    for photo, cage_targets in zip(photos, targets, strict=True):
        rows, residual = _rows(photo, identity, cage_targets, count, outlier_scale)
        system = system + rows.T @ rows
        right -= rows.T @ residual
    return template.following_skin(solve_symmetric(system, right).reshape(count, 3))


def _rows(
    photo: PhotoParameters, identity: np.ndarray, cage: DenseTargets, count: int, outlier_scale: float
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Jacobian (2M, 3 V_head) and residual (2M,) of one photo's points, weighted."""
    targets = cage.targets
    pixels, by_point, _ = project_with_derivatives(photo, targets.points.positions(identity, photo.expression))
    residual = np.einsum("mij,mj->mi", targets.whitening, pixels - targets.pixels)
    root = np.sqrt(solver.robust_weights(residual, targets.information, outlier_scale))
    values = root[:, None, None] * (targets.whitening @ by_point)  # (M, 2, 3): point, image axis, head axis
    points = len(residual)
    columns = np.broadcast_to(3 * cage.vertices[:, None, None] + np.arange(3), values.shape)
    rows = np.broadcast_to((2 * np.arange(points)[:, None] + np.arange(2))[:, :, None], values.shape)
    matrix = sparse.csr_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=(2 * points, 3 * count))
    return matrix, (root[:, None] * residual).ravel()


SHUT_PERCENT = 1.2
"""Per cent of the face's scale: lips count as shut when the detected gap exceeds the shut mouth's by less than this."""
_ROUNDS = 4


@dataclass(frozen=True)
class _Opening:
    """Pairs of landmarks (``upper``, ``lower``), the keys (K,) that move them, and whether they touch at rest."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    keys: np.ndarray
    shut_at_rest: bool


def _keys_of(*starts: str) -> np.ndarray:
    return np.array([number for number, name in enumerate(ARKIT_NAMES) if name.startswith(starts)])


_OPENINGS = (
    _Opening(UPPER_LIP_EDGE, LOWER_LIP_EDGE, _keys_of("mouth", "jaw"), True),
    _Opening(UPPER_LID_EDGES, LOWER_LID_EDGES, _keys_of("eyeBlink", "eyeSquint", "eyeWide"), False),
)


def detected_openings(
    model: targeting.LandmarkModel,
    face: PhotoFace,
    parameters: PhotoParameters,
    targets: solver.PointTargets,
    identity: np.ndarray,
    weights: solver.SolverWeights,
) -> PhotoParameters:
    """The photo's parameters with an expression whose lips and lids are as far apart as detected, and whose tongue is
    out where the photo shows one; those that are masked stay.

    targets : the points that the expression was solved for; their information is the cost of changing it. model,
    identity : the fitted face.
    """
    out = detector_model.tongue_of_photo(face)
    if out > 0.0:  # no landmark shows it; the lips are set again below, because a tongue opens the mouth
        expression = parameters.expression.copy()
        expression[ARKIT_INDEX["tongueOut"]] = out
        parameters = replace(parameters, expression=expression)
    for opening in _OPENINGS:
        if face.unseen is None or not face.unseen[[*opening.upper, *opening.lower]].any():
            parameters = _detected_opening(opening, model, face, parameters, identity, targets, weights)
    return parameters


def _detected_opening(
    opening: _Opening,
    model: targeting.LandmarkModel,
    face: PhotoFace,
    parameters: PhotoParameters,
    identity: np.ndarray,
    targets: solver.PointTargets,
    weights: solver.SolverWeights,
) -> PhotoParameters:
    """Parameters with the gaps between the edges that the photo shows; the shut mouth's where it is nearly shut."""
    edges = model.points.take(np.searchsorted(model.landmarks, opening.lower + opening.upper))
    scale = detector_model.face_scale(face.landmarks)
    bias, *_ = detector_model.expected_errors(model.detector, parameters, scale)
    straight = face.landmarks[:, :2].astype(np.float64) - bias
    wanted = straight[list(opening.lower)] - straight[list(opening.upper)]  # (N, 2) pixels
    if opening.shut_at_rest:
        shut, _ = _gaps(edges, replace(parameters, expression=np.zeros_like(parameters.expression)), identity)
        down = detector_model.upright_axes(parameters.rotation)[:, 1]
        wanted = shut if np.median((wanted - shut) @ down) < SHUT_PERCENT / 100.0 * scale else wanted
    deviation = np.hypot(targeting.GAP_PERCENT / 100.0 * scale, targeting.GAP_PIXELS)
    keys = opening.keys
    held = _information_root(keys, parameters, identity, targets, weights)
    start = now = parameters.expression
    for _ in range(_ROUNDS):
        gaps, by_weights = _gaps(edges, replace(parameters, expression=now), identity)
        rows = np.vstack([held, by_weights[..., keys].reshape(-1, len(keys)) / deviation])
        right = np.concatenate([held @ (start - now)[keys], (wanted - gaps).ravel() / deviation])
        step = lsq_linear(rows, right, (-now[keys] - 1e-9, 1.0 - now[keys] + 1e-9)).x
        now = now.copy()
        now[keys] = np.clip(now[keys] + step, 0.0, 1.0)
    return replace(parameters, expression=now)


def _gaps(edges: SurfacePoints, parameters: PhotoParameters, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) pixels from upper to lower edge on the posed face, and (N, 2, 52) derivatives by the keys."""
    pixels, by_point, _ = project_with_derivatives(parameters, edges.positions(identity, parameters.expression))
    by_weights = by_point @ edges.expression
    count = len(edges) // 2
    return pixels[:count] - pixels[count:], by_weights[:count] - by_weights[count:]


def _information_root(
    keys: np.ndarray,
    parameters: PhotoParameters,
    identity: np.ndarray,
    targets: solver.PointTargets,
    weights: solver.SolverWeights,
) -> np.ndarray:
    """(K, K) square root of the information of targets and prior on the keys, at fixed pose."""
    positions = targets.points.positions(identity, parameters.expression)
    _, by_point, _ = project_with_derivatives(parameters, positions)
    rows = targets.whitening @ by_point @ targets.points.expression[..., keys]  # (M, 2, K)
    trust = solver.robust_weights(
        solver.residuals(parameters, identity, targets), targets.information, weights.outlier_scale
    )
    known = np.einsum("m,mia,mib->ab", trust, rows, rows) + np.diag(weights.expression_information[keys])
    return np.linalg.cholesky(known).T


def with_added_photos(state: FitState, more: tuple[PhotoFace, ...], options: FitOptions) -> FitState:
    """The state with the photos ``more`` added: their pose and expression are solved on the fixed shape."""
    if not more:
        return state
    no_modes = np.zeros((0, *state.template.vertices.shape), np.float32)
    known = replace(state.template, vertices=state.neutral.astype(np.float32), identity_modes=no_modes)
    model = targeting.landmark_model(known)
    cameras = tuple(detector_model.camera_prior(face, options.prior) for face in more)
    nothing = solver.IdentityPrior(np.zeros((0, 0)), np.zeros(0))
    weights = solver.solver_weights(options.prior, nothing, options.landmarks.outlier_scale)
    starts = tuple(detector_model.initial_parameters(known, face, options.prior, model.nuisance_size) for face in more)
    estimate = solver.FaceEstimate(np.zeros(0), starts, state.estimate.distance_habit)
    for scale in (4.0, 1.0, 1.0):
        targets = all_landmark_targets(known, model, more, estimate, options)
        stage_weights = replace(weights, outlier_scale=scale * weights.outlier_scale)
        estimate = solver.solve(estimate, targets, cameras, stage_weights, options.landmarks.iterations)
    estimate = replace(state.estimate, photos=(*state.estimate.photos, *estimate.photos))
    faces, model = state.faces + more, targeting.landmark_model(state.template)
    return replace(
        state,
        faces=faces,
        estimate=estimate,
        targets=all_landmark_targets(state.template, model, faces, estimate, options),
    )


def with_corrected_points(state: FitState, reach: float) -> FitState:
    """Move the skin up to ``reach`` metres around the corrected landmarks to them, parallel to the photo's plane: modes
    cannot, and would drag the whole face. The other ``HANDLES`` hold. Photos take turns, because two may correct the
    same point."""
    corrected = [(number, face.corrected) for number, face in enumerate(state.faces) if face.corrected is not None]
    points, ears, template = net_points(), ear_vertices(), state.template
    vertices = np.concatenate([points.vertices, np.repeat(ears[:, None], 3, 1)])
    shares = np.concatenate([points.barycentrics, np.eye(3)[np.zeros(len(ears), int)]]).astype(np.float64)
    on_skin = vertices.max(1) < template.head.vertex_stop  # pupils are on none
    for number, one in corrected * (_ROUNDS if len(corrected) > 1 else 1):
        chosen = np.concatenate([one.landmarks, LANDMARKS + one.ears])
        places = np.vstack([one.positions, one.ear_positions])[on_skin[chosen]]
        chosen = chosen[on_skin[chosen]]
        posed = np.einsum("nk,nkc->nc", shares, state.posed(number)[vertices])
        pixels, by_point, _ = project_with_derivatives(state.estimate.photos[number], posed[chosen])
        held = np.setdiff1d(np.array(HANDLES), chosen)
        sites = np.concatenate([chosen, held[on_skin[held]]])
        moved = np.zeros((len(sites), 3))
        moved[: len(chosen)] = np.einsum("nij,nj->ni", np.linalg.pinv(by_point), places - pixels)
        head = state.neutral[: template.head.vertex_stop]
        motion = LocalMotion(head, vertices[sites], shares[sites], moved, reach)(head)
        changed = state.template.vertices + template.following_skin(motion)
        state = replace(state, template=replace(state.template, vertices=changed.astype(np.float32)))
    return state
