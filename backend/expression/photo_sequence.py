"""Photo files that are the frames of one take, read one at a time, as a ``Video`` is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from backend.errors import LikenessError
from backend.expression.video import VideoFrame
from backend.photos.read import PhotoSource, PhotoUnreadableError, read_photo


class PhotoSequence:
    """Frames in the given order at ``fps``; files that cannot be read are dropped frames."""

    def __init__(self, paths: Sequence[Path], fps: float) -> None:
        self._paths = tuple(paths)
        self.fps = fps
        self.frame_count = len(self._paths)

    def __enter__(self) -> PhotoSequence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def frames(self, every: int = 1) -> Iterator[VideoFrame]:
        """As ``Video.frames``."""
        read_any = False
        for slot in range(0, len(self._paths), every):
            try:
                pixels = read_photo(PhotoSource.from_path(self._paths[slot])).pixels
            except PhotoUnreadableError:
                continue
            read_any = True
            yield VideoFrame(slot, pixels)
        if not read_any:
            raise LikenessError("no_photo", "None of the pictures can be read.", "Export them again as JPEG or PNG.")
