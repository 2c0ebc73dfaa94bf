"""Drawing, detecting and learning for the expression reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.expression.reading import load_reader, reduced, run_network, steady_landmarks
from backend.fitting.detector_model import face_scale
from backend.geometry.template import load_template
from protocol.names import ARKIT_INDEX
from trainer.engine.disk_cache import save_arrays
from trainer.engine.recipe import find_recipe, load_recipe
from trainer.methods.expressions import learn, observe


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> observe.Observed:
    """Pictures of two people, two each, and of a hard one."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("people")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observe, "SIZES", (160,))
        observe.collect(folder, range(2), range(1))
        files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        observe.collect(folder, range(2), range(1))
        assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files
    return observe.read_observed(folder)


def test_pictures_are_seen_where_their_cameras_put_them(observed: observe.Observed) -> None:
    assert 3 <= len(observed.person) <= 6
    assert sum(observed.person < observe.HARD_NUMBERS) >= 2
    template, steady, off = load_template(), steady_landmarks(), []
    for number, found in enumerate(observed.found):
        neutral = template.vertices + observed.neutral[number].astype(np.float64) / 1000.0
        pose = observed.camera_from_head[number]
        seen = template.landmarks478.positions(neutral)[steady] @ pose[:3, :3].T + pose[:3, 3]
        tangents, places = seen[:, :2] / seen[:, 2:], found[steady, :2] - observed.side[number] / 2
        focal = (tangents * places).sum() / (tangents**2).sum()
        off.append(np.linalg.norm((focal * tangents - places).mean(0)) / face_scale(found))
    assert np.median(off) < 0.1  # in a profile the detector may be anywhere


def test_every_picture_gives_four_rows_and_mirror_images_mirror(observed: observe.Observed) -> None:
    table = learn.feature_table(observed)
    assert len(table.person) == 4 * len(observed.person)
    assert table.plainly.sum() == len(observed.person)
    left, right = ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]
    np.testing.assert_array_equal(table.weights[0::2, left], table.weights[1::2, right])
    np.testing.assert_allclose(table.turn[0::2] * [1, -1, -1], table.turn[1::2])
    np.testing.assert_array_equal(table.long["eye"][0::2], table.long["eye"][1::2, ::-1])


def made_up_table(count: int) -> learn.FeatureTable:
    """Rows in which a smile can be read off the first number, and nothing else off anything."""
    reader, generator = load_reader(), np.random.default_rng(0)
    plain = generator.normal(size=(count, len(reader.offset))).astype(np.float32)
    sizes = {name: (2 if name == "eye" else 1, len(mean)) for name, mean in reader.means.items()}
    long = {name: generator.normal(size=(count, *size)).astype(np.float32) for name, size in sizes.items()}
    weights = np.zeros((count, 52), np.float32)
    weights[:, ARKIT_INDEX["mouthSmileLeft"]] = np.clip(0.5 + 0.4 * plain[:, 0], 0, 1)
    turn = np.zeros((count, 3), np.float32)
    return learn.FeatureTable(np.arange(count), plain, long, weights, turn, np.ones(count, bool))


def test_what_can_be_read_is_learned() -> None:
    torch.set_num_threads(1)
    table = made_up_table(600)
    reduction = learn.Reduction({}, {}, table.plain.mean(0), table.plain.std(0))
    inputs = ((table.plain - reduction.offset) / reduction.scale).astype(np.float32)
    options = learn.LearningOptions(hidden=32, epochs=60, batch=128, members=1, dropout=0.0)
    layers = learn.train_layers(inputs, learn.select(table, np.arange(600)), options)
    found = run_network(layers, inputs)[:, ARKIT_INDEX["mouthSmileLeft"]]
    assert np.corrcoef(found, table.weights[:, ARKIT_INDEX["mouthSmileLeft"]])[0, 1] > 0.85


def test_reduction_is_what_the_product_computes() -> None:
    from backend.expression.reading import RawFeatures

    table, reader = made_up_table(3), load_reader()
    reduction = learn.Reduction(reader.means, reader.bases, reader.offset, reader.scale)
    raw = RawFeatures({name: list(values[1]) for name, values in table.long.items()}, table.plain[1])
    np.testing.assert_allclose(reduction.inputs(table)[1], reduced(reader, raw), rtol=1e-3, atol=1e-3)


def test_components_are_about_one(observed: observe.Observed) -> None:
    inputs = learn.fit_reduction(learn.feature_table(observed)).inputs(learn.feature_table(observed))
    assert np.isfinite(inputs).all()
    assert inputs.std() < 2.0


def test_beyond_the_bounds_costs_next_to_nothing() -> None:
    true = torch.zeros(1, 52)
    assert learn.weight_cost(true - 0.5, true, 0.5) < 0.1 * learn.weight_cost(true + 0.5, true, 0.5)


def test_wide_expressions_are_weights() -> None:
    generator = np.random.default_rng(1)
    drawn = np.array([observe.draw_wide(generator).weights for _ in range(300)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn[:, ARKIT_INDEX["jawOpen"]] > 0.8).any()
    assert (drawn[:, ARKIT_INDEX["tongueOut"]] > 0.3).any()


def test_files_of_before_are_read(observed: observe.Observed, tmp_path: Path) -> None:
    save_arrays(tmp_path / "hard_000000.npz", **vars(observed), focal=np.ones(len(observed.person)))
    save_arrays(tmp_path / "000000.npz", **vars(observed))
    both = observe.read_observed(tmp_path)
    np.testing.assert_array_equal(
        both.person, np.concatenate([observed.person, observed.person + observe.HARD_NUMBERS])
    )
    np.testing.assert_array_equal(both.found, np.concatenate([observed.found, observed.found]))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four people, drawn into a folder of their own."""
    torch.set_num_threads(1)
    config = replace(observe.KEPT, count=4, folder=str(tmp_path / "pictures"))
    for module in (observe, observe):
        monkeypatch.setattr(module, "KEPT", config)


def test_they_are_those_of_the_recipe() -> None:
    assert observe.KEPT in [stage.source for stage in load_recipe(find_recipe("landmarks_cpu")).stages]


def test_what_is_drawn_again_belongs_to_the_picture(few: None) -> None:
    template = load_template()
    for number, row in enumerate(observe.CachedPeople().rows(np.arange(2))):
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
        np.testing.assert_array_equal(weights[unmoved], observe.cached_shot(number).expression.weights[unmoved])


def test_the_rarest_come_first_and_calm_faces_do_nothing_rare() -> None:
    weights = np.zeros((5, 52))
    weights[1, ARKIT_INDEX["mouthFrownLeft"]] = 0.5
    weights[2, ARKIT_INDEX["mouthSmileLeft"]] = 1.0
    weights[4, [ARKIT_INDEX["browDownLeft"], ARKIT_INDEX["browDownRight"]]] = 0.9
    np.testing.assert_allclose(observe.rarity(weights), [0.0, 0.25, 0.0, 0.0, 1.3])
    rare, calm = observe.chosen(weights, 3, 2)
    assert rare.tolist() == [4, 1]
    assert calm.tolist() == [0, 2]


def test_they_are_learned_from_and_never_held_out(few: None, tmp_path: Path) -> None:
    observe.collect_cached(tmp_path / "seen", 1, 1)
    observed = observe.read_observed(tmp_path / "seen")
    assert 1 <= len(observed.person) <= 2
    assert (observed.person >= observe.KEPT_NUMBERS).all()
    table = learn.feature_table(observed)
    assert len(table.person) == 4 * len(observed.person)
    assert not learn.held_out_rows(table).any()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "seen").rglob("*")}
    observe.collect_cached(tmp_path / "seen", 2, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "seen").rglob("*")} == files


def test_where_fewer_do_what_is_rare_nothing_is_drawn_again(
    few: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    observe.collect_cached(tmp_path, 100, 100)
    observed = observe.read_observed(tmp_path)
    assert 1 <= len(observed.person) <= 4
    monkeypatch.delattr(observe, "cached_shot")
    monkeypatch.delattr(observe, "CachedPeople")
    observe.collect_cached(tmp_path, 100, 100)
    assert len(observe.read_observed(tmp_path).person) == len(observed.person)
