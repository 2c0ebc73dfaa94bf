"""Faults that an attack found, each as it was met."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from machine_speed import times_slower

from backend.batch import command
from backend.batch.manifest import read_manifest
from backend.batch.records import Outcome, sha256_of
from backend.errors import LikenessError
from backend.exchange.all_or_none import OutputFolder
from backend.expression.subject import read_neutral
from backend.service.access import jobs_folder, make_private_folder, own_folder

ROOT = Path(__file__).resolve().parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="modes and pipes are POSIX's")


def test_a_name_that_the_log_cannot_hold_is_no_failure(tmp_path: Path) -> None:
    """All files were written, and then the exit code was 1."""
    script = (
        "import sys; from backend import __main__ as m; m.run_until_pipe_closes = lambda run: print('渡辺') or 0;"
        "sys.exit(m.main(['doctor']))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == rb"\u6e21\u8fba"


def glb(description: bytes, folder: Path) -> Path:
    """A folder with a ``face.glb`` of this description and no data."""
    description += b" " * (-len(description) % 4)
    data = struct.pack("<I4s", len(description), b"JSON") + description + struct.pack("<I4s", 0, b"BIN\0")
    (folder / "face.glb").write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(data)) + data)
    return folder


@pytest.mark.parametrize(
    "description",
    [
        b'{"asset":{"version":"2.0"},"nodes":[' + b",".join([b"{}"] * 80_000) + b"]}",
        b'{"asset":{"version":"2.0"},"nodes":[' + b",".join([b"{}"] * 1_300_000) + b"]}",
        b'{"asset":{"version":"2.0"},"extras":[' + b",".join([b"[]"] * 1_300_000) + b"]}",
        b'{"asset":{"version":"2.0"},"extras":[' + b",".join([b"[]"] * 5_000_000) + b"]}",
        b'{"extras":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["80,000 nodes", "a million nodes", "empty arrays", "beyond the limit", "deep"],
)
def test_a_head_of_others_costs_little(description: bytes, tmp_path: Path) -> None:
    """80,000 nodes took 14 processor seconds."""
    folder = glb(description, tmp_path)
    start = time.process_time()
    with pytest.raises(LikenessError, match="not a head"):
        read_neutral(folder)
    assert time.process_time() - start < 3.0 * times_slower()


def head(folder: Path, scale: float) -> Path:
    """The template's head, ``scale`` times as large, as ``face.glb``."""
    import numpy as np

    from backend.exchange.assemble import assemble, with_pictures
    from backend.exchange.folder import _write_glb
    from backend.geometry.template import load_template
    from backend.rig.personalise import personalise_keys

    template = load_template()
    neutral, grey = template.vertices * np.float32(scale), np.full((16, 16, 3), 128, np.uint8)
    asset = with_pictures(assemble(template, neutral, personalise_keys(template, template.vertices)), template, grey)
    _write_glb(asset, folder)
    return folder


@posix
def test_a_shared_folder_keeps_its_rights(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(LikenessError, match="open to other users") as caught:
        make_private_folder(shared)
    assert caught.value.code == "usage" and shared.stat().st_mode & 0o7777 == 0o1777
    assert "other files" not in caught.value.sentence  # none are in it
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "letters.txt").write_text("")
    with pytest.raises(LikenessError):
        make_private_folder(home)
    assert home.stat().st_mode & 0o777 == 0o755
    own = tmp_path / "own"
    own.mkdir(mode=0o755)
    (own / "server_key.json").write_text("{}")
    make_private_folder(own)
    assert own.stat().st_mode & 0o777 == 0o700


@posix
@pytest.mark.parametrize("home", ["", ".", "relative/home"])
def test_keys_do_not_go_into_the_current_folder(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIKENESS_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    with pytest.raises(LikenessError, match="no absolute path"):
        own_folder()


@posix
def test_a_path_that_becomes_a_pipe_does_not_stop_a_hash(tmp_path: Path) -> None:
    path, stop = tmp_path / "p.jpg", threading.Event()
    (tmp_path / "whole").write_bytes(b"x" * 1000)
    os.mkfifo(tmp_path / "fifo")

    def swap() -> None:
        while not stop.is_set():
            for kind in ("whole", "fifo"):
                os.link(tmp_path / kind, tmp_path / "next")
                os.replace(tmp_path / "next", path)
                (tmp_path / "next").unlink(missing_ok=True)

    swapper = threading.Thread(target=swap, daemon=True)
    swapper.start()
    hasher = threading.Thread(target=lambda: [sha256_of(path, 10**6) for _ in range(2000)], daemon=True)
    hasher.start()
    hasher.join(60)
    stop.set()
    swapper.join(10)
    assert not hasher.is_alive()


def test_a_full_disk_stops_a_batch_at_its_first_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(task: object, progress: object) -> Outcome:
        made.append(task.person.name)
        monkeypatch.setattr(command, "_is_full", lambda folder: True)  # while the head was made
        return Outcome(name=task.person.name, line=task.person.line, status="failed", code="disk", reason="It is full.")

    monkeypatch.setattr(command, "make_head", make)
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"x")
    lines = [json.dumps({"name": f"p{number}", "photos": [str(photo)]}) for number in range(3)]
    (tmp_path / "people.jsonl").write_text("\n".join(lines))
    from backend.__main__ import main

    arguments = ["batch", str(tmp_path / "people.jsonl"), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main(arguments) == 6
    assert made == ["p0"]
    assert main(arguments) == 6  # and none is begun where there is no room
    assert made == ["p0"]


def test_an_invisible_character_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(json.dumps({"name": "a\u202egpj.exe", "photos": ["a.jpg"]}))
    manifest = read_manifest(path)
    assert not manifest.people and "invisible" in manifest.bad_lines[0].sentence


@pytest.mark.parametrize(("scale", "fits"), [(1.0, True), (2.0, False)])
def test_a_head_of_half_a_metre_is_none(scale: float, fits: bool, tmp_path: Path) -> None:
    if fits:
        assert abs(read_neutral(head(tmp_path, scale))).max() < 1.0
    else:
        with pytest.raises(LikenessError, match="not a head"):
            read_neutral(head(tmp_path, scale))


@posix
def test_ctrl_c_while_modules_load_is_no_traceback() -> None:
    """It ended with one, and with exit code -2, before the first 0.1 s were over."""
    process = subprocess.Popen(
        [sys.executable, "-m", "backend", "doctor"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONPROFILEIMPORTTIME": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a job in the background has none
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stderr:
        if line.endswith("| backend\n"):
            process.send_signal(signal.SIGINT)
            break
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 8 and said.endswith("Cancelled.\nNothing was written.\n")
    assert "Traceback" not in said


def test_a_head_that_is_too_large_for_the_machine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend import pipeline
    from backend.photos.collection import PhotoSource

    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(pipeline, "run_graph", full)
    sources = [PhotoSource(f"{number}.jpg", path=tmp_path / f"{number}.jpg") for number in range(64)]
    with pytest.raises(LikenessError, match=r"64 photos and a texture of 4096 .* needs more memory") as caught:
        pipeline.reconstruct(sources, pipeline.ReconstructOptions(texture_size=4096))
    assert caught.value.code == "out_of_memory"


@pytest.mark.skipif(sys.platform != "linux", reason="the system enforces the limit")
def test_the_process_of_a_head_has_a_limit_of_memory() -> None:
    code = (
        "import numpy as np; from backend.system import processes; processes.memory_bytes = lambda: 2**29;"
        "processes.keep_freed_memory(); np.ones(2**26)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "MemoryError" in done.stderr


def test_the_doctor_says_what_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.command_line.doctor import stopped_findings

    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(tmp_path / "config"))
    assert list(stopped_findings(tmp_path)) == []
    (tmp_path / "head" / ".likeness" / "earlier").mkdir(parents=True)
    (tmp_path / ".likeness-new").mkdir()
    (tmp_path / "config" / "jobs" / "killed").mkdir(parents=True)
    texts = [finding.text for finding in stopped_findings(tmp_path)]
    assert ["server" in texts[0], "before its end" in texts[1], "puts back" in texts[2]] == [True] * 3
    with OutputFolder(tmp_path / "head"), OutputFolder(tmp_path / "new"):
        assert len(list(stopped_findings(tmp_path))) == 1  # those run
    _, lock = jobs_folder(tmp_path / "config", "runs")
    assert list(stopped_findings(tmp_path)) == []
    lock.release()


def test_opencv_decodes_no_pictures_of_others() -> None:
    """Its JPEG 2000 decoder has a known hole (docs/security.md); films are opened by FFmpeg alone, in their process."""
    calls = {}
    for path in sorted((*(ROOT / "backend").rglob("*.py"), *(ROOT / "trainer" / "sets").glob("*.py"))):
        found = re.findall(r"\b(imread\w*|imdecode\w*|VideoCapture\(.*)", path.read_text("utf-8"))
        if found:
            calls[path.name] = [call for call in found if call.startswith("im") or "CAP_FFMPEG" not in call]
    assert calls == {"video_process.py": []}
