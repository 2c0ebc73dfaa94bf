"""What LAP's fused face is measured beside: the mean of codes, and a linear map of the landmark net's points."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch
from canonical_hand_made import TINY, tiny_network

from trainer.methods.lap.evaluate import mean_code_errors
from trainer.methods.lap.stage import depth_errors

sys.path.append(str(Path(__file__).resolve().parents[2] / "trainer"))
from lap_parts import ToySetsConfig

CPU = torch.device("cpu")


def test_the_mean_of_codes_is_what_fusion_by_the_mean_gives() -> None:
    config = dataclasses.replace(TINY, border_columns=0)
    batch = ToySetsConfig(photos=4).build().batch(range(3), CPU)
    with torch.no_grad():
        plain = tiny_network(dataclasses.replace(config, fusion="average"))
        wanted = depth_errors(plain, [batch], personal=False)
        torch.testing.assert_close(mean_code_errors(plain, [batch], 4), wanted["side.canonical.n4"])
        weighed = tiny_network(config)
        found = depth_errors(weighed, [batch], personal=False)
    torch.testing.assert_close(mean_code_errors(weighed, [batch], 4), wanted["side.canonical.n4"])
    torch.testing.assert_close(mean_code_errors(weighed, [batch], 1), found["side.canonical.n1"])
    assert (found["side.canonical.n4"] - wanted["side.canonical.n4"]).abs().max() > 1e-4, "weights are not even"
