"""The loop in one process: what it learns, where it stops, and that it goes on with the same bits."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from loop_parts import CriticWeights, DuelConfig, PointsConfig, line_recipe, line_stage
from PIL import Image

from protocol.file_lock import lock_file
from trainer.engine.checkpoint import Checkpoint, CheckpointFolder, RunState, read_checkpoint
from trainer.engine.contracts import OptimizerConfig
from trainer.engine.logs import read_log, read_sessions
from trainer.engine.loop import RunOptions, TrainingDivergedError, train
from trainer.engine.recipe import RecipeError

pytestmark = pytest.mark.usefixtures("one_thread")


def options(folder: Path, **changes: object) -> RunOptions:
    return RunOptions(folder, device="cpu", **changes)


def final(folder: Path) -> Checkpoint:
    checkpoint = CheckpointFolder(folder / "checkpoints").latest()
    assert checkpoint is not None
    return checkpoint


def assert_same_bits(first: Checkpoint, second: Checkpoint) -> None:
    for part in ("model", "average", "optimizer"):
        one, other = getattr(first, part), getattr(second, part)
        assert one.keys() == other.keys()
        for name in one:
            assert torch.equal(one[name], other[name]), f"{part}/{name}"


def without_time(state: RunState) -> RunState:
    return dataclasses.replace(state, seconds=0.0, run_seconds=0.0)


class Ticking:
    """A clock that advances one second at every look, or as many as it is told."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.now, self.seconds = 0.0, seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def test_two_runs_in_one_folder_exclude_each_other_and_a_run_draws_its_curves(tmp_path: Path) -> None:
    held = lock_file(tmp_path / ".lock")
    assert held is not None
    half = tmp_path / "checkpoints" / ".stage00_step000000002.safetensors.part"
    with pytest.raises(RecipeError, match="Another run"):
        train(line_recipe(line_stage(steps=3)), options(tmp_path))
    held.release()
    recipe = line_recipe(line_stage(steps=50), log_steps=1)
    train(recipe, options(tmp_path, minutes=1), Ticking(5.0))
    half.touch()
    held = lock_file(tmp_path / ".lock")
    with pytest.raises(RecipeError, match="Another run"):
        train(recipe, options(tmp_path, resume=True))
    assert half.exists(), "it belongs to the run that holds the folder"
    held.release()
    with Image.open(tmp_path / "curves.png") as picture:
        assert min(low for low, _ in picture.getextrema()) < 128, "nothing is drawn"


def test_learns_the_plane(tmp_path: Path) -> None:
    plain = {"dropout": 0.0, "batch_norm": False, "validation": PointsConfig(seed=1)}
    stage = line_stage(steps=250, **plain)
    train(line_recipe(stage, validate_steps=50), options(tmp_path))
    errors = [row["values"]["error"] for row in read_log(tmp_path) if row["kind"] == "validation"]
    assert len(errors) == 5
    assert errors[-1] < 0.05 * errors[0]


def test_every_batch_is_seen_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = PointsConfig.build

    def build(config: PointsConfig):
        source = original(config)
        source.seen = seen
        return source

    monkeypatch.setattr(PointsConfig, "build", build)
    train(line_recipe(line_stage(steps=3, batch=2, accumulate=2)), options(tmp_path))
    assert seen == list(range(12))


def test_seeds_decide_the_outcome(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(line_recipe(seed=seed), options(tmp_path / name))
    assert_same_bits(final(tmp_path / "a"), final(tmp_path / "b"))
    assert not torch.equal(final(tmp_path / "a").model["head.weight"], final(tmp_path / "c").model["head.weight"])


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_interrupted_at_any_step_it_ends_with_the_same_bits(tmp_path: Path, ema: float) -> None:
    first = {"ema": ema, "frozen_until": 0.5, "validation": PointsConfig(seed=1), "select": "-error"}
    stages = (line_stage(name="one", steps=7, **first), line_stage(name="two", steps=6, accumulate=2))
    train(line_recipe(*stages), options(tmp_path / "whole"))
    recipe = line_recipe(*stages)
    state = RunState()
    for session in range(20):
        # A clock of one second a look gives every session a few steps only.
        state = train(recipe, options(tmp_path / "parts", resume=session > 0, minutes=9 / 60), clock=Ticking())
        if state.finished:
            break
    assert state.finished
    assert session >= 4
    assert_same_bits(final(tmp_path / "whole"), final(tmp_path / "parts"))
    assert without_time(state) == without_time(final(tmp_path / "whole").state)
    figures = [
        [(row["kind"], row["name"], row["step"], row["values"].get("loss"), row["values"].get("error")) for row in log]
        for log in (read_log(tmp_path / "whole"), read_log(tmp_path / "parts"))
    ]
    assert figures[0] == figures[1]
    assert len(read_sessions(tmp_path / "parts")) == session + 1


def test_averaging_cannot_begin_in_the_middle(tmp_path: Path) -> None:
    stopped = line_recipe(line_stage(steps=7))
    train(stopped, options(tmp_path, minutes=9 / 60), clock=Ticking())
    with pytest.raises(RecipeError, match="leave ema as it was"):
        train(line_recipe(line_stage(steps=7, ema=0.9)), options(tmp_path, resume=True))


def test_a_step_with_a_loss_that_is_not_finite_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    trap = PointsConfig(trap="nan", trap_at=17)
    state = train(line_recipe(line_stage(source=trap, ema=0.9)), options(tmp_path))
    assert state.finished and state.skipped == 1 and state.step == 12
    assert "step 5 skipped: square, loss not finite" in capsys.readouterr().out
    checkpoint = final(tmp_path)
    for tensors in (checkpoint.model, checkpoint.average, checkpoint.optimizer):
        for name, value in tensors.items():
            assert torch.isfinite(value.float()).all(), name
    rows = [row for row in read_log(tmp_path) if row["step"] == 5 and row["kind"] == "train"]
    assert rows[0]["values"]["loss"] is None


def test_lasting_trouble_ends_the_run_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    train(line_recipe(line_stage(steps=4)), options(tmp_path))
    before = final(tmp_path)
    bad = line_stage(steps=4, name="bad", source=PointsConfig(trap="always_nan"))
    recipe = line_recipe(line_stage(steps=4), bad, max_skipped=2)
    checkpoint = dataclasses.replace(before, state=dataclasses.replace(before.state, finished=False))
    CheckpointFolder(tmp_path / "checkpoints").save(checkpoint)
    with pytest.raises(TrainingDivergedError, match=r"'bad' was ended at step 3: loss terms square, loss"):
        train(recipe, options(tmp_path, resume=True))
    assert_same_bits(final(tmp_path), before)


def test_time_box_ends_with_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    state = train(line_recipe(), options(tmp_path, minutes=9 / 60), clock=Ticking())
    assert not state.finished and 0 < state.step < 12
    assert final(tmp_path).state == state
    assert "go on with --resume" in capsys.readouterr().out


def test_two_optimizers_move_their_own_weights_each(tmp_path: Path) -> None:
    still, quick = OptimizerConfig(learning_rate=1e-12), OptimizerConfig(learning_rate=0.03)
    found = {}
    for name, own, critic in (("none", still, still), ("generator", quick, still), ("critic", still, quick)):
        stage = DuelConfig(steps=6, batch=4, source=PointsConfig(), optimizer=own, critic_optimizer=critic)
        train(line_recipe(stage), options(tmp_path / name))
        found[name] = final(tmp_path / name).model
    for name in ("generator", "critic"):
        for weight, value in found[name].items():
            if weight.endswith("0.weight"):
                far = (value - found["none"][weight]).abs().max()
                assert (far > 0.05) == weight.startswith(name), f"{weight} while {name} learns"
    values = read_log(tmp_path / "critic")[0]["values"]
    assert {"fooled", "critic.discrimination", "critic.steepness", "critic.loss", "gradient_norm"} <= set(values)


def test_a_weight_belongs_to_one_turn(tmp_path: Path) -> None:
    recipe = line_recipe(DuelConfig(steps=1, batch=4, source=PointsConfig(), shared=True))
    with pytest.raises(ValueError, match="more than one turn"):
        train(recipe, options(tmp_path))


def test_an_adversary_in_trouble_does_not_stop_the_other(tmp_path: Path) -> None:
    broken = CriticWeights(steepness=math.nan)
    stage = DuelConfig(steps=2, batch=4, source=PointsConfig(), critic_weights=broken)
    state = train(line_recipe(stage), options(tmp_path))
    assert state.skipped == 2 and any(name.startswith("generator") for name in final(tmp_path).optimizer)
    assert not any(name.startswith("critic") for name in final(tmp_path).optimizer), "it never moved"


def test_termination_by_signal_saves_first(tmp_path: Path) -> None:
    trap = PointsConfig(trap="terminate", trap_at=21)
    state = train(line_recipe(line_stage(source=trap)), options(tmp_path))
    assert state.step == 6 and not state.finished
    assert final(tmp_path).state == state


def test_a_frozen_group_does_not_move_and_later_does(tmp_path: Path) -> None:
    stage = line_stage(steps=10, frozen_until=0.5)
    recipe = line_recipe(stage, checkpoint_steps=1, keep=20)
    train(recipe, options(tmp_path))
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=20)
    heads = [read_checkpoint(path).model["head.weight"] for path in folder.files()]
    assert len(heads) == 10
    assert torch.equal(heads[0], heads[4])
    assert not torch.equal(heads[4], heads[5])


def test_next_stage_starts_from_the_weights_before_and_init_from_from_a_file(tmp_path: Path) -> None:
    still = {"steps": 1, "optimizer": OptimizerConfig(kind="sgd", learning_rate=1e-30)}
    train(line_recipe(line_stage(name="one"), line_stage(name="two", **still)), options(tmp_path / "two"))
    train(line_recipe(line_stage(name="one")), options(tmp_path / "one"))
    one = final(tmp_path / "one")
    assert torch.equal(final(tmp_path / "two").model["head.weight"], one.model["head.weight"])
    file = CheckpointFolder(tmp_path / "one" / "checkpoints").files()[-1]
    train(line_recipe(line_stage(name="other", **still), seed=99), options(tmp_path / "warm", init_from=file))
    assert torch.equal(final(tmp_path / "warm").model["head.weight"], one.model["head.weight"])


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    # A rate that is far too high: it learns at first, then is thrown about.
    wild = OptimizerConfig(learning_rate=1.0)
    stage = line_stage(steps=20, optimizer=wild, validation=PointsConfig(seed=1), select="-error")
    state = train(line_recipe(stage, validate_steps=1), options(tmp_path))
    errors = {row["step"]: row["values"]["error"] for row in read_log(tmp_path) if row["kind"] == "validation"}
    best_step = min(errors, key=errors.get)
    kept = read_checkpoint(CheckpointFolder(tmp_path / "checkpoints").best_path(0)).state
    assert kept.step == best_step < 20
    assert state.best == pytest.approx(errors[best_step])


def test_bf16_learns_and_keeps_float32_weights(tmp_path: Path) -> None:
    # the source refuses to be asked within autocast; held-out samples once were
    stage = line_stage(steps=150, dropout=0.0, batch_norm=False, validation=PointsConfig(seed=1))
    train(line_recipe(stage, precision="bf16"), options(tmp_path))
    losses = [row["values"]["loss"] for row in read_log(tmp_path) if "loss" in row["values"]]
    assert all(math.isfinite(loss) for loss in losses) and losses[-1] < 0.2 * losses[0]
    assert final(tmp_path).model["head.weight"].dtype == torch.float32


def test_misuse_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no checkpoint to resume"):
        train(line_recipe(), options(tmp_path / "none", resume=True))
    train(line_recipe(), options(tmp_path))
    with pytest.raises(RecipeError, match="There is a run in"):
        train(line_recipe(), options(tmp_path))
    assert train(line_recipe(), options(tmp_path, resume=True)).finished
    with pytest.raises(RecipeError, match="No weights can be read"):
        train(line_recipe(), options(tmp_path / "new", init_from=tmp_path / "missing.safetensors"))


def test_a_loss_term_without_a_weight_is_named(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Fewer:
        square: float = 1.0

    stage = dataclasses.replace(line_stage(), weights=Fewer())
    with pytest.raises(AttributeError, match=r"no weight for the loss terms \['size'\]"):
        train(line_recipe(stage), options(tmp_path))
