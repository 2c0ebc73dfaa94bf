"""Encoders of shapes to codes for training the graph face model's decoder: convolutions, or a linear basis."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.geometry.mesh_hierarchy import MeshHierarchy
from backend.models.graph_face.layers import ChebyshevConvolution, scaled_laplacian
from backend.models.graph_face.network import UNIT, GraphFaceNet
from trainer.contracts import SourceConfig
from trainer.data.graph.linear import linear_faces

_CODERS = (16, 16, 32, 64)
"""Channels of the shape encoder's convolutions, fine to coarse."""


class ShapeCoder(nn.Module):
    """Encodes shapes (B, C, 3) in units to codes (B, D): convolutions, with pooling to the vertices that the next level
    keeps (COMA's encoder)."""

    def __init__(self, hierarchy: MeshHierarchy, code: int, order: int) -> None:
        super().__init__()
        levels = hierarchy.levels
        self.convolutions = nn.ModuleList()
        inputs = 3
        for number, outputs in enumerate(_CODERS):
            self.convolutions.append(ChebyshevConvolution(scaled_laplacian(levels[number]), inputs, outputs, order))
            kept = np.searchsorted(levels[number].vertices, levels[number + 1].vertices)
            self.register_buffer(f"kept{number}", torch.from_numpy(kept), persistent=False)
            inputs = outputs
        self.last = nn.Linear(len(levels[len(_CODERS)].vertices) * inputs, code)

    def forward(self, shapes: Tensor) -> Tensor:
        """See the class."""
        x = shapes
        for number, convolution in enumerate(self.convolutions):
            x = functional.elu(convolution(x))[:, getattr(self, f"kept{number}")]
        return self.last(x.flatten(1)).float()


class LinearCoder(nn.Module):
    """Codes of shapes by principal components, which become the network's linear part; it is not trained."""

    def __init__(self, net: GraphFaceNet, people: int, shapes: SourceConfig) -> None:
        """shapes : the source whose first ``people`` the components are computed from."""
        super().__init__()
        linear = linear_faces(net.config.identity, net.config.expression, people, shapes)
        count = net.mean.numel()
        modes = torch.from_numpy(np.concatenate([linear.identity, linear.expression]).reshape(-1, count)) / UNIT
        with torch.no_grad():
            net.basis.copy_(modes)
        for name, own in (("who", modes[: net.config.identity]), ("what", modes[net.config.identity :])):
            self.register_buffer(name, torch.linalg.pinv(own), persistent=False)

    def forward(self, neutral: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
        """Encode offsets (B, C, 3) in units, of the neutral face from the template's and of the posed one from the
        neutral, to codes (B, D) and (B, E)."""
        return neutral.flatten(1) @ self.who, moved.flatten(1) @ self.what
