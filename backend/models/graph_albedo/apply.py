"""Apply the U-Net of skins in the texture stage."""

from __future__ import annotations

import numpy as np
import torch

from backend.models.graph_albedo import GRAPH_ALBEDO
from backend.models.graph_albedo.network import GraphAlbedoConfig, GraphAlbedoNet
from backend.models.loaded import LoadedNetwork


class GraphAlbedoModel(LoadedNetwork[GraphAlbedoNet]):
    """The U-Net of skins."""

    model = GRAPH_ALBEDO
    network_type, config_type = GraphAlbedoNet, GraphAlbedoConfig

    @property
    def size(self) -> int:
        """Texels per side of its maps."""
        return self.network.config.size


@torch.inference_mode()
def skin_correction(log_albedo: np.ndarray, cover: np.ndarray, skin: np.ndarray, model: GraphAlbedoModel) -> np.ndarray:
    """(S, S, 3) float32 correction to add to the log albedo of a texture; zero where photos cover it fully.

    log_albedo : (S, S, 3) natural logarithm of linear albedo in UV map ``Head``. cover : (S, S) in [0, 1], the photos'
    coverage. skin : (S, S) in [0, 1], mask of the skin to correct. S : ``model.size``.
    """
    images = torch.from_numpy(np.ascontiguousarray(log_albedo.transpose(2, 0, 1), np.float32))[None].to(model.device)
    maps = (torch.from_numpy(np.ascontiguousarray(one, np.float32))[None].to(model.device) for one in (cover, skin))
    return (model.network(images, *maps) - images)[0].permute(1, 2, 0).cpu().numpy()
