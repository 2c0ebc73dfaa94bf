"""Label maps of real portraits for training a parsing net: a teacher's labels, corrected by traits that people noted.

``python -m trainer relabel-portraits CACHE``: self-training (Lee 2013; Xie et al. 2020) with weak labels. The teacher
is the current parsing net. Where ``traits.csv`` says that somebody wears no glasses, no beard or no hat, the class is
ruled out. Where it says that they do, the class's odds are raised just enough that it is found. Pixels that remain
uncertain become unknown (255). Portraits that were corrected by hand (``hand_labels.npz``) keep those labels; the
held-out ones among them become unknown.
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.expression.reading import posed_depth
from backend.models.parsing.accessories import find_rims, least_factor
from backend.models.parsing.apply import resolve_labels, with_second_opinion
from backend.models.parsing.network import FaceParser, SecondParser, class_probabilities, wide_probabilities
from backend.photos import networks, regions
from backend.photos.collection import FaceClass
from backend.photos.faces import landmark_window
from trainer.portraits import collection

TRAITS_PATH = Path(__file__).parent / "traits.csv"
NO, MOUSTACHE, BEARD, WHISKERS = 0, 1, 2, 3
"""Values of ``Traits.facial_hair``."""
_CANNOT_TELL = 9
_LEAST_PROBABILITY = 0.55
_OFF_RIMS = 0.4
_RIM_ODDS_FACTORS = (1.0, 2.0, 4.0, 8.0)
"""Factors on the odds of glasses that a person saw, least first. They are small because broad frames of one teacher get
broader with the next."""
_ODDS_FACTORS = (3.0, 6.0, 12.0, 24.0)
"""Factors on the odds of a beard or a hat that a person saw, least first."""
_FOUND_PROBABILITY = 0.55
"""Mean probability in its region above which a beard or a hat counts as found."""
_LEAST_GLASSES = 0.01  # of the face window's area
_AROUND_EYES, _AROUND_LIP = 0.14, 0.05  # heights of the face
_REPEATED = (1, 0.15)
"""Grey levels, largest and mean difference of neighbouring lines of a crop that are repetitions. The differences come
from rounding errors in some crops. Dark backdrops differ by more, except on 2 % of the pictures' sides."""


@dataclass(frozen=True)
class Traits:
    """Traits that a person saw on a portrait; None where they could not tell.

    Attributes
    ----------
    facial_hair : ``NO``, ``MOUSTACHE`` (alone), ``BEARD`` (chin or cheeks, with or without a moustache), ``WHISKERS``
        (only at the sides); stubble does not count. glasses, headwear : worn or not.
    """

    facial_hair: int | None
    glasses: bool | None
    headwear: bool | None


_UNKNOWN_TRAITS = Traits(None, None, None)


def read_traits(path: Path = TRAITS_PATH) -> dict[str, Traits]:
    """Read traits by file name from a CSV with the columns file, facial_hair, glasses, headwear; 9: cannot tell."""

    def number(text: str) -> int | None:
        return None if int(text) == _CANNOT_TELL else int(text)

    def yes(text: str) -> bool | None:
        return None if int(text) == _CANNOT_TELL else bool(int(text))

    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["file"]: Traits(number(row["facial_hair"]), yes(row["glasses"]), yes(row["headwear"]))
            for row in csv.DictReader(file)
        }


def correct(probabilities: np.ndarray, landmarks: np.ndarray, traits: Traits) -> np.ndarray:
    """Make (C, S, S) class probabilities consistent with ``traits``; landmarks (478, 2 or 3) in their pixels."""
    side = probabilities.shape[1]
    odds = probabilities.astype(np.float32).copy()
    if traits.glasses is False:
        odds[FaceClass.GLASSES] = 0.0
    elif traits.glasses:
        rims = find_rims(odds[FaceClass.GLASSES], landmarks)
        where = regions.near_eyes(landmarks, side, _AROUND_EYES) if rims is None else rims.band
        likelier = _factor(odds, FaceClass.GLASSES, where, _RIM_ODDS_FACTORS)
        odds[FaceClass.GLASSES] *= likelier if rims is None else np.where(where, likelier, _OFF_RIMS)
    above = regions.above_brows(landmarks, side)
    if traits.headwear is False:
        odds[FaceClass.OCCLUDER] *= 0.1
    elif traits.headwear:
        odds[FaceClass.SKIN][above] = 0.0  # the hat, or hair under it, is there
        person = odds[FaceClass.BACKGROUND] < 0.5 * odds.sum(axis=0)
        odds[FaceClass.OCCLUDER] *= np.where(above, _factor(odds, FaceClass.OCCLUDER, above & person), 1.0)
    hair = odds[FaceClass.FACIAL_HAIR]
    if traits.facial_hair == NO:
        hair[:] = 0.0
    elif traits.facial_hair in (MOUSTACHE, BEARD):
        lips = regions.polygon_mask(landmarks, regions.LIPS_OUTER, side)
        lip = regions.polygon_mask(landmarks, regions.UPPER_LIP_SKIN, side)
        alone = traits.facial_hair == MOUSTACHE
        chin = lip if alone else regions.polygon_mask(landmarks, regions.MOUTH_SURROUNDINGS, side) & ~lip
        hair *= _factor(odds, FaceClass.FACIAL_HAIR, chin & ~lips)
        if alone:
            hair *= regions.grown(lip | lips, _AROUND_LIP * landmark_window(landmarks, 1.0).side)
    return odds / np.maximum(odds.sum(axis=0), 1e-6)


def _factor(
    odds: np.ndarray, face_class: FaceClass, where: np.ndarray, factors: Sequence[float] = _ODDS_FACTORS
) -> float:
    """Return the least of ``factors`` on a class's odds that makes it likely over ``where`` (S, S) bool, else the
    largest."""
    if not where.any():
        return factors[0]
    class_odds = odds[face_class][where]
    return least_factor(class_odds, odds[:, where].sum(axis=0) - class_odds, factors, _FOUND_PROBABILITY)


def teacher_labels(
    teachers: Sequence[FaceParser],
    pixels: np.ndarray,
    landmarks: np.ndarray,
    traits: Traits,
    second: FaceParser | None = None,
) -> np.ndarray:
    """Label a head crop (S, S, 3) uint8 with landmarks (478, 3): (S, S) uint8 of ``FaceClass``, 255 where unknown.

    The probabilities of several ``teachers`` are averaged; ``second`` gives a second opinion on large things.
    """
    side, size = pixels.shape[0], landmark_window(landmarks, 1.0).side
    asked = np.mean([class_probabilities(teacher, pixels, landmarks) for teacher in teachers], axis=0)
    if second is not None:
        asked = with_second_opinion(asked, wide_probabilities(second, pixels, landmarks))
    own = correct(asked, landmarks, traits)
    settled = resolve_labels(own, networks.person(pixels), pixels, landmarks)
    labels, unsure = settled.labels, (own.max(axis=0) < _LEAST_PROBABILITY) & ~settled.pale
    result = np.where(unsure & ~settled.hands, collection.UNKNOWN, labels)
    rims = find_rims(own[FaceClass.GLASSES], landmarks) if traits.glasses else None
    if rims is not None:  # teachers' frames are too broad, more so with every generation
        result[(labels == FaceClass.GLASSES) & ~rims.band] = collection.UNKNOWN
    if traits.glasses and (labels == FaceClass.GLASSES).sum() < _LEAST_GLASSES * size**2:  # worn, but not located
        result[
            regions.near_eyes(landmarks, side, _AROUND_EYES) & np.isin(labels, (FaceClass.SKIN, FaceClass.BROWS))
        ] = collection.UNKNOWN
    return result.astype(np.uint8)


def relabel(
    cache: collection.PortraitCache,
    teachers: Sequence[FaceParser],
    traits: dict[str, Traits],
    by_hand: Mapping[str, collection.HandLabels] | None = None,
    unlisted: bool = False,
    second: FaceParser | None = None,
) -> int:
    """Replace the label maps of a writable cache of head crops by those of ``by_hand``, else by the teachers'
    (``teacher_labels``).

    Three kinds of portraits become unknown throughout: held-out ones and those on the evaluation sheet; those in
    neither list, unless ``unlisted`` is set and the teachers label them on their own; those whose landmarks fit no head
    pose. Returns the number of portraits that have labels. Raises ``ValueError`` for other framings.
    """
    if cache.settings.framing != "head":
        raise ValueError("relabelling needs head crops; prepare the portraits with --framing head")
    count = 0
    judged = {Path(photo).name for photo in collection.sheet_photographs()}
    for row in np.flatnonzero(cache.verdicts == collection.Verdict.KEPT):
        name, landmarks = cache.files[row].path, np.asarray(cache.landmarks[row])
        trait, corrected = traits.get(name, _UNKNOWN_TRAITS if unlisted else None), (by_hand or {}).get(name)
        if Path(name).name in judged or (corrected is not None and corrected.held_out):
            cache.labels[row] = collection.UNKNOWN
            continue
        labels = None if corrected is None else corrected.on(landmarks, cache.settings.size)
        if labels is None and trait is not None:
            labels = _taught(teachers, cache, row, trait, second)
        cache.labels[row] = collection.UNKNOWN if labels is None else labels
        count += bool((cache.labels[row] != collection.UNKNOWN).any())
    cache.flush()
    return count


def _taught(
    teachers: Sequence[FaceParser], cache: collection.PortraitCache, row: int, trait: Traits, second: FaceParser | None
) -> np.ndarray | None:
    """Run ``teacher_labels`` on a row of a cache, unknown outside the photo; None where its landmarks fit no head
    pose."""
    pixels, landmarks = np.ascontiguousarray(cache.crops[row]), np.asarray(cache.landmarks[row])
    try:
        solid = np.column_stack([landmarks, posed_depth(landmarks)])  # the cache has no depths
    except ValueError:
        return None
    known = cache.labels[row] != collection.UNKNOWN
    labels = teacher_labels(teachers, pixels, solid, trait, second)
    labels[~(_rectangle(known) if known.any() else photo_part(pixels))] = collection.UNKNOWN
    return labels


def _rectangle(known: np.ndarray) -> np.ndarray:
    """(S, S) bool: the rectangle of rows and columns that are not wholly unknown."""
    return known.any(axis=1)[:, None] & known.any(axis=0)[None]


def photo_part(pixels: np.ndarray) -> np.ndarray:
    """(S, S) bool: the photo in a crop (S, S, 3) uint8 without the repeated edge around it. A crop of identical lines
    counts as photo throughout."""
    rows, columns = (_no_repeats(lines) for lines in (pixels, pixels.transpose(1, 0, 2)))
    return rows[:, None] & columns[None]


def _no_repeats(lines: np.ndarray) -> np.ndarray:
    """(S,) bool: false for lines (S, S, 3) before the first and after the last one that differs from its neighbour."""
    differences = np.abs(np.diff(lines.astype(np.int16), axis=0))
    most, mean = _REPEATED
    changes = np.flatnonzero((differences.max((1, 2)) > most) | (differences.mean((1, 2)) > mean))
    distinct = np.ones(len(lines), bool)
    if len(changes):
        distinct[: changes[0]] = distinct[changes[-1] + 2 :] = False
    return distinct


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer relabel-portraits``."""
    parser.add_argument("cache", type=Path, help="head crops that `python -m trainer data --framing head` made")
    parser.add_argument(
        "--teacher", type=Path, action="append", help="folder of an exported parsing net (default: both)"
    )
    parser.add_argument("--unlisted", action="store_true", help="also portraits whose traits nobody wrote down")


def run(arguments: argparse.Namespace) -> int:
    """Relabel the portraits; returns the exit code."""
    try:
        cache = collection.open_cache(arguments.cache, writable=True)
        teachers = [FaceParser.load(folder) for folder in arguments.teacher or (None,)]
        second = None if arguments.teacher else SecondParser.load()
        traits, by_hand = read_traits(TRAITS_PATH), collection.read_hand_labels()
        count = relabel(cache, teachers, traits, by_hand, arguments.unlisted, second)
    except (OSError, ValueError, LikenessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count} portraits have labels to learn from")
    return 0
