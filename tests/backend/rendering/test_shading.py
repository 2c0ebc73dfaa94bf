"""Light: spherical harmonics against numerical integration, and Lambert's shading by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.rendering import spherical_harmonics as sh
from backend.rendering.camera import CanonicalCamera
from backend.rendering.depth_surface import lambert_image, lambert_shading, light_from_network, normals_from_depth


def sphere(polar: int = 80, around: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Directions (S, 3) and solid angles (S,): Gauss-Legendre in z, uniform in the azimuth."""
    z, weight = np.polynomial.legendre.leggauss(polar)
    turn = 2 * np.pi * (np.arange(around) + 0.5) / around
    radius = np.sqrt(1 - z * z)
    directions = np.stack(
        [radius[:, None] * np.cos(turn), radius[:, None] * np.sin(turn), np.repeat(z[:, None], around, 1)], -1
    )
    return directions.reshape(-1, 3), np.repeat(weight * 2 * np.pi / around, around)


def random_rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def test_basis_is_orthonormal():
    directions, solid_angle = sphere()
    values = sh.basis(directions)
    np.testing.assert_allclose(values.T @ (values * solid_angle[:, None]), np.eye(9), atol=1e-12)


def test_torch_equals_numpy():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(4, 5, 3))
    light = rng.normal(size=(9, 3))
    lamps, colors = normals[0] / np.linalg.norm(normals[0], axis=-1)[:, None], light[:5]
    pairs = [
        (sh.basis(normals), sh.basis(torch.tensor(normals))),
        (sh.shade(normals, light), sh.shade(torch.tensor(normals), torch.tensor(light))),
        (
            sh.light_from_directions(lamps, colors, 0.2),
            sh.light_from_directions(torch.tensor(lamps), torch.tensor(colors), 0.2),
        ),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-12)


def test_a_lamp_is_the_projection_of_its_clamped_cosine():
    directions, solid_angle = sphere()
    lamp, color = np.array([0.6, -0.48, 0.64]), np.array([1.0, 0.5, 0.25])
    cosine = np.maximum(0, directions @ lamp)
    projected = sh.basis(directions).T @ (cosine * solid_angle)
    light = sh.light_from_directions(lamp[None], color[None], 0.3)
    expected = projected[:, None] * color
    expected[0] += 0.3 / sh.BASIS_CONSTANTS[0]
    np.testing.assert_allclose(light, expected, atol=1e-3)
    error = sh.shade(directions, light)[:, 0] - 0.3 - cosine
    assert np.abs(error).max() < 0.1  # what three bands leave out
    assert sh.shade(lamp[None], light).argmax() == 0


@pytest.mark.parametrize("seed", range(3))
def test_rotated_light_shades_rotated_normals_alike(seed):
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    light, rotation = rng.normal(size=(9, 3)), random_rotation(seed)
    turned = sh.rotate(light, rotation)
    np.testing.assert_allclose(sh.shade(normals @ rotation.T, turned), sh.shade(normals, light), atol=1e-10)
    np.testing.assert_allclose(sh.rotate(turned, rotation.T), light, atol=1e-10)


def test_gradient_reaches_normals_and_light():
    normals = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    light = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sh.shade, (normals, light))


def test_light_from_network():
    light = light_from_network(torch.tensor([[-1.0, 1.0, 0.0, 0.0], [0.0, 0.5, 3.0, 0.0]]))
    assert torch.allclose(light.ambient, torch.tensor([0.0, 0.5]))
    assert torch.allclose(light.diffuse, torch.tensor([1.0, 0.75]))
    assert torch.allclose(light.direction[1], torch.tensor([3.0, 0, 1]) / 10**0.5)


def test_shading_by_hand():
    light = light_from_network(
        torch.tensor([[-0.6, 0.2, 0.75, 0.0]])
    )  # ambient 0.2, diffuse 0.6, direction (.6, 0, .8)
    normals = torch.tensor([[0.0, 0, 1], [0.6, 0, 0.8], [-1, 0, 0]]).view(1, 1, 3, 3)
    assert torch.allclose(lambert_shading(normals, light), torch.tensor([[[0.2 + 0.6 * 0.8, 0.8, 0.2]]]))
    albedo = torch.full((1, 3, 1, 3), 0.5)
    assert torch.allclose(lambert_image(albedo, normals, light)[0, 0, 0, 2], torch.tensor(-0.7))


def test_slope_towards_the_lamp_is_brighter():
    # The surface recedes to the right, so that it faces right, as the right half of a ball does.
    x = torch.linspace(0.95, 1.05, 16)
    depth = x.expand(1, 16, 16).contiguous()
    normals = normals_from_depth(depth, CanonicalCamera((16, 16)))
    from_left = lambert_shading(normals, light_from_network(torch.tensor([[-1.0, 1.0, 1.0, 0.0]])))
    from_right = lambert_shading(normals, light_from_network(torch.tensor([[-1.0, 1.0, -1.0, 0.0]])))
    outward = -normals[0, 8, 8]
    assert outward[0] > 0 and outward[2] < 0
    assert from_right[0, 8, 8] > from_left[0, 8, 8]  # light that travels to the left
