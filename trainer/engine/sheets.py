"""Sheets of pictures: rows of one size, a caption above each column; and curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw

CAPTION_HEIGHT = 16
"""Pixels."""
SHOWN = 6
"""A sheet of a prepared set shows so many entries, the first; those without a face are skipped."""
TILE = 128
NO_TRUTH = np.full((TILE, TILE, 3), 127, np.uint8)
"""In the sheet's last column."""


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


def tile(picture: np.ndarray | torch.Tensor) -> np.ndarray:
    """(T, T, 3) uint8 of a picture, uint8 or (3, H, W) in [0, 1]."""
    if isinstance(picture, torch.Tensor):
        picture = (picture.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    return cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_AREA)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], size: tuple[int, int] = (360, 180)) -> np.ndarray:
    """(H, W, 3) uint8: a panel of ``size`` (W, H) pixels for each of ``series``, name -> points (step, value) in order,
    with its least and greatest value, and its last. Values that are not finite are left out."""
    panels = []
    for name, points in series.items():
        panel = Image.new("RGB", size, (250, 250, 250))
        draw = ImageDraw.Draw(panel)
        known = np.array([point for point in points if np.isfinite(point[1])]).reshape(-1, 2)
        text = f"{name}: no number"
        if len(known):
            low, high = known.min(0), known.max(0)
            text = f"{name}  {low[1]:.4g} to {high[1]:.4g}, at {high[0]:.0f}: {known[-1, 1]:.4g}"
            box = np.array(size) - [2, CAPTION_HEIGHT + 4]
            places = (known - low) / np.maximum(high - low, 1e-12) * box * [1, -1] + [1, size[1] - 2]
            draw.line([tuple(place) for place in places], fill=(40, 90, 170), width=1)
        draw.text((3, 2), text, fill=(20, 20, 20))
        panels.append(np.asarray(panel))
    return sheet(in_rows(panels, 3))
