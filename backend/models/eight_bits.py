"""Quantise large weights: int8 in the files, with a float32 step per output channel.

The int8 tensor ``NAME`` (C, …) has a companion ``NAME.int8_step`` (C,) of float32. A weight is its int8 number times
the step of its channel; the error is at most half a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

STEP_SUFFIX = ".int8_step"
LEAST_WEIGHTS = 4096
"""Smaller tensors stay in float16; in LAP all of them together are 1 % of the bytes."""
_LARGEST = 127


class BrokenStepsError(ValueError):
    """int8 weights and their steps do not match."""


def large_weights(tensors: Mapping[str, Tensor], sensitive: Sequence[str] = ()) -> frozenset[str]:
    """Names of the large floating-point tensors with at least two axes that match no pattern (``fnmatch``) of
    ``sensitive``."""
    return frozenset(
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
        and tensor.ndim >= 2
        and tensor.numel() >= LEAST_WEIGHTS
        and not any(fnmatchcase(name, pattern) for pattern in sensitive)
    )


def in_eight_bits(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a weight (C, …) to int8 numbers (C, …) and float32 steps (C,), on the CPU; raises ``ValueError`` unless
    all are finite."""
    value = tensor.detach().cpu().float()
    if not torch.isfinite(value).all():
        raise ValueError("weights that are not finite have no step")
    channels = value.flatten(1)
    steps = channels.abs().amax(1) / _LARGEST
    numbers = (channels / steps.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round().clamp(-_LARGEST, _LARGEST)
    return numbers.to(torch.int8).reshape(value.shape), steps


def without_steps(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the int8 weights of a file and their steps to float32; other tensors are kept.

    Raises
    ------
    BrokenStepsError : steps are missing, of another shape or dtype, not finite or negative, or have no int8 weights.
    """
    weights = {}
    for name, tensor in tensors.items():
        if name.endswith(STEP_SUFFIX):
            owner = tensors.get(name.removesuffix(STEP_SUFFIX))
            if owner is None or owner.dtype != torch.int8:
                raise BrokenStepsError(f"{name!r} has no int8 weights beside it")
        elif tensor.dtype == torch.int8:
            steps = _checked_steps(name, tensor, tensors.get(name + STEP_SUFFIX))
            weights[name] = tensor.float() * steps.reshape(-1, *[1] * (tensor.ndim - 1))
        else:
            weights[name] = tensor
    return weights


def _checked_steps(name: str, numbers: Tensor, steps: Tensor | None) -> Tensor:
    """The steps of ``numbers``; raises ``BrokenStepsError``."""
    if steps is None:
        raise BrokenStepsError(f"the int8 weights {name!r} have no steps beside them")
    if steps.dtype != torch.float32 or numbers.ndim < 2 or steps.shape != numbers.shape[:1]:
        raise BrokenStepsError(
            f"the int8 weights {name!r} of shape {tuple(numbers.shape)} have steps of shape {tuple(steps.shape)} "
            f"and dtype {steps.dtype}"
        )
    if not torch.isfinite(steps).all() or (steps < 0).any():
        raise BrokenStepsError(f"the int8 weights {name!r} have steps that are not finite or negative")
    return steps
