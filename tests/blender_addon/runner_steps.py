"""Driving a runner in a test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from blender_addon.runner import Phase, Runner


def until(runner: Runner, wanted: Callable[[Runner], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        runner.tick()
        if wanted(runner):
            return
        time.sleep(0.01)
    raise AssertionError(f"it never came; the runner is at {runner.view}")


def runs(runner: Runner) -> bool:
    return runner.view.phase is Phase.RUNNING


def ended(runner: Runner) -> bool:
    return not runner.busy


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
