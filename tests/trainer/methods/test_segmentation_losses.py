"""Segmentation losses against hand-computed cases and slow references."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from trainer.methods.parsing import stage
from trainer.methods.parsing.scenes import IGNORE

LOSSES = {"cross_entropy": stage.cross_entropy, "dice": stage.soft_dice}


def sample(seed: int = 0, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 5, 6, generator=generator)
    return logits, torch.randint(0, classes, (2, 5, 6), generator=generator)


@pytest.mark.parametrize("name", LOSSES)
def test_right_and_sure_is_zero_wrong_and_sure_is_not(name: str) -> None:
    _, labels = sample()
    sure = 50.0 * functional.one_hot(labels, 4).movedim(-1, 1).float()
    assert LOSSES[name](sure, labels).item() == pytest.approx(0.0, abs=1e-5)
    assert LOSSES[name](sure.roll(1, 1), labels).item() > 0.9


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_change_nothing(name: str) -> None:
    logits, labels = sample()
    labels[0, :3] = IGNORE
    changed = logits.clone()
    changed[0, :, :3] = 9.0 * torch.randn(4, 3, 6)
    assert LOSSES[name](logits, labels).item() == pytest.approx(LOSSES[name](changed, labels).item(), abs=1e-6)
    logits.requires_grad_(True)
    nothing = LOSSES[name](logits, torch.full_like(labels, IGNORE))
    nothing.backward()
    assert nothing.item() == 0.0 and torch.isfinite(logits.grad).all()


def test_cross_entropy_is_torch_s_with_class_weights() -> None:
    logits, labels = sample()
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    expected = functional.cross_entropy(logits, labels, weights)
    torch.testing.assert_close(stage.cross_entropy(logits, labels, weights), expected)
    torch.testing.assert_close(stage.cross_entropy(logits, labels), functional.cross_entropy(logits, labels))


def test_boundary_pixels_weigh_more() -> None:
    labels = torch.zeros(1, 1, 4, dtype=torch.long)
    labels[..., 2:] = 1
    assert stage.near_boundary(labels)[0, 0].tolist() == [False, True, True, False]
    logits = torch.zeros(1, 2, 1, 4)
    logits[0, 0, 0, 0] = 2.0
    terms = functional.cross_entropy(logits, labels, reduction="none").flatten()
    expected = (terms[0] + 3 * terms[1] + 3 * terms[2] + terms[3]) / 8
    torch.testing.assert_close(stage.cross_entropy(logits, labels, boundary_weight=3.0), expected)


def test_dice_by_hand() -> None:
    # Two pixels, two classes; probability of the first class 0.8 and 0.4, truth: first, second.
    first = torch.tensor([0.8, 0.4])
    logits = torch.stack((first, 1 - first)).log().view(1, 2, 1, 2)
    labels = torch.tensor([[[0, 1]]])
    expected = 1 - (2 * 0.8 / (1.2 + 1) + 2 * 0.6 / (0.8 + 1)) / 2
    assert stage.soft_dice(logits, labels).item() == pytest.approx(expected, abs=1e-6)


def test_divergence_by_hand() -> None:
    # Two pixels, two classes; the net says 0.5 and 0.8 for the first class, the teachers 0.9 and 0.8.
    said = torch.tensor([[0.5, 0.8], [0.5, 0.2]]).view(1, 2, 1, 2)
    wanted = torch.tensor([[0.9, 0.8], [0.1, 0.2]]).view(1, 2, 1, 2)
    first = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    everywhere, nowhere = torch.ones(1, 1, 2, dtype=torch.bool), torch.zeros(1, 1, 2, dtype=torch.bool)
    assert stage.divergence(said.log(), wanted, everywhere).item() == pytest.approx(first / 2, abs=1e-6)
    assert stage.divergence(said.log(), wanted, torch.tensor([[[False, True]]])).item() == pytest.approx(0.0, abs=1e-6)
    assert stage.divergence(said.log(), wanted, nowhere).item() == 0.0


def test_confusion_and_iou_by_hand() -> None:
    labels = torch.tensor([[[0, 0, 1, IGNORE, 1]]])
    predicted = torch.tensor([[[0, 1, 1, 2, 1]]])
    confusion = stage.confusion_matrix(predicted, labels, 4)
    assert confusion.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    iou = stage.intersection_over_union(confusion)
    assert iou[:2].tolist() == [pytest.approx(1 / 2), pytest.approx(2 / 3)]
    assert math.isnan(iou[2]) and math.isnan(iou[3])
