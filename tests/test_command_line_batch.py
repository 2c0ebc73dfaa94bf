"""``python -m backend batch`` as a person meets it: real heads, tables, sentences, exit codes, Ctrl-C."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from one_sentence import assert_one_sentence, run_here

from backend.errors import EXIT_CODES
from backend.exchange.all_or_none import FILE_NAMES

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("--quality", "fast", "--texture", "1024", "--no-detail")
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray (the extra farm)")


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}


def batch(*arguments: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backend", "batch", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=300)


def rows(out: Path) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads((out / "batch.json").read_text("utf-8"))["people"]}


@pytest.fixture(scope="module")
def people(small_photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of somebody, of somebody without photos, and of a line that is wrong."""
    folder = tmp_path_factory.mktemp("people")
    (folder / "anna").mkdir()
    shutil.copy(small_photo, folder / "anna")
    (folder / "people.csv").write_text("name,photos,folder\nanna,,anna\nno one,none.png,\n../x,none.png,\n")
    return folder / "people.csv"


@pytest.mark.slow
def test_a_batch_and_again(people: Path, tmp_path: Path) -> None:
    """One head is made, by a worker; whoever comes later finds it done."""
    out = tmp_path / "heads"
    result = batch(people, "--out", out, "--workers", "1", *QUICK)
    assert_one_sentence(result, "some_failed", "2 of 3 people failed")
    assert "no one: No photo could be read" in result.stdout and "1 done, 2 failed" in result.stdout
    assert sorted(os.listdir(out)) == ["anna", "batch.html", "batch.json"]
    assert set(os.listdir(out / "anna")) == {*FILE_NAMES, "made_from.json"}
    first = rows(out)
    assert first["anna"]["status"] == "done" and first["anna"]["photos_used"] == 1
    assert first["no one"]["code"] == "no_photo" and first["../x"]["code"] == "usage"
    when = (out / "anna" / "face.glb").stat().st_mtime_ns
    told = json.loads((out / "anna" / "report.json").read_text())
    assert told["models"]["detail"] == "not used" and told["detail"] == {"sentence": "", "photos": []}
    assert not json.loads((out / "anna" / "detail.json").read_text())["has_detail"] and "seconds.detail" not in told

    again = run_here("batch", people, "--out", out, "--workers", "2", *QUICK)
    assert again.returncode == EXIT_CODES["some_failed"], again.stderr
    assert "1 done (1 of them before), 2 failed" in again.stdout
    assert rows(out)["anna"]["status"] == "kept"
    assert rows(out)["anna"]["fingerprint"] == first["anna"]["fingerprint"]
    alone = run_here("batch", people, "--out", out, "--only", "anna", *QUICK)
    assert alone.returncode == 0 and "anna  done before" in alone.stderr, alone.stderr
    assert_one_sentence(run_here("batch", people, "--out", out, "--only", "no one", *QUICK), "no_photo", "no such file")
    assert (out / "anna" / "face.glb").stat().st_mtime_ns == when


def test_wrong_arguments_are_told(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "heads"
    assert_one_sentence(run_here("batch", tmp_path / "none.csv", "--out", out), "usage", "no manifest")
    assert_one_sentence(run_here("batch", people, "--out", out, "--only", "carl"), "usage", "no person called 'carl'")
    assert_one_sentence(run_here("batch", people, "--out", people, "--workers", "1"), "disk", "not a folder")
    for wrong in (("--workers", "0"), ("--time-limit", "nan"), ("--device", "auto")):
        assert batch(people, "--out", out, *wrong).returncode == EXIT_CODES["usage"]
    assert not out.exists()


def test_without_ray_a_sentence_says_what_to_do(people: Path, tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("raise ModuleNotFoundError('No module named ray', name='ray')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = batch(people, "--out", tmp_path / "heads", "--address", "auto", PYTHONPATH=path)
    assert_one_sentence(result, "missing_part", "Ray is not installed")
    assert "--address" in result.stderr


@needs_ray
def test_no_cluster_at_an_address(people: Path, tmp_path: Path) -> None:
    result = batch(people, "--out", tmp_path / "heads", "--address", "nonsense")
    assert_one_sentence(result, "usage", "No Ray cluster answers at nonsense")


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as POSIX does it")
def test_ctrl_c_stops_everything_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Interrupted while workers look at photos; noise is slow enough to look at and has no face."""
    from PIL import Image

    (tmp_path / "noise").mkdir()
    Image.effect_noise((2000, 2000), 90).convert("RGB").save(tmp_path / "noise" / "0.jpg")
    for number in range(1, 60):
        shutil.copy(tmp_path / "noise" / "0.jpg", tmp_path / "noise" / f"{number}.jpg")
    manifest, out = tmp_path / "people.jsonl", tmp_path / "heads"
    manifest.write_text("".join(f'{{"name": "p{number}", "folder": "noise"}}\n' for number in range(3)))
    command = [sys.executable, "-m", "backend", "batch", str(manifest), "--out", str(out), "--workers", "2"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )
    until = time.monotonic() + 120
    while not (out / "batch.json").exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(5)  # workers have begun
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does it: to the workers, too
    _, told = process.communicate(timeout=60)
    assert process.returncode == EXIT_CODES["cancelled"], told
    assert "Stopped: 0 of 3 people are done." in told and "Traceback" not in told
    file = json.loads((out / "batch.json").read_text("utf-8"))
    assert file["state"] == "stopped" and file["counts"] == {"waiting": 3}
    assert sorted(os.listdir(out)) == ["batch.html", "batch.json"]
