"""What the panel and the preview in its corner draw, and when, without a window."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender


def test_the_pace_of_drawing() -> None:
    from blender_addon.redraw import RedrawPacing

    pace = RedrawPacing()
    assert pace.tick(10.0, True, False, False) == (True, False)
    assert pace.tick(10.1, True, False, False) == (False, False)  # not every word at once
    assert pace.tick(10.25, False, False, False) == (True, False)  # but none is lost
    assert pace.tick(10.30, False, True, True) == (False, True)
    assert pace.tick(10.33, False, False, True) == (False, False)
    assert pace.tick(10.39, False, False, True) == (False, True)  # the head turns
    assert pace.tick(10.56, False, False, True) == (False, False)  # drawing took 140 ms: it turns in large steps
    assert pace.tick(10.80, False, True, True) == (False, True)  # a new head is drawn all the same
    assert pace.tick(10.86, False, False, True) == (False, False)  # drawing took 30 ms
    assert pace.tick(11.01, False, False, True) == (False, True)
    assert pace.tick(11.04, False, False, True) == (False, False)
    assert pace.tick(11.50, False, False, False) == (False, False)  # and rests
    assert pace.tick(12.00, True, True, True) == (False, True)  # not both at once
    assert pace.tick(12.05, False, False, True) == (True, False)
    assert pace.tick(12.30, True, True, True) == (False, True)
    assert pace.tick(12.51, True, True, True) == (True, True)  # but words do not wait for ever


def test_shading_of_the_preview() -> None:
    from blender_addon.ui.corner_preview import clay_shading, triangles_of

    quads = np.array([[0, 1, 2, 3], [0, 1, 4, 4]], np.int32)
    triangles = triangles_of(quads)
    assert triangles.tolist() == [[0, 1, 2], [0, 1, 4], [0, 2, 3]]
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    lit = clay_shading(square, triangles_of(quads[:1]))
    dark = clay_shading(square * np.array([-1, 1, 1], np.float32), triangles_of(quads[:1]))
    assert (lit.mean() > 2 * dark.mean()) and lit.max() <= 1


def test_the_preview_is_drawn_from_back_to_front() -> None:
    from blender_addon.ui.corner_preview import seen_from

    corner = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    towards = np.array([0, 0, 1], np.float32)
    vertices = np.concatenate([corner + towards, corner, corner - towards])
    triangles = np.array([[0, 1, 2], [3, 5, 4], [6, 7, 8]], np.int32)
    turned, seen = seen_from(vertices, triangles, 0.0)
    np.testing.assert_allclose(turned, vertices)
    assert seen.tolist() == [[6, 7, 8], [0, 1, 2]]  # the second one faces away
    turned, seen = seen_from(vertices, triangles, np.pi)
    assert seen.tolist() == [[3, 5, 4]]
    np.testing.assert_allclose(seen_from(np.eye(3)[2:], triangles[:0], np.pi / 2)[0], [[1, 0, 0]], atol=1e-6)


def test_words() -> None:
    from blender_addon.text import gigabytes, letters_per_line, time_left

    assert [time_left(s) for s in (None, 1, 8.4, 47, 200)] == [
        "",
        "nearly done",
        "about 8 s left",
        "about 50 s left",
        "about 3 min left",
    ]
    assert gigabytes(2.64e9) == "2.6 GB"
    assert letters_per_line(250, 1.0) > letters_per_line(250, 2.0) >= 16


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


def test_every_error_is_reported_so() -> None:
    from pathlib import Path

    import blender_addon

    files = Path(blender_addon.__file__).parent.rglob("*.py")
    told = [path.name for path in files if '.report({"ERROR"}, ' in path.read_text("utf-8")]
    assert told == ["text.py"]
