"""The graph model's albedo network (paper 2), and its application to a texture.

The albedo's second step: a U-Net in UV that corrects a texture where no photo shows it.

After Gao et al. (CVPRW 2020), section 4.1: once light is known, the albedo comes from a convolutional decoder with
skips from the picture, like U-Net (Ronneberger et al. 2015). In the paper the encoder reads the photo. Here photos are
first unwrapped into UV map ``Head``, freed of their light and completed by rules. So skips and albedo share the same
texels, and the decoder learns the errors of the rules.

Apply the U-Net of skins in the texture stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.checkpoints import LoadedNetwork
from backend.models.registry import GRAPH_ALBEDO

_OBSERVED = 10
"""Input channels: colour (3) and coverage (1), both again mirrored, and the texel's position (2)."""
_GROUPS = 4
_LEAST = 1e-3
"""Weight of unseen texels in the mean skin tone, so that it is defined even without any photo."""


@dataclass(frozen=True)
class GraphAlbedoConfig:
    """Size of the network.

    Attributes
    ----------
    size : texels per side of the UV map. widths : channels at full size, at half size, and so on.
    """

    size: int = 128
    widths: tuple[int, ...] = (12, 24, 40, 64, 80)

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1 or any(width % _GROUPS for width in self.widths):
            raise ValueError(f"widths must be at least two multiples of {_GROUPS}, not {self.widths}")
        step = 2 ** (len(self.widths) - 1)
        if self.size % step or self.size < 2 * step:
            raise ValueError(f"size must be a multiple of {step}, at least {2 * step}, not {self.size}")

    def to_json(self) -> dict[str, Any]:
        """JSON types that ``from_json`` reads."""
        return {**asdict(self), "widths": list(self.widths)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> GraphAlbedoConfig:
        """The inverse of ``to_json``; raises ``TypeError`` or ``ValueError`` for an invalid configuration."""
        return GraphAlbedoConfig(**{**values, "widths": tuple(values["widths"])})


class GraphAlbedoNet(nn.Module):
    """Correct the textures of B skins.

    ``usual`` (3, S, S) corrects the mean error of the rules; the U-Net adds the person's own correction.
    """

    def __init__(self, config: GraphAlbedoConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        inputs = _OBSERVED
        for width in widths:
            self.down.append(_block(inputs, width))
            inputs = width
        for width in reversed(widths[:-1]):
            self.up.append(_block(inputs + width, width))
            inputs = width
        self.last = nn.Conv2d(inputs, 3, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.usual = nn.Parameter(torch.zeros(3, config.size, config.size))
        axis = (torch.arange(config.size) + 0.5) * (2 / config.size) - 1
        place = torch.stack([axis.abs().expand(config.size, -1), axis[:, None].expand(-1, config.size)])
        self.register_buffer("place", place, persistent=False)  # |x|, because the chart is symmetric

    def forward(self, log_albedo: Tensor, cover: Tensor, skin: Tensor) -> Tensor:
        """(B, 3, S, S) corrected log albedo; texels that photos cover, and texels without skin, stay unchanged.

        log_albedo : (B, 3, S, S) natural logarithm of linear albedo. cover : (B, S, S) in [0, 1], the photos' coverage.
        skin : (B, S, S) or (1, S, S) in [0, 1], mask of the skin to correct.
        """
        known, bare = cover[:, None], skin[:, None]
        tone = _mean(log_albedo, known * bare + _LEAST * bare)
        own = (log_albedo - tone) * bare
        place = self.place.expand(len(own), -1, -1, -1)
        x = torch.cat([own, known, own.flip(-1), known.flip(-1), place], 1)
        skips = []
        for number, block in enumerate(self.down):
            x = block(functional.avg_pool2d(x, 2) if number else x)
            skips.append(x)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        return log_albedo + (1.0 - known) * bare * (self.usual + self.last(x).float())


def _mean(images: Tensor, weight: Tensor) -> Tensor:
    return (images * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1e-6)


def _block(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1),
        nn.GroupNorm(_GROUPS, width),
        nn.ELU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ELU(),
    )


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
