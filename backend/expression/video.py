"""Frames of a video file, one at a time, each in its slot of an even frame rate; decoded in a separate process.

Photo files as the frames of one take, read one at a time, with the interface of ``Video``.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from backend.errors import LikenessError
from backend.expression.video_process import NO_MEMORY, PATH_MARK, VideoLimits
from backend.photos.collection import PhotoSource, PhotoUnreadableError
from backend.photos.reading import read_photos
from backend.system.processes import End, LimitedProcess

TICK = 0.1
"""Seconds between checks for cancellation; 0.02 to 0.5 is sensible."""
_ENDS = {
    End.TOO_SLOW: (f"{PATH_MARK} takes far longer to open than a video does.", "Convert it to H.264 MP4."),
    End.STOOD_STILL: (f"{PATH_MARK} was not read in time: the computer or its disk is busy.", "Try again."),
    End.NO_MEMORY: (NO_MEMORY, "Convert it to 4K or less."),
    End.CRASHED: (f"{PATH_MARK} is damaged and cannot be read.", "Export it again."),
}
Result = TypeVar("Result")


@dataclass(frozen=True)
class VideoFrame:
    """A frame: its slot (0, 1, ... at an even rate; slots that never come were dropped) and (H, W, 3) uint8 sRGB."""

    slot: int
    pixels: np.ndarray


class Video(AbstractContextManager):
    """A video file, open for reading from its start; a context manager.

    Parameters
    ----------
    waiting : called ten times a second while a frame is awaited; an exception from it ends the decoding at once.

    Attributes
    ----------
    fps : frames per second. frame_count : from the file, 0 where it has none.

    Raises ``LikenessError`` with code "no_photo" when the file is missing, not a video, or exceeds the limits, and
    ``RuntimeError`` when the decoding process does not start.
    """

    def __init__(
        self, path: Path, waiting: Callable[[], None] = lambda: None, limits: VideoLimits | None = None
    ) -> None:
        self._path, self._waiting, self._limits = Path(path), waiting, limits or VideoLimits()
        if not os.path.isfile(path):  # unlike Path.is_file, it accepts any path
            raise LikenessError("no_photo", f"There is no file {path}.", "Check the path.")
        if os.path.getsize(path) == 0:
            raise LikenessError("no_photo", f"The file {path} is empty.", "Copy or export it again.")
        self._process = LimitedProcess("backend.expression.video_process")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="video-reader")
        request = {"path": os.path.abspath(path), "limits": asdict(self._limits)}
        try:
            answer = self._awaited(self._thread.submit(self._ask, request))
        except BaseException:
            self.close()
            raise
        self.fps: float = answer["fps"]
        self.frame_count: int = answer["frame_count"]

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; a frame being read is dropped."""
        self._process.kill()
        self._thread.shutdown()
        self._process.close()

    def frames(self, every: int = 1) -> Iterator[VideoFrame]:
        """Every ``every``-th frame, in its original slot; call once. The next one is decoded while the caller works.

        Raises ``LikenessError`` with code "no_photo" when not one frame can be decoded.
        """
        coming = self._thread.submit(self._first_frame, every)
        while (frame := self._awaited(coming)) is not None:
            coming = self._thread.submit(self._frame)
            yield frame

    def _first_frame(self, every: int) -> VideoFrame | None:
        return self._frame_of(self._ask({"every": every}))

    def _frame(self) -> VideoFrame | None:
        return self._frame_of(self._process.answer())

    def _frame_of(self, answer: dict[str, Any]) -> VideoFrame | None:
        """The frame following an answer; None after the last."""
        if "error" in answer:
            raise self._refused(answer["error"], answer["advice"])
        if not answer:
            return None
        height, width = answer["shape"]
        pixels = np.empty((height, width, 3), np.uint8)
        self._process.read_into(memoryview(pixels).cast("B"))
        return VideoFrame(answer["slot"], pixels)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._process.send(request)
        answer = self._process.answer()
        if "error" in answer:
            raise self._refused(answer["error"], answer["advice"])
        return answer

    def _awaited(self, future: Future[Result]) -> Result:
        """The reading thread's result; raises ``LikenessError``, and exceptions of ``waiting``."""
        try:
            # Count turns instead of clock time, so that a run stopped with Ctrl-Z can continue.
            for _ in self._process.turns(round(self._limits.wall_seconds / TICK)):
                self._waiting()
                if wait((future,), TICK).done:
                    break
            else:
                self._process.kill(too_slow=True)
        except BaseException:  # else the thread would wait for a frame that is not needed
            self._process.kill()
            raise
        try:
            return future.result()
        except (EOFError, OSError) as error:
            raise self._refused(*_ENDS[self._process.end()]) from error

    def _refused(self, sentence: str, advice: str) -> LikenessError:
        return LikenessError("no_photo", sentence.replace(PATH_MARK, str(self._path)), advice)


class PhotoSequence(AbstractContextManager):
    """Frames in the given order at ``fps``; files that cannot be read are dropped frames.

    ``waiting`` as in ``read_photos``.
    """

    def __init__(self, paths: Sequence[Path], fps: float, waiting: Callable[[], None] = lambda: None) -> None:
        self._paths = tuple(paths)
        self._waiting = waiting
        self.fps = fps
        self.frame_count = len(self._paths)

    def __exit__(self, *_: object) -> None:
        """Do nothing, because no file stays open."""

    def frames(self, every: int = 1) -> Iterator[VideoFrame]:
        """As ``Video.frames``."""
        read_any = False
        sources = [PhotoSource.from_path(path) for path in self._paths[::every]]
        for number, photo in enumerate(read_photos(sources, waiting=self._waiting)):
            if isinstance(photo, PhotoUnreadableError):
                continue
            read_any = True
            yield VideoFrame(number * every, photo.pixels)
        if not read_any:
            raise LikenessError("no_photo", "None of the pictures can be read.", "Export them again as JPEG or PNG.")
