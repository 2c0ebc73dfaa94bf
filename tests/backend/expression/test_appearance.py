"""A head that comes with its skin is turned as the picture shows it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.exchange.assemble import assemble, with_pictures
from backend.exchange.gltf import write_glb
from backend.expression import subject as expression_subject
from backend.expression.calibrate import solve_photo
from backend.expression.follow import FrameFace, frame_face
from backend.fitting.detector_model import initial_parameters
from backend.fitting.options import PriorWeights
from backend.fitting.parameters import PhotoParameters
from backend.geometry.normals import vertex_normals
from backend.geometry.template import load_template, triangles_from_quads
from backend.photos.collection import FaceClass
from backend.photos.faces import detect_faces, find_landmarks
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_image
from trainer.methods.expressions.evaluate import SEED, KnownPictures, known_pictures
from trainer.people.source import PeopleConfig

FIRST_PHOTO, PHOTOS = 2, 4
"""The person's photos that are used here; the evaluated photos are not among them."""
BLUR_PIXELS = 0.7
LEAST_FACING, LEAST_SEEN = 0.3, 0.2
SKIN = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
COVARIANCE = np.radians(10.0) ** 2 * np.eye(3)


@pytest.fixture(scope="module")
def person() -> tuple[KnownPictures, FrameFace, PhotoParameters]:
    """A person, the first picture, and its true pose and expression."""
    torch.set_num_threads(1)
    known = known_pictures(PeopleConfig(size=160, seed=SEED, photos=1, film=False), 0)
    landmarks = find_landmarks(known.pictures[0], detect_faces(known.pictures[0])[0])
    seen = frame_face("0", known.pictures[0], landmarks, focal_px=known.focal_px)
    start = initial_parameters(load_template(), seen.face, PriorWeights(), 0)
    place = known.places[0] + known.rotations[0] @ (start.pivot - _middle(known))
    true = replace(
        start,
        rotation=known.rotations[0],
        lateral=place[:2] / place[2],
        log_distance=float(np.log(place[2])),
        log_scale=float(np.log(known.focal_px / place[2])),
        expression=known.weights[0].astype(np.float64),
    )
    return known, seen, true


def _middle(known: KnownPictures) -> np.ndarray:
    embedding = load_template().landmarks478
    return embedding.positions(known.neutral)[embedding.valid].mean(0)


def visible_appearance(config: PeopleConfig, index: int) -> expression_subject.Appearance:
    """Mean albedo of person ``index`` at the vertices of the face, from ``PHOTOS`` photos with true cameras."""
    config = replace(config, photos=FIRST_PHOTO + PHOTOS, clips=False, albedo=True)
    batch = config.build().batch(range(index, index + 1), torch.device("cpu"))
    template = load_template()
    head = template.head
    triangles = triangles_from_quads(template.quads[head.face_start : head.face_stop])
    total, visible = np.zeros((head.vertex_stop, 3)), np.zeros(head.vertex_stop)
    for photo in range(FIRST_PHOTO, FIRST_PHOTO + PHOTOS):
        pose, intrinsics = (
            values[photo].numpy().astype(np.float64) for values in (batch.camera_from_head, batch.intrinsics)
        )
        vertices = batch.vertices[photo, : head.vertex_stop].numpy().astype(np.float64)
        in_camera = vertices @ pose[:3, :3].T + pose[:3, 3]
        towards = -pose[:3, :3].T @ pose[:3, 3] - vertices
        facing = (vertex_normals(vertices, triangles) * towards).sum(1) / np.linalg.norm(towards, axis=1)
        pixels = in_camera[:, :2] / in_camera[:, 2:] * intrinsics[0, 0] + intrinsics[:2, 2]
        columns, rows = np.clip(pixels.astype(int), 0, config.size - 1).T
        weight = np.clip(facing - LEAST_FACING, 0.0, 1.0) * np.isin(batch.labels[photo].numpy()[rows, columns], SKIN)
        weight *= ((pixels > 1) & (pixels < config.size - 1)).all(1)
        albedo = cv2.GaussianBlur(batch.albedo[photo].permute(1, 2, 0).numpy(), (0, 0), BLUR_PIXELS)
        total += weight[:, None] * sample_image(albedo, pixels.astype(np.float32), outside=0.0)
        visible += weight
    vertices = expression_subject.face_vertices(template)
    vertices = vertices[visible[vertices] > LEAST_SEEN]
    return expression_subject.Appearance(vertices, total[vertices] / visible[vertices, None])


def test_a_head_that_was_turned_away_turns_back(person: tuple[KnownPictures, FrameFace, PhotoParameters]) -> None:
    known, seen, true = person
    subject = expression_subject.subject_of(
        known.neutral, visible_appearance(PeopleConfig(size=160, seed=SEED, film=False), 0)
    )
    for axis in range(2):  # pitch, yaw
        left = []
        for sign in (-1.0, 1.0):
            off = expression_subject.turned(true, sign * np.radians(5.0) * np.eye(3)[axis])
            landmarks = seen.evidence.landmarks
            turn = expression_subject.turn_by_appearance(
                subject.template, subject.appearance, seen.window, landmarks, off, COVARIANCE
            )
            left.append(np.degrees(turn[axis]))
        assert left[0] - left[1] > 4.0, (axis, left)  # of ten degrees between the two starts


def test_without_its_skin_nothing_turns(person: tuple[KnownPictures, FrameFace, PhotoParameters]) -> None:
    known, seen, _ = person
    plain = solve_photo(expression_subject.subject_of(known.neutral), seen)
    vertices = expression_subject.face_vertices(load_template())
    grey = expression_subject.subject_of(
        known.neutral, expression_subject.appearance_of_texture(load_template(), np.full((64, 64, 3), 128, np.uint8))
    )
    skin = solve_photo(grey, seen)
    np.testing.assert_array_equal(plain.parameters.expression, skin.parameters.expression)
    assert len(grey.appearance.vertices) == len(vertices)
    assert not np.allclose(plain.parameters.rotation, skin.parameters.rotation)  # shading alone tells something too
    assert np.isfinite(skin.parameters.rotation).all()


def test_the_texture_of_a_written_head_is_read_where_its_face_is(tmp_path: Path) -> None:
    template = load_template()
    rows, columns = np.mgrid[0:256, 0:256]
    albedo = np.stack([columns, rows, np.full_like(rows, 90)], axis=-1).astype(np.uint8)
    write_glb(
        with_pictures(assemble(template, template.vertices, template.expressions), template, albedo),
        tmp_path / "face.glb",
    )
    read = expression_subject.read_subject(tmp_path).appearance
    np.testing.assert_array_equal(read.vertices, expression_subject.face_vertices(template))
    uv = np.zeros((len(template.vertices), 2))
    uv[template.quads] = template.uv_head[template.uv_head_quads]
    expected = np.column_stack(
        [uv[read.vertices, 0], 1.0 - uv[read.vertices, 1], np.full(len(read.vertices), 90 / 255)]
    )
    np.testing.assert_allclose(read.albedo, linear_from_srgb(expected), atol=0.03)


def test_a_head_without_a_usable_texture_is_used_without(tmp_path: Path) -> None:
    assert expression_subject.read_texture(tmp_path) is None
    template = load_template()
    albedo = np.zeros((8, 16, 3), np.uint8)
    write_glb(
        with_pictures(assemble(template, template.vertices, template.expressions), template, albedo),
        tmp_path / "face.glb",
    )
    assert expression_subject.read_texture(tmp_path) is None
    assert expression_subject.read_subject(tmp_path).appearance is None


def test_the_skin_looks_most_like_the_picture_at_the_true_pose(
    person: tuple[KnownPictures, FrameFace, PhotoParameters],
) -> None:
    known, seen, true = person
    subject = expression_subject.subject_of(
        known.neutral, visible_appearance(PeopleConfig(size=160, seed=SEED, film=False), 0)
    )
    landmarks = seen.evidence.landmarks
    best, deviation = expression_subject.skin_misfit(subject.template, subject.appearance, seen.window, landmarks, true)
    for axis in range(2):
        off = expression_subject.turned(true, np.radians(8.0) * np.eye(3)[axis])
        misfit, _ = expression_subject.skin_misfit(
            subject.template, subject.appearance, seen.window, landmarks, off, deviation
        )
        assert best < misfit <= 1.0
