"""Gaussian averages over the skin around each vertex."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.geometry.sparse_product import spread


class Surroundings:
    """Gaussian means around each of C places (C, 3) in metres; ``reach`` is the standard deviation in metres."""

    def __init__(self, places: Tensor, reach: float) -> None:
        count = len(places)
        apart = torch.cdist(places, places)
        near = (apart < 3 * reach).nonzero().T
        values = (-apart[near[0], near[1]].square() / (2 * reach**2)).exp()
        values = values / torch.zeros(count, device=places.device).index_add_(0, near[0], values)[near[0]]
        matrix = torch.sparse_coo_tensor(near, values, (count, count), check_invariants=False)
        self._matrix = matrix.coalesce()

    def averaged(self, values: Tensor) -> Tensor:
        """Average values (N, C, K) to (N, C, K)."""
        return spread(self._matrix, values)
