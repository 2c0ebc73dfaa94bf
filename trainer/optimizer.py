"""The optimiser of a stage: groups, learning rate schedule, and its state as named tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trainer.contracts import OptimizerConfig, ParameterGroup


def schedule(config: OptimizerConfig, fraction: float) -> float:
    """Factor on the learning rate after ``fraction`` (0 to 1) of the stage."""
    if fraction < config.warmup:
        return fraction / config.warmup
    if config.schedule == "constant":
        return 1.0
    done = min(1.0, (fraction - config.warmup) / (1.0 - config.warmup))
    falling = 0.5 * (1.0 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1.0 - done
    return config.final + (1.0 - config.final) * falling


class GroupedOptimizer:
    """A torch optimiser over named groups; each group's rate is the schedule times the group's own factor."""

    def __init__(self, config: OptimizerConfig, groups: Sequence[ParameterGroup], names: Mapping[nn.Parameter, str]):
        """``names`` gives each parameter's name for saving its moments.

        Raises ``ValueError`` when a parameter is in two groups or has no name.
        """
        self.config = config
        self.groups = groups
        self.names = {id(parameter): name for parameter, name in names.items()}
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        if len({id(parameter) for parameter in self.parameters}) != len(self.parameters):
            raise ValueError("a parameter is in more than one group")
        if any(id(parameter) not in self.names for parameter in self.parameters):
            raise ValueError("a group has a parameter that is not in the stage's modules")
        self._names_moved = {self.names[id(parameter)] for parameter in self.parameters}
        self._rates: list[ParameterGroup] = []
        tables = []
        for group in groups:
            for decay, members in _split_by_decay(group.parameters, config.weight_decay):
                tables.append({"params": members, "weight_decay": decay})
                self._rates.append(group)
        self._optimizer = _make(config, tables)

    def zero_grad(self) -> None:
        """Reset all gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def step(self, fraction: float) -> float:
        """Update the weights by their gradients; returns the base learning rate that was used."""
        base = self.config.learning_rate * schedule(self.config, fraction)
        for table, group in zip(self._optimizer.param_groups, self._rates, strict=True):
            table["lr"] = base * group.rate(fraction)
            if table["lr"] == 0.0:
                for parameter in table["params"]:
                    parameter.grad = None
        self._optimizer.step()
        return base

    def clip(self) -> Tensor:
        """Clip gradients to ``clip_norm`` (when above 0); returns their norm before, which is not finite if a gradient
        is not."""
        limit = self.config.clip_norm or math.inf
        return nn.utils.clip_grad_norm_(self.parameters, limit)

    def moves(self, name: str) -> bool:
        """Whether this optimiser updates the parameter of that name."""
        return name in self._names_moved

    def state(self) -> dict[str, Tensor]:
        """Return all moments and counters as ``<parameter>/<entry>``."""
        tensors = {}
        for parameter, entries in self._optimizer.state.items():
            for key, value in entries.items():
                if value is not None:
                    tensors[f"{self.names[id(parameter)]}/{key}"] = torch.as_tensor(value)
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned, in the weights' own memory format and device.

        Raises ``ValueError`` for entries of parameters that are not optimised here, or of another shape.
        """
        parameters = {self.names[id(parameter)]: parameter for parameter in self.parameters}
        for full_name, saved in tensors.items():
            name, _, key = full_name.rpartition("/")
            if name not in parameters:
                raise ValueError(f"the checkpoint has moments of {name!r}, which is not trained here")
            parameter = parameters[name]
            if key == "step":
                entry = saved.clone()  # the counter stays on the CPU
            elif saved.shape == parameter.shape:
                entry = torch.empty_like(parameter, dtype=saved.dtype).copy_(saved)
            else:
                raise ValueError(f"the moments of {name!r} are {tuple(saved.shape)}, not {tuple(parameter.shape)}")
            self._optimizer.state[parameter][key] = entry.detach()


def _split_by_decay(parameters: Sequence[nn.Parameter], decay: float) -> list[tuple[float, list[nn.Parameter]]]:
    """Split parameters by weight decay: it applies to matrices and kernels, not to biases and norms."""
    if decay == 0.0:
        return [(0.0, list(parameters))]
    kernels = [parameter for parameter in parameters if parameter.dim() > 1]
    others = [parameter for parameter in parameters if parameter.dim() <= 1]
    return [(rate, members) for rate, members in ((decay, kernels), (0.0, others)) if members]


def _make(config: OptimizerConfig, tables: list[dict]) -> torch.optim.Optimizer:
    if config.kind == "sgd":
        return torch.optim.SGD(tables, lr=config.learning_rate, momentum=config.betas[0], nesterov=config.betas[0] > 0)
    if config.kind == "rmsprop":
        return torch.optim.RMSprop(tables, lr=config.learning_rate, alpha=config.betas[1], eps=config.epsilon)
    rule = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return rule(tables, lr=config.learning_rate, betas=config.betas, eps=config.epsilon)
