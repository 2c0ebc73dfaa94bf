"""Stack parameters of single persons to tensors of a batch.

All random numbers are drawn in numpy, per person, so that an index gives the same person on any device. ``stack``
converts those of a batch to tensors: the same dataclasses, with a leading axis N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")


def stack(items: Sequence[T], device: torch.device | str) -> T:
    """Stack the parameters of a batch to one object of float32 tensors (N, ...)."""
    first = items[0]
    if is_dataclass(first):
        values = {f.name: stack([getattr(item, f.name) for item in items], device) for f in fields(first)}
        return type(first)(**values)
    if isinstance(first, tuple):
        return type(first)(stack([item[k] for item in items], device) for k in range(len(first)))
    return torch.from_numpy(np.stack([np.asarray(item, np.float32) for item in items])).to(device)
