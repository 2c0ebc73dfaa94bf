"""Trained parsing nets as teachers for another one (distillation)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from backend.models.parsing.network import load_parsing_net


class ParsingTeachers:
    """Exported parsing nets, averaged by their probabilities."""

    def __init__(self, folders: Sequence[str], device: torch.device) -> None:
        """Load the nets; raises ``LikenessError`` (``missing_part``) where a folder has none."""
        self._networks = [load_parsing_net(Path(folder), device)[0] for folder in folders]

    @torch.no_grad()
    def probabilities(self, pictures: Tensor) -> Tensor:
        """(N, C, H, W) float32 class probabilities of pictures (N, 3, H, W) in [0, 1], sRGB."""
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        said = [network(pictures).float().softmax(1) for network in self._networks]
        return torch.stack(said).mean(0)
