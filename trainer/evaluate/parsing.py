"""Evaluate the shipped parsing net on held-out synthetic people, and make a sheet of photographs for inspection."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from backend.models.parsing.apply import label_face
from backend.models.parsing.network import CLASS_NAMES, FaceParser, colour_labels
from backend.models.parsing.three_scales import class_probabilities
from backend.photos.faces.crop import crop_head
from backend.photos.faces.landmarks import landmarks_of_largest
from backend.photos.reading.formats import PHOTO_SUFFIXES
from backend.photos.reading.read import read_photo
from backend.photos.reading.source import PhotoSource, PhotoUnreadableError
from trainer.data.people import PeopleConfig
from trainer.evaluate.parsing_portraits import real_figures
from trainer.evaluate.parsing_press import press_figures
from trainer.losses.segmentation import confusion_matrix, intersection_over_union

HELD_OUT_SEED = 901
"""Seed of people unused for training and validation in all recipes."""
_BATCH = 8
_TILE = 144
_COLUMNS = 10


def held_out_figures(parser: FaceParser, people: int) -> dict[str, float]:
    """``iou.<class>``, ``iou.mean`` and ``accuracy`` over the pixels of ``people`` synthetic people.

    The net is applied as in the product (``class_probabilities``), with the true landmarks.
    """
    source = PeopleConfig(size=parser.size, seed=HELD_OUT_SEED).build()
    count = len(CLASS_NAMES)
    confusion = torch.zeros(count, count, dtype=torch.int64)
    for start in range(0, people, _BATCH):
        batch = source.batch(range(start, min(start + _BATCH, people)), torch.device("cpu"))
        pictures = (batch.images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
        for picture, labels, landmarks in zip(pictures, batch.labels, batch.landmarks478.numpy(), strict=True):
            found = torch.from_numpy(class_probabilities(parser, picture, landmarks).argmax(0))
            confusion += confusion_matrix(found[None], labels[None], count)
    iou = intersection_over_union(confusion)
    present = confusion.sum(1) > 0
    figures = {f"iou.{CLASS_NAMES[number]}": float(iou[number]) for number in range(count) if present[number]}
    figures["iou.mean"] = float(iou[present].mean())
    figures["accuracy"] = float(confusion.diagonal().sum() / confusion.sum())
    return figures


def head_crops(paths: Iterable[Path]) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Yield (path, (S, S, 3) uint8 head crop, (S, S) uint8 labels of the product) for every photo with a face."""
    for path in paths:
        try:
            pixels = read_photo(PhotoSource.from_path(path)).pixels
        except PhotoUnreadableError:
            continue
        landmarks = landmarks_of_largest(pixels)
        if landmarks is None:
            continue
        crop = crop_head(pixels, landmarks, max_side=512)
        yield path, crop.pixels, label_face(crop.pixels, crop.to_crop(landmarks), crop.covered)


def contact_sheet(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(H, W, 3) uint8: rows of pictures, each row with its labels below."""
    tiles = [
        np.concatenate(
            [
                cv2.resize(pixels, (_TILE, _TILE), interpolation=cv2.INTER_AREA),
                colour_labels(cv2.resize(labels, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST)),
            ]
        )
        for pixels, labels in pairs
    ]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    return np.concatenate(
        [np.concatenate(tiles[start : start + _COLUMNS], axis=1) for start in range(0, len(tiles), _COLUMNS)]
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate parsing``."""
    parser.add_argument("--people", type=int, default=400, help="held-out synthetic people (default 400)")
    parser.add_argument("--portraits", type=Path, help="folder of the portraits that were corrected by hand")
    parser.add_argument("--press", type=Path, help="folder of all photographs: what is worn on press photos")
    parser.add_argument("--photos", type=Path, help="a folder of photographs for the sheet")
    parser.add_argument("--sheet", type=Path, help="where the sheet goes (PNG)")
    parser.add_argument("--count", type=int, default=100, help="photographs on the sheet, drawn from the folder")
    parser.add_argument("--seed", type=int, default=0, help="which photographs")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Compute the flat figures of ``evaluate parsing``."""
    figures = held_out_figures(FaceParser.load(), arguments.people) if arguments.people else {}
    if arguments.portraits:
        figures |= real_figures(arguments.portraits)
    table = Table("class", "IoU", title=f"{arguments.people} held-out synthetic people; real: held-out portraits")
    for name, value in figures.items():
        table.add_row(name.replace("iou.", ""), f"{value:.3f}")
    console.print(table)
    if arguments.press:
        worn = press_figures(arguments.press)
        figures |= worn
        table = Table("press photos", "of them", title="what is worn: missed and invented; together: with votes")
        for name, value in worn.items():
            table.add_row(name.removeprefix("press."), f"{value:.0f}")
        console.print(table)
    if arguments.photos and arguments.sheet:
        paths = sorted(path for path in arguments.photos.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        np.random.default_rng(arguments.seed).shuffle(paths)
        pairs = [(pixels, labels) for _, pixels, labels in head_crops(paths[: arguments.count])]
        cv2.imwrite(str(arguments.sheet), contact_sheet(pairs)[..., ::-1])
        console.print(f"{len(pairs)} photographs: {arguments.sheet}")
    return figures
