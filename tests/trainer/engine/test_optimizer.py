"""Schedules, weight decay and the optimiser's state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.engine.contracts import OptimizerConfig, ParameterGroup
from trainer.engine.trainee import GroupedOptimizer, schedule


def make(config: OptimizerConfig, net: nn.Module) -> GroupedOptimizer:
    names = {parameter: name for name, parameter in net.named_parameters()}
    return GroupedOptimizer(config, (ParameterGroup("all", tuple(net.parameters()), lambda fraction: 1.0),), names)


def push(net: nn.Module, optimizer: GroupedOptimizer, steps: int) -> None:
    for number in range(steps):
        optimizer.zero_grad()
        net(torch.full((2, 3), 0.1 * number)).square().sum().backward()
        optimizer.step(0.0)


def test_schedules_by_hand() -> None:
    constant = OptimizerConfig(warmup=0.2)
    assert [schedule(constant, x) for x in (0.0, 0.1, 0.2, 1.0)] == [0.0, 0.5, 1.0, 1.0]
    cosine = OptimizerConfig(schedule="cosine", warmup=0.5, final=0.1)
    assert schedule(cosine, 0.5) == 1.0
    assert schedule(cosine, 0.75) == pytest.approx(0.1 + 0.9 * 0.5)
    assert schedule(cosine, 1.0) == pytest.approx(0.1)
    linear = OptimizerConfig(schedule="linear", final=0.0)
    assert [schedule(linear, x) for x in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd", "rmsprop"])
def test_state_goes_on_with_the_same_bits(kind: str) -> None:
    config = OptimizerConfig(kind=kind, learning_rate=0.05, weight_decay=0.1)
    torch.manual_seed(0)
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    one, other = make(config, first), make(config, second)
    push(first, one, 3)
    second.load_state_dict(first.state_dict())
    other.load_state({name: value.clone() for name, value in one.state().items()})
    push(first, one, 4)
    push(second, other, 4)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_state_of_other_weights_is_refused() -> None:
    optimizer = make(OptimizerConfig(), nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"moments of 'other\.weight', which is not trained here"):
        optimizer.load_state({"other.weight/exp_avg": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match=r"moments of 'weight' are \(3, 3\), not \(2, 3\)"):
        optimizer.load_state({"weight/exp_avg": torch.zeros(3, 3)})


def test_decay_moves_kernels_and_not_biases() -> None:
    net = nn.Linear(3, 2)
    nn.init.ones_(net.weight)
    nn.init.ones_(net.bias)
    optimizer = make(OptimizerConfig(learning_rate=0.1, weight_decay=0.5), net)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(0.0)
    torch.testing.assert_close(net.weight.detach(), torch.full((2, 3), 0.95))
    torch.testing.assert_close(net.bias.detach(), torch.ones(2))
