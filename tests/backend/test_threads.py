"""Importing the backend first leaves the numerical libraries with settings that were measured to be fast."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


NAMES = ("OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def _printed(code: str, given: dict[str, str]) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in NAMES}
    environment |= {"PYTHONPATH": str(ROOT), **given}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def _value(name: str, given: dict[str, str], package: str = "backend") -> str:
    return _printed(f"import {package}, os; print(os.environ.get({name!r}))", given)


@pytest.mark.parametrize("package", ["backend", "trainer"])
def test_waiting_threads_sleep(package: str) -> None:
    assert _value("OMP_WAIT_POLICY", {}, package) == "PASSIVE"


def test_small_matrices_are_not_shared_among_threads() -> None:
    assert _value("OPENBLAS_NUM_THREADS", {}) == "1"


def test_what_the_user_asked_for_stays() -> None:
    assert _value("OPENBLAS_NUM_THREADS", {"OPENBLAS_NUM_THREADS": "2"}) == "2"
    assert _value("NUMBA_NUM_THREADS", {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}) == "2"
    assert _value("NUMBA_NUM_THREADS", {}) == "None"


def test_numba_leaves_torch_the_threads_that_the_user_asked_for() -> None:
    """Its parallel loops set OpenMP's number of threads, which is torch's too."""
    code = "import backend, torch, numpy\nfrom backend.system.numba_cache import njit, prange\n"
    code += "@njit(parallel=True)\ndef doubled(x):\n    for i in prange(len(x)):\n        x[i] *= 2.0\n"
    code += "doubled(numpy.ones(9)); print(torch.get_num_threads())"
    assert _printed(code, {"OMP_NUM_THREADS": "1"}) == "1"
