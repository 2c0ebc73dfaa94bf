"""A program that is ended takes the process that decodes for it along."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def runs(pid: int) -> bool:
    """Whether a process is there and is no zombie (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_both_end(code: str, path: Path, number: signal.Signals) -> None:
    """A program that decodes ``path`` (``sys.argv[1]``) for minutes ends within 2 s of a signal, and so does its child.

    ``code``: of the program, which prints the child's process id first.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )
    try:
        child = int(process.stdout.readline())
        time.sleep(0.7)
        assert process.poll() is None and runs(child)
        process.send_signal(number)
        process.wait(2)
        deadline = time.monotonic() + 2
        while runs(child) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not runs(child)
    finally:
        process.kill()
        process.stdout.close()
