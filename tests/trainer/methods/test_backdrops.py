"""Other pictures behind heads: what is replaced, and what stays."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from backend.photos.collection import FaceClass
from trainer.methods.parsing.scenes import behind_heads, change_backdrops

CHIN = 40


@pytest.fixture
def heads() -> tuple[torch.Tensor, torch.Tensor]:
    """Four pictures with a head of hair and skin down to row 39, clothes below, unknown pixels to the left."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(4, 64, 64, dtype=torch.uint8)
    labels[:, 8:20, 20:44] = FaceClass.HAIR
    labels[:, 20:CHIN, 22:42] = FaceClass.SKIN
    labels[:, CHIN:46, 26:38] = FaceClass.NECK
    labels[:, :, :5] = 255
    return torch.rand(4, 3, 64, 64, generator=generator), labels


def test_what_is_behind_a_head_is_background_above_the_chin(heads: tuple[torch.Tensor, torch.Tensor]) -> None:
    _, labels = heads
    behind = behind_heads(labels)
    assert torch.equal(behind[:, :CHIN], labels[:, :CHIN] == FaceClass.BACKGROUND)
    assert not behind[:, CHIN:].any(), "clothes are not behind a head"


def test_a_picture_without_a_face_has_nothing_behind_it() -> None:
    assert not behind_heads(torch.zeros(1, 16, 16, dtype=torch.uint8)).any()


def test_heads_clothes_and_unknown_pixels_stay(heads: tuple[torch.Tensor, torch.Tensor]) -> None:
    pictures, labels = heads
    torch.manual_seed(3)
    changed, where = change_backdrops(pictures, labels, 1.0)
    assert torch.equal(where, behind_heads(labels))
    kept = ~where[:, None].expand_as(pictures)
    assert torch.equal(changed[kept], pictures[kept])
    beside_kept = functional.max_pool2d((~where).float()[:, None], 3, stride=1, padding=1) > 0
    inner = ~beside_kept.expand_as(pictures)
    assert (changed - pictures)[inner].abs().mean() > 0.1, "another picture is there"


def test_only_a_share_of_the_pictures_changes(heads: tuple[torch.Tensor, torch.Tensor]) -> None:
    pictures, labels = (part.repeat(16, *[1] * (part.dim() - 1)) for part in heads)
    torch.manual_seed(4)
    _, where = change_backdrops(pictures, labels, 0.3)
    assert 8 <= where.any(2).any(1).sum() <= 30
    same, nowhere = change_backdrops(pictures, labels, 0.0)
    assert same is pictures and not nowhere.any()


def test_behind_a_black_and_white_head_there_is_no_colour(heads: tuple[torch.Tensor, torch.Tensor]) -> None:
    pictures, labels = heads
    pictures[1:2] = pictures[1:2].mean(1, keepdim=True)
    torch.manual_seed(5)
    changed, _ = change_backdrops(pictures, labels, 1.0)
    assert (changed[1].amax(0) - changed[1].amin(0)).max() < 1e-6
    assert (changed[2].amax(0) - changed[2].amin(0)).mean() > 0.05


def test_behind_a_toned_print_everything_has_its_tone(heads: tuple[torch.Tensor, torch.Tensor]) -> None:
    pictures, labels = heads
    sepia = torch.tensor([1.0, 0.9, 0.75])
    pictures[1] = pictures[1].mean(0, keepdim=True) * sepia.view(3, 1, 1)
    torch.manual_seed(5)
    changed, where = change_backdrops(pictures, labels, 1.0)
    behind = changed[1].permute(1, 2, 0)[where[1]]
    behind = behind[behind.amax(1) < 0.99]
    assert len(behind) > 100
    assert (behind / behind[:, :1].clamp_min(1e-3) - sepia).abs().max() < 0.02
