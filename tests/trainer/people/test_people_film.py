"""The camera, backgrounds, drawn faces and the random changes to pictures."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_faces import DrawnFacesConfig

from backend.rendering.color import srgb_from_linear
from trainer.methods.parsing.scenes import AugmentConfig, change_light, move
from trainer.people.background import background_pictures, draw_background
from trainer.people.camera import KERNEL, FilmParameters, develop, draw_film

CPU = torch.device("cpu")
STILL = AugmentConfig(flip=0, rotate_degrees=0, scale=0, shift=0, gain=0, gamma=0, grey=0, noise=0, blur=0)


@pytest.fixture
def light() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(4, 3, 6, 6, generator=generator) * 0.6 + 0.05
    return torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear", align_corners=True)


def plain() -> FilmParameters:
    kernel = np.zeros((KERNEL, KERNEL))
    kernel[KERNEL // 2, KERNEL // 2] = 1
    return FilmParameters(
        target=0.2, automatic=0.0, white=np.ones(3), kernel=kernel, coarse=1.0, vignette=0.0, flare=0.0,
        noise=np.zeros(3), noise_seed=0.0, contrast=0.0, gamma=1.0, saturation=1.0, black=0.0, white_point=1.0,
        grey=0.0, tint=np.ones(3), quality=100.0, soft_chroma=0.0,
    )  # fmt: skip


def test_nothing_done_is_the_plain_picture(light):
    expected = srgb_from_linear(light)
    assert (develop(light, [plain()] * 4) - expected).abs().max() <= 0.5 / 255 + 1e-5


def test_drawn_pictures_are_reproducible_and_whole(light):
    films = [draw_film(np.random.default_rng(k)) for k in range(4)]
    first = develop(light, films)
    assert torch.equal(first, develop(light, films))
    alone = develop(light[2:3], films[2:3])
    assert (alone[0] - first[2]).abs().max() <= 1 / 255 + 1e-6
    assert first.min() >= 0 and first.max() <= 1
    assert torch.allclose(first * 255, (first * 255).round(), atol=1e-3)


def test_exposure_reaches_its_target(light):
    film = replace(plain(), automatic=1.0, target=0.1)
    picture = develop(light * 2.0, [film] * 4)
    exposed = light * (
        0.1 / (light * torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)).sum(1).mean((1, 2))
    ).view(-1, 1, 1, 1)
    assert (picture - srgb_from_linear(exposed)).abs().max() < 2 / 255


def test_blur_smooths_and_keeps_the_mean(light):
    sharp = light.clone()
    sharp[..., ::2] *= 0.4
    wide = np.outer(*[np.exp(-0.5 * (np.arange(KERNEL) - KERNEL // 2) ** 2 / 1.5**2)] * 2)
    film = replace(plain(), kernel=wide / wide.sum())
    from backend.rendering.color import linear_from_srgb

    before, after = (linear_from_srgb(develop(sharp, [each] * 4)) for each in (plain(), film))
    assert (after.diff(dim=-1).abs().mean() / before.diff(dim=-1).abs().mean()) < 0.15
    assert abs(float(after.mean() - before.mean())) < 0.004


def test_noise_has_its_strength_and_depends_on_the_seed():
    grey = torch.full((2, 3, 128, 128), 0.25)
    films = [replace(plain(), noise=np.array([0.0, 0.04, 0.0]), noise_seed=float(seed)) for seed in (1, 2)]
    noise = develop(grey, films) - srgb_from_linear(grey)
    # standard deviation 0.04 * sqrt(0.25) in linear light, through the slope of sRGB at 0.25
    slope = float(srgb_from_linear(torch.tensor(0.251)) - srgb_from_linear(torch.tensor(0.249))) / 0.002
    assert noise.std() == pytest.approx(0.02 * slope, rel=0.05)
    correlation = (noise[0] * noise[1]).mean() / noise.var()
    assert abs(float(correlation)) < 0.03


def test_lower_quality_loses_more_and_a_flat_picture_nothing(light):
    noisy = (light + 0.05 * torch.randn(light.shape, generator=torch.Generator().manual_seed(0))).clamp(min=0)
    before = develop(noisy, [plain()] * 4)
    losses = [
        float((develop(noisy, [replace(plain(), quality=quality, soft_chroma=1.0)] * 4) - before).abs().mean())
        for quality in (95.0, 70.0, 25.0)
    ]
    assert 0 < losses[0] < losses[1] < losses[2] < 0.2
    flat = torch.full((1, 3, 40, 52), 0.3)  # not a multiple of 8
    coded = develop(flat, [replace(plain(), quality=60.0)])
    assert (coded - develop(flat, [plain()])).abs().max() <= 4 / 255


def drawn(count: int, seed: int = 0):
    return [draw_background(np.random.default_rng((seed, k))) for k in range(count)]


def test_pictures_are_light_and_differ():
    images = background_pictures(drawn(64), 48, "cpu")
    assert images.shape == (64, 3, 48, 48)
    assert torch.isfinite(images).all() and images.min() > 0 and images.max() <= 2
    means = images.mean((2, 3))
    assert (means.std(0) > 0.05).all()
    flat = images.flatten(1)
    assert torch.cdist(flat, flat).fill_diagonal_(1e9).min() > 0.1
    assert (images.std((2, 3)).amax(1) > 0.01).float().mean() > 0.8


def test_the_same_numbers_give_the_same_picture_in_any_company():
    parameters = drawn(6, seed=4)
    together = background_pictures(parameters, 64, "cpu")
    alone = background_pictures(drawn(6, seed=4)[3:4], 64, "cpu")
    assert torch.allclose(together[3], alone[0], atol=1e-6)


def test_no_change_is_no_change() -> None:
    batch = DrawnFacesConfig(size=32).build().batch(range(2), CPU)
    images, labels = move(batch.images, batch.labels, STILL)
    images = change_light(images, STILL)
    torch.testing.assert_close(images, batch.images, atol=2e-4, rtol=0)
    assert torch.equal(labels, batch.labels)


def test_pictures_and_labels_move_together() -> None:
    labels = torch.zeros(6, 48, 48, dtype=torch.uint8)
    labels[:, 10:22, 14:38] = 255
    images = (labels.float() / 255)[:, None].expand(-1, 3, -1, -1).contiguous()
    torch.manual_seed(1)
    geometry = dataclasses.replace(STILL, flip=0.5, rotate_degrees=30.0, scale=0.2, shift=0.1)
    moved, moved_labels = move(images, labels, geometry)
    assert set(moved_labels.unique().tolist()) == {0, 255}
    agree = (moved[:, 0] > 0.5) == (moved_labels == 255)
    assert agree.float().mean() > 0.97, "bilinear and nearest may differ on the border only"
    assert (moved_labels != labels).float().mean() > 0.05


def test_flip_alone_mirrors() -> None:
    images, labels = torch.rand(1, 3, 8, 8), torch.randint(0, 12, (1, 8, 8), dtype=torch.uint8)
    flipped, flipped_labels = move(images, labels, dataclasses.replace(STILL, flip=1.0))
    torch.testing.assert_close(flipped, images.flip(-1), atol=2e-4, rtol=0)
    assert torch.equal(flipped_labels, labels.flip(-1))


def test_light_stays_in_range_and_grey_is_grey() -> None:
    batch = DrawnFacesConfig(size=32).build().batch(range(8), CPU)
    torch.manual_seed(2)
    light = AugmentConfig(grey=1.0, blur=1.0)
    images = change_light(batch.images, light)
    assert images.min() >= 0 and images.max() <= 1
    spread = change_light(batch.images, dataclasses.replace(light, noise=0.0)).std(1)
    assert spread.max() < 1e-5, "grey has equal channels"


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="images must be"):
        move(torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 9), STILL)
