"""The camera: nothing done leaves the picture, each step does what its number says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.rendering.color import srgb_from_linear
from trainer.people.camera import KERNEL, FilmParameters, develop, draw_film


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
