"""A network in memory, the base class of most loaded models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from backend.models.landmarks import LANDMARK_NET

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True)
class LoadedNetwork(Generic[Network]):
    """The trained network in eval mode, its device, and the version of its weights."""

    network: Network
    device: torch.device
    version: str

    @property
    def wants_surface(self) -> bool:
        """Whether it needs faces with the landmark net's points (``PhotoFace.surface``)."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the models on which it depends."""
        return (LANDMARK_NET.name,) if self.wants_surface else ()
