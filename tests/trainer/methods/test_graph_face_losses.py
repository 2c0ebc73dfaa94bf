"""Losses of the graph face model against values by hand, and what each of them must not punish."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.methods.graph_face import losses


def test_classification_of_nobody_in_particular_is_the_logarithm_of_how_many() -> None:
    assert float(losses.classification(torch.zeros(2, 5), torch.tensor([0, 3]))) == pytest.approx(math.log(5))
    sure = torch.tensor([[0.0, math.log(3.0)]])
    assert float(losses.classification(sure, torch.tensor([1]))) == pytest.approx(math.log(4 / 3))


def test_centre_distance_is_half_the_square() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    codes = torch.tensor([[3.0, 4.0], [1.0, 3.0]])
    found = losses.centre_distance(codes, centres, torch.tensor([0, 1]))
    assert float(found) == pytest.approx(0.5 * (25 + 4) / 2)


def test_photometric_compares_colours_and_gradients_where_the_mask_is() -> None:
    shown = torch.zeros(1, 3, 3)
    found = torch.tensor([[[0.1, 0.0, 0.0], [0.3, 0.0, 0.0], [0.9, 0.9, 0.9]]])
    mask = torch.tensor([[1.0, 1.0, 0.0]])  # the third is behind hair
    edges = torch.tensor([[0, 1], [1, 2]])
    assert float(losses.photometric(found, shown, mask, edges)) == pytest.approx((0.01 + 0.09) / 2 + 0.2, abs=1e-6)
    assert float(losses.photometric(found, found, mask, edges)) == 0.0


def test_landmarks_count_in_per_cent_and_so_do_ways_between_them() -> None:
    truth = torch.zeros(1, 2, 2)
    found = torch.tensor([[[0.01, 0.0], [0.0, 0.02]]])
    # distances 1 and 2 per cent; ways (1, -2) and back, and none to themselves
    assert float(losses.landmarks(found, truth)) == pytest.approx((1 + 4) / 2 + (5 + 5) / 4)
    moved = truth + 0.03  # all together: the ways are right
    assert float(losses.landmarks(moved, truth)) == pytest.approx(18.0)


def test_shape_is_in_millimetres_by_weight() -> None:
    truth = torch.zeros(1, 2, 3)
    found = torch.tensor([[[0.001, -0.002, 0.0], [0.004, 0.0, 0.0]]])
    assert float(losses.shape(found, truth, torch.tensor([1.0, 1.0]))) == pytest.approx((3 + 4) / 2)
    assert float(losses.shape(found, truth, torch.tensor([1.0, 0.0]))) == pytest.approx(3.0)


def test_smoothness_is_against_the_template_and_the_plain_one_is_not() -> None:
    def laplacian(shapes: torch.Tensor) -> torch.Tensor:
        return shapes - shapes.mean(1, keepdim=True)

    template = torch.tensor([[0.0, 0.0, 0.0], [0.002, 0.0, 0.0]])
    moved = template[None] + 0.01  # no smoother or rougher than the template
    assert float(losses.smoothness(moved, template, laplacian)) == pytest.approx(0.0, abs=1e-4)
    assert float(losses.plain_smoothness(moved, laplacian)) == pytest.approx(1.0, abs=1e-4)
    wider = 2 * template[None]
    assert float(losses.smoothness(wider, template, laplacian)) == pytest.approx(1.0, abs=1e-4)


def test_asymmetry_is_zero_for_faces_that_are_alike_on_both_sides() -> None:
    mirror = torch.tensor([1, 0, 2])
    alike = torch.tensor([[[0.2, 0.2, 0.2], [0.2, 0.2, 0.2], [0.9, 0.9, 0.9]]])
    assert float(losses.asymmetry(alike, mirror)) == 0.0
    spotted = alike.clone()
    spotted[0, 0] += 0.3
    assert float(losses.asymmetry(spotted, mirror)) == pytest.approx((0.3 + 0.3) / 3)


def test_the_critics_loss_by_hand() -> None:
    """A linear critic has one gradient everywhere, so that the penalty is known."""
    weight = torch.tensor([[0.6, 0.0, 0.8]])

    def critic(shapes: torch.Tensor) -> torch.Tensor:
        return (shapes * weight).sum((1, 2))

    real, fake = torch.ones(2, 1, 3), torch.zeros(2, 1, 3)
    assert float(losses.critic_divergence(critic, real, fake)) == pytest.approx(0.0 - 1.4 + 2.0 * 1.0, abs=1e-5)
    assert float(losses.critic_divergence(critic, real, fake, factor=1.0, power=2.0)) == pytest.approx(-0.4, abs=1e-5)


def test_the_critics_penalty_teaches_the_critic() -> None:
    weight = torch.full((1, 3), 2.0, requires_grad=True)
    loss = losses.critic_divergence(lambda x: (x * weight).sum((1, 2)), torch.zeros(1, 1, 3), torch.zeros(1, 1, 3))
    loss.backward()
    assert (weight.grad > 0).all()  # a slope of sqrt(12) is too steep
