"""What all evaluations share: cases, means, kept fits, tables, JSON, sheets."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from backend.errors import LikenessError
from trainer.engine.sheets import CAPTION_HEIGHT, in_rows, sheet
from trainer.measures import harness
from trainer.measures.metrics import mean_interval


def test_a_case_that_fails_is_printed_and_left_out() -> None:
    def measure(value: float) -> dict[str, float]:
        if value < 0:
            raise LikenessError("no_face", "No photo shows a face.")
        return {"overlap": value, "unknown": np.nan}

    console = Console(file=io.StringIO(), width=120)
    found = harness.judged({"a": 0.25, "b": -1.0, "c": 0.75}, measure, console, "hair")
    assert (found["person.a.overlap"], found["hair.overlap"]) == (0.25, 0.5) and "hair.overlap.low" in found
    assert not [name for name in found if name.endswith("unknown") or ".b." in name]
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "1/3 a: overlap 0.250"
    assert lines[1].startswith("b: No photo shows a face.")
    with pytest.raises(LikenessError, match="Nobody"):
        harness.judged({"b": -1.0}, measure, console)


def test_means_are_over_those_who_have_a_figure() -> None:
    assert harness.means([{"a": 1.0, "b": np.nan}, {"a": 3.0}, {"c": 2.0}]) == {"a": 2.0, "c": 2.0}
    values = [1.0, 2.0, 4.0]
    assert harness.mean_figures({"a": values}) == mean_interval(np.array(values)).figures("a")


def test_the_table_has_intervals_beside_figures_and_no_single_cases() -> None:
    figures = {"auc": 0.5, "auc.low": 0.4, "auc.high": 0.6, "person.x.auc": 0.1, "side": "not trained"}
    console = Console(file=io.StringIO(), width=120)
    console.print(harness.table_of(figures, "title"))
    text = console.file.getvalue()
    assert "0.5000 (0.4000 to 0.6000)" in text and "not trained" in text and "person" not in text


def test_figures_are_written_flat(tmp_path: Path) -> None:
    harness.write_figures(tmp_path / "deep" / "out.json", {"median_mm.n6": np.float64(0.123456789)})
    assert (tmp_path / "deep" / "out.json").read_text() == '{\n "median_mm.n6": 0.12346\n}\n'
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out.json"]


def test_kept_arrays_are_made_once_until_the_backend_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path))
    made = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"one": np.arange(3)}

    for _ in range(2):
        assert harness.kept_arrays("fits", "key", make)["one"].tolist() == [0, 1, 2]
    assert len(made) == 1
    monkeypatch.setattr(harness, "code_version", lambda: "another")
    harness.kept_arrays("fits", "key", make)
    assert len(made) == 2


def test_batches_end_with_what_is_left() -> None:
    class Numbers:
        def batch(self, indices: range, device: torch.device) -> list[int]:
            return list(indices)

    assert list(harness.batches(Numbers(), 5, 2)) == [[0, 1], [2, 3], [4]]


def test_a_sheet_has_rows_of_pictures_and_captions() -> None:
    white, red = np.full((20, 30, 3), 255, np.uint8), torch.zeros(3, 20, 30)
    red[0] = 1.0
    picture = sheet(in_rows([white, red, white], 2), ["first", "second"])
    assert picture.shape == (CAPTION_HEIGHT + 40, 60, 3)
    tiles = picture[CAPTION_HEIGHT:]
    assert (tiles[:20, :30] == 255).all() and (tiles[:20, 30:] == (255, 0, 0)).all()
    assert (tiles[20:, :30] == 255).all() and (tiles[20:, 30:] == 0).all(), "the last row is shorter"
    assert np.ptp(picture[:CAPTION_HEIGHT, :30]) > 100, "something is written"


def test_ablations_are_compared_with_the_whole_over_the_seeds_of_both() -> None:
    errors = {"whole": {"1": 2.0, "2": 4.0}, "less": {"1": 3.0}}
    models = {name: [Path(name) / seed / "model" for seed in seeds] for name, seeds in errors.items()}

    def of(path: Path) -> np.ndarray:
        return np.array([[1.0, 1.0, np.nan], [8.0, 8.0, 8.0]]) * errors[path.parent.parent.name][path.parent.name]

    figures = harness.ablation_figures(models, ("depth",), of, ("depth",))
    assert figures["ablation.whole.depth"] == 3.0 and figures["ablation.less.depth"] == 3.0
    assert figures["ablation.less.depth.of_whole"] == pytest.approx(1.5)
    assert figures["ablation.whole.depth.of_mean_face"] == pytest.approx(1 / 8)
    assert figures["ablation.whole.depth.seeds"] == pytest.approx(np.std([2.0, 4.0], ddof=1))
    with pytest.raises(LikenessError, match="whole"):
        harness.ablation_figures({"less": models["less"]}, ("depth",), of)
