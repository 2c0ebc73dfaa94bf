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
