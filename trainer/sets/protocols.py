"""The sets' own ways of measuring: NoW, MICC's 95 mm, BU-3DFE, REALY, 3DFAW's correlation, AFLW2000's NME."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from protocol.similarity import Similarity, fit_similarity
from trainer.heads.surface import Closest
from trainer.measures.metrics import refine_alignment, scan_to_mesh

METRES_TO_MM = 1000.0
MICC_RADIUS = 0.095
"""Metres around the nose tip (Genova et al. 2018)."""
YAWS = (30.0, 60.0, 90.0)
"""Upper ends in degrees of the three groups of AFLW2000's protocol (Zhu et al. 2016)."""


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
    edges = (0.0, *YAWS)
    means = []
    for low, high in zip(edges, YAWS, strict=False):
        chosen = (np.abs(yaws) >= low) & (np.abs(yaws) < high) & np.isfinite(errors)
        means.append(float(errors[chosen].mean()) if chosen.any() else float("nan"))
    names = [f"nme.{low:.0f}_{high:.0f}" for low, high in zip(edges, YAWS, strict=False)]
    return dict(zip(names, means, strict=True)) | {
        "nme": float(np.nanmean(means)) if np.isfinite(means).any() else np.nan
    }


SEVEN = (36, 39, 42, 45, 33, 48, 54)
"""REALY's keypoints of the global alignment, of iBUG's 68."""
_MOUTH, _EYES, _BROWS, _NOSE = (*range(48, 61), 64), tuple(range(36, 48)), tuple(range(17, 27)), tuple(range(27, 36))
REGIONS: Mapping[str, tuple[int, ...]] = {
    "nose": _NOSE,
    "mouth": _MOUTH,
    "forehead": (*_EYES, *_BROWS),
    "cheek": (*_MOUTH, *(k for k in _EYES if k not in (37, 38, 43, 44)), 7, 8, 9),
}
"""Keypoints of iBUG's 68 that hold each region in the regional alignment."""
_KEYPOINT_SHARE: Mapping[str, float] = {"nose": 1.0, "mouth": 1.0, "forehead": 1.0, "cheek": 0.25}
"""Weight of all keypoints together relative to that of all vertices of the region."""
_PASSES = 100
_STIFFNESS = (150.0, 50.0, 50.0 * np.exp(-0.5), 50.0 * np.exp(-1.0))
"""Stiffness of the four stages; the first moves the keypoints alone."""
_KEYPOINT_WEIGHT, _KEYPOINT_FADE = 50.0, 0.9
_STEPS = 10
_RIGID = 1e-6
"""Weight of the identity, so that few keypoints give one solution."""


def realy_errors(sample: Mapping[str, np.ndarray], shape: Shape) -> dict[str, float]:
    """REALY's errors in millimetres (Chai et al. 2022): for each region the mesh is aligned rigidly to the scan's part,
    the part is deformed onto the mesh, and the error is the mean distance of its vertices from where they arrive.

    The published keypoints beyond iBUG's 68 are not used. Global scale by seven keypoints, as published.
    """
    keypoints = sample["keypoints"][: len(shape.marks)]
    start = fit_similarity(shape.marks[list(SEVEN)], keypoints[list(SEVEN)])
    vertices, marks = start.apply(shape.vertices), start.apply(shape.marks)
    errors = {}
    for region, chosen in REGIONS.items():
        scan, triangles = sample[f"{region}.vertices"], sample[f"{region}.triangles"]
        pull = _KEYPOINT_SHARE[region]
        motion = region_alignment(scan, vertices, shape.faces, marks[list(chosen)], keypoints[list(chosen)], pull)
        placed, faces = motion.apply(vertices), shape.faces
        closest = Closest(placed, faces)
        held = () if region == "cheek" else tuple(chosen)
        targets = motion.apply(marks[list(held)]) if held else np.zeros((0, 3))
        near = np.array([int(np.argmin(np.linalg.norm(scan - keypoints[k], axis=1))) for k in held], np.int64)
        deformed = deformed_region(scan, triangles, closest, placed, faces, near, targets)
        arrived = _closest(closest, placed, faces, deformed)
        errors[region] = float(np.linalg.norm(arrived - scan, axis=1).mean() * float(sample["scale"]))
    return errors | {"all": float(np.mean(list(errors.values())))}


def region_alignment(
    scan: np.ndarray, vertices: np.ndarray, faces: np.ndarray, marks: np.ndarray, keypoints: np.ndarray, pull: float
) -> Similarity:
    """Rigid motion of a mesh to a part of a scan: closest points and keypoints (K, 3), which weigh ``pull`` times as
    much as all vertices of the scan together, until the error changes by less than a millionth."""
    motion, before, closest = Similarity(1.0, np.eye(3), np.zeros(3)), np.inf, Closest(vertices, faces)
    weights = np.concatenate([np.ones(len(scan)), np.full(len(marks), pull * len(scan) / len(marks))])
    for _ in range(_PASSES):
        local = (scan - motion.translation) @ motion.rotation
        source = np.concatenate([_closest(closest, vertices, faces, local), marks])
        target = np.concatenate([scan, keypoints])
        motion = fit_similarity(source, target, weights, scale=1.0)
        error = float(weights @ ((motion.apply(source) - target) ** 2).sum(1) / weights.sum())
        if abs(before - error) < 1e-6:
            break
        before = error
    return motion


def deformed_region(
    scan: np.ndarray,
    triangles: np.ndarray,
    closest: Closest,
    vertices: np.ndarray,
    faces: np.ndarray,
    held: np.ndarray,
    targets: np.ndarray,
) -> np.ndarray:
    """(N, 3) the scan's part deformed onto a mesh by an affine map per vertex with a stiffness between neighbours
    (Amberg et al., CVPR 2007, equation 12), in REALY's four stages. held (K,) : vertices drawn to targets (K, 3)."""
    edges = np.unique(
        np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1), axis=0
    )
    count, ones = len(scan), np.ones(len(edges))
    rows = np.arange(len(edges))
    arcs = sp.coo_matrix(
        (np.concatenate([ones, -ones]), (np.tile(rows, 2), edges.T.ravel())), shape=(len(edges), count)
    )
    smooth = sp.kron(arcs, sp.eye(4)).tocsr()
    stiff, moved, turn = (smooth.T @ smooth).tocsc(), scan.copy(), 0
    still = np.tile(np.eye(4)[:, :3], (count, 1))  # the identity for every vertex
    for stage, stiffness in enumerate(_STIFFNESS):
        if stage == 0 and not len(held):
            continue
        for _ in range(1 if stage == 0 else _STEPS):
            goal = _closest(closest, vertices, faces, moved)
            apart = np.linalg.norm(goal - moved, axis=1)
            weight = np.zeros(count) if stage == 0 else (apart < max(2 * apart.mean(), 1.0)).astype(np.float64)
            fade = 1.0 if stage == 0 else np.exp(-_KEYPOINT_FADE * turn) / 10
            pull = np.zeros(count)
            pull[held] = _KEYPOINT_WEIGHT * fade
            aim = goal.copy()
            aim[held] = targets
            corner = np.arange(count)
            data = np.column_stack([moved, np.ones(count)])
            at = (np.repeat(corner, 4), np.arange(4 * count))
            both = weight**2 + pull**2
            operator = sp.coo_matrix((data.ravel(), at), shape=(count, 4 * count)).tocsr()
            right = operator.T @ ((weight**2)[:, None] * goal + (pull**2)[:, None] * aim)
            left = stiffness**2 * stiff + (operator.T @ sp.diags(both) @ operator) + _RIGID * sp.eye(4 * count)
            after = operator @ splu(left.tocsc()).solve(right + _RIGID * still)
            change, moved, turn = float(np.abs(after - moved).max()), after, turn + 1
            if change < 1e-3:
                break
    return moved


def _closest(closest: Closest, vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    hit, barycentrics, _ = closest(points)
    return (vertices[faces[hit]] * barycentrics[:, :, None]).sum(1)


def three_views(yaws: Sequence[float]) -> list[int]:
    """Numbers of the photos that face most to the left, to the front and to the right (MVF-Net's protocol)."""
    turned = np.asarray(yaws)
    return list(dict.fromkeys([int(turned.argmin()), int(np.abs(turned).argmin()), int(turned.argmax())]))
