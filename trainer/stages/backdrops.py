"""Replace the background of a head by another picture: portraits have plain walls, photographs to be parsed do not."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass
from trainer.losses.photometric import luminance

_ASIDE = (0.45, 0.8)  # of the width: a second head appears beside the picture's head, not behind it
_NEAR = (0.8, 1.3)  # scale of a backdrop beside the head: other people
_FAR = (2.0, 4.0)  # scale of a backdrop so near that only its colours and edges are recognisable
_FEATHER = 3  # pixels of blending between the pictures
_MONOCHROME_SPREAD = 0.06
"""Standard deviation of the colour channels' ratios to the luminance, below which a picture counts as monochrome."""


def behind_heads(labels: Tensor) -> Tensor:
    """(N, H, W) bool: background above the chin. Below the chin are clothes, which have the background's label.

    labels : (N, H, W) uint8 of ``FaceClass``, 255 where unknown; unknown pixels are not selected.
    """
    face = (labels == FaceClass.SKIN) | (labels == FaceClass.LIPS)
    chin = face.any(2).flip(1).to(torch.uint8).argmax(1)  # rows from below, (N,); 0 without a face
    row = torch.arange(labels.shape[1], device=labels.device)
    above = row < (labels.shape[1] - chin)[:, None]  # (N, H)
    return (labels == FaceClass.BACKGROUND) & above[:, :, None] & face.any(2).any(1)[:, None, None]


def change_backdrops(pictures: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Put the batch's next picture, moved aside or enlarged, behind the heads of a random ``share`` of the pictures.

    This makes labels true that miss a part of the hair, because the unlabelled part is no longer visible.

    Parameters
    ----------
    pictures : (N, 3, H, W) in [0, 1], sRGB. labels : as for ``behind_heads``.

    Returns
    -------
    pictures, and (N, H, W) bool, the changed pixels.
    """
    count, device = len(pictures), pictures.device
    chosen = torch.rand(count, device=device) < share
    if count < 2 or not bool(chosen.any()):
        return pictures, torch.zeros_like(labels, dtype=torch.bool)
    changed = behind_heads(labels) & chosen[:, None, None]
    other = _moved_aside(pictures.roll(1, 0))
    other = match_tone(other, pictures)
    soft = functional.avg_pool2d(changed[:, None].float(), _FEATHER, stride=1, padding=_FEATHER // 2)
    soft = soft * changed[:, None]  # pixels of other labels stay unchanged
    return torch.lerp(pictures, other, soft), changed


def monochrome(pictures: Tensor) -> Tensor:
    """(N,) bool: black and white, or a single tint as in old prints; pictures (N, 3, H, W) in [0, 1]."""
    ratios = (pictures + 0.05) / (luminance(pictures) + 0.05)
    return ratios.std((2, 3)).mean(1) < _MONOCHROME_SPREAD


def match_tone(pieces: Tensor, pictures: Tensor) -> Tensor:
    """Tone pieces (N, 3, H, W) for insertion into ``pictures`` (N, 3, H, W): monochrome pictures get pieces in their
    tint."""
    own_tint = pictures.mean((2, 3), keepdim=True) / luminance(pictures).mean((2, 3), keepdim=True).clamp_min(0.02)
    toned = (luminance(pieces) * own_tint).clamp(0, 1)
    return torch.where(monochrome(pictures).view(-1, 1, 1, 1), toned, pieces)


def _moved_aside(pictures: Tensor) -> Tensor:
    """Turn pictures into backdrops: half moved aside at about their size, half strongly enlarged; some mirrored."""
    count, device = len(pictures), pictures.device

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, device=device)

    near = torch.rand(count, device=device) < 0.5
    size = torch.where(near, between(*_NEAR), between(*_FAR))
    side = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    aside = 2.0 * side * between(*_ASIDE) / size  # in half widths, as in sampling grids
    lift = between(-0.2, 0.2)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    turn = between(-math.pi / 24, math.pi / 24)
    cosine, sine = torch.cos(turn) / size, torch.sin(turn) / size
    rows = torch.stack((cosine * mirror, -sine, aside, sine * mirror, cosine, lift), 1).view(count, 2, 3)
    return reflected(pictures, rows)


def reflected(pictures: Tensor, rows: Tensor) -> Tensor:
    """Sample pictures (N, C, H, W) with affine ``rows`` (N, 2, 3) in half widths; beyond their edges they are
    mirrored."""
    grid = functional.affine_grid(rows, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
