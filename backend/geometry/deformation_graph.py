"""Deformation graph of the learned face model: a few hundred nodes on the skin, the skin's weights on them, and the
mesh that they move (skin at a subdivision level, eyeballs).

Paper 3 (Mallikarjun et al., CVPR 2021), equation 2: M = U M_g with a fixed matrix U that couples G = 521 nodes to all
vertices. Weights as in Sumner et al., Embedded Deformation for Shape Manipulation (SIGGRAPH 2007), equation 4, over
geodesic distances, so that the lower lip does not follow the upper one; then smoothed.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from backend.geometry.subdivision import refined
from backend.geometry.template import PartRange, Template, load_template, triangles_from_quads, unique_edges

PAPER_NODES = 521
INFLUENCES = 8
"""Nodes with a weight at a vertex, before smoothing."""
SMOOTHING = 3
"""Rounds of averaging the weights over neighbours."""
_FACE, _FINE, _BEHIND, _HIDDEN = 1.0, 1.7, 0.45, 0.3
"""Factors on distances: on the face, at lips and lids, on scalp, neck and ears, inside mouth and sockets."""
_REACH = 5.0
"""Distances are computed up to so many times the largest one from a vertex to its nearest node."""
_UNREACHED = np.float32(1e3)


@dataclass(frozen=True)
class DeformationGraph:
    """G nodes at vertices of the head's cage (V vertices).

    Attributes
    ----------
    nodes : (G,) int64 head vertices. mirror : (G,) int64 the node across the median plane.
    edges : (E, 2) int64 neighbours, smaller first; symmetric across the median plane.
    weights : (V, G) float32 the matrix U at the cage: rows sum to 1, all >= 0, most are 0.
    """

    nodes: np.ndarray
    mirror: np.ndarray
    edges: np.ndarray
    weights: np.ndarray

    def offsets(self, deltas: np.ndarray) -> np.ndarray:
        """Vertex offsets (..., V, 3) of node offsets (..., G, 3)."""
        return np.matmul(self.weights, deltas)

    def fitted(self, offsets: np.ndarray, importance: np.ndarray | None = None, smooth: float = 1e-3) -> np.ndarray:
        """Fit node offsets (..., G, 3) to vertex offsets (..., V, 3).

        Least squares with weights ``importance`` (V,), regularised by ``smooth`` times the squared differences between
        neighbours relative to the mean weight of a node's vertices; this decides where all importance is 0.
        """
        weights = self.weights.astype(np.float64)
        each = np.ones(len(weights)) if importance is None else importance.astype(np.float64)
        system = weights.T @ (each[:, None] * weights)  # (G, G)
        system += smooth * np.trace(system) / len(system) * self.laplacian()
        system += 1e-9 * np.trace(system) / len(system) * np.eye(len(system))
        right = np.matmul((each[:, None] * weights).T, offsets.astype(np.float64))  # (..., G, 3)
        columns = np.moveaxis(right, -2, 0)  # solve all fields at once, with one factorisation
        solved = np.linalg.solve(system, columns.reshape(len(system), -1)).reshape(columns.shape)
        return np.moveaxis(solved, 0, -2).astype(np.float32)

    def laplacian(self) -> np.ndarray:
        """(G, G) float64, x^T L x = sum over edges of (x_i - x_j)^2."""
        matrix = np.zeros((len(self.nodes), len(self.nodes)))
        a, b = self.edges.T
        matrix[a, b] = matrix[b, a] = -1
        return matrix - np.diag(matrix.sum(1))


def build_graph(template: Template, count: int = PAPER_NODES) -> DeformationGraph:
    """Build the graph of ``count`` nodes: farthest points along the skin, always with their mirror images.

    Nodes are denser where ``region_density`` is larger. The result is deterministic.

    Raises
    ------
    ValueError : fewer than 8 nodes or more than a quarter of the head's vertices.
    """
    head = template.head.vertex_stop
    if not 8 <= count <= head // 4:
        raise ValueError(f"a graph has 8 to {head // 4} nodes, not {count}")
    mirror = template.mirror[:head].astype(np.int64)
    skin = _Skin(template.vertices[:head].astype(np.float64), template.quads, template.head, region_density(template))
    nodes, radius = _farthest_points(skin, mirror, count)
    node_of = np.full(head, -1, np.int64)
    node_of[nodes] = np.arange(count)
    node_mirror = node_of[mirror[nodes]]
    distance = np.empty((head, count), np.float32)
    first = np.flatnonzero(np.arange(count) <= node_mirror)
    distance[:, first] = skin.distances(nodes[first], _REACH * radius).T
    distance[:, node_mirror[first]] = distance[mirror][:, first]
    weights = _influences(distance)
    weights = skin.averaged(weights, SMOOTHING)
    weights = 0.5 * (weights + weights[mirror][:, node_mirror])
    weights[weights < 1e-4] = 0
    weights /= weights.sum(1, keepdims=True)
    return DeformationGraph(nodes, node_mirror, _neighbours(skin.edges, distance, node_mirror), weights)


@lru_cache(maxsize=4)
def deformation_graph(count: int = PAPER_NODES) -> DeformationGraph:
    """``build_graph`` of the committed template, cached."""
    return build_graph(load_template(), count)


def region_density(template: Template) -> np.ndarray:
    """(V_head,) factor on lengths, and so on the density of nodes."""
    head = template.head.vertex_stop
    region = {name: values[:head].astype(np.float64) for name, values in template.regions.items()}
    density = _BEHIND + (_FACE - _BEHIND) * region["face"]
    fine = np.maximum.reduce([region["lips"], region["lids_left"], region["lids_right"]])
    density += (_FINE - density) * fine
    hidden = np.maximum(region["mouth_interior"], region["eye_sockets"])
    return density + (_HIDDEN - density) * hidden


class _Skin:
    """Distances along the head's edges and across its quads."""

    def __init__(self, vertices: np.ndarray, quads: np.ndarray, head: PartRange, density: np.ndarray) -> None:
        self.vertices, self.density = vertices, density
        quads = quads[head.face_start : head.face_stop].astype(np.int64)
        self.edges = unique_edges(quads)
        links = np.concatenate([self.edges, quads[:, [0, 2]], quads[:, [1, 3]]])
        length = np.linalg.norm(vertices[links[:, 0]] - vertices[links[:, 1]], axis=1) * density[links].mean(1)
        self._ways = self._matrix(links, length)
        ring = self._matrix(self.edges, np.ones(len(self.edges)))
        self._mean = (sp.diags(1.0 / np.asarray(ring.sum(1)).ravel()) @ ring).astype(np.float32)

    def _matrix(self, links: np.ndarray, values: np.ndarray) -> sp.csr_matrix:
        """(V, V) symmetric, with values (M,) at links (M, 2)."""
        one_way = sp.csr_matrix((values, links.T), shape=(len(self.vertices),) * 2)
        return (one_way + one_way.T).tocsr()

    def distances(self, nodes: np.ndarray | int, limit: float = np.inf) -> np.ndarray:
        """(..., V) distances from vertices (...); ``_UNREACHED`` beyond ``limit``."""
        found = dijkstra(self._ways, indices=nodes, limit=limit)
        return np.where(np.isfinite(found), found, _UNREACHED)

    def averaged(self, values: np.ndarray, rounds: int) -> np.ndarray:
        """Smooth values (V, C): each becomes half its own and half its neighbours' mean, repeatedly."""
        for _ in range(rounds):
            values = 0.5 * (values + self._mean @ values)
        return values


def _farthest_points(skin: _Skin, mirror: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """(count,) int64 vertices, mirror images after each other, from the foremost point of the median plane; and the
    largest distance of a vertex from its nearest node.
    """
    on_axis = mirror == np.arange(len(mirror))
    across = np.where(on_axis, _UNREACHED, 2 * np.abs(skin.vertices[:, 0]) * skin.density)  # to the mirror image
    depth = np.where(on_axis, skin.vertices[:, 2], -np.inf)
    chosen = [int(depth.argmax())]
    nearest = skin.distances(chosen[0])
    while len(chosen) < count:
        room = np.minimum(nearest, across)
        if len(chosen) == count - 1:
            room = np.where(on_axis, room, -1.0)
        room = np.round(room, 7)  # so that rounding does not break ties between mirror images
        first = int(room.argmax())
        chosen += dict.fromkeys((first, int(mirror[first])))
        nearest = np.minimum(nearest, skin.distances(first, float(nearest.max())))
        nearest = np.minimum(nearest, nearest[mirror])
    return np.array(chosen, np.int64), float(nearest.max())


def _influences(distance: np.ndarray) -> np.ndarray:
    """(V, G) weights (1 - d / d_max)^2 of the nearest nodes, d_max the distance of the next one; rows sum to 1."""
    order = np.argpartition(distance, INFLUENCES, axis=1)[:, : INFLUENCES + 1]
    order = np.take_along_axis(order, np.argsort(np.take_along_axis(distance, order, 1), axis=1, kind="stable"), 1)
    near = np.take_along_axis(distance, order, 1)
    share = np.maximum(1 - near[:, :-1] / near[:, -1:], 0) ** 2 + 1e-12
    weights = np.zeros_like(distance)
    np.put_along_axis(weights, order[:, :-1], share / share.sum(1, keepdims=True), 1)
    return weights


def _neighbours(edges: np.ndarray, distance: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """(E, 2) nodes whose Voronoi cells touch, and the mirror images of such pairs."""
    cell = distance.argmin(1)
    pairs = cell[edges]
    pairs = np.concatenate([pairs, mirror[pairs]])
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


EYES = ("eye_left", "eye_right")
_REGIONS = ("face", "lip_upper", "lip_lower", "mouth_interior", "eye_sockets")
_LEAST = 1e-4
"""Weights below are dropped, and the row is normalised to sum 1 again."""


@dataclass(frozen=True)
class GraphSurface:
    """V vertices: the head after ``level`` Catmull-Clark steps (those of its cage first), then both eyeballs.

    Attributes
    ----------
    level : of the skin. skin : number of skin vertices; cage : number of cage vertices.
    mean : (V, 3) float32 metres. faces : (F, 3) int64 of visible surfaces: face, mouth's inside, sockets, eyes.
    rows, columns, values : (M,) the sparse matrix U (V, G); all vertices of an eyeball have the same row.
    nodes : G. edges : (E, 2) int64 neighbouring nodes.
    face, lip_upper, lip_lower : (V,) float32 in [0, 1], the template's regions; 0 for eyeballs.
    """

    level: int
    skin: int
    cage: int
    mean: Tensor
    faces: Tensor
    rows: Tensor
    columns: Tensor
    values: Tensor
    nodes: int
    edges: Tensor
    face: Tensor
    lip_upper: Tensor
    lip_lower: Tensor

    def upsampling(self, eyes: bool) -> Tensor:
        """(V, G) sparse U of equation 2; ``eyes`` False: the eyeballs' rows are 0 (expressions)."""
        rows = slice(None) if eyes else self.rows < self.skin
        index = torch.stack([self.rows[rows], self.columns[rows]])
        shape = (len(self.mean), self.nodes)
        return torch.sparse_coo_tensor(index, self.values[rows], shape, check_invariants=False).coalesce()

    def metric(self) -> Tensor:
        """(G, G) float64 U^T U over the skin: turns inner products of vertex offsets into those of node offsets."""
        dense = torch.zeros(self.skin, self.nodes, dtype=torch.float64)
        rows = self.rows < self.skin
        dense[self.rows[rows], self.columns[rows]] = self.values[rows].double()
        return dense.T @ dense


def build_surface(template: Template, graph: DeformationGraph, level: int) -> GraphSurface:
    """The surface of ``graph`` at ``level``; raises ``ValueError`` for levels other than 0, 1 and 2."""
    if level not in (0, 1, 2):
        raise ValueError(f"level must be 0, 1 or 2, not {level}")
    head = template.head
    cage = head.vertex_stop
    quads = template.quads[head.face_start : head.face_stop].astype(np.int64)
    region = np.stack([template.regions[name][:cage] for name in _REGIONS], 1).astype(np.float32)
    matrix, quads = refined(quads, cage, level)
    fields = np.concatenate([template.vertices[:cage], region, graph.weights], 1).astype(np.float32)
    fields = torch.from_numpy(matrix.astype(np.float32) @ fields)
    skin = len(fields)
    mean, region, weights = fields.split([3, len(_REGIONS), len(graph.nodes)], 1)
    weights = torch.where(weights < _LEAST, 0.0, weights)
    weights = weights / weights.sum(1, keepdim=True)
    shown = triangles_from_quads(quads)
    visible = (region[:, [0, 3, 4]].amax(1) > 0.02).numpy()
    shown = shown[visible[shown].all(1)]
    rows, columns = weights.nonzero().unbind(1)
    couplings = {"rows": [rows], "columns": [columns], "values": [weights[rows, columns]]}
    means, faces, start = [mean], [shown], skin
    for name in EYES:
        part = template.parts[name]
        lids = template.regions["lids_" + name.removeprefix("eye_")][:cage] > 0.5
        pull = graph.weights[lids].mean(0)
        used = np.flatnonzero(pull > _LEAST)
        count = part.vertex_stop - part.vertex_start
        couplings["rows"].append(torch.arange(start, start + count).repeat_interleave(len(used)))
        couplings["columns"].append(torch.from_numpy(used).repeat(count))
        couplings["values"].append(torch.from_numpy((pull[used] / pull[used].sum()).astype(np.float32)).repeat(count))
        means.append(torch.from_numpy(template.vertices[part.vertex_start : part.vertex_stop]))
        own = template.quads[part.face_start : part.face_stop].astype(np.int64) - part.vertex_start + start
        faces.append(triangles_from_quads(own))
        start += count
    none = torch.zeros(start - skin)
    return GraphSurface(
        level=level,
        skin=skin,
        cage=cage,
        mean=torch.cat(means),
        faces=torch.from_numpy(np.concatenate(faces)),
        nodes=len(graph.nodes),
        edges=torch.from_numpy(graph.edges),
        face=torch.cat([region[:, 0], none]),
        lip_upper=torch.cat([region[:, 1], none]),
        lip_lower=torch.cat([region[:, 2], none]),
        **{name: torch.cat(values) for name, values in couplings.items()},
    )


@lru_cache(maxsize=4)
def graph_surface(level: int, nodes: int = PAPER_NODES) -> GraphSurface:
    """``build_surface`` of the committed template, cached."""
    return build_surface(load_template(), deformation_graph(nodes), level)
