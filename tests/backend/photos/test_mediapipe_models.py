"""MediaPipe's models as they are wrapped: quiet, closed once, and nobody else's messages lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backend.photos import mediapipe_models
from backend.photos.faces import detect_faces
from backend.photos.mediapipe_models import Model

NATIVE = b"W0000 00:00:1795164753.863319   10773 landmark_projection_calculator.cc:186] Using NORM_RECT\n"


class Chatty:
    """A solution that logs as MediaPipe does, beside a message of someone else's."""

    def __init__(self) -> None:
        self.closed = 0
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")

    def process(self, pixels: np.ndarray) -> SimpleNamespace:
        os.write(2, NATIVE + b"a message of another thread\n")
        return SimpleNamespace(multi_face_landmarks=["face"] if pixels.any() else None)

    def close(self) -> None:
        self.closed += 1


def test_native_logs_are_dropped_until_the_first_face_and_other_messages_are_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = Model(lambda solutions: Chatty())
    model.process(np.zeros((4, 4, 3), np.uint8))
    model.process(np.ones((4, 4, 3), np.uint8))
    quiet = capfd.readouterr().err
    assert "NORM_RECT" not in quiet
    assert "XNNPACK" not in quiet
    assert quiet.count("a message of another thread") == 3  # the warm-up and two pictures
    model.process(np.ones((4, 4, 3), np.uint8))
    assert "NORM_RECT" in capfd.readouterr().err  # MediaPipe itself is quiet by now; nothing is redirected any more


def test_closing_twice_closes_once_and_a_closed_model_says_so() -> None:
    chatty = Chatty()
    model = Model(lambda solutions: chatty)
    model.close()
    model.close()
    assert chatty.closed == 1
    with pytest.raises(RuntimeError, match="closed"):
        model.process(np.zeros((4, 4, 3), np.uint8))


def test_redirection_leaves_standard_error_usable() -> None:
    before = os.fstat(2)
    Model(lambda solutions: Chatty())
    after = os.fstat(2)
    assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)


def test_a_picture_of_one_colour_is_not_searched_for_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A black frame of a video, with a codec's noise; its search would take ten tiles and four turns."""
    monkeypatch.setattr(mediapipe_models, "face_detector", lambda full_range: pytest.fail("it was searched"))
    assert detect_faces(np.random.default_rng(0).integers(0, 5, (300, 400, 3), dtype=np.uint8)) == ()


def test_dim_pictures_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    nothing = SimpleNamespace(process=lambda view: asked.append(view) or SimpleNamespace(detections=None))
    monkeypatch.setattr(mediapipe_models, "face_detector", lambda full_range: nothing)
    assert detect_faces(np.random.default_rng(0).integers(0, 20, (300, 400, 3), dtype=np.uint8)) == ()
    assert len(asked) > 8


@pytest.mark.parametrize("first", ["", "import matplotlib.pyplot"])
def test_mediapipe_loads_no_plots_and_has_them_when_asked(first: str) -> None:
    """In a process of its own: what is imported stays so."""
    script = f"""
import sys
{first}
from backend.photos.mediapipe_models import _solutions
solutions = _solutions()
loaded = "matplotlib.pyplot" in sys.modules
assert loaded == bool({first!r}), loaded
figure = solutions.drawing_utils.plt.figure
import matplotlib.pyplot
assert matplotlib.pyplot.figure is figure
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).resolve().parents[3])
