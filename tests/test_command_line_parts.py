"""The pieces of the command line, one by one."""

from __future__ import annotations

import errno
import io
import os
import signal
from argparse import Namespace
from pathlib import Path

import pytest
from rich.console import Console

from backend import __main__ as command
from backend.command_line import photo_commands
from backend.command_line import transfer as command_transfer
from backend.command_line.photo_paths import check_there_are, find_photos
from backend.command_line.terminal import TerminalProgress, sigterm_as_interrupt
from backend.errors import EXIT_CODES, LikenessError, explain
from backend.exchange.all_or_none import OutputFolder
from backend.expression.subject import read_neutral
from backend.expression.video import Video


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_a_folder_stands_for_the_photos_in_it(tmp_path: Path) -> None:
    names = ["b.JPG", "a.png", "notes.txt", ".hidden.jpg", "c.heic", "sub/d.jpg"]
    touch(*(tmp_path / name for name in names))
    assert [name for name, _ in find_photos([tmp_path])] == ["a.png", "b.JPG", "c.heic"]
    others = [f"e.{ending}" for ending in ("avif", "bmp", "gif", "hif", "jfif", "mpo")]  # all that is read
    touch(*(tmp_path / name for name in (*others, "e.exr", "e.mp4", "e.svg")))
    assert [name for name, _ in find_photos([tmp_path])][3:] == others


@pytest.mark.parametrize(
    ("names", "read_as"), [(["a.gif"], "video"), (["a.gif", "b.gif"], "photos"), (["a.hif"], "photos")]
)
def test_a_gif_alone_is_a_film(names: list[str], read_as: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.expression import transfer

    def read(kind: str) -> None:
        raise LikenessError("usage", f"as {kind}")

    for kind in ("video", "photos"):
        monkeypatch.setattr(transfer, f"transfer_{kind}", lambda *given, kind=kind: read(kind))
    touch(*(tmp_path / name for name in names))
    arguments = Namespace(sources=[tmp_path / name for name in names], identity=None, fps=None)
    with pytest.raises(LikenessError, match=f"as {read_as}"):
        command_transfer._solved(arguments, Console(file=io.StringIO()))


def test_a_photo_given_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "b.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    photos = find_photos([tmp_path / "a.jpg", tmp_path, tmp_path / "link.jpg"])
    assert [name for name, _ in photos] == ["a.jpg", "b.jpg"]


def test_equal_file_names_get_as_much_folder_as_they_need(tmp_path: Path) -> None:
    files = [tmp_path / "x" / "1.jpg", tmp_path / "y" / "1.jpg", tmp_path / "y" / "2.jpg"]
    touch(*files)
    assert find_photos(files) == list(zip(["x/1.jpg", "y/1.jpg", "2.jpg"], files, strict=True))
    deep = [tmp_path / "a" / "s" / "1.jpg", tmp_path / "b" / "s" / "1.jpg"]
    touch(*deep)
    assert [name for name, _ in find_photos(deep)] == ["a/s/1.jpg", "b/s/1.jpg"]


def test_names_that_are_no_utf8_become_text(tmp_path: Path) -> None:
    files = [tmp_path / os.fsdecode(name) for name in (b"caf\xe9.jpg", b"caf\xe8.jpg", b"x\xff/1.jpg", b"y/1.jpg")]
    try:
        touch(*files)
    except OSError:
        pytest.skip("a file system that takes UTF-8 only")
    names = ["caf\\udce9.jpg", "caf\\udce8.jpg", "x\\udcff/1.jpg", "y/1.jpg"]
    assert find_photos(files) == list(zip(names, files, strict=True))
    assert all(name.isprintable() for name in names)


def test_a_missing_photo_is_kept_for_its_verdict(tmp_path: Path) -> None:
    assert [name for name, _ in find_photos([tmp_path / "missing.jpg"])] == ["missing.jpg"]


def test_nothing_is_loaded_where_no_photo_is_there(tmp_path: Path) -> None:
    photos = [("a.jpg", tmp_path / "a.jpg"), ("b.jpg", tmp_path / "b.jpg")]
    with pytest.raises(LikenessError, match=r"a\.jpg: There is no such file") as caught:
        check_there_are(photos)
    assert caught.value.code == "no_photo"
    touch(tmp_path / "b.jpg")
    check_there_are(photos)


def test_progress_prints_a_line_per_stage_where_there_is_no_terminal() -> None:
    file = io.StringIO()
    with TerminalProgress(Console(file=file, force_terminal=False), {"read": 1, "fit": 1}) as progress:
        for stage, fraction in (("read", 0.0), ("read", 0.5), ("read", 1.0), ("fit", 0.0), ("fit", 1.0)):
            progress(stage, fraction)
    lines = file.getvalue().splitlines()
    assert [line.split()[-1] for line in lines] == ["read", "fit"]


def test_progress_draws_a_bar_on_a_terminal() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, legacy_windows=False)
    with TerminalProgress(console, {"read": 1, "fit": 1}) as progress:
        progress("read", 1.0)
        progress.refresh()
    assert "read" in file.getvalue() and "50%" in file.getvalue()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LikenessError("no_face", "No face."), "no_face"),
        (KeyboardInterrupt(), "cancelled"),
        (MemoryError(), "out_of_memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "out_of_memory"),
        (ModuleNotFoundError("No module named 'scipy'", name="scipy"), "missing_part"),
        (ImportError("libGL.so.1: cannot open shared object file"), "missing_part"),
        (ZeroDivisionError("division by zero"), "internal"),
    ],
)
def test_every_error_has_a_sentence_and_an_exit_code(
    error: BaseException, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(error).code == code

    def fail(arguments: object) -> None:
        raise error

    monkeypatch.setattr(photo_commands, "run_reconstruct", fail)
    assert command.main(["reconstruct", "a.jpg", "--out", "out"]) == EXIT_CODES[code]
    printed = capsys.readouterr().err
    assert explain(error).sentence in printed and "Traceback" not in printed


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(photo_commands, "run_reconstruct", fail)
    command.main(["reconstruct", "a.jpg", "--out", "out", "--traceback"])
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_is_treated_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_verdict_table_says_why_a_photo_was_left_out() -> None:
    photos = [
        {"name": "one.jpg", "used": True, "reason": "", "quality": {"score": 0.812}, "landmark_error_percent": 1.26},
        {"name": "[two].jpg", "used": False, "reason": "No face was found in it."},
    ]
    file = io.StringIO()
    Console(file=file, width=100).print(photo_commands.verdict_table(photos))
    lines = [line.split() for line in file.getvalue().splitlines()]
    assert lines[1] == ["one.jpg", "yes", "0.81", "±1.3", "%"]
    assert lines[2] == ["[two].jpg", "no", "No", "face", "was", "found", "in", "it."]


def test_any_name_is_one_line_of_text(tmp_path: Path) -> None:
    names = [
        "two\nlines.jpg",
        "\x1b[31mred.jpg",
        "\u202egpj.jpg",
        "照片.jpg",
        "a [bold]b.jpg",
        os.fsdecode(b"\xe9.jpg"),
    ]
    touch(*(tmp_path / name for name in names))
    shown = {path.name: name for name, path in find_photos([tmp_path])}
    wanted = [r"two\nlines.jpg", r"\x1b[31mred.jpg", r"\u202egpj.jpg", "照片.jpg", "a [bold]b.jpg", r"\udce9.jpg"]
    assert [shown[name] for name in names] == wanted
    file = io.StringIO()
    table = photo_commands.verdict_table([{"name": name, "used": True} for name in wanted])
    Console(file=file, width=100).print(table)
    assert all(name in file.getvalue() for name in wanted)


def test_paths_that_no_system_has(tmp_path: Path) -> None:
    """Loops of links and very long paths ended in an error inside Likeness."""
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    paths = [tmp_path / "loop.jpg", tmp_path / ("x" * 300), Path("a/" * 2500)]
    photos = find_photos(paths)
    assert [path for _, path in photos] == paths
    with pytest.raises(LikenessError, match="no such file"):
        check_there_are(photos)
    for path in paths:
        with pytest.raises(LikenessError) as caught, OutputFolder(path):
            pass
        assert caught.value.code == "disk"
        with pytest.raises(LikenessError) as caught:
            Video(path)
        assert caught.value.code == "no_photo"
        with pytest.raises(LikenessError) as caught:
            read_neutral(path)
        assert caught.value.code == "usage"
    for path in paths[1:]:
        with pytest.raises(LikenessError) as caught:
            command_transfer._check_writable(path)
        assert caught.value.code == "disk"


@pytest.mark.parametrize("arguments", [["reconstruct", "", "--out", "o"], ["reconstruct", "a.jpg", "--out", ""]])
def test_an_empty_name_is_no_path(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It was the current folder."""
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == EXIT_CODES["usage"]
    assert "the name is empty" in capsys.readouterr().err


def test_errors_of_the_system_have_their_code() -> None:
    assert explain(OSError(errno.ENOMEM, "Cannot allocate memory")).code == "out_of_memory"
    assert explain(OSError(errno.ENOSPC, "No space left on device")).code == "disk"
