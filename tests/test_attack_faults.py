"""Faults that an attack found, each as it was met."""

from __future__ import annotations

import json
import os
import re
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
from backend.expression.subject import read_neutral
from backend.service.private_files import config_folder, make_private_folder

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
def test_keys_do_not_go_into_the_current_folder(home: str) -> None:
    with pytest.raises(LikenessError, match="no absolute path"):
        config_folder({"HOME": home})


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
        return Outcome(name=task.person.name, status="failed", code="disk", reason="The disk is full.", worker="w")

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


def test_opencv_decodes_no_pictures_of_others() -> None:
    """Its JPEG 2000 decoder has a known hole (docs/security.md); films are opened by FFmpeg alone, in their process."""
    calls = {}
    for path in sorted((ROOT / "backend").rglob("*.py")):
        found = re.findall(r"\b(imread\w*|imdecode\w*|VideoCapture\(.*)", path.read_text("utf-8"))
        if found:
            calls[path.name] = [call for call in found if call.startswith("im") or "CAP_FFMPEG" not in call]
    assert calls == {"video_process.py": []}
