"""Mesh of the learned face model: the skin at a subdivision level and the eyeballs, moved by a deformation graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from backend.geometry.deformation_graph import PAPER_NODES, DeformationGraph, deformation_graph
from backend.geometry.refine import refinements
from backend.geometry.template import Template, load_template
from backend.geometry.topology import triangles_from_quads

EYES = ("eye_left", "eye_right")
_REGIONS = ("face", "lip_upper", "lip_lower", "mouth_interior", "eye_sockets")
_COLUMNS_AT_ONCE = 64
"""Number of fields that are refined at a time; this is faster than all 530, because they fit into the cache."""
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
        kept = slice(None) if eyes else self.rows < self.skin
        index = torch.stack([self.rows[kept], self.columns[kept]])
        shape = (len(self.mean), self.nodes)
        return torch.sparse_coo_tensor(index, self.values[kept], shape, check_invariants=False).coalesce()

    def metric(self) -> Tensor:
        """(G, G) float64 U^T U over the skin: turns inner products of vertex offsets into those of node offsets."""
        dense = torch.zeros(self.skin, self.nodes, dtype=torch.float64)
        kept = self.rows < self.skin
        dense[self.rows[kept], self.columns[kept]] = self.values[kept].double()
        return dense.T @ dense


def build_surface(template: Template, graph: DeformationGraph, level: int) -> GraphSurface:
    """The surface of ``graph`` at ``level``; raises ``ValueError`` for levels other than 0, 1 and 2."""
    if level not in (0, 1, 2):
        raise ValueError(f"level must be 0, 1 or 2, not {level}")
    head = template.head
    cage = head.vertex_stop
    quads = template.quads[head.face_start : head.face_stop].astype(np.int64)
    region = np.stack([template.regions[name][:cage] for name in _REGIONS], 1).astype(np.float32)
    fields = torch.from_numpy(np.concatenate([template.vertices[:cage], region, graph.weights], 1).astype(np.float32))
    for step in refinements(quads, cage, level):
        parts = fields.split(_COLUMNS_AT_ONCE, 1)
        fields, quads = torch.cat([step(part.contiguous()) for part in parts], 1), step.refined
    skin = len(fields)
    mean, region, weights = fields.split([3, len(_REGIONS), len(graph.nodes)], 1)
    weights = torch.where(weights < _LEAST, 0.0, weights)
    weights = weights / weights.sum(1, keepdim=True)
    shown = triangles_from_quads(quads)
    seen = (region[:, [0, 3, 4]].amax(1) > 0.02).numpy()
    shown = shown[seen[shown].all(1)]
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
