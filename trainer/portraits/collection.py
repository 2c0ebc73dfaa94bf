"""Collections of portraits: photographs are prepared once for ``trainer data`` (detected, cropped, labelled, without
drawings; resumable), and training reads the memory-mapped files.

Beside it are two lists: ``hand_labels.npz``, hand-corrected maps of 256 px head crops without the photographs (name,
place of the face, held out or not), and the hundred photographs that judge parsing, which training never uses.
"""

from __future__ import annotations

import csv
import json
import lzma
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.models.parsing.apply import label_face, padding
from backend.photos.collection import PhotoSource, PhotoUnreadableError
from backend.photos.faces import Window, crop_head, face_square, head_pose, landmark_window, landmarks_of_largest
from backend.photos.reading import read_photo
from backend.photos.screening import SCREENING, drawing_chance, hue_spread, picture_fingerprint
from trainer.engine.batch import Batch
from trainer.engine.contracts import SourceConfig
from trainer.people.camera import FACE_CROP

HAND_LABELS_PATH = Path(__file__).parent / "hand_labels.npz"
SIDE = 256
UNKNOWN = 255
_STORED_UNKNOWN = 15  # few different byte values compress better
_MESH_COUNT = 468  # landmarks without the irises
_SAME_PLACE = 2.0
"""Pixels of 256, largest difference of the face's position in a crop from the labelled one. Landmarks differ by a tenth
of that between machines, but by far more in another crop or another photograph."""
SHEET_PATH = Path(__file__).parent / "parsing_sheet.csv"
"""Number, path below the folder of all photographs, and errors of the shipped net's labels. The photographs are those
that ``evaluate parsing`` draws with its default seed."""
FORMAT = "1"
INDEX_NAME = "portraits.json"
LANDMARK_COUNT = 478
COLOUR_FROM = 6.0
"""``hue_spread`` above which a picture is in colour; a toned black-and-white print has only one hue."""
_DRAWING_SIDE = 64
_FLUSH_EVERY = 64


@dataclass(frozen=True)
class HandLabels:
    """One portrait's labels.

    Attributes
    ----------
    labels : (256, 256) uint8 of ``FaceClass``, 255 outside the photo and where it cannot be decided.
    frame : (4,) float32 left, top, right, bottom of the landmarks in that crop, in its pixels.
    held_out : the portrait is for evaluation only.
    """

    labels: np.ndarray
    frame: np.ndarray
    held_out: bool

    def on(self, landmarks: np.ndarray, size: int) -> np.ndarray | None:
        """Labels (size, size) for a head crop with landmarks (478, 2 or 3); None where it is a different crop."""
        moved = landmark_frame(landmarks) * (SIDE / size) - self.frame
        if np.abs(moved).max() > _SAME_PLACE:
            return None
        nearest = ((np.arange(size) + 0.5) * SIDE / size).astype(int)
        return self.labels[nearest[:, None], nearest]


def landmark_frame(landmarks: np.ndarray) -> np.ndarray:
    """(4,) float32 left, top, right, bottom of landmarks (478, 2 or 3)."""
    mesh = landmarks[:_MESH_COUNT, :2]
    return np.concatenate([mesh.min(axis=0), mesh.max(axis=0)]).astype(np.float32)


def read_hand_labels(path: Path = HAND_LABELS_PATH) -> dict[str, HandLabels]:
    """Read the labels by file name.

    Raises
    ------
    OSError : there is no such file. ValueError : it holds something else.
    """
    with np.load(path, allow_pickle=False) as stored:
        files, held_out, frames = stored["files"], stored["held_out"], stored["frames"]
        packed = stored["labels"].tobytes()
    try:
        maps = np.frombuffer(lzma.decompress(packed), np.uint8).reshape(len(files), SIDE, SIDE)
    except lzma.LZMAError as error:
        raise ValueError(f"{path} is damaged") from error
    if frames.shape != (len(files), 4) or held_out.shape != (len(files),):
        raise ValueError(f"{path} does not hold label maps of portraits")
    maps = np.where(maps == _STORED_UNKNOWN, UNKNOWN, maps).astype(np.uint8)
    rows = zip(files, maps, frames, held_out, strict=True)
    return {str(file): HandLabels(labels, frame, bool(held)) for file, labels, frame, held in rows}


def sheet_photographs() -> tuple[str, ...]:
    """Return the paths of the sheet's photographs below the folder of all photographs, in the sheet's order."""
    with SHEET_PATH.open(newline="", encoding="utf-8") as file:
        return tuple(row["photo"] for row in csv.DictReader(file))


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
    fingerprint : (P, 576) float16 of ``picture_fingerprint``, for finding repeated pictures.
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
        "fingerprint": ((count, 576), "float16"),
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
    rows = [[file.path, file.person] for file in files]
    index = {"format": FORMAT, "settings": asdict(settings), "root": root, "files": rows}
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
        raise FileNotFoundError(f"{folder} holds no prepared portraits; make them with: python -m trainer data")
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


def close_up(images: Tensor, labels: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Crop pictures (N, 3, S, S), labels (N, S, S) and landmarks (N, 478, 2) to the face's square, again S x S pixels.

    Outside the picture its edge is repeated, and labels there are 255.
    """
    size = images.shape[-1]
    low, high = landmarks[:, :_MESH_COUNT].amin(1), landmarks[:, :_MESH_COUNT].amax(1)
    middle, side = (low + high) / 2, FACE_CROP * (high - low).mean(1)  # (N, 2), (N,)
    zoom = side / size
    rows = torch.zeros(len(images), 2, 3, device=images.device)
    rows[:, 0, 0] = rows[:, 1, 1] = zoom
    rows[:, :, 2] = 2 * middle / size - 1
    grid = functional.affine_grid(rows, list(images.shape), align_corners=False)
    cut = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    known = labels[:, None].float()
    classes = functional.grid_sample(known, grid, mode="nearest", padding_mode="border", align_corners=False)
    outside = (grid.abs() > 1).any(-1)
    corner = (middle - side[:, None] / 2)[:, None]
    return cut, classes[:, 0].to(labels.dtype).masked_fill(outside, 255), (landmarks - corner) / zoom[:, None, None]


@dataclass(frozen=True)
class PortraitBatch(Batch):
    """Real portraits. With ``photos`` K in the configuration, N = people x K, the photos of one person consecutive.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB.
    labels : (N, S, S) uint8 of ``FaceClass`` from the parsing net, 255 outside the photo.
    landmarks : (N, 478, 2) float32 in pixels of the picture.
    person : (N,) int64.
    is_grey : (N,) bool; without colour, so losses use luminance.
    """

    images: Tensor
    labels: Tensor
    landmarks: Tensor
    person: Tensor
    is_grey: Tensor


@dataclass(frozen=True, kw_only=True)
class PortraitsConfig(SourceConfig):
    """Real portraits prepared by ``python -m trainer data``."""

    folder: str
    """Folder of the prepared collection."""
    part: Literal["all", "training", "held_out"] = "all"
    """``held_out`` is every tenth person, ``training`` the others."""
    photos: int = 1
    """Photos per person; people with fewer are left out."""
    colour: Literal["any", "colour", "grey"] = "any"
    """Filter by colour."""
    largest_yaw: float = 90.0
    """Largest yaw to either side, degrees."""
    by_hand: bool = False
    """Only portraits with hand-corrected labels (``hand_labels.npz``), without the held-out ones."""
    close_up: bool = False
    """Cut the face's square (``backend.photos.faces.face_square``) out of a collection of head crops."""
    seed: int = 0
    """Seed of the people's order and of the choice of their photos."""

    def __post_init__(self) -> None:
        if self.photos < 1:
            raise ValueError(f"photos must be at least 1, not {self.photos}")

    def build(self) -> Portraits:
        """Open the collection.

        Raises
        ------
        FileNotFoundError : it is not prepared. ValueError : nothing in it matches the configuration.
        """
        return Portraits(self, open_cache(Path(self.folder)))


class Portraits:
    """See ``PortraitsConfig``. An index is a person; all come once before any repeats."""

    def __init__(self, config: PortraitsConfig, cache: PortraitCache) -> None:
        self.config = config
        self.cache = cache
        self.grey = np.asarray(cache.hue_spread) <= COLOUR_FROM
        wanted = np.asarray(cache.verdicts) == Verdict.KEPT
        wanted &= np.abs(np.asarray(cache.yaw)) <= config.largest_yaw
        if config.colour != "any":
            wanted &= self.grey == (config.colour == "grey")
        if config.by_hand:
            corrected = {name for name, portrait in read_hand_labels().items() if not portrait.held_out}
            wanted &= np.array([file.path in corrected for file in cache.files])
        person = np.array([file.person for file in cache.files])
        if config.part != "all":
            wanted &= (person % 10 == 9) == (config.part == "held_out")
        photos_of = {int(who): np.flatnonzero(wanted & (person == who)) for who in np.unique(person[wanted])}
        self.people = [(who, rows) for who, rows in photos_of.items() if len(rows) >= config.photos]
        if not self.people:
            raise ValueError(f"{config.folder} holds no portraits as they are asked for")

    def __len__(self) -> int:
        """Number of people that match the configuration."""
        return len(self.people)

    def batch(self, indices: range, device: torch.device) -> PortraitBatch:
        """Return people number ``indices``; from ``len(self)`` on they repeat in another order, with other photos."""
        rows, who = [], []
        for index in indices:
            turn, index_of_person = divmod(index, len(self.people))
            order = np.random.Generator(np.random.Philox(key=[self.config.seed, turn])).permutation(len(self.people))
            person, photos = self.people[order[index_of_person]]
            generator = np.random.Generator(np.random.Philox(key=[self.config.seed + 1, index]))
            rows.append(generator.choice(photos, self.config.photos, replace=False))
            who += [person] * self.config.photos
        chosen = np.concatenate(rows)
        images = torch.from_numpy(self.cache.crops[chosen]).to(device).permute(0, 3, 1, 2).float() / 255
        labels = torch.from_numpy(self.cache.labels[chosen]).to(device)
        landmarks = torch.from_numpy(self.cache.landmarks[chosen]).to(device)
        if self.config.close_up:
            images, labels, landmarks = close_up(images, labels, landmarks)
        person, grey = torch.tensor(who, device=device), torch.from_numpy(self.grey[chosen]).to(device)
        return PortraitBatch(images, labels, landmarks, person, grey)


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
    settings: CacheSettings,
    files: tuple[PortraitFile, ...],
    progress: Callable[[int], None] = lambda done: None,
) -> PortraitCache:
    """Prepare ``files``, pictures below ``folder`` and their people, in ``out``. Existing results are kept, so a
    stopped run resumes.

    ``progress`` is called with the number of finished files. ``left_out.csv`` beside the arrays lists every file that
    is not used, with the reason.

    Raises
    ------
    ValueError : ``out`` holds another collection. OSError : no room.
    """
    if (out / INDEX_NAME).is_file():
        cache = open_cache(out, writable=True)
        if cache.settings != settings or cache.files != files:
            raise ValueError(f"{out} holds portraits that were prepared otherwise; choose another folder or delete it")
    else:
        cache = create_cache(out, settings, files, str(folder))
    todo = np.flatnonzero(cache.verdicts == Verdict.UNSEEN)
    pending: dict[int, Verdict] = {}
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


def _prepare_one(cache: PortraitCache, index: int, path: Path) -> Verdict:
    """Fill row ``index``; its verdict is written later."""
    try:
        pixels = read_photo(PhotoSource.from_path(path)).pixels
    except PhotoUnreadableError:
        return Verdict.BROKEN
    portrait = portrait_of(pixels, cache.settings)
    if portrait is None:
        return Verdict.NO_FACE
    cache.crops[index] = portrait.crop
    for name in ("labels", "landmarks", "yaw", "face_px", "hue_spread", "drawing", "fingerprint"):
        getattr(cache, name)[index] = getattr(portrait, name)
    if portrait.face_px < cache.settings.smallest_face:
        return Verdict.SMALL_FACE
    if portrait.drawing > 0.5 and not cache.settings.drawings:
        return Verdict.DRAWING
    return Verdict.KEPT


def portrait_of(pixels: np.ndarray, settings: CacheSettings, landmarks: np.ndarray | None = None) -> Portrait | None:
    """Prepare the largest face of (H, W, 3) uint8 pixels for a cache, or that with ``landmarks`` (478, 3); None when
    there is none."""
    landmarks = landmarks_of_largest(pixels) if landmarks is None else landmarks
    if landmarks is None:
        return None
    head = crop_head(pixels, landmarks)
    labels = label_face(head.pixels, head.to_crop(landmarks).astype(np.float32), head.covered)
    labels[padding(head.covered, labels.shape)] = UNKNOWN
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
        fingerprint=picture_fingerprint(pixels, landmarks),
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
    return np.where(inside, result, UNKNOWN).astype(np.uint8)


def _mark_repeated(cache: PortraitCache) -> None:
    """Leave out all but the first of several files with the same picture, of the same person or not."""
    rows = np.flatnonzero(cache.verdicts == Verdict.KEPT)
    vectors = cache.fingerprint[rows].astype(np.float32)
    for start in range(0, len(rows), 1024):
        first, second = np.nonzero(vectors[start : start + 1024] @ vectors.T > SCREENING.same_picture)
        cache.verdicts[rows[second[start + first < second]]] = Verdict.REPEATED


def _write_verdicts(cache: PortraitCache, verdicts: dict[int, Verdict]) -> None:
    """Write everything to disk, then the verdicts, so that a row with a verdict is complete even after a crash."""
    cache.flush()
    for index, verdict in verdicts.items():
        cache.verdicts[index] = verdict
    cache.verdicts.flush()


def _write_left_out(cache: PortraitCache, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "reason"])
        for entry, verdict in zip(cache.files, cache.verdicts, strict=True):
            if verdict != Verdict.KEPT:
                writer.writerow([entry.path, REASONS[Verdict(verdict)]])
