"""Fixed identity features, differentiable in the picture, in place of the paper's FaceNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.mobile_trunk import WHOLE, MobileTrunk, normalised
from trainer.pretrained import lite0_state


class IdentityFeatures(nn.Module):
    """EfficientNet-Lite0 (ImageNet, Apache-2.0), features at 1/8 to 1/32, averaged over the picture's 3 x 3 cells;
    frozen. Raises ``Lite0MissingError`` where its weights are missing."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = MobileTrunk(WHOLE)
        self.trunk.load_imagenet(lite0_state())
        self.trunk.fuse()
        self.requires_grad_(False)
        self.eval()

    def forward(self, pictures: Tensor) -> Tensor:
        """(P, F) of pictures (P, 3, S, S), sRGB in [0, 1]."""
        scales = self.trunk(normalised(pictures).contiguous(memory_format=torch.channels_last))[2:]
        parts = [functional.adaptive_avg_pool2d(one, 3).flatten(1).float() for one in scales]
        return torch.cat([functional.normalize(one, dim=1) for one in parts], 1)
