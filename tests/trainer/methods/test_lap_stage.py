"""LAP's stage: sets, terms, who learns in which phase, metrics, and that it learns."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from canonical_hand_made import TINY, save_tiny
from lap_parts import SMALL_NET, ToySetsConfig
from rich.console import Console
from torch.nn import functional

from backend.models.lap.apply import LapModel
from backend.models.lap.canonical_face import view_of
from backend.models.lap.network import CanonicalMaps, LapNet
from backend.rendering.camera import View
from trainer.engine.contracts import OptimizerConfig
from trainer.engine.logs import read_log
from trainer.engine.loop import RunOptions, train
from trainer.engine.recipe import Recipe
from trainer.losses import PerceptualConfig
from trainer.measures.harness import write_figures
from trainer.methods.lap import evaluate as lap
from trainer.methods.lap import stage as lap_stage
from trainer.methods.lap.data import LapBatch, LapPeopleConfig
from trainer.methods.lap.sets import principal_maps, random_subsets, single_photos

sys.path.append(str(Path(__file__).resolve().parents[2] / "trainer"))


CPU = torch.device("cpu")
NO_PICTURES = {"photometric": 0.0, "flip": 0.0, "perceptual": 0.0, "flip_perceptual": 0.0}
KNOWN = lap_stage.LapWeights(**NO_PICTURES, depth=1.0, normal=5.0, albedo=5.0, albedo_edges=1.0, view=0.3, light=1.0)


def small_stage(**changes: object) -> lap_stage.LapStageConfig:
    values = {
        "steps": 40,
        "batch": 3,
        "network": SMALL_NET,
        "source": ToySetsConfig(),
        "weights": KNOWN,
        "basis_people": 24,
        "set_sizes": (1, 3),
        "perceptual": PerceptualConfig(),
        "optimizer": OptimizerConfig(learning_rate=3e-3),
    }
    return lap_stage.LapStageConfig(**(values | changes))


def test_random_subsets_use_every_photo_once_and_mix_no_people() -> None:
    torch.manual_seed(0)
    set_of = torch.tensor([0] * 6 + [1] * 6 + [2])
    sizes = set()
    for _ in range(30):
        cut = random_subsets(set_of, 1, 6)
        assert torch.equal(cut.owner[cut.set_of], set_of)
        assert torch.unique(cut.set_of).tolist() == list(range(len(cut.owner)))
        sizes |= set(torch.bincount(cut.set_of).tolist())
    assert sizes == {1, 2, 3, 4, 5, 6}
    alone = single_photos(set_of)
    assert alone.set_of.tolist() == list(range(13)) and torch.equal(alone.owner, set_of)


def test_a_stage_for_shape_alone_gives_the_same_terms_and_leaves_albedo_and_light_alone() -> None:
    weights = lap_stage.LapWeights(**NO_PICTURES, depth=1.0, normal=5.0, view=0.3)
    short, whole = (
        small_stage(weights=w, network=dataclasses.replace(SMALL_NET, view_head=True)).build(CPU)
        for w in (weights, KNOWN)
    )
    batch = ToySetsConfig().build().batch(range(3), CPU)
    for stage in (short, whole):
        torch.manual_seed(4)
        stage.step(batch, 0.0)  # takes the first basis
    short.network.load_state_dict(whole.network.state_dict())
    found = []
    for stage in (short, whole):
        torch.manual_seed(5)
        found.append(stage.step(batch, 0.0))
    assert set(found[0]) == {"depth", "normal", "view"} < set(found[1])
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name])
    sum(found[0].values()).backward()
    assert short.network.view_head.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in short.network.albedo_encoder.parameters())


@pytest.mark.parametrize("phase", ["aggregate", "refine", "together"])
def test_the_phase_decides_who_learns(phase: str) -> None:
    weights = dataclasses.replace(
        KNOWN,
        photometric=1.0,
        flip=0.5,
        perceptual=1.0,
        flip_perceptual=0.5,
        personal_depth=1.0,
        smooth=0.1,
        change=0.1,
    )
    stage = small_stage(phase=phase, weights=weights).build(CPU)
    for refiner in (stage.network.depth_refiner, stage.network.albedo_refiner):
        torch.nn.init.normal_(refiner.last[-1].weight, std=0.01)  # it starts at zero, which hides what lies before
    terms = stage.step(ToySetsConfig().build().batch(range(2), CPU), 0.0)
    assert all(torch.isfinite(value) for value in terms.values())
    assert {"photometric", "flip", "perceptual", "flip_perceptual", "smooth"} <= set(terms)
    assert ("depth" in terms) == (phase != "refine") and ("personal_depth" in terms) == (phase != "aggregate")
    sum(terms.values()).backward()
    moving = {g.name for g in stage.parameter_groups() if g.rate(0.5) > 0}
    whole = {"basis", "depth", "rest", "confidence"}
    assert moving == {"aggregate": whole, "refine": {"refine"}}.get(phase, whole | {"refine"})
    for group in stage.parameter_groups():
        moved = [p.grad is not None and p.grad.abs().sum() > 0 for p in group.parameters]
        if group.name in moving:
            assert np.mean(moved) > 0.5, f"{group.name} gets gradients"


def test_terms_without_truth_are_those_of_pictures() -> None:
    weights = dataclasses.replace(KNOWN, photometric=1.0, smooth=0.1)
    config = small_stage(weights=weights)
    stage = config.build(CPU)
    stage.step(ToySetsConfig().build().batch(range(2), CPU), 0.0)  # makes the basis
    terms = stage.step(ToySetsConfig(known=False).build().batch(range(2), CPU), 0.0)
    assert set(terms) == {"photometric", "smooth"}


def test_a_basis_that_weights_brought_is_kept_and_the_other_made() -> None:
    stage = small_stage(basis_people=4).build(CPU)
    depth, albedo = stage.network.depth_decoder, stage.network.albedo_decoder
    depth.set_basis(torch.full_like(depth.mean, 0.3), torch.rand_like(depth.basis))
    before = depth.basis.clone()
    stage.step(ToySetsConfig().build().batch(range(2), CPU), 0.0)
    assert torch.equal(depth.basis, before) and albedo.ready == 1 and albedo.basis.any()


def test_photos_without_a_face_and_relaxed_regions_do_not_pull() -> None:
    batch = ToySetsConfig().build().batch(range(2), CPU)
    weights = lap_stage.LapWeights(**(NO_PICTURES | {"photometric": 1.0}))
    empty = dataclasses.replace(batch, labels=torch.zeros_like(batch.labels))
    stage = small_stage(weights=weights).build(CPU)
    assert stage.step(empty, 0.0)["photometric"] == 0
    lips = dataclasses.replace(batch, labels=torch.where(batch.labels > 0, 5, 0).byte())
    torch.manual_seed(1)
    skin_term = stage.step(batch, 0.0)["photometric"]
    torch.manual_seed(1)
    lip_term = stage.step(lips, 0.0)["photometric"]
    assert lip_term != skin_term


def test_features_and_colours_outside_the_face_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = lap_stage.LapWeights(**(NO_PICTURES | {"photometric": 1.0, "perceptual": 1.0}))
    stage, batch = small_stage(weights=weights).build(CPU), ToySetsConfig().build().batch(range(2), CPU)
    pictures, inside = batch.images * 2 - 1, lap_stage.class_mask(batch.labels, lap_stage.FACE_CLASSES)[:, None]
    stage._need_basis()
    with torch.no_grad():
        face, scene = stage.network(pictures, batch.set_of)
        sigma = stage.network.confidence(pictures)
        monkeypatch.setattr(stage.network.confidence, "forward", lambda _: sigma)
        shown = (pictures, pictures.where(inside, -pictures), pictures.where(~inside, -pictures))
        terms = [stage._picture_terms(batch, one, face.of(batch.set_of), scene) for one in shown]
    assert terms[0] == terms[1] and all(terms[0][name] != terms[2][name] for name in ("photometric", "perceptual"))


def test_truth_itself_has_no_error() -> None:
    batch = ToySetsConfig().build().batch(range(2), CPU)
    truth, rows = batch.truth, torch.arange(6)
    depth = torch.where(truth.personal_depth > 0, truth.personal_depth, 1.05)
    face = CanonicalMaps(depth, torch.zeros(6, 3, 32, 32))
    network = small_stage().build(CPU).network
    errors = lap_stage.view_errors(face, View(truth.rotation, truth.translation), batch, rows, network)
    assert errors["side"].max() < 2e-3
    assert view_of(face, View(truth.rotation, truth.translation), SMALL_NET).mask.any()


def test_principal_maps_span_what_they_are_made_of() -> None:
    g = torch.Generator().manual_seed(0)
    directions = torch.randn(2, 1, 8, 8, generator=g)
    directions = directions + directions.flip(-1)  # mirror images add nothing
    maps = 1.0 + (torch.randn(20, 2, generator=g) @ directions.flatten(1)).view(20, 1, 8, 8)
    mean, basis = principal_maps(maps, 2)
    left = (maps - mean).flatten(1)
    weights = torch.linalg.lstsq(basis.flatten(1).t(), left.t()).solution
    torch.testing.assert_close((basis.flatten(1).t() @ weights).t(), left, atol=1e-4, rtol=0)
    assert weights.pow(2).mean(1).tolist() == pytest.approx([1, 1], rel=0.01), "components are one deviation"


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_it_learns_depth_albedo_view_and_light_of_a_world_that_it_can_explain(tmp_path: Path) -> None:
    stage = small_stage(steps=140, batch=8, validation=ToySetsConfig(seed=5), validation_samples=12, select="-side.n3")
    recipe = Recipe(name="toy", seed=1, log_steps=5, validate_steps=60, stages=(stage,))
    train(recipe, RunOptions(tmp_path, device="cpu"))
    rows = read_log(tmp_path)
    losses = [row["values"] for row in rows if row["kind"] == "train"]
    for term, share in (("albedo", 0.9), ("view", 0.8), ("light", 0.9), ("loss", 0.85)):
        first, last = (np.mean([row[term] for row in part]) for part in (losses[:4], losses[-6:]))
        assert last < share * first, term
    found = [row["values"] for row in rows if row["kind"] == "validation"][-1]
    assert found["view.degrees"] < 12, "untrained it is 16"
    assert found["side.n3"] < found["side.mean_face"], "better than the mean face in the same views"
    assert found["side.floor"] < 0.1


@pytest.fixture(scope="module")
def network() -> LapNet:
    return LapModel.load().network


@pytest.fixture(scope="module")
def people(network: LapNet) -> LapBatch:
    config = LapPeopleConfig(size=network.config.size, seed=lap.HELD_OUT_SEED, photos=4)
    return config.build().batch(range(300, 308), torch.device("cpu"))


@torch.inference_mode()
def test_every_canonical_face_has_a_nose_in_front_and_eyes_behind(network: LapNet, people: LapBatch) -> None:
    face, _ = network(people.images * 2 - 1, torch.arange(len(people.images)))
    depth = functional.interpolate(face.depth[:, None], (64, 64), mode="area")[:, 0]
    nose = depth[:, 30:46, 29:35].amin((1, 2))
    cheeks = (depth[:, 38:42, 18:22].mean((1, 2)) + depth[:, 38:42, 42:46].mean((1, 2))) / 2
    eyes = (depth[:, 23:28, 21:26].mean((1, 2)) + depth[:, 23:28, 38:43].mean((1, 2))) / 2
    assert (nose < cheeks - 0.015).all() and (nose < eyes - 0.015).all()
    assert (depth.std((1, 2)) > 0.01).all(), "no plane"


@torch.inference_mode()
def test_views_and_shapes_are_better_than_no_view_and_the_mean_face(network: LapNet, people: LapBatch) -> None:
    upright = torch.rad2deg((((people.truth.rotation.diagonal(dim1=1, dim2=2).sum(1)) - 1) / 2).clamp(-1, 1).acos())
    assert lap_stage.view_degrees(network, people).median() < 0.4 * upright.median()
    face, _ = network(people.images * 2 - 1, people.set_of)
    true = people.truth.depth
    mean = network.depth_from_raw(network.depth_decoder.mean).expand_as(true)  # where every code starts from
    found, null = lap_stage.canonical_errors(face.depth, true), lap_stage.canonical_errors(mean, true)
    assert found["side"].mean() < null["side"].mean() and found["mad"].mean() < 0.95 * null["mad"].mean()


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    lap.add_arguments(parser)
    return parser.parse_args(list(words))


def saved(folder: Path) -> Path:
    return save_tiny(folder, dataclasses.replace(TINY, rotation_degrees=60.0, refine_residual=True, border_columns=0))


def test_figures_of_a_model_by_number_of_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path))
    words = ("--model", str(saved(tmp_path / "model")), "--people", "3")
    figures = lap.run(arguments(*words), Console(file=io.StringIO()))
    for count in range(1, 7):
        assert 0.1 < figures[f"side.n{count}"] < 10 and 1 < figures[f"mad.n{count}"] < 90
    assert figures["side.floor"] < figures["side.n1"], "truth is better than an untrained network"
    assert figures["ratio.n4_n1"] == pytest.approx(figures["side.n4"] / figures["side.n1"], rel=1e-4)
    assert figures["ratio.n4_n1.low"] <= figures["ratio.n4_n1"] <= figures["ratio.n4_n1.high"]
    assert figures["side.canonical.mean_face"] < figures["side.canonical.n1"], "untrained networks know no faces"
    assert figures["side.mean_face_true_view"] < figures["side.mean_face_no_view"]
    assert figures["ratio.canonical.n4_n1"] == pytest.approx(1, abs=0.05)
    shown = figures["side.canonical.n1"] / figures["side.canonical.mean_face"]
    assert figures["ratio.canonical.mean_face.n1"] == pytest.approx(shown)


def test_without_a_model_it_says_not_trained(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    figures = lap.run(arguments("--model", str(tmp_path / "nothing")), Console(file=io.StringIO()))
    assert figures == {"lap": "not trained"}
    write_figures(tmp_path / "figures.json", figures)
    assert json.loads((tmp_path / "figures.json").read_text()) == figures
