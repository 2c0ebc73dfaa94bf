"""Recipes: strict reading, errors that name the key, and the way back to TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.engine.recipe import RECIPES, RecipeError, find_recipe, load_recipe, recipe_to_toml
from trainer.methods.parsing.stage import ParsingStageConfig

TINY = find_recipe("tiny")


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = TINY.read_text()
    assert old in text
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_reads_types_defaults_and_nested_tables() -> None:
    recipe = load_recipe(TINY)
    (stage,) = recipe.stages
    assert isinstance(stage, ParsingStageConfig)
    assert stage.network.widths == (16, 24, 32, 48, 64)
    assert stage.weights.dice == 0.5 and stage.accumulate == 1
    assert stage.validation is not None and stage.validation.seed != stage.source.source.seed


def test_written_and_read_again_it_is_equal(tmp_path: Path) -> None:
    recipe = load_recipe(TINY, ["stages.0.class_weights=[1,2,3,4,5,6,7,8,9,10,11,12]", 'about=a "quoted" \\ line'])
    path = tmp_path / "saved.toml"
    path.write_text(recipe_to_toml(recipe))
    assert load_recipe(path) == recipe


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.toml")), ids=lambda path: str(path.relative_to(RECIPES)))
def test_every_recipe_can_be_read(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem and recipe.about


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 150", "stepz = 120", r"unknown key 'stages\.0\.stepz'\. Did you mean 'steps'\?"),
        ("rotate_degrees", "tilt", r"unknown key 'stages\.0\.augment\.tilt'"),
        ("steps = 150\n", "", r"'stages\.0\.steps' is missing"),
        ("steps = 150", "steps = 12.5", r"stages\.0\.steps is 12\.5: Expected `int`, got `float`"),
        ("steps = 150", "steps = true", r"stages\.0\.steps is True: Expected `int`, got `bool`"),
        ("batch = 8", "batch = 0", r"stages\.0: steps, batch, .* must be at least 1"),
        (
            'schedule = "cosine"',
            'schedule = "cosinus"',
            r"optimizer\.schedule is 'cosinus': .* It must be one of 'constant'",
        ),
        (
            "widths = [16, 24, 32, 48, 64]",
            "widths = [8, 12]",
            r"network\.widths is \[8, 12\]: Expected `array` of length 5, got 2",
        ),
        ("size = 64", "size = 65", r"stages\.0\.network: size must be a multiple of 32"),
        ('kind = "parsing"', 'kind = "parsnip"', r"stages\.0: unknown kind 'parsnip'; known: .*parsing"),
        ('kind = "parsing"', 'kind = "nobody:Nothing"', r"stages\.0: kind 'nobody:Nothing' cannot be used"),
        ('kind = "parsing"', 'kind = "trainer.people.source:PeopleConfig"', r"is not a StageConfig"),
        ('kind = "stored"\n', "", r"stages\.0\.source has no key 'kind'"),
        ('select = "+iou.mean"', 'select = "iou.mean"', r"select must begin with \+ or -"),
        ("seed = 1", "seed = ", r"is not a TOML file: .*line 4"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(changed(tmp_path, old, new))


def test_a_network_is_said_once_and_a_stage_may_add_to_it(tmp_path: Path) -> None:
    text = TINY.read_text()
    network = text[text.index("[stages.network]") : text.index("[stages.augment]")]
    once = text.replace(network, "").replace("[[stages]]", network.replace("stages.network", "network") + "[[stages]]")
    second = once[once.index("[[stages]]") :].replace('kind = "parsing"', 'kind = "parsing"\nname = "second"')
    path = tmp_path / "two.toml"
    path.write_text(once + "\n" + second + "\n[stages.network]\nsize = 96\n")
    recipe = load_recipe(path, ["network.widths.0=12"])
    assert [stage.network.size for stage in recipe.stages] == [64, 96]
    assert [stage.network.widths for stage in recipe.stages] == [(12, 24, 32, 48, 64)] * 2
    same = load_recipe(path, ["stages.second.network.size=64"])
    saved = tmp_path / "saved.toml"
    saved.write_text(recipe_to_toml(same))
    assert saved.read_text().count("widths") == 1 and load_recipe(saved) == same
    with pytest.raises(RecipeError, match="network must be a table"):
        load_recipe(path, ["network=3"])


def heir(tmp_path: Path, text: str, name: str = "heir") -> Path:
    path = tmp_path / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_recipe_is_merged_over_the_one_it_inherits_and_saved_complete(tmp_path: Path) -> None:
    path = heir(tmp_path, 'inherits = "tiny"\nname = "heir"\n[stages.parsing]\nsteps = 9\noptimizer.warmup = 0.5\n')
    tiny, recipe = load_recipe(TINY), load_recipe(path)
    (before,), (stage,) = tiny.stages, recipe.stages
    assert (recipe.name, recipe.seed, stage.steps, stage.optimizer.warmup) == ("heir", tiny.seed, 9, 0.5)
    assert stage.optimizer.learning_rate == before.optimizer.learning_rate and stage.network == before.network
    below = load_recipe(heir(tmp_path, 'inherits = "heir.toml"\n[stages.parsing]\nbatch = 3\n', "below"), ["seed=5"])
    assert (below.seed, below.stages[0].batch, below.stages[0].steps) == (5, 3, 9)
    saved = heir(tmp_path, recipe_to_toml(below), "saved")
    assert "inherits" not in saved.read_text() and load_recipe(saved) == below


def test_listed_stages_are_all_that_an_heir_trains(tmp_path: Path) -> None:
    heir(tmp_path, TINY.read_text().replace("[[stages]]", '[[stages]]\nname = "first"', 1), "base")
    listed = '[[stages]]\nname = "{}"\n'
    text = 'inherits = "base.toml"\n[every_stage]\nkind = "parsing"\nsteps = 7\nbatch = 2\n'
    text += 'source = {kind = "people"}\n'
    recipe = load_recipe(heir(tmp_path, text + listed.format("second") + listed.format("first")))
    assert [(stage.name, stage.steps) for stage in recipe.stages] == [("second", 7), ("first", 150)]
    assert recipe.stages[0].ema != recipe.stages[1].ema == 0.95


def test_items_of_a_list_are_changed_by_number_and_another_kind_replaces_a_table(tmp_path: Path) -> None:
    mixed = 'kind = "mixed"\nshares = [1, 1]\nsources = [{kind = "people", seed = 1}, {kind = "people"}]\n'
    base = heir(tmp_path, 'inherits = "tiny"\n[stages.parsing.source]\n' + mixed, "base")
    text = 'inherits = "base.toml"\n[stages.parsing]\nsource.sources.1.seed = 8\nsource.shares = [1, 1, 1]\n'
    text += 'source.sources.2 = {kind = "people", size = 96}\n'
    (stage,), (old,) = load_recipe(heir(tmp_path, text)).stages, load_recipe(base).stages
    assert [source.seed for source in stage.source.sources] == [1, 8, 0] and stage.source.sources[2].size == 96
    assert [source.seed for source in old.source.sources] == [1, 0]
    with pytest.raises(RecipeError, match=r"heir\.toml: there is no item '7'\. Known: 0 to 1"):
        load_recipe(heir(tmp_path, text.replace("sources.1", "sources.7")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('inherits = "tinny"', r"heir\.toml inherits 'tinny', which is no recipe\. Known: .*tiny"),
        ("inherits = 3", r"inherits must be the name of a recipe, not 3"),
        ('inherits = "heir.toml"', r"heir\.toml inherits 'heir\.toml', which inherits from it"),
        ('inherits = "other.toml"', r"other\.toml inherits 'heir\.toml', which inherits from it"),
    ],
)
def test_a_base_that_cannot_be_inherited_is_named(tmp_path: Path, text: str, message: str) -> None:
    heir(tmp_path, 'inherits = "heir.toml"', "other")
    with pytest.raises(RecipeError, match=message):
        load_recipe(heir(tmp_path, text))


def test_overrides_reach_every_depth() -> None:
    values = [
        "seed=7",
        "precision=bf16",
        "stages.0.steps=3",
        "stages.parsing.optimizer.betas=[0.5, 0.9]",
        "stages.parsing.network.widths.1=20",
        "stages.0.augment.noise=0",
    ]
    recipe = load_recipe(TINY, values)
    (stage,) = recipe.stages
    assert (recipe.seed, recipe.precision, stage.steps) == (7, "bf16", 3)
    assert stage.optimizer.betas == (0.5, 0.9)
    assert stage.network.widths == (16, 20, 32, 48, 64)
    assert stage.augment.noise == 0.0 and isinstance(stage.augment.noise, float)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("seed", "has no value"),
        ("stages.3.steps=1", "there is no item '3'"),
        ("stages.lap.steps=1", "there is no item 'lap'"),
        ("seed.deeper.still=1", "Expected `int`"),
        ("seed.deeper=1", "Expected `int`"),
        ("stages.0.optimizer.momentum=1", r"unknown key 'stages\.0\.optimizer\.momentum'"),
    ],
)
def test_bad_overrides_are_named(assignment: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(TINY, [assignment])
