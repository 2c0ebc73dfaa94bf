"""Fixed identity features, differentiable in the picture, in place of the paper's FaceNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.checkpoints import load_model
from backend.models.graph_face import GRAPH_FACE
from backend.models.graph_face.network import GraphFaceNet
from backend.models.mobile_trunk import WHOLE, MobileTrunk, normalised
from trainer.pretrained import lite0_state


@dataclass(frozen=True, kw_only=True)
class IdentityConfig:
    """Choice of the compared features."""

    kind: Literal["lite0", "graph_face"] = "lite0"
    """``lite0``: EfficientNet-Lite0 (ImageNet, Apache-2.0), features at 1/8 to 1/32, averaged over the picture's 3 x 3
    cells; ``graph_face``: the identity code of the project's own encoder in ``assets``."""
    weights: str = ""
    """A file with EfficientNet-Lite0's state dict; empty: that of its package."""


class Lite0Identity(nn.Module):
    """See ``IdentityConfig``."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.trunk = MobileTrunk(WHOLE)
        self.trunk.load_imagenet(lite0_state(weights))
        self.trunk.fuse()

    def forward(self, pictures: Tensor, marks: Tensor) -> Tensor:
        """(P, F) of pictures (P, 3, S, S), sRGB in [0, 1]; ``marks`` are ignored."""
        scales = self.trunk(normalised(pictures).contiguous(memory_format=torch.channels_last))[2:]
        parts = [functional.adaptive_avg_pool2d(one, 3).flatten(1).float() for one in scales]
        return torch.cat([functional.normalize(one, dim=1) for one in parts], 1)


class GraphIdentity(nn.Module):
    """See ``IdentityConfig``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = GraphFaceNet.from_weights(load_model(GRAPH_FACE.name))

    def forward(self, pictures: Tensor, marks: Tensor) -> Tensor:
        """(P, 128) of pictures (P, 3, S, S), sRGB in [0, 1], and landmarks (P, 478, 3) in their sides."""
        side = self.net.config.size
        if pictures.shape[-1] != side:
            pictures = functional.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
        return self.net.encoder(pictures, marks).identity


def identity_features(config: IdentityConfig, device: torch.device) -> nn.Module:
    """Build the features, frozen, in eval mode.

    Raises
    ------
    Lite0MissingError, FileNotFoundError : EfficientNet-Lite0's weights are missing. LikenessError ("missing_part") :
        the graph face model's are missing.
    """
    features = Lite0Identity(config.weights) if config.kind == "lite0" else GraphIdentity()
    features.requires_grad_(False)
    return features.to(device).eval()
