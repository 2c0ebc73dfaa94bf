"""Photos of which a test names only what it is about. Tests of every folder can import this one."""

from __future__ import annotations

import numpy as np

from backend.photos.collection import PhotoFace, PhotoQuality
from backend.photos.corrections import PhotoMask


def plain_photo(size: tuple[int, int], **changes: object) -> PhotoFace:
    """A flawless photo of ``size`` (width, height) black pixels, all background, landmarks at 0; with ``changes``."""
    width, height = size
    values = {
        "name": "a.png",
        "source_size": size,
        "focal_px": None,
        "pixels": np.zeros((height, width, 3), np.uint8),
        "crop_scale": 1.0,
        "crop_offset": (0.0, 0.0),
        "landmarks": np.zeros((478, 3), np.float32),
        "labels": np.zeros((height, width), np.uint8),
        "monochrome": False,
        "yaw_degrees": 0.0,
        "quality": PhotoQuality(1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    }
    return PhotoFace(**(values | changes))


def mask_of(hidden: np.ndarray) -> PhotoMask:
    """The mask of cells (H, W) bool that are not to be used."""
    change = np.flatnonzero(np.diff(np.r_[False, hidden.ravel(), not hidden.ravel()[-1]]))
    runs = np.diff(np.r_[0, change])
    return PhotoMask(hidden.shape[1], hidden.shape[0], tuple(int(one) for one in runs))
