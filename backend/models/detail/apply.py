"""Run the detail network: observations of one person to heights."""

from __future__ import annotations

import numpy as np
import torch

from backend.models.detail import DETAIL
from backend.models.detail.network import DetailConfig, DetailNet
from backend.models.loaded import LoadedNetwork


class DetailModel(LoadedNetwork[DetailNet]):
    """The detail network."""

    model = DETAIL
    network_type, config_type = DetailNet, DetailConfig


@torch.inference_mode()
def displacements(model: DetailModel, photos: np.ndarray, expressions: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(T, N, N) float32 millimetres for wanted expressions (T, 9, n, n), from observations (P, 7, N, N) of one person
    and their expressions (P, 9, n, n)."""
    device, network = model.device, model.network
    person = torch.zeros(len(photos), dtype=torch.int64, device=device)
    given = [torch.from_numpy(array).to(device) for array in (photos, expressions)]
    attribute = network.attribute(*given, person, 1)
    rows = [network.displacement(attribute, one[None]) for one in torch.from_numpy(wanted).to(device)]
    return torch.cat(rows)[:, 0].float().cpu().numpy()
