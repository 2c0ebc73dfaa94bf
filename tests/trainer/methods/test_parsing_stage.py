"""The parsing stage: terms, metrics, pictures, and that it learns."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from drawn_faces import DrawnFacesConfig

from backend.errors import LikenessError
from backend.models.checkpoints import ModelWeights, half_precision, load_model, save_model
from backend.models.mobile_trunk import MobileTrunk
from backend.models.parsing.network import CLASS_NAMES, ParsingNetConfig
from backend.models.registry import PARSING
from trainer.engine.checkpoint import CheckpointFolder, copy_matching
from trainer.engine.contracts import OptimizerConfig
from trainer.engine.logs import read_log
from trainer.engine.loop import RunOptions, train
from trainer.engine.recipe import Recipe
from trainer.methods.parsing.scenes import AugmentConfig
from trainer.methods.parsing.stage import ParsingStage, ParsingStageConfig, ParsingTeachers, ParsingWeights
from trainer.people.mixtures import LabelledPictures

CPU = torch.device("cpu")
STILL = AugmentConfig(flip=0, rotate_degrees=0, scale=0, shift=0, gain=0, gamma=0, grey=0, noise=0, blur=0)
SMALL = ParsingNetConfig(widths=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1, 1), size=32)


def small_stage(**changes: object) -> ParsingStageConfig:
    values = {
        "steps": 40,
        "batch": 4,
        "network": SMALL,
        "source": DrawnFacesConfig(size=32),
        "augment": AugmentConfig(rotate_degrees=3.0, blur=0.0),
        "optimizer": OptimizerConfig(learning_rate=0.02),
    }
    return ParsingStageConfig(**(values | changes))


def test_only_terms_with_weight_are_computed() -> None:
    batch = DrawnFacesConfig(size=32).build().batch(range(2), CPU)
    for weights, names in (
        (ParsingWeights(), {"cross_entropy", "dice"}),
        (ParsingWeights(dice=0.0), {"cross_entropy"}),
    ):
        stage = small_stage(weights=weights, class_weights=tuple(range(1, 13))).build(CPU)
        terms = stage.step(batch, 0.0)
        assert set(terms) == names
        sum(terms.values()).backward()
        assert all(parameter.grad is not None for parameter in stage.modules.parameters())


def test_metrics_of_a_perfect_net_are_one_and_skip_what_is_not_there() -> None:
    stage = small_stage().build(CPU)
    labels = torch.zeros(2, 32, 32, dtype=torch.uint8)
    labels[:, 8:20] = 5
    labels[0, 0] = 255

    class Knowing(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            known = labels.long().clamp_max(11)
            return torch.nn.functional.one_hot(known, 12).movedim(-1, 1).float()

    stage.modules["net"] = Knowing()
    batch = LabelledPictures(torch.rand(2, 3, 32, 32), labels)
    figures = stage.metrics([batch, batch])
    assert figures == {"iou.background": 1.0, "iou.lips": 1.0, "iou.mean": 1.0, "accuracy": 1.0}


@pytest.mark.usefixtures("one_thread")
def test_it_learns_where_hair_and_skin_are(tmp_path: Path) -> None:
    stage = small_stage(
        steps=60,
        batch=8,
        network=ParsingNetConfig(widths=(16, 16, 16, 16, 16), depths=(1, 1, 1, 1, 1), size=32),
        optimizer=OptimizerConfig(learning_rate=0.01, schedule="cosine"),
        validation=DrawnFacesConfig(size=32, seed=1),
        validation_samples=16,
    )
    recipe = Recipe(name="small", seed=1, validate_steps=20, stages=(stage,))
    train(recipe, RunOptions(tmp_path, device="cpu"))
    figures = [row["values"] for row in read_log(tmp_path) if row["kind"] == "validation"][-1]
    assert figures["iou.background"] > 0.85 and figures["iou.skin"] > 0.45
    assert set(figures) <= {f"iou.{name}" for name in (*CLASS_NAMES, "mean")} | {"accuracy"}


def taught_stage(tmp_path: Path, teachers: int) -> ParsingStage:
    """A stage with as many teachers, whose weights are drawn at random one after the other."""
    folders = []
    for number in range(teachers):
        model = small_stage().build(CPU).export()
        weights = ModelWeights(PARSING.name, model.config, half_precision(model.tensors), "test")
        save_model(weights, tmp_path / str(number))
        folders.append(str(tmp_path / str(number)))
    return small_stage(teachers=tuple(folders), augment=STILL).build(CPU)


def test_a_net_that_says_what_its_teacher_says_learns_nothing_from_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = taught_stage(tmp_path, 1)
    batch = DrawnFacesConfig(size=32).build().batch(range(4), CPU)
    other = stage.step(batch, 0.0)["teachers"].item()
    stage.modules["net"].load_state_dict(load_model(PARSING.name, tmp_path / "0").tensors, strict=False)
    stage.modules.eval()
    alike = stage.step(batch, 0.0)["teachers"].item()
    assert other > 100 * alike and alike < 1e-4


def test_teachers_are_listened_to_together(tmp_path: Path) -> None:
    torch.manual_seed(1)
    taught_stage(tmp_path, 2)
    pictures = torch.rand(2, 3, 32, 32)
    first, second, both = (
        ParsingTeachers([str(tmp_path / name) for name in names], CPU).probabilities(pictures)
        for names in (("0",), ("1",), ("0", "1"))
    )
    torch.testing.assert_close(both, (first + second) / 2)
    torch.testing.assert_close(both.sum(1), torch.ones(2, 32, 32))


def test_a_teacher_that_is_not_there_is_said(tmp_path: Path) -> None:
    stage = small_stage(teachers=(str(tmp_path / "nobody"),)).build(CPU)
    assert stage.export().tensors, "exporting needs none"
    with pytest.raises(LikenessError) as caught:
        stage.step(DrawnFacesConfig(size=32).build().batch(range(2), CPU), 0.0)
    assert caught.value.code == "missing_part"


def drawn_faces() -> LabelledPictures:
    return DrawnFacesConfig(size=32).build().batch(range(2), CPU)


def lite0_stage() -> ParsingStage:
    return small_stage(network=dataclasses.replace(SMALL, trunk="lite0")).build(CPU)


def test_a_lite0_trunk_starts_from_imagenets_weights_once() -> None:
    stem = MobileTrunk().imagenet_weights()["stem.convolution.weight"]
    stage = lite0_stage()
    stage.step(drawn_faces(), 0.0)
    weight = stage.modules["net"].trunk.stem.convolution.weight
    torch.testing.assert_close(weight, stem)
    with torch.no_grad():
        weight.mul_(2.0)
    stage.step(drawn_faces(), 0.5)
    torch.testing.assert_close(weight, 2.0 * stem)


def test_a_lite0_trunk_that_weights_were_brought_for_gets_no_others() -> None:
    weights = lite0_stage().export().tensors
    stage = lite0_stage()
    copy_matching(stage.modules, weights)
    terms = stage.step(drawn_faces(), 0.0)
    assert all(term.isfinite() for term in terms.values())
    stem = "trunk.stem.convolution.weight"
    assert torch.equal(stage.modules["net"].state_dict()[stem], weights[stem])


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_convolutions_resume_with_the_same_bits(tmp_path: Path, precision: str) -> None:
    stage = small_stage(steps=6, ema=0.9)
    recipe = Recipe(name="small", precision=precision, checkpoint_steps=3, keep=9, stages=(stage,))
    train(recipe, RunOptions(tmp_path / "whole", device="cpu"))
    folder = tmp_path / "resumed" / "checkpoints"
    folder.mkdir(parents=True)
    name = "stage00_step000000003.safetensors"
    shutil.copy(tmp_path / "whole" / "checkpoints" / name, folder / name)
    train(recipe, RunOptions(tmp_path / "resumed", device="cpu", resume=True))
    whole, resumed = (CheckpointFolder(tmp_path / run / "checkpoints").latest() for run in ("whole", "resumed"))
    for part in ("model", "average", "optimizer"):
        for key, value in getattr(whole, part).items():
            assert torch.equal(value, getattr(resumed, part)[key]), f"{part}/{key}"
