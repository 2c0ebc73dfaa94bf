"""The residual trunk is ResNet-50: its sizes, and what a block does when it is made."""

from __future__ import annotations

import torch

from backend.models.graph_face import Bottleneck, ResidualTrunk


def test_at_width_64_it_has_the_weights_of_resnet50_without_its_classifier() -> None:
    trunk = ResidualTrunk(64)
    assert trunk.width == 2048
    assert sum(parameter.numel() for parameter in trunk.parameters()) == 25_557_032 - 2_049_000


def test_it_halves_five_times_and_gives_one_vector_for_any_size() -> None:
    trunk = ResidualTrunk(4).eval()
    sides = []
    trunk.stages[-1].register_forward_hook(lambda module, given, found: sides.append(found.shape[-1]))
    for size in (64, 224):
        assert trunk(torch.rand(2, 3, size, size)).shape == (2, 128)
    assert sides == [2, 7]


def test_a_new_block_passes_on_what_it_is_given() -> None:
    x = torch.rand(2, 16, 8, 8)
    assert torch.equal(Bottleneck(16, 4, 1)(x), x)
