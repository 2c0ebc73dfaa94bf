"""Films as phones write them: lying on their side with a word about it, and with frames at uneven times."""

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.expression.video import Video
from backend.expression.video_process import even_rate, next_slot

SIZE = (96, 64)
MATRICES = {  # of a track's header, 16.16 fixed point: clockwise degrees at which players show it
    90: (0, 65536, 0, -65536, 0, 0, SIZE[1] << 16, 0, 1 << 30),
    180: (-65536, 0, 0, 0, -65536, 0, SIZE[0] << 16, SIZE[1] << 16, 1 << 30),
    270: (0, -65536, 0, 65536, 0, 0, 0, SIZE[0] << 16, 1 << 30),
}


def film(path: Path, frames: int) -> Path:
    """A film of 30 frames a second with the corner at the top left bright; each frame a little brighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, SIZE)
    for number in range(frames):
        picture = np.full((SIZE[1], SIZE[0], 3), 2 * number, np.uint8)
        picture[:20, :20] = 250
        writer.write(picture)
    writer.release()
    return path


def turned(path: Path, degrees: int) -> None:
    """Let the header say that the film is to be shown turned."""
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd")
    place += 8 + (20 if data[place + 4] == 0 else 32) + 16
    data[place : place + 36] = struct.pack(">9i", *MATRICES[degrees])
    path.write_bytes(data)


def coded(path: Path, transfer: int) -> None:
    """Let the film's track say that its colours are BT.2020's with these transfer characteristics (H.273)."""

    def rebuilt(part: bytes) -> bytes:
        made, at = b"", 0
        while at + 8 <= len(part):
            size, kind = struct.unpack(">I4s", part[at : at + 8])
            body = part[at + 8 : at + size]
            if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
                body = rebuilt(body)
            elif kind == b"stsd":
                entry = body[12:] + struct.pack(">I4s4sHHHB", 19, b"colr", b"nclx", 9, transfer, 9, 0)
                body = body[:8] + struct.pack(">I", len(entry) + 4) + entry
            made += struct.pack(">I4s", len(body) + 8, kind) + body
            at += size
        return made

    path.write_bytes(rebuilt(path.read_bytes()))


def timed(path: Path, seconds: Sequence[float]) -> None:
    """Let each frame of an MP4 last as long as it says here."""

    def rebuilt(part: bytes, scale: int) -> bytes:
        made, at = b"", 0
        while at + 8 <= len(part):
            size, kind = struct.unpack(">I4s", part[at : at + 8])
            body = part[at + 8 : at + size]
            if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
                body = rebuilt(body, scale)
            elif kind == b"stts":
                rows = b"".join(struct.pack(">II", 1, round(one * scale)) for one in seconds)
                body = struct.pack(">II", 0, len(seconds)) + rows
            elif kind == b"edts":  # it would cut the film at its old length
                kind = b"free"
            made += struct.pack(">I4s", len(body) + 8, kind) + body
            at += size
        return made

    data = path.read_bytes()
    media = data.find(b"mdhd")
    path.write_bytes(rebuilt(data, struct.unpack(">I", data[media + 16 : media + 20])[0]))


@pytest.mark.parametrize("degrees", MATRICES)
def test_a_film_is_read_as_players_show_it(degrees: int, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 6)
    turned(path, degrees)
    with Video(path) as video:
        pixels = next(iter(video.frames())).pixels
    width, height = SIZE if degrees == 180 else SIZE[::-1]
    assert pixels.shape == (height, width, 3)
    bright = np.argwhere(pixels[..., 0] > 150).mean(axis=0) / pixels.shape[:2]
    assert np.round(bright).astype(int).tolist() == {90: [0, 1], 180: [1, 1], 270: [1, 0]}[degrees]


@pytest.mark.parametrize(("transfer", "level", "light"), [(18, 198, 1.0), (16, 113, 0.243), (1, 148, None)])
def test_a_film_in_hdr_has_the_colours_of_its_light(
    transfer: int, level: int, light: float | None, tmp_path: Path
) -> None:
    """PQ codes a quarter of white (203 cd/m2) as 0.44, HLG white as 0.75; film of television's curve is left alone."""
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, SIZE)
    for _ in range(6):
        writer.write(np.full((SIZE[1], SIZE[0], 3), level, np.uint8))
    writer.release()
    coded(path, transfer)
    with Video(path) as video:
        seen = float(next(iter(video.frames())).pixels.mean())
    expected = level if light is None else 255.0 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert seen == pytest.approx(expected, abs=12.0)  # the codec moves levels by up to 2


@pytest.mark.parametrize(
    ("name", "seconds", "fps"),
    [
        ("even", [1 / 30] * 60, 30.0),
        ("milliseconds", [0.033, 0.034, 0.033] * 20, 30.0),
        ("darker after a second", [1 / 30] * 30 + [1 / 15] * 30, 30.0),
        ("brighter after a second", [1 / 30] * 30 + [1 / 60] * 60, 60.0),
        ("a screen that stands still", [1 / 30] * 40 + [0.5] * 6 + [1 / 30] * 20, 30.0),
    ],
)
def test_frames_keep_their_times(name: str, seconds: list[float], fps: float, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", len(seconds))
    timed(path, seconds)
    with Video(path) as video:
        assert video.fps == pytest.approx(fps, rel=0.01)
        slots = np.array([frame.slot for frame in video.frames()])
    assert len(slots) == len(seconds)
    true = np.r_[0.0, np.cumsum(seconds[:-1])]
    assert np.abs(slots / video.fps - true).max() < 0.51 / video.fps


def test_denser_frames_than_the_rate_are_left_out_and_delay_nothing() -> None:
    slot, slots = -1, []
    times = [*np.arange(30) / 30, *(1 + np.arange(60) / 120), *(1.5 + np.arange(10) / 30)]
    for number, seconds in enumerate(times):
        slot = next_slot(slot, seconds, 30.0, number == 0 or seconds > times[number - 1])
        slots.append(slot)
    assert np.abs(np.array(slots) / 30 - times).max() < 0.51 / 30
    assert len(set(slots)) == 55


@pytest.mark.parametrize("times", [[], [0.0] * 50, [5.0 - k / 30 for k in range(50)], [k / 30 for k in range(4)]])
def test_unknown_times_leave_the_mean_rate(times: list[float]) -> None:
    assert even_rate(24.0, times) == 24.0
