"""Read photo and video files into buffers of a ``submit``, and check them against the server's limits first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import AddonError
from ..shared.photo_folder import PHOTO_SUFFIXES
from .events import Limits

PHOTO_GLOB = ";".join(f"*{ending}" for ending in PHOTO_SUFFIXES)
"""Endings of the files that the backend reads, for a file browser, which ignores case."""
PIECE_BYTES = 32 * 2**20
"""A video is sent in buffers of this size."""


def unique_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Turn names into labels of a job: printable, at most 255 characters, unique (``front.jpg``, ``front (2).jpg``)."""
    labels: list[str] = []
    for name in names:
        clean = "".join(c for c in name if c.isprintable()).strip()[-240:] or "photo"
        label, again = clean, 1
        while label in labels:
            again += 1
            stem, dot, ending = clean.rpartition(".")
            label = f"{stem} ({again}).{ending}" if dot and stem else f"{clean} ({again})"
        labels.append(label)
    return tuple(labels)


def is_text(path: str) -> bool:
    """Whether a path can be encoded in UTF-8, which file systems do not require."""
    return path.encode("utf-8", "ignore").decode("utf-8") == path


def read_photos(photos: Sequence[tuple[str, Path | None, bytes | None]], limits: Limits) -> list[bytes]:
    """The bytes of each (label, path, bytes), read from its path if bytes is None.

    Raises
    ------
    AddonError : ``no_photo`` for a file that cannot be read, ``too_large`` for one above the server's limits.
    """
    if len(photos) > limits.photos:
        raise AddonError(
            f"The backend takes at most {limits.photos} photos, the list has {len(photos)}.",
            "Remove some; the best ten are enough.",
            "too_large",
        )
    contents = []
    for label, path, data in photos:
        if data is None:
            try:
                data = path.read_bytes()
            except OSError as error:
                why = error.strerror or str(error)
                raise AddonError(
                    f"{label} could not be read ({why}).", "Put the file back, or remove it from the list.", "no_photo"
                ) from error
        if not data:
            raise AddonError(f"{label} is an empty file.", "Remove it from the list.", "no_photo")
        if len(data) > limits.frame_bytes:
            raise AddonError(
                f"{label} has {len(data) / 2**20:.0f} MiB, the backend takes {limits.frame_bytes / 2**20:.0f} a photo.",
                "Save it smaller, as a JPEG for example.",
                "too_large",
            )
        contents.append(data)
    if sum(map(len, contents)) > limits.message_bytes - 65536:
        raise AddonError(
            f"The photos together are larger than the {limits.message_bytes / 2**20:.0f} MiB that the backend takes.",
            "Remove some, or save them smaller.",
            "too_large",
        )
    return contents


def read_video(label: str, path: Path, limits: Limits) -> list[bytes]:
    """A video's bytes, in buffers within the server's limits.

    Raises
    ------
    AddonError : ``no_photo`` for a file that cannot be read, ``too_large`` for one above the server's limits.
    """
    most = limits.message_bytes - 2**20  # room for the header and a head
    try:
        if path.stat().st_size > most:
            raise AddonError(
                f"{label} is larger than the {most / 2**20:.0f} MiB that a backend on another machine takes.",
                "Cut it, or export it smaller: faces of 300 pixels are large enough.",
                "too_large",
            )
        size = min(PIECE_BYTES, limits.frame_bytes)
        with path.open("rb") as file:
            pieces = list(iter(lambda: file.read(size), b""))
    except OSError as error:
        why = error.strerror or str(error)
        raise AddonError(f"{label} could not be read ({why}).", "Choose it again.", "no_photo") from error
    if not pieces:
        raise AddonError(f"{label} is an empty file.", "Copy or export it again.", "no_photo")
    return pieces
