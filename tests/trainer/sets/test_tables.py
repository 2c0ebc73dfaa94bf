"""The papers' tables end to end: made-up copies, prepared by the command, measured with the shipped models."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from made_up import copy_of, drawn
from PIL import Image

from trainer.__main__ import main
from trainer.sets.prepare import prepare_samples, reader_of, write_card
from trainer.sets.reader import listed
from trainer.sets.tables import TABLES, published


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, found = tmp_path_factory.mktemp("tables"), {}
    for name in {table.data for tables in TABLES.values() for table in tables}:
        reader, root, out = reader_of(name), copy_of(name, folder), folder / f"{name}_prepared"
        items = listed(reader, root)
        write_card(reader, items, prepare_samples(reader, items, out), root, out)
        found[name] = out
    return found


def tables_of(method: str, prepared: dict[str, Path], out: Path, *more: str) -> dict[str, float | str]:
    wanted = {table.data for table in TABLES[method]}
    data = [part for name in sorted(wanted) for part in ("--data", f"{name}={prepared[name]}")]
    path = out / f"{method}.json"
    assert main(["evaluate", "paper", method, *data, "--json", str(path), *more]) == 0
    return json.loads(path.read_text())


def test_all_tables_of_lap_with_a_sheet(prepared: dict[str, Path], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.jpg"
    found = tables_of("lap", prepared, tmp_path, "--sheet", str(sheet))
    assert 0.1 < found["lap.bfm.ours.side"] < found["lap.bfm.constant depth.side"] < 10
    assert found["lap.bfm.paper.LAP.side"] == 0.721
    assert found["lap.bfm.ours.side.low"] <= found["lap.bfm.ours.side"] <= found["lap.bfm.ours.side.high"]
    assert 0 < found["lap.celebamask.ours.ssim"] < 1
    if importlib.util.find_spec("face_recognition"):
        assert 0 < found["lap.celebamask.ours.cosine"] <= 1
    assert 0 < found["lap.3dfaw.ours.correlation"] <= 66 or found["lap.3dfaw.ours.entries"] < 2
    with Image.open(sheet) as picture:
        assert picture.width == 3 * 128 and np.asarray(picture).std() > 20


def test_all_tables_of_the_learned_basis(prepared: dict[str, Path], tmp_path: Path) -> None:
    found = tables_of("learned_basis", prepared, tmp_path)
    assert 0.1 < found["learned_basis.bu3dfe.ours.rms"] < 10 and 0.1 < found["learned_basis.bu3dfe.mean face.rms"] < 10
    assert 0 < found["learned_basis.celebamask.ours.iou.upper"] <= 1
    assert 0 <= found["learned_basis.neutral.ours.motion"] < 10
    assert 0.1 < found["shapes.now.ours.median"] < found["shapes.now.ours.mean"] < 10
    assert 0.1 < found["shapes.realy.ours.all"] < 10


def test_all_tables_of_the_graph_model(prepared: dict[str, Path], tmp_path: Path) -> None:
    found = tables_of("graph", prepared, tmp_path)
    for row in ("ours", "ours, three views", "ours, each frame", "mean face"):
        assert 0.1 < found[f"graph.micc.{row}.cooperative"] < 10
    yaws = np.abs(drawn().yaw)
    assert 0 < found["graph.aflw2000.ours.nme"] < 30 and found["graph.aflw2000.ours.found"] > 0
    assert ("graph.aflw2000.ours.nme.0_30" in found) == bool((yaws < 30).any())


def test_detail_renders_are_compared_with_their_photos(prepared: dict[str, Path], tmp_path: Path) -> None:
    found = tables_of("detail", prepared, tmp_path)
    assert 0 < found["detail.celebamask.ours.pixels"] < 1
    assert 0 <= found["detail.celebamask.ours.identity"] < 1


def test_missing_sets_are_named_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.json"
    assert main(["evaluate", "paper", "graph", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["graph.micc.ours"].startswith("missing: python -m trainer data micc")
    assert found["graph.micc.paper.graph model, over identity.cooperative"] == 1.17
    assert "missing: python -m trainer data micc" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("argument", ["bfm", "bfm=", "micc=nowhere"])
def test_a_wrong_data_argument_is_one_sentence(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "paper", "lap", "--data", argument]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_every_table_has_published_columns() -> None:
    for tables in TABLES.values():
        for table in tables:
            printed = published(table.key)
            assert printed["title"] and printed["columns"]
            assert all(len(row) <= len(printed["columns"]) for row in printed["rows"].values())
