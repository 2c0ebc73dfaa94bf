"""Reading a face at a glance: geometry without a network, symmetry, and the committed reader on a drawn person."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.expression.evidence import evidence_of
from backend.expression.expected import EMPHASIS, LIDS, TONGUE, emphasised, from_open_lids, read_subject_face
from backend.expression.frontalised import frontalised_face, towards_point
from backend.expression.linear import bounded_least_squares, key_motions, linear_expression
from backend.expression.reading import MIRRORED_KEYS, Reading, load_reader, read_face, save_reader
from backend.expression.subject import subject_of
from backend.fitting.parameters import FACING_CAMERA
from backend.geometry.template import load_template
from backend.photos.landmarks import mean_landmarks
from backend.rig.arkit import ARKIT_INDEX

FOCAL, SIDE = 900.0, 640


def neutral_landmarks() -> np.ndarray:
    template = load_template()
    return template.landmarks478.positions(template.vertices).astype(np.float64)


def picture_of(weights: np.ndarray, turn: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (478, 3) in pixels, z as the detector has it, and the rotation camera_from_head (3, 3)."""
    neutral = neutral_landmarks()
    rotation = FACING_CAMERA @ Rotation.from_rotvec(turn).as_matrix()
    points = neutral + np.tensordot(weights, key_motions(), 1)
    seen = (points - neutral.mean(0)) @ rotation.T + [0.0, 0.0, 0.9]
    pixels = FOCAL * seen[:, :2] / seen[:, 2:] + SIDE / 2
    return np.column_stack([pixels, FOCAL / 0.9 * (seen[:, 2] - 0.9)]), rotation


def noise_picture() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (SIDE, SIDE, 3), np.uint8)


def test_a_neutral_face_leaves_nothing_but_its_pose() -> None:
    found, rotation = picture_of(np.zeros(52), (0.15, -0.3, 0.1))
    face = frontalised_face(found, neutral_landmarks())
    off = Rotation.from_matrix(face.rotation.T @ towards_point((face.middle - SIDE / 2) / FOCAL).T @ rotation)
    assert np.degrees(off.magnitude()) < 0.3
    assert np.abs(face.residual[:, :2]).max() < 0.3
    np.testing.assert_allclose(face.turn, [0.3, 0.13], atol=0.05)


def test_plain_geometry_finds_an_open_jaw_and_which_brow_is_up() -> None:
    weights = np.zeros(52)
    weights[[ARKIT_INDEX["jawOpen"], ARKIT_INDEX["browOuterUpLeft"]]] = 0.6, 0.8
    found, _ = picture_of(weights, (0.05, 0.2, 0.0))
    read, _ = linear_expression(frontalised_face(found, neutral_landmarks()))
    assert read[ARKIT_INDEX["jawOpen"]] > 0.3
    assert read[ARKIT_INDEX["browOuterUpLeft"]] > 2 * read[ARKIT_INDEX["browOuterUpRight"]]


def test_bounds_hold_and_free_variables_are_solved() -> None:
    hessian = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
    best = bounded_least_squares(hessian, np.array([4.0, -1.0, 1.0]), np.array([True, True, False]))
    assert best[0] == 1.0
    assert best[1] == 0.0
    assert best[2] == pytest.approx(1 / 3)


def test_a_mirrored_picture_is_read_as_the_mirror_image() -> None:
    found, _ = picture_of(np.zeros(52), (0.1, 0.25, -0.05))
    pixels = noise_picture()
    flipped = found[mean_landmarks().mirror].copy()
    flipped[:, 0] = SIDE - flipped[:, 0]
    reader, neutral = load_reader(), neutral_landmarks()
    plain = read_face(reader, evidence_of(pixels, found), neutral)
    other = read_face(reader, evidence_of(np.ascontiguousarray(pixels[:, ::-1]), flipped), neutral)
    np.testing.assert_allclose(other.weights[MIRRORED_KEYS], plain.weights, atol=0.06)
    mirror = np.diag([-1.0, 1.0, 1.0])
    turned = Rotation.from_matrix(mirror @ other.rotation @ mirror @ plain.rotation.T)
    assert np.degrees(turned.magnitude()) < 1.5


def test_a_reader_survives_its_file(tmp_path: Path) -> None:
    found, _ = picture_of(np.zeros(52), (0.0, 0.1, 0.0))
    evidence, reader = evidence_of(noise_picture(), found), load_reader()
    save_reader(reader, tmp_path / "reader.safetensors")
    again = load_reader.__wrapped__(tmp_path / "reader.safetensors")
    first, second = (read_face(one, evidence, neutral_landmarks()) for one in (reader, again))
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-3)


def test_landmarks_that_no_pose_explains_are_refused() -> None:
    evidence = evidence_of(noise_picture(), picture_of(np.zeros(52), (0.0, 0.0, 0.0))[0])
    with pytest.raises((ValueError, np.linalg.LinAlgError)):
        read_face(load_reader(), replace(evidence, landmarks=np.full((478, 3), np.nan)), neutral_landmarks())


def test_blinks_count_from_the_persons_own_open_eyes() -> None:
    weights = np.zeros(52)
    weights[list(LIDS)] = 0.3, 0.7
    counted = from_open_lids(Reading(weights, np.eye(3), 90.0), np.array([0.3, 0.1])).weights
    assert counted[LIDS[0]] == 0.0
    assert counted[LIDS[1]] == 1.0
    assert weights[LIDS[0]] == 0.3


def test_emphasis_grows_with_the_weight_and_leaves_the_rest() -> None:
    sneer, smile = ARKIT_INDEX["noseSneerLeft"], ARKIT_INDEX["mouthSmileLeft"]
    assert "noseSneer" in EMPHASIS and "mouthSmile" not in EMPHASIS
    levels = np.linspace(0.0, 1.0, 41)
    strong = np.array([emphasised(np.full(52, level)) for level in levels])
    np.testing.assert_array_equal(strong[:, smile], levels)
    assert (np.diff(strong[:, sneer]) >= 0).all() and strong[-1, sneer] == 1.0 and strong[0, sneer] == 0.0
    assert strong[2, sneer] < 0.07 and strong[16, sneer] > 0.8  # 0.05 and 0.4


def test_a_tongue_that_is_seen_is_believed() -> None:
    subject = subject_of(load_template().vertices)
    found, _ = picture_of(np.zeros(52), (0.0, 0.0, 0.0))
    evidence = replace(evidence_of(noise_picture(), found), tongue=0.9)
    assert read_subject_face(subject, evidence).weights[TONGUE] == 0.9
    assert evidence.mirrored().tongue == 0.9
