"""An ``expression.json`` as the ``ExpressionClip`` that it was written from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from backend.expression.clip import ExpressionClip


def read_clip(path: Path) -> ExpressionClip:
    """The clip; arrays without frames keep their columns."""
    file = json.loads(path.read_text("utf-8"))
    count = file["frame_count"]

    def array(rows: list, columns: int) -> np.ndarray:
        return np.array([row or [np.nan] * columns for row in rows], np.float32).reshape(count, columns)

    head = array(file["head"], 7)
    return ExpressionClip(
        source=file["source"],
        kind=file["kind"],
        fps=file["fps"],
        frame_names=tuple(file["frame_names"]),
        weights=array(file["weights"], len(file["names"])),
        head_positions=head[:, :3],
        head_rotations=head[:, 3:],
        gaze=array(file["gaze"], 4),
        marks=np.array(file["marks"], np.uint8),
        errors=np.array([np.nan if error is None else error for error in file["errors"]], np.float32),
        pivot=np.array(file["pivot"], np.float32),
        left_out=tuple((entry["name"], entry["reason"]) for entry in file["left_out"]),
        notes=tuple(file["notes"]),
    )
