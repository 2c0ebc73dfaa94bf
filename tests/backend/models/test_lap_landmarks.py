"""LAP told of landmarks: views by perspective-n-point, what is left of the points, and who needs them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from backend.models.landmarks import LANDMARKS
from backend.models.lap import LapConfig, LapNet, fuse_codes
from backend.models.lap_landmarks import LandmarkFeatures
from backend.rendering.camera_models import CanonicalCamera, View, rotation_from_euler

SIDE = 32
CONFIG = LapConfig(
    size=SIDE,
    depth_width=8,
    albedo_width=8,
    code=16,
    pooled=8,
    fusion="precision",
    landmark_components=12,
    decoder="linear",
    depth_components=5,
    albedo_components=5,
    depth_residual=4,
    albedo_residual=4,
    scene_width=8,
    view_head=True,
    view_knows_face=True,
    confidence_width=8,
    confidence_code=16,
    refine_width=8,
)


def mean_face() -> Tensor:
    """(478, 3) a bowl of the size of a face around the pivot, with a nose."""
    g = torch.Generator().manual_seed(0)
    x, y = (torch.rand(2, LANDMARKS, generator=g) - 0.5) * 0.15
    nose = 0.03 * torch.exp(-(x**2 + y**2) / 3e-4)
    return torch.stack([x, y, 0.97 + 8 * x**2 + 5 * y**2 - nose], 1)


def views(count: int, yaw_degrees: float) -> View:
    g = torch.Generator().manual_seed(count)
    angles = torch.randn(count, 3, generator=g) * torch.tensor([0.2, 0.0, 0.1])
    angles[:, 1] = torch.deg2rad(torch.linspace(-yaw_degrees, yaw_degrees, count))
    return View(rotation_from_euler(angles), torch.randn(count, 3, generator=g) * torch.tensor([0.02, 0.02, 0.08]))


def seen(points: Tensor, view: View, deviation: float = 0.005) -> Tensor:
    """(N, 478, 3) marks of canonical points (478, 3) or (N, 478, 3)."""
    many = points.expand(len(view.rotation), -1, -1)
    places = CanonicalCamera((SIDE, SIDE)).project(view.apply(many))[..., :2] / SIDE
    return torch.cat([places, torch.full_like(places[..., :1], deviation)], 2)


def turned_apart(first: Tensor, second: Tensor) -> Tensor:
    """(N,) degrees between rotations."""
    return torch.rad2deg((((first * second).sum((1, 2)) - 1) / 2).clamp(-1, 1).acos())


def features() -> LandmarkFeatures:
    torch.manual_seed(0)
    net = LandmarkFeatures(SIDE, 12)
    people = mean_face() + 0.002 * torch.randn(60, LANDMARKS, 3)
    net.set_reference(mean_face(), seen(people, views(60, 30.0)))
    return net


def test_the_mean_face_is_found_where_it_is_even_in_profile() -> None:
    true = views(9, 80.0)
    found = features().view(seen(mean_face(), true))
    assert turned_apart(found.rotation, true.rotation).max() < 0.1
    torch.testing.assert_close(found.translation, true.translation, atol=1e-4, rtol=0)


def test_points_that_the_net_is_unsure_of_do_not_turn_the_view() -> None:
    true, net = views(5, 20.0), features()
    marks = seen(mean_face(), true)
    wrong = mean_face()[:, 1] > 0.03  # those low on the face, all to one side
    marks[:, wrong, 0] += 0.05
    disturbed = turned_apart(net.view(marks).rotation, true.rotation)
    marks[:, wrong, 2] = 0.5
    assert turned_apart(net.view(marks).rotation, true.rotation).max() < 0.1 and disturbed.min() > 1


def test_what_a_person_is_beside_the_mean_is_the_same_thing_from_all_sides() -> None:
    net, true = features(), views(7, 40.0)
    wide = mean_face() + torch.tensor([1.0, 0.0, 0.0]) * 0.03 * mean_face()[:, :1]  # 3 % wider
    left = net.residuals(seen(wide, true), true)
    across = left[..., 0] / (mean_face()[:, 0] * 0.03)
    firm = mean_face()[:, 0].abs() > 0.03
    shown = true.rotation[:, 0, 0] ** 2 + true.rotation[:, 1, 0] ** 2  # of the x axis, across the line of sight
    torch.testing.assert_close(across[:, firm].median(1).values, shown, atol=0.03, rtol=0)


def test_features_know_people_apart_and_are_finite_where_the_marks_are_nonsense() -> None:
    net = features()
    marks = seen(mean_face() + 0.002 * torch.randn(4, LANDMARKS, 3), views(4, 10.0))
    told, _ = net(marks)
    assert told.shape == (4, net.width) and (told[0] - told[1]).abs().max() > 0.5
    told, view = net(torch.full((2, LANDMARKS, 3), 0.5))
    assert told.isfinite().all() and view.rotation.isfinite().all() and view.translation.isfinite().all()


def test_precision_leaves_less_of_the_mean_with_more_photos() -> None:
    codes, logits = torch.ones(3, 2), torch.tensor([[0.0, 2.0]] * 3)
    one = fuse_codes(codes[:1], logits[:1], torch.tensor([0]), "precision")[0]
    three = fuse_codes(codes, logits, torch.tensor([0, 0, 0]), "precision")[0]
    torch.testing.assert_close(one, torch.sigmoid(torch.tensor([0.0, 2.0])))
    torch.testing.assert_close(three, torch.tensor([0.75, 3 * torch.e**2 / (1 + 3 * torch.e**2)]))


@torch.no_grad()
def test_views_start_where_the_landmarks_are_and_may_know_the_face() -> None:
    torch.manual_seed(0)
    net = LapNet(CONFIG).eval()
    net.landmarks.set_reference(mean_face(), seen(mean_face() + 0.002 * torch.randn(30, LANDMARKS, 3), views(30, 30.0)))
    true, pictures = views(4, 50.0), torch.rand(4, 3, SIDE, SIDE) * 2 - 1
    marks, sets = seen(mean_face(), true), torch.tensor([0, 0, 0, 1])
    _, scene = net(pictures, sets, marks)
    assert turned_apart(scene.view.rotation, true.rotation).max() < 6, "the networks change little at first"
    depth, view = net.shape(pictures, sets, marks)
    torch.testing.assert_close(view.rotation, scene.view.rotation)
    torch.testing.assert_close(depth, net(pictures, sets, marks)[0].depth)
    torch.nn.init.normal_(net.view_face.layers[2].weight)
    codes = net.encode(pictures, marks)
    alone, together = net.scene(pictures, codes), net.scene(pictures, codes, sets)
    assert turned_apart(alone.view.rotation, together.view.rotation)[:3].min() > 1e-3
    torch.testing.assert_close(alone.view.rotation[3], together.view.rotation[3])
    assert alone.view.rotation.dtype == torch.float32


def test_without_marks_there_is_an_error_and_mirrored_views_are_refused() -> None:
    with pytest.raises(ValueError, match="landmark net's points"):
        LapNet(CONFIG).encode(torch.zeros(1, 3, SIDE, SIDE))
    with pytest.raises(ValueError, match="mirrored_views"):
        dataclasses.replace(CONFIG, mirrored_views=True)
