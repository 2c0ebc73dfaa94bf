"""Reading a face at a glance: pose and what it leaves, symmetry, and the committed reader on a drawn person."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.expression import reading
from backend.expression.solver import EMPHASIS, TONGUE, emphasised, lids_from_open, read_subject_face
from backend.expression.subject import subject_of
from backend.fitting.parameters import FACING_CAMERA
from backend.geometry.template import load_template
from backend.models.checkpoints import load_model
from backend.models.registry import LANDMARK_NET
from backend.photos.faces import landmark_window, mean_landmarks
from backend.system.files import read_arrays
from protocol.names import ARKIT_INDEX

FOCAL, SIDE = 900.0, 640


def neutral_landmarks() -> np.ndarray:
    template = load_template()
    return template.landmarks478.positions(template.vertices).astype(np.float64)


def picture_of(weights: np.ndarray, turn: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (478, 3) in pixels, z as the detector has it, and the rotation camera_from_head (3, 3)."""
    neutral = neutral_landmarks()
    rotation = FACING_CAMERA @ Rotation.from_rotvec(turn).as_matrix()
    template = load_template()
    moved = template.vertices + np.tensordot(weights, template.expressions, 1)
    points = template.landmarks478.positions(moved).astype(np.float64)
    seen = (points - neutral.mean(0)) @ rotation.T + [0.0, 0.0, 0.9]
    pixels = FOCAL * seen[:, :2] / seen[:, 2:] + SIDE / 2
    return np.column_stack([pixels, FOCAL / 0.9 * (seen[:, 2] - 0.9)]), rotation


def noise_picture() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (SIDE, SIDE, 3), np.uint8)


def evidence_of(pixels: np.ndarray, landmarks: np.ndarray, surface: np.ndarray | None = None) -> reading.FaceEvidence:
    window = landmark_window(landmarks, reading.WINDOW_PER_FACE).cut(pixels, reading.WINDOW_PIXELS)
    return reading.evidence_of_window(window, landmarks, pixels.shape[1], surface)


def test_a_neutral_face_leaves_nothing_but_its_pose() -> None:
    found, rotation = picture_of(np.zeros(52), (0.15, -0.3, 0.1))
    face = reading.frontalised_face(found, neutral_landmarks())
    off = Rotation.from_matrix(face.rotation.T @ reading.towards_point((face.middle - SIDE / 2) / FOCAL).T @ rotation)
    assert np.degrees(off.magnitude()) < 0.3
    assert np.abs(face.residual).max() < 0.3
    np.testing.assert_allclose(face.turn, [0.3, 0.13], atol=0.05)


def test_a_mirrored_picture_is_read_as_the_mirror_image() -> None:
    found, _ = picture_of(np.zeros(52), (0.1, 0.25, -0.05))
    pixels = noise_picture()
    flipped = found[mean_landmarks().mirror].copy()
    flipped[:, 0] = SIDE - flipped[:, 0]
    reader, neutral = reading.load_reader(), neutral_landmarks()
    plain = reading.read_face(reader, evidence_of(pixels, found), neutral)
    other = reading.read_face(reader, evidence_of(np.ascontiguousarray(pixels[:, ::-1]), flipped), neutral)
    np.testing.assert_allclose(other.weights[reading.MIRRORED_KEYS], plain.weights, atol=0.06)
    mirror = np.diag([-1.0, 1.0, 1.0])
    turned = Rotation.from_matrix(mirror @ other.rotation @ mirror @ plain.rotation.T)
    assert np.degrees(turned.magnitude()) < 1.5


def test_a_reader_survives_its_file(tmp_path: Path) -> None:
    found, _ = picture_of(np.zeros(52), (0.0, 0.1, 0.0))
    evidence, reader = evidence_of(noise_picture(), found), reading.load_reader()
    reading.save_reader(reader, tmp_path / "reader.safetensors")
    again = reading.load_reader.__wrapped__(tmp_path / "reader.safetensors")
    first, second = (reading.read_face(one, evidence, neutral_landmarks()) for one in (reader, again))
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-3)


def test_the_committed_reader_was_learned_beside_the_committed_landmark_net_or_the_one_it_follows() -> None:
    net = load_model(LANDMARK_NET.name)
    assert read_arrays(reading.READER_PATH).metadata["landmark_net"] == net.config.get("impression_of", net.version)


def test_without_a_landmark_net_what_it_would_have_said_is_as_usual() -> None:
    evidence = evidence_of(noise_picture(), picture_of(np.zeros(52), (0.0, 0.2, 0.0))[0])
    assert evidence.impression is None
    raw, reader = (
        reading.raw_features(evidence, reading.frontalised_face(evidence.on_surface(), neutral_landmarks()))[0],
        reading.load_reader(),
    )
    np.testing.assert_array_equal(reading.reduced(reader, raw)[-len(reader.bases["impression"]) :], 0.0)


def test_the_landmark_nets_impression_belongs_to_the_picture_and_its_mirror_image() -> None:
    found, _ = picture_of(np.zeros(52), (0.0, 0.2, 0.0))
    pixels = noise_picture()
    flipped = found[mean_landmarks().mirror].copy()
    flipped[:, 0] = SIDE - flipped[:, 0]
    one = evidence_of(pixels, found, found[:, :2]).impression
    other = evidence_of(np.ascontiguousarray(pixels[:, ::-1]), flipped, flipped[:, :2]).mirrored().impression
    assert one is not None and other is not None
    assert np.corrcoef(one[0], other[0])[0, 1] > 0.99
    assert np.corrcoef(one[0], one[1])[0, 1] < 0.99


def test_landmarks_that_no_pose_explains_are_refused() -> None:
    evidence = evidence_of(noise_picture(), picture_of(np.zeros(52), (0.0, 0.0, 0.0))[0])
    with pytest.raises((ValueError, np.linalg.LinAlgError)):
        reading.read_face(
            reading.load_reader(), replace(evidence, landmarks=np.full((478, 3), np.nan)), neutral_landmarks()
        )


def test_blinks_count_from_the_persons_own_open_eyes() -> None:
    counted = np.clip(lids_from_open(np.array([0.3, 0.7]), np.array([0.3, 0.1])), 0.0, 1.0)
    assert counted.tolist() == [0.0, 1.0]


def test_emphasis_grows_with_the_weight_calms_small_ones_and_leaves_the_rest() -> None:
    sneer, smile = ARKIT_INDEX["noseSneerLeft"], ARKIT_INDEX["mouthSmileLeft"]
    assert "noseSneer" in EMPHASIS and "mouthSmile" not in EMPHASIS
    levels = np.linspace(0.0, 1.0, 41)
    strong = np.array([emphasised(np.full(52, level)) for level in levels])
    np.testing.assert_array_equal(strong[:, smile], levels)
    assert (np.diff(strong, axis=0) > -0.01).all()
    assert strong[-1].min() == 1.0 and strong[0].max() == 0.0
    assert strong[4, sneer] < 0.05 and strong[20, sneer] > 0.65  # 0.1 and 0.5


def test_a_tongue_that_is_seen_is_believed() -> None:
    subject = subject_of(load_template().vertices)
    found, _ = picture_of(np.zeros(52), (0.0, 0.0, 0.0))
    evidence = replace(evidence_of(noise_picture(), found), tongue=0.9)
    assert read_subject_face(subject, evidence).weights[TONGUE] == 0.9
    assert evidence.mirrored().tongue == 0.9
