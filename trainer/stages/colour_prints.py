"""Black-and-white portraits as colour photographs, from their label maps: most moustaches, beards and hats of official
portraits are older than colour film, and a net that saw them in grey alone does not know what colours they have."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass
from trainer.losses.photometric import luminance
from trainer.losses.segmentation import IGNORE
from trainer.stages.backdrops import behind_heads, monochrome

_SKIN = (0.22, -0.06, -0.22)
_REDDER = (0.14, -0.08, -0.05)
_WARMER = (0.8, -0.1, -1.0)
"""How channels differ from luminance: skin at its usual saturation; lips and mouths, beside it; hair, by warmth."""
_PALE = 0.6  # how much of its colour the brightest light loses
_PATCHES = 6  # rows and columns of a random field: skin is redder here than there
_EDGE = 5  # pixels over which colours run into each other


def colour_prints(pictures: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Colour a random ``share`` of those pictures that are black and white or of one tint throughout.

    Brightness stays. Skin, hair, lips, clothes and backdrops get colours that each may have, drawn anew each time.

    Parameters
    ----------
    pictures : (N, 3, H, W) in [0, 1], sRGB. labels : (N, H, W) uint8 of ``FaceClass``, 255 where nobody knows.

    Returns
    -------
    pictures, and (N,) bool: which have changed.
    """
    chosen = (torch.rand(len(pictures), device=pictures.device) < share) & monochrome(pictures)
    if not bool(chosen.any()):
        return pictures, chosen
    brightness = luminance(pictures)
    known = (labels != IGNORE)[:, None].float()
    tints = _blurred(_tints(pictures, labels) * known) / _blurred(known).clamp_min(1e-3)
    coloured = brightness * (1 + (1 - _PALE * brightness**4) * tints)
    coloured = coloured * brightness / luminance(coloured).clamp_min(1e-3)
    return torch.where(chosen.view(-1, 1, 1, 1), coloured.clamp(0, 1), pictures), chosen


def _tints(pictures: Tensor, labels: Tensor) -> Tensor:
    """(N, 3, H, W): what each pixel's channels differ from its luminance, as shares of it."""
    count, side = len(pictures), pictures.shape[2:]

    def between(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, device=pictures.device)).view(-1, 1, 1, 1)

    def of(part: tuple[float, float, float]) -> Tensor:
        return pictures.new_tensor(part).view(1, 3, 1, 1)

    field = torch.randn(count, 1, _PATCHES, _PATCHES, device=pictures.device)
    field = functional.interpolate(field, side, mode="bicubic", align_corners=False)
    skin = (between(0.5, 1.35) * (1 + 0.15 * field)) * of(_SKIN) + 0.15 * (field + between(-0.5, 1)) * of(_REDDER)
    hair = between(-0.05, 0.4) * of(_WARMER)
    beard = torch.lerp(hair * between(0.2, 1), skin, between(0.1, 0.5))
    lips = skin + between(0.3, 1.5) * of(_REDDER)
    tints = torch.zeros_like(pictures) + _any_tint(pictures, between(0, 0.2))  # clothes, and what nobody knows
    for where, tint in (
        (behind_heads(labels), _any_tint(pictures, between(0, 0.35))),
        (labels == FaceClass.OCCLUDER, _any_tint(pictures, between(0, 0.6))),
        (labels == FaceClass.EYES, 0.15 * skin),
        (labels == FaceClass.GLASSES, between(-0.05, 0.3) * of(_WARMER)),
        (labels == FaceClass.MOUTH_INTERIOR, 0.4 * lips),
        (labels == FaceClass.HAIR, hair),
        (labels == FaceClass.BROWS, (hair + skin) / 2),
        (labels == FaceClass.FACIAL_HAIR, beard),
        (labels == FaceClass.LIPS, lips),
        (labels == FaceClass.SKIN, skin),
        (labels == FaceClass.NECK, skin),
        (labels == FaceClass.EARS, skin + between(0, 0.8) * of(_REDDER)),
    ):
        tints = torch.where(where[:, None], tint, tints)
    return tints


def _any_tint(pictures: Tensor, strength: Tensor) -> Tensor:
    """(N, 3, 1, 1) in all directions, ``strength`` (N, 1, 1, 1) long."""
    tint = torch.randn(len(pictures), 3, 1, 1, device=pictures.device)
    tint = tint - tint.mean(1, keepdim=True)
    return strength * tint / tint.norm(dim=1, keepdim=True).clamp_min(1e-3)


def _blurred(values: Tensor) -> Tensor:
    """(N, C, H, W), each the mean of a square around it, as far as the picture goes."""
    return functional.avg_pool2d(values, _EDGE, stride=1, padding=_EDGE // 2, count_include_pad=False)
