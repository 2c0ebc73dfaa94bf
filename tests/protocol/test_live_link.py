"""Takes of Live Link Face as programs write them: the backend and the extension read the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from backend.expression.clip import FrameMark, read_live_link
from blender_addon.protocol.clips import read_clip
from protocol.live_link import NotATakeError, read_lines, text_of
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, arkit_name

JAW, BLINK = ARKIT_INDEX["jawOpen"], ARKIT_INDEX["eyeBlinkLeft"]


@dataclass
class Take:
    """A take as text; a blink in the rows 7 and 8, and the jaw rises from row to row."""

    times: list[str]
    names: list[str] = field(default_factory=lambda: [name[0].upper() + name[1:] for name in ARKIT_NAMES])
    separator: str = ","
    scale: float = 1.0
    lost: tuple[int, ...] = ()
    angles: tuple[float, float, float] = (0.2, 0.1, 0.05)
    more: tuple[str, ...] = ()
    ending: str = ""

    def value(self, row: int, name: int) -> float:
        if name == JAW:
            return self.scale * (0.1 + 0.8 * row / max(len(self.times) - 1, 1))
        return self.scale * (float(row in (7, 8)) if name == BLINK else 0.05)

    def text(self) -> str:
        head = ["Timecode", "BlendShapeCount", *self.names, "HeadYaw", "HeadPitch", "HeadRoll", *self.more]
        rows = [head]
        for row, time in enumerate(self.times):
            if row in self.lost:
                rows.append([time, "0"] + [""] * (len(head) - 2))
                continue
            numbers = [*(self.value(row, name) for name in range(52)), *self.angles, *[0.5] * len(self.more)]
            rows.append([time, "61", *(f"{number:.6f}" for number in numbers)])
        lines = [self.separator.join(cells) + self.ending for cells in rows]
        return "\n".join(lines if self.separator == "," else [line.replace(".", ",") for line in lines]) + "\n"


def codes(rows: int, count: int, step: float = 1.0, start: float = 0.0) -> list[str]:
    """Time codes of ``count`` frames a second; each row ``step`` frames after the one before."""
    ticks = start + step * np.arange(rows)
    return [f"10:00:{int(tick // count):02d}:{int(tick % count):02d}.000" for tick in ticks + 1e-6]


def both(text: str, tmp_path: Path) -> tuple[object, object]:
    """The take as the backend and as the extension read it; the two agree."""
    path = tmp_path / "take.csv"
    path.write_bytes(text.encode())
    clip, take = read_live_link(path), read_clip(path)
    columns = [ARKIT_INDEX[name] for name in take.names]
    assert len(clip) == len(take.seconds)
    np.testing.assert_allclose(take.weights, clip.weights[:, columns], atol=1e-6)
    np.testing.assert_allclose(take.seconds, np.arange(len(clip)) / clip.fps, atol=1e-9)
    assert (take.found == (clip.marks == FrameMark.MEASURED)).all()
    assert take.notes == clip.notes
    return clip, take


def assert_is_the_take(clip: object, rows: int, fps: float) -> None:
    """45 rows without a gap: the jaw rises evenly and the eye blinks in rows 7 and 8."""
    assert (len(clip), clip.fps) == (rows, pytest.approx(fps))
    assert not clip.marks.any()
    np.testing.assert_allclose(clip.weights[:, JAW], 0.1 + 0.8 * np.arange(rows) / (rows - 1), atol=1e-5)
    assert np.flatnonzero(clip.weights[:, BLINK] > 0.9).tolist() == [7, 8]


MILLISECONDS = [f"00:00:{k // 30:02d}:{round(1000 * (k % 30) / 30):03d}" for k in range(45)]
RIG_NAMES = [
    name.removesuffix("Left") + "_L" if name.endswith("Left") and name not in ("jawLeft", "mouthLeft")
    else name.removesuffix("Right") + "_R" if name.endswith("Right") and name not in ("jawRight", "mouthRight")
    else name
    for name in ARKIT_NAMES
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rows", "fps"),
    [
        (Take(codes(45, 30)).text(), 45, 30),
        (Take(codes(45, 30), separator=";").text(), 45, 30),
        ("sep=;\n" + Take(codes(45, 30), separator=";").text(), 45, 30),
        (Take(codes(45, 30), separator="\t").text(), 45, 30),
        (Take(codes(45, 30), names=RIG_NAMES).text(), 45, 30),
        (Take(codes(45, 30), names=[name.upper() for name in ARKIT_NAMES]).text(), 45, 30),
        (Take(codes(45, 30), ending=",").text(), 45, 30),
        (Take(codes(45, 30), ending=",").text().replace("\n", "\r\n"), 45, 30),
        (Take([str(k) for k in range(45)]).text(), 45, 30),
        (Take([f"{k}.000" for k in range(100, 145)]).text(), 45, 30),
        (Take([str(round(1000 * k / 60)) for k in range(90)]).text(), 90, 60),
        (Take([f"{k / 24:.5f}" for k in range(45)]).text(), 45, 24),
        (Take([f"10:00:{k / 30:06.3f}" for k in range(45)]).text(), 45, 30),
        (Take(MILLISECONDS).text(), 45, 30),
        (Take([code + ".001" for code in MILLISECONDS]).text(), 45, 30),
        (Take(codes(60, 60, 2)).text(), 60, 30),
        (Take(codes(45, 60, 4)).text(), 45, 15),
        (Take(codes(48, 60, 2.5)).text(), 48, 24),
        (Take(codes(480, 50, 50 / 48)).text(), 480, 48),  # as many rows in every second: none is missing
        (Take([str(round(1000 * k / 61)) for k in range(90)]).text(), 90, 61),  # no camera's rate
        (Take(codes(150, 24, 0.4)).text(), 150, 60),  # the code counts 24 and each stands for two or three rows
        (Take(codes(120, 30, 0.5)).text(), 120, 60),
        (Take(["10:00:00:00.000"] * 45).text(), 45, 60),
        (Take(codes(45, 30), scale=100.0).text(), 45, 30),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)  # fmt: skip
def test_every_spelling_of_a_take_is_the_same_take(text: str, rows: int, fps: float, tmp_path: Path) -> None:
    clip, _ = both(text, tmp_path)
    assert_is_the_take(clip, rows, fps)


def test_rows_without_a_face_are_told_from_rows_that_are_missing(tmp_path: Path) -> None:
    times = codes(45, 30)
    del times[20:22]
    clip, take = both(Take(times, lost=(5, 6)).text(), tmp_path)
    assert np.flatnonzero(clip.marks == FrameMark.NO_FACE).tolist() == [5, 6]
    assert np.flatnonzero(clip.marks == FrameMark.DROPPED).tolist() == [20, 21]
    assert np.flatnonzero(~take.found).tolist() == [5, 6, 20, 21]


def test_a_phone_that_lost_rows_keeps_its_rate(tmp_path: Path) -> None:
    """Real takes skip a number now and then, where the phone was busy; time codes count to 60, rows are 30."""
    ticks = [43.245 + 2 * k for k in range(40) if k not in (8, 9, 23)]
    times = [f"16:48:{39 + int(tick // 60)}:{tick % 60:06.3f}" for tick in ticks]
    clip, _ = both(Take(times).text(), tmp_path)
    assert (len(clip), clip.fps) == (40, 30.0)
    assert np.flatnonzero(clip.marks).tolist() == [8, 9, 23]


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (Take(codes(45, 30), scale=100.0), "percent"),
        (Take(codes(45, 30), more=("Likes", "JawWobble")), "that are not known were not read: Likes, JawWobble"),
        (Take(codes(45, 30), angles=(40.0, -20.0, 5.0)), "degrees"),
        (Take([str(k) for k in range(45)]), "frame numbers"),
        (Take(MILLISECONDS), "a part of a second"),
        (Take(["10:00:00:00.000"] * 45), "stands still"),
    ],
)
def test_what_was_read_in_another_way_is_said(take: Take, said: str, tmp_path: Path) -> None:
    clip, _ = both(take.text(), tmp_path)
    assert any(said in note for note in clip.notes)


def test_an_ordinary_take_is_read_without_a_word(tmp_path: Path) -> None:
    text = Take(codes(45, 30), more=("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw")).text()
    clip, take = both(text, tmp_path)
    assert clip.notes == ()
    w, x, y, z = clip.head_rotations[3]
    turn = take.rotation[3]  # of the head frame, whose axes are the clip's
    forward = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
    np.testing.assert_allclose(turn[:, 2], forward, atol=1e-5)
    assert forward[0] > 0.15 and forward[1] > 0.05  # to the person's left, and up


def test_one_wrong_weight_does_not_make_a_take_percent(tmp_path: Path) -> None:
    lines = Take(codes(45, 30)).text().splitlines()
    cells = lines[10].split(",")
    cells[5] = "40.0"
    lines[10] = ",".join(cells)
    clip, _ = both("\n".join(lines), tmp_path)
    assert clip.weights[:, JAW].max() > 0.8
    assert any("were cut: eyeLookOutLeft" in note for note in clip.notes)


def test_degrees_become_radians(tmp_path: Path) -> None:
    clip, _ = both(Take(codes(45, 30), angles=(40.0, 0.0, 0.0)).text(), tmp_path)
    w, _, y, _ = clip.head_rotations[0]
    assert 2 * np.degrees(np.arctan2(y, w)) == pytest.approx(40.0, abs=1e-3)


def test_the_rate_may_be_given(tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    path.write_text(Take([str(k) for k in range(45)]).text())
    clip = read_live_link(path, 25.0)
    assert clip.fps == 25.0 and len(clip) == 45 and clip.notes == ()
    path.write_text(Take(codes(60, 60, 2)).text())
    clip = read_live_link(path, 24.0)
    assert clip.fps == 24.0 and len(clip) == 60 and "24 were asked for" in clip.notes[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (Take(codes(45, 30), scale=3000.0).text(), "neither 0 to 1 nor percent"),
        (Take(codes(45, 30), angles=(1.7e308, -1.7e308, 0.0)).text(), "neither radians nor degrees"),
        (Take(codes(45, 30), names=["eyeBlink_L", *list(ARKIT_NAMES)[:51]]).text(), "Two of its columns mean"),
        (Take(["noon"] * 45).text(), "not of one kind"),
        (Take(codes(45, 30)).text().replace("0.050000", "0x1p-4", 1), "no number: 0x1p-4"),
        ("Timecode,EyeBlinkLeft\n", "no row"),
        ("", "no columns"),
        ('Timecode,EyeBlinkLeft\n"10:00', "CSV|kind|row"),
    ],
)
def test_what_is_no_take_says_why(text: str, said: str) -> None:
    with pytest.raises(NotATakeError, match=said):
        read_lines(text.splitlines())


def test_text_of_other_encodings() -> None:
    assert text_of("ü".encode("utf-16")) == "ü" and text_of(b"\xef\xbb\xbfa") == "a"
    with pytest.raises(NotATakeError):
        text_of(b"\xff\xd8\xff\xe0")


SPELLINGS = (
    "EyeBlinkLeft=eyeBlinkLeft|eyeBlink_L=eyeBlinkLeft|mouthSmile.R=mouthSmileRight|L_browDown=browDownLeft|"
    "jaw_open=jawOpen|mouth left=mouthLeft|Variant_L=|eyeBlink=|HeadYaw="
)


@pytest.mark.parametrize("pair", SPELLINGS.split("|"))
def test_spellings_of_names(pair: str) -> None:
    spelling, name = pair.split("=")
    assert arkit_name(spelling) == (name or None)


SIMPLE = ("frame_numbers", "milliseconds", "percent", "semicolons", "underscore_names")


@pytest.mark.parametrize(
    ("case", "rows", "lost"),
    [("lost_face_rows", 45, [5, 6]), ("phone_30fps_in_60_timecode", 60, []), *((name, 45, []) for name in SIMPLE)],
)
def test_reported_files(case: str, rows: int, lost: list[int], shared_dir: Path, tmp_path: Path) -> None:
    path = shared_dir / "cases" / f"csv_{case}" / "take.csv"
    if not path.is_file():
        pytest.skip("needs the cases beside the repository")
    clip, take = both(path.read_text("utf-8"), tmp_path)
    assert (len(clip), clip.fps) == (rows, 30.0)
    assert np.flatnonzero(~take.found).tolist() == lost
    assert clip.weights[7, BLINK] == clip.weights[8, BLINK] == 1.0
    assert clip.weights[:, JAW].min() >= 0.0 and 0.1 < np.median(clip.weights[:, JAW]) < 0.9


@pytest.mark.parametrize("nothing", ["-", "NaN", "-nan(ind)", "null", "N/A"])
def test_a_word_for_no_value_is_a_row_without_a_face(nothing: str, tmp_path: Path) -> None:
    """One such cell used to refuse the whole take (reports of OpenFace, pose2sim and RenderDoc's exporter)."""
    lines = Take(codes(45, 30)).text().splitlines()
    for row in (6, 7):
        time, count, *_ = lines[1 + row].split(",")
        lines[1 + row] = ",".join([time, count, *[nothing] * 55])
    clip, take = both("\n".join(lines), tmp_path)
    assert np.flatnonzero(~take.found).tolist() == [6, 7] and len(clip) == 45


def test_comments_in_front_and_a_header_in_between_are_not_read(tmp_path: Path) -> None:
    head, *rows = Take(codes(45, 30)).text().splitlines()
    clip, take = both("\n".join(["# recorded by a phone", head, *rows[:20], head, *rows[20:]]), tmp_path)
    assert len(clip) == 45 and take.found.all() and clip.weights[8, BLINK] == 1.0


@pytest.mark.parametrize("count", [15, 20, 25, 30, 50])
@pytest.mark.parametrize("first", [0, 1])
def test_a_take_shows_what_its_seconds_count_from_and_to(count: int, first: int) -> None:
    times = [f"10:00:{row // count:02}:{row % count + first:02}.000" for row in range(3 * count)]
    read = read_lines(Take(times).text().splitlines())
    assert (read.fps, len(read.weights), read.dropped.sum()) == (count, 3 * count, 0)


@pytest.mark.parametrize(("count", "rate"), [(30, 29.97), (60, 59.94)])
def test_drop_frame_time_codes_leave_out_numbers_not_frames(count: int, rate: float) -> None:
    pair = count // 15
    codes = [(s // 60, s % 60, f) for s in range(530, 690) for f in range(count)]
    kept = [(m, s, f) for m, s, f in codes if s or f >= pair or m % 10 == 0]
    read = read_lines(Take([f"10:{m:02}:{s:02}:{f:02}.000" for m, s, f in kept]).text().splitlines())
    assert (read.fps, len(read.weights), read.dropped.sum()) == (rate, len(kept), 0)


@pytest.mark.parametrize(("name", "unit"), [("time_ms", 1e3), ("time_s", 1.0), ("timestamp_us", 1e6), ("seconds", 1.0)])
def test_the_name_of_the_times_says_their_unit(name: str, unit: float) -> None:
    times = [f"{round(row * unit / 240, 5 if unit == 1.0 else None):g}" for row in range(240)]
    read = read_lines(Take(times).text().replace("Timecode", name).splitlines())
    assert (read.fps, len(read.weights), read.dropped.sum()) == (240.0, 240, 0)
