"""Exported models: versions, weights of one byte, and what is said when something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from backend.errors import LikenessError
from backend.models import checkpoints
from backend.system.files import tensor_spec, write_specs


def line_weights(seed: int = 0) -> checkpoints.ModelWeights:
    generator = torch.Generator().manual_seed(seed)
    tensors = checkpoints.half_precision(
        {f"layer{i}.weight": torch.randn(30, 40, generator=generator) for i in range(5)}
    )
    return checkpoints.ModelWeights("line", {"widths": [1, 2]}, tensors, checkpoints.fingerprint(tensors))


def test_a_model_comes_back_and_replaces_the_one_before(tmp_path: Path) -> None:
    checkpoints.save_model(line_weights(1), tmp_path)
    weights = line_weights()
    assert checkpoints.save_model(weights, tmp_path).name == "line-00001-of-00001.safetensors"
    assert len(list(tmp_path.iterdir())) == 1
    back = checkpoints.load_model("line", tmp_path)
    assert (back.config, back.version) == ({"widths": [1, 2]}, weights.version)
    assert back.tensors.keys() == weights.tensors.keys()
    for name, value in back.tensors.items():
        assert value.dtype == torch.float32 and torch.equal(value, weights.tensors[name].float())


def test_not_trained_is_said_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(LikenessError, match=r"The line model is not trained.*python -m trainer export") as caught:
        checkpoints.load_model("line", tmp_path)
    assert caught.value.code == "missing_part"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = checkpoints.save_model(line_weights(), tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(LikenessError, match=r"line-00001-of-00001\.safetensors is damaged: "):
        checkpoints.load_model("line", tmp_path)


def test_weights_of_another_program_version_are_refused() -> None:
    weights = checkpoints.ModelWeights("line", {}, {"weight": torch.zeros(2, 2)}, "v")
    with pytest.raises(LikenessError, match="do not fit this version"):
        checkpoints.load_weights_into(nn.Linear(3, 2), weights)


def test_float16_overflow_is_an_error_and_integers_stay() -> None:
    assert checkpoints.half_precision({"n": torch.tensor(70_000)})["n"].item() == 70_000
    with pytest.raises(ValueError, match="'w' does not fit into float16"):
        checkpoints.half_precision({"w": torch.tensor([70_000.0])})


def test_the_fingerprint_sees_names_types_and_bits() -> None:
    base = {"a": torch.zeros(2)}
    others = ({"b": torch.zeros(2)}, {"a": torch.zeros(2, 1)}, {"a": torch.zeros(2).half()}, {"a": -torch.zeros(2)})
    assert len({checkpoints.fingerprint(tensors) for tensors in (base, *others)}) == 5


def network_weights() -> dict[str, torch.Tensor]:
    """Channels of very different size, one of zeros, beside tensors that must stay as they are."""
    generator = torch.Generator().manual_seed(3)
    sizes = torch.logspace(-6, 1, 64)[:, None, None, None]
    convolution = torch.randn(64, 16, 3, 3, generator=generator) * sizes
    convolution[5] = 0
    return {
        "convolution.weight": convolution,
        "linear.weight": torch.randn(32, 256, generator=generator),
        "head.basis": torch.randn(8, 32, 32, generator=generator),
        "norm.weight": torch.randn(5000, generator=generator),
        "small.weight": torch.randn(10, 10, generator=generator),
        "count": torch.tensor(7),
    }


def saved(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """A folder with a model."""
    checkpoints.save_model(
        checkpoints.ModelWeights("line", {"widths": [1]}, tensors, checkpoints.fingerprint(tensors)), folder
    )
    return folder


def test_large_weights_with_channels_are_chosen_and_sensitive_ones_are_not() -> None:
    assert checkpoints.large_weights(network_weights(), ("*.basis",)) == {"convolution.weight", "linear.weight"}
    assert checkpoints.large_weights(network_weights()) == {"convolution.weight", "linear.weight", "head.basis"}


def test_every_weight_comes_back_within_half_a_step_of_its_channel(tmp_path: Path) -> None:
    given = network_weights()
    stored = checkpoints.eight_bit_precision(given, ("*.basis",))
    assert stored["convolution.weight"].dtype == stored["linear.weight"].dtype == torch.int8
    assert stored["head.basis"].dtype == stored["norm.weight"].dtype == torch.float16
    back = checkpoints.load_model("line", saved(tmp_path, stored)).tensors
    assert back.keys() == given.keys()
    for name in ("convolution.weight", "linear.weight"):
        steps = given[name].flatten(1).abs().amax(1) / 127
        off = (back[name] - given[name]).flatten(1).abs().amax(1)
        assert back[name].dtype == torch.float32 and back[name].shape == given[name].shape
        assert (off <= steps * 0.50001).all() and off.max() > 0
    for name in ("head.basis", "norm.weight", "small.weight"):
        assert torch.equal(back[name], given[name].half().float())
    assert back["count"].item() == 7


def test_damaged_steps_are_refused_in_one_sentence(tmp_path: Path) -> None:
    sound = checkpoints.eight_bit_precision(network_weights())
    steps = "linear.weight" + checkpoints.STEP_SUFFIX
    for change, reason in (
        ({steps: None}, "int8 weights 'linear.weight' have no steps"),
        ({steps: sound[steps][:-1]}, r"of shape \(32, 256\) have steps of shape \(31,\)"),
        ({steps: sound[steps][:, None]}, r"have steps of shape \(32, 1\)"),
        ({steps: sound[steps].to(torch.int32)}, "dtype torch.int32"),
        ({steps: sound[steps] * torch.nan}, "not finite or negative"),
        ({steps: -sound[steps]}, "not finite or negative"),
        ({"linear.weight": None}, f"'{steps}' has no int8 weights"),
        ({"linear.weight": sound["linear.weight"].half()}, f"'{steps}' has no int8 weights"),
        ({"linear.weight": sound["linear.weight"].flatten()}, r"of shape \(8192,\)"),
    ):
        tensors = {name: value for name, value in (sound | change).items() if value is not None}
        with pytest.raises(LikenessError, match=f"line-00001-of-00001.safetensors is damaged: .*{reason}") as caught:
            checkpoints.load_model("line", saved(tmp_path, tensors))
        assert caught.value.code == "missing_part"


def test_a_type_that_torch_does_not_have_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, checkpoints.eight_bit_precision(network_weights())) / "line-00001-of-00001.safetensors"
    content = path.read_bytes()
    assert content.count(b'"dtype":"I8"') == 3
    for other in (b'"dtype":"I4"', b'"dtype":"F8"'):
        path.write_bytes(content.replace(b'"dtype":"I8"', other))
        with pytest.raises(LikenessError, match="is damaged"):
            checkpoints.load_model("line", tmp_path)
    metadata = {"config": json.dumps({}), "version": "v"}
    write_specs(path, {"w": tensor_spec("w", "float8_e8m0fnu", (8,), np.zeros(8, np.uint8))}, metadata)
    with pytest.raises(LikenessError, match="'F8_E8M0' is a type that cannot be read here"):
        checkpoints.load_model("line", tmp_path)


def test_weights_that_are_not_finite_are_not_stored() -> None:
    with pytest.raises(ValueError, match="not finite"):
        checkpoints.in_eight_bits(torch.tensor([[1.0, torch.inf]]))
    broken = network_weights()
    broken["linear.weight"][3, 4] = torch.nan
    with pytest.raises(ValueError, match=r"tensor 'linear\.weight'"):
        checkpoints.eight_bit_precision(broken)
