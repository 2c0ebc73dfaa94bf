"""A network in memory, the base class of most loaded models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch

from backend.models.checkpoints import ModelWeights, load_model, load_weights_into
from backend.models.contract import LearnedModel
from backend.models.landmarks import LANDMARK_NET

Network = TypeVar("Network", bound=torch.nn.Module)


@dataclass(frozen=True)
class LoadedNetwork(Generic[Network]):
    """The trained network in eval mode, its device, and the version of its weights.

    A subclass says which ``model`` it is, and the types of its network and of the network's configuration.
    """

    model: ClassVar[LearnedModel]
    network_type: ClassVar[type[torch.nn.Module]]
    config_type: ClassVar[type[Any]]
    network: Network
    device: torch.device
    version: str

    @classmethod
    def build(cls, weights: ModelWeights) -> Any:
        """The network in eval mode. Raises ``LikenessError`` ("missing_part") where the weights do not match it."""
        network = cls.network_type(cls.config_type.from_json(weights.config))
        load_weights_into(network, weights)
        return network.eval()

    @classmethod
    def load(cls, folder: Path | None = None, device: str = "cpu") -> Self:
        """The model of ``assets/<name>`` or ``folder``. Raises ``LikenessError`` ("missing_part") where it is not."""
        weights = load_model(cls.model.name, folder)
        return cls(cls.build(weights).to(device), torch.device(device), weights.version)

    @property
    def wants_surface(self) -> bool:
        """Whether it needs faces with the landmark net's points (``PhotoFace.surface``)."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the models on which it depends."""
        return (LANDMARK_NET.name,) if self.wants_surface else ()
