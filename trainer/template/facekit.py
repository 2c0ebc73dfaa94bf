"""ICT-FaceKit carried to the template: curves, expressions, prior.

Corresponding lines of ICT-FaceKit and the template, the edges of lids and lips, as pulls for the registration.

Transfer ICT-FaceKit's expressions (MIT) to the template's topology.

The template's head is registered onto ICT-FaceKit's neutral (landmarks, lines of lids and lips, closest points). Each
of its vertices takes the offsets of its closest point there. Vertices without a counterpart (pockets of mouth, nose and
eyes, the back of the head) blend into MakeHuman's key of the same name. Deformation transfer carries the result from
ICT-FaceKit's face to the template's.

Transfer ICT-FaceKit's mean and identity modes (statistics of real scans, MIT) to the template's head.
"""

import heapq
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from backend.geometry.normals import vertex_normals
from backend.geometry.template import LandmarkEmbedding, Template, symmetric_part
from backend.rig.measure import QuadWalk, face_loops
from backend.rig.personalise import source_deformations, transfer
from protocol.names import ARKIT_NAMES
from protocol.similarity import fit_similarity
from trainer.heads.ict import FaceKit, TriangleMesh, facekit_surface, load_ict, triangulate
from trainer.template import registration

_VERMILION_ROW = 5
"""Row of the template's mouth grid, counted from the contact, on the vermilion border."""
_LID_WEIGHT, _LIP_WEIGHT = 4e-4, 4e-4


def curve_pulls(template: Template, kit: FaceKit, aligned: np.ndarray) -> tuple[registration.Pull, ...]:
    """Pulls of the head's cage (head vertices only) towards the same lines of ICT-FaceKit.

    ``aligned`` (26719, 3) is its neutral in the template's frame.
    """
    head = template.head.vertex_stop
    loops = face_loops(template)
    walk = QuadWalk(kit.quads[(kit.quads < kit.SOCKETS.stop).all(1)])
    pulls = []
    marks = [int(vertex) for vertex in kit.landmarks]
    for eye, (inner, above, outer, below) in zip(
        loops.eyes, ((42, (43, 44), 45, (46, 47)), (39, (38, 37), 36, (41, 40))), strict=True
    ):
        margin = eye.rows[eye.margin]
        upper = _path(walk, aligned, [marks[i] for i in (inner, *above, outer)])
        lower = _path(walk, aligned, [marks[i] for i in (inner, *below[::-1], outer)])
        pulls.append(_pull(template, margin[np.r_[eye.inner, eye.upper, eye.outer]], aligned[upper], head, _LID_WEIGHT))
        pulls.append(_pull(template, margin[np.r_[eye.inner, eye.lower, eye.outer]], aligned[lower], head, _LID_WEIGHT))
    mouth = loops.mouth
    lines = (
        (mouth.upper, mouth.contact, (60, 61, 62, 63, 64)),
        (mouth.lower, mouth.contact - 1, (60, 67, 66, 65, 64)),
        (mouth.upper, mouth.contact + _VERMILION_ROW, (48, 49, 50, 51, 52, 53, 54)),
        (mouth.lower, mouth.contact + _VERMILION_ROW, (48, 59, 58, 57, 56, 55, 54)),
    )
    for columns, row, through in lines:
        line = _path(walk, aligned, [marks[i] for i in through])
        whole = mouth.rows[row][np.r_[mouth.right, columns, mouth.left]]
        pulls.append(_pull(template, whole, aligned[line], head, _LIP_WEIGHT))
    return tuple(pulls)


def lip_sides(kit: FaceKit) -> tuple[np.ndarray, np.ndarray]:
    """Vertex ids of ICT-FaceKit's upper and lower lip, from behind the contact to past the vermilion border, without
    the corners."""
    walk = QuadWalk(kit.quads[(kit.quads < kit.SOCKETS.stop).all(1)])
    right, middle, left = (int(kit.landmarks[i]) for i in (60, 62, 64))
    loop = next(candidate for other in walk.neighbours(middle) if right in (candidate := _loop(walk, middle, other)))
    outward = max(walk.neighbours(middle) - set(loop), key=lambda vertex: kit.neutral[vertex, 2])
    grid = walk.stack(loop, outward, (-2, 8))
    first, last = sorted((loop.index(right), loop.index(left)))
    lower = np.arange(first + 1, last)  # the loop starts in the middle of the upper lip
    upper = np.r_[0:first, last + 1 : len(loop)]
    return grid[:, upper].ravel(), grid[:, lower].ravel()


def _loop(walk: QuadWalk, first: int, second: int) -> list[int]:
    try:
        return walk.loop(first, second)
    except ValueError:
        return []


def _pull(template: Template, vertices: np.ndarray, line: np.ndarray, count: int, weight: float) -> registration.Pull:
    """Pull that puts vertices at the same shares of arc length on ``line`` (N, 3)."""
    shares = _arc_shares(template.vertices[vertices].astype(np.float64))
    arc = _arc_shares(line)
    targets = np.stack([np.interp(shares, arc, line[:, axis]) for axis in range(3)], axis=1)
    rows = sp.csr_matrix((np.ones(len(vertices)), (np.arange(len(vertices)), vertices)), (len(vertices), count))
    return registration.Pull(rows, targets, np.full(len(vertices), weight))


def _arc_shares(line: np.ndarray) -> np.ndarray:
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    return length / length[-1]


def _path(walk: QuadWalk, vertices: np.ndarray, through: list[int]) -> list[int]:
    """Shortest path along edges through the given vertices (Dijkstra, leg by leg)."""
    way = [through[0]]
    for start, goal in pairwise(through):
        best, before, queue = {start: 0.0}, {}, [(0.0, start)]
        while queue:
            length, vertex = heapq.heappop(queue)
            if vertex == goal:
                break
            if length > best[vertex]:
                continue
            for other in walk.neighbours(vertex):
                longer = length + float(np.linalg.norm(vertices[other] - vertices[vertex]))
                if longer < best.get(other, np.inf):
                    best[other], before[other] = longer, vertex
                    heapq.heappush(queue, (longer, other))
        leg = [goal]
        while leg[-1] != start:
            leg.append(before[leg[-1]])
        way += leg[-2::-1]
    return way


_LANDMARK_WEIGHT = 2e-4
_LANDMARKS = tuple(range(27, 68))
"""Nose, eyes and mouth; brows and contour are fitted by the surface alone."""
_FADE = 0.015
"""Metres over which the keys blend into MakeHuman's outside the trusted skin."""
_REACH = 0.003
"""Metres: template vertices further than this from ICT-FaceKit's skin take no offsets from it."""


@dataclass(frozen=True)
class RegisteredKit:
    """The template's head, registered onto ICT-FaceKit's neutral.

    Attributes
    ----------
    head : (H, 3) float64 metres, template frame.
    aligned : (26719, 3) ICT-FaceKit's neutral in the same frame; turn : (3, 3) the linear part (scale and rotation) of
        that alignment.
    triangles : (H, 3) ICT-FaceKit vertices of each head vertex's closest point; barycentrics : (H, 3).
    valid : (H,) bool, where that correspondence can be trusted.
    """

    head: np.ndarray
    aligned: np.ndarray
    turn: np.ndarray
    triangles: np.ndarray
    barycentrics: np.ndarray
    valid: np.ndarray


def register_facekit(template: Template, kit: FaceKit) -> RegisteredKit:
    """Register the template's head onto ICT-FaceKit's neutral."""
    head = template.head
    vertices = template.vertices[: head.vertex_stop].astype(np.float64)
    triangles = triangulate(template.quads[head.face_start : head.face_stop])
    marks = list(_LANDMARKS)
    marks68 = template.landmarks68.positions(template.vertices)[marks].astype(np.float64)
    placed = fit_similarity(kit.neutral[kit.landmarks[marks]], marks68)
    aligned = placed.apply(kit.neutral)
    scan = facekit_surface(kit)
    scan = TriangleMesh(aligned, scan.triangles)
    rows = sp.csr_matrix(
        (
            template.landmarks68.barycentrics[marks].ravel(),
            (np.repeat(np.arange(len(marks)), 3), template.landmarks68.vertices[marks].ravel()),
        ),
        (len(marks), head.vertex_stop),
    )
    pulls = (
        registration.Pull(rows, aligned[kit.landmarks[marks]], np.full(len(marks), _LANDMARK_WEIGHT)),
        *curve_pulls(template, kit, aligned),
    )
    weights = _outside(template)
    surface = registration.Surface(
        sp.identity(head.vertex_stop, format="csr"), triangles, triangles, weights, np.ones(head.vertex_stop)
    )
    registered = registration.register(vertices, surface, scan, pulls)
    under, barycentrics, distance = _spots(template, kit, registered, scan)
    return RegisteredKit(
        registered, aligned, placed.scale * placed.rotation, under, barycentrics, (weights > 0.5) & (distance < _REACH)
    )


def _spots(
    template: Template, kit: FaceKit, registered: np.ndarray, scan: TriangleMesh
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The closest points on the scan: vertex ids (H, 3), barycentrics (H, 3), distances (H,).

    The template's upper lip is never matched to the scan's lower lip, nor the other way round.
    """
    under, barycentrics, distance = registration.closest_points(registered, scan.vertices, scan.triangles)
    corners = scan.triangles[under]
    mouth = face_loops(template).mouth
    upper, lower = lip_sides(kit)
    for columns, foreign in ((mouth.upper, lower), (mouth.lower, upper)):
        lip = np.unique(mouth.rows[mouth.contact - 1 :, columns])
        skin = scan.triangles[~np.isin(scan.triangles, foreign).any(1)]
        hits, barycentrics[lip], distance[lip] = registration.closest_points(registered[lip], scan.vertices, skin)
        corners[lip] = skin[hits]
    return corners, barycentrics, distance


def facekit_keys(template: Template, kit: FaceKit, fallback: np.ndarray) -> np.ndarray:
    """ICT-FaceKit's expressions on the template's head: (52, H, 3) float32 offsets in metres.

    ``fallback`` (52, V, 3) are MakeHuman's keys, used where ICT-FaceKit has no counterpart. It lacks ``tongueOut``:
    it is MakeHuman's here, and not used. ICT-FaceKit's left and right halves of ``browInnerUp`` and ``cheekPuff`` are
    added up.
    """
    registered = register_facekit(template, kit)
    by_name = load_ict().expressions
    names, offsets = list(by_name), np.stack(list(by_name.values()))
    head = template.head.vertex_stop
    sampled = fallback[:, :head].astype(np.float64)
    for index, name in enumerate(ARKIT_NAMES):
        if name == "tongueOut":
            continue
        parts = [names.index(part) for part in _facekit_names(name, names)]
        whole = offsets[parts].sum(0).astype(np.float64) @ registered.turn.T
        sampled[index] = (whole[registered.triangles] * registered.barycentrics[:, :, None]).sum(1)
    sampled = fallback[:, :head] + _fade_out(template, registered, sampled - fallback[:, :head])
    quads = template.quads[template.head.face_start : template.head.face_stop]
    source = source_deformations(registered.head, quads, sampled)
    return transfer(source, template.vertices[:head])


def _facekit_names(name: str, names: list[str]) -> list[str]:
    for word, letter in (("Left", "_L"), ("Right", "_R")):
        if name.endswith(word) and name[: -len(word)] + letter in names:
            return [name[: -len(word)] + letter]
    return [name] if name in names else [name + "_L", name + "_R"]


def _outside(template: Template) -> np.ndarray:
    """(H,) weights: 1 on visible facial skin, less on scalp and ears, 0 in the pockets behind lids and lips."""
    head = template.head.vertex_stop
    weights = np.ones(head)
    weights[template.regions["mouth_interior"][:head] > 0.5] = 0.0
    loops = face_loops(template)
    for eye in loops.eyes:
        inside = eye.rows[: eye.margin].ravel()
        weights[inside] = 0.0
        centre = template.vertices[eye.rows[eye.margin]].mean(0)
        behind = np.linalg.norm(template.vertices[:head] - centre, axis=1) < 0.025
        pocket = behind & (template.vertices[:head, 2] < template.vertices[eye.rows[eye.margin]][:, 2].min() - 0.002)
        weights[pocket] = 0.0
    mouth = loops.mouth
    weights[mouth.rows[: mouth.contact - 1].ravel()] = 0.0
    weights[mouth.rows[mouth.contact - 1, mouth.upper]] = 0.0
    weights *= np.maximum(template.regions["face"][:head], 0.1) * (1.0 - template.regions["ears"][:head])
    return weights


def _fade_out(template: Template, registered: RegisteredKit, difference: np.ndarray) -> np.ndarray:
    """Offsets (K, H, 3), kept where trusted, elsewhere continued smoothly and fading out over ``_FADE`` metres.

    Solves (L + M / fade^2) d = 0 on the untrusted vertices, with the cotangent Laplacian L and lumped areas M.
    """
    head = template.head
    triangles = triangulate(template.quads[head.face_start : head.face_stop])
    vertices = template.vertices[: head.vertex_stop].astype(np.float64)
    system = registration.cotangent_laplacian(vertices, triangles) + sp.diags(
        registration.vertex_areas(vertices, triangles) / _FADE**2
    )
    free = np.flatnonzero(~registered.valid)
    fixed = np.flatnonzero(registered.valid)
    system = system.tocsr()[free]
    right = -system[:, fixed] @ difference[:, fixed].transpose(1, 0, 2).reshape(len(fixed), -1)
    solution = splu(system[:, free].tocsc()).solve(right)
    faded = difference.copy()
    faded[:, free] = solution.reshape(len(free), len(difference), 3).transpose(1, 0, 2)
    return faded


FIT_LANDMARKS = tuple(index for index in range(17, 68) if index not in (48, 54, 60, 64))
"""iBUG landmarks at the same place on both heads: without jaw line and mouth corners (ours are 1-2 mm outside)."""


POCKET_STIFFNESS = 0.02
"""Length in metres over which vertices without a match on the scan keep the offset of their surroundings."""


@dataclass(frozen=True)
class HeadTopology:
    """The head's cage and its level-1 surface.

    Attributes
    ----------
    quads : (F, 4) of the cage; triangles : (T, 3) of the cage; mirror : (H,).
    matrix : (P, H) Catmull-Clark level 1; fine_triangles : (T2, 3).
    mouth : (F,) bool quads of the mouth's inside.
    regions : name -> (H,) float64.
    landmarks : the 68.
    """

    quads: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray
    matrix: sp.csr_matrix
    fine_triangles: np.ndarray
    mouth: np.ndarray
    regions: dict[str, np.ndarray]
    landmarks: LandmarkEmbedding

    def landmark_rows(self, indices: tuple[int, ...]) -> sp.csr_matrix:
        """(L, H) sparse rows of some of the 68 landmarks."""
        chosen = np.array(indices)
        rows = np.repeat(np.arange(len(chosen)), 3)
        values = self.landmarks.barycentrics[chosen].astype(np.float64).ravel()
        columns = self.landmarks.vertices[chosen].ravel()
        return sp.csr_matrix((values, (rows, columns)), shape=(len(chosen), len(self.mirror)))

    def skin_weights(self, **weights: float) -> np.ndarray:
        """(H,) weighted sum of regions, at most 1; 0 in sockets and mouth."""
        total = sum(factor * self.regions[name] for name, factor in weights.items())
        inside = (1 - self.regions["eye_sockets"]) * (1 - self.regions["mouth_interior"])
        return np.clip(total, 0, 1) * inside


def fit_to_facekit(head: HeadTopology, mean: np.ndarray, modes: np.ndarray, kit: FaceKit) -> registration.ModelFit:
    """Fit MakeHuman's modes (K, H, 3) around ``mean`` (H, 3) to ICT-FaceKit's neutral; starts the registration."""
    weights = head.matrix @ head.skin_weights(face=1.0, scalp=0.4)
    return registration.fit_model(
        mean, modes, head.matrix, head.fine_triangles, weights, facekit_surface(kit),
        head.landmark_rows(FIT_LANDMARKS), kit.neutral[kit.landmarks[list(FIT_LANDMARKS)]], iterations=25,
    )  # fmt: skip


def register_to_facekit(head: HeadTopology, template: Template, start: np.ndarray, kit: FaceKit) -> np.ndarray:
    """(H, 3) mirror-symmetric cage whose level-1 surface lies on ICT-FaceKit's neutral, in its frame.

    ``template`` gives the topology of the lines of lids and lips; ``start`` (H, 3) is the initial cage.
    """
    start = symmetric_part(start, head.mirror)
    whole = template.vertices.astype(np.float64)
    whole[: len(start)] = start
    chosen = list(FIT_LANDMARKS)
    marks = registration.Pull(
        head.landmark_rows(FIT_LANDMARKS), kit.neutral[kit.landmarks[chosen]], np.full(len(chosen), 3e-5)
    )
    # the lines constrain the smooth surface; level 1 has the cage's vertices first
    smooth = head.matrix[: len(start)]
    lines = curve_pulls(replace(template, vertices=whole), kit, kit.neutral)
    pulls = [marks, *(registration.Pull(p.rows @ smooth, p.targets, 0.1 * p.weights, lasting=True) for p in lines)]
    weights = head.matrix @ head.skin_weights(face=1.0, ears=0.6, scalp=0.8, neck=0.6)
    regions = head.regions
    stiffer = 1.0 + sum(regions[name] for name in ("ears", "scalp", "neck", "eye_sockets", "mouth_interior"))
    surface = registration.Surface(head.matrix, head.fine_triangles, head.triangles, weights, stiffer)
    return symmetric_part(registration.register(start, surface, facekit_surface(kit), pulls), head.mirror)


@dataclass(frozen=True)
class Carrier:
    """Transfers offsets on ICT-FaceKit's vertices to the registered cage, smoothly where it has no match.

    Attributes
    ----------
    corners : (P, 3) FaceKit vertices, weights : (P, 3) barycentrics of each level-1 point's match.
    confidence : (P,) square metres, 0 without a match.
    """

    head: HeadTopology
    cage: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    confidence: np.ndarray

    def carry(self, offsets: np.ndarray, smoothing: float = 0.003) -> np.ndarray:
        """(N, H, 3) cage offsets from FaceKit offsets (N, V_kit, 3); details below ``smoothing`` metres fade."""
        count = len(self.cage)
        number = len(offsets)
        wanted = np.einsum("pc,npck->npk", self.weights, offsets[:, self.corners], optimize=True)
        matrix = self.head.matrix
        regions = self.head.regions
        scale = smoothing * (1.0 + regions["ears"] + 2 * regions["eye_sockets"] + 2 * regions["mouth_interior"])
        laplacian = registration.cotangent_laplacian(self.cage, self.head.triangles)
        areas = np.maximum(registration.vertex_areas(self.cage, self.head.triangles), 1e-8)
        plate = sp.diags(scale**2) @ laplacian
        system = plate.T @ sp.diags(1.0 / areas) @ plate + matrix.T @ sp.diags(self.confidence) @ matrix
        # pockets without a match (nostrils, mouth, sockets) follow their rim instead of extrapolating its slope
        share = (matrix.T @ self.confidence) / (
            matrix.T @ registration.vertex_areas(matrix @ self.cage, self.head.fine_triangles)
        )
        pocket = np.sqrt(np.clip(1.0 - 2.0 * share, 0.0, 1.0))
        springs = sp.diags(pocket) @ (sp.diags(laplacian.diagonal()) - laplacian) @ sp.diags(pocket)
        system = system + POCKET_STIFFNESS**2 * (sp.diags(np.asarray(springs.sum(1)).ravel()) - springs)
        right = matrix.T @ (self.confidence[:, None] * wanted.transpose(1, 0, 2).reshape(len(wanted[0]), -1))
        solution = splu((system + 1e-13 * sp.identity(count)).tocsc()).solve(right)
        return solution.reshape(count, number, 3).transpose(1, 0, 2)


def make_carrier(head: HeadTopology, cage: np.ndarray, kit: FaceKit) -> Carrier:
    """Find correspondences between the registered ``cage`` (H, 3), in FaceKit's frame, and FaceKit's neutral."""
    scan = facekit_surface(kit)
    points = head.matrix @ cage
    triangle, weights, distance = registration.closest_points(points, scan.vertices, scan.triangles)
    corners = scan.triangles[triangle]
    normals = vertex_normals(scan.vertices, scan.triangles)
    facing = (vertex_normals(points, head.fine_triangles) * (normals[corners] * weights[..., None]).sum(1)).sum(1)
    inner = ~registration.border_vertices(scan.triangles, len(scan.vertices))
    trust = np.clip((facing - 0.3) / 0.4, 0, 1) * np.clip(2 - distance / 0.003, 0, 1) * inner[corners].all(1)
    trust *= head.matrix @ head.skin_weights(face=1.0, ears=1.0, scalp=1.0, neck=1.0)
    confidence = trust * registration.vertex_areas(points, head.fine_triangles)
    return Carrier(head, cage, corners, weights, confidence)
