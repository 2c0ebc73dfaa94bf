"""``python -m backend doctor`` says what is missing, whatever is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.command_line import doctor
from backend.errors import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]


def run_doctor(*python_options: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    command = [sys.executable, *python_options, "-m", "backend", "doctor"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_everything_required_is_here() -> None:
    result = run_doctor()
    assert result.returncode == 0, result.stdout
    for name, _ in doctor.required_packages():
        assert f"  {name} " in result.stdout
    assert "template.safetensors" in result.stdout and "sha256" in result.stdout


def test_it_runs_without_any_package() -> None:
    result = run_doctor("-S")  # no site-packages
    assert result.returncode == EXIT_CODES["missing_part"]
    assert result.stderr == ""
    for name in ("torch", "numpy", "rich", "ai-edge-litert"):
        assert f"MISSING  {name} " in result.stdout
    assert "pip install" in result.stdout and "clone again" not in result.stdout


def test_a_package_that_lacks_a_system_library_gets_that_advice(tmp_path: Path) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    broken = "raise ImportError('libz.so.1: cannot open shared object file: No such file or directory')\n"
    (tmp_path / "ai_edge_litert" / "__init__.py").write_text(broken)
    result = run_doctor(path=tmp_path)
    assert result.returncode == EXIT_CODES["missing_part"]
    (line,) = [line for line in result.stdout.splitlines() if "MISSING" in line]
    assert "ai-edge-litert" in line and "libz.so.1" in line and "the library that it names" in line


def test_a_model_without_weights_is_called_not_trained_yet(tmp_path: Path) -> None:
    (tmp_path / "parsing").mkdir()
    (tmp_path / "parsing" / "parsing-00001-of-00001.safetensors").write_bytes(b"x")
    lines = {finding.text.split()[0]: finding.text for finding in doctor.model_findings(tmp_path)}
    assert lines["parsing"].endswith("present")
    assert "not trained yet" in lines["lap"]
    assert not any(finding.missing for finding in doctor.model_findings(tmp_path))


def test_an_asset_is_known_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"abc")
    first = next(iter(doctor.asset_findings(tmp_path)))
    assert "sha256 ba7816bf8f01cfea" in first.text  # FIPS 180-2, appendix B.1


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_a_reader_that_has_read_enough_is_no_error() -> None:
    """``doctor | head``."""
    shell = '"$0" -S -m backend doctor | true'
    result = subprocess.run(["sh", "-c", shell, sys.executable], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
