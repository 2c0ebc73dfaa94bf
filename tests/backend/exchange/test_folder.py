"""The output folder is complete or untouched, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hand_made import front_camera

from backend.errors import Cancelled, LikenessError
from backend.exchange import all_or_none
from backend.exchange import folder as folder_module
from backend.exchange.all_or_none import FILE_NAMES, OutputFolder, check_writable, write_file, write_together
from backend.exchange.asset_mesh import neutral_light
from backend.exchange.face_asset import FaceAsset
from backend.exchange.folder import write_folder
from backend.exchange.preview import PhotoPreview
from backend.system.parallel import parallel_threads

ROOT = Path(__file__).resolve().parents[3]
PHOTO = PhotoPreview("one.jpg", np.full((400, 320, 3), 90, np.uint8), front_camera(), np.zeros(52), neutral_light())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fail_with(error: BaseException):
    def write(*arguments: object) -> None:
        raise error

    return write


@pytest.fixture
def quick_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some bytes for the preview, whose drawing takes longer than all else."""
    monkeypatch.setattr(folder_module, "write_preview", lambda asset, previews, path: path.write_bytes(b"a picture"))


def test_a_new_folder_has_every_file_and_nothing_else(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    out = tmp_path / "parents that" / "are missing"
    write_folder(hand_made_asset, [PHOTO], out)
    assert sorted(tree(tmp_path)) == sorted(f"parents that/are missing/{name}" for name in FILE_NAMES)
    assert all(content for content in tree(out).values())
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(out.stat().st_mode) == 0o777 & ~mask


def test_progress_goes_from_nothing_to_all(hand_made_asset: FaceAsset, quick_preview: None, tmp_path: Path) -> None:
    seen: list[float] = []
    write_folder(hand_made_asset, [PHOTO], tmp_path / "out", lambda stage, fraction: seen.append(fraction))
    assert seen[0] == 0 and seen[-1] == 1 and seen == sorted(seen)


def test_files_of_an_earlier_run_are_replaced_and_others_stay(
    hand_made_asset: FaceAsset, quick_preview: None, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "face.glb").write_text("mine too")
    (tmp_path / "face.glb").write_text("old")
    write_folder(hand_made_asset, [PHOTO], tmp_path)
    after = tree(tmp_path)
    assert sorted(after) == sorted([*FILE_NAMES, "notes.txt", "sub/face.glb"])
    assert after["face.glb"][:4] == b"glTF"
    assert after["notes.txt"] == b"mine" and after["sub/face.glb"] == b"mine too"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), LikenessError),
        (PermissionError(errno.EACCES, "Permission denied"), LikenessError),
        (ValueError("a bug"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
@pytest.mark.parametrize("step", ["write_obj", "write_preview", "write_report", "_flush_to_disk", "_move_files"])
def test_a_failure_at_any_step_leaves_everything_as_it_was(
    hand_made_asset: FaceAsset, quick_preview: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error,
    expected,
) -> None:  # fmt: skip
    old = tmp_path / "old"
    old.mkdir()
    (old / "face.glb").write_text("old")
    (old / "notes.txt").write_text("mine")
    before = tree(tmp_path)
    monkeypatch.setattr(folder_module if "write" in step else all_or_none, step, fail_with(error))
    for out in (old, tmp_path / "new" / "deep"):
        with pytest.raises(expected):
            write_folder(hand_made_asset, [PHOTO], out)
    assert tree(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == ["old"]


def test_a_failure_while_moving_puts_the_earlier_files_back(
    hand_made_asset: FaceAsset, quick_preview: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(hand_made_asset, [], tmp_path)
    before = tree(tmp_path)
    rename = Path.rename
    moved: list[Path] = []

    def failing_rename(self: Path, target: Path) -> Path:
        if self.name == "preview.png" and self.parent != tmp_path and not moved:
            moved.append(self)
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing_rename)
    with pytest.raises(LikenessError, match="Input/output error"):
        write_folder(hand_made_asset, [PHOTO], tmp_path)
    assert moved
    assert tree(tmp_path) == before


def test_cancelling_leaves_nothing(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    def cancel(stage: str, fraction: float) -> None:
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_folder(hand_made_asset, [PHOTO], tmp_path / "out", cancel)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_really_full(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs permission to mount a small disk")
    try:
        (disk / "notes.txt").write_text("mine")
        for out in (disk, disk / "new"):
            with pytest.raises(LikenessError, match="is full") as caught:
                write_folder(hand_made_asset, [PHOTO], out)
            assert caught.value.code == "disk"
        assert tree(disk) == {"notes.txt": b"mine"}
        assert os.listdir(disk) == ["notes.txt"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_in_the_way_is_named(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        for attempt in (
            lambda out=out: OutputFolder(out).__enter__(),
            lambda out=out: write_folder(hand_made_asset, [], out),
        ):
            with pytest.raises(LikenessError, match="not a folder") as caught:
                attempt()
            assert caught.value.code == "disk"
    assert (tmp_path / "file").read_text() == "mine"


def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    for folder in (tmp_path / "new" / "deep", tmp_path):
        check_writable(folder)
        with OutputFolder(folder):
            assert not (tmp_path / "new" / "deep").exists()
    assert not list(tmp_path.iterdir())


def test_a_folder_without_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(LikenessError, match="may not be written"):
        check_writable(tmp_path)
    tmp_path.chmod(0o700)


def test_a_second_run_into_the_same_folder_is_refused(
    hand_made_asset: FaceAsset, quick_preview: None, tmp_path: Path
) -> None:
    """Two runs at once left files of both in one folder."""
    for out in (tmp_path, tmp_path / "new"):
        with OutputFolder(out) as held:
            for other in (out, Path(os.path.relpath(out))):
                with pytest.raises(LikenessError, match="Another run") as caught:
                    write_folder(hand_made_asset, [PHOTO], other)
                assert caught.value.code == "in_use"
            write_folder(hand_made_asset, [PHOTO], held)
        write_folder(hand_made_asset, [PHOTO], out)
    assert sorted(os.listdir(tmp_path)) == sorted([*FILE_NAMES, "new"])


_RACER = """
import sys
from pathlib import Path
from backend.errors import LikenessError
from backend.exchange.all_or_none import write_together
folder, name = Path(sys.argv[1]), sys.argv[2]
wanted = ["a", "b"]
print(flush=True)
sys.stdin.readline()
for number in range(25):
    for turn in range(2):  # into a folder that is not there, and into one that is
        try:
            steps = [lambda to, file=file: (to / file).write_text(f"{name} {turn}") and None for file in wanted]
            write_together(folder / str(number), wanted, steps)
        except LikenessError as error:
            assert error.code == "in_use", error
"""


def test_two_programs_that_write_into_the_same_folders_mix_nothing(tmp_path: Path) -> None:
    """2 of 300 folders held files of both."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, str(tmp_path), name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    for racer in racers:
        assert racer.stdout.readline()
    for racer in racers:
        racer.stdin.write(b"\n")
        racer.stdin.flush()
    assert [racer.communicate(timeout=120)[1] for racer in racers] == [b"", b""]
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == 25
    for folder in folders:
        assert sorted(os.listdir(folder)) == ["a", "b"]
        assert (folder / "a").read_text() == (folder / "b").read_text()


def test_a_folder_that_was_made_meanwhile_is_the_same_folder(tmp_path: Path) -> None:
    out = tmp_path / "new"
    with OutputFolder(out) as held:
        out.mkdir()
        with pytest.raises(LikenessError, match="Another run"), OutputFolder(out):
            pass
        write_together(held, ["a"], [lambda folder: (folder / "a").write_text("x") and None])
    assert os.listdir(out) == ["a"] and os.listdir(tmp_path) == ["new"]


def test_two_folders_beside_each_other_are_two(tmp_path: Path) -> None:
    with OutputFolder(tmp_path / "a"), OutputFolder(tmp_path / "b"), OutputFolder(tmp_path):
        pass
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("exists", [False, True])
def test_what_a_killed_run_left_is_cleared_by_the_next(exists: bool, tmp_path: Path) -> None:
    """The system frees the lock, and the hidden folder with half of a head goes."""
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    code = (
        "import sys, time; from pathlib import Path;"
        "from backend.exchange.all_or_none import OutputFolder, write_together;"
        "half = lambda f: ((f / 'a').write_text('half'), print(1, flush=True), time.sleep(60));"
        "folder = OutputFolder(Path(sys.argv[1])); folder.__enter__(); write_together(folder, ['a'], [half])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(out)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline()
        with pytest.raises(LikenessError, match="Another run"), OutputFolder(out):
            pass
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert any(name.startswith(".likeness") for _, folders, _ in os.walk(tmp_path) for name in folders)
    with OutputFolder(out):
        pass
    assert [path for path in tmp_path.rglob("*") if path != out] == []


def test_ctrl_c_waits_for_no_file_and_leaves_nothing_though_many_are_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parallel_threads() < 2:
        pytest.skip("one core")
    monkeypatch.setattr(all_or_none, "_MOST_SECONDS_TO_CLEAR", 0.1)  # less than it takes to outrun three writers
    begun, writers = threading.Barrier(2, timeout=20.0), []

    def write(folder: Path, name: str) -> None:
        with suppress(OSError):  # until its folder is gone
            for number in range(10**6):
                (folder / f"{name}{number}").write_bytes(b"")

    def goes_on(folder: Path) -> None:
        writers[:] = [threading.Thread(target=write, args=(folder, name), daemon=True) for name in "abc"]
        begun.wait()
        for writer in writers:
            writer.start()
        time.sleep(10.0)

    def interrupted(folder: Path) -> None:
        begun.wait()
        time.sleep(0.2)
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path / "new" / "out", ["a", "b"], [goes_on, interrupted])
    assert time.monotonic() - start < 5.0  # 2 s, and what a busy machine takes more
    for writer in writers:
        writer.join(10.0)
    assert not any(writer.is_alive() for writer in writers) and os.listdir(tmp_path) == []


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / ("x" * 250)
    write_file(path, b"one")
    remains = path.parent / all_or_none.hidden_name(path.name) / "files" / "file"
    remains.parent.mkdir(parents=True)
    remains.write_text("left by a killed run, longer than what comes")
    write_file(path, b"two")
    assert path.read_bytes() == b"two" and os.listdir(path.parent) == [path.name]
    with pytest.raises(LikenessError, match="too long"):
        write_file(tmp_path / ("x" * 300), b"")
