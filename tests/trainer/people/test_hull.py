"""The surface along which hair falls, made from the template."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from trainer.people.dress.hull import AZIMUTHS, CENTRE_Y, ROWS, head_hull, hull_surface

from backend.geometry.template import load_template


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


def test_many_styles_on_one_head_have_the_hulls_of_as_many_heads() -> None:
    template = load_template()
    head = torch.from_numpy(template.vertices[: template.head.vertex_stop]).float()[None]
    room = torch.tensor([0.0, 0.01, 0.02])
    one, many = (
        hull_surface(head_hull(template), head, room),
        hull_surface(head_hull(template), head.expand(3, -1, -1), room),
    )
    torch.testing.assert_close(one.maps, many.maps)
    torch.testing.assert_close(one.scale, many.scale)
