"""LAP in the fit: its light and view as a start, the canonical face placed on the head by a similarity, and residuals
of its depth and normals, weighted by confidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from backend.fitting.detector_model import landmark_error, turned_to
from backend.fitting.options import CanonicalStage
from backend.fitting.parameters import PhotoParameters, SurfacePoints, points_at_vertices
from backend.fitting.solver import IdentityPrior
from backend.geometry.subdivision import subdivision
from backend.geometry.template import Template, triangles_from_quads, unique_edges, usable_landmarks
from backend.geometry.vectors import vertex_normals
from backend.models.lap.canonical_face import CanonicalFace, CanonicalPhoto
from backend.photos.collection import PhotoFace
from backend.rendering.camera import LAP_PIVOT
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_exactly
from backend.rendering.spherical_harmonics import light_from_directions
from protocol.similarity import fit_similarity

ALIGNMENT_SIZE = 7
"""Rotation vector (3), translation (3) and log scale."""
_ROBUST_METRES = 0.004


@dataclass(frozen=True)
class CanonicalFrame:
    """Head frame to canonical frame: c = scale * rotation @ (p - origin) + pivot.

    Attributes
    ----------
    scale : canonical units per metre. rotation : (3, 3). origin : (3,) metres, head point that is mapped to the pivot.
    pivot : (3,) canonical point about which turns and scales act.
    """

    scale: float
    rotation: np.ndarray
    origin: np.ndarray
    pivot: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Convert head-frame points (..., 3) in metres to canonical points."""
        return self.scale * (points - self.origin) @ self.rotation.T + self.pivot

    def undo(self, points: np.ndarray) -> np.ndarray:
        """Convert canonical points (..., 3) to the head frame, metres."""
        return (points - self.pivot) @ self.rotation / self.scale + self.origin

    def moved(self, step: np.ndarray) -> CanonicalFrame:
        """The place after a step (7,): canonical points turn about the pivot, shift by metres times scale, and grow."""
        rotation = Rotation.from_rotvec(step[:3]).as_matrix() @ self.rotation
        scale = self.scale * float(np.exp(step[6]))
        return replace(self, scale=scale, rotation=rotation, origin=self.origin - self.rotation.T @ step[3:6])

    def derivatives(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of ``apply`` at canonical points (M, 3): by the head point (3, 3) and by the step (M, 3, 7)."""
        from_pivot = points - self.pivot
        x, y, z = from_pivot.T
        zero = np.zeros_like(x)
        by_step = np.empty((len(points), 3, ALIGNMENT_SIZE))
        # d(exp([w]) r)/dw has the columns e_k x r
        columns = [np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)]
        by_step[:, :, :3] = np.stack(columns, axis=-1)
        by_step[:, :, 3:6] = self.scale * np.eye(3)
        by_step[:, :, 6] = from_pivot
        return self.scale * self.rotation, by_step


def align_by_points(head: np.ndarray, canonical: np.ndarray, weights: np.ndarray, rounds: int = 6) -> CanonicalFrame:
    """Fit the similarity from head-frame points (M, 3) in metres to canonical points (M, 3), robustly.

    Umeyama (1991) with weights (M,), reweighted ``rounds`` times by Geman-McClure with a scale of 4 mm.

    Raises
    ------
    ValueError : fewer than four points have positive weight.
    """
    if (weights > 0).sum() < 4:
        raise ValueError("a similarity needs at least four points")
    robust = weights
    for _ in range(rounds):
        found = fit_similarity(head, canonical, robust)
        origin = robust @ head / robust.sum()
        placement = CanonicalFrame(found.scale, found.rotation, origin, found.apply(origin))
        off = np.linalg.norm(placement.apply(head) - canonical, axis=-1) / placement.scale / _ROBUST_METRES
        robust = weights / (1 + off**2) ** 2
    return placement


@dataclass(frozen=True)
class SurfaceSamples:
    """The canonical surface sampled at the projections of points.

    Attributes
    ----------
    behind : (M,) signed distance of each point behind the surface along the camera's axis, canonical units.
    gradient : (M, 3) derivative of ``behind`` by the point. confidence : (M,) in [0, 1], 0 outside the map.
    """

    behind: np.ndarray
    gradient: np.ndarray
    confidence: np.ndarray


def sample_surface(face: CanonicalFace, points: np.ndarray) -> SurfaceSamples:
    """Compare canonical points (M, 3) with the canonical surface along the camera's axis."""
    size = len(face.depth)
    focal = face.camera.focal
    pixels = points[:, :2] / points[:, 2:] * focal + size / 2  # (M, 2)
    inside = ((pixels > 2) & (pixels < size - 2)).all(-1)
    down, across = np.gradient(face.depth)
    slopes = sample_exactly(np.stack([across, down], axis=-1), pixels)  # (M, 2) per pixel
    gradient = np.empty((len(points), 3))
    gradient[:, :2] = -slopes * focal / points[:, 2:]
    gradient[:, 2] = 1.0 + (slopes * points[:, :2]).sum(-1) * focal / points[:, 2] ** 2
    return SurfaceSamples(
        points[:, 2] - sample_exactly(face.depth, pixels), gradient, sample_exactly(face.confidence, pixels) * inside
    )


def start_from_view(
    template: Template, face: PhotoFace, parameters: PhotoParameters, photo: CanonicalPhoto, placement: CanonicalFrame
) -> PhotoParameters:
    """Choose ``parameters`` or LAP's pose of the photo, by the reprojection error of the mean face's landmarks.

    Parameters
    ----------
    parameters : the pose by perspective-n-point; its focal length is kept. placement : on the mean head.
    """
    roll = Rotation.from_euler("z", photo.window.angle + photo.alignment.tilt).as_matrix()
    rotation = roll @ photo.rotation @ placement.rotation
    chosen = np.flatnonzero(usable_landmarks(template))
    points = template.landmarks478.positions(template.vertices)[chosen].astype(np.float64)
    found = face.landmarks[chosen, :2].astype(np.float64)
    other = turned_to(parameters, rotation, points, found, keep_focal=True)
    guesses = [parameters] if other is None else [parameters, other]
    return min(guesses, key=lambda guess: landmark_error(guess, points, found))


def head_light(photo: CanonicalPhoto, placement: CanonicalFrame) -> np.ndarray:
    """(9, 3) SH coefficients of LAP's light, grey, head frame.

    LAP's light multiplies sRGB values, so its factors in shadow and in full light are converted to linear light.
    """
    dark, full = linear_from_srgb(np.clip([photo.ambient, photo.ambient + photo.diffuse], 0.0, 1.0).astype(np.float64))
    to_lamp = placement.rotation.T @ -photo.direction
    lamp, ambient = np.full((1, 3), max(full - dark, 0.0)), np.full(3, max(dark, 0.05))
    return np.asarray(light_from_directions(to_lamp[None], lamp, ambient), dtype=np.float64)


_LEAST_FACING = 0.35
"""Least cosine to the canonical camera of the vertices that are compared: it hardly sees steeper surfaces."""
_LANDMARK_METRES = 0.003
_LANDMARK_SHARE = 0.2
_BUMPS = ((2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
"""Powers of x and y, in units of the face's half-width: smooth errors of the networks over the whole face."""
_HALF_WIDTH = 0.07


@dataclass(frozen=True)
class CanonicalMesh:
    """The part of the template that the canonical camera sees: its subdivided (smoothed) surface at some vertices.

    Attributes
    ----------
    points : M ``SurfacePoints``, neutral. edges : (E, 2) between neighbouring points, lengths : (E,) metres.
    facing : (M,) cosine of the mean face's normals to the canonical camera. landmarks : (468,) mask of usable ones.
    """

    points: SurfacePoints
    edges: np.ndarray
    lengths: np.ndarray
    facing: np.ndarray
    landmarks: np.ndarray


def canonical_mesh(template: Template) -> CanonicalMesh:
    """Make the mesh of the face's skin that faces the front, without mouth interior and eye sockets."""
    count = template.head.vertex_stop
    smooth = subdivision(1).matrix[:count, :count]
    quads = template.quads[: template.head.face_stop]
    surface = smooth @ template.vertices[:count]
    normals = vertex_normals(surface.astype(np.float64), triangles_from_quads(quads))
    regions = template.regions
    shown = (regions["face"][:count] > 0.5) & (regions["mouth_interior"][:count] < 0.3)
    shown &= (regions["eye_sockets"][:count] < 0.5) & (normals[:, 2] > _LEAST_FACING)
    vertices = np.flatnonzero(shown)
    cage = points_at_vertices(template, np.arange(count))
    rows = smooth[vertices].astype(np.float64)

    def drawn(values: np.ndarray) -> np.ndarray:
        return (rows @ values.reshape(count, -1)).reshape(len(vertices), *values.shape[1:])

    points = SurfacePoints(drawn(cage.base), drawn(cage.identity), drawn(cage.expression))
    number = np.full(count, -1)
    number[vertices] = np.arange(len(vertices))
    edges = number[unique_edges(quads)]
    edges = edges[(edges >= 0).all(-1)]
    lengths = np.linalg.norm(points.base[edges[:, 0]] - points.base[edges[:, 1]], axis=-1)
    return CanonicalMesh(points, edges, lengths, normals[vertices, 2], usable_landmarks(template))


@dataclass(frozen=True)
class _Rows:
    """Weighted residuals (R,) of depth and normals, and their derivatives by the identity (R, K) and by place and bumps
    (R, P)."""

    residual: np.ndarray
    by_identity: np.ndarray
    by_other: np.ndarray


def align_by_landmarks(template: Template, face: CanonicalFace) -> CanonicalFrame:
    """Place the canonical face on the mean head, by landmarks alone.

    With fewer than eight landmarks of weight above 0.1 it is the place for which the networks are trained: the face
    looks along the head's z axis, and its middle is the pivot.
    """
    neutral = _neutral_landmarks(template, np.zeros(len(template.identity_modes)))
    weights = face.landmark_weights * usable_landmarks(template)
    if (weights > 0.1).sum() < 8:
        middle = (neutral.min(0) + neutral.max(0)) / 2
        return CanonicalFrame(1.0, np.diag([1.0, -1.0, -1.0]), middle, np.array(LAP_PIVOT))
    return align_by_points(neutral, face.landmarks, weights)


def align_on_head(
    template: Template, mesh: CanonicalMesh, face: CanonicalFace, identity: np.ndarray, stage: CanonicalStage
) -> CanonicalFrame:
    """Register the canonical face to the head with ``identity`` (K,): by landmarks first, then also by the surface."""
    landmarks = _neutral_landmarks(template, identity)
    weights = face.landmark_weights * mesh.landmarks
    placement = align_by_points(landmarks, face.landmarks, weights)
    for _ in range(stage.alignment_iterations):
        rows = _rows(mesh, face, placement, identity, stage)
        information, gradient = _other_system(rows, landmarks, face, weights, placement, stage)
        placement = placement.moved(-np.linalg.solve(information, gradient)[:ALIGNMENT_SIZE])
    return placement


def canonical_prior(
    template: Template, mesh: CanonicalMesh, face: CanonicalFace, identity: np.ndarray, stage: CanonicalStage
) -> IdentityPrior:
    """Information of the canonical surface about the identity, linearised at ``identity`` (K,).

    The surface's place on the head and the networks' smooth errors over the whole face (bumps) are nuisance parameters,
    eliminated by the Schur complement. The surface is compared with a head that has ``stage.shown_share`` of the
    identity's difference from the mean, because the networks show only that share.
    """
    shown = stage.shown_share * identity
    placement = align_on_head(template, mesh, face, shown, stage)
    rows = _rows(mesh, face, placement, shown, stage)
    rows = replace(rows, by_identity=stage.shown_share * rows.by_identity)
    landmarks = _neutral_landmarks(template, shown)
    weights = face.landmark_weights * mesh.landmarks
    information, gradient = _other_system(rows, landmarks, face, weights, placement, stage)
    at_zero = rows.residual - rows.by_identity @ identity
    gradient = gradient + rows.by_other.T @ (at_zero - rows.residual)
    coupling = rows.by_identity.T @ rows.by_other  # (K, 7 + bumps)
    solved = np.linalg.solve(information, np.column_stack([coupling.T, gradient]))
    return IdentityPrior(
        rows.by_identity.T @ rows.by_identity - coupling @ solved[:, :-1],
        -(rows.by_identity.T @ at_zero - coupling @ solved[:, -1]),
    )


def _neutral_landmarks(template: Template, identity: np.ndarray) -> np.ndarray:
    """(468, 3) landmarks of the neutral face with ``identity`` (K,), metres, head frame."""
    neutral = template.vertices + np.tensordot(identity, template.identity_modes, 1)
    return template.landmarks478.positions(neutral)[:468].astype(np.float64)


def _rows(
    mesh: CanonicalMesh, face: CanonicalFace, placement: CanonicalFrame, identity: np.ndarray, stage: CanonicalStage
) -> _Rows:
    head = mesh.points.base + mesh.points.identity @ identity
    head_there = placement.apply(head)
    samples = sample_surface(face, head_there)
    by_point, by_step = placement.derivatives(head_there)
    behind, by_head, by_place = (
        samples.behind / placement.scale,
        (samples.gradient @ by_point) / placement.scale,
        np.einsum("mi,mik->mk", samples.gradient, by_step) / placement.scale,
    )  # metres
    by_other = np.concatenate([by_place, _bumps(head_there, placement)], axis=1)
    by_identity = np.einsum("mi,mik->mk", by_head, mesh.points.identity)
    # inverse deviations: the distance from the surface counts, less than the depth on slopes; slopes in radians
    depth = np.sqrt(samples.confidence) * mesh.facing / (stage.depth_deviation_mm / 1000.0)
    known, facing = samples.confidence[mesh.edges].min(-1), mesh.facing[mesh.edges].min(-1)
    slope = np.sqrt(known) * facing**2 / np.radians(stage.normal_deviation_degrees)
    slopes = (_across(mesh, values) for values in (behind, by_identity, by_other))
    parts = [
        _weighted(depth, behind, by_identity, by_other, stage.depth_information),
        _weighted(slope, *slopes, stage.normal_information),
    ]
    return _Rows(*(np.concatenate(both) for both in zip(*parts, strict=True)))


def _across(mesh: CanonicalMesh, values: np.ndarray) -> np.ndarray:
    """Differences of values (M, ...) along the mesh's edges, per metre (E, ...): slopes of the surface."""
    lengths = mesh.lengths.reshape(-1, *[1] * (values.ndim - 1))
    return (values[mesh.edges[:, 1]] - values[mesh.edges[:, 0]]) / lengths


def _weighted(
    weights: np.ndarray, residual: np.ndarray, by_identity: np.ndarray, by_other: np.ndarray, information: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whitened rows with robust weights (Geman-McClure, at three standard deviations). Together they have the weight of
    ``information`` independent rows."""
    whitened = weights * residual
    robust = 1.0 / (1.0 + (whitened / 3.0) ** 2)
    share = np.sqrt(information / max(float((weights > 0).sum()), 1.0))
    scale = weights * robust * share
    return scale * residual, scale[:, None] * by_identity, scale[:, None] * by_other


def _bumps(head_there: np.ndarray, placement: CanonicalFrame) -> np.ndarray:
    """(M, B) depth in metres per metre of each bump's coefficient."""
    x, y = ((head_there - placement.pivot)[:, :2] / (placement.scale * _HALF_WIDTH)).T
    return np.stack([x**i * y**j for i, j in _BUMPS], axis=1)


def _other_system(
    rows: _Rows,
    landmarks: np.ndarray,
    face: CanonicalFace,
    weights: np.ndarray,
    placement: CanonicalFrame,
    stage: CanonicalStage,
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of place and bumps: information (P, P) and gradient (P,), including landmarks and priors."""
    head_there = placement.apply(landmarks)
    _, by_step = placement.derivatives(head_there)
    off = (head_there - face.landmarks) / placement.scale / _LANDMARK_METRES  # (468, 3)
    robust = weights * _LANDMARK_SHARE / (1.0 + (off**2).sum(-1) / 9.0) ** 2
    by_step = by_step / placement.scale / _LANDMARK_METRES
    information, gradient = rows.by_other.T @ rows.by_other, rows.by_other.T @ rows.residual
    information[:ALIGNMENT_SIZE, :ALIGNMENT_SIZE] += np.einsum("m,mik,mil->kl", robust, by_step, by_step)
    gradient[:ALIGNMENT_SIZE] += np.einsum("m,mi,mik->k", robust, off, by_step)
    bumps = np.arange(ALIGNMENT_SIZE, len(gradient))
    information[bumps, bumps] += (stage.bump_deviation_mm / 1000.0) ** -2
    return information, gradient
