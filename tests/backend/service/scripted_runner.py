"""What the worker runs in tests: the first photo's bytes say what the job does (see ``backend.service.worker``)."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.exchange.buffers import BufferList, WireMessage
from backend.service.worker import JobReporter, Task

_kept: list[np.ndarray] = []
_heads: set[str] = set()
"""Tokens of the jobs whose heads are kept."""


def warm(device: str) -> None:
    """Ready at once, or after two seconds; dies where the environment says so."""
    mode = os.environ.get("SCRIPTED_WARM", "")
    if mode == "missing":
        raise ImportError("no such thing", name="ai_edge_litert")
    if mode == "crash":
        os._exit(7)
    if mode == "slow":
        time.sleep(2.0)


LATER_BYTES = 0


def later(device: str) -> tuple[Callable[[], object], ...]:
    """Nothing; or, where the environment says so, ten things of 0.3 s."""
    mode = os.environ.get("SCRIPTED_LATER", "")
    return tuple([partial(time.sleep, 0.3)] * 10 + [_note_that_it_is_loaded]) if mode == "slow" else ()


def _note_that_it_is_loaded() -> None:
    _kept.append(np.ones(1, np.uint8))
    Path(os.environ.get("SCRIPTED_NOTE", os.devnull)).touch()


def forget(token: str | None) -> None:
    """Drop a head, or all."""
    _heads.difference_update(set(_heads) if token is None else {token})


def run(task: Task, report: JobReporter) -> WireMessage:
    """Do what the first photo says; the result holds all photos' sizes. Without photos: answer if the head is kept."""
    if task.options.only in ("hair", "texture"):
        if task.options.head not in _heads:
            raise LikenessError("usage", "The backend does not have this head any more.")
        return BufferList().message({"only": task.options.only})
    _heads.add(task.token)
    data = [Path(path).read_bytes() for path in task.paths]
    word, _, argument = data[0].decode("latin-1").partition(" ")
    if word.startswith("transfer") or (task.kind == "transfer" and word == "sleep"):
        if word == "sleep":
            _sleep(float(argument), report)
        return _transfer(task, data, report)
    if word == "clip":
        return _clip()
    if word == "answer":
        _answer(report)
    elif word == "face":
        return _face(task, report)
    elif word == "sleep":
        _sleep(float(argument), report)
    elif word == "stuck":
        report("photos", 0.0)
        time.sleep(float(argument))
    elif word == "frozen":
        report("photos", 0.0)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif word == "exit":
        os._exit(int(argument))
    elif word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "memory":
        raise MemoryError
    elif word == "roomy":
        if any(path.name == "result" for path in Path(task.paths[0]).parent.parent.glob("*/*")):
            raise OSError(28, "No space left on device")
    elif word == "hoard":
        _fail_with_much_in_hand(int(argument))
    elif word == "bug":
        raise ValueError("a bug")
    elif word == "no_face":
        raise LikenessError("no_face", "No face was found.", "Give another photo.")
    elif word == "keep":
        _kept.append(np.ones(int(argument), np.uint8))
    elif word == "noise":
        print("this goes to the terminal")
        os.write(1, b"\0\1\2 so does this\n")
        sys.stdin.read()
    buffers = BufferList()
    buffers.add_array("sizes", np.array([len(one) for one in data]), "<i4")
    size = int(argument) if word == "large" else 16
    buffers.add_array("ballast", np.zeros(size // 4), "<f4")
    header = {
        "names": list(task.names),
        "pid": os.getpid(),
        "texture_size": task.options.texture_size,
        "kept": len(_kept),
    }
    return buffers.message(header)


def _transfer(task: Task, data: list[bytes], report: JobReporter) -> WireMessage:
    """What came, as the file that a transfer makes."""
    report("identity", 1.0)
    report("expression", 0.5)
    identity = None if task.identity is None else len(Path(task.identity).read_bytes())
    said = {"names": task.names, "sizes": [len(one) for one in data], "video": task.video, "identity": identity}
    buffers = BufferList()
    buffers.add_file("expression", json.dumps(said).encode(), "application/json")
    return buffers.message({"kind": task.kind, "version": 1})


def _clip() -> WireMessage:
    """An expression file of two frames."""
    from backend.expression.clip import ExpressionClip, clip_bytes

    rotations = np.tile(np.array([1, 0, 0, 0], np.float32), (2, 1))
    zeros = [np.zeros((2, count), np.float32) for count in (52, 3, 4)]
    marks, errors = np.zeros(2, np.uint8), np.zeros(2, np.float32)
    take = ExpressionClip(
        "clip", "video", 24.0, (), zeros[0], zeros[1], rotations, zeros[2], marks, errors, np.zeros(3, np.float32)
    )
    buffers = BufferList()
    buffers.add_file("expression", clip_bytes(take), "application/json")
    return buffers.message({"kind": "transfer", "version": 1})


def _answer(report: JobReporter) -> None:
    for stage in ("photos", "landmarks", "dense"):
        for step in range(3):
            report(stage, step / 2)
        buffers = BufferList()
        buffers.add_picture("picture", np.zeros((8, 8, 3), np.uint8))
        report.preview(stage, buffers.message({}))


def _sleep(seconds: float, report: JobReporter) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        report("photos", 1 - left / seconds)
        time.sleep(0.02)


def _fail_with_much_in_hand(megabytes: int) -> None:
    """Fail while arrays of that size are local variables of a frame that its own error keeps alive."""
    arrays = [np.ones(1 << 20, np.uint8) for _ in range(megabytes)]
    try:
        raise ValueError(f"{len(arrays)} arrays")
    except ValueError as error:
        kept = error
    raise kept


def _face(task: Task, report: JobReporter) -> WireMessage:
    """The template's own face, as a reconstruction would send it."""
    from backend.exchange.assemble import assemble, with_pictures
    from backend.exchange.face_asset import AssetPhoto
    from backend.exchange.wire import encode_face
    from backend.geometry.template import load_template
    from backend.pipeline import HeadPreview
    from backend.rendering.camera import Camera
    from backend.service.job_runner import preview_message

    template = load_template()
    report("landmarks", 1.0)
    head = template.head
    shown = HeadPreview("landmarks", template.vertices[: head.vertex_stop], template.quads[: head.face_stop])
    report.preview("landmarks", preview_message(shown))
    intrinsics = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])
    pose = np.diag([1.0, -1, -1, 1])
    pose[:3, 3] = [0, 0.1, 1.0]
    points = np.zeros((478, 4), np.float32), np.zeros((11, 3), np.float32)
    photo = AssetPhoto(task.names[0], Camera(intrinsics, pose, (640, 480)), np.zeros(52), 1.5, float("nan"), *points)
    report_entry = {"name": task.names[0], "used": True, "reason": ""}
    albedo = np.full((64, 64, 3), 200, np.uint8)
    shape = assemble(template, template.vertices, template.expressions, (photo,))
    report = {"version": 1, "photos": [report_entry]}
    return encode_face(replace(with_pictures(shape, template, albedo), report=report))
