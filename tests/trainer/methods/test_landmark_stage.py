"""The landmark net's stage: windows, mirror partners, learning, export, and what its source keeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.models.checkpoints import ModelWeights, half_precision, load_model, load_weights_into, save_model
from backend.models.landmarks import WINDOW_PER_FACE, LandmarkNet, LandmarkNetConfig, net_points
from backend.photos.faces import landmark_window
from trainer.methods.landmarks import data
from trainer.methods.landmarks.stage import LandmarkStage, LandmarkStageConfig, surface_mirror, windows
from trainer.people.source import PeopleConfig

CPU = torch.device("cpu")
SMALL = LandmarkNetConfig(
    widths=(8, 12, 16, 24, 32), depths=(1, 1, 1, 1), size=48, hidden=32, squeeze=8, embedding=8, rounds=1
)


def people(folder: Path, count: int = 4, seed: int = 3) -> data.LandmarkPeopleConfig:
    source = PeopleConfig(size=64, framing="roomy", seed=seed, film=False)
    return data.LandmarkPeopleConfig(people=source, count=count, folder=str(folder))


def stage(source: data.LandmarkPeopleConfig, **changes: object) -> LandmarkStage:
    torch.manual_seed(1)
    return LandmarkStageConfig(network=SMALL, source=source, steps=1, batch=4, **changes).build(CPU)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> data.LandmarkBatch:
    return people(tmp_path_factory.mktemp("people")).build().batch(range(4), CPU)


def test_what_is_kept_is_what_was_made(tmp_path: Path) -> None:
    config = people(tmp_path, count=2)
    fresh = config.people.build().batch(range(2), CPU)
    for kept in (config.build().batch(range(2), CPU), config.build().batch(range(2, 4), CPU)):
        torch.testing.assert_close(kept.images, fresh.images, atol=0.003, rtol=0)
        points = torch.from_numpy(load_template().landmarks478.positions(fresh.vertices.numpy())).float()
        turn, place = fresh.camera_from_head[:, :3, :3], fresh.camera_from_head[:, None, :3, 3]
        seen = points @ turn.transpose(1, 2) + place
        flat = seen @ fresh.intrinsics.transpose(1, 2)
        torch.testing.assert_close(kept.landmarks, flat[..., :2] / flat[..., 2:], atol=0.01, rtol=0)
        pixels = fresh.intrinsics[:, 0, 0] / seen.mean(1)[:, 2]
        torch.testing.assert_close(kept.distance, seen.mean(1).norm(dim=-1) * pixels)
        behind = (seen[:, 168].norm(dim=-1) - seen[:, 1].norm(dim=-1)) * pixels  # between the eyes, the nose
        torch.testing.assert_close(kept.depths[:, 168] - kept.depths[:, 1], behind, atol=0.3, rtol=0.1)
    other = dataclasses.replace(config, people=dataclasses.replace(config.people, seed=4)).build().batch(range(2), CPU)
    assert not torch.equal(other.landmarks, kept.landmarks), "another configuration is another folder"
    with pytest.raises(ValueError, match="one photo"):
        data.LandmarkPeopleConfig(people=PeopleConfig(photos=2))


def test_windows_are_those_of_the_photo_stage(batch: data.LandmarkBatch) -> None:
    images, places, side, _ = windows(batch, 48)
    for number in range(len(images)):
        marks = batch.landmarks[number].double().numpy()
        window = landmark_window(marks, WINDOW_PER_FACE)
        np.testing.assert_allclose(places[number], window.from_picture(marks, 1.0), atol=1e-4)
        assert float(side[number]) == pytest.approx(window.side, rel=1e-4)
        pixels = (batch.images[number].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        cut = window.cut(pixels, 48).astype(np.float32) / 255
        assert np.abs(images[number].permute(1, 2, 0).numpy() - cut).mean() < 0.01


def test_positions_are_exact_where_the_training_computes_in_bfloat16(batch: data.LandmarkBatch) -> None:
    moves = torch.tensor([[0.2, 1.1, 0.05, -0.03]]).repeat(len(batch.images), 1)
    exact = windows(batch, 48, moves)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = windows(batch, 48, moves)
    for one, other in zip(exact, rounded, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_points_all_over_the_head_come_with_the_landmarks(batch: data.LandmarkBatch) -> None:
    _, places, _, surface = windows(batch, 48)
    points, mirror = data.surface_points(), surface_mirror()
    assert len(np.unique(points)) == data.SURFACE
    np.testing.assert_array_equal(mirror[mirror], np.arange(data.SURFACE))
    vertices = load_template().vertices
    np.testing.assert_allclose(vertices[points[mirror]], vertices[points] * (-1, 1, 1), atol=1e-5)
    tip = np.linalg.norm(vertices[points] - load_template().landmarks478.positions(vertices)[1], axis=1).argmin()
    assert (surface[:, tip, :2] - places[:, 1]).norm(dim=-1).max() < 0.06, "the vertex beside the tip of the nose"
    assert bool((surface[:, tip, 2] < surface[..., 2].mean(1)).all()), "the nose is nearer than most of the head"


def test_samples_are_chosen_among_what_is_drawn_so_far() -> None:
    config = data.LandmarkPeopleConfig(count=1000, first=100, growth=0.5)
    rows = data.chosen_rows(config, range(4000))
    np.testing.assert_array_equal(rows[1000:1010], data.chosen_rows(config, range(1000, 1010)))
    assert (rows <= np.minimum(100 + 0.5 * np.arange(4000), 999)).all() and rows.max() > 950
    counts = np.bincount(data.chosen_rows(config, range(4000, 44000)), minlength=1000)
    assert abs(counts.mean() - 40) < 1e-9 and counts.std() < 9, "evenly, as by chance"
    np.testing.assert_array_equal(data.chosen_rows(data.LandmarkPeopleConfig(count=3), range(5)), [0, 1, 2, 0, 1])


def test_people_drawn_by_processes_are_the_same(tmp_path: Path) -> None:
    config = people(tmp_path / "here", count=5)
    ahead = dataclasses.replace(config, folder=str(tmp_path / "there"), processes=1, on_device=True)
    one, other = config.build().batch(range(3, 5), CPU), ahead.build().batch(range(3, 5), CPU)
    for name in ("images", "landmarks", "depths", "distance", "surface"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=0.005, rtol=0)


def test_moved_windows_show_the_same_points(batch: data.LandmarkBatch) -> None:
    moves = torch.tensor([[0.2, 1.1, 0.05, -0.03]]).repeat(len(batch.images), 1)
    _, still, side, _ = windows(batch, 48)
    _, moved, larger, _ = windows(batch, 48, moves)
    torch.testing.assert_close(larger, 1.1 * side)
    # a larger window that lies further right and up shows everything smaller, further left and down, and turned back
    centre, expected = torch.tensor([0.55, 0.47]), torch.tensor([[0.9801, 0.1987], [-0.1987, 0.9801]])
    torch.testing.assert_close(moved, (still - centre) @ expected.T / 1.1 + 0.5, atol=2e-3, rtol=0)


@pytest.mark.usefixtures("one_thread")
def test_the_net_learns_what_it_is_shown(batch: data.LandmarkBatch) -> None:
    still = {"turn_degrees": 0.0, "scale": 0.0, "shift": 0.0, "covered": 0.0}
    trained = stage(data.LandmarkPeopleConfig(), **still)
    before = trained.metrics([batch])
    optimizer = torch.optim.Adam(trained.modules.parameters(), 3e-3)
    slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 100)  # at a constant rate it depends on rounding
    for _ in range(100):
        optimizer.zero_grad()
        terms = trained.step(batch, 0.0)
        (terms["likelihood"] + 0.5 * terms["distance"] + terms["depth"] + terms["camera"]).backward()
        optimizer.step()
        slower.step()
    after = trained.metrics([batch])
    assert after["percent"] < 0.6 * before["percent"]
    assert after["depth"] < 0.8 * before["depth"] and after["camera"] < before["camera"]
    assert 0.3 < after["surprise"] < 3.0 < before["surprise"], "it says by how much it errs"


def test_export_gives_the_backend_the_same_net(tmp_path: Path, batch: data.LandmarkBatch) -> None:
    trained = stage(data.LandmarkPeopleConfig())
    exported = trained.export()
    tensors = half_precision(exported.tensors)
    save_model(ModelWeights(exported.model, exported.config, tensors, ""), tmp_path)
    weights = load_model("landmarks", tmp_path)
    network = LandmarkNet(LandmarkNetConfig.from_json(weights.config))
    load_weights_into(network, weights)
    images, *_ = windows(batch, 48)
    with torch.no_grad():
        mine, theirs = trained.modules["net"].eval()(images)[-1], network.eval()(images)[-1]
    torch.testing.assert_close(mine.places, theirs.places, atol=2e-3, rtol=0)
    assert network.config == SMALL
    own, taught = load_template().landmarks478, net_points(tmp_path)
    np.testing.assert_array_equal(taught.vertices, own.vertices)
    np.testing.assert_array_equal(taught.barycentrics, own.barycentrics)
