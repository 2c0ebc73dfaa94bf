"""``expression.json`` and Live Link Face takes."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from expression_file import read_clip

from backend.__main__ import main
from backend.command_line.photo_paths import left_out_files
from backend.errors import LikenessError
from backend.expression.clip import ExpressionClip, FrameMark, gaze_of_weights, read_live_link, write_clip
from backend.expression.video import Video
from protocol.names import ARKIT_INDEX, ARKIT_NAMES


def small_take() -> ExpressionClip:
    weights = np.random.default_rng(0).uniform(0, 1, (3, 52)).astype(np.float32).round(3)
    return ExpressionClip(
        source="take.mp4",
        kind="video",
        fps=29.97,
        frame_names=(),
        weights=weights,
        head_positions=np.array([[0, 0, -1], [0.1, 0, -1], [np.nan] * 3], np.float32),
        head_rotations=np.array([[1, 0, 0, 0], [0.6, 0.8, 0, 0], [np.nan] * 4], np.float32),
        gaze=gaze_of_weights(weights),
        marks=np.array([FrameMark.MEASURED, FrameMark.UNCERTAIN, FrameMark.NO_FACE], np.uint8),
        errors=np.array([0.5, 1.5, np.nan], np.float32),
        pivot=np.array([0, 1.5, 0.1], np.float32),
        left_out=(("a.jpg", "No face was found in it."),),
    )


def test_a_take_survives_its_file(tmp_path: Path) -> None:
    take = small_take()
    write_clip(take, tmp_path / "new" / "expression.json")
    read = read_clip(tmp_path / "new" / "expression.json")
    assert (read.source, read.kind, read.fps, read.left_out) == (take.source, take.kind, take.fps, take.left_out)
    np.testing.assert_allclose(read.weights, take.weights, atol=6e-4)
    np.testing.assert_allclose(read.head_positions, take.head_positions, atol=1e-5)
    np.testing.assert_allclose(read.head_rotations, take.head_rotations, atol=1e-5)
    np.testing.assert_array_equal(read.marks, take.marks)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["expression.json"]


def test_the_file_is_what_its_page_says(tmp_path: Path) -> None:
    write_clip(small_take(), tmp_path / "expression.json")
    text = (tmp_path / "expression.json").read_text("utf-8")
    content = json.loads(text)
    page = (Path(__file__).resolve().parents[3] / "docs" / "expressions.md").read_text("utf-8")
    for field in content:
        assert f"`{field}`" in page
    assert content["names"] == list(ARKIT_NAMES)
    assert content["frame_count"] == len(content["weights"]) == len(content["head"]) == len(content["marks"]) == 3
    assert content["head"][2] is None
    assert content["errors"] == [0.5, 1.5, None]
    assert content["mark_names"][content["marks"][2]] == "no_face"


def test_an_output_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LikenessError) as raised:
        write_clip(small_take(), tmp_path)
    assert raised.value.code == "disk"
    assert list(tmp_path.iterdir()) == []


def live_link_lines(slots: list[int], fps: int = 60) -> list[str]:
    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    lines = [",".join(["Timecode", "BlendShapeCount", *names, "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw"])]
    for slot in slots:
        values = np.zeros(52)
        values[ARKIT_INDEX["jawOpen"]] = slot / 100
        seconds, frame = divmod(slot, fps)
        row = [f"23:59:{50 + seconds:02d}:{frame:02d}.125", "61", *map(str, values), "0.2", "0.1", "0", "0.3"]
        lines.append(",".join(row))
    return lines


def test_live_link_keeps_its_rate_and_fills_in_dropped_lines(tmp_path: Path) -> None:
    slots = [*range(20), *range(23, 80)]
    path = tmp_path / "take.csv"
    path.write_text("\n".join(live_link_lines(slots)), "utf-8")
    take = read_live_link(path)
    assert take.fps == 60
    assert len(take) == 80
    assert np.flatnonzero(take.marks == FrameMark.DROPPED).tolist() == [20, 21, 22]
    np.testing.assert_allclose(take.weights[:, ARKIT_INDEX["jawOpen"]], np.arange(80) / 100, atol=1e-6)
    # Yaw 0.2 about the upward axis and pitch up: the face's own z axis turns to x > 0 and y > 0.
    w, x, y, z = take.head_rotations[5]
    forward = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
    assert forward[0] == pytest.approx(np.sin(0.2) * np.cos(0.1), abs=1e-5)
    assert forward[1] == pytest.approx(np.sin(0.1), abs=1e-5)


def test_files_may_have_names_that_are_no_utf8(tmp_path: Path) -> None:
    path, out = (tmp_path / os.fsdecode(name) for name in (b"caf\xe9.csv", b"caf\xe9.json"))
    try:
        path.write_text("\n".join(live_link_lines([*range(70)])), "utf-8")
    except OSError:
        pytest.skip("a file system that takes UTF-8 only")
    assert main(["transfer", "--from", str(path), "--out", str(out)]) == 0
    assert read_clip(out).source == "caf\\udce9.csv"


def test_the_folder_of_a_take_gives_its_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "take", tmp_path / "e.json"
    folder.mkdir()
    (folder / "Slate_7.csv").write_text("\n".join(live_link_lines([*range(70)])), "utf-8")
    (folder / "frame_log.csv").write_text("Frame,Thing\n1,2\n", "utf-8")
    for other in ("thumbnail.jpg", "Slate_7.mov"):
        (folder / other).write_bytes(b"x")
    arguments = ["transfer", "--from", str(folder), "--identity", str(tmp_path), "--out", str(out)]
    assert main(arguments) == 0
    assert json.loads(out.read_text())["frame_count"] == 70
    assert "The folder's take Slate_7.csv was read, not Slate_7.mov, thumbnail.jpg." in capsys.readouterr().out
    shutil.copy(folder / "Slate_7.csv", folder / "Slate_8.csv")
    assert main(arguments) != 0
    assert "holds several takes: Slate_7.csv, Slate_8.csv" in capsys.readouterr().err
    assert [why for _, _, why in left_out_files([folder])] == ["It is a film; give it by its name."]


def test_live_link_lines_without_a_face_are_dropped_frames(tmp_path: Path) -> None:
    lines = live_link_lines([*range(70)])
    head, rest = lines[11].split(",", 1)
    lines[11] = head + "," * (rest.count(",") + 1)
    path = tmp_path / "take.csv"
    path.write_text("\ufeff" + "\r\n".join(lines), "utf-8")
    assert np.flatnonzero(read_live_link(path).marks).tolist() == [10]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "Timecode,EyeBlinkLeft\nnoon,0.1\n", "Timecode,EyeBlinkLeft\n"])
def test_other_csv_files_are_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "take.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(LikenessError) as raised:
        read_live_link(path)
    assert raised.value.code == "no_photo"


def test_time_codes_that_leap_cost_nothing(tmp_path: Path) -> None:
    """Two lines a billion seconds later asked for 45 GB."""
    lines = live_link_lines([*range(70)])
    for number in (20, 21, 22):
        lines[1 + number] = "277777:46:40:" + lines[1 + number].split(":", 3)[3]
    path = tmp_path / "take.csv"
    path.write_text("\n".join(lines), "utf-8")
    take = read_live_link(path)
    assert len(take) == 70 and not take.marks.any()


def test_a_clock_that_is_set_does_not_stop_the_take(tmp_path: Path) -> None:
    lines = live_link_lines([*range(70), 72, 73])
    moved = [line.replace("10:", "03:", 1) if number > 40 else line for number, line in enumerate(lines)]
    path = tmp_path / "take.csv"
    path.write_text("\n".join(moved), "utf-8")
    assert np.flatnonzero(read_live_link(path).marks).tolist() == [70, 71]


def test_many_small_gaps_are_too_long_a_take(tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    path.write_text("\n".join(live_link_lines([*range(2000), *range(2300, 599 * 1000, 599)])), "utf-8")
    with pytest.raises(LikenessError, match="the limit is") as caught:
        read_live_link(path)
    assert caught.value.code == "no_photo"


@pytest.mark.parametrize(
    ("part", "text"),
    [*((-1, frame) for frame in ("inf", "nan", "1e300", "-1", "1e3")), (0, "9" * 400), (0, "9" * 5000)],
)
def test_times_that_are_none(part: int, text: str, tmp_path: Path) -> None:
    lines = live_link_lines([*range(70)])
    time, rest = lines[5].split(",", 1)
    parts = time.split(":")
    parts[part] = text
    lines[5] = f"{':'.join(parts)},{rest}"
    path = tmp_path / "take.csv"
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(LikenessError, match="not a take"):
        read_live_link(path)


def test_films_of_enormous_pictures_are_refused(tmp_path: Path) -> None:
    """Alone, a GIF is a film; this one of 35 bytes would take a gigabyte."""
    size = (12_000).to_bytes(2, "little") + (9_000).to_bytes(2, "little")
    blank = b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\x02\x02\x4c\x01\0;"
    (tmp_path / "blank.gif").write_bytes(blank)
    with pytest.raises(LikenessError, match=r"12000 x 9000|not a video") as caught:
        Video(tmp_path / "blank.gif")
    assert caught.value.code == "no_photo"
