"""Sheets of pictures: rows of one size, a caption above each column."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

CAPTION_HEIGHT = 16
"""Pixels."""


def sheet(rows: Sequence[Sequence[Any]], captions: Sequence[str] = ()) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: rows of pictures of one size; the last row may be shorter.

    Parameters
    ----------
    rows : pictures (S, T, 3) uint8, or tensors (3, S, T) in [0, 1]. captions : a word above each column.
    """
    tiles = [[one if isinstance(one, np.ndarray) else to_pixels(one) for one in row] for row in rows]
    blank = np.zeros_like(tiles[0][0])
    columns = max(map(len, tiles))
    whole = np.concatenate([np.concatenate([*row, *[blank] * (columns - len(row))], axis=1) for row in tiles])
    if not captions:
        return whole
    strip = Image.new("RGB", (whole.shape[1], CAPTION_HEIGHT), (24, 24, 24))
    for column, caption in enumerate(captions):
        ImageDraw.Draw(strip).text((column * blank.shape[1] + 3, 2), caption, fill=(230, 230, 230))
    return np.concatenate([np.asarray(strip), whole])


def in_rows(pictures: Sequence[Any], columns: int) -> list[Sequence[Any]]:
    """Pictures in rows of ``columns``."""
    return [pictures[start : start + columns] for start in range(0, len(pictures), columns)]


def rows_of(columns: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
    """Rows of ``sheet`` from columns of pictures (N, 3, S, T)."""
    return list(zip(*columns, strict=True))


def write_sheet(path: Path, rows: Sequence[Sequence[Any]], captions: Sequence[str] = ()) -> None:
    """Write ``sheet`` as PNG or JPEG and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet(rows, captions)).save(path, quality=88)


def to_pixels(picture: torch.Tensor) -> np.ndarray:
    """Convert (3, H, W) float in [0, 1] to (H, W, 3) uint8; values outside are clipped."""
    if picture.dim() != 3 or picture.shape[0] != 3:
        raise ValueError(f"a picture is (3, H, W), not {tuple(picture.shape)}")
    scaled = picture.detach().float().clamp(0, 1).mul(255).round()
    return scaled.permute(1, 2, 0).to("cpu").numpy().astype(np.uint8)
