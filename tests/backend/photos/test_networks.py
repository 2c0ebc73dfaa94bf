"""MediaPipe's networks in LiteRT, against MediaPipe's own answers, and what surrounds them.

``mediapipe_answers.npz`` was recorded once with MediaPipe 0.10.21 (``FaceDetection``, ``FaceMesh`` without refinement,
``SelfieSegmentation``, ``Hands`` with the lite models) on squares of 256 pixels.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.errors import DamagedFileError, LikenessError
from backend.photos import networks
from backend.photos.faces import detect_faces
from backend.photos.networks import SHORT_RANGE, Window, faces, hands, mesh, person

ANSWERS = Path(__file__).with_name("mediapipe_answers.npz")
SIDE, WHOLE = 256, Window((128.0, 128.0), 256.0)
FACE = 512
"""Pixels of a face in which errors are given."""


@pytest.fixture(scope="module")
def answers(photo_dir: Path) -> dict[str, np.ndarray]:
    """MediaPipe's answers, and the pictures (20, 256, 256, 3)."""
    with np.load(ANSWERS) as file:
        found = dict(file)
    return found | {"pictures": np.stack([square(photo_dir / "people" / name) for name in found["names"]])}


def square(path: Path) -> np.ndarray:
    picture = np.array(Image.open(path).convert("RGB"))
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 4, (width - side) // 2
    part = Image.fromarray(picture[top : top + side, left : left + side])
    return np.array(part.resize((SIDE, SIDE), Image.Resampling.BOX if side >= SIDE else Image.Resampling.BILINEAR))


def half_pixel(angle: float) -> np.ndarray:
    """By how much more MediaPipe moves a window of this angle, whose first pixel's centre is on its corner."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]]) @ [0.5, 0.5] - 0.5


@pytest.mark.parametrize("full_range", [False, True])
def test_detectors_find_what_mediapipe_finds(answers: dict[str, np.ndarray], full_range: bool) -> None:
    """The sparse full-range model's sums differ in LiteRT (score up to 0.010): an anchor at its threshold is averaged
    or not, which moves one of twenty boxes by 4.5 pixels."""
    off = []
    for picture, row in zip(answers["pictures"], answers["full_range" if full_range else "short_range"], strict=True):
        (box,) = faces(picture, WHOLE, full_range)
        assert box.score == pytest.approx(row[0], abs=0.02)
        corner, size = row[1:3] * SIDE, row[3:5] * SIDE
        points = np.concatenate([[corner + size / 2], row[5:].reshape(6, 2) * SIDE])
        apart = np.abs(np.concatenate([[box.centre], box.points]) - points).max()
        off.append(max(apart, abs(box.side - size.max())) * FACE / size.max())
    assert np.median(off) < 0.5
    assert max(off) < (5.0 if full_range else 0.5)


def test_the_mesh_is_mediapipes(answers: dict[str, np.ndarray]) -> None:
    for picture, points in zip(answers["pictures"], answers["mesh"] * SIDE, strict=True):
        face = networks.boxes("face_detection_short_range", SHORT_RANGE, picture, WHOLE, 0.2)[
            0
        ]  # as FaceMesh was asked
        right, left = face.points[:2]
        angle = float(np.arctan2(*(left - right)[::-1]))
        found = mesh(picture, Window(tuple(face.centre - half_pixel(angle)), 1.5 * face.side, angle))
        assert found is not None
        found[:, :2] += half_pixel(angle)
        assert np.abs(found - points).max() * FACE / np.ptp(points, axis=0).max() < 0.5


def test_persons_and_hands_are_mediapipes(answers: dict[str, np.ndarray]) -> None:
    for picture, shown in zip(answers["pictures"], answers["person"], strict=True):
        found = person(picture).reshape(32, 8, 32, 8).mean((1, 3))
        assert np.abs(found - shown / 255).max() < 0.01
    both = hands(answers["pictures"][0])
    assert len(both) == len(answers["hands"]) == 2
    for (score, points), row in zip(both, answers["hands"], strict=True):
        true = row[1:].reshape(21, 3)[:, :2] * SIDE
        assert score == pytest.approx(row[0], abs=0.02)
        up = true[9] - true[0]
        off = points + half_pixel(float(np.arctan2(up[0], -up[1]))) - true
        assert np.abs(off).max() < 0.5  # pixels of the picture, in which the hands are 60 to 80 long


def test_a_window_that_is_turned_or_mirrored_gives_the_same_points(answers: dict[str, np.ndarray]) -> None:
    from backend.photos.faces import mean_landmarks

    picture, points = answers["pictures"][1], answers["mesh"][1] * SIDE
    middle, side = points[:, :2].min(0) / 2 + points[:, :2].max(0) / 2, 1.5 * np.ptp(points[:, :2], axis=0).max()
    plain = mesh(picture, Window(tuple(middle), side))
    mirrored = mesh(picture, Window(tuple(middle), side, 0.1, True))
    assert plain is not None and mirrored is not None
    apart = np.linalg.norm(mirrored[mean_landmarks().mirror[:468]] - plain, axis=1)
    assert np.median(apart) < 0.02 * side


def test_files_are_the_published_ones_and_the_readme_says_which() -> None:
    readme = (networks.FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert {path.stem for path in networks.FOLDER.glob("*.tflite")} == set(networks.SHA256)
    for name, digest in networks.SHA256.items():
        assert hashlib.sha256((networks.FOLDER / f"{name}.tflite").read_bytes()).hexdigest() == digest
        assert digest in readme


def test_a_damaged_file_is_said_and_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(networks, "FOLDER", tmp_path)
    with pytest.raises(DamagedFileError, match=r"face_landmark\.tflite is damaged"):
        networks.Network("face_landmark")
    (tmp_path / "face_landmark.tflite").write_bytes(b"TFL3")
    with pytest.raises(DamagedFileError, match="not what was written"):
        networks.Network("face_landmark")


def test_without_litert_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(LikenessError, match="pip install ai-edge-litert"):
        networks.Network("face_landmark")


def test_litert_writes_nothing_to_standard_error_and_others_do() -> None:
    """In a process of its own: it speaks once."""
    script = """
import os
import numpy as np
from backend.photos.networks import person
person(np.zeros((256, 256, 3), np.uint8))
os.write(2, b"still here")
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", script], check=True, cwd=root, capture_output=True)
    assert done.stderr == b"still here"


def test_a_picture_of_one_colour_is_not_searched_for_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A black frame of a video, with a codec's noise; its search would take ten tiles and four turns."""
    monkeypatch.setattr(networks, "faces", lambda *_: pytest.fail("it was searched"))
    assert detect_faces(np.random.default_rng(0).integers(0, 5, (300, 400, 3), dtype=np.uint8)) == ()


def test_dim_pictures_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(networks, "faces", lambda pixels, *_: asked.append(pixels) or [])
    assert detect_faces(np.random.default_rng(0).integers(0, 20, (300, 400, 3), dtype=np.uint8)) == ()
    assert len(asked) > 8
