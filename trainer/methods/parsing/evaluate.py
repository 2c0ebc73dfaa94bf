"""Evaluate parsing: labels on held-out portraits with hand-made maps, glasses, beards and headwear on press photos,
the net on synthetic people, a sheet of listed photographs.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console

from backend.errors import LikenessError
from backend.models.parsing.accessories import AccessoryScores, vote_over_photos
from backend.models.parsing.apply import WORK_SIDE, FaceLabels, label_face, look_at_face
from backend.models.parsing.network import CLASS_NAMES, FaceParser, class_probabilities
from backend.photos.collection import FaceClass, PhotoSource, PhotoUnreadableError
from backend.photos.faces import crop_head, landmarks_of_largest
from backend.photos.reading import read_photo
from backend.photos.regions import above_brows, grown
from protocol.photo_folder import PHOTO_SUFFIXES
from trainer.engine.sheets import in_rows, write_sheet
from trainer.measures.harness import batches
from trainer.methods.parsing.stage import confusion_matrix, label_figures
from trainer.people.source import PeopleConfig
from trainer.portraits.collection import SIDE, UNKNOWN, CacheSettings, portrait_of, read_hand_labels

_NEAR = 2.0
"""Tolerance of borders in pixels of 256 (the face is about 105 high), the accuracy of hair drawn by hand. Most borders
of the corrected labels come from the net that shipped on 2026-11-20; without a tolerance it would be compared with
itself."""
PRESS_PATH = Path(__file__).parent / "press_worn.csv"
"""Annotations by two observers of 840 photos of 140 people who are not on the parsing sheet: path below the folder of
all photographs, and 1 or 0, or 9 for undecidable, for each of ``KINDS``."""
KINDS = ("glasses", "moustache", "beard", "headwear")
_CANNOT_TELL = 9
_HEADWEAR = 0.1
"""Area of occluder above the brows, relative to the face's skin, from which it counts as a hat or a band."""
HELD_OUT_SEED = 901
"""Seed of people unused for training and validation in all recipes."""
_BATCH = 8
_COLOUR_STEP = 21
"""Of 255 colours between one class and the next."""
_TILE = 144
_COLUMNS = 10


def read_listed_photo(folder: Path, name: str) -> np.ndarray:
    """Read a listed photograph as (H, W, 3) uint8 sRGB pixels, upright.

    Raises ``LikenessError`` (``no_photo``) where it is missing or cannot be opened.
    """
    try:
        return read_photo(PhotoSource.from_path(folder / name)).pixels
    except PhotoUnreadableError as error:
        advice = "Give the folder that holds all photographs of the list."
        raise LikenessError("no_photo", f"{folder / name}: {error}", advice) from error


def agreement(predicted: np.ndarray, truth: np.ndarray, near: float = _NEAR) -> np.ndarray:
    """(C, 3) int64 pixels of each class: hits, false and missed ones; predicted, truth (S, S) uint8 of ``FaceClass``.

    A pixel of ``predicted`` is a hit if ``truth`` has its class within ``near`` pixels. One of ``truth`` is missed if
    ``predicted`` does not have its class within ``near`` pixels. Pixels where ``truth`` is 255 are ignored.
    """
    known = truth != UNKNOWN
    counts = np.zeros((len(CLASS_NAMES), 3), dtype=np.int64)
    for number in range(len(CLASS_NAMES)):
        here, there = (predicted == number) & known, truth == number
        if here.any() or there.any():
            hits = here & grown(there, near)
            counts[number] = hits.sum(), (here & ~hits).sum(), (there & ~grown(here, near)).sum()
    return counts


def real_figures(portraits: Path) -> dict[str, float]:
    """``real.iou.<class>``, hits / (hits + false + missed), and their mean, over the pixels of ``real.portraits``
    held-out ones: those whose crop lies where it was labelled (not 14 of 80, since other networks find landmarks).

    Labels are the product's final ones. ``portraits`` is the folder of the photographs that ``hand_labels.npz`` lists.

    Raises ``LikenessError`` where a photograph is missing or shows no face.
    """
    settings = CacheSettings(SIDE, "head", 0.0, True, labels_by="label_face")
    counts, compared = np.zeros((len(CLASS_NAMES), 3), dtype=np.int64), 0
    for name, corrected in read_hand_labels().items():
        if not corrected.held_out:
            continue
        portrait = portrait_of(read_listed_photo(portraits, name), settings)
        if portrait is None:
            sentence = f"{portraits / name} is not the photograph whose labels were corrected."
            raise LikenessError("no_photo", sentence, "Fetch it again from its source.")
        truth = corrected.on(portrait.landmarks, SIDE)
        if truth is not None:
            counts += agreement(portrait.labels, truth)
            compared += 1
    share = counts[:, 0] / np.maximum(counts.sum(axis=1), 1)
    figures = {f"real.iou.{name}": float(value) for name, value in zip(CLASS_NAMES, share, strict=True)}
    return figures | {"real.iou.mean": float(share.mean()), "real.portraits": float(compared)}


@dataclass(frozen=True)
class PressPhoto:
    """A photo's path below the folder of all photographs; whether its person wears each of ``KINDS``, None: unknown."""

    path: str
    worn: Mapping[str, bool | None]

    @property
    def person(self) -> str:
        """Name of the folder of the person's photos."""
        return Path(self.path).parent.name


def read_press_photos(path: Path = PRESS_PATH) -> tuple[PressPhoto, ...]:
    """Read all photos of the list, those of one person consecutive."""

    def seen(text: str) -> bool | None:
        return None if int(text) == _CANNOT_TELL else bool(int(text))

    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            PressPhoto(row["photo"], {kind: seen(row[kind]) for kind in KINDS}) for row in csv.DictReader(file)
        )


def count_wrong(
    truths: Sequence[Mapping[str, bool | None]], answers: Sequence[Mapping[str, bool | None]]
) -> dict[str, float]:
    """``<kind>.worn`` and ``<kind>.bare``, numbers of photos with known answer, and ``<kind>.missed`` and
    ``<kind>.invented`` among them; kinds without a result in ``answers`` do not count."""
    counts: Counter[str] = Counter()
    for truth, said in zip(truths, answers, strict=True):
        for kind, worn in truth.items():
            if worn is None or said.get(kind) is None:
                continue
            counts[f"{kind}.worn" if worn else f"{kind}.bare"] += 1
            counts[f"{kind}.missed"] += worn and not said[kind]
            counts[f"{kind}.invented"] += said[kind] and not worn
    return {name: float(value) for name, value in sorted(counts.items())}


def press_figures(photographs: Path) -> dict[str, float]:
    """``press.…``: ``count_wrong`` of each photo by itself, and ``press.together.…`` with the votes of the person's
    other photos.

    Raises ``LikenessError`` where a photo is missing.
    """
    truths, alone, together = [], [], []
    for _, photos in groupby(read_press_photos(), lambda photo: photo.person):
        looked = [(photo, *outcome) for photo in photos if (outcome := _look(photographs, photo)) is not None]
        voted = vote_over_photos([labels.accessories for _, labels, _ in looked])
        for (photo, labels, headwear), scores in zip(looked, voted, strict=True):
            truths.append(photo.worn)
            alone.append(_worn(labels.accessories) | {"headwear": headwear})
            together.append(_worn(scores))
    figures = {f"press.{name}": value for name, value in count_wrong(truths, alone).items()}
    return figures | {f"press.together.{name}": value for name, value in count_wrong(truths, together).items()}


def _worn(scores: AccessoryScores) -> dict[str, bool]:
    """Decision by kind, for the kinds with a score."""
    return {kind: score > 0 for kind, score in scores._asdict().items() if not np.isnan(score)}


def _look(photographs: Path, photo: PressPhoto) -> tuple[FaceLabels, bool] | None:
    """The product's labels of a photo's largest face, and whether there is headwear; None without a face."""
    pixels = read_listed_photo(photographs, photo.path)
    landmarks = landmarks_of_largest(pixels)
    if landmarks is None:
        return None
    crop = crop_head(pixels, landmarks, max_side=WORK_SIDE)
    points = crop.to_crop(landmarks)
    outcome = look_at_face(crop.pixels, points, crop.covered)
    labels, above = outcome.labels, above_brows(points, crop.pixels.shape[0])
    on_top = (labels == FaceClass.OCCLUDER) & above
    return outcome, bool(on_top.sum() > _HEADWEAR * (labels == FaceClass.SKIN).sum())


def held_out_figures(parser: FaceParser, people: int) -> dict[str, float]:
    """``iou.<class>``, ``iou.mean`` and ``accuracy`` over the pixels of ``people`` synthetic people.

    The net is applied as in the product (``class_probabilities``), with the true landmarks.
    """
    source = PeopleConfig(size=parser.size, seed=HELD_OUT_SEED).build()
    count = len(CLASS_NAMES)
    confusion = torch.zeros(count, count, dtype=torch.int64)
    for batch in batches(source, people, _BATCH):
        pictures = (batch.images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
        for picture, labels, landmarks in zip(pictures, batch.labels, batch.landmarks478.numpy(), strict=True):
            predicted = torch.from_numpy(class_probabilities(parser, picture, landmarks).argmax(0))
            confusion += confusion_matrix(predicted[None], labels[None], count)
    return label_figures(confusion)


def head_crops(paths: Iterable[Path]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ((S, S, 3) uint8 head crop, (S, S) uint8 labels of the product) for every photo with a face."""
    for path in paths:
        try:
            pixels = read_photo(PhotoSource.from_path(path)).pixels
        except PhotoUnreadableError:
            continue
        landmarks = landmarks_of_largest(pixels)
        if landmarks is None:
            continue
        crop = crop_head(pixels, landmarks, max_side=512)
        yield crop.pixels, label_face(crop.pixels, crop.to_crop(landmarks), crop.covered)


def tiles(pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its labels in colours, (``_TILE``, ``_TILE``, 3) uint8 each."""
    small = cv2.resize(labels, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST)
    coloured = cv2.applyColorMap(_COLOUR_STEP * small, cv2.COLORMAP_TURBO)[..., ::-1]
    return cv2.resize(pixels, (_TILE, _TILE), interpolation=cv2.INTER_AREA), coloured


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
    if arguments.press:
        figures |= press_figures(arguments.press)
    if arguments.photos and arguments.sheet:
        paths = sorted(path for path in arguments.photos.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
        np.random.default_rng(arguments.seed).shuffle(paths)
        pairs = [tiles(*crop) for crop in head_crops(paths[: arguments.count])]
        write_sheet(arguments.sheet, [row for part in in_rows(pairs, _COLUMNS) for row in zip(*part, strict=True)])
        console.print(f"{len(pairs)} photographs: {arguments.sheet}")
    return figures
