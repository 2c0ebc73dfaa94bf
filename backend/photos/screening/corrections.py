"""What a person says of the photos: where landmarks really are, and what a photo may be used for.

The same form in a file (``reconstruct --corrections``, docs/files.md) and on the wire (docs/protocol.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from backend.errors import LikenessError
from backend.photos.collection import CorrectedLandmarks, PhotoCollection, PhotoFace, PhotoVerdict, Use

LANDMARKS = 478
MOST_POINTS = 1500
"""Corrected points of all photos together: what fits, beside the photos' names, into a request's header of 64 KiB."""
MOST_FILE_BYTES = 2**20
LEFT_OUT = "You chose to leave it out."
_FARTHEST = 1e6
"""Pixels; no photo has so many along a side."""


class CorrectedPoint(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """``[landmark, x, y]``: one of the 478 landmarks, and its place in pixels of the photo after EXIF rotation."""

    landmark: Annotated[int, msgspec.Meta(ge=0, lt=LANDMARKS)]
    x: Annotated[float, msgspec.Meta(ge=-_FARTHEST, le=_FARTHEST)]
    y: Annotated[float, msgspec.Meta(ge=-_FARTHEST, le=_FARTHEST)]


class PhotoCorrections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the photo ``name``: what it may be used for, and the points that a person has set."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    use: Use = "both"
    points: Annotated[tuple[CorrectedPoint, ...], msgspec.Meta(max_length=LANDMARKS)] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    photos: tuple[PhotoCorrections, ...]


def read_corrections(path: Path) -> tuple[PhotoCorrections, ...]:
    """The corrections of a file. Raises ``LikenessError`` "usage" where it cannot be read or understood."""
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise LikenessError("usage", f"{path.name} is larger than a MiB.", "Give a file of corrections.")
        return msgspec.json.decode(path.read_bytes(), type=_File).photos
    except OSError as error:
        why = error.strerror or str(error)
        raise LikenessError("usage", f"{path.name} could not be read ({why}).", "Check its path.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LikenessError(
            "usage", f"{path.name} is not a file of corrections: {error}.", "Its form is described in docs/files.md."
        ) from error


def check_corrections(corrections: Sequence[PhotoCorrections], names: Sequence[str]) -> None:
    """Raises ``LikenessError`` "usage" for what does not fit the photos called ``names``."""
    for name in (one.name for one in corrections):
        if name not in names:
            raise LikenessError(
                "usage", f"No photo is called {name!r}, but there are corrections of it.", "Name a photo that is given."
            )
    twice = [name for name, count in Counter(one.name for one in corrections).items() if count > 1]
    if twice:
        raise LikenessError("usage", f"{twice[0]} is corrected twice.", "Put all corrections of a photo into one.")
    for one in corrections:
        again = [landmark for landmark, count in Counter(p.landmark for p in one.points).items() if count > 1]
        if again:
            raise LikenessError(
                "usage", f"Landmark {again[0]} of {one.name} has two places.", "Give each landmark one place."
            )
    if sum(len(one.points) for one in corrections) > MOST_POINTS:
        raise LikenessError("usage", f"More than {MOST_POINTS} points are corrected.", "Reset some photo.")
    use = {one.name: one.use for one in corrections}
    for what in ("shape", "texture"):
        if names and not any(use.get(name, "both") in (what, "both") for name in names):
            raise LikenessError(
                "usage", f"No photo may be used for the {what}.", f"Let at least one photo be used for the {what}."
            )


def with_corrections(collection: PhotoCollection, corrections: Sequence[PhotoCorrections]) -> PhotoCollection:
    """The collection with the corrected points in its faces, and a verdict on every photo that is left out.

    Raises ``LikenessError`` "usage" for a point outside of its photo, and where no used photo may give shape or
    texture.
    """
    of = {one.name: one for one in corrections}
    faces = tuple(_corrected(face, of[face.name]) if face.name in of else face for face in collection.faces)
    for what in ("shape", "texture"):
        if not any(face.use in (what, "both") for face in faces):
            raise LikenessError(
                "usage",
                f"None of the photos that show the face well enough may be used for the {what}.",
                f"Let another photo be used for the {what}.",
            )
    return replace(collection, faces=faces)


def left_out_verdicts(
    verdicts: Sequence[PhotoVerdict], names: Sequence[str], corrections: Sequence[PhotoCorrections]
) -> tuple[PhotoVerdict, ...]:
    """Verdicts on all photos called ``names``, in that order, those that were chosen to be left out among them."""
    others = {verdict.name: verdict for verdict in verdicts}
    out = {one.name for one in corrections if one.use == "neither"}
    return tuple(PhotoVerdict(name, False, LEFT_OUT) if name in out else others[name] for name in names)


def _corrected(face: PhotoFace, corrections: PhotoCorrections) -> PhotoFace:
    width, height = face.source_size
    for point in corrections.points:
        if not (0 <= point.x <= width and 0 <= point.y <= height):
            raise LikenessError(
                "usage",
                f"Landmark {point.landmark} of {face.name} lies outside of the photo, which has {width} x {height} "
                f"pixels: ({point.x:.0f}, {point.y:.0f}).",
                "Put it where the landmark is, or leave it out.",
            )
    if not corrections.points:
        return replace(face, use=corrections.use)
    landmarks = np.array([point.landmark for point in corrections.points], np.int64)
    in_file = np.array([(point.x, point.y) for point in corrections.points], np.float64)
    places = face.crop_scale * (in_file - face.crop_offset)
    believed = face.landmarks.copy()
    believed[landmarks, :2] = places
    corrected = CorrectedLandmarks(landmarks, places, face.landmarks[:, :2].copy())
    return replace(face, landmarks=believed, corrected=corrected, use=corrections.use)
