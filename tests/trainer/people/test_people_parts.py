"""Parts of the synthetic people: crops as the product makes them, smoothing, shadows, noise, labels made smaller."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.photos.faces import crop_head, face_square
from protocol.names import ARKIT_NAMES
from trainer.people.camera import ViewParameters, camera_rotation, extrinsics, frame, photo_border
from trainer.people.render import lamp_visibility
from trainer.people.shape import LOOK_LIMIT, PeopleSurface, draw_expression, gaze_angles, lid_weights

CPU = torch.device("cpu")


def straight(**changes: object) -> ViewParameters:
    """A view from the front at a metre, without any jitter."""
    values = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "distance": 1.0, "aside": np.zeros(2), "zoom": 1.0}
    return ViewParameters(**{**values, "shift": np.zeros(2), "edges": np.ones(4), **changes})


@pytest.fixture(scope="module")
def surface() -> PeopleSurface:
    return PeopleSurface(load_template(), CPU)


def test_angles_turn_the_head_as_they_say() -> None:
    to_the_left = camera_rotation(straight(yaw=0.3)) @ [0, 0, 1]
    assert to_the_left[0] > 0.2 and to_the_left[2] < 0, "the person's left is the picture's right"
    assert (camera_rotation(straight(pitch=0.3)) @ [0, 0, 1])[1] < -0.2, "up is up"
    clockwise = camera_rotation(straight(roll=0.3)) @ [0, 1, 0]
    assert clockwise[0] > 0.2 and clockwise[1] < 0


@pytest.mark.parametrize(("yaw", "roll"), [(0.0, 0.0), (0.5, 0.0), (-0.3, 0.25)])
def test_crops_are_those_of_the_photo_stage(surface: PeopleSurface, yaw: float, roll: float) -> None:
    view = straight(yaw=yaw, roll=roll)
    marks = surface.template.landmarks478.positions(surface.rest.double().numpy())
    pose = extrinsics([view], marks[[468, 473]].mean(0)[None])
    seen = marks @ pose[0, :3, :3].T + pose[0, :3, 3]
    photo = seen[:, :2] / seen[:, 2:] * 4000 + 1500
    deep = np.concatenate([photo, (seen[:, 2:] - 1) * 4000], axis=1)
    points = torch.from_numpy(marks[None, :468].astype(np.float32))
    poses = torch.from_numpy(pose.astype(np.float32))
    whole = torch.from_numpy(marks[None].astype(np.float32))

    head = crop_head(np.zeros((3000, 3000, 3), np.uint8), deep)
    wanted = head.to_crop(photo) * 256 / head.pixels.shape[0]
    made = frame([view], poses, points, 256, "head").project(whole)[0, :, :2].numpy()
    assert np.abs(made - wanted).max() < 4  # the photo stage estimates yaw and roll from the landmarks

    window = face_square(deep)
    wanted = (photo - np.array(window.centre)) * 256 / window.side + 128
    made = frame([view], poses, points, 256, "face").project(whole)[0, :, :2].numpy()
    assert np.abs(made - wanted).max() < 0.05


def test_beyond_the_photo_its_edge_is_repeated() -> None:
    view = straight(edges=np.array([-0.25, 1.0, 1.0, -0.125]))
    border = photo_border([view], 8, "head", CPU)
    picture = torch.arange(64.0).view(1, 1, 8, 8)
    repeated = border.repeat(picture)[0, 0]
    assert torch.equal(repeated[:7, 2:], picture[0, 0, :7, 2:])
    assert torch.equal(repeated[:7, 0], picture[0, 0, :7, 2]) and torch.equal(repeated[7], repeated[6])
    assert border.inside().sum() == 6 * 7
    assert photo_border([view], 8, "face", CPU).inside().all(), "the face lies inside the photo"
    assert torch.equal(border.repeat(picture[:, 0].to(torch.uint8))[0].float(), repeated)


def test_eyes_look_into_the_camera_and_lids_follow() -> None:
    expression = draw_expression(np.random.default_rng(0), "calm")
    still = type(expression)(expression.weights, True, np.zeros(2, np.float32))
    eyes = np.array([[0.03, 0, 0], [-0.03, 0, 0]])
    left = gaze_angles(still, eyes, np.array([0.3, 0.0, 1.0]))
    assert (left[:, 0] > 0.2).all() and left[1, 0] > left[0, 0], "the farther eye turns more"
    lids = lid_weights(np.array([[0.5 * LOOK_LIMIT, -0.25 * LOOK_LIMIT]] * 2))
    wanted = {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5, "eyeLookDownLeft": 0.25, "eyeLookDownRight": 0.25}
    for name, value in zip(ARKIT_NAMES, lids, strict=True):
        assert value == pytest.approx(wanted.get(name, 0.0), abs=1e-6)


def test_a_plate_casts_a_shadow() -> None:
    """A small plate 3 cm above a floor, light from above: what is under it is dark, what is beside it is not."""
    z = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])

    def plate(half: float, height: float) -> torch.Tensor:
        flat = torch.tensor([0.0, 0.70, 0.04])
        return torch.stack([z[:, 0] * half, torch.full((4,), height), z[:, 1] * half], -1) + flat

    probes = torch.tensor([[0.0, 0.7, 0.04], [0.06, 0.7, 0.04]])
    vertices = torch.cat([plate(0.1, 0.0), plate(0.02, 0.03), probes])[None]
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    lamp = torch.tensor([[0.0, 1.0, 0.0]])
    visible = lamp_visibility(vertices, faces, lamp, torch.zeros(1), 128, "torch")[0]
    assert visible[8] < 0.05 and visible[9] > 0.95 and (visible[4:8] > 0.95).all()
    soft = lamp_visibility(vertices, faces, lamp, torch.ones(1), 128, "torch")[0]
    assert soft[8] <= visible[8] + 0.5
