"""The sets' own ways of measuring: MICC's 95 mm, BU-3DFE, 3DFAW's correlation, AFLW2000's NME.

NoW and REALY are scored by their own scripts (``official``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from protocol.similarity import fit_similarity
from trainer.heads.surface import Closest
from trainer.measures.metrics import refine_alignment, scan_to_mesh

METRES_TO_MM = 1000.0
MICC_RADIUS = 0.095
"""Metres around the nose tip (Genova et al. 2018)."""
YAWS = (30.0, 60.0, 180.0)
"""Upper ends in degrees, each in its group, of AFLW2000's protocol (Zhu et al. 2016): the last is called 60 to 90, and
3DDFA's script leaves nothing out above."""


@dataclass(frozen=True)
class Shape:
    """A reconstruction: vertices (V, 3) in any unit, faces (F, 3); on it seven (7, 3) as in ``SCAN_FIELDS``, and iBUG's
    marks (68, 3)."""

    vertices: np.ndarray
    faces: np.ndarray
    seven: np.ndarray
    marks: np.ndarray


def now_distances(sample: Mapping[str, np.ndarray], shape: Shape) -> np.ndarray:
    """(N,) millimetres from the scan's vertices within NoW's radius to the mesh, after a similarity by seven points and
    its refinement to the closest points (Sanyal et al. 2019)."""
    entries = (sample[name].astype(np.float64) for name in ("vertices", "seven", "nose_tip", "bridge"))
    return scan_to_mesh(*entries, shape.vertices, shape.faces, shape.seven).millimetres


def micc_error(sample: Mapping[str, np.ndarray], shape: Shape) -> float:
    """Mean distance in millimetres from the scan's vertices within 95 mm of the nose tip to the planes of their closest
    triangles, after alignment as in ``now_distances``."""
    scan = sample["vertices"].astype(np.float64)
    points = scan[np.linalg.norm(scan - sample["nose_tip"], axis=1) < MICC_RADIUS]
    start = fit_similarity(shape.seven, sample["seven"])
    placed = refine_alignment(points, shape.vertices, shape.faces, start).apply(shape.vertices)
    hit, barycentrics, _ = Closest(placed, shape.faces)(points)
    corners = placed[shape.faces[hit]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    away = points - (corners * barycentrics[:, :, None]).sum(1)
    return float(np.abs((away * normals).sum(1)).mean() * METRES_TO_MM)


def depth_correlation_sum(predicted: np.ndarray, true: np.ndarray) -> float:
    """3DFAW's score (Moniz et al. 2018): the sum over keypoints of the correlation, over faces, of their depths.

    predicted, true : (faces, keypoints), each face's depths relative to its mean and in units of its width. The set's
    sign of depth is not documented, so the score is the absolute value of the sum. NaN rows are left out.
    """
    known = np.isfinite(predicted).all(1) & np.isfinite(true).all(1)
    a, b = (values[known] - values[known].mean(0) for values in (predicted, true))
    spread = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return float(abs(((a * b).sum(0) / np.maximum(spread, 1e-12)).sum())) if known.sum() > 1 else float("nan")


def box_nme(predicted: np.ndarray, true: np.ndarray) -> float:
    """AFLW2000's NME: mean distance of landmarks (68, 2), per cent of the root of their bounding box's area."""
    sides = true[:, :2].max(0) - true[:, :2].min(0)
    return float(100 * np.linalg.norm(predicted[:, :2] - true[:, :2], axis=1).mean() / np.sqrt(sides.prod()))


def by_yaw(errors: np.ndarray, yaws: np.ndarray) -> dict[str, float]:
    """Means of errors (N,) in the groups of ``YAWS`` of the absolute yaws (N,) in degrees, and the groups' mean."""
    means = []
    for low, high in zip((-1.0, *YAWS), YAWS, strict=False):
        chosen = (np.abs(yaws) > low) & (np.abs(yaws) <= high) & np.isfinite(errors)
        means.append(float(errors[chosen].mean()) if chosen.any() else float("nan"))
    names = ("nme.0_30", "nme.30_60", "nme.60_90")
    return dict(zip(names, means, strict=True)) | {
        "nme": float(np.nanmean(means)) if np.isfinite(means).any() else np.nan
    }


def three_views(yaws: Sequence[float]) -> list[int]:
    """Numbers of the photos that face most to the left, to the front and to the right (MVF-Net's protocol)."""
    turned = np.asarray(yaws)
    return list(dict.fromkeys([int(turned.argmin()), int(np.abs(turned).argmin()), int(turned.argmax())]))
