"""Photo files that cost far more than they weigh, and paths that are no files: each ends soon, in a sentence."""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from ended_processes import assert_both_end
from machine_speed import times_slower
from made_photos import encoded
from PIL import Image

from backend.errors import Cancelled
from backend.photos import reading as decoders
from backend.photos.collection import PhotoSource, PhotoUnreadableError, ReadLimits
from backend.photos.reading import read_photo, read_photos

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG, black, whose last scan comes so often."""
    data = encoded(Image.new("RGB", (side, side)), "JPEG", progressive=True, quality=10)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + b"\xff\xd9"


def blank_gif(width: int, height: int) -> bytes:
    """35 bytes."""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"


def blank_tiff(width: int, height: int) -> bytes:
    """32-bit floats, deflated, half a kilobyte that says so many pixels."""
    strip = zlib.compress(bytes(400_000), 9)
    rows, size = height, len(strip)
    tags = [(256, 4, width), (257, 4, height), (258, 3, 32), (259, 3, 8), (262, 3, 1), (273, 4, 200), (277, 3, 1)]
    tags += [(278, 4, rows), (279, 4, size), (339, 3, 3)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + strip


def refusal(data: bytes, limits: ReadLimits | None = None) -> str:
    with pytest.raises(PhotoUnreadableError) as caught:
        read_photo(PhotoSource("x", data), limits)
    return str(caught.value)


ENDLESS = ReadLimits(max_scanned_pixels=10**15, cpu_seconds=30, most_cpu_seconds=30)


@pytest.fixture(scope="module")
def endless() -> PhotoSource:
    """Minutes of work for a decoder that is let."""
    return PhotoSource("endless.jpg", many_scans(5000, 6000))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (many_scans(2000, 1000), "passes"),
        (blank_gif(12_000, 9_000), "too few"),
        (encoded(Image.new("RGB", (9000, 9000)), "WEBP", lossless=True, method=0), "limit"),
        (blank_tiff(10_900, 10_900), "too few"),
        (encoded(Image.new("P", (9000, 9000)), "PNG"), "too few"),
    ],
    ids=["JPEG", "GIF", "WebP", "TIFF", "palette"],
)
def test_bombs_are_refused_from_their_headers(data: bytes, word: str) -> None:
    start = time.process_time()
    assert word in refusal(data)
    assert time.process_time() - start < times_slower()


def test_many_small_bombs_take_no_time() -> None:
    sources = [PhotoSource(f"{number}.gif", blank_gif(11_000, 10_000)) for number in range(24)]
    start = time.monotonic()
    assert all(isinstance(photo, PhotoUnreadableError) for photo in read_photos(sources))
    assert time.monotonic() - start < 5


@posix
def test_a_photo_that_takes_too_long_is_given_up(endless: PhotoSource, synthetic_picture: np.ndarray) -> None:
    limits = ReadLimits(max_scanned_pixels=10**15, cpu_seconds=0.5, most_cpu_seconds=0.5)
    assert refusal(endless.data, limits) == decoders.TOO_SLOW
    assert (read_photo(PhotoSource("x", encoded(synthetic_picture))).pixels == synthetic_picture).all()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
@pytest.mark.parametrize(("mode", "kind"), [("P", "GIF"), ("F", "TIFF"), ("RGB", "PNG")])
def test_memory_is_limited_in_every_mode(mode: str, kind: str) -> None:
    data = encoded(
        Image.new(mode, (9000, 9000 if mode == "P" else 4000)),
        kind,
        **({"compression": "tiff_lzw"} if kind == "TIFF" else {}),
    )
    decoders.idle.close()  # a decoder that has read other formats has more of their libraries in its memory
    assert "not enough memory" in refusal(data, ReadLimits(most_bytes=120 * 2**20, max_pixels_per_byte=10**6))


@pytest.mark.parametrize("mode", ["P", "PA", "1", "L", "LA", "I;16", "I", "F", "RGB", "RGBA", "CMYK"])
def test_every_mode_is_reduced(mode: str, synthetic_picture: np.ndarray) -> None:
    """16-bit grey above the limit was called damaged, and palettes were not reduced."""
    picture = Image.fromarray(synthetic_picture)
    if mode in ("I;16", "I", "F"):
        grey = np.asarray(picture.convert("L"))
        image = Image.fromarray((grey.astype(np.uint16) * 257).astype({"I;16": "u2", "I": "i4", "F": "f4"}[mode]))
    else:
        image = picture.convert("RGBA").convert("LA").convert(mode) if mode == "PA" else picture.convert(mode)
    kind = {"CMYK": "JPEG", "I": "TIFF", "F": "TIFF", "PA": "TIFF"}.get(mode, "PNG")
    photo = read_photo(PhotoSource("x", encoded(image, kind)), ReadLimits(kept_pixels=30_000))
    assert photo.source_size == (320, 240)
    assert photo.pixels.shape == (120, 160, 3)
    wanted = np.asarray(picture.convert("L" if "I" in mode or mode in ("1", "L", "LA", "PA", "F") else "RGB").reduce(2))
    assert abs(photo.pixels.mean() - wanted.mean()) < 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_above_30_megapixels_is_whole(kind: str) -> None:
    """It was called damaged."""
    rows, columns = np.mgrid[:5200, :6000].astype(np.uint16)
    grey = 9 * rows + 3 * columns
    settings = {"compress_level": 1} if kind == "PNG" else {}
    photo = read_photo(PhotoSource("x", encoded(Image.fromarray(grey), kind, **settings)))
    assert photo.source_size == (6000, 5200) and photo.pixels.shape == (2600, 3000, 3)
    assert (photo.pixels == photo.pixels[..., :1]).all()
    assert np.abs(photo.pixels[..., 0] - grey[::2, ::2] / 257).max() < 2


def test_orientation_is_undone_where_a_palette_is_reduced(synthetic_picture: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.ascontiguousarray(np.rot90(synthetic_picture, 1))).quantize(256)
    photo = read_photo(PhotoSource("x", encoded(image, "PNG", exif=exif)), ReadLimits(kept_pixels=30_000))
    assert photo.pixels.shape == (120, 160, 3)
    assert np.abs(photo.pixels.astype(int) - np.asarray(Image.fromarray(synthetic_picture).reduce(2))).mean() < 14


@posix
def test_cancelling_ends_a_photo_at_once(endless: PhotoSource) -> None:
    started = time.monotonic()

    def cancel() -> None:
        if time.monotonic() - started > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(read_photos([endless, endless], ENDLESS, cancel))
    assert time.monotonic() - started < 2.5


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signals_end_a_photo_and_its_process(number: signal.Signals, endless: PhotoSource, tmp_path: Path) -> None:
    photo = tmp_path / "endless.jpg"
    photo.write_bytes(endless.data)
    code = (
        "import sys; from backend.photos import reading; reading.start_reading(1);"
        "print(reading.idle._decoders[0]._process.pid, flush=True);"
        "limits = reading.ReadLimits(max_scanned_pixels=10**15, cpu_seconds=30, most_cpu_seconds=30);"
        "reading.read_photo(reading.PhotoSource.from_path(sys.argv[1]), limits)"
    )
    assert_both_end(code, photo, number)


def test_a_killed_decoder_costs_one_photo(synthetic_picture: np.ndarray) -> None:
    good = PhotoSource("x", encoded(synthetic_picture))
    read_photo(good)
    for decoder in decoders.idle._decoders:
        decoder._process.kill()
        decoder._process.wait()
    assert (read_photo(good).pixels == synthetic_picture).all()


@posix
def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    paths = ["/dev/zero", tmp_path / "pipe.jpg", tmp_path / "loop.jpg", tmp_path / ("x" * 5000), "a/" * 2500]
    for path in paths:
        start = time.monotonic()
        with pytest.raises(PhotoUnreadableError, match=r"(device or a pipe|cannot be opened|no such file)"):
            read_photo(PhotoSource.from_path(path))
        assert time.monotonic() - start < 2
