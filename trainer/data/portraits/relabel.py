"""Label maps of real portraits that a parsing net can learn from: its teacher's, corrected by what people saw.

``python -m trainer relabel-portraits CACHE``: self-training (Lee 2013; Xie et al. 2020) with weak labels. The teacher
is the parsing net at hand. Where ``traits.csv`` says that somebody wears no glasses, no beard or no hat, the class is
ruled out; where it says that they do, as little certainty is enough as it takes to find one in its place. Pixels that
stay doubtful become unknown (255). Portraits that were corrected by hand (``hand_labels.npz``) keep those labels, and
those of them that are held out have none to learn from.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.expression.frontalised import posed_depth
from backend.models.parsing import PARSING_OPINION
from backend.models.parsing.accessories import least_factor
from backend.models.parsing.network import FaceParser
from backend.models.parsing.parsed_labels import settle
from backend.models.parsing.rims import find_rims
from backend.models.parsing.second_opinion import with_second_opinion
from backend.models.parsing.three_scales import class_probabilities, wide_probabilities
from backend.photos.collection import FaceClass
from backend.photos.faces.landmarks import landmark_window
from backend.photos.regions.masks import grown
from backend.photos.regions.person import person_probability
from backend.photos.regions.polygons import (
    LIPS_OUTER,
    MOUTH_SURROUNDINGS,
    UPPER_LIP_SKIN,
    above_brows,
    near_eyes,
    polygon_mask,
)
from trainer.data.portraits.cache import PortraitCache, Verdict, open_cache
from trainer.data.portraits.hand_labels import UNKNOWN, HandLabels, read_hand_labels
from trainer.data.portraits.parsing_sheet import sheet_photographs

TRAITS_PATH = Path(__file__).parent / "traits.csv"
NO, MOUSTACHE, BEARD, WHISKERS = 0, 1, 2, 3
"""Values of ``Traits.facial_hair``."""
_CANNOT_TELL = 9
_SURE = 0.55
_OFF_RIMS = 0.4
_ON_RIMS = (1.0, 2.0, 4.0, 8.0)
"""Factors on the odds of glasses that somebody saw: no more than it takes, or teachers of teachers draw goggles."""
_MORE = (3.0, 6.0, 12.0, 24.0)
"""Factors on the odds of a beard or a hat that somebody saw, least first."""
_THERE = 0.55
"""Mean probability over the place of a beard or a hat from which it counts as found."""
_LEAST_GLASSES = 0.01  # of the face window's area
_AROUND_EYES, _AROUND_LIP = 0.14, 0.05  # heights of the face
_REPEATED = (1, 0.15)
"""Grey levels by which neighbouring lines of a crop differ at most, and on average, where one repeats the other: some
crops were cut with rounding errors. Dark backdrops differ by more, but on 2 % of pictures' sides."""


@dataclass(frozen=True)
class Traits:
    """What somebody saw on a portrait; None where they could not tell.

    Attributes
    ----------
    facial_hair : ``NO``, ``MOUSTACHE`` (alone), ``BEARD`` (chin or cheeks, with a moustache or without), ``WHISKERS``
        (at the sides alone); a day's stubble is none. glasses, headwear : worn or not.
    """

    facial_hair: int | None
    glasses: bool | None
    headwear: bool | None


_NOBODY_LOOKED = Traits(None, None, None)


def read_traits(path: Path = TRAITS_PATH) -> dict[str, Traits]:
    """File name -> traits, from a CSV with the columns file, facial_hair, glasses, headwear; 9: cannot tell."""

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
    """(C, S, S) class probabilities made to agree with ``traits``; landmarks (478, 2 or 3) in their pixels."""
    side = probabilities.shape[1]
    odds = probabilities.astype(np.float32).copy()
    if traits.glasses is False:
        odds[FaceClass.GLASSES] = 0.0
    elif traits.glasses:
        rims = find_rims(odds[FaceClass.GLASSES], landmarks)
        where = near_eyes(landmarks, side, _AROUND_EYES) if rims is None else rims.band
        likelier = _factor(odds, FaceClass.GLASSES, where, _ON_RIMS)
        odds[FaceClass.GLASSES] *= likelier if rims is None else np.where(where, likelier, _OFF_RIMS)
    above = above_brows(landmarks, side)
    if traits.headwear is False:
        odds[FaceClass.OCCLUDER] *= 0.1
    elif traits.headwear:
        odds[FaceClass.SKIN][above] = 0.0  # there is the hat, or hair under it
        odds[FaceClass.OCCLUDER] *= np.where(above, _factor(odds, FaceClass.OCCLUDER, above & _person(odds)), 1.0)
    hair = odds[FaceClass.FACIAL_HAIR]
    if traits.facial_hair == NO:
        hair[:] = 0.0
    elif traits.facial_hair in (MOUSTACHE, BEARD):
        lips = polygon_mask(landmarks, LIPS_OUTER, side)
        lip = polygon_mask(landmarks, UPPER_LIP_SKIN, side)
        alone = traits.facial_hair == MOUSTACHE
        chin = lip if alone else polygon_mask(landmarks, MOUTH_SURROUNDINGS, side) & ~lip
        hair *= _factor(odds, FaceClass.FACIAL_HAIR, chin & ~lips)
        if alone:
            hair *= grown(lip | lips, _AROUND_LIP * landmark_window(landmarks, 1.0).side)
    return odds / np.maximum(odds.sum(axis=0), 1e-6)


def _person(odds: np.ndarray) -> np.ndarray:
    """(S, S) bool: more likely somebody than background."""
    return odds[FaceClass.BACKGROUND] < 0.5 * odds.sum(axis=0)


def _factor(odds: np.ndarray, face_class: FaceClass, where: np.ndarray, factors: Sequence[float] = _MORE) -> float:
    """The least of ``factors`` on a class's odds that makes it likely over ``where`` (S, S) bool; else the most."""
    if not where.any():
        return factors[0]
    own = odds[face_class][where]
    return least_factor(own, odds[:, where].sum(axis=0) - own, factors, _THERE)


def teach(
    teachers: Sequence[FaceParser],
    pixels: np.ndarray,
    landmarks: np.ndarray,
    traits: Traits,
    second: FaceParser | None = None,
) -> np.ndarray:
    """(S, S) uint8 of ``FaceClass``, 255 where nobody knows, of a head crop (S, S, 3) uint8 with landmarks (478, 3).

    Several ``teachers`` are asked for the mean of their probabilities; ``second`` gives its opinion on large things.
    """
    side, size = pixels.shape[0], landmark_window(landmarks, 1.0).side
    asked = np.mean([class_probabilities(teacher, pixels, landmarks) for teacher in teachers], axis=0)
    if second is not None:
        asked = with_second_opinion(asked, wide_probabilities(second, pixels, landmarks))
    own = correct(asked, landmarks, traits)
    settled = settle(own, person_probability(pixels), pixels, landmarks)
    labels, unsure = settled.labels, (own.max(axis=0) < _SURE) & ~settled.pale
    result = np.where(unsure & ~settled.hands, UNKNOWN, labels)
    rims = find_rims(own[FaceClass.GLASSES], landmarks) if traits.glasses else None
    if rims is not None:  # frames of teachers are too broad, and grow from teacher to teacher
        result[(labels == FaceClass.GLASSES) & ~rims.band] = UNKNOWN
    if traits.glasses and (labels == FaceClass.GLASSES).sum() < _LEAST_GLASSES * size**2:  # they are there, but where?
        result[near_eyes(landmarks, side, _AROUND_EYES) & np.isin(labels, (FaceClass.SKIN, FaceClass.BROWS))] = UNKNOWN
    return result.astype(np.uint8)


def relabel(
    cache: PortraitCache,
    teachers: Sequence[FaceParser],
    traits: dict[str, Traits],
    by_hand: Mapping[str, HandLabels] | None = None,
    unlisted: bool = False,
    second: FaceParser | None = None,
) -> int:
    """Replace the label maps of a writable cache of head crops by those of ``by_hand``, else by the teachers', see
    ``teach``.

    Who is held out or on the sheet that parsing is judged by becomes unknown throughout, and so does who is in neither
    list, unless ``unlisted`` has the teachers label them by themselves; and whose landmarks no pose explains. Returns
    how many portraits have labels now. Raises ``ValueError`` for other framings.
    """
    if cache.settings.framing != "head":
        raise ValueError("relabelling needs head crops; prepare the portraits with --framing head")
    count = 0
    judged = {Path(photo).name for photo in sheet_photographs()}
    for row in np.flatnonzero(cache.verdicts == Verdict.KEPT):
        name, landmarks = cache.files[row].path, np.asarray(cache.landmarks[row])
        seen, corrected = traits.get(name, _NOBODY_LOOKED if unlisted else None), (by_hand or {}).get(name)
        if Path(name).name in judged or (corrected is not None and corrected.held_out):
            cache.labels[row] = UNKNOWN
            continue
        labels = None if corrected is None else corrected.on(landmarks, cache.settings.size)
        if labels is None and seen is not None:
            labels = _taught(teachers, cache, row, seen, second)
        cache.labels[row] = UNKNOWN if labels is None else labels
        count += bool((cache.labels[row] != UNKNOWN).any())
    cache.flush()
    return count


def _taught(
    teachers: Sequence[FaceParser], cache: PortraitCache, row: int, seen: Traits, second: FaceParser | None
) -> np.ndarray | None:
    """``teach`` of a row of a cache, unknown outside the photo; None where no pose explains its landmarks."""
    pixels, landmarks = np.ascontiguousarray(cache.crops[row]), np.asarray(cache.landmarks[row])
    try:
        solid = np.column_stack([landmarks, posed_depth(landmarks)])  # the cache knows no depths
    except ValueError:
        return None
    known = cache.labels[row] != UNKNOWN
    labels = teach(teachers, pixels, solid, seen, second)
    labels[~(_rectangle(known) if known.any() else photo_part(pixels))] = UNKNOWN
    return labels


def _rectangle(known: np.ndarray) -> np.ndarray:
    """(S, S) bool: the rectangle that is not wholly unknown."""
    return known.any(axis=1)[:, None] & known.any(axis=0)[None]


def photo_part(pixels: np.ndarray) -> np.ndarray:
    """(S, S) bool: where a crop (S, S, 3) uint8 shows its photo and does not repeat the photo's edge; a crop whose
    lines are all the same is a photo throughout."""
    rows, columns = (_no_repeats(lines) for lines in (pixels, pixels.transpose(1, 0, 2)))
    return rows[:, None] & columns[None]


def _no_repeats(lines: np.ndarray) -> np.ndarray:
    """(S,) bool: false for lines (S, S, 3) before the first, and after the last, that differs from its neighbour."""
    differences = np.abs(np.diff(lines.astype(np.int16), axis=0))
    most, mean = _REPEATED
    changes = np.flatnonzero((differences.max((1, 2)) > most) | (differences.mean((1, 2)) > mean))
    kept = np.ones(len(lines), bool)
    if len(changes):
        kept[: changes[0]] = kept[changes[-1] + 2 :] = False
    return kept


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer relabel-portraits``."""
    parser.add_argument("cache", type=Path, help="head crops that `python -m trainer portraits --framing head` made")
    parser.add_argument(
        "--teacher",
        type=Path,
        action="append",
        help="folder of an exported parsing net; given several times, their mean (default: both shipped nets)",
    )
    parser.add_argument("--unlisted", action="store_true", help="also portraits whose traits nobody wrote down")
    parser.add_argument("--traits", type=Path, default=TRAITS_PATH, help="what people saw on the portraits")


def run(arguments: argparse.Namespace) -> int:
    """Relabel; returns the exit code."""
    try:
        cache = open_cache(arguments.cache, writable=True)
        teachers = [FaceParser.load(folder) for folder in arguments.teacher or (None,)]
        second = None if arguments.teacher else FaceParser.load(model=PARSING_OPINION.name)
        traits, by_hand = read_traits(arguments.traits), read_hand_labels()
        count = relabel(cache, teachers, traits, by_hand, arguments.unlisted, second)
    except (OSError, ValueError, LikenessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count} portraits have labels to learn from")
    return 0
