"""The papers' recipes at a small size: they run without a number that is not finite, the perceptual term begins as
strong as the photometric one, and a run that was stopped ends with the same bits."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from backend.rendering import rasterize
from trainer.__main__ import main
from trainer.engine.logs import read_log
from trainer.engine.loop import RunOptions, train
from trainer.engine.recipe import RECIPES, Recipe, find_recipe, load_recipe
from trainer.engine.trainee import stage_cost

sys.path.append(str(Path(__file__).parent / "sets"))
from made_up import celeba, copy_of, drawn, write

pytestmark = pytest.mark.slow
STEPS = int(os.environ.get("LIKENESS_PAPER_STEPS", "3"))
"""Steps of every stage; 100 takes five minutes of one core."""
LAP = (
    "network.size=32 network.depth_width=8 network.albedo_width=8 network.code=16 network.pooled=8 "
    "network.scene_width=8 network.confidence_width=8 network.confidence_code=8 network.refine_width=8 "
    "every_stage.batch=2 every_stage.set_sizes=[1,2] every_stage.source.portraits.folder={portraits} "
    "every_stage.source.portraits.photos=2 every_stage.source.portraits.part=all stages.curriculum.source.size=32 "
    "stages.curriculum.source.photos=2"
)
SMALL: Mapping[str, str] = {
    "paper/lap_64": LAP,
    "paper/lap_128": LAP,
    "paper/lap_256": LAP,
    "paper/learned_basis": "network.size=32 network.level=1 network.identity=8 network.reflectance=8 "
    "network.expression=8 network.width=8 network.stages=3 network.feature=16 every_stage.start_people=2 "
    "every_stage.source.sources.0.size=32 every_stage.source.sources.1.size=32 stages.identity.source.size=32",
    "paper/graph_face": "stages.graph.network.size=32 stages.graph.network.identity=8 "
    "stages.graph.network.expression=8 stages.graph.network.widths=[8,8,4,4,4] "
    "stages.graph.network.albedo_widths=[8,8,4,4,4] stages.graph.network.trunk_width=4 stages.graph.people=4 "
    "stages.graph.batch=2 stages.graph.source.shares=[1,1] stages.graph.source.sources.0.size=32 "
    "stages.graph.source.sources.0.photos=2 stages.graph.source.sources.0.folder={300w_lp} "
    "stages.graph.source.sources.0.face_model={face_model} stages.graph.source.sources.1.first=2 "
    "stages.graph.source.sources.1.portraits.folder={portraits} stages.graph.source.sources.1.portraits.photos=2",
    "paper/graph_albedo": "stages.skins.network.size=64 stages.skins.network.widths=[8,8,8] stages.skins.batch=1 "
    "stages.skins.source.size=64 stages.skins.source.picture=64 stages.skins.source.photos=2 "
    "stages.skins.source.people=2",
    "paper/detail": "stages.self.network.size=128 stages.self.network.coarse=32 stages.self.network.widths=[8,8,8,8] "
    "stages.self.network.patterns=4 stages.self.critic.widths=[8,8] stages.self.batch=2 "
    "stages.self.source.shares=[1,1] "
    "stages.self.source.sources.0.size=128 stages.self.source.sources.0.coarse=32 "
    "stages.self.source.sources.0.picture=128 "
    "stages.self.source.sources.1.size=128 stages.self.source.sources.1.coarse=32 "
    "stages.self.source.sources.1.picture=128 stages.self.source.sources.1.least_pixels=1.0 "
    "stages.self.source.sources.1.folder={pictures}",
}
"""Changes for each of the papers' recipes; {portraits} and more: prepared sets, {pictures}: a folder of pictures."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("photographs")
    celeba(root / "celeba")
    assert main(["data", "celeba", str(root / "celeba"), "--out", str(root / "portraits"), "--size", "32"]) == 0
    for row, picture in enumerate(drawn().pictures):
        write(root / "pictures" / f"{row}.jpg", picture.repeat(2, 0).repeat(2, 1))
    for name in ("300w_lp", "face_model"):
        assert main(["data", name, str(copy_of(name, root)), "--out", str(root / "out" / name)]) == 0
    prepared = {name: root / "out" / name for name in ("300w_lp", "face_model")}
    return {"portraits": root / "portraits", "pictures": root / "pictures"} | prepared


def small(name: str, folders: Mapping[str, Path], steps: int = STEPS) -> Recipe:
    """A paper's recipe with ``SMALL`` changes, without held-out data."""
    whole = load_recipe(find_recipe(name))
    stages = [f"stages.{number}.steps={steps}" for number in range(len(whole.stages))]
    return load_recipe(find_recipe(name), [*SMALL[name].format(**folders).split(), *stages, "validate_steps=1000000"])


def test_every_recipe_of_a_paper_is_tried() -> None:
    assert {f"paper/{path.stem}" for path in (RECIPES / "paper").glob("*.toml")} == set(SMALL)


@pytest.mark.parametrize("name", [name for name in SMALL if name not in ("paper/lap_128", "paper/lap_256")])
def test_it_trains_without_a_number_that_is_not_finite(name: str, folders: Mapping[str, Path], tmp_path: Path) -> None:
    recipe = small(name, folders)
    stages = tuple(dataclasses.replace(stage, validation=None, select="") for stage in recipe.stages)
    assert train(dataclasses.replace(recipe, stages=stages, log_steps=1), RunOptions(tmp_path, device="cpu")).finished
    for row in read_log(tmp_path):
        assert all(value is not None and math.isfinite(value) for value in row["values"].values())


@pytest.mark.parametrize(
    "name", ["paper/lap_64", "paper/lap_128", "paper/lap_256", "paper/learned_basis", "paper/detail"]
)
def test_the_perceptual_term_begins_as_strong_as_the_photometric_one(name: str, folders: Mapping[str, Path]) -> None:
    recipe = small(name, folders)
    number = len(recipe.stages) - 1 if name == "paper/learned_basis" else 0
    cost, weights = stage_cost(recipe, number, torch.device("cpu"), steps=1), recipe.stages[number].weights
    perceptual, photometric = ("identity", "pixels") if name == "paper/detail" else ("perceptual", "photometric")
    strength = {term: getattr(weights, term) * cost.terms[term] for term in (perceptual, photometric)}
    assert 0.3 < strength[perceptual] / strength[photometric] < 3.0


def test_a_dry_run_prints_steps_memory_and_hours_and_writes_nothing(
    folders: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(rasterize.RASTERIZER, "")
    monkeypatch.delitem(rasterize.BACKENDS, "numba")  # what the environment names draws instead
    monkeypatch.setenv(rasterize.RASTERIZER, "torch")
    changes = [part for change in LAP.format(**folders).split() for part in ("--set", change)]
    assert main(["paper/lap_64", "--dry-run", "2", "--device", "cpu", *changes]) == 0
    said = capsys.readouterr().out
    assert said.count(" s a step") == said.count("step 2 of 2") == 4 and "GiB" in said and "23,438 steps" in said
    assert "photometric" in said and "lap_64 on cpu: " in said and " h), from 2 steps" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("more", "folder"), [(["--dry-run"], "nowhere"), ([], "nowhere"), ([], "empty")])
def test_a_folder_that_a_later_stage_lacks_is_said_before_the_first_step(
    more: list[str], folder: str, folders: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    changes = [part for change in LAP.format(**folders).split() for part in ("--set", change)]
    changes += ["--set", f"stages.together.source.portraits.folder={tmp_path / folder}", "--out", str(tmp_path / "run")]
    assert main(["paper/lap_64", "--device", "cpu", *changes, *more]) == 2
    said = capsys.readouterr()
    assert said.err.count("Stage 'together' has no training data") == 1 and "a step" not in said.out
    assert not (tmp_path / "run").exists()
