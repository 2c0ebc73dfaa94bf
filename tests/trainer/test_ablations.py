"""``--ablation``: a recipe with a line of its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.models.checkpoints import load_model
from trainer.__main__ import main
from trainer.engine.recipe import RECIPES, known_recipes, load_recipe
from trainer.measures.harness import trained_models

SHORT = {"steps = 150": "steps = 4", "validate_steps = 75": "validate_steps = 4"}
CHANGES = '[ablations]\nnarrow = ["stages.0.network.widths=[8, 8, 16, 16, 16]"]\nplain = ["stages.0.ema=0.5"]\n'


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


def test_a_recipe_is_trained_with_one_of_its_ablations(recipe: Path, tmp_path: Path) -> None:
    for name in ("whole", "narrow"):
        folder = tmp_path / name / "1"
        assert main([str(recipe), "--ablation", name, "--device", "cpu", "--out", str(folder)]) == 0
        assert main(["export", str(folder), "--out", str(folder / "model")]) == 0
    models = trained_models(tmp_path)
    widths = {name: load_model("parsing", paths[0]).config["widths"][0] for name, paths in models.items()}
    assert widths == {"whole": 16, "narrow": 8}


def test_an_ablation_has_the_last_word_and_an_unknown_one_is_named(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(recipe), "--ablation", "plain", "--set", "stages.0.ema=0.25", "--print"]) == 0
    assert "ema = 0.5\n" in capsys.readouterr().out
    assert main([str(recipe), "--ablation", "wide"]) == 2
    assert "no ablation 'wide'" in (said := capsys.readouterr().err) and "whole, narrow, plain" in said


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
