"""File locks: exclusive, free once their process is gone, and harmless where a disk has none."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.file_lock import is_locked, lock_file

ROOT = Path(__file__).resolve().parents[2]


def test_it_is_free_again_once_its_process_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from protocol.file_lock import lock_file;"
        "lock = lock_file(Path(sys.argv[1])); print(1, flush=True); time.sleep(60)"
    )
    path = tmp_path / "x.lock"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline()
            assert lock_file(path, 0.0) is None and is_locked(path)
        finally:
            holder.kill()
    lock = lock_file(path)
    assert lock is not None and lock_file(path, 0.0) is None and is_locked(path)
    lock.release()
    assert not is_locked(path)


def test_a_disk_without_locks_holds_nobody_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    locks = [lock_file(tmp_path / "x.lock") for _ in range(2)]
    for lock in locks:
        assert lock is not None
        lock.release()
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        lock_file(tmp_path / "file" / "x.lock")
