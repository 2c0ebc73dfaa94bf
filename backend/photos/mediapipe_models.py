"""MediaPipe's face and person models: one instance each per process, without log output, thread-safe."""

import atexit
import importlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from backend.errors import LikenessError
from backend.system.files import made_once

_construction = threading.Lock()
_WARM_UP_SIDE = 256
_NATIVE_LOG = re.compile(rb"[IWEF]\d{4} \d\d:|(INFO|WARNING): (Created|All log)|\s*$")
_FINDINGS = ("multi_face_landmarks", "multi_hand_landmarks")


class Model:
    """One MediaPipe solution. ``process`` is serialised by a lock: MediaPipe's graphs are not thread-safe."""

    def __init__(self, construct: Callable[[Any], Any]) -> None:
        with _construction, _quiet_stderr():
            self._solution = construct(_solutions())
            self._solution.process(np.zeros((_WARM_UP_SIDE, _WARM_UP_SIDE, 3), np.uint8))  # logs on its first use
        self._silence = True
        self._lock = threading.Lock()
        atexit.register(self.close)

    def process(self, pixels: np.ndarray) -> Any:
        """Run on (H, W, 3) uint8 sRGB pixels; returns MediaPipe's own result object."""
        with self._lock:
            if self._solution is None:
                raise RuntimeError("this model was closed")
            if not self._silence:
                return self._solution.process(np.ascontiguousarray(pixels))
            with _construction, _quiet_stderr():  # logs again at the first face or hand
                result = self._solution.process(np.ascontiguousarray(pixels))
            findings = [getattr(result, name) for name in _FINDINGS if hasattr(result, name)]
            self._silence = bool(findings) and not any(findings)
            return result

    def close(self) -> None:
        """Free the model; further calls do nothing."""
        with self._lock:
            solution, self._solution = self._solution, None
        if solution is not None:
            solution.close()


@made_once
def face_detector(full_range: bool) -> Model:
    """Face boxes with six key points: short-range model (up to 2 m, 128 px input) or full-range model (192 px)."""
    return Model(
        lambda solutions: solutions.face_detection.FaceDetection(
            model_selection=int(full_range), min_detection_confidence=0.3
        )
    )


@made_once
def face_mesh() -> Model:
    """478 face landmarks including irises, in an image of one face."""
    return Model(
        lambda solutions: solutions.face_mesh.FaceMesh(
            static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=0.2
        )
    )


@made_once
def person_segmenter() -> Model:
    """Probability of a person per pixel."""
    return Model(lambda solutions: solutions.selfie_segmentation.SelfieSegmentation(model_selection=0))


@made_once
def hand_finder() -> Model:
    """21 landmarks of each of up to two hands."""
    return Model(
        lambda solutions: solutions.hands.Hands(static_image_mode=True, max_num_hands=2, min_detection_confidence=0.4)
    )


def _solutions() -> Any:
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _plots_when_asked_for():
            import mediapipe
    except ImportError as error:
        raise LikenessError(
            "missing_part",
            f"MediaPipe, which finds the faces, cannot be loaded ({error}).",
            "Install it with 'pip install mediapipe==0.10.21'; on bare Linux machines also libgl1 and libegl1.",
        ) from error
    return mediapipe.solutions


@contextmanager
def _plots_when_asked_for() -> Iterator[None]:
    """Within this context, imports of Matplotlib are lazy.

    MediaPipe imports it for a plot that is not used here: 0.36 of the 0.62 s that MediaPipe takes to load.
    """
    names = ("matplotlib", "matplotlib.pyplot")
    if any(name in sys.modules for name in names):
        yield
        return
    stand_ins = {name: ModuleType(name) for name in names}

    def put_away() -> None:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]

    def real_attribute(name: str, attribute: str) -> Any:
        put_away()
        return getattr(importlib.import_module(name), attribute)

    for name, module in stand_ins.items():
        module.__getattr__ = partial(real_attribute, name)
    stand_ins["matplotlib"].pyplot = stand_ins["matplotlib.pyplot"]
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        put_away()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Suppress native log lines, which MediaPipe always writes to file descriptor 2.

    Output of other threads to it is held back and passed on afterwards.
    """
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (OSError, AttributeError, ValueError):  # no standard error, as under pythonw
        yield
        return
    with tempfile.TemporaryFile() as caught:
        try:
            os.dup2(caught.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            caught.seek(0)
            for line in caught:
                if not _NATIVE_LOG.match(line):
                    os.write(2, line)
            os.close(stderr)
