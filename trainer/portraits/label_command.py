"""Draw portraits with their labels for inspection, and turn written corrections into labels.

``python -m trainer label-portraits CACHE --sheets DIR`` draws the head crops of a prepared collection, those with the
parsing net's least certain labels first, with label outlines and coordinate ticks. The person who inspects them writes
corrections (``label_edits.py``) to a file. ``--edits FILE`` draws the corrected labels, ``--keep`` adds them to
``hand_labels.npz``, ``--held-out`` as portraits that are never used for training.

Written corrections of label maps, made by a person who looks at a picture with ticks along its sides.

A line is a file name and corrections separated by ``/``, applied in their order:

``014626.jpg background+skin>hair 70,118 58,145 60,165 / glasses=@2 124,116,15,13 163,116,15,13 / neck>unknown``

``A+B>C`` turns A and B within the polygon into C, or everywhere without a polygon; ``any`` is every class except brows,
eyes, glasses, lips and mouth. ``A=`` makes the polygon the whole of A: A elsewhere becomes skin within the landmarks'
outline of the face and background outside it. Several polygons are separated by ``|``. Their borders snap to edges of
the picture within four pixels; where there is no edge, labels near the border become unknown. ``!`` before the
correction switches this off. ``~W`` draws lines of W pixels instead of polygons, ``@W`` ellipses (x, y, and half their
width and height). ``ok``: no correction. Coordinates are pixels of a crop of 256.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from backend.models.parsing.network import CLASS_COLOURS, FaceParser
from backend.photos.collection import FaceClass
from backend.photos.regions import BROW_RIGHT, EYE_RIGHT, FACE_OVAL, LIPS_OUTER, mirrored, polygon_mask
from trainer.evaluate.harness import in_rows, write_sheet
from trainer.portraits import collection

_CODES = {face_class.name.lower(): int(face_class) for face_class in FaceClass} | {"unknown": collection.UNKNOWN}
_FEATURES = (FaceClass.BROWS, FaceClass.EYES, FaceClass.GLASSES, FaceClass.LIPS, FaceClass.MOUTH_INTERIOR)
_OUTLINES = {
    FaceClass.EYES: (EYE_RIGHT, mirrored(EYE_RIGHT)),
    FaceClass.BROWS: (BROW_RIGHT, mirrored(BROW_RIGHT)),
    FaceClass.LIPS: (LIPS_OUTER,),
}
_OPERATION = re.compile(r"^(!?)([a-z_+]+)([>=])([a-z_]*)(?:([~@])([\d.]+))?$")
_SUPERSAMPLING = 4  # polygons are drawn at four times the resolution
_ON_POLYGON, _ON_LINE = 0.5, 0.35
"""Share of a pixel that must be covered. It is lower for lines: synthetic labels keep a wire that one of four samples
hits."""
_SNAP_RADIUS, _SNAP_NOISE, _SNAP_REACH = 8, 4e-4, 4.0
"""Radius in pixels and regularisation (variance of colours) of the guided filter, and pixels by which a border may
move: polygons drawn by eye on halftone prints were off by three to five."""
_UNCERTAIN = (0.35, 0.65)
"""Range of the guided filter's output in which the picture does not determine a pixel's side of the border."""


@dataclass(frozen=True)
class Edit:
    """One correction; see the module.

    Attributes
    ----------
    sources : codes of the classes that are changed; None: ``any``. target : their new code.
    whole : ``target`` is limited to the shapes. shape : ``""``, ``"~"`` or ``"@"``; width : of its lines.
    places : one row of numbers per point, one array per polygon. snapped : borders snap to the picture's edges.
    """

    sources: tuple[int, ...] | None
    target: int
    whole: bool
    shape: str
    width: float
    places: tuple[np.ndarray, ...]
    snapped: bool


def read_edits(path: Path) -> dict[str, tuple[Edit, ...]]:
    """Read corrections by file name; lines of the same file are concatenated. Raises ``ValueError`` for other lines."""
    result: dict[str, tuple[Edit, ...]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name, _, text = line.partition("#")[0].strip().partition(" ")
        if name:
            try:
                result[name] = result.get(name, ()) + parse_edits(text)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
    return result


def parse_edits(text: str) -> tuple[Edit, ...]:
    """Parse the corrections of a line without the file name."""
    return tuple(_parse(part.split()) for part in text.split("/") if part.split() not in ([], ["ok"]))


def _parse(words: list[str]) -> Edit:
    match = _OPERATION.match(words[0])
    if match is None:
        raise ValueError(f"{words[0]} is no correction")
    exact, first, kind, second, shape, width = match.groups()
    target = first if kind == "=" else second
    names = [] if kind == "=" or first == "any" else first.split("+")
    unknown = [name for name in [*names, target] if name not in _CODES]
    if unknown or (kind == "=" and (second or not words[1:])):
        raise ValueError(f"{words[0]} is no correction")
    groups = " ".join(words[1:]).split("|") if words[1:] else []
    places = tuple(np.array([[float(x) for x in word.split(",")] for word in group.split()]) for group in groups)
    columns = 4 if shape == "@" else 2
    if any(points.ndim != 2 or points.shape[1] != columns for points in places):
        raise ValueError(f"the points of {words[0]} need {columns} numbers each")
    sources = tuple(_CODES[name] for name in names) or None
    snapped = not exact and not shape
    return Edit(sources, _CODES[target], kind == "=", shape or "", float(width or 0), places, snapped)


def apply_edits(labels: np.ndarray, picture: np.ndarray, landmarks: np.ndarray, edits: tuple[Edit, ...]) -> np.ndarray:
    """Apply corrections to labels (256, 256) uint8 of a crop (256, 256, 3) uint8 with landmarks (478, 2 or 3).

    Skin within the landmarks' outlines of brows, eyes and lips becomes these classes, as in the product.
    """
    result = labels.copy()
    known = labels != collection.UNKNOWN
    covered = known.any(axis=1)[:, None] & known.any(axis=0)[None]
    oval = polygon_mask(landmarks, FACE_OVAL, collection.SIDE)
    for edit in edits:
        within, without = _applied(edit, result, oval, True), _applied(edit, result, oval, False)
        inside, doubtful = _drawn(edit, picture)
        result = np.where(inside, within, without)
        result[doubtful & (within != without)] = collection.UNKNOWN
    for feature, outlines in _OUTLINES.items():
        for outline in outlines:
            result[polygon_mask(landmarks, outline, collection.SIDE) & (result == FaceClass.SKIN)] = feature
    result[~covered] = collection.UNKNOWN
    return result


def _applied(edit: Edit, labels: np.ndarray, oval: np.ndarray, inside: bool) -> np.ndarray:
    """Labels (256, 256) after ``edit``, as if all pixels were inside its shapes, or outside."""
    result = labels.copy()
    if not inside:
        if edit.whole:
            away = labels == edit.target
            result[away] = np.where(oval, FaceClass.SKIN, FaceClass.BACKGROUND)[away]
    elif edit.sources is not None:
        result[np.isin(labels, edit.sources)] = edit.target
    else:
        result[np.ones_like(oval) if edit.shape else ~np.isin(labels, _FEATURES)] = edit.target
    return result


def _drawn(edit: Edit, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(256, 256) bool masks: inside the shapes of ``edit``; uncertain border."""
    nowhere = np.zeros((collection.SIDE, collection.SIDE), dtype=bool)
    if not edit.places:
        return ~nowhere, nowhere
    canvas = np.zeros((collection.SIDE * _SUPERSAMPLING, collection.SIDE * _SUPERSAMPLING), np.uint8)
    thickness = max(1, int(edit.width * _SUPERSAMPLING))
    for points in edit.places:
        fine = (points * _SUPERSAMPLING).astype(np.int32)
        if edit.shape == "@":
            for x, y, half_width, half_height in fine.tolist():
                cv2.ellipse(canvas, (x, y), (half_width, half_height), 0, 0, 360, 255, thickness)
        elif edit.shape == "~":
            cv2.polylines(canvas, [fine], False, 255, thickness)
        else:
            cv2.fillPoly(canvas, [fine], 255)
    share = cv2.resize(canvas, (collection.SIDE, collection.SIDE), interpolation=cv2.INTER_AREA) / 255.0
    mask = share > (_ON_LINE if edit.shape else _ON_POLYGON)
    return _snapped(mask, picture) if edit.snapped and mask.any() else (mask, nowhere)


def _snapped(mask: np.ndarray, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Snap the border of ``mask`` (H, W) bool to the edges of ``picture`` (H, W, 3) uint8; also return uncertain
    pixels."""
    colours = picture.astype(np.float32) / 255
    soft = cv2.ximgproc.guidedFilter(colours, mask.astype(np.float32), _SNAP_RADIUS, _SNAP_NOISE)
    depth = [cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 3) for part in (mask, ~mask)]
    near = np.where(mask, *depth) <= _SNAP_REACH
    return np.where(near, soft > 0.5, mask), near & (soft > _UNCERTAIN[0]) & (soft < _UNCERTAIN[1])


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
    scale = _TILE / collection.SIDE
    drawn = cv2.resize(picture, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
    large = cv2.resize(labels, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST)
    drawn[large == collection.UNKNOWN] = drawn[large == collection.UNKNOWN] // 2 + 60
    for number in range(1, len(FaceClass)):
        outlines, _ = cv2.findContours((large == number).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, CLASS_COLOURS[number].tolist(), 1)
    for place in range(0, collection.SIDE, _TICK):
        along = round(place * scale)
        for across in range(0, collection.SIDE, _TICK):
            cv2.drawMarker(drawn, (along, round(across * scale)), _CYAN, cv2.MARKER_CROSS, 5, 1)
        for corner in ((along + 1, 9), (1, along + 10)):
            cv2.putText(drawn, str(place), corner, cv2.FONT_HERSHEY_SIMPLEX, 0.34, _CYAN, 1)
    cv2.putText(drawn, title, (30, 34), cv2.FONT_HERSHEY_SIMPLEX, 0.6, _WHITE, 2)
    return drawn


def draw_sheets(tiles: list[np.ndarray], folder: Path) -> int:
    """Write PNGs of six ``tiles`` each; returns their number."""
    parts = in_rows(tiles, _PER_SHEET)
    for number, part in enumerate(parts):
        write_sheet(folder / f"{number:03d}.png", in_rows(part, _COLUMNS))
    return len(parts)


def corrected(
    cache: collection.PortraitCache, edits: dict[str, tuple[Edit, ...]], held_out: bool
) -> dict[str, collection.HandLabels]:
    """Correct the labels of the portraits named in ``edits``, starting from those in the cache of 256 px head crops.

    Raises ``ValueError`` for portraits that are not in the cache, and for photographs of the evaluation sheet.
    """
    row_of = {cache.files[row].path: int(row) for row in np.flatnonzero(cache.verdicts == collection.Verdict.KEPT)}
    on_sheet = {photo.split("/")[-1] for photo in collection.sheet_photographs()}
    result = {}
    for name, corrections in edits.items():
        if name not in row_of or name.split("/")[-1] in on_sheet:
            raise ValueError(
                f"{name} is not a portrait of the collection, or it is on the sheet that parsing is judged by"
            )
        crop, landmarks = np.asarray(cache.crops[row_of[name]]), np.asarray(cache.landmarks[row_of[name]])
        labels = apply_edits(np.asarray(cache.labels[row_of[name]]), crop, landmarks, corrections)
        result[name] = collection.HandLabels(labels, collection.landmark_frame(landmarks), held_out)
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
        cache = collection.open_cache(arguments.cache)
        if cache.settings.framing != "head" or cache.settings.size != collection.SIDE:
            raise ValueError(f"{arguments.cache} holds no head crops of {collection.SIDE} px")
        if arguments.edits:
            portraits = corrected(cache, read_edits(arguments.edits), arguments.held_out)
        else:
            portraits = _most_doubtful(cache, FaceParser.load(), arguments.count)
        crop_of = {file.path: crop for file, crop in zip(cache.files, cache.crops, strict=True)}
        tiles = [tile(np.ascontiguousarray(crop_of[name]), seen.labels, name) for name, seen in portraits.items()]
        print(f"{draw_sheets(tiles, arguments.sheets)} sheets: {arguments.sheets}")
        if arguments.edits and arguments.keep:
            kept = collection.read_hand_labels() if collection.HAND_LABELS_PATH.is_file() else {}
            collection.write_hand_labels(collection.HAND_LABELS_PATH, kept | portraits)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _most_doubtful(cache: collection.PortraitCache, parser: FaceParser, count: int) -> dict[str, collection.HandLabels]:
    """Cached labels of the portraits that are not corrected yet and least certain for the net."""
    done = collection.read_hand_labels().keys() if collection.HAND_LABELS_PATH.is_file() else ()
    rows = [
        row for row in np.flatnonzero(cache.verdicts == collection.Verdict.KEPT) if cache.files[row].path not in done
    ]
    doubts = [net_uncertainty(parser, np.ascontiguousarray(cache.crops[row])) for row in rows]
    chosen = [rows[place] for place in np.argsort(doubts)[::-1][:count]]
    return {
        cache.files[row].path: collection.HandLabels(
            np.asarray(cache.labels[row]), collection.landmark_frame(np.asarray(cache.landmarks[row])), held_out=False
        )
        for row in chosen
    }
