"""A sample of ``tests/attacks.py``: broken and hostile files and messages are read or refused, never more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the figures are read from /proc")
def test_bad_input_costs_little_and_ends_in_a_sentence(tmp_path: Path) -> None:
    kinds = ["photos", "takes", "videos", "models"]
    sample = ["--files", "28", "--side", "2500", "--kinds", *kinds, "--messages", "200"]
    command = [sys.executable, str(ROOT / "tests" / "attacks.py"), *sample, "--json", str(tmp_path / "figures")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads((tmp_path / "figures").read_text())
    assert figures["bad_input.inputs"] > 50
    assert not any(figures[f"bad_input.{name}"] for name in ("tracebacks", "hangs", "above_4_gb"))
    assert 30 < figures["bad_input.peak_mb"] < 1000
    assert not any(
        figures[name] for name in ("unanswered", "strangers_answered", "jobs_ended_wrong", "results_escaped")
    )
    assert figures["results_refused"] > 30
