"""Drawn faces and the random changes to pictures."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from drawn_faces import DrawnFacesConfig

from trainer.methods.parsing.scenes import AugmentConfig, change_light, move

CPU = torch.device("cpu")
STILL = AugmentConfig(flip=0, rotate_degrees=0, scale=0, shift=0, gain=0, gamma=0, grey=0, noise=0, blur=0)


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
