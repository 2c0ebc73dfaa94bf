"""The user's corrections of the photos: landmark positions, what a photo is used for, and masked areas.

The format is the same in a file (``reconstruct --corrections``, docs/files.md) and on the wire (docs/protocol.md).
"""

import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from backend.errors import LikenessError
from backend.geometry.template import FIRST_HAIR, LANDMARKS, POINTS
from backend.photos.collection import CorrectedLandmarks, FaceClass, PhotoCollection, PhotoFace, PhotoVerdict, Use
from protocol.options import TEXTURE_REGIONS

MOST_POINTS = 1500
"""Most corrected points of all photos together; they must fit a request's header of 64 KiB beside the photos' names."""
MOST_RUNS = 3000
"""Most runs of all photos' masks together, for the same reason; a hand's outline has about 200."""
MOST_BRUSHES = 2
"""Most photos that paint what a brush marked, 6 KiB each, for the same reason."""
MOST_BRUSH_BYTES = 2**13
MASK_SIDE = 256
"""Cells along the longer side of a photo's mask: 2 mm each if the face fills half the photo."""
LEAST_SEEN = 60
"""Least number of the 478 landmarks that masks must leave to place the face; one eye's surroundings have as many."""
MOST_FILE_BYTES = 2**20
LEFT_OUT = "You chose to leave it out."
_FARTHEST = 1e6
"""Pixels; larger than any photo's side."""


class CorrectedPoint(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """``[landmark, x, y]``: one of the 478 landmarks or of ``head_points``, and its position in pixels of the photo
    after EXIF rotation."""

    landmark: Annotated[int, msgspec.Meta(ge=0, lt=POINTS)]
    x: Annotated[float, msgspec.Meta(ge=-_FARTHEST, le=_FARTHEST)]
    y: Annotated[float, msgspec.Meta(ge=-_FARTHEST, le=_FARTHEST)]


class PhotoMask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Area of a photo excluded from use, on a grid over the whole photo after EXIF rotation.

    ``runs``: run lengths row by row from the top left, alternating between usable and excluded cells.
    """

    width: Annotated[int, msgspec.Meta(ge=1, le=MASK_SIDE)]
    height: Annotated[int, msgspec.Meta(ge=1, le=MASK_SIDE)]
    runs: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, le=MASK_SIDE**2)], ...], msgspec.Meta(max_length=MOST_RUNS)]

    def __post_init__(self) -> None:
        if sum(self.runs) != self.width * self.height:
            raise ValueError(f"the runs of a mask of {self.width} x {self.height} cells have {sum(self.runs)} in all")

    def cells(self) -> np.ndarray:
        """(height, width) bool, True where the photo is excluded."""
        hidden = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(hidden, self.runs).reshape(self.height, self.width)


class PhotoCorrections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Corrections of the photo ``name``: its use, the points placed by the user, and the excluded area; the regions of
    the texture that it alone paints, and ``brush``, a byte for each of the head's vertices: 255 where it alone paints
    them."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    use: Use = "both"
    points: Annotated[tuple[CorrectedPoint, ...], msgspec.Meta(max_length=POINTS)] = ()
    mask: PhotoMask | None = None
    paints: Annotated[tuple[Literal[TEXTURE_REGIONS], ...], msgspec.Meta(max_length=len(TEXTURE_REGIONS))] = ()
    brush: Annotated[bytes, msgspec.Meta(max_length=MOST_BRUSH_BYTES)] = b""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    photos: tuple[PhotoCorrections, ...]


def read_corrections(path: Path) -> tuple[PhotoCorrections, ...]:
    """Read a file of corrections. Raises ``LikenessError`` "usage" if it cannot be read or parsed."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise LikenessError("usage", f"{path.name} is not a regular file.", "Give a file of corrections.")
        if status.st_size > MOST_FILE_BYTES:
            raise LikenessError("usage", f"{path.name} is larger than a MiB.", "Give a file of corrections.")
        return msgspec.json.decode(path.read_bytes(), type=_File).photos
    except OSError as error:
        why = error.strerror or str(error)
        raise LikenessError("usage", f"{path.name} could not be read ({why}).", "Check its path.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        advice = "Its form is described in docs/files.md."
        raise LikenessError("usage", f"{path.name} is not a file of corrections: {error}.", advice) from error


def check_corrections(corrections: Sequence[PhotoCorrections], names: Sequence[str]) -> None:
    """Raise ``LikenessError`` "usage" for corrections that do not fit the photos called ``names``."""
    for name in (one.name for one in corrections):
        if name not in names:
            advice = "Name a photo that is given."
            raise LikenessError("usage", f"No photo is called {name!r}, but there are corrections of it.", advice)
    twice = [name for name, count in Counter(one.name for one in corrections).items() if count > 1]
    if twice:
        raise LikenessError("usage", f"{twice[0]} is corrected twice.", "Put all corrections of a photo into one.")
    for one in corrections:
        again = [landmark for landmark, count in Counter(p.landmark for p in one.points).items() if count > 1]
        if again:
            advice = "Give each landmark one place."
            raise LikenessError("usage", f"Landmark {again[0]} of {one.name} has two places.", advice)
    if sum(len(one.points) for one in corrections) > MOST_POINTS:
        raise LikenessError("usage", f"More than {MOST_POINTS} points are corrected.", "Reset some photo.")
    if sum(len(one.mask.runs) for one in corrections if one.mask is not None) > MOST_RUNS:
        advice = "Mask fewer photos, or use simpler masks."
        raise LikenessError("usage", f"The masks have more than {MOST_RUNS} runs.", advice)
    regions = Counter(region for one in corrections for region in set(one.paints))
    twice = [region for region, count in regions.items() if count > 1]
    if twice:
        advice = "Give each region of the texture one photo."
        raise LikenessError("usage", f"Two photos paint one region, {twice[0]}.", advice)
    if sum(bool(one.brush) for one in corrections) > MOST_BRUSHES:
        raise LikenessError("usage", f"More than {MOST_BRUSHES} photos paint by brush.", "Use regions for some.")
    use = {one.name: one.use for one in corrections}
    for what in ("shape", "texture"):
        if names and not any(use.get(name, "both") in (what, "both") for name in names):
            advice = f"Let at least one photo be used for the {what}."
            raise LikenessError("usage", f"No photo may be used for the {what}.", advice)


def with_corrections(collection: PhotoCollection, corrections: Sequence[PhotoCorrections]) -> PhotoCollection:
    """Apply the corrections to the collection's faces.

    Raises ``LikenessError`` "usage" for a point outside its photo, or if no used photo may give shape or texture.
    """
    of = {one.name: one for one in corrections}
    faces = tuple(_corrected(face, of[face.name]) if face.name in of else face for face in collection.faces)
    for what in ("shape", "texture"):
        if not any(face.use in (what, "both") for face in faces):
            sentence = f"None of the photos that show the face well enough may be used for the {what}."
            raise LikenessError("usage", sentence, f"Let another photo be used for the {what}.")
    return replace(collection, faces=faces)


def left_out_verdicts(
    verdicts: Sequence[PhotoVerdict], names: Sequence[str], corrections: Sequence[PhotoCorrections]
) -> tuple[PhotoVerdict, ...]:
    """Verdicts on all photos called ``names``, in that order, including those the user left out."""
    others = {verdict.name: verdict for verdict in verdicts}
    out = {one.name for one in corrections if one.use == "neither"}
    return tuple(PhotoVerdict(name, False, LEFT_OUT) if name in out else others[name] for name in names)


def _corrected(face: PhotoFace, corrections: PhotoCorrections) -> PhotoFace:
    face = replace(face, use=corrections.use)
    if corrections.points:
        face = _with_points(face, corrections.points)
    if corrections.mask is not None:
        face = _with_mask(face, corrections.mask)
    return face


def _with_points(face: PhotoFace, points: Sequence[CorrectedPoint]) -> PhotoFace:
    width, height = face.file_size
    for point in points:
        if not (0 <= point.x <= width and 0 <= point.y <= height):
            raise LikenessError(
                "usage",
                f"Landmark {point.landmark} of {face.name} lies outside of the photo, which has {width} x {height} "
                f"pixels: ({point.x:.0f}, {point.y:.0f}).",
                "Put it where the landmark is, or leave it out.",
            )
    number = np.array([point.landmark for point in points], np.int64)
    in_file = np.array([(point.x, point.y) for point in points], np.float64)
    to_file = face.file_from_crop
    picked = (in_file - to_file[:2, 2]) @ np.linalg.inv(to_file[:2, :2]).T
    of_face, of_hair = number < LANDMARKS, number >= FIRST_HAIR
    of_ears = ~(of_face | of_hair)
    if of_hair.any():
        face = replace(face, hair_line=picked[of_hair])
    if of_hair.all():
        return face
    believed = face.landmarks.copy()
    believed[number[of_face], :2] = picked[of_face]
    corrected = CorrectedLandmarks(
        landmarks=number[of_face],
        positions=picked[of_face],
        detected=face.landmarks[:, :2].copy(),
        ears=number[of_ears] - LANDMARKS,
        ear_positions=picked[of_ears],
    )
    return replace(face, landmarks=believed, corrected=corrected)


def _with_mask(face: PhotoFace, mask: PhotoMask) -> PhotoFace:
    """The face with masked pixels labelled as occluder; landmarks under the mask are unseen unless placed by the
    user."""
    import cv2  # imported here, so that the server, which only reads corrections, starts without it

    file_width, file_height = face.file_size
    if abs(mask.width - mask.height * file_width / file_height) > 1.0 + mask.width / mask.height:
        raise LikenessError(
            "usage",
            f"The mask of {face.name} has {mask.width} x {mask.height} cells, which is not the photo's shape "
            f"({file_width} x {file_height}).",
            "Paint it anew on this photo.",
        )
    cells_per_pixel = np.diag([mask.width / file_width, mask.height / file_height, 1.0])
    grid_from_crop = (cells_per_pixel @ face.file_from_crop)[:2]
    grid_from_crop[:, 2] += 0.5 * grid_from_crop[:, :2].sum(axis=1) - 0.5  # pixel centres at i, OpenCV's convention
    height, width = face.labels.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cells = mask.cells().astype(np.float32)
    hidden = cv2.warpAffine(cells, grid_from_crop, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE) > 0.5
    column, row = np.clip(face.landmarks[:, :2].astype(int), 0, [width - 1, height - 1]).T
    unseen = hidden[row, column]
    if face.corrected is not None:
        unseen[face.corrected.landmarks] = False
    if (~unseen).sum() < LEAST_SEEN:
        advice = "Clear some of it, or leave the photo out."
        raise LikenessError("usage", f"The mask of {face.name} covers nearly the whole face.", advice)
    labels = np.where(hidden, np.uint8(FaceClass.OCCLUDER), face.labels)
    return replace(face, labels=labels, unseen=unseen)
