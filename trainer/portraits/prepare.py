"""Photographs become portraits for ``trainer data``: detected, cropped, labelled, without drawings; resumable."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from backend.models.parsing.apply import label_face, padding
from backend.photos.collection import PhotoSource, PhotoUnreadableError
from backend.photos.faces import Window, crop_head, face_square, head_pose, landmark_window, landmarks_of_largest
from backend.photos.reading import read_photo
from backend.photos.screening import SCREENING, drawing_chance, hue_spread
from trainer.portraits import collection

_DRAWING_SIDE = 64
_FLUSH_EVERY = 64
_REPEATED_CORRELATION = 0.99
_UNKNOWN = 255


@dataclass(frozen=True)
class Portrait:
    """Cached data of one picture; see ``PortraitCache``."""

    crop: np.ndarray
    labels: np.ndarray
    landmarks: np.ndarray
    yaw: float
    face_px: float
    hue_spread: float
    drawing: float
    fingerprint: np.ndarray


def prepare(
    folder: Path,
    out: Path,
    settings: collection.CacheSettings,
    files: tuple[collection.PortraitFile, ...],
    progress: Callable[[int], None] = lambda done: None,
) -> collection.PortraitCache:
    """Prepare ``files``, pictures below ``folder`` and their people, in ``out``. Existing results are kept, so a
    stopped run resumes.

    ``progress`` is called with the number of finished files. ``left_out.csv`` beside the arrays lists every file that
    is not used, with the reason.

    Raises
    ------
    ValueError : ``out`` holds another collection. OSError : no room.
    """
    if (out / collection.INDEX_NAME).is_file():
        cache = collection.open_cache(out, writable=True)
        if cache.settings != settings or cache.files != files:
            raise ValueError(f"{out} holds portraits that were prepared otherwise; choose another folder or delete it")
    else:
        cache = collection.create_cache(out, settings, files, str(folder))
    todo = np.flatnonzero(cache.verdicts == collection.Verdict.UNSEEN)
    pending: dict[int, collection.Verdict] = {}
    for count, index in enumerate(todo, start=1):
        pending[int(index)] = _prepare_one(cache, int(index), folder / files[index].path)
        if count % _FLUSH_EVERY == 0 or count == len(todo):
            _write_verdicts(cache, pending)
            pending = {}
        progress(len(files) - len(todo) + count)
    _mark_repeated(cache)
    cache.flush()
    _write_left_out(cache, out / "left_out.csv")
    return cache


def _prepare_one(cache: collection.PortraitCache, index: int, path: Path) -> collection.Verdict:
    """Fill row ``index``; its verdict is written later."""
    try:
        pixels = read_photo(PhotoSource.from_path(path)).pixels
    except PhotoUnreadableError:
        return collection.Verdict.BROKEN
    portrait = portrait_of(pixels, cache.settings)
    if portrait is None:
        return collection.Verdict.NO_FACE
    cache.crops[index] = portrait.crop
    cache.labels[index] = portrait.labels
    cache.landmarks[index] = portrait.landmarks
    cache.yaw[index] = portrait.yaw
    cache.face_px[index] = portrait.face_px
    cache.hue_spread[index] = portrait.hue_spread
    cache.drawing[index] = portrait.drawing
    cache.fingerprint[index] = portrait.fingerprint
    if portrait.face_px < cache.settings.smallest_face:
        return collection.Verdict.SMALL_FACE
    if portrait.drawing > 0.5 and not cache.settings.drawings:
        return collection.Verdict.DRAWING
    return collection.Verdict.KEPT


def portrait_of(pixels: np.ndarray, settings: collection.CacheSettings) -> Portrait | None:
    """Prepare the largest face of (H, W, 3) uint8 pixels for a cache; None when there is none."""
    landmarks = landmarks_of_largest(pixels)
    if landmarks is None:
        return None
    head = crop_head(pixels, landmarks)
    labels = label_face(head.pixels, head.to_crop(landmarks).astype(np.float32), head.covered)
    labels[padding(head.covered, labels.shape)] = _UNKNOWN
    face = square = face_square(landmarks)
    if settings.framing == "head":
        side = head.pixels.shape[0] / head.scale
        square = Window((head.offset[0] + side / 2, head.offset[1] + side / 2), side)
    factor = settings.size / square.side
    corner = np.array(square.centre) - square.side / 2
    small = face.cut(pixels, _DRAWING_SIDE)
    return Portrait(
        crop=square.cut(pixels, settings.size),
        labels=_cut_labels(labels, head.scale, np.array(head.offset), corner, factor, settings.size),
        landmarks=((landmarks[:, :2] - corner) * factor).astype(np.float32),
        yaw=head_pose(landmarks).yaw,
        face_px=landmark_window(landmarks, 1.0).side,
        hue_spread=hue_spread(small),
        drawing=drawing_chance(small),
        fingerprint=_fingerprint(small),
    )


def _cut_labels(
    labels: np.ndarray, scale: float, offset: np.ndarray, corner: np.ndarray, factor: float, size: int
) -> np.ndarray:
    """Resample a head crop's labels to another crop (size, size), nearest neighbour; 255 outside the head crop."""
    middle = (np.arange(size) + 0.5) / factor
    x = np.floor((middle + corner[0] - offset[0]) * scale).astype(int)
    y = np.floor((middle + corner[1] - offset[1]) * scale).astype(int)
    side = labels.shape[0]
    result = labels[np.clip(y, 0, side - 1)[:, None], np.clip(x, 0, side - 1)[None]]
    inside = ((y >= 0) & (y < side))[:, None] & ((x >= 0) & (x < side))[None]
    return np.where(inside, result, _UNKNOWN).astype(np.uint8)


def _fingerprint(face: np.ndarray) -> np.ndarray:
    """(64,) int8 fingerprint: the face's grey levels at 8 x 8 without their mean, scaled to a largest value of 120."""
    grey = cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (8, 8), interpolation=cv2.INTER_AREA)
    centred = grey.astype(np.float64).ravel() - grey.mean()
    return np.round(120 * centred / max(np.abs(centred).max(), 1.0)).astype(np.int8)


def _mark_repeated(cache: collection.PortraitCache) -> None:
    """Leave out all but the first of several files with the same picture, of the same person or not."""
    rows = np.flatnonzero(cache.verdicts == collection.Verdict.KEPT)
    vectors = cache.fingerprint[rows].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-6)
    for start in range(0, len(rows), 1024):
        close = vectors[start : start + 1024] @ vectors.T > _REPEATED_CORRELATION
        for row, column in np.argwhere(close):
            first, second = rows[start + row], rows[column]
            if first < second and _same_picture(cache.crops[first], cache.crops[second]):
                cache.verdicts[second] = collection.Verdict.REPEATED


def _same_picture(first: np.ndarray, second: np.ndarray) -> bool:
    """Compare the fine structure of two crops by correlation; see ``backend.photos.screening``."""
    details = []
    for crop in (first, second):
        grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (64, 64), interpolation=cv2.INTER_AREA)
        detail = grey.astype(np.float32) - cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 6)
        details.append(detail.ravel() / max(float(np.linalg.norm(detail)), 1e-6))
    return float(details[0] @ details[1]) > SCREENING.same_picture


def _write_verdicts(cache: collection.PortraitCache, verdicts: dict[int, collection.Verdict]) -> None:
    """Write everything to disk, then the verdicts, so that a row with a verdict is complete even after a crash."""
    cache.flush()
    for index, verdict in verdicts.items():
        cache.verdicts[index] = verdict
    cache.verdicts.flush()


def _write_left_out(cache: collection.PortraitCache, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "reason"])
        for entry, verdict in zip(cache.files, cache.verdicts, strict=True):
            if verdict != collection.Verdict.KEPT:
                writer.writerow([entry.path, collection.REASONS[collection.Verdict(verdict)]])
