"""Exported models: shards, versions, and what is said when something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from backend.errors import LikenessError
from backend.models.checkpoints import (
    ModelWeights,
    fingerprint,
    half_precision,
    load_model,
    load_weights_into,
    save_model,
)


def line_weights(seed: int = 0) -> ModelWeights:
    generator = torch.Generator().manual_seed(seed)
    tensors = half_precision({f"layer{i}.weight": torch.randn(30, 40, generator=generator) for i in range(5)})
    return ModelWeights("line", {"widths": [1, 2]}, tensors, fingerprint(tensors))


def test_shards_stay_under_the_limit_and_come_back(tmp_path: Path) -> None:
    weights = line_weights()
    paths = save_model(weights, tmp_path, shard_bytes=7_000)
    assert [path.name for path in paths] == [f"line-{i:05d}-of-00003.safetensors" for i in (1, 2, 3)]
    assert max(path.stat().st_size for path in paths) <= 7_000
    back = load_model("line", tmp_path)
    assert (back.config, back.version) == ({"widths": [1, 2]}, weights.version)
    assert back.tensors.keys() == weights.tensors.keys()
    for name, value in back.tensors.items():
        assert value.dtype == torch.float32 and torch.equal(value, weights.tensors[name].float())


def test_an_export_replaces_the_shards_of_the_one_before(tmp_path: Path) -> None:
    save_model(line_weights(0), tmp_path, shard_bytes=7_000)
    save_model(line_weights(1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["line-00001-of-00001.safetensors"]
    assert load_model("line", tmp_path).version == line_weights(1).version


def test_a_tensor_larger_than_a_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'layer0.weight' of 2400 bytes does not fit"):
        save_model(line_weights(), tmp_path, shard_bytes=3_000)


def test_not_trained_is_said_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(LikenessError, match=r"The line model is not trained.*python -m trainer export") as caught:
        load_model("line", tmp_path)
    assert caught.value.code == "missing_part"


def test_missing_mixed_and_damaged_shards_are_named(tmp_path: Path) -> None:
    paths = save_model(line_weights(0), tmp_path / "a", shard_bytes=7_000)
    others = save_model(line_weights(1), tmp_path / "b", shard_bytes=7_000)
    content = paths[1].read_bytes()
    for damage, reason in (
        (others[1].read_bytes(), "files come from different trainings"),
        (content[:-10], "line-00002-of-00003.safetensors is damaged: "),
    ):
        paths[1].write_bytes(damage)
        with pytest.raises(LikenessError, match=reason):
            load_model("line", tmp_path / "a")
    paths[1].unlink()
    with pytest.raises(LikenessError, match="2 of the model's 3 files are there"):
        load_model("line", tmp_path / "a")


def test_weights_of_another_program_version_are_refused() -> None:
    weights = ModelWeights("line", {}, {"weight": torch.zeros(2, 2)}, "v")
    with pytest.raises(LikenessError, match="do not fit this version"):
        load_weights_into(nn.Linear(3, 2), weights)


def test_float16_overflow_is_an_error_and_integers_stay() -> None:
    assert half_precision({"n": torch.tensor(70_000)})["n"].item() == 70_000
    with pytest.raises(ValueError, match="'w' does not fit into float16"):
        half_precision({"w": torch.tensor([70_000.0])})


def test_the_fingerprint_sees_names_types_and_bits() -> None:
    base = {"a": torch.zeros(2)}
    others = ({"b": torch.zeros(2)}, {"a": torch.zeros(2, 1)}, {"a": torch.zeros(2).half()}, {"a": -torch.zeros(2)})
    assert len({fingerprint(tensors) for tensors in (base, *others)}) == 5
