"""Backgrounds: each kind can be drawn, the same numbers give the same picture, real pictures take their share."""

import numpy as np
import torch

from trainer.people.background import SHAPES, background_pictures, draw_background


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


def test_size_changes_the_pixels_and_not_the_picture():
    parameters = drawn(8, seed=2)
    small = background_pictures(parameters, 96, "cpu")
    large = background_pictures(parameters, 192, "cpu")
    reduced = torch.nn.functional.avg_pool2d(large, 2)
    assert (reduced - small).abs().mean() < 0.02


def test_a_shape_covers_what_it_should():
    parameters = drawn(1, seed=1)[0]
    shapes = np.zeros((SHAPES, 9))
    shapes[:, 2:4], shapes[:, 5] = 0.01, 0.01
    shapes[0] = [0.25, -0.25, 0.125, 0.0625, 0, 0.01, 1, 0, 0]
    colours = np.zeros((SHAPES, 3))
    colours[0] = [1.5, 0.0, 0.0]
    plain = type(parameters)(
        **{**parameters.__dict__, "shapes": shapes, "shape_colours": colours, "octaves": np.zeros(5),
           "colours": np.full((2, 3), 0.5), "spot": np.array([0, 0, 1, 0.0]), "stripes": np.array([1.0, 0, 0, 1, 0])}
    )  # fmt: skip
    image = background_pictures([plain], 128, "cpu")[0]
    red = image[0] > 1
    rows, columns = red.nonzero().unbind(1)
    assert abs(int(rows.min()) - 24) <= 1 and abs(int(rows.max()) - 39) <= 1
    assert abs(int(columns.min()) - 80) <= 1 and abs(int(columns.max()) - 111) <= 1
    assert torch.allclose(image[:, 100, 20], torch.tensor(0.5), atol=1e-4)


def test_real_pictures_take_their_share():
    pictures = torch.stack([torch.full((3, 40, 60), 0.25), torch.full((3, 40, 60), 0.75)])
    images = background_pictures(drawn(40), 32, "cpu", pictures, share=1.0)
    values = images.mean((1, 2, 3))
    first, second = (values - 0.25).abs() < 1e-4, (values - 0.75).abs() < 1e-4
    assert (first | second).all() and first.any() and second.any()
    half = background_pictures(drawn(40), 32, "cpu", pictures, share=0.5).std((1, 2, 3)) < 1e-6
    assert 8 <= int(half.sum()) <= 32
