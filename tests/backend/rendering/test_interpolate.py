"""Barycentrics, depth and interpolation: values against a ray caster, gradients against finite differences."""

import numpy as np
import torch

from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids

SIZE = (9, 12)


def scene(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 12, 3, generator=generator, dtype=dtype) * torch.tensor([12.0, 9.0, 1.0], dtype=dtype)
    points = points + torch.tensor([0.0, 0.0, 0.5], dtype=dtype)
    faces = torch.randint(0, 12, (9, 3), generator=generator)
    return points, faces, face_ids(points, faces, SIZE)


def barycentrics(points, faces, ids):
    found = fragments(ids, faces)
    return found.scatter(fragment_barycentrics(points, found))


def depth(points, faces, ids):
    found = fragments(ids, faces)
    return found.scatter(fragment_values(points[..., 2:], found, fragment_barycentrics(points, found)))[..., 0]


def test_barycentrics_are_where_the_ray_meets_the_triangle():
    points, faces, ids = scene()
    weights = barycentrics(points, faces, ids)
    focal, middle = 20.0, np.array([6.0, 4.5])
    for image, row, column in (ids >= 0).nonzero().tolist():
        corners = points[image, faces[ids[image, row, column]]].numpy()
        in_camera = np.concatenate([(corners[:, :2] - middle) / focal, np.ones((3, 1))], 1) * corners[:, 2:]
        ray = np.array([(column + 0.5 - middle[0]) / focal, (row + 0.5 - middle[1]) / focal, 1.0])
        share = np.linalg.solve(in_camera.T, ray)  # ray * t = sum b_i v_i with sum b_i = 1
        np.testing.assert_allclose(weights[image, row, column], share / share.sum(), atol=1e-9)
        np.testing.assert_allclose(depth(points, faces, ids)[image, row, column], 1 / share.sum(), rtol=1e-9)
    assert (ids >= 0).sum() > 20


def test_empty_pixels_are_zero_and_the_rest_sums_to_one():
    points, faces, ids = scene()
    assert torch.allclose(barycentrics(points, faces, ids).sum(-1), (ids >= 0).double())
    assert (depth(points, faces, ids)[ids < 0] == 0).all()


def test_gradients_equal_finite_differences():
    points, faces, ids = scene()
    generator = torch.Generator().manual_seed(1)
    attributes = torch.rand(2, 12, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    shared = torch.rand(1, 12, 2, generator=generator, dtype=torch.float64, requires_grad=True)

    def image(points, attributes, shared):
        found = fragments(ids, faces)
        weights = fragment_barycentrics(points, found)
        values = [fragment_values(kind, found, weights) for kind in (attributes, shared, points[..., 2:])]
        return *(found.scatter(one) for one in values), found.scatter(weights)

    assert torch.autograd.gradcheck(image, (points.requires_grad_(), attributes, shared))


def test_images_hold_the_compact_values_and_the_background():
    points, faces, ids = scene(torch.float32)
    found = fragments(ids, faces)
    values = fragment_values(points, found, fragment_barycentrics(points, found))
    images = found.scatter(values, 7.0)
    assert torch.equal(found.gather(images), values) and torch.equal(images[ids >= 0], values)
    assert images[ids < 0].eq(7).all()
    assert torch.equal(found.image, found.pixel // (SIZE[0] * SIZE[1]))


def test_other_faces_carry_other_attributes():
    points, faces, ids = scene()
    uv_faces = torch.arange(27).view(9, 3)
    uv = points[:, faces.view(-1), :2]  # every corner its own
    found, in_uv = fragments(ids, faces), fragments(ids, uv_faces)
    weights = fragment_barycentrics(points, found)
    own = fragment_values(uv, in_uv, weights)
    assert torch.allclose(own, fragment_values(points[..., :2], found, weights))


def test_gradient_moves_a_vertex_towards_a_target_depth():
    points = torch.tensor([[[-20.0, -20, 1], [40, -20, 1], [-20, 40, 1]]], dtype=torch.float64, requires_grad=True)
    faces = torch.tensor([[0, 1, 2]])
    for _ in range(300):
        ids = face_ids(points, faces, (8, 8))
        error = (depth(points, faces, ids) - 1.5).square().mean()
        (gradient,) = torch.autograd.grad(error, points)
        points = (points - torch.tensor([0, 0, 0.4]) * gradient).detach().requires_grad_()
    assert error < 2e-5


def test_faces_seen_edge_on_do_no_harm():
    # The first is a sliver of 1e-6 square pixels through the pixel centre (2.5, 2.5), the second has no area at all.
    points = torch.tensor([[[0.5, 0.5, 1], [4.5, 4.5 + 5e-7, 2], [0.5, 0.5 - 1e-7, 3], [3, 3, 1]]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [3, 3, 3]])
    ids = torch.full((1, 5, 5), -1)
    ids[0, 2, 2], ids[0, 3, 3] = 0, 1
    points.requires_grad_()
    weights = barycentrics(points, faces, ids)
    assert torch.allclose(weights[0, 2, 2], torch.full((3,), 1 / 3, dtype=torch.float64))
    seen = depth(points, faces, ids)
    (seen.sum() + (weights * torch.rand(3)).sum()).backward()
    assert torch.isfinite(points.grad).all() and points.grad.abs().max() <= 4
