"""LAP's losses by hand, and the features that perceptual losses compare."""

from __future__ import annotations

import math

import pytest
import torch

from backend.rendering.camera import View, rotation_from_euler
from trainer import losses
from trainer.methods.lap import stage as canonical

CPU = torch.device("cpu")
ONES = torch.ones(1, 4, 4)


def test_photometric_is_equation_3() -> None:
    a, b = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)
    for sigma in (0.3, 1.0):
        wanted = math.sqrt(2) * 0.5 / sigma + math.log(math.sqrt(2) * sigma)
        assert losses.photometric(a, b, torch.full((1, 1, 4, 4), sigma), ONES).item() == pytest.approx(wanted, rel=1e-5)
    best = min(
        torch.linspace(0.1, 2, 200).tolist(), key=lambda s: losses.photometric(a, b, torch.full((1, 1, 4, 4), s), ONES)
    )
    assert best == pytest.approx(math.sqrt(2) * 0.5, abs=0.02), "the best sigma is the typical difference"


def test_photometric_leaves_out_what_is_masked() -> None:
    a, b = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    b[..., 2:] = 9.0
    mask = ONES.clone()
    mask[..., 2:] = 0
    sigma = torch.ones(1, 1, 4, 4)
    assert losses.photometric(a, b, sigma, mask) == pytest.approx(math.log(math.sqrt(2)))
    assert torch.isfinite(losses.photometric(a, b, sigma, mask * 0))


def test_relaxed_regions_weigh_less_as_in_equation_5() -> None:
    a, b = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    sigma, relax = torch.ones(1, 1, 4, 4), ONES.clone()
    relax[:, :2] = 0.3
    found = losses.photometric(a, b, sigma, ONES, relax).item()
    half = math.log(math.sqrt(2))
    wanted = (8 * (math.sqrt(2) + half) + 8 * (0.3 * math.sqrt(2) + half)) / (8 + 8 * 0.3)
    assert found == pytest.approx(wanted, rel=1e-5)


def test_feature_distance_by_hand() -> None:
    a, b = torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2, 2), 2.0)
    found = losses.feature_distance(a, b, torch.full((1, 1, 8, 8), 0.5), torch.ones(1, 8, 8))
    assert found.item() == pytest.approx(4 / 0.5 + math.log(0.5), rel=1e-4)


def test_smooth_is_zero_for_planes_and_grey_pictures_have_no_colour() -> None:
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    assert losses.smoothness((0.9 + 0.01 * x + 0.02 * y)[None]).item() == pytest.approx(0, abs=1e-3)
    assert losses.smoothness((0.9 + 0.01 * x**2)[None]).item() == pytest.approx(20.0, rel=1e-2)
    pictures = torch.rand(2, 3, 4, 4)
    grey = losses.grey_where(pictures, torch.tensor([True, False]))
    assert torch.equal(grey[1], pictures[1]) and torch.equal(grey[0, 0], grey[0, 2])


def test_canonical_errors_by_hand() -> None:
    depth = torch.full((1, 8, 8), 1.0)
    assert canonical.depth_error(depth + 0.02, depth, torch.ones(1, 8, 8)).item() == pytest.approx(2.0, rel=1e-3)
    assert canonical.normal_error(depth, depth, torch.ones(1, 8, 8)).item() == pytest.approx(0, abs=1e-6)
    still = View(torch.eye(3)[None], torch.zeros(1, 3))
    moved = View(torch.eye(3)[None], torch.tensor([[0.01, 0.0, 0.0]]))
    assert canonical.view_error(moved, still, depth).item() == pytest.approx(1.0, rel=1e-3)
    nearer = View(torch.eye(3)[None], torch.tensor([[0.0, 0.0, -0.1]]))
    turned = View(rotation_from_euler(torch.tensor([[0.0, 0.17, 0.0]])), torch.zeros(1, 3))
    size, turn = (canonical.view_error(other, still, depth).item() for other in (nearer, turned))
    assert 0.3 < size < turn < 1.5, "a tenth nearer is seen less than ten degrees"


def test_edges_of_albedo_do_not_mind_its_level() -> None:
    albedo, mask = torch.rand(1, 3, 8, 8), torch.ones(1, 8, 8)
    assert canonical.gradient_error(albedo + 0.2, albedo, mask).item() == pytest.approx(0, abs=1e-6)
    assert canonical.albedo_error(albedo + 0.2, albedo, mask).item() == pytest.approx(0.2, rel=1e-4)


def test_features_tell_a_moved_edge_from_the_same_picture() -> None:
    features = losses.build_features(losses.PerceptualConfig(), CPU)
    picture = torch.full((1, 3, 64, 64), -0.5)
    picture[..., 30:] = 0.5
    moved = picture.roll(6, dims=3).requires_grad_()
    five = losses.build_features(losses.PerceptualConfig(layers=5), CPU)
    assert [layer.shape[-1] for layer in five.each(picture)] == [32, 16, 8, 4, 2]
    assert torch.equal(five(picture), features(picture))
    same, other = features(picture), features(moved)
    assert same.shape[2:] == (16, 16) and not any(p.requires_grad for p in features.parameters())
    distance = (same - other).abs().mean()
    distance.backward()
    assert distance > 1e-3 and moved.grad.abs().max() > 0


def test_features_whose_weights_are_missing_are_refused() -> None:
    with pytest.raises(ValueError, match="vgg16_weights"):
        losses.build_features(losses.PerceptualConfig(vgg16_weights="nowhere"), CPU)


def test_scaled_features_of_unlike_pictures_differ_by_one_and_the_scale_is_kept_with_the_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = 40 + 7 * torch.randn(64, 3, 8, 8, generator=generator)
    scale = losses.FeatureScale()
    scale.measure(maps)
    other = 40 + 7 * torch.randn(64, 3, 8, 8, generator=generator)
    assert (scale(maps) - scale(other)).square().mean().item() == pytest.approx(1.0, rel=0.05)
    assert scale.state_dict()["value"].item() == pytest.approx(7 * 2**0.5, rel=0.05)
