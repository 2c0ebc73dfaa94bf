from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from backend.errors import LikenessError
from backend.system.files import ASSETS
from trainer.__main__ import COMMANDS, build_parser, main
from trainer.chain import run
from trainer.engine.recipe import encode, find_recipe, known_recipes, load_recipe
from trainer.portraits.collection import read_hand_labels

HEAD_CROPS = "portraits_head_256"
"""Folder of prepared portraits, below the working folder."""
TRAINED = sorted({command.name for step in run.STEPS for command in step.commands} & set(known_recipes()))


def folders(folder: Path) -> run.Folders:
    return run.Folders(folder / "work", folder / "assets", folder / "portraits")


def test_every_file_of_assets_is_made_by_exactly_one_step() -> None:
    made = Counter(name for step in run.STEPS for name in step.makes)
    there = {path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*") if path.is_file()}
    there -= {name for name in there if name.startswith("grooms/")}  # numbers that people write
    assert set(made) == there
    assert set(made.values()) == {1}


def test_steps_come_after_those_that_they_build_on() -> None:
    seen: set[str] = set()
    for step in run.STEPS:
        assert step.name not in seen
        assert set(step.after) <= seen, step.name
        seen.add(step.name)


@pytest.mark.parametrize("toy", [False, True])
def test_every_command_is_one_that_the_trainer_knows(tmp_path: Path, toy: bool) -> None:
    for step in run.STEPS:
        assert bool(step.commands) == (step.repeats is not run.Repeats.BY_HAND)
        for command in step.commands:
            assert command.name in COMMANDS or command.name in known_recipes(), command.name
            said = run.words(command, folders(tmp_path), toy)
            assert not any("{" in word for word in said)
            arguments = build_parser().parse_args([*(["train"] if command.name in known_recipes() else []), *said])
            if arguments.command == "train":
                load_recipe(find_recipe(arguments.recipe), arguments.overrides)


def test_a_step_that_trains_on_portraits_says_so() -> None:
    by_name = {step.name: step for step in run.STEPS}

    def folders(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["folder"]] if value.get("folder") else []
            return own + [folder for item in value.values() for folder in folders(item)]
        return [folder for item in value for folder in folders(item)] if isinstance(value, list) else []

    def ancestors(step: run.Step) -> set[str]:
        return {name for before in step.after for name in {before, *ancestors(by_name[before])}}

    for step in run.STEPS:
        recipes = [load_recipe(find_recipe(command.name)) for command in step.commands if command.name in TRAINED]
        named = {folder for recipe in recipes for folder in folders(encode(recipe))}
        assert named <= {HEAD_CROPS}
        if named:
            assert "portraits" in step.needs
            assert "portraits" in ancestors(step)


@pytest.mark.parametrize("recipe", TRAINED)
def test_a_recipe_at_toy_size_is_a_recipe_of_few_steps(recipe: str) -> None:
    small = load_recipe(find_recipe(recipe), run.toy_overrides(recipe)[1::2])
    assert all(stage.steps <= run.LIMITS["steps"] and stage.batch <= run.LIMITS["batch"] for stage in small.stages)


def test_toy_portraits_are_on_every_list() -> None:
    names = run.portrait_names()
    by_hand = read_hand_labels()
    assert {by_hand[name].held_out for name in names if name in by_hand} == {True, False}
    assert len(names) < 40


def test_a_chain_that_failed_goes_on_where_it_was(tmp_path: Path) -> None:
    where = folders(tmp_path)
    step = run.Step("two", (), (run.Command("--help"), run.Command("all --nonsense")))
    said: list[str] = []
    with pytest.raises(LikenessError, match="ended with code 2"):
        run.run_steps([step], where, False, said.append)
    assert [mark.seconds is None for mark in run.read_marks(where.work, step)] == [False, True]
    said.clear()
    run.run_steps([replace(step, commands=(step.commands[0], run.Command("--help")))], where, False, said.append)
    assert said == ["two, 2 of 2: python -m trainer --help"]
    said.clear()
    run.run_steps([replace(step, commands=(step.commands[0], run.Command("--help")))], where, False, said.append)
    assert said == ["two: done"]


def test_a_changed_command_is_run_again_with_all_after_it() -> None:
    marks = [run.Mark((word,), 1.0) for word in "xyz"]
    assert run.count_done(marks, [("x",), ("y",), ("z",)]) == 3
    assert run.count_done(marks, [("x",), ("other",), ("z",)]) == 1
    assert run.count_done([marks[0], run.Mark(("y",)), marks[2]], [("x",), ("y",), ("z",)]) == 1


def test_a_training_that_was_cut_goes_on_and_does_not_begin_anew(tmp_path: Path) -> None:
    where = folders(tmp_path)
    said = ("tiny", "--out", "runs/tiny", "--init-from", "somewhere")
    assert run._resumed(said, where, True) == list(said)
    checkpoints = where.work / "runs/tiny/checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "one.safetensors").write_bytes(b"")
    assert run._resumed(said, where, True) == ["tiny", "--out", "runs/tiny", "--resume"]


def test_a_training_of_other_words_is_put_aside_and_not_gone_on_with(tmp_path: Path) -> None:
    where = folders(tmp_path)
    said = ("tiny", "--out", "runs/tiny")
    for number in (1, 2):
        checkpoints = where.work / "runs/tiny/checkpoints"
        checkpoints.mkdir(parents=True)
        (checkpoints / "one.safetensors").write_bytes(b"")
        assert run._resumed(said, where, False) == list(said)
        assert (where.work / f"runs/tiny.old{number}/checkpoints/one.safetensors").is_file()


def test_a_step_without_its_data_says_what_is_missing(tmp_path: Path) -> None:
    step = run.Step("faces", (), (run.Command("list"),), needs=("portraits",))
    with pytest.raises(LikenessError, match="public_domain"):
        run.run_steps([step], folders(tmp_path), False, lambda line: None)


def test_a_step_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["all", "--dry-run", "--only", "nose"]) == 2
    assert "'nose'" in capsys.readouterr().err


def test_nobody_is_drawn_among_real_portraits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "real").mkdir()
    assert main(["all", "--toy", "--work", str(tmp_path / "work"), "--portraits", str(tmp_path / "real")]) == 2
    assert "--portraits" in capsys.readouterr().err
    assert not list((tmp_path / "real").iterdir())
