"""Photo files as the frames of one take, read one at a time, with the interface of ``Video``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from backend.errors import LikenessError
from backend.expression.video import VideoFrame
from backend.photos.reading.read import read_photos
from backend.photos.reading.source import PhotoSource, PhotoUnreadableError


class PhotoSequence:
    """Frames in the given order at ``fps``; files that cannot be read are dropped frames.

    ``waiting`` as in ``read_photos``.
    """

    def __init__(self, paths: Sequence[Path], fps: float, waiting: Callable[[], None] = lambda: None) -> None:
        self._paths = tuple(paths)
        self._waiting = waiting
        self.fps = fps
        self.frame_count = len(self._paths)

    def __enter__(self) -> PhotoSequence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
