"""The worker's runner for transfers: photos or a video to the content of ``expression.json``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.exchange.buffers import BufferList, WireMessage
from backend.expression.clip import ExpressionClip, clip_bytes
from backend.expression.subject import Subject, subject_of
from backend.expression.transfer import transfer_photos, transfer_video
from backend.geometry.template import load_template
from backend.progress import ProgressReporter
from backend.rig.mouth import with_plain_teeth
from backend.service.worker import Task
from protocol.message import HEAD_METRES

FORMAT_VERSION = 1


def run(task: Task, progress: ProgressReporter) -> WireMessage:
    """Run one transfer. Raises ``LikenessError``."""
    subject = None if task.identity is None else _subject(Path(task.identity))
    buffers = BufferList()
    buffers.add_file("expression", clip_bytes(_take(task, subject, progress)), "application/json")
    return buffers.message({"kind": "transfer", "version": FORMAT_VERSION})


def _take(task: Task, subject: Subject | None, progress: ProgressReporter) -> ExpressionClip:
    paths = [Path(path) for path in task.paths]
    if not task.video:
        name = task.names[0] if len(task.names) == 1 else f"{len(task.names)} photos"
        return transfer_photos(name, list(zip(task.names, paths, strict=True)), subject, progress)
    try:
        take = transfer_video(paths[0], subject, progress)
    except LikenessError as error:  # replace the server's file name by the client's
        raise LikenessError(error.code, error.sentence.replace(str(paths[0]), task.names[0]), error.advice) from error
    return replace(take, source=task.names[0])


def _subject(path: Path) -> Subject:
    """The rig of the neutral head in a file. Raises ``LikenessError`` with code "usage" if it is not a head."""
    vertices = np.frombuffer(path.read_bytes(), "<f4").reshape(-1, 3)
    template = load_template()
    if (
        vertices.shape != template.vertices.shape
        or not np.isfinite(vertices).all()
        or np.abs(vertices).max() > HEAD_METRES
    ):
        sentence = "The head that came with the pictures is not one that this version of Likeness made."
        advice = "Choose a head of this version that has all its parts, or let the face be solved from the pictures."
        raise LikenessError("usage", sentence, advice)
    return subject_of(with_plain_teeth(template, vertices))
