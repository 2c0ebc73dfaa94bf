"""Contact sheets of synthetic people: single portraits, sets, clips and labels.

``python -m trainer preview-data`` writes ``people.jpg``, ``sets.jpg``, ``clips.jpg``, ``parsing.jpg``, ``labels.jpg``.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backend.models.parsing.network import CLASS_COLOURS
from backend.rendering.color import srgb_from_linear
from trainer.engine.sheets import in_rows, sheet
from trainer.people.source import PeopleConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer preview-data``."""
    parser.add_argument("--out", type=Path, default=Path("runs/preview"), help="folder for the sheets")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other people")
    parser.add_argument("--people", type=int, default=48, help="portraits on the first sheet")
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--device", default="cpu")


def run(arguments: argparse.Namespace) -> int:
    """Write the sheets; returns the exit code."""
    size, seed, columns = arguments.size, arguments.seed, arguments.columns
    device = torch.device(arguments.device)
    if arguments.people < columns:
        raise SystemExit(f"--people must be at least --columns, {columns}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    single = PeopleConfig(size=size, seed=seed).build()
    portraits = single.batch(range(arguments.people), device)
    _save(arguments.out / "people.jpg", _bytes(portraits.images), columns)
    photos = PeopleConfig(size=size, seed=seed, photos=columns).build().batch(range(columns, columns + 4), device)
    _save(arguments.out / "sets.jpg", _bytes(photos.images), columns)
    moving = PeopleConfig(size=size, seed=seed, photos=3 * columns, clips=True).build()
    clip = moving.batch(range(columns + 4, columns + 8), device)
    every_third = clip.grouped(clip.images)[:, ::3].flatten(0, 1)
    _save(arguments.out / "clips.jpg", _bytes(every_third), columns)
    shown = min(3, arguments.people // columns) * columns
    rows = _rows(_bytes(portraits.images[:shown]), label_picture(portraits.labels[:shown]), columns)
    _save(arguments.out / "parsing.jpg", rows, columns)
    full = PeopleConfig(size=size, seed=seed, depth=True, albedo=True).build().batch(range(columns), device)
    kinds = [
        _bytes(full.images),
        _bytes(depth_picture(full.depth)[:, None].expand(-1, 3, -1, -1)),
        _bytes((full.normals * 0.5 + 0.5) * (full.depth > 0)[:, None]),
        _bytes(srgb_from_linear(full.albedo)),
        label_picture(full.labels),
        landmark_picture(_bytes(full.images), full.landmarks478, full.visible478),
    ]
    _save(arguments.out / "labels.jpg", np.concatenate(kinds), columns)
    print(f"sheets in {arguments.out}")
    return 0


def label_picture(labels: Tensor) -> np.ndarray:
    """(N, H, W, 3) uint8 of labels (N, H, W); unknown is black."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(CLASS_COLOURS)] = CLASS_COLOURS
    return palette[labels.cpu().numpy()]


def depth_picture(depth: Tensor) -> Tensor:
    """(N, H, W) in [0, 1]: 1 at the nearest point, 0.2 25 cm behind it, 0 where depth (N, H, W) is 0."""
    nearest = torch.where(depth > 0, depth, torch.inf).flatten(1).amin(1)[:, None, None]
    return torch.where(depth > 0, 1 - (depth - nearest) * (0.8 / 0.25), torch.zeros_like(depth)).clamp(0, 1)


def landmark_picture(pictures: np.ndarray, places: Tensor, visible: Tensor) -> np.ndarray:
    """Draw landmarks (N, L, 2) into pictures (N, H, W, 3) uint8: green where visible, red where hidden."""
    marked = pictures.copy()
    height, width = marked.shape[1:3]
    for picture, points, mask in zip(marked, places.cpu().numpy(), visible.cpu().numpy(), strict=True):
        columns, rows = np.floor(points[:, 0]).astype(int), np.floor(points[:, 1]).astype(int)
        within = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        picture[rows[within], columns[within]] = np.where(mask[within, None], (40, 255, 60), (255, 40, 40))
    return marked


def _rows(first: np.ndarray, second: np.ndarray, columns: int) -> np.ndarray:
    """Alternate rows of the first and of the second."""
    pairs = [part for k in range(0, len(first), columns) for part in (first[k : k + columns], second[k : k + columns])]
    return np.concatenate(pairs)


def _bytes(images: Tensor) -> np.ndarray:
    """(N, H, W, 3) uint8 of pictures (N, 3, H, W) in [0, 1]."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _save(path: Path, pictures: np.ndarray, columns: int) -> None:
    Image.fromarray(sheet(in_rows(pictures, columns))).save(path, quality=88, subsampling=0, optimize=True)
