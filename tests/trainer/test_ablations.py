"""``python -m trainer ablations``: a recipe and each of its ablations, the same steps, what is there left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.models.checkpoints import ModelWeights, load_model
from trainer.__main__ import main
from trainer.ablations import trained_models
from trainer.engine.checkpoint import CheckpointFolder
from trainer.engine.recipe import RECIPES, known_recipes, load_recipe

SHORT = {"steps = 150": "steps = 4", "validate_steps = 75": "validate_steps = 4"}
CHANGES = '[ablations]\nnarrow = ["stages.0.network.widths=[8, 8, 16, 16, 16]"]\nplain = ["stages.0.ema=0.5"]\n'


def parsing(folder: Path) -> ModelWeights:
    return load_model("parsing", folder)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The recipe ``tiny``, of four steps and with two ablations."""
    text = (RECIPES / "tiny.toml").read_text()
    for old, new in SHORT.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "short.toml"
    path.write_text(text.replace("[[stages]]", CHANGES + "\n[[stages]]", 1))
    return path


def test_all_are_trained_for_the_same_steps_with_their_changes_and_seeds(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["ablations", str(recipe), "--out", str(out), "--device", "cpu"]
    assert main([*words, "--seeds", "1", "2", "--only", "whole", "narrow"]) == 0
    models = trained_models(out)
    assert {name: [path.parent.name for path in paths] for name, paths in models.items()} == {
        "whole": ["1", "2"],
        "narrow": ["1", "2"],
    }
    states = [
        CheckpointFolder(path.parent / "checkpoints").latest().state for paths in models.values() for path in paths
    ]
    assert {state.run_steps for state in states} == {4} and all(state.finished for state in states)
    widths = {name: parsing(paths[0]).config["widths"][0] for name, paths in models.items()}
    assert widths == {"whole": 16, "narrow": 8}
    one, two = (parsing(path).version for path in models["whole"])
    assert one != two, "seeds differ"
    assert main([*words, "--only", "plain", "narrow"]) == 0
    assert load_recipe(out / "plain" / "1" / "recipe.toml").stages[0].ema == 0.5
    assert parsing(trained_models(out)["narrow"][0]).version == parsing(models["narrow"][0]).version


def test_what_was_stopped_goes_on_and_ends_with_the_same_weights(recipe: Path, tmp_path: Path) -> None:
    words = ["ablations", str(recipe), "--device", "cpu", "--only", "plain", "--out"]
    assert main([*words, str(tmp_path / "at once")]) == 0
    folder = tmp_path / "stopped" / "plain" / "1"
    train = ["train", str(recipe), "--set", "stages.0.ema=0.5", "--set", "checkpoint_steps=2", "--out", str(folder)]
    assert main([*train, "--minutes", "1e-6"]) == 0
    assert not CheckpointFolder(folder / "checkpoints").latest().state.finished
    assert main([*words, str(tmp_path / "stopped")]) == 0
    versions = [parsing(tmp_path / name / "plain" / "1" / "model").version for name in ("at once", "stopped")]
    assert versions[0] == versions[1]


def test_all_may_start_from_given_weights(recipe: Path, tmp_path: Path) -> None:
    words = ["ablations", str(recipe), "--device", "cpu", "--out"]
    assert main([*words, str(tmp_path / "first"), "--only", "whole"]) == 0
    given = tmp_path / "first" / "whole" / "1" / "model"
    out = tmp_path / "second"
    assert main([*words, str(out), "--only", "whole", "plain", "--init-from", str(given)]) == 0
    again = parsing(out / "whole" / "1" / "model")
    assert again.version != parsing(given).version, "eight steps are not four"
    fresh = ["ablations", str(recipe), "--device", "cpu", "--only", "plain", "--out", str(tmp_path / "fresh")]
    assert main(fresh) == 0
    versions = [parsing(tmp_path / name / "plain" / "1" / "model").version for name in ("second", "fresh")]
    assert versions[0] != versions[1]


def test_all_are_changed_alike_and_an_ablation_has_the_last_word(recipe: Path, tmp_path: Path) -> None:
    words = ["ablations", str(recipe), "--device", "cpu", "--out", str(tmp_path), "--only", "whole", "plain"]
    assert main([*words, "--set", "stages.0.steps=2", "--set", "stages.0.ema=0.25"]) == 0
    stages = {name: load_recipe(tmp_path / name / "1" / "recipe.toml").stages[0] for name in ("whole", "plain")}
    assert {stage.steps for stage in stages.values()} == {2}
    assert (stages["whole"].ema, stages["plain"].ema) == (0.25, 0.5)


def test_an_unknown_name_and_a_recipe_without_ablations(recipe: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["ablations", str(recipe), "--only", "wide"]) == 2
    assert "has no ablation 'wide'" in (said := capsys.readouterr().err) and "narrow, plain" in said
    assert main(["ablations", "tiny"]) == 2
    assert "has no ablations" in capsys.readouterr().err


def test_every_ablation_that_ships_is_a_recipe_of_as_many_steps() -> None:
    seen = 0
    for name in known_recipes():
        path = RECIPES / f"{name}.toml"
        whole = load_recipe(path)
        for changes in whole.ablations.values():
            changed = load_recipe(path, changes)
            assert changed != whole
            assert sum(stage.steps for stage in changed.stages) == sum(stage.steps for stage in whole.stages)
            seen += 1
    assert seen >= 6
