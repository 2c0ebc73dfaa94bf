"""Strands on the head and over shoulders."""

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import load_template, triangulate
from backend.geometry.vectors import vertex_normals
from backend.hair.hair_strands import above
from backend.hair.hair_views import off_body
from backend.rig.bust import load_bust


def test_hair_falls_over_shoulders_and_ends_with_them() -> None:
    template, bust = load_template(), load_bust()
    head = template.vertices[: template.head.vertex_stop]
    middles = ((-0.08, 0.06), (0.07, 0.07), (-0.05, 0.08), (0.04, -0.06))  # x and z: before the chest and behind
    places = [(x + beside, z) for x, z in middles for beside in (0, 4e-3, 8e-3)]
    strands = np.array([[(x, y, z) for y in np.linspace(0.72, 0.35, 24)] for x, z in places], np.float32)
    clear = above(off_body(strands, head, template), float(bust.vertices[:, 1].min()))
    matrix, quads = catmull_clark(bust.quads, len(bust.vertices))
    body = np.asarray(matrix @ bust.vertices, np.float64)
    normals = vertex_normals(body, triangulate(quads).faces)

    def depth(points: np.ndarray) -> np.ndarray:
        near = cKDTree(np.concatenate([head, body])).query(points)[1] - len(head)
        points, near = points[near >= 0], near[near >= 0]
        return -((points - body[near]) * normals[near]).sum(-1)

    assert depth(strands.reshape(-1, 3)).max() > 0.02  # they ran through the shoulders
    assert depth(clear.reshape(-1, 3)).max() < 0.004
    assert clear[..., 1].min() > bust.vertices[:, 1].min() - 0.002
