"""The output folder is complete or untouched, whatever happens while it is written."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from hand_made import front_camera

from backend.detail.find import DetailEstimate
from backend.errors import Cancelled, LikenessError
from backend.exchange import all_or_none
from backend.exchange import folder as folder_module
from backend.exchange.all_or_none import FILE_NAMES, PREVIEW, OutputFolder, check_writable, write_file, write_together
from backend.exchange.asset_mesh import neutral_light
from backend.exchange.face_asset import FaceAsset
from backend.exchange.folder import file_stages, write_last
from backend.exchange.preview import PhotoPreview
from backend.progress import WRITING, ProgressReporter, silent
from backend.system.parallel import parallel_threads, run_graph

ROOT = Path(__file__).resolve().parents[3]
PHOTO = PhotoPreview("one.jpg", np.full((400, 320, 3), 90, np.uint8), front_camera(), np.zeros(52), neutral_light())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fail_with(error: BaseException):
    def write(*arguments: object, **named: object) -> None:
        raise error

    return write


def write_folder(
    asset: FaceAsset, previews: list[PhotoPreview], out: Path | OutputFolder, progress: ProgressReporter = silent
) -> None:
    """Write all ``FILE_NAMES`` of a finished head, as ``reconstruct`` does."""
    made = {"asset": asset, "shape": asset, "dressed": asset, "detail": DetailEstimate(asset.detail, (), "")}
    held = nullcontext(out) if isinstance(out, OutputFolder) else OutputFolder(out)
    with held as folder, folder.writing(FILE_NAMES, progress) as files:
        progress(WRITING, 0.0)
        stages = file_stages(files, folder.path, progress)
        run_graph(stages, made, tuple(stages))
        with all_or_none.disk_errors_named(folder.path):
            folder_module.write_preview(asset, previews, files / PREVIEW)
        write_last(asset.report, files, folder.path)


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
@pytest.mark.parametrize("step", ["write_obj", "write_preview", "write_report", "_flush_to_disk", "_replace"])
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


NEW = {"a": b"new a", "b": b"new b", "c": b"new c", "d": b"new d"}
OLD = {"a": b"old a", "c": b"old c", "notes.txt": b"mine"}


def ends_at_line(number: int, killed: bool, run: Callable[[], None]) -> bool:
    """Fork, and kill ``run`` (or interrupt it, as Ctrl-C) before the given line of ``all_or_none.py`` that it reaches
    from its first move on; returns whether it was so long."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    left, moves = number, False

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal left, moves
        if frame.f_code.co_filename != all_or_none.__file__:
            return None
        moves |= frame.f_code.co_name in ("_replace", "_put_back")
        left -= moves and event == "line"
        if left < 0:
            sys.settrace(None)
            if killed:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        return trace

    try:
        sys.settrace(trace)
        run()
        os._exit(0)
    except BaseException:
        os._exit(1)


def replace_all(out: Path) -> None:
    with OutputFolder(out) as held, held.writing(list(NEW)) as files:
        for name, content in NEW.items():
            (files / name).write_bytes(content)


def open_and_close(out: Path) -> None:
    with OutputFolder(out):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "Ctrl-C"])
def test_a_result_is_old_or_new_wherever_a_run_ends(killed: bool, tmp_path: Path) -> None:
    """14 of 52 runs that Ctrl-C ended while they moved files lost one, and 4 of 17 that were killed up to 18."""
    seen = set()
    for step in range(1000):
        out = tmp_path / str(step)
        out.mkdir()
        for name, content in OLD.items():
            (out / name).write_bytes(content)
        ended = ends_at_line(step, killed, lambda: replace_all(out))  # noqa: B023
        if killed and ended and any((out / ".likeness").glob("earlier/*")):
            for further in range(step % 20, 1000, 20):  # the start that puts it back is killed, too
                if not ends_at_line(further, True, lambda: open_and_close(out)):  # noqa: B023
                    break
        after = tree(out)
        if killed:
            open_and_close(out)
            after = tree(out)
            assert sorted(os.listdir(out)) == sorted(after), step
        whole = {name: content for name, content in after.items() if not name.startswith(".likeness")}
        assert whole in (OLD, OLD | NEW), step
        seen.add(whole == OLD)
        if not ended:
            break
    assert seen == {True, False} and not ended


@pytest.mark.parametrize("inside", ["", "files", "earlier", "unwanted", "lock"])
def test_a_hidden_folder_that_is_a_link_is_refused(inside: str, tmp_path: Path) -> None:
    """What lay in the folder that it leads to was removed."""
    theirs, out = tmp_path / "theirs", tmp_path / "out"
    for folder in ("files", "unwanted", "earlier"):
        (theirs / folder).mkdir(parents=True)
        (theirs / folder / "letter.txt").write_text("mine")
    (out / ".likeness").mkdir(parents=True)
    if not inside:
        (out / ".likeness").rmdir()
    (out / ".likeness" / inside).symlink_to(theirs / inside)
    before = tree(theirs)
    with pytest.raises(LikenessError, match="is a symbolic link") as caught:
        open_and_close(out)
    assert caught.value.code == "disk" and tree(theirs) == before


def test_a_folder_with_the_name_of_a_result_stays(tmp_path: Path) -> None:
    """It was removed with all that lay in it."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "letter.txt").write_text("mine")
    with pytest.raises(LikenessError, match="b is a folder"):
        replace_all(tmp_path)
    assert tree(tmp_path) == {"b/letter.txt": b"mine"}


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
from backend.exchange.all_or_none import OutputFolder, write_together
folder, name = Path(sys.argv[1]), sys.argv[2]
wanted = ["a", "b"]
print(flush=True)
sys.stdin.readline()
for number in range(25):
    for turn in range(2):  # into a folder that is not there, and into one that is
        try:
            steps = [lambda to, file=file: (to / file).write_text(f"{name} {turn}") and None for file in wanted]
            with OutputFolder(folder / str(number)) as held:
                write_together(held, wanted, steps)
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
    with pytest.raises(KeyboardInterrupt), OutputFolder(tmp_path / "new" / "out") as held:
        write_together(held, ["a", "b"], [goes_on, interrupted])
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


def test_a_new_result_takes_the_old_preview_with_it(tmp_path: Path) -> None:
    for name in ("report.json", "preview.png"):
        (tmp_path / name).write_text("old")
    with OutputFolder(tmp_path) as folder:
        with pytest.raises(ValueError, match="a bug"), folder.writing(["report.json"], outdated=["preview.png"]):
            raise ValueError("a bug")
        assert set(tree(tmp_path).values()) >= {b"old"} and (tmp_path / "preview.png").exists()
        with folder.writing(["report.json"], outdated=["preview.png"]) as files:
            (files / "report.json").write_text("new")
        assert (tmp_path / "report.json").read_text() == "new" and not (tmp_path / "preview.png").exists()
        with folder.writing(["preview.png"]) as files:
            (files / "preview.png").write_text("new")
    assert tree(tmp_path) == {"report.json": b"new", "preview.png": b"new"}
