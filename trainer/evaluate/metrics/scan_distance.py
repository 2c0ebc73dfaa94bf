"""Distance from a true scan to a reconstructed mesh, as in the NoW benchmark (Sanyal et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from backend.geometry.similarity import Similarity, nearest_similarity
from trainer.data.raytrace.bvh import build_bvh, closest_points

ICP_PASSES = 40
CROP_FACTOR = 0.7


@dataclass(frozen=True)
class ScanDistance:
    """Distances (N,) in millimetres from the cropped scan's vertices, the alignment (mesh to scan frame) that was used,
    and
    the ids (N,) of the chosen scan vertices."""

    millimetres: np.ndarray
    alignment: Similarity
    chosen: np.ndarray

    @property
    def median(self) -> float:
        """Median in millimetres."""
        return float(np.median(self.millimetres))

    @property
    def mean(self) -> float:
        """Mean in millimetres."""
        return float(self.millimetres.mean())

    @property
    def deviation(self) -> float:
        """Standard deviation in millimetres."""
        return float(self.millimetres.std())


def crop_radius(seven: np.ndarray, bridge: np.ndarray) -> float:
    """Radius around the nose tip within which scan points count: 0.7 times the sum of the outer eye corners' distance
    and the nose's length (bridge between the eyes to the nose's base).

    ``seven`` (7, 3): outer and inner corner of the right eye, inner and outer corner of the left, base of the nose,
    right and left corner of the mouth; ``bridge`` (3,).
    """
    return float(CROP_FACTOR * (np.linalg.norm(seven[0] - seven[3]) + np.linalg.norm(bridge - seven[4])))


def scan_to_mesh(
    scan: np.ndarray,
    scan_seven: np.ndarray,
    nose_tip: np.ndarray,
    bridge: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    seven: np.ndarray,
) -> ScanDistance:
    """Align a mesh to a scan (seven points, then closest points; rotation, translation and scale) and measure the
    distance.

    Parameters
    ----------
    scan : (S, 3) metres, true scale; scan_seven (7, 3), nose_tip (3,), bridge (3,) on it. Points farther than
        ``crop_radius`` from the nose tip are left out.
    vertices, faces : the reconstruction, (V, 3) in any unit and frame, triangles (F, 3); seven (7, 3) on it.
    """
    chosen = np.flatnonzero(np.linalg.norm(scan - nose_tip, axis=1) < crop_radius(scan_seven, bridge))
    points = scan[chosen]
    start = nearest_similarity(seven, scan_seven)
    alignment = refine_alignment(points, vertices, faces, start)
    placed = alignment.apply(vertices)
    _, distance, _ = closest_points(build_bvh(placed, faces), points)
    return ScanDistance(distance * 1000, alignment, chosen)


def refine_alignment(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, start: Similarity, passes: int = ICP_PASSES
) -> Similarity:
    """Similarity of the mesh that minimises the squared point-to-triangle distance of ``points`` (N, 3).

    Each iteration pairs every point with its closest point on the mesh and takes one Gauss-Newton step of the residuals
    along the line between them (along the triangle's normal where they coincide), with scale as a seventh unknown.
    """
    scale, rotation, translation = start.scale, start.rotation.copy(), start.translation.copy()
    middle = points.mean(0)
    best, best_error = start, np.inf
    # the hierarchy is in the mesh's own frame; points are transformed there, which only scales all distances
    bvh = build_bvh(vertices, faces)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    for _ in range(passes):
        local = (points - translation) @ rotation / scale
        hit, distance, barycentrics = closest_points(bvh, local)
        error = float((distance * scale) @ (distance * scale))
        if error < best_error:
            gain = best_error - error
            best, best_error = Similarity(scale, rotation.copy(), translation.copy()), error
            if np.isfinite(gain) and gain < 1e-7 * error:
                break
        closest = (corners[hit] * barycentrics[:, :, None]).sum(1)
        placed = scale * closest @ rotation.T + translation
        away = points - placed
        length = np.linalg.norm(away, axis=1, keepdims=True)
        direction = np.where(length > 1e-7, away / np.maximum(length, 1e-12), normals[hit] @ rotation.T)
        offset = placed - middle
        # placed moves by w x offset + t + s offset; its component along ``direction`` should cancel ``away``
        rows = np.concatenate(
            [np.cross(offset, direction), direction, (offset * direction).sum(1, keepdims=True)], axis=1
        )
        step = np.linalg.lstsq(rows, (away * direction).sum(1), rcond=None)[0]
        turn, grow = Rotation.from_rotvec(step[:3]).as_matrix(), 1 + step[6]
        rotation = turn @ rotation
        translation = grow * turn @ (translation - middle) + middle + step[3:6]
        scale *= grow
    return best
