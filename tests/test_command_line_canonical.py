"""``python -m backend canonical``: every file is written, and what is wrong is said in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from canonical_hand_made import made_photo, save_tiny
from PIL import Image

from backend import canonical
from backend.__main__ import main
from backend.errors import EXIT_CODES
from backend.models.registry import LAP
from backend.photos.collection import PhotoCollection, PhotoVerdict


@pytest.fixture
def photos(tmp_path: Path, monkeypatch) -> list[str]:
    """Two files, and a photo stage that finds a face in one of them."""
    monkeypatch.setenv(LAP.folder_variable, str(save_tiny(tmp_path / "tiny")))
    verdicts = (PhotoVerdict("0.png", True, ""), PhotoVerdict("1.png", False, "It is somebody else."))
    found = PhotoCollection((made_photo(0),), verdicts)
    monkeypatch.setattr(canonical, "collect", lambda sources, progress: found)
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    return [str(path) for path in paths]


def test_all_files_are_written(photos: list[str], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["canonical", *photos, "--out", str(out), "--device", "cpu"]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(canonical.CANONICAL_FILE_NAMES)
    printed = capsys.readouterr()
    assert "It is somebody else." in printed.out.replace("\n", " ")
    assert "canonical" in printed.err
    depth = np.asarray(Image.open(out / "canonical_depth.png"))
    assert depth.shape == (32, 32) and depth.max() > 255  # sixteen bits
    assert np.asarray(Image.open(out / "canonical_photos.png")).shape == (256, 4 * 256, 3)
    content = json.loads((out / "canonical.json").read_text())
    assert [photo["name"] for photo in content["photos"]] == ["0.png"]
    assert content["given"][1] == {"name": "1.png", "used": False, "reason": "It is somebody else."}
    assert len(content["photos"][0]["light_direction"]) == 3
    mesh = trimesh.load(out / "canonical.obj", process=False)
    assert len(mesh.faces) > 20
    assert (mesh.face_normals[:, 2] > 0).mean() > 0.95  # out of the face
    assert mesh.visual.uv.min() >= 0 and mesh.visual.uv.max() <= 1


def test_networks_that_are_not_there_are_one_sentence(photos: list[str], tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv(LAP.folder_variable, str(tmp_path / "nothing"))
    assert main(["canonical", *photos, "--out", str(tmp_path / "out")]) == EXIT_CODES["missing_part"]
    assert "not trained" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
