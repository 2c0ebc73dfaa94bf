"""The landmark net's people as further people for the expression reader."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from protocol.names import ARKIT_INDEX
from trainer.engine.recipe import find_recipe, load_recipe
from trainer.methods.expressions import observe
from trainer.methods.expressions.learn import feature_table, held_out_rows
from trainer.methods.expressions.observe import (
    KEPT,
    KEPT_NUMBERS,
    CachedPeople,
    cached_shot,
    chosen,
    collect_cached,
    rarity,
    read_observed,
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four people, drawn into a folder of their own."""
    torch.set_num_threads(1)
    config = replace(KEPT, count=4, folder=str(tmp_path / "pictures"))
    for module in (observe, observe):
        monkeypatch.setattr(module, "KEPT", config)


def test_they_are_those_of_the_recipe() -> None:
    assert KEPT in [stage.source for stage in load_recipe(find_recipe("landmarks_cpu")).stages]


def test_what_is_drawn_again_belongs_to_the_picture(few: None) -> None:
    template = load_template()
    for number, row in enumerate(CachedPeople().rows(np.arange(2))):
        pixels, places, pose, weights, neutral = row
        assert pixels.shape == (160, 160, 3)
        vertices = neutral + np.tensordot(weights, template.expressions, 1)
        seen = template.landmarks478.positions(vertices) @ pose[:3, :3].T + pose[:3, 3]
        tangents = seen[:, :2] / seen[:, 2:]
        spread = tangents - tangents.mean(0)
        focal = (spread * places).sum() / (spread**2).sum()
        off = np.linalg.norm(focal * spread - (places - places.mean(0)), axis=1)
        assert np.median(off) < 0.04 * np.ptp(places, axis=0).max()
        unmoved = np.array([not name.startswith("eyeLook") for name in ARKIT_INDEX])
        np.testing.assert_array_equal(weights[unmoved], cached_shot(number).expression.weights[unmoved])


def test_the_rarest_come_first_and_calm_faces_do_nothing_rare() -> None:
    weights = np.zeros((5, 52))
    weights[1, ARKIT_INDEX["mouthFrownLeft"]] = 0.5
    weights[2, ARKIT_INDEX["mouthSmileLeft"]] = 1.0
    weights[4, [ARKIT_INDEX["browDownLeft"], ARKIT_INDEX["browDownRight"]]] = 0.9
    np.testing.assert_allclose(rarity(weights), [0.0, 0.25, 0.0, 0.0, 1.3])
    rare, calm = chosen(weights, 3, 2)
    assert rare.tolist() == [4, 1]
    assert calm.tolist() == [0, 2]


def test_they_are_learned_from_and_never_held_out(few: None, tmp_path: Path) -> None:
    collect_cached(tmp_path / "seen", 1, 1)
    observed = read_observed(tmp_path / "seen")
    assert 1 <= len(observed.person) <= 2
    assert (observed.person >= KEPT_NUMBERS).all()
    table = feature_table(observed)
    assert len(table.person) == 4 * len(observed.person)
    assert not held_out_rows(table).any()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "seen").rglob("*")}
    collect_cached(tmp_path / "seen", 2, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "seen").rglob("*")} == files


def test_where_fewer_do_what_is_rare_nothing_is_drawn_again(
    few: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    collect_cached(tmp_path, 100, 100)
    observed = read_observed(tmp_path)
    assert 1 <= len(observed.person) <= 4
    monkeypatch.delattr(observe, "cached_shot")
    monkeypatch.delattr(observe, "CachedPeople")
    collect_cached(tmp_path, 100, 100)
    assert len(read_observed(tmp_path).person) == len(observed.person)
