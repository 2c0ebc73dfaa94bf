"""The parsing net: size, shapes, folded norms, and photographs of any size."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import LikenessError
from backend.models.checkpoints import ModelWeights, fingerprint, half_precision, save_model
from backend.models.mobile_trunk import ChannelTuning, trainable_state
from backend.models.parsing import network
from backend.models.registry import PARSING, PARSING_OPINION

SMALL = network.ParsingNetConfig(widths=(8, 8, 12, 12, 16), depths=(1, 1, 1, 1, 1), size=32)
LITE0 = dataclasses.replace(SMALL, trunk="lite0")
FROZEN = dataclasses.replace(SMALL, trunk="lite0_frozen")


def small_net(config: network.ParsingNetConfig = SMALL) -> network.ParsingNet:
    """Random weights, and norms that have seen something."""
    torch.manual_seed(0)
    net = network.ParsingNet(config)
    net.train()
    for _ in range(3):
        net(torch.rand(4, 3, 32, 32))
    return net.eval()


def tuned(net: network.ParsingNet) -> network.ParsingNet:
    """With scales and shifts, where it has some, that are no longer none."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, ChannelTuning):
                module.scale.uniform_(-0.5, 0.5)
                module.shift.uniform_(-0.5, 0.5)
    return net


def save(net: network.ParsingNet, folder: Path) -> None:
    state = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    tensors = half_precision(state)
    save_model(ModelWeights(PARSING.name, net.config.to_json(), tensors, fingerprint(tensors)), folder)


@pytest.mark.parametrize("config", [SMALL, LITE0, FROZEN])
def test_logits_have_the_size_of_the_picture(config: network.ParsingNetConfig) -> None:
    net = small_net(config)
    with torch.no_grad():
        assert net(torch.rand(2, 3, 64, 96)).shape == (2, 12, 64, 96)
    with pytest.raises(ValueError, match="multiple of 32"):
        net(torch.rand(1, 3, 60, 64))


def test_a_deeper_net_begins_as_the_trained_one_whose_weights_it_takes() -> None:
    trained = small_net().eval()
    deeper = network.ParsingNet(dataclasses.replace(SMALL, depths=tuple(depth + 2 for depth in SMALL.depths))).eval()
    deeper.load_state_dict(trained.state_dict(), strict=False)
    pictures = torch.rand(1, 3, SMALL.size, SMALL.size)
    with torch.no_grad():
        torch.testing.assert_close(deeper(pictures), trained(pictures))


def test_every_pixel_of_the_input_can_matter() -> None:
    net = small_net()
    picture = torch.rand(1, 3, 32, 32, requires_grad=True)
    net(picture)[0, :, 16, 16].square().sum().backward()
    assert (picture.grad.abs().sum(1) > 0).float().mean() > 0.9


def test_fresh_logits_have_no_checkerboard() -> None:
    net = small_net()
    with torch.no_grad():
        logits = net(torch.rand(1, 3, 32, 32))
    blocks = logits.unfold(2, 2, 2).unfold(3, 2, 2)
    torch.testing.assert_close(blocks[..., 0, 0], blocks[..., 1, 1])


@pytest.mark.parametrize("config", [SMALL, LITE0, FROZEN])
def test_folding_the_norms_changes_nothing(config: network.ParsingNetConfig) -> None:
    net = tuned(small_net(config))
    fused = net.fused()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fused(pictures), net(pictures), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("config", [SMALL, LITE0])
def test_saved_and_loaded_it_gives_the_same_labels(tmp_path: Path, config: network.ParsingNetConfig) -> None:
    net = small_net(config)
    save(net, tmp_path)
    parser = network.FaceParser.load(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = net(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255.0)
    probabilities = parser.probabilities(pixels)
    np.testing.assert_allclose(probabilities, expected.softmax(1)[0].numpy(), atol=0.01)


def test_of_a_frozen_trunk_only_what_was_learnt_moves_and_ships() -> None:
    net = network.ParsingNet(FROZEN).train()
    before = {name: value.clone() for name, value in net.trunk.state_dict().items()}
    net(torch.rand(4, 3, 32, 32)).square().mean().backward()
    moved = {name for name, parameter in net.trunk.named_parameters() if parameter.grad is not None}
    assert moved and all(".tuned." in name for name in moved)
    for name, value in net.trunk.state_dict().items():
        assert torch.equal(value, before[name]), name  # not even the norms' statistics
    shipped = {name for name in trainable_state(net) if name.startswith("trunk.")}
    assert shipped == {f"trunk.{name}" for name in before if ".tuned." in name}
    assert "down.0.0.pointwise.0.weight" in trainable_state(net)


def test_a_frozen_trunk_has_its_own_file(tmp_path: Path) -> None:
    net = tuned(small_net(FROZEN))
    net.trunk.load_imagenet()
    tensors = half_precision(trainable_state(net))
    save_model(ModelWeights(PARSING_OPINION.name, net.config.to_json(), tensors, fingerprint(tensors)), tmp_path)
    parser = network.SecondParser.load(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = net(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255.0).softmax(1)[0].numpy()
    np.testing.assert_allclose(parser.probabilities(pixels), expected, atol=0.01)


def test_what_is_no_square_crop_is_refused(tmp_path: Path) -> None:
    save(small_net(), tmp_path)
    parser = network.FaceParser.load(tmp_path)
    for pixels in (np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)):
        with pytest.raises(ValueError, match="pixels must be"):
            parser.probabilities(pixels)


def test_not_trained_is_said(tmp_path: Path) -> None:
    with pytest.raises(LikenessError, match="The parsing model is not trained"):
        network.FaceParser.load(tmp_path)
