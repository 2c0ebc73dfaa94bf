"""Closest points and model fits on surfaces whose answer is known, and people of ICT-FaceKit on the template's mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.geometry.closest import Closest, TriangleMesh
from backend.geometry.template import load_template, triangles_from_quads
from trainer.heads.population import carrier_of, load_ict


def sheet(count=17, size=0.1, height=lambda x, y: 0 * x):
    """A square height field looking along +z."""
    x, y = np.meshgrid(np.linspace(-size / 2, size / 2, count), np.linspace(-size / 2, size / 2, count))
    points = np.stack([x.ravel(), y.ravel(), height(x, y).ravel()], axis=1)
    index = np.arange(count * count).reshape(count, count)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1).reshape(-1, 4)
    return points, triangles_from_quads(quads)


def bump(x, y):
    return 0.008 * np.exp(-(x**2 + y**2) / 0.02**2)


def test_closest_points_equal_a_dense_search():
    rng = np.random.default_rng(0)
    points, triangles = sheet(9, height=bump)
    queries = rng.uniform(-0.06, 0.06, (60, 3))
    triangle, weights, distance = Closest(points, triangles)(queries)
    spots = (points[triangles[triangle]] * weights[..., None]).sum(1)
    np.testing.assert_allclose(np.linalg.norm(spots - queries, axis=1), distance)
    np.testing.assert_allclose(weights.sum(1), 1.0)
    assert weights.min() >= 0
    share = rng.dirichlet([0.6, 0.6, 0.6], 400)
    dense = np.einsum("sc,tck->tsk", share, points[triangles]).reshape(-1, 3)
    nearest = np.linalg.norm(queries[:, None] - dense[None], axis=-1).min(1)
    assert (distance <= nearest + 1e-12).all() and (nearest - distance).max() < 1.5e-3


def test_a_point_over_the_middle_of_a_large_triangle_is_nearest_to_it_not_to_small_ones_around() -> None:
    small, faces = sheet(9, size=0.02)
    large = np.array([[-0.1, -0.1, -0.03], [0.1, -0.1, -0.03], [0, 0.1, -0.03]])
    points, triangles = np.concatenate([small, large]), np.concatenate([faces, [[81, 82, 83]]])
    hit, weights, distance = Closest(points, triangles)(np.array([[0.0, -0.06, 0.02]]))
    assert hit.tolist() == [len(faces)] and distance == pytest.approx([0.05])
    np.testing.assert_allclose(weights @ large, [[0.0, -0.06, -0.03]], atol=1e-9)
    with pytest.raises(ValueError, match="at least one"):
        Closest(points, triangles[:0])


def test_people_of_ict_are_carried_onto_the_templates_mesh(shared_dir: Path) -> None:
    if not (shared_dir / "faces3d").is_dir():
        pytest.skip("needs ../shared/faces3d")
    ict, place = load_ict(), np.array([30.0, -400.0, 7.0])
    used, inward = np.unique(ict.skin[:, ::-1], return_inverse=True)
    inward = inward.reshape(-1, 3)
    carrier = carrier_of(TriangleMesh(1000 * ict.neutral[used] + place, inward))
    weights, topology = np.random.default_rng(1).normal(size=100), carrier.head
    person, count = 1000 * ict.shaped(weights)[used] + place, len(carrier.cage)
    moved, still = (carrier.whole(mesh)[:count] for mesh in (person, carrier.mesh))
    offsets = np.tensordot(weights, carrier.offsets(1000 * ict.identity[:, used]), 1)[:count]
    assert carrier.unit == 0.001 and np.allclose(still + offsets, moved, atol=1e-5)
    face = load_template().regions["face"][:count] > 0.5
    assert np.linalg.norm(still - load_template().vertices[:count], axis=1)[face].mean() < 0.0007  # made of ICT's mean
    face, person = topology.matrix @ topology.skin_weights(face=1.0) > 0.5, 0.001 * person - carrier.translation
    near = Closest(person @ carrier.rotation, inward)
    apart, usual = (np.median(near((topology.matrix @ head)[face])[2]) for head in (moved, still))
    assert apart < 0.00025 < 0.2 * usual
