"""A network in memory, as most models hand it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from backend.models.landmarks import LANDMARK_NET

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True)
class LoadedNetwork(Generic[Network]):
    """The trained network in eval mode, where it computes, and the version of its weights."""

    network: Network
    device: torch.device
    version: str

    @property
    def wants_surface(self) -> bool:
        """Whether faces must have the landmark net's points (``PhotoFace.surface``)."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """Models without which it takes no part."""
        return (LANDMARK_NET.name,) if self.wants_surface else ()
