"""Files of a prepared collection: memory-mapped arrays and a JSON index."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

FORMAT = "1"
INDEX_NAME = "portraits.json"
LANDMARK_COUNT = 478


class Verdict(IntEnum):
    """Result of preparing a file; the reasons are for people to read."""

    UNSEEN = 0
    KEPT = 1
    BROKEN = 2
    NO_FACE = 3
    SMALL_FACE = 4
    DRAWING = 5
    REPEATED = 6


REASONS: dict[Verdict, str] = {
    Verdict.UNSEEN: "not looked at yet",
    Verdict.KEPT: "kept",
    Verdict.BROKEN: "cannot be read",
    Verdict.NO_FACE: "no face found",
    Verdict.SMALL_FACE: "face too small",
    Verdict.DRAWING: "a drawing, an engraving or a painting",
    Verdict.REPEATED: "the same picture as another one",
}


@dataclass(frozen=True)
class PortraitFile:
    """A picture's path below the collection's folder (with ``/``), and the number of its person."""

    path: str
    person: int


@dataclass(frozen=True)
class CacheSettings:
    """Settings that determine a cache's content, besides the files.

    Attributes
    ----------
    size : side of the square crops in pixels.
    framing : ``face`` (the crop of LAP's paper) or ``head`` (the parsing net's crop).
    smallest_face : height of the smallest face that is kept, in pixels of the photo.
    drawings : keep drawings too.
    labels_by : the net that made the label maps.
    """

    size: int
    framing: str
    smallest_face: float
    drawings: bool
    labels_by: str


@dataclass(frozen=True)
class PortraitCache:
    """An open cache of P files; rows of files that are not ``KEPT`` are zero.

    Attributes
    ----------
    settings, files : see their classes. root : the collection's folder, as it was given.
    crops : (P, S, S, 3) uint8 sRGB, edge-padded. labels : (P, S, S) uint8 of ``FaceClass``, 255 outside the photo.
    landmarks : (P, 478, 2) float32 in the crop's pixels.
    yaw : (P,) float32 degrees, positive when the person turns to the picture's right.
    face_px : (P,) float32 height of the face in the photo's own pixels.
    hue_spread : (P,) float32, see ``drawings.hue_spread``. drawing : (P,) float32, probability of a drawing.
    fingerprint : (P, 64) int8, for finding repeated pictures.
    verdicts : (P,) uint8 of ``Verdict``; written last, so that a row with a verdict is complete.
    """

    settings: CacheSettings
    files: tuple[PortraitFile, ...]
    root: str
    crops: np.ndarray
    labels: np.ndarray
    landmarks: np.ndarray
    yaw: np.ndarray
    face_px: np.ndarray
    hue_spread: np.ndarray
    drawing: np.ndarray
    fingerprint: np.ndarray
    verdicts: np.ndarray

    def flush(self) -> None:
        """Write everything to disk, the verdicts last, so that they only mark complete rows."""
        for name in _shapes(self.settings.size, 0):
            if name != "verdicts":
                getattr(self, name).flush()
        self.verdicts.flush()


def _shapes(size: int, count: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Array name -> shape and dtype of a cache with ``count`` files."""
    return {
        "crops": ((count, size, size, 3), "uint8"),
        "labels": ((count, size, size), "uint8"),
        "landmarks": ((count, LANDMARK_COUNT, 2), "float32"),
        "yaw": ((count,), "float32"),
        "face_px": ((count,), "float32"),
        "hue_spread": ((count,), "float32"),
        "drawing": ((count,), "float32"),
        "fingerprint": ((count, 64), "int8"),
        "verdicts": ((count,), "uint8"),
    }


def create_cache(folder: Path, settings: CacheSettings, files: tuple[PortraitFile, ...], root: str) -> PortraitCache:
    """Make a new, empty cache in ``folder``; the index is written last, so that an incomplete cache is not opened.

    Raises
    ------
    OSError : no room or no permission.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (shape, dtype) in _shapes(settings.size, len(files)).items():
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape).flush()
    index = {
        "format": FORMAT,
        "settings": asdict(settings),
        "root": root,
        "files": [[file.path, file.person] for file in files],
    }
    partial = folder / f"{INDEX_NAME}.part"
    partial.write_text(json.dumps(index, indent=0))
    os.replace(partial, folder / INDEX_NAME)
    return open_cache(folder, writable=True)


def open_cache(folder: Path, writable: bool = False) -> PortraitCache:
    """Map the cache in ``folder`` into memory.

    Raises
    ------
    FileNotFoundError : there is none. ValueError : it is of another format, or its files do not fit together.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no prepared portraits; make them with: python -m trainer portraits")
    index = json.loads(path.read_text())
    if index.get("format") != FORMAT:
        raise ValueError(f"{folder} was prepared by another version; delete it and prepare it again")
    settings = CacheSettings(**index["settings"])
    files = tuple(PortraitFile(str(name), int(person)) for name, person in index["files"])
    arrays = {}
    for name, (shape, dtype) in _shapes(settings.size, len(files)).items():
        array = np.load(folder / f"{name}.npy", mmap_mode="r+" if writable else "r", allow_pickle=False)
        if array.shape != shape or array.dtype != np.dtype(dtype):
            raise ValueError(f"{folder / name}.npy does not fit to its index; delete the folder and prepare it again")
        arrays[name] = array
    return PortraitCache(settings=settings, files=files, root=index["root"], **arrays)
