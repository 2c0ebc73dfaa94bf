"""A head laid onto a scan: the most probable head by closest points, then a smooth field beyond the modes."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.spatial.transform import Rotation

from backend.fitting.parameters import PhotoParameters
from backend.fitting.stages import FitState
from backend.geometry.closest import TriangleMesh
from backend.geometry.subdivision import subdivide
from backend.geometry.surface_fields import smooth_field, solve_symmetric, surface_operators
from backend.geometry.template import LandmarkEmbedding, Template, triangles_from_quads
from backend.geometry.vectors import vertex_normals
from backend.photos.collection import FaceClass, PhotoFace, Scan
from backend.rendering.camera import Camera
from backend.rendering.rasterize import facing_cosine, places_at
from protocol.similarity import fit_similarity

STEADY = (33, 133, 362, 263, 1, 4, 5, 6, 168, 61, 291, 0, 17, 48, 278)
"""MediaPipe landmarks by which a head is first laid on a scan: eye corners, nose, mouth."""
ITERATIONS = 16
LANDMARK_NOISE = 0.004
"""Standard deviation in metres of a landmark that a detector found on a scan."""
_NOISE = 0.0005
"""Standard deviation in metres of a scan's distance from the model, averaged over a square centimetre."""
PULLS, STIFFNESS, FADING, REACH = 6, 0.0015, 0.016, 0.012
"""Passes of ``laid_on``; metres over which its field is smooth, and over which it fades beyond the scan's border;
distance in metres beyond which a point of the scan is another part's, not a vertex's counterpart."""


@dataclass(frozen=True)
class HeadTopology:
    """The head's cage of H vertices and its level-1 surface.

    Attributes
    ----------
    triangles : (T, 3) of the cage. matrix : (P, H) Catmull-Clark level 1, whose first H rows are the cage's vertices.
    fine_triangles : (T2, 3) of the level-1 surface. regions : name -> (H,) float64 in [0, 1].
    """

    triangles: np.ndarray
    matrix: sp.csr_matrix
    fine_triangles: np.ndarray
    regions: dict[str, np.ndarray]

    def skin_weights(self, **weights: float) -> np.ndarray:
        """(H,) weighted sum of regions, at most 1; 0 in sockets and mouth."""
        total = sum(factor * self.regions[name] for name, factor in weights.items())
        inside = (1 - self.regions["eye_sockets"]) * (1 - self.regions["mouth_interior"])
        return np.clip(total, 0, 1) * inside


def head_topology(template: Template) -> HeadTopology:
    """The head's cage, its level-1 surface and its masks."""
    fine = subdivide(template, 1)
    head, fine_head = template.head, fine.parts["head"]
    return HeadTopology(
        triangles=triangles_from_quads(template.quads[: head.face_stop]).astype(np.int64),
        matrix=fine.matrix[: fine_head.vertex_stop, : head.vertex_stop].astype(np.float64),
        fine_triangles=triangles_from_quads(fine.quads[: fine_head.face_stop]).astype(np.int64),
        regions={name: mask[: head.vertex_stop].astype(np.float64) for name, mask in template.regions.items()},
    )


def landmark_rows(embedding: LandmarkEmbedding, indices: tuple[int, ...], count: int) -> sp.csr_matrix:
    """(L, ``count``) sparse rows of some landmarks on the head's ``count`` vertices."""
    chosen = list(indices)
    place = np.repeat(np.arange(len(chosen)), 3), embedding.vertices[chosen].ravel()
    return sp.csr_matrix((embedding.barycentrics[chosen].astype(np.float64).ravel(), place), (len(chosen), count))


@dataclass(frozen=True)
class ModelFit:
    """A fitted face: ``scale * rotation @ (mean + modes . coefficients) + translation`` lies on the scan. Shapes:
    coefficients (K,), rotation (3, 3), translation (3,)."""

    coefficients: np.ndarray
    scale: float
    rotation: np.ndarray
    translation: np.ndarray
    cage: np.ndarray  # (V, 3) in the scan's frame


def fit_model(
    mean: np.ndarray,
    modes: np.ndarray,
    matrix: sp.csr_matrix,
    triangles: np.ndarray,
    weights: np.ndarray,
    scan: TriangleMesh,
    landmark_rows: sp.csr_matrix,
    landmark_targets: np.ndarray,
    *,
    landmark_noise: float = 0.002,
    sized: bool = False,
    iterations: int = 30,
) -> ModelFit:
    """Maximum-a-posteriori fit of a linear model to a scan.

    Parameters
    ----------
    mean : (V, 3); modes : (K, V, 3), one standard deviation each.
    matrix : (P, V) from vertices to the points that are fitted to the scan; triangles : (T, 3) of these points.
    weights : (P,) confidence of each point.
    landmark_rows : (L, V) sparse; landmark_targets : (L, 3) in the scan's frame.
    landmark_noise : standard deviation of a landmark in metres. sized : the model has the scan's size: scale 1.
    """
    count = len(modes)
    scale, rotation, translation = fit_similarity(landmark_rows @ mean, landmark_targets, scale=1.0 if sized else None)
    coefficients = np.zeros(count)
    mean_points, mean_landmarks = matrix @ mean, landmark_rows @ mean
    mode_points = np.stack([matrix @ mode for mode in modes]) if count else np.zeros((0, *mean_points.shape))
    mode_landmarks = (
        np.stack([landmark_rows @ mode for mode in modes]) if count else np.zeros((0, *mean_landmarks.shape))
    )
    used = weights > 0  # others cost as much and count nothing
    areas = surface_operators(mean_points, triangles).mass / 1e-4
    for iteration in range(iterations):
        local = mean_points + np.tensordot(coefficients, mode_points, 1)
        points = scale * local @ rotation.T + translation
        corners, target, normal, distance = counterparts(points[used], scan)
        point_normals = vertex_normals(points, triangles)[used]
        reach = max(0.03 * 0.8**iteration, 0.006)
        trust = (weights * areas)[used] * (~scan.border[corners].any(1)) * ((point_normals * normal).sum(1) > 0.5)
        trust = trust * np.clip(2 - 2 * distance / reach, 0, 1)
        sigma = max(_NOISE * 4 * 0.85**iteration, _NOISE)
        moves = _derivatives(local[used], mode_points[:, used], scale, rotation)  # (U, 3, 7 + K)
        plane = np.einsum("pi,pij->pj", normal, moves)
        residual = ((target - points[used]) * normal).sum(1)
        landmarks = mean_landmarks + np.tensordot(coefficients, mode_landmarks, 1)
        pins = _derivatives(landmarks, mode_landmarks, scale, rotation).reshape(-1, moves.shape[2])
        pin_residual = (landmark_targets - (scale * landmarks @ rotation.T + translation)).ravel()
        size = np.linalg.norm(pin_residual.reshape(-1, 3), axis=1)
        robust = np.repeat(1 / (1 + (size / (3 * landmark_noise)) ** 2), 3) / landmark_noise**2
        system = plane.T @ (plane * (trust / sigma**2)[:, None]) + pins.T @ (pins * robust[:, None])
        right = plane.T @ (residual * trust / sigma**2) + pins.T @ (pin_residual * robust)
        system[7:, 7:] += np.eye(count)
        right[7:] -= coefficients
        system += np.eye(len(system)) * 1e-9
        system[6, 6] += 1e18 * sized  # holds the scale
        step = np.linalg.solve(system, right)
        rotation = Rotation.from_rotvec(step[:3]).as_matrix() @ rotation
        translation = translation + step[3:6]
        scale *= 1.0 + step[6]
        coefficients = coefficients + step[7:]
    cage = scale * (mean + np.tensordot(coefficients, modes, 1)) @ rotation.T + translation
    return ModelFit(coefficients, scale, rotation, translation, cage)


def counterparts(points: np.ndarray, scan: TriangleMesh) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the scan's points closest to ``points`` (P, 3): corners (P, 3), positions and unit normals (P, 3), and the
    distances (P,)."""
    triangle, weights, distance = scan.closest(points, exact=False)
    corners = scan.triangles[triangle]
    target = (scan.vertices[corners] * weights[..., None]).sum(1)
    normal = (scan.normals[corners] * weights[..., None]).sum(1)
    return corners, target, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12), distance


def _derivatives(local: np.ndarray, modes: np.ndarray, scale: float, rotation: np.ndarray) -> np.ndarray:
    """(P, 3, 7 + K) derivatives of the posed points by rotation, translation, scale and coefficients."""
    turned = scale * local @ rotation.T
    rows = np.zeros((len(local), 3, 7 + len(modes)))
    rows[:, 0, 1], rows[:, 0, 2] = turned[:, 2], -turned[:, 1]
    rows[:, 1, 0], rows[:, 1, 2] = -turned[:, 2], turned[:, 0]
    rows[:, 2, 0], rows[:, 2, 1] = turned[:, 1], -turned[:, 0]
    rows[:, [0, 1, 2], [3, 4, 5]] = 1.0
    rows[:, :, 6] = turned
    rows[:, :, 7:] = np.einsum("ij,kpj->pik", scale * rotation, modes, optimize=True)
    return rows


def laid_on(points: np.ndarray, faces: np.ndarray, weights: np.ndarray, scan: TriangleMesh) -> np.ndarray:
    """Skin (V, 3) with triangles ``faces`` (F, 3), pulled along the scan's normals onto a scan that it nearly fits.
    weights : (V,) of the pull, 0 where a vertex only follows its neighbours. The field of offsets fades out over
    ``FADING`` metres where there is no scan."""
    pulled, pull, gap = weights > 0, np.zeros(len(points)), np.zeros((len(points), 3))
    for _ in range(PULLS):
        corners, target, normal, distance = counterparts(points[pulled], scan)
        same = (vertex_normals(points, faces)[pulled] * normal).sum(1) > 0.5
        pull[pulled] = weights[pulled] * same * (distance < REACH) * ~scan.border[corners].any(1)
        gap[pulled] = ((target - points[pulled]) * normal).sum(1, keepdims=True) * normal
        operators = surface_operators(points, faces)
        points = points + smooth_field(operators, gap, pull, STIFFNESS, np.zeros(3), (STIFFNESS / FADING) ** 2)
    return points


def laid_cage(cage: np.ndarray, topology: HeadTopology, weights: np.ndarray, scan: TriangleMesh) -> np.ndarray:
    """(H, 3) the head's cage, whose level-1 surface is ``laid_on`` a scan; weights : (P,) of that surface's points."""
    points = topology.matrix @ cage
    laid = laid_on(points, topology.fine_triangles, weights, scan)
    smooth = 1e-3 * surface_operators(cage, topology.triangles).stiffness
    system = (topology.matrix.T @ topology.matrix + smooth).tocsc()
    return cage + solve_symmetric(system, topology.matrix.T @ (laid - points))


def laid_on_scan(state: FitState, scan: Scan) -> FitState:
    """The state of a scan's pictures with the head on the scan, and the cameras that drew them.

    The head has the median expression of the pictures, because all show the same one. Skin under what the pictures
    label as hair only follows its neighbours, as do ears, whose folds have no counterpart.
    """
    template, count = state.template, state.template.head.vertex_stop
    topology, photos = head_topology(template), state.estimate.photos
    expression = np.median([photo.expression for photo in photos], axis=0)
    motion = np.tensordot(expression, template.expressions, 1)
    marks, targets = _marks_on(state, scan)
    fit = fit_model(
        (template.vertices + motion)[:count].astype(np.float64), template.identity_modes[:, :count].astype(np.float64),
        topology.matrix[:count], topology.triangles, topology.skin_weights(face=1.0), scan.mesh,
        landmark_rows(template.landmarks478, marks, count), targets, landmark_noise=LANDMARK_NOISE, sized=True,
        iterations=ITERATIONS,
    )  # fmt: skip
    moved = [
        _seen_by(photo, face, scan.cameras[face.name], fit, expression)
        for face, photo in zip(state.faces, photos, strict=True)
    ]
    state = replace(state, estimate=replace(state.estimate, identity=fit.coefficients, photos=tuple(moved)))
    points = topology.matrix @ (state.neutral + motion)[:count]
    weights = topology.matrix @ (topology.skin_weights(face=1.0, scalp=1.0, neck=1.0) * (1 - topology.regions["ears"]))
    weights = weights * ~_under_hair(state, points, vertex_normals(points, topology.fine_triangles))
    cage = (state.neutral + motion)[:count]
    laid = laid_cage(cage @ fit.rotation.T + fit.translation, topology, weights, scan.mesh)
    offsets = template.following_skin((laid - fit.translation) @ fit.rotation - cage)
    changed = replace(template, vertices=(template.vertices + offsets).astype(np.float32))
    return replace(state, template=changed, scan=scan)


def _marks_on(state: FitState, scan: Scan) -> tuple[tuple[int, ...], np.ndarray]:
    """Those of ``STEADY`` that are seen on the scan's most frontal picture, and their places (L, 3) on it."""
    face = min(state.faces, key=lambda one: abs(one.yaw_degrees))
    camera = scan.cameras[face.name]
    pixels = face.in_file(face.landmarks[list(STEADY), :2].astype(np.float64))
    places, depth = places_at(pixels, scan.mesh.vertices, scan.mesh.triangles, camera)
    seen = np.isfinite(depth)
    return tuple(np.array(STEADY)[seen].tolist()), places[seen]


def _seen_by(
    photo: PhotoParameters, face: PhotoFace, camera: Camera, fit: ModelFit, expression: np.ndarray
) -> PhotoParameters:
    """The picture's parameters with ``camera``, which drew it, its pose changed from the scan's frame to the head's."""
    pose = camera.camera_from_head
    rotation = pose[:3, :3] @ fit.rotation
    pivot = rotation @ photo.pivot + pose[:3, :3] @ fit.translation + pose[:3, 3]
    depth, focal = float(np.log(pivot[2])), float(camera.intrinsics[0, 0] * face.crop_scale)
    return replace(
        photo, rotation=rotation, lateral=pivot[:2] / pivot[2], log_distance=depth,
        log_scale=float(np.log(focal)) - depth, principal_offset=np.zeros(2), expression=expression,
    )  # fmt: skip


def _under_hair(state: FitState, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(P,) bool: points (P, 3) of the head that most of the pictures that face them label as hair."""
    votes = np.zeros(len(points))
    for face, photo in zip(state.faces, state.estimate.photos, strict=True):
        camera = photo.camera()
        column, row = np.clip(camera.project(points)[:, :2].astype(int), 0, np.array(face.labels.shape[::-1]) - 1).T
        facing = facing_cosine(points, normals, camera)
        votes += facing.clip(0) * np.where(face.labels[row, column] == FaceClass.HAIR, 1.0, -1.0)
    return votes > 0
