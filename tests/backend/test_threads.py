"""Importing the backend first leaves the numerical libraries with settings that were measured to be fast."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _value(name: str, given: dict[str, str]) -> str:
    environment = {key: value for key, value in os.environ.items() if key != name}
    environment |= {"PYTHONPATH": str(ROOT), **given}
    code = f"import backend, os; print(os.environ[{name!r}])"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_small_matrices_are_not_shared_among_threads() -> None:
    assert _value("OPENBLAS_NUM_THREADS", {}).strip() == "1"


def test_what_the_user_asked_for_stays() -> None:
    assert _value("OPENBLAS_NUM_THREADS", {"OPENBLAS_NUM_THREADS": "2"}).strip() == "2"
