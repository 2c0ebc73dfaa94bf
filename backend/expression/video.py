"""Frames of a video file, one at a time, each in its slot of an even frame rate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from backend.errors import LikenessError

LONGEST_GAP_SECONDS = 10.0
"""A larger step in the file's time stamps is taken for a broken time stamp."""
MOST_FRAME_PIXELS = 40_000_000
"""Largest width x height of a frame; 8K has 33 million. The decoder keeps several frames."""
USUAL_FPS = 30.0


@dataclass(frozen=True)
class VideoFrame:
    """A frame: its slot (0, 1, ... at an even rate; slots that never come were dropped) and (H, W, 3) uint8 sRGB."""

    slot: int
    pixels: np.ndarray


class Video:
    """A video file, open for reading from its start; a context manager.

    Attributes
    ----------
    fps : frames per second. frame_count : as the file says, 0 where it does not.

    Raises ``LikenessError`` with code "no_photo" when the file is not there or not a video.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        advice = "Give a video such as MP4, MOV, WebM or AVI, or convert it to H.264 MP4."
        if not os.path.isfile(path):  # unlike Path.is_file, for any path
            raise LikenessError("no_photo", f"There is no file {path}.", "Check the path.")
        if os.path.getsize(path) == 0:
            raise LikenessError("no_photo", f"The file {path} is empty.", "Copy or export it again.")
        self._capture = cv2.VideoCapture(str(self._path))
        if not self._capture.isOpened():
            raise LikenessError("no_photo", f"{path} is not a video that can be read.", advice)
        size = [self._capture.get(prop) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        if size[0] * size[1] > MOST_FRAME_PIXELS:
            self._capture.release()
            raise LikenessError(
                "no_photo",
                f"The pictures of {path} have {size[0]:.0f} x {size[1]:.0f} pixels, more than 8K.",
                "Convert it to 4K or less.",
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if np.isfinite(fps) and 1.0 <= fps <= 1000.0 else USUAL_FPS
        count = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = int(count) if np.isfinite(count) and 0 < count < 1e9 else 0

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.release()

    def frames(self, every: int = 1) -> Iterator[VideoFrame]:
        """The frames from here on, each ``every``-th of them.

        Raises ``LikenessError`` with code "no_photo" when not one frame can be decoded.
        """
        slot, number, read_any = -1, 0, False
        start = None
        while self._capture.grab():
            seconds = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
            start = seconds if start is None else start
            slot = _next_slot(slot, seconds - start, self.fps)
            number += 1
            if (number - 1) % every:
                continue
            decoded, pixels = self._capture.retrieve()
            if decoded and pixels is not None and pixels.size:
                read_any = True
                yield VideoFrame(slot, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        if not read_any:
            raise LikenessError(
                "no_photo", f"No picture can be read from {self._path}; the file is damaged.", "Export it again."
            )


def _next_slot(last: int, seconds: float, fps: float) -> int:
    """The slot of a frame ``seconds`` after the first; time stamps that go back or leap are not believed."""
    if not np.isfinite(seconds):
        return last + 1
    slot = round(seconds * fps)
    if slot <= last or slot - last > LONGEST_GAP_SECONDS * fps:
        return last + 1
    return slot
