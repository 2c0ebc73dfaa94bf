"""Write the photo statuses of the backend's report into the photo list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bpy


def write(scene: bpy.types.Scene, given: Sequence[tuple[str, str]], report: Mapping[str, Any], head_id: str) -> None:
    """Set head, status and reason of photos still in the list; ``given`` has (path as listed, label)."""
    said = {entry.get("name"): entry for entry in _entries(report)}
    of_path = {path: said[label] for path, label in given if label in said}
    for photo in scene.likeness.photos:
        entry = of_path.get(photo.path)
        if entry is None:
            continue
        photo.head = head_id
        photo.status = "USED" if entry.get("used") else "LEFT_OUT"
        photo.reason = str(entry.get("reason") or "")
        error = entry.get("landmark_error_percent")
        photo.landmark_error = float(error) if isinstance(error, int | float) else -1.0


def summary(report: Mapping[str, Any], seconds: float, missing: int = 0) -> str:
    """Summary of a job that took ``seconds`` from click to result; ``missing`` photo files were not found."""
    entries = _entries(report)
    used = sum(bool(entry.get("used")) for entry in entries)
    left_out = len(entries) - used
    rest = f", {left_out} left out" if left_out else ""
    gone = f" The files of {missing} of its photos are not there." if missing else ""
    return f"A head from {used} photo{'' if used == 1 else 's'}{rest}, in {seconds:.0f} s.{gone}"


def _entries(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = report.get("photos")
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
