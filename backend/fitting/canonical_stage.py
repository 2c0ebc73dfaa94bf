"""The canonical surface as a term of the fit: residuals of its depth and normals, weighted by confidence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.fitting.canonical_place import (
    PLACE_SIZE,
    CanonicalPlace,
    SurfaceSamples,
    place_by_points,
    sample_surface,
)
from backend.fitting.options import CanonicalStage
from backend.fitting.points import SurfacePoints, points_at_vertices
from backend.fitting.solver import IdentityPrior
from backend.geometry.normals import vertex_normals
from backend.geometry.outline import usable_landmarks
from backend.geometry.subdivision import subdivision_matrix
from backend.geometry.template import Template
from backend.geometry.topology import triangles_from_quads, unique_edges
from backend.models.lap.canonical_face import CanonicalFace
from backend.rendering.camera_models import LAP_PIVOT

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
    smooth = subdivision_matrix(1)[:count, :count]
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


def place_by_landmarks(template: Template, face: CanonicalFace) -> CanonicalPlace:
    """Place the canonical face on the mean head, by landmarks alone.

    With fewer than eight landmarks of weight above 0.1 it is the place for which the networks are trained: the face
    looks along the head's z axis, and its middle is the pivot.
    """
    neutral = _neutral_landmarks(template, np.zeros(len(template.identity_modes)))
    weights = face.landmark_weights * usable_landmarks(template)
    if (weights > 0.1).sum() < 8:
        middle = (neutral.min(0) + neutral.max(0)) / 2
        return CanonicalPlace(1.0, np.diag([1.0, -1.0, -1.0]), middle, np.array(LAP_PIVOT))
    return place_by_points(neutral, face.landmarks, weights)


def place_on_head(
    template: Template, mesh: CanonicalMesh, face: CanonicalFace, identity: np.ndarray, stage: CanonicalStage
) -> CanonicalPlace:
    """Register the canonical face to the head with ``identity`` (K,): by landmarks first, then also by the surface."""
    landmarks = _neutral_landmarks(template, identity)
    weights = face.landmark_weights * mesh.landmarks
    place = place_by_points(landmarks, face.landmarks, weights)
    for _ in range(stage.place_iterations):
        rows = _rows(mesh, face, place, identity, stage)
        information, gradient = _other_system(rows, landmarks, face, weights, place, stage)
        place = place.moved(-np.linalg.solve(information, gradient)[:PLACE_SIZE])
    return place


def canonical_prior(
    template: Template, mesh: CanonicalMesh, face: CanonicalFace, identity: np.ndarray, stage: CanonicalStage
) -> IdentityPrior:
    """Information of the canonical surface about the identity, linearised at ``identity`` (K,).

    The surface's place on the head and the networks' smooth errors over the whole face (bumps) are nuisance parameters,
    eliminated by the Schur complement. The surface is compared with a head that has ``stage.shown_share`` of the
    identity's difference from the mean, because the networks show only that share.
    """
    shown = stage.shown_share * identity
    place = place_on_head(template, mesh, face, shown, stage)
    rows = _rows(mesh, face, place, shown, stage)
    rows = replace(rows, by_identity=stage.shown_share * rows.by_identity)
    landmarks = _neutral_landmarks(template, shown)
    weights = face.landmark_weights * mesh.landmarks
    information, gradient = _other_system(rows, landmarks, face, weights, place, stage)
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
    mesh: CanonicalMesh, face: CanonicalFace, place: CanonicalPlace, identity: np.ndarray, stage: CanonicalStage
) -> _Rows:
    head = mesh.points.base + mesh.points.identity @ identity
    seen = place.apply(head)
    samples = sample_surface(face, seen)
    by_point, by_step = place.derivatives(seen)
    behind, by_head, by_place = (
        samples.behind / place.scale,
        (samples.gradient @ by_point) / place.scale,
        np.einsum("mi,mik->mk", samples.gradient, by_step) / place.scale,
    )  # metres
    by_other = np.concatenate([by_place, _bumps(seen, place)], axis=1)
    by_identity = np.einsum("mi,mik->mk", by_head, mesh.points.identity)
    parts = [
        _weighted(_depth_weights(mesh, samples, stage), behind, by_identity, by_other, stage.depth_information),
        _weighted(
            _normal_weights(mesh, samples, stage),
            *(_across(mesh, values) for values in (behind, by_identity, by_other)),
            stage.normal_information,
        ),
    ]
    return _Rows(*(np.concatenate(both) for both in zip(*parts, strict=True)))


def _depth_weights(mesh: CanonicalMesh, samples: SurfaceSamples, stage: CanonicalStage) -> np.ndarray:
    """(M,) inverse deviations of the depth. The distance from the surface counts, which is less than the depth on
    slopes."""
    return np.sqrt(samples.confidence) * mesh.facing / (stage.depth_deviation_mm / 1000.0)


def _normal_weights(mesh: CanonicalMesh, samples: SurfaceSamples, stage: CanonicalStage) -> np.ndarray:
    """(E,) inverse deviations of slopes along edges, in radians."""
    facing = mesh.facing[mesh.edges].min(-1)
    return np.sqrt(samples.confidence[mesh.edges].min(-1)) * facing**2 / np.radians(stage.normal_deviation_degrees)


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


def _bumps(seen: np.ndarray, place: CanonicalPlace) -> np.ndarray:
    """(M, B) depth in metres per metre of each bump's coefficient."""
    x, y = ((seen - place.pivot)[:, :2] / (place.scale * _HALF_WIDTH)).T
    return np.stack([x**i * y**j for i, j in _BUMPS], axis=1)


def _other_system(
    rows: _Rows,
    landmarks: np.ndarray,
    face: CanonicalFace,
    weights: np.ndarray,
    place: CanonicalPlace,
    stage: CanonicalStage,
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of place and bumps: information (P, P) and gradient (P,), including landmarks and priors."""
    seen = place.apply(landmarks)
    _, by_step = place.derivatives(seen)
    off = (seen - face.landmarks) / place.scale / _LANDMARK_METRES  # (468, 3)
    robust = weights * _LANDMARK_SHARE / (1.0 + (off**2).sum(-1) / 9.0) ** 2
    by_step = by_step / place.scale / _LANDMARK_METRES
    information, gradient = rows.by_other.T @ rows.by_other, rows.by_other.T @ rows.residual
    information[:PLACE_SIZE, :PLACE_SIZE] += np.einsum("m,mik,mil->kl", robust, by_step, by_step)
    gradient[:PLACE_SIZE] += np.einsum("m,mi,mik->k", robust, off, by_step)
    bumps = np.arange(PLACE_SIZE, len(gradient))
    information[bumps, bumps] += (stage.bump_deviation_mm / 1000.0) ** -2
    return information, gradient
