"""LAP's stage: sets, terms, who learns in which phase, metrics, and that it learns a world that it can explain."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from lap_parts import SMALL_NET, ToySetsConfig
from scipy.ndimage import binary_erosion

from backend.models.lap.canonical_face import view_of
from backend.models.lap.network import CanonicalMaps
from backend.rendering.camera import CanonicalCamera, View
from trainer.engine.contracts import OptimizerConfig
from trainer.engine.logs import read_log
from trainer.engine.loop import RunOptions, train
from trainer.engine.recipe import RECIPES, Recipe, load_recipe
from trainer.losses import PerceptualConfig
from trainer.methods.lap import sets as landmark_shapes
from trainer.methods.lap.data import LapPeopleConfig
from trainer.methods.lap.sets import nested_groups, principal_maps, random_subsets, single_photos, true_coefficients
from trainer.methods.lap.stage import (
    LapStageConfig,
    LapWeights,
    canonical_errors,
    eroded,
    mad_per_photo,
    side_per_photo,
    view_errors,
)

CPU = torch.device("cpu")
NO_PICTURES = {"photometric": 0.0, "flip": 0.0, "perceptual": 0.0, "flip_perceptual": 0.0}
KNOWN = LapWeights(**NO_PICTURES, depth=1.0, normal=5.0, albedo=5.0, albedo_edges=1.0, view=0.3, light=1.0)
SHIPPED_BYTES = 14e6


def side(predicted: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Scale-invariant error of depths (H, W) over ``mask``, by its definition (Eigen et al. 2014)."""
    difference = np.log(predicted[mask]) - np.log(true[mask])
    return float(np.sqrt(((difference - difference.mean()) ** 2).mean()))


def mad(predicted: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Mean angle in degrees between unit normals (H, W, 3) over ``mask``."""
    cosine = (predicted[mask] * true[mask]).sum(-1)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def small_stage(**changes: object) -> LapStageConfig:
    values = {
        "steps": 40,
        "batch": 3,
        "network": SMALL_NET,
        "source": ToySetsConfig(),
        "weights": KNOWN,
        "basis_people": 24,
        "set_sizes": (1, 3),
        "perceptual": PerceptualConfig(kind="gradients"),
        "optimizer": OptimizerConfig(learning_rate=3e-3),
    }
    return LapStageConfig(**(values | changes))


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
    weights = LapWeights(**NO_PICTURES, depth=1.0, normal=5.0, view=0.3)
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
        torch.nn.init.normal_(refiner.last[1].weight, std=0.01)  # it starts at zero, which hides what lies before
    terms = stage.step(ToySetsConfig().build().batch(range(2), CPU), 0.0)
    assert all(torch.isfinite(value) for value in terms.values())
    assert {"photometric", "flip", "perceptual", "flip_perceptual", "smooth"} <= set(terms)
    assert ("depth" in terms) == (phase != "refine") and ("personal_depth" in terms) == (phase != "aggregate")
    sum(terms.values()).backward()
    moving = {g.name for g in stage.parameter_groups() if g.rate(0.5) > 0}
    assert moving == {"confidence"} | {"aggregate": {"basis", "depth", "rest"}, "refine": {"refine"}}.get(
        phase, {"basis", "depth", "rest", "refine"}
    )
    for group in stage.parameter_groups():
        moved = [p.grad is not None and p.grad.abs().sum() > 0 for p in group.parameters]
        if group.name in moving:
            assert np.mean(moved) > 0.5, f"{group.name} gets gradients"


def test_terms_without_truth_are_those_of_pictures() -> None:
    weights = dataclasses.replace(KNOWN, photometric=1.0, mean_view=1.0, coefficients=0.1)
    config = small_stage(weights=weights)
    stage = config.build(CPU)
    stage.step(ToySetsConfig().build().batch(range(2), CPU), 0.0)  # makes the basis
    terms = stage.step(ToySetsConfig(known=False).build().batch(range(2), CPU), 0.0)
    assert set(terms) == {"photometric", "mean_view", "coefficients"}


def test_what_all_faces_have_alike_goes_back_to_the_mean_and_what_one_has_does_not() -> None:
    weights = LapWeights(**NO_PICTURES, mean_coefficients=1.0)
    stage = small_stage(weights=weights).build(CPU)
    assert "alike.mean" in stage.modules.state_dict(), "a training that goes on has it"
    own = torch.randn(6, SMALL_NET.depth_components, generator=torch.Generator().manual_seed(1))
    own = own - own.mean(0)
    offset = torch.nn.Parameter(torch.linspace(-1, 1, SMALL_NET.depth_components))
    apart = torch.nn.Parameter(own.clone())
    optimizer = torch.optim.SGD([offset, apart], 0.2)
    for _ in range(400):
        optimizer.zero_grad()
        stage._alike(apart + offset).backward()
        optimizer.step()
    shown = (apart + offset).detach()
    assert shown.mean(0).abs().max() < 0.05
    torch.testing.assert_close(shown - shown.mean(0), own, atol=1e-3, rtol=0)


def test_the_decoded_faces_count_for_what_all_have_alike() -> None:
    weights = LapWeights(**NO_PICTURES, mean_coefficients=1.0, coefficients=1.0)
    stage = small_stage(weights=weights, set_sizes=(3, 3)).build(CPU)
    batch = ToySetsConfig().build().batch(range(2), CPU)
    terms = stage.step(batch, 0.0)
    net = stage.network
    codes = net.encode(batch.images * 2 - 1)
    fused = net.depth_decoder.coefficients(net.depth_codes(codes, batch.set_of))
    torch.testing.assert_close(stage._alike.mean, 0.02 * fused.mean(0), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(
        net.decode_depth(net.depth_codes(codes, batch.set_of)), net.aggregate(codes, batch.set_of).depth
    )
    assert terms["coefficients"].item() == pytest.approx(
        net.depth_decoder.coefficients(codes.depth).pow(2).mean().item()
    )


def test_a_posterior_learns_from_whole_sets_and_knows_its_own_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmark_shapes, "PEOPLE", 100)
    source = LapPeopleConfig(size=32, photos=2, seed=3, film=False, marks=True, quick_marks=True)
    network = dataclasses.replace(
        SMALL_NET,
        landmark_components=4,
        fusion="posterior",
        depth_residual=0,
        view_head=True,
        translation=(0.1, 0.1, 0.25),
    )
    weights = LapWeights(**NO_PICTURES, depth=1.0, normal=5.0, view=0.3, posterior=1.0)
    stage = small_stage(source=source, network=network, weights=weights, basis_people=3).build(CPU)
    batch = source.build().batch(range(3), CPU)
    terms = stage.step(batch, 0.0)
    assert set(terms) == {"depth", "normal", "view", "posterior"}
    sum(terms.values()).backward()
    net = stage.network
    assert net.fusion.trust.grad.abs() > 0 and net.depth_encoder.fuse.weight.grad.abs().sum() > 0
    decoder, known = net.depth_decoder, batch.truth.depth > 0
    truth = true_coefficients(net.raw_depth(batch.truth.depth), known, decoder.mean.detach(), decoder.basis.detach())
    with torch.no_grad():
        wrong = [
            canonical_errors(net.decode_depth(found), batch.truth.depth).side.mean()
            for found in (truth, net.posterior(net.encode(batch.images * 2 - 1, batch.marks), batch.set_of).mean)
        ]
        mean = canonical_errors(net.decode_depth(0 * truth), batch.truth.depth).side.mean()
    assert wrong[0] < 0.8 * mean and wrong[0] < wrong[1], "nothing shows more than the true coefficients"


def test_a_basis_that_weights_brought_is_kept_and_the_other_made() -> None:
    stage = small_stage(basis_people=4).build(CPU)
    depth, albedo = stage.network.depth_decoder, stage.network.albedo_decoder
    depth.set_basis(torch.full_like(depth.mean, 0.3), torch.rand_like(depth.basis))
    before = depth.basis.clone()
    stage.step(ToySetsConfig().build().batch(range(2), CPU), 0.0)
    assert torch.equal(depth.basis, before) and albedo.ready == 1 and albedo.basis.any()


def test_groups_are_nested_and_the_whole_is_among_them() -> None:
    torch.manual_seed(0)
    groups = nested_groups(torch.tensor([0, 0, 0, 0, 1, 1]))
    parts = [groups.rows[groups.set_of == number].tolist() for number in range(8)]
    assert [len(part) for part in parts] == [1, 1, 2, 4, 1, 1, 2, 2]
    assert groups.owner.tolist() == [0] * 4 + [1] * 4 and groups.whole.tolist() == [3, 7]
    assert parts[0][0] == parts[2][0] and parts[0] != parts[1]
    assert sorted(parts[3]) == [0, 1, 2, 3] and sorted(parts[7]) == [4, 5]


def test_photos_without_a_face_and_relaxed_regions_do_not_pull() -> None:
    batch = ToySetsConfig().build().batch(range(2), CPU)
    weights = LapWeights(**(NO_PICTURES | {"photometric": 1.0}))
    empty = dataclasses.replace(batch, labels=torch.zeros_like(batch.labels))
    stage = small_stage(weights=weights).build(CPU)
    assert stage.step(empty, 0.0)["photometric"] == 0
    lips = dataclasses.replace(batch, labels=torch.where(batch.labels > 0, 5, 0).byte())
    torch.manual_seed(1)
    skin_term = stage.step(batch, 0.0)["photometric"]
    torch.manual_seed(1)
    lip_term = stage.step(lips, 0.0)["photometric"]
    assert lip_term != skin_term


def test_batched_measures_equal_those_that_define_them() -> None:
    g = torch.Generator().manual_seed(0)
    true = 0.9 + 0.2 * torch.rand(2, 16, 16, generator=g)
    found = true * (1 + 0.02 * torch.rand(2, 16, 16, generator=g))
    mask = torch.rand(2, 16, 16, generator=g) > 0.1
    expected = binary_erosion(mask[0].numpy(), np.ones((3, 3), bool))
    torch.testing.assert_close(eroded(mask)[0], torch.from_numpy(expected))
    inner = torch.zeros_like(mask)
    inner[:, 2:-2, 2:-2] = True
    from backend.rendering.depth_surface import normals_from_depth

    camera = CanonicalCamera((16, 16))
    sides = side_per_photo(found, true, inner)
    mads = mad_per_photo(normals_from_depth(found, camera), normals_from_depth(true, camera), inner)
    for k in range(2):
        assert sides[k].item() == pytest.approx(side(found[k].numpy(), true[k].numpy(), inner[k].numpy()), rel=1e-4)
        normals = [normals_from_depth(d[k : k + 1].double(), camera)[0] for d in (found, true)]
        assert mads[k].item() == pytest.approx(mad(*(own.numpy() for own in normals), inner[k].numpy()), rel=1e-3)


def test_truth_itself_has_no_error() -> None:
    batch = ToySetsConfig().build().batch(range(2), CPU)
    truth, rows = batch.truth, torch.arange(6)
    depth = torch.where(truth.personal_depth > 0, truth.personal_depth, 1.05)
    face = CanonicalMaps(depth, torch.zeros(6, 3, 32, 32))
    network = small_stage().build(CPU).network
    errors = view_errors(face, View(truth.rotation, truth.translation), batch, rows, network)
    assert errors.side.max() < 2e-3
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


@pytest.mark.usefixtures("no_tensorboard", "one_thread")
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
    assert list((tmp_path / "pictures").rglob("*.png"))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("lap_*.toml")), ids=lambda path: path.stem)
def test_shipped_networks_keep_to_their_budget(path: Path) -> None:
    model = load_recipe(path).stages[-1].build(CPU).export()
    assert sum(tensor.numel() for tensor in model.tensors.values()) * 2 < SHIPPED_BYTES


def test_the_papers_recipe_has_the_papers_numbers() -> None:
    for size in (64, 128, 256):
        recipe = load_recipe(RECIPES / "paper" / f"lap_{size}.toml")
        assert [stage.phase for stage in recipe.stages] == ["aggregate", "aggregate", "refine", "together"]
        for stage in recipe.stages:
            assert (stage.batch, stage.optimizer.learning_rate, stage.set_sizes) == (64, 1e-4, (1, 6))
            assert stage.network.size == size and stage.network.decoder == "convolution"
            assert stage.weights == LapWeights()
        assert [stage.relaxed for stage in recipe.stages] == [0.3, 0.3, 1.0, 1.0]
