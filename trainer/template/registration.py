"""Non-rigid registration of the template's head onto a scan.

The displacement d of the cage minimises  sum over surface points of area * weight * (normal distance)^2
+ a little tangential distance^2 + landmarks + stiffness^4 * integral of |Laplace d|^2  (a thin plate). Closest points
and a sparse linear solve alternate while the stiffness is lowered; it is a length, and details smaller than it stay as
in the template. Compare Amberg, Romdhani, Vetter, "Optimal step nonrigid ICP algorithms", 2007.

Closest points on a triangle mesh.

Fit the identity modes to a scan: similarity and coefficients by Gauss-Newton on closest points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

from backend.geometry.normals import vertex_normals
from backend.geometry.surface_fields import surface_operators
from backend.geometry.template import boundary_edges
from protocol.similarity import fit_similarity
from trainer.heads import raytrace
from trainer.heads.ict import TriangleMesh


def closest_points(
    points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Closest points on a mesh.

    Parameters
    ----------
    points : (N, 3); vertices : (V, 3); triangles : (T, 3).

    Returns
    -------
    triangle : (N,) index into ``triangles``; barycentrics : (N, 3); distance : (N,).
    """
    triangle, _, weights = raytrace.closest_points(raytrace.build_bvh(vertices, triangles, np.float64), points)
    weights = np.maximum(weights, 0.0)  # rounding
    spots = (weights[..., None] * vertices[triangles[triangle]]).sum(1)
    return triangle, weights, np.linalg.norm(spots - points, axis=-1)


@dataclass(frozen=True)
class Pull:
    """Constraint that pulls points of the cage, ``rows @ cage``, to fixed targets.

    Attributes
    ----------
    rows : (L, V) sparse; targets : (L, 3) metres; weights : (L,) in square metres of surface.
    lasting : keep the weight in all steps, for targets that are known exactly; otherwise it is lowered.
    """

    rows: sp.csr_matrix
    targets: np.ndarray
    weights: np.ndarray
    lasting: bool = False


@dataclass(frozen=True)
class Step:
    """One stage of the registration: ``stiffness`` and ``reach`` (largest distance to the scan) in metres."""

    stiffness: float
    reach: float
    repeats: int
    landmark_weight: float = 1.0
    tangential: float = 0.1


SCHEDULE = (
    Step(0.040, 0.030, 3),
    Step(0.020, 0.020, 4),
    Step(0.012, 0.012, 4, 0.5),
    Step(0.008, 0.008, 4, 0.25),
    Step(0.005, 0.006, 4, 0.1, 0.05),
    Step(0.0035, 0.005, 4, 0.05, 0.03),
)


def vertex_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) a third of the area of the triangles around each vertex."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return np.bincount(triangles.ravel(), np.repeat(area / 3, 3), minlength=len(vertices))


_LEAST_COTANGENT = 0.02
"""Least half cotangent: thinner slivers of the cage would make the plate too soft across them."""


def cotangent_laplacian(vertices: np.ndarray, triangles: np.ndarray) -> sp.csr_matrix:
    """(V, V) positive semi-definite stiffness matrix of linear elements (clamped cotangents)."""
    return surface_operators(vertices, triangles, _LEAST_COTANGENT).stiffness.tocsr()


def border_vertices(triangles: np.ndarray, count: int) -> np.ndarray:
    """(V,) bool, vertices on the border of a mesh."""
    border = np.zeros(count, bool)
    border[boundary_edges(triangles)] = True
    return border


@dataclass(frozen=True)
class Surface:
    """The surface that is registered onto the scan; ``matrix @ cage`` are its points.

    Attributes
    ----------
    matrix : (P, V) sparse, subdivision of the cage.
    triangles : (T, 3) of the surface.
    cage_triangles : (T2, 3) of the cage.
    weights : (P,) weight of each point's distance to the scan, 0 for points without a counterpart.
    floppiness : (V,) factor on the stiffness length of each cage vertex (1: normal, larger: stiffer).
    """

    matrix: sp.csr_matrix
    triangles: np.ndarray
    cage_triangles: np.ndarray
    weights: np.ndarray
    floppiness: np.ndarray


def register(
    cage: np.ndarray,
    surface: Surface,
    scan: TriangleMesh,
    pulls: Sequence[Pull] = (),
    schedule: Sequence[Step] = SCHEDULE,
    trusted: np.ndarray | None = None,
) -> np.ndarray:
    """Bend the cage (V, 3) onto the scan; both must be in the same frame and roughly aligned.

    ``trusted`` (scan vertices,) bool marks where the scan may be matched (default: everywhere except its border).
    """
    normals = vertex_normals(scan.vertices, scan.triangles)
    if trusted is None:
        trusted = ~border_vertices(scan.triangles, len(scan.vertices))
    for step in schedule:
        bend = _bending(cage, surface, step.stiffness)
        start = cage  # the bending energy is zero at the start of each step
        for _ in range(step.repeats):
            points = surface.matrix @ cage
            point_normals = vertex_normals(points, surface.triangles)
            corners, target, normal, distance = _counterparts(points, scan, normals)
            agree = np.clip(((point_normals * normal).sum(1) - 0.5) / 0.3, 0.0, 1.0)
            near = np.clip(2.0 - 2.0 * distance / step.reach, 0.0, 1.0)
            confidence = surface.weights * agree * near * trusted[corners].all(1)
            confidence = confidence * vertex_areas(points, surface.triangles)
            cage = _solve(start, surface.matrix, target, normal, confidence, pulls, step, bend)
    return cage


def _counterparts(
    points: np.ndarray, scan: TriangleMesh, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the scan's points closest to ``points`` (P, 3): corners (P, 3), positions and unit normals (P, 3), and the
    distances (P,). ``normals`` : of the scan's vertices."""
    triangle, weights, distance = closest_points(points, scan.vertices, scan.triangles)
    corners = scan.triangles[triangle]
    target = (scan.vertices[corners] * weights[..., None]).sum(1)
    normal = (normals[corners] * weights[..., None]).sum(1)
    return corners, target, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12), distance


def _bending(cage: np.ndarray, surface: Surface, stiffness: float) -> sp.csr_matrix:
    scale = sp.diags((stiffness * surface.floppiness) ** 2)
    laplacian = cotangent_laplacian(cage, surface.cage_triangles)
    areas = np.maximum(vertex_areas(cage, surface.cage_triangles), 1e-8)
    return (laplacian @ scale @ sp.diags(1.0 / areas) @ scale @ laplacian).tocsr()


def _solve(
    start: np.ndarray,
    matrix: sp.csr_matrix,
    target: np.ndarray,
    normal: np.ndarray,
    confidence: np.ndarray,
    pulls: Sequence[Pull],
    step: Step,
    bend: sp.csr_matrix,
) -> np.ndarray:
    """Minimise the quadratic energy in the displacement from ``start``; returns the new cage (V, 3)."""
    count = len(start)
    residual = target - matrix @ start  # (P, 3)
    # per point the 3 x 3 metric: n n^T + tangential * (I - n n^T)
    metric = (1.0 - step.tangential) * normal[:, :, None] * normal[:, None, :] + step.tangential * np.eye(3)
    metric *= confidence[:, None, None]
    pushed = np.einsum("pij,pj->pi", metric, residual)
    blocks = [[None] * 3 for _ in range(3)]
    right = np.stack([matrix.T @ pushed[:, axis] for axis in range(3)])
    diagonal = bend + sp.identity(count) * 1e-10
    for pull in pulls:
        strength = sp.diags(pull.weights * (1.0 if pull.lasting else step.landmark_weight))
        diagonal = diagonal + pull.rows.T @ strength @ pull.rows
        right += (pull.rows.T @ strength @ (pull.targets - pull.rows @ start)).T
    for i in range(3):
        for j in range(3):
            block = matrix.T @ sp.diags(metric[:, i, j]) @ matrix
            blocks[i][j] = block + diagonal if i == j else block
    # unknowns are interleaved (x0 y0 z0 x1 ...) so that the factorisation fills in less
    order = np.arange(3 * count).reshape(3, count).T.ravel()
    system = sp.bmat(blocks, format="csc")[order][:, order]
    solution = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(
        right.ravel()[order]
    )
    return start + solution.reshape(count, 3)


_NOISE = 0.0005
"""Metres, standard deviation of a patch of one square centimetre."""


@dataclass(frozen=True)
class ModelFit:
    """A fitted face: ``scale * rotation @ (mean + modes . coefficients) + translation`` lies on the scan."""

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
    iterations: int = 30,
) -> ModelFit:
    """Maximum-a-posteriori fit of a linear model to a scan.

    Parameters
    ----------
    mean : (V, 3); modes : (K, V, 3), one standard deviation each.
    matrix : (P, V) from the cage to the points that are fitted to the scan; triangles : (T, 3) of these points.
    weights : (P,) confidence of each point.
    landmark_rows : (L, V) sparse; landmark_targets : (L, 3) in the scan's frame.
    landmark_noise : standard deviation of a landmark in metres.
    """
    count = len(modes)
    scale, rotation, translation = fit_similarity(landmark_rows @ mean, landmark_targets)
    coefficients = np.zeros(count)
    normals = vertex_normals(scan.vertices, scan.triangles)
    border = border_vertices(scan.triangles, len(scan.vertices))
    mean_points, mean_landmarks = matrix @ mean, landmark_rows @ mean
    mode_points = np.stack([matrix @ mode for mode in modes]) if count else np.zeros((0, *mean_points.shape))
    mode_landmarks = (
        np.stack([landmark_rows @ mode for mode in modes]) if count else np.zeros((0, *mean_landmarks.shape))
    )
    areas = vertex_areas(mean_points, triangles) / 1e-4
    for iteration in range(iterations):
        local = mean_points + np.tensordot(coefficients, mode_points, 1)
        points = scale * local @ rotation.T + translation
        corners, target, normal, distance = _counterparts(points, scan, normals)
        point_normals = vertex_normals(points, triangles)
        reach = max(0.03 * 0.8**iteration, 0.006)
        trust = weights * areas * (~border[corners].any(1)) * ((point_normals * normal).sum(1) > 0.5)
        trust = trust * np.clip(2 - 2 * distance / reach, 0, 1)
        sigma = max(_NOISE * 4 * 0.85**iteration, _NOISE)
        rows = _rows(local, mode_points, scale, rotation)  # (P, 3, 7 + K)
        plane = np.einsum("pi,pij->pj", normal, rows)
        residual = ((target - points) * normal).sum(1)
        landmarks = mean_landmarks + np.tensordot(coefficients, mode_landmarks, 1)
        extra = _rows(landmarks, mode_landmarks, scale, rotation).reshape(-1, rows.shape[2])
        extra_residual = (landmark_targets - (scale * landmarks @ rotation.T + translation)).ravel()
        size = np.linalg.norm(extra_residual.reshape(-1, 3), axis=1)
        robust = np.repeat(1 / (1 + (size / (3 * landmark_noise)) ** 2), 3) / landmark_noise**2
        system = plane.T @ (plane * (trust / sigma**2)[:, None]) + extra.T @ (extra * robust[:, None])
        right = plane.T @ (residual * trust / sigma**2) + extra.T @ (extra_residual * robust)
        system[7:, 7:] += np.eye(count)
        right[7:] -= coefficients
        system += np.eye(len(system)) * 1e-9
        step = np.linalg.solve(system, right)
        rotation = Rotation.from_rotvec(step[:3]).as_matrix() @ rotation
        translation = translation + step[3:6]
        scale *= 1.0 + step[6]
        coefficients = coefficients + step[7:]
    cage = scale * (mean + np.tensordot(coefficients, modes, 1)) @ rotation.T + translation
    return ModelFit(coefficients, scale, rotation, translation, cage)


def _rows(local: np.ndarray, modes: np.ndarray, scale: float, rotation: np.ndarray) -> np.ndarray:
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
