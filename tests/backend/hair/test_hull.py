"""The surface along which hair falls, made from the template."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from backend.geometry.template import load_template
from backend.hair.hull import AZIMUTHS, CENTRE_Y, ROW_STEP, ROWS, _nearest, azimuths, gap_to_skin, head_hull


def test_neighbours_are_the_nearest() -> None:
    rng = np.random.default_rng(0)
    points, others = rng.normal(size=(100, 3)), rng.normal(size=(300, 3))
    every = ((points[:, None] - others) ** 2).sum(-1)
    squared, near = _nearest(points, others, 4)
    np.testing.assert_array_equal(np.sort(near, axis=1), np.sort(every.argsort(1)[:, :4], axis=1))
    np.testing.assert_array_equal(squared, np.take_along_axis(every, near, 1))


def test_the_upper_hull_lies_on_the_skull() -> None:
    """Rays from the axis end on the head's outermost triangles."""
    template = load_template()
    hull = head_hull(template)
    assert hull.mean.shape == (ROWS, AZIMUTHS, 3) and hull.vertices.shape == (ROWS * AZIMUTHS, 4)
    np.testing.assert_allclose(hull.mean[0], hull.mean[0, :1].repeat(AZIMUTHS, 0), atol=1e-12)  # one crown
    upper = hull.mean[hull.mean[..., 1] > CENTRE_Y + 0.01]
    quads = template.vertices[template.quads[: template.head.face_stop]].astype(np.float64)  # (F, 4, 3)
    u, v = np.meshgrid(np.linspace(0, 1, 17), np.linspace(0, 1, 17))
    shares = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v]).reshape(4, -1)
    distance, _ = cKDTree((shares.T @ quads).reshape(-1, 3)).query(upper)
    assert len(upper) > 400 and distance.max() < 1.5e-3
    mirrored = hull.mean[:, (-np.arange(AZIMUTHS)) % AZIMUTHS] * [-1, 1, 1]
    np.testing.assert_allclose(hull.mean, mirrored, atol=2e-3)


def test_the_gap_leads_from_the_hull_to_the_skin() -> None:
    template = load_template()
    hull = head_hull(template)
    row, height = np.arange(ROWS)[:, None], hull.mean[..., 1]
    assert hull.gap.shape == (ROWS, AZIMUTHS) and hull.gap[height > CENTRE_Y + 0.01].max() < 2e-4
    nape = (np.abs(azimuths()) > 2.4) & (row * ROW_STEP > 0.19) & (row * ROW_STEP < 0.22)
    assert hull.gap[nape].min() > 0.004 and hull.gap[nape].max() < 0.012
    inwards = -np.stack([np.sin(azimuths()), np.zeros(AZIMUTHS), np.cos(azimuths())], 1)
    skin = (hull.mean + inwards * hull.gap[..., None])[nape]
    quads = template.vertices[template.quads[: template.head.face_stop]].astype(np.float64)
    u, v = np.meshgrid(np.linspace(0, 1, 17), np.linspace(0, 1, 17))
    shares = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v]).reshape(4, -1)
    distance, _ = cKDTree((shares.T @ quads).reshape(-1, 3)).query(skin)
    assert distance.max() < 1.5e-3


def test_values_between_the_hulls_points_are_linear_and_go_round() -> None:
    hull = head_hull(load_template())
    azimuth = torch.tensor([azimuths()[40], np.pi - 1e-6, -np.pi + 1e-6])
    s = torch.tensor([16 * ROW_STEP, 0.2, 0.2])
    found = gap_to_skin(hull, azimuth, s)
    assert abs(float(found[0]) - hull.gap[16, 40]) < 1e-6
    assert abs(float(found[1] - found[2])) < 1e-5 and float(found[1]) > 0.004
