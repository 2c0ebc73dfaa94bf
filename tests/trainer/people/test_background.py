"""Backgrounds: each kind can be drawn, the same numbers give the same picture, real pictures take their share."""

import numpy as np
import torch

from trainer.people.background import background_pictures, draw_background


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


def test_real_pictures_take_their_share():
    pictures = torch.stack([torch.full((3, 40, 60), 0.25), torch.full((3, 40, 60), 0.75)])
    images = background_pictures(drawn(40), 32, "cpu", pictures, share=1.0)
    values = images.mean((1, 2, 3))
    first, second = (values - 0.25).abs() < 1e-4, (values - 0.75).abs() < 1e-4
    assert (first | second).all() and first.any() and second.any()
    half = background_pictures(drawn(40), 32, "cpu", pictures, share=0.5).std((1, 2, 3)) < 1e-6
    assert 8 <= int(half.sum()) <= 32
