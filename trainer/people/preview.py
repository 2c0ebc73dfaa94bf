"""Contact sheets of synthetic people: single portraits, sets, clips and labels.

``python -m trainer preview-data`` writes ``people.jpg``, ``sets.jpg``, ``clips.jpg``, ``parsing.jpg``, ``labels.jpg``.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.models.parsing.network import CLASS_COLOURS
from backend.rendering.color import srgb_from_linear
from trainer.engine.sheets import in_rows, to_pixels, write_sheet
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
    single = PeopleConfig(size=size, seed=seed).build()
    portraits = single.batch(range(arguments.people), device)
    write_sheet(arguments.out / "people.jpg", in_rows(portraits.images, columns))
    photos = PeopleConfig(size=size, seed=seed, photos=columns).build().batch(range(columns, columns + 4), device)
    write_sheet(arguments.out / "sets.jpg", in_rows(photos.images, columns))
    moving = PeopleConfig(size=size, seed=seed, photos=3 * columns, clips=True).build()
    clip = moving.batch(range(columns + 4, columns + 8), device)
    every_third = clip.grouped(clip.images)[:, ::3].flatten(0, 1)
    write_sheet(arguments.out / "clips.jpg", in_rows(every_third, columns))
    shown = min(3, arguments.people // columns) * columns
    both = (in_rows(of, columns) for of in (portraits.images[:shown], label_picture(portraits.labels[:shown])))
    write_sheet(arguments.out / "parsing.jpg", [row for pair in zip(*both, strict=True) for row in pair])
    full = PeopleConfig(size=size, seed=seed, depth=True, albedo=True).build().batch(range(columns), device)
    kinds = [
        full.images,
        depth_picture(full.depth)[:, None].expand(-1, 3, -1, -1),
        (full.normals * 0.5 + 0.5) * (full.depth > 0)[:, None],
        srgb_from_linear(full.albedo),
        label_picture(full.labels),
        landmark_picture(np.stack([*map(to_pixels, full.images)]), full.landmarks478, full.visible478),
    ]
    write_sheet(arguments.out / "labels.jpg", kinds)
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
