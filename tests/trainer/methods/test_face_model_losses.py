"""Losses of the learned face model: zero where they should be, gradients, what they ignore."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.photos.collection import FaceClass
from backend.rendering.spherical_harmonics import light_from_directions, shade
from trainer.methods.learned_basis import losses

SIZE = 64


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_landmarks_are_measured_in_parts_of_the_picture_and_by_weight() -> None:
    points, wanted = torch.zeros(1, 2, 2), torch.tensor([[[3.0, 4.0], [100.0, 0.0]]])
    weight = torch.tensor([[1.0, 0.0]])
    assert losses.landmark_error(points, wanted, weight, 50).item() == pytest.approx(100)  # 5 px of 50 are 10 %
    assert losses.landmark_error(points * 2, wanted * 2, weight, 100).item() == pytest.approx(100)
    assert losses.landmark_error(points, wanted, 0 * weight, 50).item() == 0


def test_pictures_are_compared_inside_the_mask_alone() -> None:
    a, b = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)
    mask = torch.zeros(1, 4, 4)
    assert losses.picture_error(a, b, mask).item() == 0
    mask[0, 0, 0] = 1
    assert losses.picture_error(a, b, mask).item() == pytest.approx(0.25)


def test_features_are_compared_by_their_direction() -> None:
    f = random(2, 5, 4, 4).float()
    assert losses.feature_angle([f], [3 * f]).item() == pytest.approx(0, abs=1e-6)
    assert losses.feature_angle([f, f], [-f, f]).item() == pytest.approx(2, rel=1e-5)


def test_a_move_of_the_whole_graph_is_smooth_and_a_single_node_is_not() -> None:
    edges = torch.tensor([[0, 1], [1, 2], [2, 3]])
    nodes = torch.ones(2, 4, 3)
    assert losses.graph_smoothness(nodes, edges) == 0
    nodes[0, 1, 0] = 4.0
    assert losses.graph_smoothness(nodes, edges).item() == pytest.approx(2 * 9 / 6)


def test_only_neutral_faces_have_to_have_no_expression() -> None:
    codes = torch.tensor([[3.0, 4.0], [100.0, 0.0]])
    assert losses.expression_of_neutral(codes, torch.tensor([True, False])).item() == 25
    assert losses.expression_of_neutral(codes, torch.tensor([False, False])).item() == 0
    assert losses.code_prior(torch.ones(3, 4)).item() == 1


def test_shapes_are_measured_in_millimetres_where_it_counts() -> None:
    truth = random(2, 5, 3).float() * 0.01
    found = truth.clone()
    found[:, 0, 0] += 0.002
    weight = torch.tensor([1.0, 1, 0, 0, 0])
    assert losses.shape_error(found, truth, weight).item() == pytest.approx(0.95, abs=0.01)
    assert losses.shape_error(truth, truth, weight).item() == pytest.approx(0, abs=1e-6)


def test_a_turn_is_seen_although_no_point_moves_in_the_picture() -> None:
    points = torch.cat([random(1, 20, 2).float() * 10 + 30, random(1, 20, 1, seed=1).float() * 0.02 + 1], -1)
    assert losses.pose_error(points, points, SIZE).item() < 0.02
    flat = points.clone()
    flat[..., 2] = 2 - flat[..., 2]
    assert losses.pose_error(flat, points, SIZE).item() > 2
    far = points + torch.tensor([0, 0, 0.5])
    assert losses.pose_error(far, points, SIZE).item() < 0.02, "a common distance is not seen"


def test_lights_are_compared_by_what_they_do() -> None:
    normals = torch.nn.functional.normalize(random(50, 3).float(), dim=1)
    lights = [light_from_directions(torch.eye(3)[:1], torch.full((1, 3), v)) for v in (0.5, 1.0)]
    expected = (shade(normals, lights[0]) - shade(normals, lights[1])).abs().mean()
    assert losses.light_error(lights[0][None], lights[1][None], normals).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("name", ["landmark", "smooth", "neutral", "shape", "pose", "feature", "contour"])
def mouth_masks(left: int, top: int, right: int, middle: int, open_by: int = 0) -> losses.LipMasks:
    """Rectangular lips of 4 rows each, the lower one below a gap."""
    upper, lower, opening = (torch.zeros(1, SIZE, SIZE, dtype=torch.bool) for _ in range(3))
    upper[:, middle - 4 : middle, left:right] = True
    opening[:, middle : middle + open_by, left:right] = True
    lower[:, middle + open_by : middle + open_by + 4, left:right] = True
    assert top == middle - 4
    return losses.LipMasks(upper, lower, opening)


def line(x0: float, x1: float, y: float, count: int = 40) -> torch.Tensor:
    return torch.stack([torch.linspace(x0, x1, count), torch.full((count,), y)], 1)[None]


def test_contours_of_a_photo_are_the_lips_borders() -> None:
    found = losses.photo_contours(mouth_masks(20, 26, 44, 30, open_by=6))
    rows = [sorted(set((found.points[0, k][found.known[0, k]][:, 1] - 0.5).int().tolist())) for k in range(4)]
    assert rows[0] == [26, 27, 28, 29] and rows[1] == [29] and rows[2] == [36, 37, 38, 39] and rows[3] == [36]
    shut = losses.photo_contours(mouth_masks(20, 26, 44, 30))
    assert shut.known[0, 1].sum() == 24, "closed lips meet in a line"
    few = losses.photo_contours(mouth_masks(20, 26, 44, 30), most=10)
    assert few.known.sum(-1).max() <= 10 and few.known.any(-1).all()


def test_contours_pull_from_both_sides_and_outliers_are_not_believed() -> None:
    photo = losses.photo_contours(mouth_masks(20, 26, 44, 30, open_by=6))
    fitting = (line(20, 44, 26.5), line(20, 44, 29.5), line(20, 44, 39.5), line(20, 44, 36.5))
    off = tuple(part + torch.tensor([0.0, 1.5]) for part in fitting)
    best, worse = (losses.contour_error(c, photo, SIZE).item() for c in (fitting, off))
    assert best < 0.8 * worse
    short = (fitting[0], line(30, 34, 29.5), *fitting[2:])  # lies on the border, but does not reach its ends
    assert losses.contour_error(short, photo, SIZE, 50.0) > 2 * losses.contour_error(fitting, photo, SIZE, 50.0)
    mistaken = tuple(part + torch.tensor([0.0, -25.0]) for part in fitting[:1]) + fitting[1:]
    believed, ignored = (losses.contour_error(mistaken, photo, SIZE, t).item() for t in (90.0, 6.0))
    assert believed > 10 * ignored
    nothing = losses.photo_contours(losses.LipMasks(*(torch.zeros(1, SIZE, SIZE, dtype=torch.bool) for _ in range(3))))
    moving = [part.clone().requires_grad_(True) for part in fitting]
    none = losses.contour_error(tuple(moving), nothing, SIZE)
    none.backward()
    assert none.item() == 0 and all(torch.isfinite(part.grad).all() for part in moving)


def test_lips_are_told_apart_by_the_inner_landmarks() -> None:
    labels = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
    labels[:, 26:34, 20:44] = int(FaceClass.LIPS)
    marks = torch.zeros(1, 478, 2)
    from trainer.methods.learned_basis.losses import LOWER_INNER, UPPER_INNER

    # the person's right is on the picture's left; the line falls from 28 to 32
    for ids in (UPPER_INNER, LOWER_INNER):
        marks[0, list(ids)] = torch.stack([torch.linspace(20, 44, 11), torch.linspace(28, 32, 11)], 1)
    masks = losses.lip_masks(labels, marks)
    assert not (masks.upper & masks.lower).any()
    assert torch.equal(masks.upper | masks.lower, labels == int(FaceClass.LIPS))
    assert masks.upper[0, :, 20].sum() == 2 and masks.upper[0, :, 43].sum() == 6


def test_inner_contours_roll_to_the_lips_edge() -> None:
    rows, columns = 4, 5
    grid = losses.LipGrid(
        torch.arange(rows * columns).view(rows, columns),
        torch.arange(rows * columns).view(rows, columns) + rows * columns,
        torch.full((columns,), 2.5),
        torch.full((columns,), 2.5),
    )
    x = torch.linspace(10, 30, columns).repeat(rows, 1)
    upper_y = torch.tensor([20.0, 22.0, 18.0, 14.0])[:, None].expand(rows, columns)  # hangs lowest in row 1
    lower_y = torch.tensor([30.0, 27.0, 31.0, 10.0])[:, None].expand(rows, columns)  # row 3 lies beyond the lip
    pixels = torch.cat([torch.stack([x, y], -1).reshape(1, -1, 2) for y in (upper_y, lower_y)], 1)
    contours = losses.mesh_contours(pixels, grid)
    heights = [np.unique(part[0, :, 1].numpy()).tolist() for part in contours]
    assert heights == [[16.0], [22.0], [20.5], [27.0]]
    assert contours[0][0, 0, 0] == 10 and contours[0][0, -1, 0] == 30
