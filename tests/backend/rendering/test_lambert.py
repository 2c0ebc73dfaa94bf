import torch

from backend.rendering.camera import CanonicalCamera
from backend.rendering.depth_surface import lambert_image, lambert_shading, light_from_network, normals_from_depth


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
    assert torch.allclose(lambert_image(albedo, lambert_shading(normals, light))[0, 0, 0, 2], torch.tensor(-0.7))


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
