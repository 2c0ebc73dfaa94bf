"""The papers' tables end to end: made-up copies, prepared by the command, measured with the shipped models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from made_up import PHOTOS, copy_of
from scipy.spatial import cKDTree

from backend.photos.collection import PhotoCollection, PhotoFace
from trainer.__main__ import main
from trainer.measures import estimate
from trainer.measures.estimate import Fitted, Variant
from trainer.sets import measure_faces
from trainer.sets.prepare import prepare_samples, reader_of, write_card
from trainer.sets.reader import listed
from trainer.sets.tables import TABLES, published


def tables_of(method: str, folder: Path, names: list[str], *more: str) -> dict[str, float | str]:
    """Figures of ``evaluate paper`` on made-up copies of the sets ``names``, prepared below ``folder``."""
    data = []
    for name in names:
        reader, root, out = reader_of(name), copy_of(name, folder), folder / f"{name}_prepared"
        items = listed(reader, root)
        write_card(reader, items, prepare_samples(reader, items, out), root, out)
        data += ["--data", f"{name}={out}"]
    path = folder / f"{method}.json"
    assert main(["evaluate", "paper", method, *data, "--json", str(path), *more]) == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("method", "name", "measured", "missing"),
    [
        ("lap", "bfm", "lap.bfm.ours.mad.exact", "lap.celebamask.ours"),
        ("graph", "aflw2000", "graph.aflw2000.ours.nme", "graph.micc.ours"),
    ],
)
def test_sets_that_are_there_are_measured_and_others_are_named_rows(
    method: str, name: str, measured: str, missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tables_of(method, tmp_path, [name])
    assert 0.1 < found[measured] < 30
    assert found[missing].startswith("missing: python -m trainer data " + missing.split(".")[1])
    assert "missing: python -m trainer data" in capsys.readouterr().out
    assert not any(".paper." in figure for figure in found)


@pytest.mark.slow
def test_the_scripts_of_now_and_realy_find_what_they_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, points and units as their code has them: a mesh and (7, 3) points for each picture of NoW's list;
    for REALY a mesh of one topology for each picture, and 85 barycentric points on it. The sets have the same pictures,
    so each is looked at and fitted once, and quickly."""
    out, fits, seen, found_faces = tmp_path / "out", {}, {}, measure_faces.found_faces

    def looked(photos: list[Path]) -> tuple[PhotoFace, ...]:
        key = photos[0].read_bytes()
        return seen[key] if key in seen else seen.setdefault(key, found_faces(photos))

    monkeypatch.setattr(measure_faces, "found_faces", looked)

    def fitted(collection: PhotoCollection, variant: Variant) -> Fitted:
        key = tuple(sorted(face.pixels.tobytes() for face in collection.faces))
        return fits.get(key) or fits.setdefault(key, estimate.fitted(collection, replace(variant, quality="fast")))

    monkeypatch.setattr(measure_faces, "fitted", fitted)
    measured, micc_error = {}, measure_faces.micc_error

    def error(scan: dict[str, np.ndarray], head: estimate.Estimate) -> float:
        key = head.marks.tobytes()  # of one scan, whose three films are the same
        return measured.get(key) or measured.setdefault(key, micc_error(scan, head))

    monkeypatch.setattr(measure_faces, "micc_error", error)
    found = tables_of("product", tmp_path, ["micc", "now", "now_test", "realy"], "--export", str(out))
    assert (
        found["shapes.now.pictures"] == found["shapes.now_test.pictures"] == PHOTOS
        and found["shapes.realy.pictures"] == 1
    )
    assert 0.1 < found["graph.micc.ours.cooperative"] < 10
    meshes = sorted((out / "now").glob("FaMoS_1/multiview_neutral/IMG_*.obj"))
    assert len(meshes) == PHOTOS - found["shapes.now.without_face"] > 0
    assert [path.name for path in meshes] == [path.name for path in sorted((out / "now_test").glob("*/*/*.obj"))]
    mesh, seven = trimesh.load(meshes[0], process=False), np.load(meshes[0].with_suffix(".npy"))
    assert seven.shape == (7, 3) and cKDTree(mesh.vertices).query(seven)[0].max() < 0.004  # metres, on the surface
    assert 0.08 < np.linalg.norm(seven[0] - seven[3]) < 0.11  # metres between the outer corners of the eyes
    topology = trimesh.load(out / "realy" / "data" / "likeness.obj", process=False)
    points = np.array(json.loads((out / "realy" / "data" / "likeness.txt").read_text()))
    placed = trimesh.load(out / "realy" / "meshes" / "1.obj", process=False)
    assert points.shape == (85, 3) and np.array_equal(topology.faces, placed.faces)
    weights = np.column_stack([points[:, 1:], 1 - points[:, 1:].sum(1)])
    eighty_five = (placed.vertices[placed.faces[points[:, 0].astype(int)]] * weights[..., None]).sum(1)
    assert 0.08 < np.linalg.norm(eighty_five[36] - eighty_five[45]) < 0.11
    assert np.linalg.norm(eighty_five[68:] - eighty_five[:17], axis=1).max() < 0.02  # where the made-up set has them


@pytest.mark.parametrize("argument", ["bfm", "bfm=", "micc=nowhere"])
def test_a_wrong_data_argument_is_one_sentence(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "paper", "lap", "--data", argument]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_every_table_has_published_columns() -> None:
    for printed in map(published, {table.key for tables in TABLES.values() for table in tables}):
        widths = {len(row) for row in printed["rows"].values()}
        assert printed["title"] and 0 < min(widths) <= max(widths) <= len(printed["columns"])
