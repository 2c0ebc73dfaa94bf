"""``python -m backend`` as a person meets it: help, sentences, exit codes."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from one_sentence import assert_one_sentence, run_here

from backend.errors import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-m", "backend", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run("reconstruct", "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3  # 0.06 s when idle
    program = "import sys, runpy; sys.argv = ['backend', '--help']\n"
    program += "try: runpy.run_module('backend', run_name='__main__')\nexcept SystemExit: pass\n"
    program += "print(*sorted({'torch', 'numpy', 'ai_edge_litert', 'rich', 'PIL'} & set(sys.modules)), file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stderr.strip() == ""


def test_help_and_docs_name_every_option_and_exit_code() -> None:
    printed = run("reconstruct", "--help").stdout
    page = (ROOT / "docs" / "command_line.md").read_text("utf-8")
    for option in ("--quality", "--texture", "--device", "--out"):
        assert option in printed and option in page
    for number in {0, *EXIT_CODES.values()}:
        assert re.search(rf"^  {number}  \w", printed, re.MULTILINE)
        assert re.search(rf"^\| {number} \| \w", page, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [(), ("reconstruct",), ("reconstruct", "a.jpg"), ("reconstruct", "a.jpg", "--out", "o", "--quality", "superb")],
)
def test_wrong_arguments(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == EXIT_CODES["usage"]
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run_here("reconstruct", tmp_path / "empty", "--out", tmp_path / "out")
    assert_one_sentence(result, "no_photo", "holds no photo")
    result = run_here("reconstruct", tmp_path / "nothing.jpg", "--out", tmp_path / "out")
    assert_one_sentence(result, "no_photo", "nothing.jpg|[Nn]o .*photo")
    assert sorted(os.listdir(tmp_path)) == ["empty"]


def test_files_that_are_no_photos(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("this is not a photo")
    (tmp_path / "empty.png").write_bytes(b"")
    result = run_here("reconstruct", tmp_path, "--out", tmp_path / "out")
    assert_one_sentence(result, "no_photo", "photo")
    assert not (tmp_path / "out").exists()


def test_a_photo_without_a_face(tmp_path: Path) -> None:
    from PIL import Image

    Image.linear_gradient("L").resize((300, 300)).save(tmp_path / "gradient.png")
    result = run_here("reconstruct", tmp_path / "gradient.png", "--out", tmp_path / "out")
    assert_one_sentence(result, "no_face", "face")
    assert sorted(os.listdir(tmp_path)) == ["gradient.png"]


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"never opened")
    (tmp_path / "out").write_text("mine")
    result = run_here("reconstruct", tmp_path / "photo.jpg", "--out", tmp_path / "out")
    assert_one_sentence(result, "disk", "not a folder")
    assert (tmp_path / "out").read_text() == "mine"


def test_cuda_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"never opened")
    environment = {"CUDA_VISIBLE_DEVICES": "-1"}
    result = run("reconstruct", tmp_path / "photo.jpg", "--out", tmp_path / "out", "--device", "cuda", **environment)
    assert_one_sentence(result, "missing_part", "CUDA")
    assert sorted(os.listdir(tmp_path)) == ["photo.jpg"]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """Interrupted while it looks at photos; noise is slow enough to look at and has no face."""
    from PIL import Image

    Image.effect_noise((2000, 2000), 90).convert("RGB").save(tmp_path / "0.jpg")
    for number in range(1, 60):
        shutil.copy(tmp_path / "0.jpg", tmp_path / f"{number}.jpg")
    before = sorted(os.listdir(tmp_path))
    command = [sys.executable, "-m", "backend", "reconstruct", str(tmp_path), "--out", str(tmp_path / "new" / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert "photos" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, printed = process.communicate(timeout=120)
    assert time.monotonic() - sent < 5  # 0.3 s when idle; threads that still load were waited for once
    assert process.returncode == EXIT_CODES["cancelled"], printed
    assert "Cancelled" in printed and "Traceback" not in printed
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.slow
def test_ctrl_c_ends_the_longest_stage_within_two_seconds(small_photo: Path, tmp_path: Path) -> None:
    """A second into the texture, when threads are at work."""
    words = ["reconstruct", str(small_photo), "--quality", "fast", "--out", str(tmp_path / "new" / "out")]
    command = [sys.executable, "-m", "backend", *words]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line.strip().endswith("texture"):
            break
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, printed = process.communicate(timeout=120)
    assert time.monotonic() - sent < 2.0 + 2.0  # what a machine with other work may take longer
    assert process.returncode == EXIT_CODES["cancelled"], printed
    assert "Cancelled" in printed and "Traceback" not in printed
    assert os.listdir(tmp_path) == []


def test_a_small_address_space_is_one_sentence(tmp_path: Path) -> None:
    """Libraries ended with words of their own, or without."""
    (tmp_path / "photo.jpg").write_bytes(b"never opened")
    for command in (["reconstruct", tmp_path / "photo.jpg", "--out", tmp_path / "out"], ["doctor"]):
        shell = 'ulimit -v 1048576 && exec "$0" -m backend "$@"'
        given = ["sh", "-c", shell, sys.executable, *map(str, command)]
        result = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert_one_sentence(result, "out_of_memory", "1.0 GB of addresses")
        assert len(result.stderr.splitlines()) == 2
