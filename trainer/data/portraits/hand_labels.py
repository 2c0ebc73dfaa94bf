"""Hand-corrected label maps of real portraits, for training and evaluating the parsing net.

``hand_labels.npz`` holds them without the photographs: maps of 256 px head crops, the file name of each, the face's
position in its crop, and which portraits are held out (for evaluation only, never for training).
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HAND_LABELS_PATH = Path(__file__).parent / "hand_labels.npz"
SIDE = 256
UNKNOWN = 255
_STORED_UNKNOWN = 15  # few different byte values compress better
_MESH_COUNT = 468  # landmarks without the irises
_SAME_PLACE = 2.0
"""Pixels of 256, largest difference of the face's position in a crop from the labelled one. Landmarks differ by a tenth
of that between machines, but by far more in another crop or another photograph."""


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


def write_hand_labels(path: Path, portraits: Mapping[str, HandLabels]) -> None:
    """Write the file for ``read_hand_labels``; LZMA packs the maps to five sixths of NumPy's size."""
    files = sorted(portraits)
    maps = np.stack([portraits[file].labels for file in files])
    maps = np.where(maps == UNKNOWN, _STORED_UNKNOWN, maps).astype(np.uint8)
    np.savez(
        path,
        files=np.array(files),
        held_out=np.array([portraits[file].held_out for file in files]),
        frames=np.stack([portraits[file].frame for file in files]).astype(np.float32),
        labels=np.frombuffer(lzma.compress(maps.tobytes(), preset=9), np.uint8),
    )
