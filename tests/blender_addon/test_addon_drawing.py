"""What the panel draws, without a window."""

from __future__ import annotations

import pytest


def test_an_error_pops_up_no_wider_than_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blender makes the popup as wide as the longest line, and a label of each line."""
    from unittest.mock import MagicMock

    from blender_addon import text

    said = (
        "No face was found in any of the 8 photos: a.jpg, b.jpg, c.jpg, d.jpg. Choose photos in which the face is at "
        "least 60 pixels high, upright and not covered.\nThe log is in /a-folder-with-a-long-name/" + "x" * 70
    )
    operator = MagicMock()
    text.report_error(operator, said)
    operator.report.assert_called_once_with({"ERROR"}, said)  # as a script's error
    monkeypatch.setattr(text, "bpy", MagicMock(**{"app.background": False}))
    text.report_error(operator, said)
    (kind, shown) = operator.report.call_args.args
    *lines, path = shown.split("\n")
    assert kind == {"ERROR"} and len(lines) == 4 and max(map(len, lines)) <= 60
    assert path == "/a-folder-with-a-long-name/" + "x" * 70  # to copy it in one piece
    assert shown.split() == said.split()
