"""Metrics as pure functions: errors of scans (as NoW has them, Sanyal et al. 2019), shapes and pictures,
identity distance (dlib's 128-D network, for evaluation only), verification; and intervals over people by bootstrap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.fitting.solver import populations
from backend.geometry.closest import Closest
from backend.geometry.surface_fields import surface_operators
from backend.geometry.template import Template, triangles_from_quads
from backend.photos.faces import landmarks_of_largest
from protocol.similarity import Similarity, fit_similarity

RESAMPLES = 2000
"""Bootstrap resamples, enough to determine the ends of a 95 % interval to about a twentieth of its width."""


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def figures(self, name: str) -> dict[str, float]:
        """Return ``name``, ``name.low`` and ``name.high``."""
        return {name: self.value, f"{name}.low": self.low, f"{name}.high": self.high}


def mean_interval(values: np.ndarray, seed: int = 0) -> Interval:
    """Mean of (N,) values, one per person, with its interval; people without a value (NaN) are left out."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return Interval(np.nan, np.nan, np.nan)
    means = known[draws(len(known), seed)].mean(1)
    return Interval(float(known.mean()), *np.quantile(means, [0.025, 0.975]).tolist())


def ratio_interval(above: np.ndarray, below: np.ndarray, seed: int = 0) -> Interval:
    """Ratio of two means over the same people, (N,) each, with its interval; people without a value are left out."""
    pair = np.asarray([above, below], np.float64)
    pair = pair[:, np.isfinite(pair).all(0)]
    if not pair.shape[1]:
        return Interval(np.nan, np.nan, np.nan)
    picked = pair[:, draws(pair.shape[1], seed)].mean(2)  # (2, R)
    ratio = float(pair[0].mean() / pair[1].mean())
    return Interval(ratio, *np.quantile(picked[0] / picked[1], [0.025, 0.975]).tolist())


def draws(size: int, seed: int) -> np.ndarray:
    """(RESAMPLES, N) indices of people, drawn with replacement."""
    return np.random.default_rng(seed).integers(0, size, (RESAMPLES, size))


@lru_cache(maxsize=1)
def _recogniser():
    try:
        import face_recognition
    except (ImportError, SystemExit) as problem:
        raise LikenessError(
            "missing_part",
            "The identity distance needs the package face_recognition.",
            "Install dlib-bin and, with --no-deps, face_recognition_models and face_recognition (and setuptools<81).",
        ) from problem
    return face_recognition


Box = tuple[int, int, int, int]
"""Top, right, bottom, left of a face in pixels."""


def face_embedding(picture: np.ndarray) -> np.ndarray | None:
    """(128,) embedding of the largest face of an (H, W, 3) uint8 sRGB picture; None when no face is found."""
    recogniser = _recogniser()
    picture = np.ascontiguousarray(picture)
    boxes = recogniser.face_locations(picture) or recogniser.face_locations(picture, number_of_times_to_upsample=2)
    if not boxes:
        box = _detected_box(picture)
        if box is None:
            return None
        boxes = [box]
    return embedding_in(picture, max(boxes, key=lambda box: (box[2] - box[0]) * (box[1] - box[3])))


def embedding_in(picture: np.ndarray, box: Box) -> np.ndarray:
    """(128,) embedding of the face in a box of an (H, W, 3) uint8 sRGB picture."""
    return np.asarray(_recogniser().face_encodings(np.ascontiguousarray(picture), [box], model="large")[0])


def _detected_box(picture: np.ndarray) -> Box | None:
    """``dlib_box`` of the detected landmarks."""
    marks = landmarks_of_largest(picture)
    return None if marks is None else dlib_box(marks)


def dlib_box(marks: np.ndarray) -> Box:
    """dlib's framing of a face (brows to chin, square) from MediaPipe landmarks (468 or more, 2 or 3) in pixels."""
    top, bottom = marks[[70, 300, 105, 334], 1].min(), marks[152, 1]
    x, y, half = marks[:468, 0].mean(), (top + bottom) / 2, 0.52 * (bottom - top)
    return int(y - half), int(x + half), int(y + half), int(x - half)


ICP_PASSES = 40
CROP_FACTOR = 0.7


@dataclass(frozen=True)
class ScanDistance:
    """Distances (N,) in millimetres from the cropped scan's vertices, the alignment (mesh to scan frame) that was used
    and the ids (N,) of the chosen scan vertices."""

    millimetres: np.ndarray
    alignment: Similarity
    chosen: np.ndarray

    @property
    def median(self) -> float:
        """Median in millimetres."""
        return float(np.median(self.millimetres))


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
    start = fit_similarity(seven, scan_seven)
    closest = Closest(start.apply(vertices), faces)
    more = refine_alignment(points, closest)
    distance = closest(more.undone(points))[2] * more.scale
    whole = Similarity(more.scale * start.scale, more.rotation @ start.rotation, more.apply(start.translation))
    return ScanDistance(distance * 1000, whole, chosen)


def signed_errors(
    scan: np.ndarray, closest: Closest, faces: np.ndarray, regions: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Region -> median millimetres along the mesh's normal by which a mesh lies outside a scan, NaN without points.

    scan : (S, 3) metres. closest : to the mesh, aligned to it, metres, faces (F, 3). regions : name -> (V,) bool."""
    hit, weights, distance = closest(scan)
    away = (closest.corners[hit] * weights[..., None]).sum(1) - scan
    outside = np.sign((away * closest.normals[hit]).sum(1)) * distance * 1000
    nearest = faces[hit, weights.argmax(1)]
    return {
        name: float(np.median(outside[chosen[nearest]])) if chosen[nearest].any() else np.nan
        for name, chosen in regions.items()
    }


def refine_alignment(points: np.ndarray, closest: Closest, passes: int = ICP_PASSES) -> Similarity:
    """Similarity of a mesh that minimises the squared point-to-triangle distance of ``points`` (N, 3).

    Each iteration pairs every point with its closest point on the mesh and takes one Gauss-Newton step of the residuals
    along the line between them (along the triangle's normal where they coincide), with scale as a seventh unknown.
    """
    now = best = Similarity(1.0, np.eye(3), np.zeros(3))
    middle, best_error = points.mean(0), np.inf
    # the search is in the mesh's own frame; points are transformed there, which only scales all distances
    for _ in range(passes):
        hit, barycentrics, distance = closest(now.undone(points), exact=False)
        error = float((distance * now.scale) @ (distance * now.scale))
        if error < best_error:
            gain = best_error - error
            best, best_error = now, error
            if np.isfinite(gain) and gain < 1e-7 * error:
                break
        spots = (closest.corners[hit] * barycentrics[:, :, None]).sum(1)
        placed = now.apply(spots)
        away = points - placed
        length = np.linalg.norm(away, axis=1, keepdims=True)
        direction = np.where(length > 1e-7, away / np.maximum(length, 1e-12), closest.normals[hit] @ now.rotation.T)
        offset = placed - middle
        # placed moves by w x offset + t + s offset; its component along ``direction`` should cancel ``away``
        rows = np.concatenate(
            [np.cross(offset, direction), direction, (offset * direction).sum(1, keepdims=True)], axis=1
        )
        step = np.linalg.lstsq(rows, (away * direction).sum(1), rcond=None)[0]
        turn, grow = Rotation.from_rotvec(step[:3]).as_matrix(), 1 + step[6]
        translation = grow * turn @ (now.translation - middle) + middle + step[3:6]
        now = Similarity(now.scale * grow, turn @ now.rotation, translation)
    return best


NOISE_MM = 0.7
"""Millimetres per coordinate, standard deviation of a face's residual from the template's modes. They miss ICT's faces
by 1.17 mm per vertex with known correspondence, which is 0.7 mm along each axis."""
_FACE, _MOUTH = 0.5, 0.3
"""Region weights: above the first a vertex belongs to the face; below the second it is outside the mouth's interior."""


def face_weights(template: Template) -> np.ndarray:
    """(V,) share of each template vertex in the face's area, without the mouth's interior; sums to 1."""
    head = template.head
    triangles = triangles_from_quads(template.quads[head.face_start : head.face_stop]).astype(np.int64)
    areas = surface_operators(template.vertices.astype(np.float64), triangles).mass
    inside = (template.regions["face"] > _FACE) & (template.regions["mouth_interior"] < _MOUTH)
    weights = np.where(inside, areas, 0.0)
    return weights / weights.sum()


def aligned_faces(template: Template, neutrals: Sequence[np.ndarray]) -> np.ndarray:
    """(N, F, 3) millimetres from the template's face to each neutral (V, 3), at the face's F vertices, after aligning
    it to the template's face by a similarity."""
    weights = face_weights(template)
    chosen = weights > 0
    mean, share = template.vertices[chosen].astype(np.float64), weights[chosen]
    rows = []
    for neutral in neutrals:
        face = np.asarray(neutral, dtype=np.float64)[chosen]
        rows.append(fit_similarity(face, mean, share).apply(face) - mean)
    return 1000 * np.stack(rows)


def plain_distances(template: Template, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) root mean square distance over the face's area, millimetres, of ``aligned_faces`` (N, F, 3), (M, F, 3)."""
    share = face_weights(template)
    root = np.sqrt(share[share > 0])[:, None]
    return cdist((first * root).reshape(len(first), -1), (second * root).reshape(len(second), -1))


def whitened_distances(template: Template, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) distances of ``aligned_faces`` in standard deviations of people.

    Each face is converted to its most probable identity coefficients under the population's mean and covariance, with
    independent noise of ``NOISE_MM`` at every vertex. Coefficients are compared by the Mahalanobis distance, so that
    directions with little variation among people count as much as those with most.
    """
    chosen = face_weights(template) > 0
    modes = 1000 * template.identity_modes[:, : len(chosen)][:, chosen].astype(np.float64)
    flat = modes.reshape(len(modes), -1)
    still = _similarity_directions(template.vertices[chosen].astype(np.float64))
    flat = flat - (flat @ still) @ still.T
    known = populations()
    covariance = np.eye(len(modes)) if known is None else known[1]
    root = np.linalg.cholesky(covariance)
    white = root.T @ flat  # (K, 3 F): independent modes of unit variance
    system = white @ white.T + NOISE_MM**2 * np.eye(len(white))
    codes = [np.linalg.solve(system, white @ faces.reshape(len(faces), -1).T).T for faces in (first, second)]
    return cdist(*codes)


def _similarity_directions(points: np.ndarray) -> np.ndarray:
    """(3 F, 7) orthonormal directions of translation, rotation and scaling of ``points`` (F, 3)."""
    moved = points - points.mean(0)
    directions = [np.tile(axis, (len(points), 1)) for axis in np.eye(3)]
    directions += [np.cross(axis, moved) for axis in np.eye(3)] + [moved]
    return np.linalg.qr(np.stack([one.ravel() for one in directions], 1))[0]


def area_under_curve(distances: np.ndarray) -> float:
    """Probability that a pair of one person's shapes is nearer than a pair of two people's; a tie counts as a half.

    distances : (N, N), row i: the probe of person i, column j: the gallery's shape of person j.
    """
    return float(areas_of_resamples(distances, np.ones((1, len(distances))))[0])


def areas_of_resamples(distances: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(R,) ``area_under_curve`` with person j taken counts[r, j] times, NaN where only one person is left. Copies of a
    person count as the same person."""
    first, second = np.nonzero(~np.eye(len(distances), dtype=bool))
    order = np.argsort(distances[first, second])
    first, second = first[order], second[order]
    others, same = distances[first, second], np.diag(distances)
    nearer, not_farther = (np.searchsorted(others, same, side) for side in ("left", "right"))
    areas = np.full(len(counts), np.nan)
    for row, times in enumerate(np.asarray(counts, dtype=np.float64)):
        sums = np.concatenate([[0.0], np.cumsum(times[first] * times[second])])
        if sums[-1] > 0:
            areas[row] = times @ (1 - (sums[nearer] + sums[not_farther]) / 2 / sums[-1]) / times.sum()
    return areas


def first_ranks(distances: np.ndarray) -> np.ndarray:
    """(N,) 1 where the nearest in the gallery is the probe's own person, else 0; a tie of k counts as 1/k."""
    nearest = distances == distances.min(1, keepdims=True)
    return np.diag(nearest) / nearest.sum(1)


def area_interval(distances: np.ndarray, seed: int = 0) -> Interval:
    """``area_under_curve`` with its interval over people, each resampled as probe and gallery together."""
    values = _areas(distances, seed)
    return Interval(area_under_curve(distances), *np.nanquantile(values, [0.025, 0.975]).tolist())


def area_gain(distances: np.ndarray, others: np.ndarray, seed: int = 0) -> Interval:
    """Gain of the area of ``distances`` over that of ``others`` (N, N), of the same people; the interval is of the
    paired difference."""
    gains = _areas(distances, seed) - _areas(others, seed)
    value = area_under_curve(distances) - area_under_curve(others)
    return Interval(value, *np.nanquantile(gains, [0.025, 0.975]).tolist())


def rank_interval(distances: np.ndarray, seed: int = 0) -> Interval:
    """Rank-1 rate with its interval over the probes; the gallery stays fixed."""
    ranks = first_ranks(distances)
    return mean_interval(ranks, seed)


def _areas(distances: np.ndarray, seed: int) -> np.ndarray:
    """(R,) areas of people drawn with replacement."""
    size = len(distances)
    counts = np.stack([np.bincount(drawn, minlength=size) for drawn in draws(size, seed)])
    return areas_of_resamples(distances, counts)
