"""What is behind people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class BackgroundParameters:
    """What ``draw_background`` drew for one picture."""

    kind: int


def draw_background(generator: np.random.Generator) -> BackgroundParameters:
    """Kind and numbers of one background."""
    raise NotImplementedError


def background_pictures(parameters: Sequence[BackgroundParameters], size: int, device: torch.device | str) -> Tensor:
    """(N, 3, size, size) linear light, about 0-1.5."""
    raise NotImplementedError
