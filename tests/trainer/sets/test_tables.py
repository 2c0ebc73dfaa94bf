"""The papers' tables end to end: made-up copies, prepared by the command, measured with the shipped models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up import copy_of

from trainer.__main__ import main
from trainer.sets.prepare import prepare_samples, reader_of, write_card
from trainer.sets.reader import listed
from trainer.sets.tables import TABLES, published


@pytest.mark.parametrize(
    ("method", "name", "measured", "missing"),
    [
        ("lap", "bfm", "lap.bfm.ours.side", "lap.celebamask.ours"),
        ("graph", "aflw2000", "graph.aflw2000.ours.nme", "graph.micc.ours"),
    ],
)
def test_sets_that_are_there_are_measured_and_others_are_named_rows(
    method: str, name: str, measured: str, missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, root, out = reader_of(name), copy_of(name, tmp_path), tmp_path / "prepared"
    items = listed(reader, root)
    write_card(reader, items, prepare_samples(reader, items, out), root, out)
    assert main(["evaluate", "paper", method, "--data", f"{name}={out}", "--json", str(tmp_path / "x.json")]) == 0
    found = json.loads((tmp_path / "x.json").read_text())
    assert 0.1 < found[measured] < 30
    assert found[missing].startswith("missing: python -m trainer data " + missing.split(".")[1])
    assert "missing: python -m trainer data" in " ".join(capsys.readouterr().out.split())


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
