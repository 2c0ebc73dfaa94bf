"""The held-out heads of ``faces3d``, photographed, with their true shape.

SIMPOP 15-20 are face masks without eyes, ears or colour. Each is completed to a whole head by the most probable
ICT-FaceKit head whose face matches it (the conditional mean of the head given its face; Blanz et al., "A statistical
method for robust 3D surface reconstruction from sparse data", 2004); a smooth field removes what is left and fades out
behind the mask's border. ``REAL`` are scans of real people, ``james`` in his own colours. Never used for training.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse

from backend.geometry.normals import vertex_normals
from backend.geometry.surface_fields import smooth_field, surface_operators
from backend.geometry.template import load_template
from trainer.engine.disk_cache import cache_folder, content_key, save_arrays
from trainer.heads.drawing import draw_shot
from trainer.heads.dressed import BRIDGE, NOSE_TIP, SEEN_FROM, Head, face_middle, head_photos
from trainer.heads.foreign import EYES_OPEN, ict_population, real_head
from trainer.heads.ict import EYES, SKIN_STOP, load_ict, read_simulated
from trainer.heads.population import SIMULATED_FIT_LANDMARKS, border_vertices, counterparts, fit_model, ict_carrier
from trainer.heads.surface import Closest, TriangleMesh, facing, find_surface_landmarks, visible

SIMPOP_HELD_OUT = tuple(f"SIMPOP_{index}" for index in range(15, 21))
REAL = ("james", *(name for name in EYES_OPEN if name != "james"))
HELD_OUT = (*SIMPOP_HELD_OUT, *REAL)
PHOTOGRAPHED_METRES = 0.0006
"""Metres; scan points farther than this from the photographed surface (mostly the eyes) are not evaluated."""
ALIGNMENT_LANDMARKS = (33, 133, 362, 263, 2, 61, 291)
"""MediaPipe ids of the seven alignment points: the corners of the eyes from the person's right to the left, the base of
the nose, the corners of the mouth."""
TRAGUS_X, TRAGUS_YZ = 0.0745, (0.012, 0.012)
COMPLETED = "v1"
"""Version of the heads that continue the simulated faces."""
PULLS, STIFFNESS, FADING, REACH = 12, 0.0015, 0.016, 0.012
"""Passes that lay a head onto a scan; metres over which the field is smooth, and fades behind the scan; metres beyond
which a point of the scan is another part's."""
LIDS = 0.0175
"""Metres from an eyeball's middle within which skin carries it along."""
PHOTOS, FIRST_SEED = 6, 1000


@dataclass(frozen=True)
class ScanTruth:
    """A person's true shape as ground truth. One frame: metres, looking along +z, y up.

    Attributes
    ----------
    name : ``SIMPOP_15`` and so on.
    scan_vertices : (N, 3) true surface points. seven : (7, 3) alignment points on the scan, order of
    ``ALIGNMENT_LANDMARKS``. nose_tip, bridge (between the eyes) : (3,).
    ears : (2, 3) the tragi, left and right of the person (NaN when the scan has none).
    """

    name: str
    scan_vertices: np.ndarray
    seven: np.ndarray
    nose_tip: np.ndarray
    bridge: np.ndarray
    ears: np.ndarray


@dataclass(frozen=True)
class ScanHead:
    """A held-out head: its shape, limited to points that are visible in photographs, and what is photographed."""

    truth: ScanTruth
    head: Head


def truth_from_marks(name: str, scan_vertices: np.ndarray, marks: np.ndarray, ears: np.ndarray) -> ScanTruth:
    """Make a ``ScanTruth`` with points from MediaPipe landmarks (478, 3) on the scan."""
    return ScanTruth(name, scan_vertices, marks[list(ALIGNMENT_LANDMARKS)], marks[NOSE_TIP], marks[BRIDGE], ears)


def tragus_ids() -> tuple[int, int]:
    """Return the ICT vertex ids of the left and the right tragus, nearest to two fixed places on the neutral face."""
    neutral = load_ict().neutral[:SKIN_STOP]
    left, right = (int(np.argmin(np.linalg.norm(neutral - [x, *TRAGUS_YZ], axis=1))) for x in (TRAGUS_X, -TRAGUS_X))
    return left, right


@lru_cache(maxsize=2)
def scan_head(name: str) -> ScanHead:
    """Make a held-out head by name; raises ``KeyError`` for others, ``FileNotFoundError`` without the shared data."""
    if name in REAL:
        head = real_head(name)
        return ScanHead(truth_from_marks(name, head.vertices[head.measured], head.marks, np.full((2, 3), np.nan)), head)
    if name not in SIMPOP_HELD_OUT:
        raise KeyError(f"{name} is not one of the held-out heads {', '.join(HELD_OUT)}")
    scan = read_simulated(int(name[-2:]))
    cached = cache_folder() / f"completed_{name}_{content_key(COMPLETED, scan.vertices, load_ict().neutral)}.npz"
    if not cached.exists():
        save_arrays(cached, **dict(zip(("head", "scan", "marks"), completed(scan), strict=True)))
    with np.load(cached) as data:
        vertices, points, marks = data["head"], data["scan"], data["marks"]
    distance = Closest(vertices[:SKIN_STOP], load_ict().skin)(points)[2]
    truth = truth_from_marks(name, points[distance < PHOTOGRAPHED_METRES], marks, vertices[list(tragus_ids())])
    return ScanHead(truth, ict_population().head(vertices))


def completed(scan: TriangleMesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A whole head on a face scan: ICT's vertices (V, 3), the scan's (N, 3), both upright and at the scan's scale, and
    the landmarks (478, 3) found on the scan."""
    model, topology, count = load_ict(), ict_population(), EYES[1][1]
    found = find_surface_landmarks(scan.vertices, scan.triangles, (scan.vertices.max(0) + scan.vertices.min(0)) / 2)
    chosen = [k for k in SIMULATED_FIT_LANDMARKS if found.found[k]]
    corners = np.concatenate([topology.skin, *topology.eyes])[topology.marks.faces[chosen]]
    place = np.repeat(np.arange(len(chosen)), 3), corners.ravel()
    rows = sparse.csr_matrix((topology.marks.barycentrics[chosen].ravel(), place), shape=(len(chosen), count))
    middle = face_middle(topology.marks.positions)
    cameras = [facing(yaw, middle) for yaw in SEEN_FROM]
    seen = visible(model.neutral[:SKIN_STOP], model.neutral, model.visible, cameras).astype(float)
    fit = fit_model(
        model.neutral[:count], model.identity[:, :count].astype(np.float64),
        sparse.identity(count, format="csr")[:SKIN_STOP], model.skin, seen, scan, rows, found.positions[chosen],
    )  # fmt: skip
    upright = TriangleMesh((scan.vertices - fit.translation) @ fit.rotation, scan.triangles)
    marks, head = (found.positions - fit.translation) @ fit.rotation, (fit.cage - fit.translation) @ fit.rotation
    moved = laid_on(head[:SKIN_STOP], model.skin, seen, upright)
    for start, stop in EYES:
        away = np.linalg.norm(head[:SKIN_STOP] - head[start:stop].mean(0), axis=1)
        head[start:stop] += (moved - head[:SKIN_STOP])[(away < LIDS) & (seen > 0)].mean(0)
    head[:SKIN_STOP] = moved
    return head, upright.vertices, marks


def laid_on(points: np.ndarray, faces: np.ndarray, weights: np.ndarray, scan: TriangleMesh) -> np.ndarray:
    """Skin (V, 3) with triangles (F, 3), pulled onto a scan that it nearly fits along the scan's normals; weights :
    (V,) 0 where a vertex only follows. The field fades out over ``FADING`` metres where there is no scan."""
    normals, border = (
        vertex_normals(scan.vertices, scan.triangles),
        border_vertices(scan.triangles, len(scan.vertices)),
    )
    closest = Closest(scan.vertices, scan.triangles)
    for _ in range(PULLS):
        corners, target, normal, distance = counterparts(points, scan, normals, closest)
        same = (vertex_normals(points, faces) * normal).sum(1) > 0.5
        pull = weights * same * (distance < REACH) * ~border[corners].any(1)
        gap = ((target - points) * normal).sum(1, keepdims=True) * normal
        operators = surface_operators(points, faces)
        points = points + smooth_field(operators, gap, pull, STIFFNESS, np.zeros(3), (STIFFNESS / FADING) ** 2)
    return points


def scan_photos(name: str, distance: float | None = None) -> tuple[Path, ...]:
    """Six photographs of a held-out head, all from ``distance`` metres if given. The first is the most frontal."""
    seed = FIRST_SEED + HELD_OUT.index(name)
    return head_photos(f"{name} {COMPLETED}", seed, lambda: scan_head(name).head, range(PHOTOS), distance)


def true_focals(name: str) -> np.ndarray:
    """(6,) focal lengths in pixels of the photographs of ``scan_photos``."""
    seed, middle = FIRST_SEED + HELD_OUT.index(name), scan_head(name).head.middle
    return np.array([draw_shot(seed, number, middle).camera.intrinsics[0, 0] for number in range(PHOTOS)])


@lru_cache(maxsize=1)
def template_on_ict() -> np.ndarray:
    """(V_head, 3) the template's head registered to ICT-FaceKit's mean face, metres."""
    return ict_carrier(load_template(), load_ict()).cage
