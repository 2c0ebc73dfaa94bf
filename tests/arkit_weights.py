"""Weights of ARKit keys by name. Tests of every folder can import this one."""

from __future__ import annotations

import torch

from protocol.names import ARKIT_INDEX


def arkit_weights(count: int, **keys: float) -> torch.Tensor:
    """(``count``, 52) the named keys at these weights, all others at 0."""
    found = torch.zeros(count, 52)
    for name, value in keys.items():
        found[:, ARKIT_INDEX[name]] = value
    return found
