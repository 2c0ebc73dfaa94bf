"""Read photographs that are listed in the repository but stored in a folder outside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.photos.reading.read import read_photo
from backend.photos.reading.source import PhotoSource, PhotoUnreadableError


def read_listed_photo(folder: Path, name: str) -> np.ndarray:
    """Read a listed photograph as (H, W, 3) uint8 sRGB pixels, upright.

    Raises ``LikenessError`` (``no_photo``) where it is missing or cannot be opened.
    """
    try:
        return read_photo(PhotoSource.from_path(folder / name)).pixels
    except PhotoUnreadableError as error:
        raise LikenessError(
            "no_photo", f"{folder / name}: {error}", "Give the folder that holds all photographs of the list."
        ) from error
