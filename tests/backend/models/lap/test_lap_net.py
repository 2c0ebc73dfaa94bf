"""LAP's networks: aggregation, sizes, options, and what refining does before it has learnt."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from canonical_hand_made import TINY, tiny_network

from backend.models.checkpoints import ModelWeights, fingerprint, half_precision, save_model
from backend.models.lap import network
from backend.models.lap.apply import LapModel
from backend.models.lap.canonical_face import render_face
from backend.rendering.camera import View, rotation_from_euler
from backend.rendering.depth_surface import LambertLight

SMALL = dataclasses.replace(
    TINY, rotation_degrees=60.0, depth_components=5, albedo_components=5, depth_residual=4, albedo_residual=4
)


def small_net(**changes: object) -> network.LapNet:
    return tiny_network(dataclasses.replace(SMALL, **changes))


def scene_alone(net: network.LapNet, pictures: torch.Tensor) -> network.Scene:
    return net.scene(pictures, net.encode(pictures))


def test_fused_codes_are_equation_4() -> None:
    codes = torch.tensor([[1.0, 2.0], [3.0, 4.0], [7.0, 8.0]])
    logits = torch.tensor([[0.0, 1.0], [0.0, -1.0], [5.0, 5.0]])
    fused = network.fuse_codes(codes, logits, torch.tensor([0, 0, 1]))
    share = torch.softmax(torch.tensor([1.0, -1.0]), 0)
    torch.testing.assert_close(fused[0], torch.tensor([2.0, (share * torch.tensor([2.0, 4.0])).sum()]))
    torch.testing.assert_close(fused[1], codes[2])  # one photo: its own code, whatever its logits
    torch.testing.assert_close(network.fuse_codes(codes, logits, torch.tensor([0, 0, 0]), "average")[0], codes.mean(0))


@torch.no_grad()
def test_the_order_of_the_photos_does_not_matter() -> None:
    net, pictures = small_net(), torch.rand(5, 3, 32, 32) * 2 - 1
    sets = torch.tensor([0, 0, 0, 1, 1])
    face, _ = net(pictures, sets)
    order = torch.tensor([4, 2, 0, 3, 1])
    other, scene = net(pictures[order], sets[order])
    torch.testing.assert_close(face.depth, other.depth, atol=1e-6, rtol=0)
    torch.testing.assert_close(face.albedo, other.albedo, atol=1e-5, rtol=0)
    torch.testing.assert_close(scene.view.rotation, scene_alone(net, pictures).view.rotation[order])
    alone, _ = net(pictures[3:], torch.tensor([0, 0]))
    torch.testing.assert_close(alone.depth[0], face.depth[1], atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("decoder", ["convolution", "linear"])
def test_shape_alone_is_what_the_whole_network_says(decoder: str) -> None:
    net, pictures, sets = (
        small_net(view_head=True, decoder=decoder),
        torch.rand(4, 3, 32, 32) * 2 - 1,
        torch.arange(4) // 2,
    )
    torch.nn.init.normal_(net.view_head.weight, std=0.3)
    face, scene = net(pictures, sets)
    depth, view = net.shape(pictures, sets)
    torch.testing.assert_close(depth, face.depth)
    torch.testing.assert_close(view.rotation, scene.view.rotation)
    torch.testing.assert_close(scene_alone(net, pictures).view.translation, view.translation)


@torch.no_grad()
def test_mirrored_views_of_a_mirror_image_are_mirrored() -> None:
    net, pictures = small_net(mirrored_views=True, view_head=True), torch.rand(3, 3, 32, 32) * 2 - 1
    torch.nn.init.normal_(net.view_head.weight, std=0.3)
    view, mirrored = scene_alone(net, pictures).view, network.mirrored_view(scene_alone(net, pictures.flip(-1)).view)
    torch.testing.assert_close(view.rotation, mirrored.rotation, atol=1e-5, rtol=0)
    torch.testing.assert_close(view.translation, mirrored.translation, atol=1e-6, rtol=0)
    torch.testing.assert_close(view.rotation @ view.rotation.mT, torch.eye(3).expand(3, 3, 3), atol=1e-5, rtol=0)
    assert (torch.linalg.det(view.rotation) > 0).all()
    net.train()
    assert (scene_alone(net, pictures).view.rotation - view.rotation).abs().max() > 1e-3, (
        "training learns from what was said"
    )


@torch.no_grad()
def test_refining_begins_with_the_shared_face() -> None:
    line = torch.linspace(0.95, 1.05, 32)
    face = network.CanonicalMaps(line.expand(2, 32, 32).contiguous(), torch.rand(2, 3, 32, 32) - 0.5)
    same = small_net(refine_residual=True, border_columns=0).personalize(torch.rand(2, 3, 32, 32), face)
    torch.testing.assert_close(same.depth, face.depth, atol=1e-5, rtol=0)
    torch.testing.assert_close(same.albedo, face.albedo, atol=1e-5, rtol=0)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        network.LapConfig(size=96)
    with pytest.raises(ValueError, match="depth_range"):
        network.LapConfig(depth_range=(1.1, 0.9))
    assert network.ConfidenceNet(16, 4, 4, False)(torch.zeros(1, 3, 16, 16))[0].shape == (1, 2, 16, 16)


def test_confidence_and_refiner_are_unsup3d_s() -> None:
    """Weights of ConfNet and EDDeconv, unsup3d/networks.py: convolutions of 4, 5 or 3 pixels, and norms."""
    shapes = [tuple(own.shape) for own in network.ConfidenceNet(64, 64, 128, True).parameters()]
    fours = [(64, 3), (128, 64), (256, 128), (512, 256), (128, 512)]
    fours += [(128, 512), (512, 256), (256, 128), (128, 64), (64, 64)]
    wanted = [(*one, 4, 4) for one in fours] + [(2, 64, 5, 5), (2, 128, 3, 3)]
    wanted += [(width,) for width in (64, 128, 256, 256, 128, 64, 64) for _ in "wb"]
    assert sorted(shapes) == sorted(wanted)
    refiner = network.RefiningNet(64, 64, 3, "vector", True, True)
    decoder = network.ConvolutionDecoder(64, 64, 512, 3)
    parts = [refiner.start, refiner.up, refiner.last]
    assert [own.shape for part in parts for own in part.parameters()] == [own.shape for own in decoder.parameters()]
    assert refiner.last[-1].weight.any() and len(refiner.canonical[-1]) == 2, "neither zero nor a norm at 4 x 4"


def test_a_saved_model_loads_and_gives_the_same(tmp_path: Path) -> None:
    net = small_net(decoder="linear", translation=(0.1, 0.1, 0.2))
    tensors = half_precision(net.state_dict())
    save_model(ModelWeights("lap", net.config.to_json(), tensors, fingerprint(tensors)), tmp_path)
    loaded = LapModel.load(tmp_path).network
    assert loaded.config == net.config
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        (a, _), (b, _) = (n(pictures, torch.tensor([0, 0])) for n in (net, loaded))
    torch.testing.assert_close(a.depth, b.depth, atol=1e-3, rtol=0)


def test_a_turned_face_shows_its_side_and_the_straight_view_is_the_canonical_picture() -> None:
    y, x = torch.meshgrid(*2 * [(torch.arange(32) + 0.5) / 16 - 1], indexing="ij")
    depth = (0.96 + 0.06 * (x**2 + y**2))[None]
    face = network.CanonicalMaps(depth, torch.stack([x, y, x * 0]).clamp(-0.9, 0.9)[None])
    light = LambertLight(torch.ones(1), torch.zeros(1), torch.tensor([[0.0, 0.0, 1.0]]))
    straight = View(torch.eye(3)[None], torch.zeros(1, 3))
    picture = render_face(face, network.Scene(light, straight), SMALL)
    assert picture.mask.all()
    torch.testing.assert_close(picture.image, face.albedo, atol=1e-4, rtol=0)
    left = View(rotation_from_euler(torch.tensor([[0.0, -torch.pi / 6, 0.0]])), torch.zeros(1, 3))
    turned = render_face(face, network.Scene(light, left), SMALL)
    assert turned.image[0, 0, 16, 16] < -0.05, "turned to their left, the picture's right, shows their right side"
