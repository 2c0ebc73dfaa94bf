"""Targets from the detector's landmarks and from the landmark net's, and what the fit makes of them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_photo import plain_photo
from view_hand_made import view

from backend.errors import LikenessError
from backend.fitting import detector_model, landmark_targets
from backend.fitting.fit import fit_face
from backend.fitting.options import FitOptions, LandmarkStage, PriorWeights
from backend.geometry.template import load_template, triangles_from_quads
from backend.models.checkpoints import load_model
from backend.models.landmarks import net_points
from backend.models.registry import LANDMARK_NET
from backend.photos.collection import FaceClass, PhotoCollection, PhotoFace, SurfaceLandmarks
from backend.photos.faces import LOWER_LIP_EDGE, UPPER_LIP_EDGE
from backend.rendering.rasterize import depth_map
from backend.system.files import read_metadata
from protocol.names import ARKIT_INDEX
from protocol.similarity import fit_similarity

SIZE = 600
TEMPLATE = load_template()


@pytest.fixture(scope="module")
def model() -> landmark_targets.LandmarkModel:
    """With a net that shows half of a person and has two correlated errors."""
    own = landmark_targets.landmark_model(TEMPLATE)
    modes = np.random.default_rng(1).normal(size=(2, 478, 2))
    errors = detector_model.DetectorModel(np.zeros((8, 478, 2)), modes, np.full(478, 0.8), np.full(478, 0.5))
    return replace(own, surface_errors=errors)


def face(name: str, yaw: float, detected: np.ndarray, surface: np.ndarray | None) -> PhotoFace:
    """Landmarks of neutral vertices (V, 3) as the detector and as the net see them."""
    parameters = view(TEMPLATE, yaw, SIZE, 2200.0, 1.2)
    camera = parameters.camera()
    places = None if surface is None else camera.project(net_points().positions(surface))[:, :2]
    return plain_photo(
        (SIZE, SIZE),
        name=name,
        focal_px=parameters.focal,
        landmarks=camera.project(TEMPLATE.landmarks478.positions(detected)).astype(np.float32),
        yaw_degrees=-yaw,
        surface=None if places is None else SurfaceLandmarks(places, np.full(478, 1.0)),
    )


def test_each_kind_of_landmark_has_errors_of_its_own(model: landmark_targets.LandmarkModel) -> None:
    mean = TEMPLATE.vertices.astype(np.float64)
    seen = face("a", 10.0, mean, mean)
    stage = LandmarkStage()
    parameters = detector_model.initial_parameters(TEMPLATE, seen, PriorWeights(), model.nuisance_size)
    nobody = np.zeros(len(TEMPLATE.identity_modes))
    alone = landmark_targets.landmark_targets(TEMPLATE, model, replace(seen, surface=None), parameters, nobody, stage)
    own = len(model.detector.modes)
    fitted = landmark_targets.landmark_targets(TEMPLATE, model, seen, parameters, nobody, stage)
    assert fitted.nuisance.shape[2] == alone.nuisance.shape[2] == own + 2
    assert not alone.nuisance[..., own:].any() and not fitted.nuisance[..., :own].any()
    np.testing.assert_allclose(fitted.pixels, seen.surface.positions)
    assert len(fitted.points) == 478, "a fit does not use the detector where the net's points are"


def test_the_nets_points_are_compared_with_the_share_of_the_person_that_they_show(
    model: landmark_targets.LandmarkModel,
) -> None:
    identity = np.random.default_rng(2).normal(size=len(TEMPLATE.identity_modes))
    person = TEMPLATE.vertices + np.tensordot(identity, TEMPLATE.identity_modes, 1)
    marks = net_points()
    mean, own = marks.positions(TEMPLATE.vertices), marks.positions(person)
    seen = face("a", 0.0, person, person)
    parameters = detector_model.initial_parameters(TEMPLATE, seen, PriorWeights(), model.nuisance_size)
    nobody = np.zeros(len(identity))
    fitted = landmark_targets.landmark_targets(TEMPLATE, model, seen, parameters, identity, LandmarkStage())
    np.testing.assert_allclose(fitted.points.positions(identity, np.zeros(52))[-478:], (mean + own) / 2, atol=1e-6)
    # the same where the person is the template, as when expressions are read
    theirs = replace(TEMPLATE, vertices=person.astype(np.float32))
    known = replace(landmark_targets.landmark_model(theirs), surface_errors=model.surface_errors)
    fixed = landmark_targets.landmark_targets(theirs, known, seen, parameters, nobody, LandmarkStage())
    np.testing.assert_allclose(fixed.points.positions(nobody, np.zeros(52))[-478:], (mean + own) / 2, atol=1e-6)


@pytest.mark.slow
def test_a_fit_follows_the_net_where_the_detector_sees_the_mean_face() -> None:
    """The detector shows nothing of the person, the net as much as it always does."""
    errors = landmark_targets.landmark_model(TEMPLATE).surface_errors
    assert errors is not None, "the shipped net has measured errors"
    identity = np.zeros(len(TEMPLATE.identity_modes))
    identity[:12] = np.random.default_rng(3).normal(size=12)
    person = TEMPLATE.vertices + np.tensordot(identity, TEMPLATE.identity_modes, 1)
    shown = TEMPLATE.vertices + float(np.median(errors.shown)) * (person - TEMPLATE.vertices)
    options = FitOptions(canonical=None, encoded=None, dense=None, cage=None)
    skin = TEMPLATE.regions["face"] > 0.5

    def error(surface: np.ndarray | None) -> float:
        faces = tuple(face(str(yaw), yaw, TEMPLATE.vertices, surface) for yaw in (-35.0, 0.0, 35.0))
        fitted = fit_face(PhotoCollection(faces), options).neutral
        laid = fit_similarity(fitted[skin], person[skin]).apply(fitted[skin])
        return float(np.linalg.norm(laid - person[skin], axis=1).mean())

    assert error(shown) < 0.6 * error(None)


def test_the_errors_that_ship_are_those_of_the_net_that_ships() -> None:
    assert (
        read_metadata(detector_model.SURFACE_ERRORS_PATH)[detector_model.NET_VERSION]
        == load_model(LANDMARK_NET.name).version
    )
    assert detector_model.load_surface_errors() is not None


def test_lids_and_lips_are_as_far_apart_as_the_net_that_places_them_says() -> None:
    bias = np.tensordot(detector_model.view_features(0.0, 0.0, 0.8), detector_model.load_detector_model().bias, 1)
    for upper, lower in ((159, 145), (386, 374), (13, 14)):
        assert np.abs(bias[lower] - bias[upper]).max() < 0.2  # per cent of the face's scale; an open eye has 10


def test_errors_of_another_net_are_refused(tmp_path: Path) -> None:
    assert detector_model.load_surface_errors(tmp_path) is None
    for path in detector_model.SURFACE_ERRORS_PATH.parent.glob("*.safetensors"):
        shutil.copy(path, tmp_path)
    assert detector_model.load_surface_errors(tmp_path) is not None
    detector_model.save_detector_model(
        detector_model.load_detector_model(detector_model.SURFACE_ERRORS_PATH),
        tmp_path / detector_model.SURFACE_ERRORS_PATH.name,
        "0" * 12,
    )
    with pytest.raises(LikenessError, match=r"errors of another landmark net.*trainer landmark-errors"):
        detector_model.load_surface_errors(tmp_path)


def outlined(yaw: float, vertices: np.ndarray, beside: FaceClass) -> PhotoFace:
    """A photo whose detector and net see the mean face, and whose labels are skin where the face of ``vertices`` is."""
    seen = face("a", yaw, TEMPLATE.vertices, TEMPLATE.vertices)
    head = TEMPLATE.head
    triangles = triangles_from_quads(TEMPLATE.quads[head.face_start : head.face_stop])
    triangles = triangles[(TEMPLATE.regions["face"] > 0.3)[triangles].any(-1)]
    drawn = np.isfinite(depth_map(vertices, triangles, view(TEMPLATE, yaw, SIZE, 2200.0, 1.2).camera()))
    return replace(seen, labels=np.where(drawn, FaceClass.SKIN, beside).astype(np.uint8))


def wider(share: float) -> np.ndarray:
    """(V, 3) the mean head with a wider face."""
    return TEMPLATE.vertices * np.array([1.0 + share, 1.0, 1.0], np.float32)


def test_the_outline_of_a_turned_head_is_where_its_labels_end(model: landmark_targets.LandmarkModel) -> None:
    seen, camera = outlined(35.0, TEMPLATE.vertices, FaceClass.BACKGROUND), view(TEMPLATE, 35.0, SIZE, 2200.0, 1.2)
    own = landmark_targets.label_outline(TEMPLATE, model, seen, TEMPLATE.vertices, camera.camera())
    assert len(own.distance) >= 6 and not own.on_neck.any()
    assert np.percentile(np.abs(own.distance), 90) < 1.0  # pixels, a hundredth of the eyes' distance
    narrow = landmark_targets.label_outline(TEMPLATE, model, seen, wider(-0.05), camera.camera())
    assert np.median(narrow.distance) > 3.0, "the photo's face is outside a narrower head's outline"


@pytest.mark.parametrize("beside", [FaceClass.HAIR, FaceClass.FACIAL_HAIR, FaceClass.OCCLUDER, FaceClass.EARS])
def test_hair_beards_hands_and_ears_make_the_outline_unknown(
    model: landmark_targets.LandmarkModel, beside: FaceClass
) -> None:
    camera = view(TEMPLATE, 35.0, SIZE, 2200.0, 1.2).camera()
    assert not len(
        landmark_targets.label_outline(TEMPLATE, model, outlined(35.0, wider(0.0), beside), wider(0.0), camera).distance
    )


def with_ears(ears_of: np.ndarray, beside: FaceClass) -> PhotoFace:
    """A photo of the mean head from the front whose labels show the ears of the head ``ears_of``."""
    seen, head = outlined(0.0, TEMPLATE.vertices, beside), TEMPLATE.head
    triangles = triangles_from_quads(TEMPLATE.quads[head.face_start : head.face_stop])
    triangles = triangles[(TEMPLATE.regions["ears"] > 0.5)[triangles].any(-1)]
    drawn = np.isfinite(depth_map(ears_of, triangles, view(TEMPLATE, 0.0, SIZE, 2200.0, 1.2).camera()))
    labels = np.where(drawn & (seen.labels != FaceClass.SKIN), FaceClass.EARS, seen.labels)
    return replace(seen, labels=labels.astype(np.uint8))


def test_ears_are_where_their_labels_end(model: landmark_targets.LandmarkModel) -> None:
    camera = view(TEMPLATE, 0.0, SIZE, 2200.0, 1.2).camera()

    def ears(width: float, beside: FaceClass) -> list[landmark_targets.LabelOutline]:
        return landmark_targets.label_ears(model, with_ears(wider(width), beside), wider(0.0), camera)

    for own in ears(0.0, FaceClass.BACKGROUND):
        assert len(own.distance) >= 4 and np.median(np.abs(own.distance)) < 1.0  # pixels
    left, right = ears(0.05, FaceClass.BACKGROUND)
    assert min(np.median(left.distance), np.median(right.distance)) > 3.0, "the photo's ears stand out further"
    assert (left.outward[:, 0] > 0).all() and (right.outward[:, 0] < 0).all()
    assert not any(len(ear.distance) for ear in ears(0.0, FaceClass.HAIR))


def test_a_fits_ears_stand_out_as_in_the_labels() -> None:
    """Landmarks and face are those of the mean head; only the ears' labels are wider."""
    options = FitOptions(canonical=None, encoded=None, dense=None, cage=None)
    blind = replace(options, landmarks=replace(options.landmarks, ear_fraction=0.0))
    photo, ears = with_ears(wider(0.06), FaceClass.BACKGROUND), np.flatnonzero(TEMPLATE.regions["ears"] > 0.5)

    def width(chosen: FitOptions) -> float:
        return float(np.ptp(fit_face(PhotoCollection((photo,)), chosen).neutral[ears, 0]))

    assert width(options) > 1.01 * width(blind)


@pytest.mark.slow
def test_a_fit_is_as_wide_as_the_labels() -> None:
    """Landmarks are those of the mean face; only the labels show that this face is wider."""
    person, options = wider(0.06), FitOptions(canonical=None, encoded=None, dense=None, cage=None)
    faces = tuple(replace(outlined(yaw, person, FaceClass.BACKGROUND), name=str(yaw)) for yaw in (-30.0, 0.0, 30.0))
    blind = replace(options, landmarks=replace(options.landmarks, outline_fraction=0.0))
    cheeks = np.flatnonzero(TEMPLATE.regions["face"] > 0.5)

    def width(chosen: FitOptions) -> float:
        fitted = fit_face(PhotoCollection(faces), chosen).neutral[cheeks, 0]
        return float(np.ptp(fitted))

    assert width(options) > width(blind) + 0.002


def test_points_that_an_expression_moves_say_less(model: landmark_targets.LandmarkModel) -> None:
    seen = face("a", 0.0, TEMPLATE.vertices, TEMPLATE.vertices)
    parameters = detector_model.initial_parameters(TEMPLATE, seen, PriorWeights(), model.nuisance_size)
    smiling = replace(parameters, expression=np.eye(52)[ARKIT_INDEX["mouthSmileLeft"]])
    nobody = np.zeros(len(TEMPLATE.identity_modes))
    calm, smile = (
        landmark_targets.landmark_targets(TEMPLATE, model, seen, one, nobody, LandmarkStage()).whitening[-478:, 0, 0]
        for one in (parameters, smiling)
    )
    corner, brow = 291, 105  # the left corner of the mouth, the right brow
    assert smile[corner] < 0.8 * calm[corner]
    assert smile[brow] == pytest.approx(calm[brow], rel=0.01)


SKIN, TEETH, DARK = (200, 150, 120), (205, 180, 160), (40, 15, 12)


def open_mouth(dark: float, jaw: float = 0.3) -> PhotoFace:
    """A photo of a mean face with an open jaw. Between its lips are teeth, with a dark band that takes this share."""
    posed = TEMPLATE.vertices + jaw * TEMPLATE.expressions[ARKIT_INDEX["jawOpen"]]
    seen = face("a", 0.0, posed, posed)
    pixels = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    edges = [seen.landmarks[list(edge), :2].mean(0) for edge in (UPPER_LIP_EDGE, LOWER_LIP_EDGE)]
    middle, half = (edges[0] + edges[1]) / 2, (edges[1] - edges[0])[1] / 2
    down = np.abs(np.arange(SIZE) - middle[1])
    pixels[down < 1.4 * half] = TEETH
    pixels[down < dark * half] = DARK
    labels = np.full((SIZE, SIZE), FaceClass.SKIN, np.uint8)
    labels[down < 1.4 * half] = FaceClass.MOUTH_INTERIOR
    return replace(seen, pixels=pixels, labels=labels)


@pytest.mark.parametrize("dark", [0.0, 0.4, 1.3])
def test_the_dark_between_the_rows_of_teeth_is_measured(dark: float) -> None:
    apart, opening = landmark_targets.mouth_cavity(open_mouth(dark))
    assert apart == pytest.approx(min(dark, 1.0) * opening, abs=0.12 * opening)


def test_shut_and_masked_mouths_tell_nothing_of_teeth() -> None:
    seen = open_mouth(0.0)
    hidden = np.zeros(478, bool)
    hidden[14] = True
    for other in (open_mouth(0.0, 0.0), replace(seen, unseen=hidden)):
        assert landmark_targets.mouth_cavity(other) is None


def test_teeth_that_touch_in_the_photo_hold_the_jaw() -> None:
    """The landmarks are the same; only what is between the lips differs."""
    options = FitOptions(canonical=None, encoded=None, dense=None, cage=None)
    touching, apart = (
        fit_face(PhotoCollection((open_mouth(dark),)), options).photos[0].expression[ARKIT_INDEX["jawOpen"]]
        for dark in (0.0, 1.3)
    )
    assert touching < apart - 0.05
