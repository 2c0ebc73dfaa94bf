"""The source of synthetic people, its parts, and mixtures with portraits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.geometry.template import load_template
from backend.geometry.vectors import vertex_normals
from backend.photos.collection import FaceClass
from backend.photos.faces import crop_head, face_square
from protocol.names import ARKIT_NAMES
from trainer.people.camera import ViewParameters, camera_rotation, extrinsics, frame, photo_border
from trainer.people.render import lamp_visibility
from trainer.people.shape import LOOK_LIMIT, PeopleSurface, draw_expression, gaze_angles, lid_weights, people_surface
from trainer.people.source import PeopleBatch, PeopleConfig

CPU = torch.device("cpu")


def share_within(a: Tensor, b: Tensor, tolerance: float) -> float:
    """Share of the pixels whose three channels all differ by at most ``tolerance``."""
    return ((a - b).abs().amax(1) <= tolerance).float().mean().item()


@pytest.fixture(scope="module")
def crowd() -> PeopleBatch:
    """Forty-eight people, clean pictures, all labels."""
    return PeopleConfig(size=64, seed=11, film=False, depth=True, albedo=True).build().batch(range(48), CPU)


def test_an_index_is_the_same_person_in_any_company() -> None:
    torch.manual_seed(3)
    together = PeopleConfig(size=48, seed=4).build().batch(range(7, 12), CPU)
    state = torch.get_rng_state()
    alone = PeopleConfig(size=48, seed=4).build().batch(range(9, 10), CPU)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
    assert share_within(alone.images, together.images[2:3], 2 / 255) >= 0.999
    assert (alone.labels == together.labels[2:3]).float().mean() >= 0.999
    assert torch.allclose(alone.vertices, together.vertices[2:3], atol=1e-6)
    assert alone.person.tolist() == [9] and together.person.tolist() == [7, 8, 9, 10, 11]
    assert share_within(together.images[:1], together.images[1:2], 10 / 255) < 0.9
    other = PeopleConfig(size=48, seed=5).build().batch(range(9, 10), CPU)
    assert (other.neutral - alone.neutral).abs().max() > 0.005


def test_pictures_are_in_range_and_all_classes_occur(crowd: PeopleBatch) -> None:
    assert crowd.images.shape == (48, 3, 64, 64) and crowd.images.dtype == torch.float32
    assert crowd.images.isfinite().all() and crowd.images.min() >= 0 and crowd.images.max() <= 1
    assert crowd.images.flatten(1).std(1).min() > 0.02, "a picture without anything on it"
    share = torch.bincount(crowd.labels.flatten().long(), minlength=12).double() / crowd.labels.numel()
    assert len(share) == len(FaceClass) and (share > 1e-4).all()
    assert 0.35 < share[FaceClass.BACKGROUND] < 0.85
    assert 0.05 < share[FaceClass.SKIN] < 0.35 and 0.04 < share[FaceClass.HAIR] < 0.3
    for small in (FaceClass.EYES, FaceClass.BROWS, FaceClass.LIPS, FaceClass.MOUTH_INTERIOR):
        assert share[small] < 0.03
    faces = (crowd.labels == int(FaceClass.SKIN)).flatten(1).float().mean(1)
    assert (faces > 0.01).float().mean() > 0.95, "people whose face is not to be seen"


def test_landmarks_lie_on_what_they_mark(crowd: PeopleBatch) -> None:
    places = crowd.landmarks478.floor().long().clamp(0, 63)
    found = crowd.labels.flatten(1).gather(1, places[..., 1] * 64 + places[..., 0])
    seen = crowd.visible478 & crowd.inside.flatten(1).gather(1, places[..., 1] * 64 + places[..., 0])

    def hits(numbers: list[int], *classes: FaceClass) -> float:
        right = torch.zeros_like(found[:, numbers], dtype=torch.bool)
        for one in (*classes, FaceClass.GLASSES, FaceClass.HAIR, FaceClass.OCCLUDER):  # veils hide no landmark
            right |= found[:, numbers] == int(one)
        return (right & seen[:, numbers]).sum().item() / max(seen[:, numbers].sum().item(), 1)

    assert seen.float().mean() > 0.5
    assert hits([4, 195, 5], FaceClass.SKIN) > 0.92  # in profile the tip is on the edge
    assert hits([205, 425, 50, 280], FaceClass.SKIN, FaceClass.FACIAL_HAIR) > 0.9
    assert hits([11, 12, 15, 16], FaceClass.LIPS, FaceClass.MOUTH_INTERIOR) > 0.85
    # eyes are a pixel and a half high here: look at the neighbours too
    near_eye = torch.nn.functional.max_pool2d((crowd.labels == int(FaceClass.EYES)).float()[:, None], 3, 1, 1)
    open_eyes = (crowd.expression[:, 0] + crowd.expression[:, 7]) < 0.3
    irises = near_eye.flatten(1).gather(1, places[:, [468, 473], 1] * 64 + places[:, [468, 473], 0])[open_eyes] > 0
    seen_irises = seen[open_eyes][:, [468, 473]]
    assert (irises & seen_irises).sum() > 0.8 * seen_irises.sum()


def surface_points(crowd: PeopleBatch, k: int, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Camera-frame points (P, 3) of picture ``k`` at the pixels of a mask (64, 64), and their distances to the
    vertices (P, V)."""
    pose = crowd.camera_from_head[k]
    row, column = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    z = crowd.depth[k][mask]
    focal, middle = crowd.intrinsics[k, 0, 0], crowd.intrinsics[k, :2, 2]
    points = torch.stack([(column[mask] - middle[0]) / focal * z, (row[mask] - middle[1]) / focal * z, z], -1)
    return points, torch.cdist(points, crowd.vertices[k] @ pose[:3, :3].T + pose[:3, 3])


def test_depth_is_that_of_the_vertices(crowd: PeopleBatch) -> None:
    for k in range(0, 48, 6):
        mask = crowd.depth[k] > 0
        assert mask.float().mean() > 0.03
        nearest = surface_points(crowd, k, mask)[1].amin(1)
        assert nearest.median() < 0.005 and nearest.max() < 0.03, "farther from every vertex than the cage is wide"


def test_light_and_albedo_explain_the_picture(crowd: PeopleBatch) -> None:
    """Roughly: cast shadows, highlights and what is worn are left out."""
    from backend.rendering.color import linear_from_srgb
    from backend.rendering.spherical_harmonics import shade

    mask = (crowd.labels == int(FaceClass.SKIN)) & (crowd.depth > 0) & crowd.inside
    normals = vertex_normals(crowd.vertices, people_surface(CPU).faces)
    near = [normals[k][surface_points(crowd, k, mask[k])[1].argmin(1)] for k in range(48)]
    shading = torch.cat([shade(near[k][None], crowd.light[k : k + 1])[0] for k in range(48)]).clamp(min=0)
    predicted = (crowd.albedo.permute(0, 2, 3, 1)[mask] * shading).mean(1).clamp(1e-3, 1).log()
    actual = linear_from_srgb(crowd.images).mean(1)[mask].clamp(1e-3, 1).log()
    assert torch.corrcoef(torch.stack([predicted, actual]))[0, 1] > 0.7
    assert abs((predicted - actual).median().item()) < 0.5


def test_photos_of_a_set_share_the_person_alone() -> None:
    batch = PeopleConfig(size=32, seed=6, photos=3).build().batch(range(2, 4), CPU)
    assert batch.person.tolist() == [2, 2, 2, 3, 3, 3] and batch.photos == 3
    neutral, light = batch.grouped(batch.neutral), batch.grouped(batch.light)
    assert neutral.shape[:2] == (2, 3)
    # rows of one matrix product may differ in their last bit
    torch.testing.assert_close(neutral, neutral[:, :1].expand_as(neutral), atol=1e-6, rtol=0)
    assert (neutral[0, 0] - neutral[1, 0]).norm(dim=-1).mean() > 0.001
    assert (light[:, 0] - light[:, 1]).abs().amax((1, 2)).min() > 0.01
    poses = batch.grouped(batch.camera_from_head)
    assert (poses[:, 0] - poses[:, 1]).abs().amax((1, 2)).min() > 0.01
    single = PeopleConfig(size=32, seed=6).build().batch(range(2, 4), CPU)
    assert torch.allclose(single.vertices, batch.grouped(batch.vertices)[:, 0], atol=1e-6)


def test_clips_move_smoothly() -> None:
    batch = PeopleConfig(size=32, seed=8, photos=10, clips=True, film=False).build().batch(range(2), CPU)
    vertices = batch.grouped(batch.vertices)
    step = (vertices[:, 1:] - vertices[:, :-1]).norm(dim=-1)
    assert step.amax() < 0.012 and step.mean() < 0.001
    assert step.amax((1, 2)).min() > 1e-4, "nothing moves"
    rotation = batch.grouped(batch.camera_from_head)[..., :3, :3]
    turned = (rotation[:, 1:] @ rotation[:, :-1].transpose(2, 3)).diagonal(dim1=2, dim2=3).sum(-1)
    angle = torch.rad2deg(torch.acos(((turned - 1) / 2).clamp(-1, 1)))
    assert 0 < angle.amax() < 6
    images = batch.grouped(batch.images)
    assert (images[:, 1:] - images[:, :-1]).abs().mean() < 0.5 * (images[0] - images[1]).abs().mean()
    assert torch.equal(batch.light[0], batch.light[0])


def test_wrong_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        PeopleConfig(size=8)
    with pytest.raises(ValueError, match="photos"):
        PeopleConfig(photos=0)
    with pytest.raises(ValueError, match="supersampling"):
        PeopleConfig(supersampling=3.0)


def test_threads_change_nothing() -> None:
    before = torch.get_num_threads()
    try:
        source = PeopleConfig(size=32, seed=9).build()
        torch.set_num_threads(1)
        alone = source.batch(range(5), CPU)
        torch.set_num_threads(2)
        shared = source.batch(range(5), CPU)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert shared.person.tolist() == list(range(5))
    assert share_within(alone.images, shared.images, 2 / 255) >= 0.999
    assert (alone.labels == shared.labels).float().mean() >= 0.999


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
    visible = lamp_visibility(vertices, faces, lamp, torch.zeros(1), 128)[0]
    assert visible[8] < 0.05 and visible[9] > 0.95 and (visible[4:8] > 0.95).all()
    soft = lamp_visibility(vertices, faces, lamp, torch.ones(1), 128)[0]
    assert soft[8] <= visible[8] + 0.5
