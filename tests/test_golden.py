"""The hashes of ``benchmarks/golden.py``: of values, not of layout, seconds or names of tensors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import golden
from trainer.chain.run import STEPS, Repeats


def hashes(folder: Path) -> dict[str, str]:
    return dict(golden._folder(folder, "one"))


def test_every_step_that_needs_no_data_beside_the_repository_is_in_the_chain() -> None:
    beside = {"template", "identity-population", "skin-prior"}
    assert set(golden.CHAIN_STEPS) == {step.name for step in STEPS if step.repeats is not Repeats.BY_HAND} - beside


def test_only_what_may_not_change_counts(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(
        json.dumps({"seconds.fit": 1.0, "versions": {"torch": "1"}, "photos": [{"seconds": 2, "used": 1}]})
    )
    save_file({"model/a": np.ones(3, np.float32), "optimizer/b": np.zeros(2)}, tmp_path / "w.safetensors")
    before = hashes(tmp_path)
    report.write_text(json.dumps({"photos": [{"used": 1}], "seconds.fit": 9.0}, indent=2))
    save_file({"model/renamed": np.ones(3, np.float32), "optimizer/b": np.zeros(2)}, tmp_path / "w.safetensors")
    changed = {name for name, value in hashes(tmp_path).items() if before[name] != value}
    assert changed == {"one/w.safetensors/model/names"}
    report.write_text(json.dumps({"photos": [{"used": 0}]}))
    save_file({"model/a": np.ones(3, np.float32), "optimizer/b": np.zeros(2, np.float32)}, tmp_path / "w.safetensors")
    changed = {name for name, value in hashes(tmp_path).items() if before[name] != value}
    assert changed == {"one/report.json", "one/w.safetensors/optimizer/values"}


def test_what_differs_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    old = {"steps": 20, "hashes": {"photos/a": "1", "photos/b": "2", "recipes/c": "3"}}
    assert golden._report({"steps": 2, "hashes": {"photos/a": "1", "photos/b": "2"}}, old, ["photos"]) == 0
    assert "0 of 2 differ" in capsys.readouterr().out
    assert golden._report({"steps": 2, "hashes": {"photos/a": "9", "photos/d": "4"}}, old, ["photos"]) == 1
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[:3] == [["photos/a", "1", "9"], ["photos/b", "2", "missing"], ["photos/d", "missing", "4"]]
    assert golden._report({"steps": 2, "hashes": {}}, old, ["recipes"]) == 1
    assert "--steps" in capsys.readouterr().out
