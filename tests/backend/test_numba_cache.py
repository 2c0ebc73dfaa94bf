"""The cache of compiled functions: damage, no place to write, and other users."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.system.numba_cache import is_private, remove_damaged

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
from backend.system.numba_cache import numba, njit

@njit(cache=True)
def twice(x):
    return 2 * x

print("SAID", twice(21), numba.config.CACHE_DIR)
"""


def run(folder: Path, **environment: str) -> str:
    """Run a function that is cached; its answer and the cache's folder."""
    script = folder / "module.py"
    if not script.exists():
        script.write_text(MODULE)
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, str(script)],
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return next(line for line in done.stdout.splitlines() if line.startswith("SAID"))


def damaged(data: bytes, way: str) -> bytes:
    if way == "flipped":
        return data[:-100] + bytes([data[-100] ^ 4]) + data[-99:]
    return {"empty": b"", "half": data[: len(data) // 2], "other": os.urandom(len(data))}[way]


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a function and, in ``cache``, what was compiled of it."""
    folder = tmp_path_factory.mktemp("cached")
    assert run(folder, XDG_CACHE_HOME=str(folder / "cache")).startswith(f"SAID 42 {folder / 'cache'}")
    return folder


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("way", ["empty", "half", "other", "flipped"])
def test_a_damaged_cache_is_as_none(way: str, suffix: str, cached: Path, tmp_path: Path) -> None:
    cache = shutil.copytree(cached / "cache", tmp_path / "cache")
    (path,) = cache.rglob(f"*{suffix}")
    path.write_bytes(damaged(path.read_bytes(), way))
    assert run(cached, XDG_CACHE_HOME=str(cache)).startswith(f"SAID 42 {cache}")
    remove_damaged(path.parents[1])
    assert path.is_file(), "compiled anew and on the list"


def test_without_a_home_a_temporary_folder_serves(tmp_path: Path) -> None:
    said = run(tmp_path, HOME="/proc/none", XDG_CACHE_HOME="")
    folder = Path(said.split(" ", 2)[2])
    assert said.startswith("SAID 42") and not folder.exists()  # it is gone with the process


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert not is_private(tmp_path / "open")
    assert is_private(tmp_path / "new" / "cache")
    assert (tmp_path / "new" / "cache").stat().st_mode & 0o077 == 0


def test_the_pipeline_loads_without_numba_s_compiler() -> None:
    """A function that is decorated with its types loads it, half a second of a cold start before the first photo."""
    code = "import sys, backend.pipeline, backend.service.job_runner; print('numba.cpython.unicode' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_what_was_compiled_stays_and_all_of_it_goes_where_a_source_of_loops_changed(
    cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = shutil.copytree(cached / "cache", tmp_path / "cache")
    files = sorted(cache.rglob("*.nb[ci]"))
    remove_damaged(files[0].parents[1])
    assert sorted(cache.rglob("*.nb[ci]")) == files
    monkeypatch.setattr("backend.system.numba_cache.sources_digest", lambda: "another")
    remove_damaged(files[0].parents[1])
    assert not sorted(cache.rglob("*.nb[ci]"))
