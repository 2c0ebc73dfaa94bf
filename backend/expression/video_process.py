"""The process that decodes a video, started by ``video`` only, so that an endless file can be killed; and its limits.

The first request (``limited_child``) has ``path`` and ``limits``; its answer has ``fps`` and ``frame_count``. The
second has ``every`` (send each n-th frame); its answers are the frames: ``slot``, the place on the even grid of
``fps``, and ``shape`` (height, width) of the sRGB bytes that follow, and an empty one after the last. Any answer may be
an error instead, with ``error`` and ``advice``, two sentences, and is then the last; ``PATH_MARK`` stands for the path
in them.
"""

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import quantiles
from typing import Any

from backend.system.processes import ParentLine, limit_memory, limit_time

LONGEST_GAP_SECONDS = 10.0
"""A larger step between two frames' times counts as a broken time stamp."""
MOST_FRAMES = 500_000
"""Frames of a take, from its first to its last: more than two hours at 60 fps, 0.5 GB of memory."""


@dataclass(frozen=True)
class VideoLimits:
    """Limits on one video; the limit on its length is in ``take_limits``.

    Attributes
    ----------
    max_pixels : largest width x height of a frame; 8K has 33 million. The decoder buffers several frames.
    open_cpu_seconds : processor time until the file is open, and until its first frame. 8K takes 1.
    cpu_seconds, cpu_seconds_per_megapixel : processor time from one frame to the next: a constant, and a part per
        megapixel. Ordinary films take 0.007 s a megapixel, all threads together.
    wall_factor : clock seconds per processor second, for a busy machine or a slow disk.
    most_bytes : memory of the decoding process, where the system enforces it (Linux). 8K takes 1.1 GB.
    """

    max_pixels: int = 40_000_000
    open_cpu_seconds: float = 10.0
    cpu_seconds: float = 3.0
    cpu_seconds_per_megapixel: float = 0.1
    wall_factor: float = 6.0
    most_bytes: int = 2 * 2**30

    def seconds_for(self, pixels: int) -> float:
        """Limit on the processor seconds for a frame with so many pixels."""
        return self.cpu_seconds + self.cpu_seconds_per_megapixel * pixels / 1e6

    @property
    def wall_seconds(self) -> float:
        """Longest wait for the next answer, in seconds."""
        return self.wall_factor * max(self.open_cpu_seconds, self.seconds_for(self.max_pixels))


PATH_MARK = "\0"
"""Placeholder for the file's path in a sentence; no path contains it."""
USUAL_FPS, MOST_FPS = 30.0, 1000.0
TIMED_PIXELS, LEAST_TIMED = 250_000_000, 12
"""Pixels of the frames whose times are read to find the rate, and the least number of frames: 120 of full HD."""
EVEN = 0.25
"""Relative, 0.1 to 0.4: frames whose distances differ by less from the film's mean come at an even rate."""
MOST_THREADS = 4
"""Threads of the decoder. Each buffers pictures: 8K takes 1.1 GB with two, 2.9 GB with 16."""
LISTS = (b"#EXTM3U", b"ffconcat", b"c=IN IP", b"dash:profile:", b"<CompositionPlaylist")
"""Markers of files that list other files or addresses (HLS, concat, SDP, DASH, IMF). They are refused, because FFmpeg
would open these without knowing who made the list. Films contain none of them."""
LIST_BYTES = 2**20
"""FFmpeg probes so many bytes for a file's format. The first may be a tag that it skips."""
NO_MEMORY = f"There is not enough memory to open {PATH_MARK}."
_NOT_A_VIDEO = (
    f"{PATH_MARK} is not a video that can be read.",
    "Give a video such as MP4, MOV, WebM or AVI, or convert it to H.264 MP4.",
)


class _RefusedError(Exception):
    """Refusal of a file, with a sentence and an advice."""


def main() -> None:
    """Open one video, then send its frames until the parent is gone."""
    line = ParentLine()
    header, _ = line.request()
    limits = VideoLimits(**header["limits"])
    try:
        limit_memory(limits.most_bytes)
        limit_time(limits.open_cpu_seconds)
        capture = _open(header["path"])
        count = _frame_count(capture, limits)
        fps = _fps(capture)
        capture.release()  # a film is read once from its start, and a decoder of 8K takes half of the memory
        capture = _open(header["path"])
        to_srgb = _to_srgb(header["path"])
        line.answer({"fps": fps, "frame_count": count})
        header, _ = line.request()
        _send_frames(line, capture, fps, header["every"], limits, to_srgb)
    except _RefusedError as refused:
        sentence, advice = refused.args
        line.answer({"error": sentence, "advice": advice})
    except Exception as error:  # OpenCV has one exception class for all errors
        if not isinstance(error, MemoryError) and "nsufficient memory" not in str(error):
            raise
        line.answer({"error": NO_MEMORY, "advice": "Convert it to 4K or less."})
    while True:
        line.request()


def _open(path: str) -> Any:
    """The ``VideoCapture`` of a file; raises ``_RefusedError``."""
    import cv2

    with open(path, "rb") as file:
        start = file.read(LIST_BYTES)
    if any(word in start for word in LISTS):
        raise _RefusedError(*_NOT_A_VIDEO)
    if "%" in path or not _is_utf8(path):  # FFmpeg reads % as a numbered sequence, OpenCV refuses other encodings
        path = f"/dev/fd/{os.open(path, os.O_RDONLY)}"
    threads = [cv2.CAP_PROP_N_THREADS, min(MOST_THREADS, os.cpu_count() or 1)]
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, threads)
    if not capture.isOpened():
        raise _RefusedError(*_NOT_A_VIDEO)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # pictures as players show them: phones film on their side
    return capture


def _to_srgb(path: str) -> Callable[[Any], Any]:
    """What turns the pictures of the film, (H, W, 3) uint8, into sRGB: phones film in HLG, televisions in PQ. FFmpeg 8,
    in OpenCV's wheels for Linux only, has libswscale 9, which does it itself."""
    import cv2
    from PIL import Image

    from backend.photos.decoding import coded_to_srgb, film_coding

    coding = film_coding(path)
    scaler = re.search(r"swscale: +YES \((\d+)", cv2.getBuildInformation())
    if coding is None or (scaler and int(scaler[1]) >= 9):
        return lambda colours: colours
    return lambda colours: bytearray(coded_to_srgb(Image.fromarray(colours), coding).tobytes())


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fps(capture: Any) -> float:
    """Frames per second of the even rate at which the film is read; reads the first frames."""
    import cv2

    mean = float(capture.get(cv2.CAP_PROP_FPS))
    mean = mean if 1.0 <= mean <= MOST_FPS else USUAL_FPS
    pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    timed = max(round(TIMED_PIXELS / max(pixels, TIMED_PIXELS / 120)), LEAST_TIMED)
    times = [float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0 for _ in range(timed) if capture.grab()]
    return even_rate(mean, times)


def even_rate(mean: float, times: Sequence[float]) -> float:
    """The rate at which to read a film of ``mean`` frames a second whose first frames have these times in seconds.

    ``mean`` where the frames come evenly, or their times are unknown. Else (a phone in the dark, a screen recording)
    the rate of the densest quarter, at least the mean: then nearly every frame has a slot near its time.
    """
    steps = [after - before for before, after in pairwise(times) if after > before]
    if len(steps) < max(LEAST_TIMED // 2, len(times) // 2):
        return mean
    densest, _, sparsest = quantiles(steps, n=4)
    if (1.0 - EVEN) / mean < densest and sparsest < (1.0 + EVEN) / mean:
        return mean
    return min(max(mean, 1.0 / densest), MOST_FPS)


def _frame_count(capture: Any, limits: VideoLimits) -> int:
    """Frame count from the file, 0 where it has none; raises ``_RefusedError`` for a film that is too large or long."""
    import cv2

    size = [float(capture.get(prop)) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
    _check_size(*size, limits)
    count = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if MOST_FRAMES < count < 1e9:
        raise _too_long(f"{count:.0f}")
    return int(count) if 0 < count <= MOST_FRAMES else 0


def _check_size(width: float, height: float, limits: VideoLimits) -> None:
    if width * height > limits.max_pixels:
        sentence = f"The pictures of {PATH_MARK} have {width:.0f} x {height:.0f} pixels, more than 8K."
        raise _RefusedError(sentence, "Convert it to 4K or less.")


def _too_long(count: str) -> _RefusedError:
    sentence = f"{PATH_MARK} has {count} frames from its first to its last; the limit is {MOST_FRAMES}."
    return _RefusedError(sentence, "Cut it into parts.")


def _send_frames(
    line: ParentLine, capture: Any, fps: float, every: int, limits: VideoLimits, to_srgb: Callable
) -> None:
    import cv2

    slot, number, sent = -1, 0, 0
    last = -math.inf
    start = pixels = colours = None
    limit_time(limits.open_cpu_seconds)
    while capture.grab():
        seconds = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
        start = seconds if start is None else start
        before, slot = slot, next_slot(slot, seconds - start, fps, seconds > last)
        last = seconds
        if slot >= MOST_FRAMES:
            raise _too_long("more")
        number += slot > before
        if slot > before and (number - 1) % every == 0:
            decoded, pixels = capture.retrieve(pixels)
            if decoded and pixels is not None and pixels.size:
                height, width = pixels.shape[:2]
                _check_size(width, height, limits)
                colours = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, colours)
                line.answer({"slot": slot, "shape": (height, width)})
                line.outgoing.write(memoryview(to_srgb(colours)).cast("B"))
                line.outgoing.flush()
                sent += 1
        limit_time(limits.seconds_for(0 if pixels is None else pixels.shape[0] * pixels.shape[1]))
    if not sent:
        why = f"No picture can be read from {PATH_MARK}; it is damaged, or its pictures are too large for the memory."
        raise _RefusedError(why, "Export it again, in 4K or less.")
    line.answer({})


def next_slot(last: int, seconds: float, fps: float, rising: bool = False) -> int:
    """The slot of a frame ``seconds`` after the first; ``last`` again for one of a denser part of the film, whose time
    is ``rising`` but within the slot of the frame before. The next slot for time stamps that go back or leap."""
    slot = round(seconds * fps) if abs(seconds) < MOST_FRAMES else 0
    if rising and slot == last:
        return last
    if slot <= last or slot - last > LONGEST_GAP_SECONDS * fps:
        return last + 1
    return slot
