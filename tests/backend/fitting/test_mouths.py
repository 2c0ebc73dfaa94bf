"""Mouths and eyes after the fit: lips and lids are as far apart as in the photo, and a tongue is told from teeth."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from plain_photo import plain_photo
from view_hand_made import view

from backend.fitting import detector_model, stages
from backend.fitting.landmark_targets import LandmarkModel, landmark_model, landmark_targets
from backend.fitting.options import LandmarkStage, PriorWeights
from backend.fitting.parameters import PhotoParameters
from backend.fitting.solver import identity_prior, solver_weights
from backend.geometry.template import load_template
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import PhotoFace, PhotoSource
from backend.photos.faces import LOWER_LIP_EDGE, UPPER_LIP_EDGE
from protocol.names import ARKIT_INDEX, ARKIT_NAMES

SIZE = 600
TEMPLATE = load_template()
NOBODY = np.zeros(len(TEMPLATE.identity_modes))
SMILE = {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
BESIDE = [
    number
    for number, name in enumerate(ARKIT_NAMES)
    if not name.startswith(("mouth", "jaw", "eyeBlink", "eyeSquint", "eyeWide"))
]
SKIN, TEETH, DARK, TONGUE = (205, 165, 145), (225, 220, 210), (45, 20, 20), (205, 125, 120)
LEFT, RIGHT, TOP, BOTTOM = 45.0, 99.0, 90.0, 116.0


@pytest.fixture(scope="module")
def model() -> LandmarkModel:
    return replace(landmark_model(TEMPLATE), surface_errors=None)


def weights_of(**keys: float) -> np.ndarray:
    weights = np.zeros(52)
    for name, weight in keys.items():
        weights[ARKIT_INDEX[name]] = weight
    return weights


def parameters_with(expression: np.ndarray, yaw: float, model: LandmarkModel) -> PhotoParameters:
    return view(TEMPLATE, yaw, SIZE, 2200.0, 1.2, expression=expression, nuisance=np.zeros(model.nuisance_size))


def photo_of(true: PhotoParameters, model: LandmarkModel) -> PhotoFace:
    """What the detector sees of the mean face with this expression: its usual errors, and no others."""
    vertices = TEMPLATE.vertices + np.tensordot(true.expression, TEMPLATE.expressions, 1)
    landmarks = true.camera().project(TEMPLATE.landmarks478.positions(vertices))
    bias, *_ = detector_model.expected_errors(model.detector, true, detector_model.face_scale(landmarks))
    landmarks[:, :2] += bias
    return plain_photo((SIZE, SIZE), focal_px=true.focal, landmarks=landmarks.astype(np.float32))


def opened(model: LandmarkModel, photo: PhotoFace, start: PhotoParameters, held: float = 0.02) -> PhotoParameters:
    """``start`` with the openings of the photo, of a fit that what came before holds (with 1.0, nothing does)."""
    targets = landmark_targets(TEMPLATE, model, photo, start, NOBODY, LandmarkStage())
    targets = replace(targets, information=held * targets.information)
    weights = solver_weights(PriorWeights(), identity_prior(TEMPLATE, PriorWeights()), 3.0)
    return stages.detected_openings(model, photo, start, targets, NOBODY, weights)


def gap_mm(expression: np.ndarray) -> float:
    """How far the lips' edges are apart in the middle, in the head's frame, beyond what they are when they are shut."""
    places = [
        TEMPLATE.landmarks478.positions(TEMPLATE.vertices + np.tensordot(weights, TEMPLATE.expressions, 1))
        for weights in (expression, np.zeros(52))
    ]
    gaps = [place[list(UPPER_LIP_EDGE), 1] - place[list(LOWER_LIP_EDGE), 1] for place in places]
    return float(1000.0 * np.median(gaps[0] - gaps[1]))


@pytest.mark.parametrize("yaw", [0.0, 30.0])
@pytest.mark.parametrize(
    ("true", "found"),
    [
        ({"jawOpen": 0.35}, {"jawOpen": 0.2}),
        (SMILE, SMILE | {"jawOpen": 0.08}),
        ({}, {"mouthUpperUpLeft": 0.25, "mouthUpperUpRight": 0.25}),
    ],
    ids=["open wider", "shut on a smile", "shut"],
)  # fmt: skip
def test_lips_are_as_far_apart_as_in_the_photo(
    model: LandmarkModel, true: dict[str, float], found: dict[str, float], yaw: float
) -> None:
    wanted = parameters_with(weights_of(**true), yaw, model)
    photo, start = photo_of(wanted, model), replace(wanted, expression=weights_of(**found))
    moved = opened(model, photo, start)
    before, after, right = (gap_mm(one.expression) for one in (start, moved, wanted))
    assert abs(before - right) > 1.0
    assert abs(after - right) < 0.3
    np.testing.assert_array_equal(moved.expression[BESIDE], start.expression[BESIDE])
    assert (moved.expression >= 0).all() and (moved.expression <= 1).all()


def test_a_tongue_that_is_seen_is_out_and_the_lips_stay(model: LandmarkModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key opens the mouth, too."""
    wanted = parameters_with(weights_of(jawOpen=0.45), 0.0, model)
    monkeypatch.setattr(stages.detector_model, "tongue_of_photo", lambda face: 0.8)
    moved = opened(model, photo_of(wanted, model), wanted)
    assert moved.expression[ARKIT_INDEX["tongueOut"]] == 0.8
    assert abs(gap_mm(moved.expression) - gap_mm(wanted.expression)) < 0.5


def test_a_mouth_that_is_right_stays(model: LandmarkModel) -> None:
    wanted = parameters_with(weights_of(jawOpen=0.3, mouthFunnel=0.2), 10.0, model)
    moved = opened(model, photo_of(wanted, model), wanted, held=1.0)
    np.testing.assert_allclose(moved.expression, wanted.expression, atol=0.01)


@pytest.mark.parametrize("found", [0.1, 0.7])
def test_lids_are_as_far_apart_as_in_the_photo(model: LandmarkModel, found: float) -> None:
    def keys(blink: float) -> np.ndarray:
        return weights_of(eyeBlinkLeft=blink, eyeBlinkRight=blink)

    wanted = parameters_with(keys(0.4), 0.0, model)
    photo, start = photo_of(wanted, model), replace(wanted, expression=keys(found))
    moved = opened(model, photo, start)

    def opening(expression: np.ndarray) -> float:
        places = TEMPLATE.landmarks478.positions(TEMPLATE.vertices + np.tensordot(expression, TEMPLATE.expressions, 1))
        return 1000.0 * float(places[159, 1] - places[145, 1])

    right = opening(wanted.expression)
    assert abs(opening(start.expression) - right) > 1.5
    assert abs(opening(moved.expression) - right) < 0.5


def _points(bottom: float = BOTTOM) -> np.ndarray:
    """Landmarks of a mouth that is a box from ``TOP`` to ``bottom``; the cheeks lie on skin."""
    points = np.full((478, 2), 30.0)
    along = np.linspace(LEFT, RIGHT, len(detector_model.UPPER_LINE))
    points[list(detector_model.UPPER_LINE)] = np.stack([along, np.full_like(along, TOP)], axis=1)
    points[list(detector_model.LOWER_LINE)[1:-1]] = np.stack([along, np.full_like(along, bottom)], axis=1)[1:-1]
    points[[61, 291]] = [[LEFT - 2, TOP], [RIGHT + 2, TOP]]
    return points


def _face(inside: tuple[int, int, int]) -> np.ndarray:
    picture = np.full((144, 144, 3), SKIN, np.uint8)
    cv2.rectangle(picture, (int(LEFT), int(TOP)), (int(RIGHT), int(BOTTOM)), inside, -1)
    return picture


def _with_tongue(left: int, right: int, top: int = 96, bottom: int = 130) -> np.ndarray:
    picture = _face(DARK)
    cv2.rectangle(picture, (left, top), (right, bottom), TONGUE, -1)
    return picture


def test_a_tongue_across_the_lower_lip_is_out() -> None:
    assert detector_model.tongue_out(_with_tongue(56, 88), _points()) == 1.0


@pytest.mark.parametrize("inside", [DARK, TEETH])
def test_teeth_and_a_dark_mouth_are_no_tongue(inside: tuple[int, int, int]) -> None:
    assert detector_model.tongue_out(_face(inside), _points()) == 0.0


def test_a_tongue_that_lies_behind_the_lower_teeth_is_in() -> None:
    picture = _with_tongue(56, 88, 96, 109)
    cv2.rectangle(picture, (int(LEFT), 110), (int(RIGHT), int(BOTTOM)), TEETH, -1)
    assert detector_model.tongue_out(picture, _points()) == 0.0


def test_closed_lips_are_no_tongue() -> None:
    assert detector_model.tongue_out(_with_tongue(45, 99, 88, 130), _points(bottom=TOP + 4)) == 0.0


def test_it_comes_out_gradually_and_on_either_side_alike() -> None:
    widths = [detector_model.tongue_out(_with_tongue(72 - half, 72 + half), _points()) for half in (3, 7, 9, 14)]
    assert widths == sorted(widths) and widths[0] == 0.0 and 0.0 < widths[1] < 1.0
    points = _points()
    assert detector_model.tongue_out(_with_tongue(52, 68), points) == pytest.approx(
        detector_model.tongue_out(_with_tongue(76, 92), points), abs=0.25
    )


@pytest.mark.photos
@pytest.mark.slow
def test_of_one_womans_photos_one_shows_her_tongue(photo_dir: Path) -> None:
    paths = sorted((photo_dir / "people" / "emotions_a").glob("*.jpg"))
    if len(paths) < 8:
        pytest.skip("needs the photographs people/emotions_a")
    found = collect([PhotoSource(path.name, path=path) for path in paths], options=CollectOptions(surface=False))
    assert {face.name for face in found.faces if detector_model.tongue_of_photo(face) > 0.0} == {"6.jpg"}
