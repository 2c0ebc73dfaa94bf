"""Draw portraits with their labels for inspection, and turn written corrections into labels.

``python -m trainer label-portraits CACHE --sheets DIR`` draws the head crops of a prepared collection, those with the
parsing net's least certain labels first, with label outlines and coordinate ticks. The person who inspects them writes
corrections (``label_edits.py``) to a file. ``--edits FILE`` draws the corrected labels, ``--keep`` adds them to
``hand_labels.npz``, ``--held-out`` as portraits that are never used for training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from backend.models.parsing.network import CLASS_COLOURS, FaceParser
from backend.photos.collection import FaceClass
from trainer.data.portraits.cache import PortraitCache, Verdict, open_cache
from trainer.data.portraits.hand_labels import (
    HAND_LABELS_PATH,
    SIDE,
    UNKNOWN,
    HandLabels,
    landmark_frame,
    read_hand_labels,
    write_hand_labels,
)
from trainer.data.portraits.label_edits import Edit, apply_edits, read_edits
from trainer.data.portraits.parsing_sheet import sheet_photographs

_TILE = 448
_COLUMNS, _PER_SHEET = 3, 6
_TICK = 32
_UNSURE = (0.2, 0.8)
_LARGE_CLASSES = (FaceClass.BACKGROUND, FaceClass.SKIN, FaceClass.HAIR, FaceClass.FACIAL_HAIR, FaceClass.OCCLUDER)
_WHITE, _CYAN = (255, 255, 255), (0, 255, 255)


def net_uncertainty(parser: FaceParser, picture: np.ndarray) -> float:
    """Uncertainty of the net about a crop (256, 256, 3) uint8: the share of pixels where a large class has a
    probability from 0.2 to 0.8, plus the share whose class differs in the mirror image."""
    seen = parser.probabilities(picture)
    mirrored = parser.probabilities(np.ascontiguousarray(picture[:, ::-1]))[:, :, ::-1]
    mean = (seen + mirrored)[list(_LARGE_CLASSES)] / 2
    unsure = ((mean > _UNSURE[0]) & (mean < _UNSURE[1])).any(axis=0)
    return float(unsure.mean() + (seen.argmax(0) != mirrored.argmax(0)).mean())


def tile(picture: np.ndarray, labels: np.ndarray, title: str) -> np.ndarray:
    """Draw (448, 448, 3) uint8: a crop with coloured outlines of its labels, unknown pixels pale, and ticks."""
    scale = _TILE / SIDE
    drawn = cv2.resize(picture, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
    large = cv2.resize(labels, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST)
    drawn[large == UNKNOWN] = drawn[large == UNKNOWN] // 2 + 60
    for number in range(1, len(FaceClass)):
        outlines, _ = cv2.findContours((large == number).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, CLASS_COLOURS[number].tolist(), 1)
    for place in range(0, SIDE, _TICK):
        along = round(place * scale)
        for across in range(0, SIDE, _TICK):
            cv2.drawMarker(drawn, (along, round(across * scale)), _CYAN, cv2.MARKER_CROSS, 5, 1)
        for corner in ((along + 1, 9), (1, along + 10)):
            cv2.putText(drawn, str(place), corner, cv2.FONT_HERSHEY_SIMPLEX, 0.34, _CYAN, 1)
    cv2.putText(drawn, title, (30, 34), cv2.FONT_HERSHEY_SIMPLEX, 0.6, _WHITE, 2)
    return drawn


def draw_sheets(tiles: list[np.ndarray], folder: Path) -> int:
    """Write PNGs of six ``tiles`` each; returns their number."""
    folder.mkdir(parents=True, exist_ok=True)
    blank = np.zeros((_TILE, _TILE, 3), np.uint8)
    starts = range(0, len(tiles), _PER_SHEET)
    for number, start in enumerate(starts):
        shown = tiles[start : start + _PER_SHEET]
        shown = shown + [blank] * (_PER_SHEET - len(shown))
        rows = [np.concatenate(shown[k : k + _COLUMNS], axis=1) for k in range(0, _PER_SHEET, _COLUMNS)]
        cv2.imwrite(str(folder / f"{number:03d}.png"), np.concatenate(rows)[..., ::-1])
    return len(starts)


def corrected(cache: PortraitCache, edits: dict[str, tuple[Edit, ...]], held_out: bool) -> dict[str, HandLabels]:
    """Correct the labels of the portraits named in ``edits``, starting from those in the cache of 256 px head crops.

    Raises ``ValueError`` for portraits that are not in the cache, and for photographs of the evaluation sheet.
    """
    row_of = {cache.files[row].path: int(row) for row in np.flatnonzero(cache.verdicts == Verdict.KEPT)}
    on_sheet = {photo.split("/")[-1] for photo in sheet_photographs()}
    result = {}
    for name, corrections in edits.items():
        if name not in row_of or name.split("/")[-1] in on_sheet:
            raise ValueError(
                f"{name} is not a portrait of the collection, or it is on the sheet that parsing is judged by"
            )
        crop, landmarks = np.asarray(cache.crops[row_of[name]]), np.asarray(cache.landmarks[row_of[name]])
        labels = apply_edits(np.asarray(cache.labels[row_of[name]]), crop, landmarks, corrections)
        result[name] = HandLabels(labels, landmark_frame(landmarks), held_out)
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer label-portraits``."""
    parser.add_argument("cache", type=Path, help="256 px head crops that `python -m trainer portraits` made")
    parser.add_argument("--sheets", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--count", type=int, default=350, help="portraits to draw, the most doubtful first")
    parser.add_argument("--edits", type=Path, help="corrections; draws the portraits that it names, corrected")
    parser.add_argument("--keep", action="store_true", help="add the corrected labels to hand_labels.npz")
    parser.add_argument("--held-out", action="store_true", help="keep them as portraits that nothing learns from")


def run(arguments: argparse.Namespace) -> int:
    """Draw, correct, keep; returns the exit code."""
    try:
        cache = open_cache(arguments.cache)
        if cache.settings.framing != "head" or cache.settings.size != SIDE:
            raise ValueError(f"{arguments.cache} holds no head crops of {SIDE} px")
        if arguments.edits:
            portraits = corrected(cache, read_edits(arguments.edits), arguments.held_out)
        else:
            portraits = _most_doubtful(cache, FaceParser.load(), arguments.count)
        crop_of = {file.path: crop for file, crop in zip(cache.files, cache.crops, strict=True)}
        tiles = [tile(np.ascontiguousarray(crop_of[name]), seen.labels, name) for name, seen in portraits.items()]
        print(f"{draw_sheets(tiles, arguments.sheets)} sheets: {arguments.sheets}")
        if arguments.edits and arguments.keep:
            kept = read_hand_labels() if HAND_LABELS_PATH.is_file() else {}
            write_hand_labels(HAND_LABELS_PATH, kept | portraits)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _most_doubtful(cache: PortraitCache, parser: FaceParser, count: int) -> dict[str, HandLabels]:
    """Cached labels of the portraits that are not corrected yet and least certain for the net."""
    done = read_hand_labels().keys() if HAND_LABELS_PATH.is_file() else ()
    rows = [row for row in np.flatnonzero(cache.verdicts == Verdict.KEPT) if cache.files[row].path not in done]
    doubts = [net_uncertainty(parser, np.ascontiguousarray(cache.crops[row])) for row in rows]
    chosen = [rows[place] for place in np.argsort(doubts)[::-1][:count]]
    return {
        cache.files[row].path: HandLabels(
            np.asarray(cache.labels[row]), landmark_frame(np.asarray(cache.landmarks[row])), held_out=False
        )
        for row in chosen
    }
