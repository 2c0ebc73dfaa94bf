"""What LAP's fused face is measured beside: the mean of codes, and a linear map of the landmark net's points."""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from canonical_hand_made import TINY, save_tiny, tiny_network
from rich.console import Console
from torch import Tensor

from backend.rendering.camera import LAP_PIVOT, CanonicalCamera, rotation_from_euler
from trainer.methods.lap import evaluate as lap
from trainer.methods.lap import sets
from trainer.methods.lap.data import LapBatch
from trainer.methods.lap.evaluate import linear_errors, linear_maps, mean_code_errors
from trainer.methods.lap.stage import canonical_errors, depth_errors

sys.path.append(str(Path(__file__).resolve().parents[2] / "trainer"))
from lap_parts import ToySetsConfig

CPU = torch.device("cpu")
SIZE = 32


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


@dataclass(frozen=True)
class MarkedFaces:
    """People whose depth is linear in their shape, which points alone show; ``first`` : another one, other people."""

    shapes: sets.LandmarkShapes
    photos: int = 4
    first: int = 0

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        made = [self._person(self.first + index) for index in indices]
        toys = ToySetsConfig(photos=self.photos).build().batch(indices, device)
        truth = dataclasses.replace(toys.truth, depth=torch.stack([depth for _, depth in made]))
        return dataclasses.replace(toys, marks=torch.cat([marks for marks, _ in made]), truth=truth)

    def _person(self, index: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(index)
        told = torch.randn(3, generator=g)
        points = self.shapes.mean + torch.einsum("k,klc->lc", told, self.shapes.people[:3])
        turn = rotation_from_euler(torch.randn(self.photos, 3, generator=g) * torch.tensor([0.1, 0.3, 0.1]))
        placed = (points - torch.tensor(LAP_PIVOT)) @ turn.transpose(1, 2) + torch.tensor(LAP_PIVOT)
        places = 0.5 + CanonicalCamera((SIZE, SIZE)).focal / SIZE * placed[..., :2] / placed[..., 2:]
        places = places + 0.001 * torch.randn(places.shape, generator=g)
        y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIZE)] * 2, indexing="ij")
        depth = 1 + 0.01 * (told[0] * x * x + told[1] * y * y + told[2] * x * y)
        return torch.cat([places, torch.full_like(places[..., :1], 0.001)], 2), depth


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> sets.LandmarkShapes:
    monkeypatch.setattr(sets, "PEOPLE", 100)  # all 3,000 take seconds
    return sets.landmark_shapes(SIZE, 48, CPU)


def test_a_linear_map_finds_depth_that_is_linear_in_the_points_shape(
    shapes: sets.LandmarkShapes,
) -> None:
    source = MarkedFaces(shapes)
    maps = linear_maps(source, 150, SIZE)
    held_out = MarkedFaces(shapes, first=1000).batch(range(24), CPU)
    network = tiny_network(dataclasses.replace(TINY, border_columns=0))
    errors = linear_errors(maps, network, [held_out])
    found = errors.linear
    mean = source.batch(range(150), CPU).truth.depth.mean(0)
    nobody = 100 * canonical_errors(mean.expand(24, -1, -1), held_out.truth.depth).side.mean()
    assert found[4].mean() < found[1].mean() < 0.7 * nobody, "more photos, less noise"
    with torch.no_grad():
        own = network(held_out.images * 2 - 1, held_out.set_of)[0].depth
    half = (maps.depth(held_out.marks, 4) + own) / 2
    torch.testing.assert_close(errors.both[4], 100 * canonical_errors(half, held_out.truth.depth).side)
    assert maps.depth(held_out.marks, 4).shape == (24, SIZE, SIZE)
    with pytest.raises(ValueError, match="points"):
        linear_maps(ToySetsConfig(photos=4).build(), 4, SIZE)


def test_networks_are_compared_with_a_linear_map_where_it_is_asked_for(
    shapes: sets.LandmarkShapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def config(**values: object) -> argparse.Namespace:
        asked.append(values)
        first = 1000 if values["seed"] == lap.HELD_OUT_SEED else 0
        return argparse.Namespace(build=lambda: MarkedFaces(shapes, values["photos"], first))

    monkeypatch.setattr(lap, "LapPeopleConfig", config)
    model = save_tiny(tmp_path, dataclasses.replace(TINY, rotation_degrees=60.0, border_columns=0))
    parser = argparse.ArgumentParser()
    lap.add_arguments(parser)
    words = ["--model", str(model), "--people", "8", "--linear-people", "150", "--no-poor"]
    figures = lap.run(parser.parse_args(words), Console(file=io.StringIO()))
    assert all(values["marks"] for values in asked), "the landmark net looks at all of them"
    assert {values["seed"] for values in asked} == {lap.HELD_OUT_SEED, lap.TRAINING_SEED}
    assert figures["linear.ratio.mean_face.n4"] < figures["linear.ratio.mean_face.n1"] < 0.7
    assert figures["ratio.linear.n4.low"] > 1, "networks that have learnt nothing are no match"
    assert 1 < figures["both.ratio.linear.n4"] < figures["ratio.linear.n4"]
    shown = figures["ratio.canonical.mean_face.n4"] / figures["linear.ratio.mean_face.n4"]
    assert figures["ratio.linear.n4"] == pytest.approx(shown, rel=1e-4)
