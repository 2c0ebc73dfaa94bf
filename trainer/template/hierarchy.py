"""The head's mesh hierarchy: mirror-symmetric quadric edge collapse, and barycentric unpooling."""

import heapq
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix

from backend.geometry.mesh_hierarchy import HIERARCHY_PATH, MeshHierarchy, MeshLevel
from backend.geometry.template import Template, boundary_edges, symmetric_part, unique_edges
from backend.system.files import write_arrays
from protocol.names import ARKIT_NAMES
from trainer.template.registration import closest_points

LEVELS = 4
RATIO = 4
"""Paper 2 and COMA: each level has a quarter of the vertices of the one before it."""
_BORDER = 10.0
"""Weight of the perpendicular planes at borders; large, to preserve the borders (Garland & Heckbert 1997)."""


def mesh_hierarchy(template: Template) -> MeshHierarchy:
    """Levels of the template's head, finest first; each is mirror-symmetric with as many borders as the head."""
    count = template.head.vertex_stop
    mirror = template.mirror[:count].astype(np.int64)
    opened = template.vertices[:count] + template.expressions[ARKIT_NAMES.index("jawOpen"), :count]
    points = symmetric_part(opened.astype(np.float64), mirror)  # jaw open: closed lips would count as neighbours
    faces = symmetric_triangles(template.quads[: template.head.face_stop].astype(np.int64), mirror)
    nothing = np.zeros(0, np.int64)
    levels = [MeshLevel(np.arange(count), faces, unique_edges(faces), nothing, nothing, np.zeros(0, np.float32))]
    for _ in range(LEVELS):
        finer = levels[-1]
        target = len(finer.vertices) // RATIO
        own_mirror = np.searchsorted(finer.vertices, mirror[finer.vertices])
        collapsed, coarse = collapse(points[finer.vertices], finer.faces, own_mirror, target)
        up = _unpooling(points[finer.vertices], collapsed, coarse, own_mirror)
        levels.append(MeshLevel(finer.vertices[collapsed], coarse, unique_edges(coarse), *up))
    return MeshHierarchy(tuple(levels))


def write_mesh_hierarchy(template: Template, path: Path = HIERARCHY_PATH) -> MeshHierarchy:
    """Make the hierarchy and write it to ``path``."""
    made = mesh_hierarchy(template)
    write_arrays(path, made.arrays())
    return made


def symmetric_triangles(quads: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Split quads (F, 4) into mirror-symmetric triangles (T, 3).

    Raises ``ValueError`` for a quad that is its own mirror image and cannot be split symmetrically.
    """
    number = {tuple(sorted(quad)): k for k, quad in enumerate(quads.tolist())}
    triangles: list[tuple[int, int, int]] = []
    done: set[int] = set()
    for k, (a, b, c, d) in enumerate(quads.tolist()):
        if k in done:
            continue
        pieces = [(a, b, c)] if c == d else [(a, b, c), (a, c, d)]
        other = number[tuple(sorted(mirror[[a, b, c, d]].tolist()))]
        if other == k and c != d and {mirror[a], mirror[c]} != {a, c}:
            raise ValueError(f"quad {k} cannot be cut into mirror images")
        triangles.extend(pieces)
        if other != k:
            triangles.extend(tuple(mirror[list(piece)][::-1].tolist()) for piece in pieces)
        done.update((k, other))
    return np.array(triangles, np.int64)


def collapse(points: np.ndarray, faces: np.ndarray, mirror: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Simplify a triangle mesh (T, 3) that ``mirror`` (N,) maps onto itself to about ``target`` of its points (N, 3).

    The half-edge collapse with the smallest quadric error comes first, together with its mirror image. Collapses that
    would make the surface non-manifold, folded, or lose a border are rejected.

    Returns
    -------
    kept : (M,) int64 ascending. faces : (T', 3) int64, numbers within ``kept``.
    """
    mesh = _Mesh(points, faces)
    heap = [(mesh.cost(u, v), u, v) for u in range(len(points)) for v in mesh.neighbours(u)]
    heapq.heapify(heap)
    while heap and mesh.count > target:
        cost, u, v = heapq.heappop(heap)
        if not (mesh.alive[u] and mesh.alive[v]) or v not in mesh.neighbours(u):
            continue
        now = mesh.cost(u, v)
        if now > cost * (1 + 1e-9) + 1e-30:
            heapq.heappush(heap, (now, u, v))
            continue
        mu, mv = int(mirror[u]), int(mirror[v])
        if (u == mu and v != mv) or v == mu or (mu != u and mv == u):
            continue
        if not mesh.allowed(u, v):
            continue
        mesh.collapse(u, v)
        moved = [v]
        if mu != u:
            if not mesh.allowed(mu, mv):
                mesh.undo()
                continue
            mesh.collapse(mu, mv)
            moved.append(mv)
        for vertex in moved:
            for neighbour in mesh.neighbours(vertex):
                heapq.heappush(heap, (mesh.cost(neighbour, vertex), neighbour, vertex))
                heapq.heappush(heap, (mesh.cost(vertex, neighbour), vertex, neighbour))
    alive = np.flatnonzero(mesh.alive)
    return alive, np.searchsorted(alive, np.array(sorted(mesh.faces.values()), np.int64))


class _Mesh:
    """A triangle mesh with half-edge collapses."""

    def __init__(self, points: np.ndarray, faces: np.ndarray) -> None:
        self.points = points
        self.faces: dict[int, tuple[int, int, int]] = {k: tuple(face) for k, face in enumerate(faces.tolist())}
        self.around: list[set[int]] = [set() for _ in points]
        for k, face in self.faces.items():
            for vertex in face:
                self.around[vertex].add(k)
        self.alive = np.ones(len(points), bool)
        self.count = len(points)
        self.quadrics = _quadrics(points, faces)
        self._last: tuple | None = None

    def neighbours(self, u: int) -> set[int]:
        return {vertex for face in self.around[u] for vertex in self.faces[face]} - {u}

    def cost(self, u: int, v: int) -> float:
        """Quadric error of moving u to v, square metres, plus a small term that prefers short edges."""
        point = np.append(self.points[v], 1.0)
        length = float(np.square(self.points[u] - self.points[v]).sum())
        return float(point @ (self.quadrics[u] + self.quadrics[v]) @ point) + 1e-6 * length

    def shared(self, u: int, v: int) -> set[int]:
        return self.around[u] & self.around[v]

    def border_edges(self, u: int) -> int:
        """Number of border edges at u."""
        return sum(len(self.shared(u, v)) == 1 for v in self.neighbours(u))

    def allowed(self, u: int, v: int) -> bool:
        """Whether the surface stays manifold, without folds and with all borders, when u moves to v."""
        if not (self.alive[u] and self.alive[v]):
            return False
        sides, border = self.shared(u, v), self.border_edges(u)
        if not sides or (border and (len(sides) != 1 or border != 2)):
            return False
        if self.neighbours(u) & self.neighbours(v) != {w for f in sides for w in self.faces[f]} - {u, v}:
            return False
        for face in self.around[u] - sides:
            corners = self.faces[face]
            before = _normal(self.points[list(corners)])
            after = _normal(self.points[[v if w == u else w for w in corners]])
            size = np.linalg.norm(before) * np.linalg.norm(after)
            if before @ after <= 0.2 * size:
                return False
        return all(len(self.neighbours(w)) > 3 for f in sides for w in self.faces[f] if w not in (u, v))

    def collapse(self, u: int, v: int) -> None:
        sides = self.shared(u, v)
        before = {face: self.faces[face] for face in self.around[u]}
        self._last = (u, v, before, self.quadrics[v].copy())
        for face in sides:
            for w in self.faces[face]:
                self.around[w].discard(face)
            del self.faces[face]
        for face in list(self.around[u]):
            self.faces[face] = tuple(v if w == u else w for w in self.faces[face])
            self.around[v].add(face)
        self.around[u] = set()
        self.quadrics[v] = self.quadrics[v] + self.quadrics[u]
        self.alive[u] = False
        self.count -= 1

    def undo(self) -> None:
        """Undo the last collapse."""
        u, v, before, quadric = self._last
        for face, corners in before.items():
            for w in self.faces.get(face, ()):
                self.around[w].discard(face)
            self.faces[face] = corners
            for w in corners:
                self.around[w].add(face)
        self.quadrics[v] = quadric
        self.alive[u] = True
        self.count += 1


def _normal(corners: np.ndarray) -> np.ndarray:
    return np.cross(corners[1] - corners[0], corners[2] - corners[0])


def _quadrics(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 4, 4) error quadrics of Garland & Heckbert (SIGGRAPH 1997), with perpendicular planes at borders."""
    quadrics = np.zeros((len(points), 4, 4))
    normals = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    area = np.linalg.norm(normals, axis=1)
    unit = normals / np.maximum(area, 1e-12)[:, None]
    for vertex in range(3):
        np.add.at(quadrics, faces[:, vertex], 0.5 * area[:, None, None] * _plane(unit, points[faces[:, 0]]))
    border = {tuple(sorted(edge)) for edge in boundary_edges(faces).tolist()}
    for face, normal in zip(faces.tolist(), unit, strict=True):
        for a, b in ((face[0], face[1]), (face[1], face[2]), (face[2], face[0])):
            if tuple(sorted((a, b))) in border:
                along = points[b] - points[a]
                upright = np.cross(along, normal)
                upright /= max(np.linalg.norm(upright), 1e-12)
                plane = _BORDER * float(along @ along) * _plane(upright[None], points[a][None])[0]
                quadrics[a] += plane
                quadrics[b] += plane
    return quadrics


def _plane(normals: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 4, 4) quadrics of the squared distance from planes through points (N, 3)."""
    plane = np.concatenate([normals, -(normals * points).sum(1, keepdims=True)], 1)
    return plane[:, :, None] * plane[:, None]


def _unpooling(
    points: np.ndarray, kept: np.ndarray, coarse: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the mirror-symmetric matrix (N, M) from the kept points to all points."""
    triangle, weights, _ = closest_points(points, points[kept], coarse)
    rows = np.repeat(np.arange(len(points)), 3)
    matrix = coo_matrix((weights.ravel(), (rows, coarse[triangle].ravel())), (len(points), len(kept))).tocsr()
    coarse_mirror = np.searchsorted(kept, mirror[kept])
    matrix = (0.5 * (matrix + matrix[mirror][:, coarse_mirror])).tocoo()
    strong = matrix.data > 1e-6
    values = matrix.data[strong]
    sums = np.bincount(matrix.row[strong], values, len(points))
    return (
        matrix.row[strong].astype(np.int64),
        matrix.col[strong].astype(np.int64),
        (values / sums[matrix.row[strong]]).astype(np.float32),
    )
