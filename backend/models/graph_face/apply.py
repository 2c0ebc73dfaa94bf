"""The graph face model, ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from backend.models.checkpoints import load_model
from backend.models.graph_face import GRAPH_FACE
from backend.models.graph_face.network import GraphFaceNet


@dataclass(frozen=True)
class GraphFaceModel:
    """The trained network in eval mode, where it computes, and the version of its weights."""

    network: GraphFaceNet
    device: torch.device
    version: str
    needs: ClassVar[tuple[str, ...]] = ()


def load_graph_model(folder: Path | None = None, device: str = "cpu") -> GraphFaceModel:
    """The network of ``assets/graph_face`` (or ``folder``). Raises ``LikenessError`` ("missing_part")."""
    weights = load_model(GRAPH_FACE.name, folder)
    return GraphFaceModel(GraphFaceNet.from_weights(weights).to(device), torch.device(device), weights.version)
