"""Video files that cost far more than they weigh, name other files, or are cut off: each ends soon, in a sentence."""

import os
import signal
import struct
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from ended_processes import assert_both_end, runs

from backend.errors import Cancelled, LikenessError
from backend.expression.video import Video
from backend.expression.video_process import VideoLimits

posix = pytest.mark.skipif(os.name != "posix", reason="signals and /dev/fd are POSIX's")


def blank_gif(width: int, height: int, frames: int = 1, hundredths: int = 3) -> bytes:
    """23 bytes a frame, whatever its size; FFmpeg fills each."""
    size = struct.pack("<HH", width, height)
    frame = b"\x21\xf9\x04\0" + struct.pack("<H", hundredths) + b"\0\0," + bytes(4) + size + b"\0\x02\x02\x4c\x01\0"
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + frame * frames + b";"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames of 160 x 120 pixels, each of its own grey."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (160, 120))
    for number in range(20):
        writer.write(np.full((120, 160, 3), 10 * number, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """69 KB that are minutes of work: 3,000 frames of 40 megapixels."""
    path = tmp_path_factory.mktemp("endless") / "endless.gif"
    path.write_bytes(blank_gif(6300, 6300, 3000))
    return path


def refusal(path: Path, limits: VideoLimits | None = None) -> str:
    with pytest.raises(LikenessError) as caught, Video(path, limits=limits) as video:
        for _ in video.frames():
            pass
    assert caught.value.code == "no_photo" and caught.value.advice
    assert "\0" not in caught.value.sentence
    return caught.value.sentence


def test_frames_come_in_their_order(film: Path) -> None:
    with Video(film) as video:
        assert (video.fps, video.frame_count) == (25.0, 20)
        frames = list(video.frames())
    assert [frame.slot for frame in frames] == list(range(20))
    assert all(abs(frame.pixels.mean() - 10 * frame.slot) < 3 for frame in frames)
    assert frames[0].pixels.shape == (120, 160, 3) and frames[0].pixels.dtype == np.uint8
    with Video(film) as video:
        assert [frame.slot for frame in video.frames(6)] == [0, 6, 12, 18]


@pytest.mark.parametrize(("size", "word"), [((12_000, 9_000), "more than 8K"), ((65_000, 65_000), "(8K|picture|read)")])
def test_frames_of_a_huge_size_are_refused(size: tuple[int, int], word: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.gif"
    path.write_bytes(blank_gif(*size, frames=3))
    start = time.monotonic()
    with pytest.raises(LikenessError, match=word), Video(path) as video:
        list(video.frames())
    assert time.monotonic() - start < 10


def test_a_file_that_says_it_has_a_million_frames_is_refused(film: Path, tmp_path: Path) -> None:
    data = bytearray(film.read_bytes())
    struct.pack_into("<I", data, data.index(b"avih") + 24, 1_000_000)
    struct.pack_into("<I", data, data.index(b"strh") + 40, 1_000_000)
    path = tmp_path / "million.avi"
    path.write_bytes(data)
    assert "1000000 frames" in refusal(path)


def test_gaps_do_not_make_a_long_take_of_a_small_file(tmp_path: Path) -> None:
    """Each gap is short enough to be believed, together they are half a million frames that never were."""
    path = tmp_path / "gaps.gif"
    path.write_bytes(blank_gif(16, 16, 1800, hundredths=990))
    assert "the limit is 500000" in refusal(path)


def test_a_truncated_file_gives_the_frames_it_has(film: Path, tmp_path: Path) -> None:
    data, path = film.read_bytes(), tmp_path / "cut.avi"
    path.write_bytes(data[: data.index(b"idx1") - 2000])
    with Video(path) as video:
        assert 5 < len(list(video.frames())) < 20
    path.write_bytes(data[:200])
    assert "not a video" in refusal(path)


@posix
def test_a_frame_that_takes_too_long_is_given_up(endless: Path) -> None:
    """A limit that lies a second back stands for a frame that takes a second more than it may."""
    limits = VideoLimits(cpu_seconds=-1.0, cpu_seconds_per_megapixel=0.0)
    assert "far longer" in refusal(endless, limits)


@posix
def test_a_process_that_stands_still_is_given_up(film: Path) -> None:
    limits = VideoLimits(wall_factor=0.2)
    assert limits.wall_seconds == 2.0
    with Video(film) as video:  # a busy machine may take 2 s to open it
        video._limits = limits
        os.kill(video._process.pid, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(LikenessError, match="busy" if sys.platform == "linux" else "far longer"):
            list(video.frames())
        assert 1.9 < time.monotonic() - start < 10


@pytest.mark.skipif(sys.platform != "linux", reason="only there the processor time of another process is read")
def test_a_busy_computer_is_not_blamed_on_the_film(film: Path) -> None:
    """Far too little clock time, as where other programs take it all: the film is read while it gets processor time."""
    with Video(film, limits=VideoLimits(wall_factor=0.1)) as video:
        assert len(list(video.frames())) > 5


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_memory_is_limited(endless: Path) -> None:
    assert "memory" in refusal(endless, VideoLimits(most_bytes=220 * 2**20))


@posix
@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile other.avi\n"],
    ids=["HLS", "concat"],
)
@pytest.mark.parametrize("tag", [b"", b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)], ids=["bare", "after a tag"])
def test_a_list_of_other_films_is_no_film(text: str, tag: bytes, film: Path, tmp_path: Path) -> None:
    """A client's few bytes would have the server read any film of its disk by its path."""
    other = tmp_path / "other.avi"
    other.write_bytes(film.read_bytes())
    path = tmp_path / "list.mp4"
    path.write_bytes(tag + text.format(other).encode())
    assert "not a video" in refusal(path)


@posix
@pytest.mark.parametrize("name", [b"%02d.avi", b"\xff.avi", "影 像\n.avi".encode()])
def test_any_name_is_one_file(name: bytes, film: Path, tmp_path: Path) -> None:
    (tmp_path / "00.avi").write_bytes(b"another")
    path = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
    path.write_bytes(film.read_bytes())
    with Video(path) as video:
        assert len(list(video.frames())) == 20


@posix
def test_cancelling_ends_a_video_at_once(film: Path) -> None:
    """A process that stands still is what waits longest for a frame."""
    wanted: list[float] = []

    def cancel() -> None:
        if wanted and time.monotonic() > wanted[0]:
            raise Cancelled

    with pytest.raises(Cancelled), Video(film, cancel) as video:
        os.kill(video._process.pid, signal.SIGSTOP)
        wanted.append(time.monotonic() + 0.5)
        list(video.frames())
    assert 0 < time.monotonic() - wanted[0] < 2
    assert not runs(video._process.pid)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signals_end_a_video_and_its_process(number: signal.Signals, endless: Path) -> None:
    code = (
        "import sys; from backend.expression.video import Video; video = Video(sys.argv[1]);"
        "print(video._process.pid, flush=True); [None for _ in video.frames()]"
    )
    assert_both_end(code, endless, number)
