"""A sample of ``benchmarks/bad_input.py``: broken and hostile files are read or refused, never more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="the figures are read from /proc")
def test_bad_files_cost_little_and_end_in_a_sentence(tmp_path: Path) -> None:
    script, kinds = ROOT / "benchmarks" / "bad_input.py", ["photos", "takes", "videos", "models", "messages"]
    sample = ["--count", "60", "--side", "2500", "--kinds", *kinds, "--json", str(tmp_path / "figures.json")]
    result = subprocess.run([sys.executable, str(script), *sample], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["bad_input.inputs"] > 80
    assert not any(figures[f"bad_input.{name}"] for name in ("tracebacks", "hangs", "above_4_gb"))
    assert 30 < figures["bad_input.peak_mb"] < 1000
