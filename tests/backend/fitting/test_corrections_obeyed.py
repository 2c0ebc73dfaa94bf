"""A landmark that a person has put in its place is where the fitted head has it, and what a photo is for is kept."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from plain_photo import mask_of
from view_hand_made import seen_face, view

from backend.fitting.fit import fit_face, refit_face, resumable_fit
from backend.fitting.options import FitOptions, with_shape_options
from backend.fitting.stages import FittedFace, ResumableFit
from backend.geometry.template import FIRST_EAR, FIRST_HAIR, ear_vertices, load_template
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.corrections import CorrectedPoint, PhotoCorrections, with_corrections
from protocol.names import HANDLES
from protocol.similarity import fit_similarity

SIZE = 600
TEMPLATE = load_template()
LANDMARKS_ALONE = FitOptions(canonical=None, encoded=None, dense=None, cage=None)
CHIN, MOUTH_CORNER = 152, 291


def person(seed: int) -> np.ndarray:
    identity = 0.7 * np.random.default_rng(seed).normal(size=len(TEMPLATE.identity_modes))
    return TEMPLATE.vertices + np.tensordot(identity, TEMPLATE.identity_modes, 1)


def photo(name: str, yaw: float, vertices: np.ndarray) -> PhotoFace:
    return seen_face(TEMPLATE, vertices, name, yaw, SIZE)


@pytest.fixture(scope="module")
def collection() -> PhotoCollection:
    return PhotoCollection((photo("a", 0.0, person(1)), photo("b", 30.0, person(1))))


@pytest.fixture(scope="module")
def begun(collection: PhotoCollection) -> ResumableFit:
    return resumable_fit(collection, LANDMARKS_ALONE)


def dragged(landmarks: Sequence[int], places: np.ndarray, name: str = "a") -> PhotoCorrections:
    points = (CorrectedPoint(one, *map(float, place)) for one, place in zip(landmarks, places, strict=True))
    return PhotoCorrections(name, "both", tuple(points))


def test_dragged_points_are_obeyed_and_move_the_shape(collection: PhotoCollection, begun: ResumableFit) -> None:
    before = begun.face
    wanted = before.photos[0].landmarks[[CHIN, MOUTH_CORNER], 2:] + [[1.0, 9.0], [5.0, -3.0]]
    corrected = with_corrections(collection, (dragged((CHIN, MOUTH_CORNER), wanted),))
    after = fit_face(corrected, LANDMARKS_ALONE)
    now = after.photos[0].landmarks[[CHIN, MOUTH_CORNER], 2:]
    assert np.linalg.norm(now - wanted, axis=-1).max() < 1.0
    assert np.abs(after.neutral - before.neutral).max() > 1e-3
    np.testing.assert_array_equal(after.photos[0].landmarks[:, :2], before.photos[0].landmarks[:, :2])


@pytest.mark.parametrize(
    ("landmark", "drag"), [(CHIN, (0, 40)), (1, (28, 28)), (MOUTH_CORNER, (40, 0)), (282, (0, -40))]
)
def test_one_dragged_landmark_leaves_the_others_of_its_photo(
    collection: PhotoCollection, begun: ResumableFit, landmark: int, drag: tuple[float, float]
) -> None:
    """Dragged by 40 of a face of 600 pixels: it is there, and no other point that is shown has moved by 3."""
    before = begun.face.photos[0].landmarks[:, 2:]
    pixel = np.ptp(before[:, 1]) / 600.0
    wanted = before[landmark] + pixel * np.array(drag)
    corrected = with_corrections(collection, (dragged((landmark,), [wanted]),))
    after = refit_face(begun, corrected.faces, LANDMARKS_ALONE).photos[0].landmarks[:, 2:]
    moved = np.linalg.norm(after - before, axis=-1) / pixel
    assert np.linalg.norm(after[landmark] - wanted) / pixel < 0.5
    assert moved[[one for one in HANDLES if one != landmark]].max() < 3.0


def test_the_reach_of_a_drag_is_the_artists(collection: PhotoCollection, begun: ResumableFit) -> None:
    """The wider one moves more skin, and both meet the point."""
    wanted = begun.face.photos[0].landmarks[CHIN, 2:] + [0.0, 20.0]
    faces = with_corrections(collection, (dragged((CHIN,), [wanted]),)).faces
    near, far = (
        refit_face(begun, faces, with_shape_options(LANDMARKS_ALONE, 0.0, 0.5, reach)) for reach in (0.01, 0.06)
    )
    for fitted in (near, far):
        assert np.linalg.norm(fitted.photos[0].landmarks[CHIN, 2:] - wanted) < 0.5
    skin = slice(TEMPLATE.head.vertex_stop)
    apart = np.linalg.norm(far.neutral[skin] - near.neutral[skin], axis=1)
    chin = begun.face.neutral[np.linalg.norm(far.neutral - begun.face.neutral, axis=1).argmax()]
    away = np.linalg.norm(begun.face.neutral[skin] - chin, axis=1)
    assert apart[(away > 0.015) & (away < 0.05)].max() > 5e-4 and apart[away > 0.09].max() < 1e-4


def test_two_photos_may_correct_one_landmark(collection: PhotoCollection, begun: ResumableFit) -> None:
    before = begun.face
    wanted = [one.landmarks[CHIN, 2:] + np.array([0.0, 8.0]) for one in before.photos]
    said = tuple(dragged((CHIN,), [place], name) for name, place in zip("ab", wanted, strict=True))
    after = fit_face(with_corrections(collection, said), LANDMARKS_ALONE)
    for one, place in zip(after.photos, wanted, strict=True):
        assert np.linalg.norm(one.landmarks[CHIN, 2:] - place) < 1.0


def test_points_of_the_ears_move_the_ears_and_the_hair_line_moves_nothing() -> None:
    truth = person(3)
    collection = PhotoCollection((photo("a", 0.0, truth), photo("b", 40.0, truth)))
    ears, cameras = truth[ear_vertices()], [view(TEMPLATE, yaw, SIZE, 2200.0, 1.2).camera() for yaw in (0.0, 40.0)]
    said = dragged(FIRST_EAR + np.arange(len(ears)), cameras[0].project(ears)[:, :2])
    line = (CorrectedPoint(FIRST_HAIR, 300.0, 100.0),)
    before = fit_face(collection, LANDMARKS_ALONE)
    after = fit_face(with_corrections(collection, (said,)), LANDMARKS_ALONE)
    lined = with_corrections(collection, (PhotoCorrections("a", "both", line),))
    assert lined.faces[0].corrected is None and lined.faces[0].hair_line is not None

    def off(fitted: FittedFace) -> float:
        region = TEMPLATE.regions["face"] > 0.5
        similarity = fit_similarity(fitted.neutral[region].astype(np.float64), truth[region])
        return float(np.linalg.norm(similarity.apply(fitted.neutral[ear_vertices()]) - ears, axis=-1).mean())

    assert off(after) < 0.8 * off(before)
    np.testing.assert_array_equal(fit_face(lined, LANDMARKS_ALONE).neutral, before.neutral)


def test_a_fit_that_was_kept_goes_on_to_where_a_whole_one_ends() -> None:
    textured = replace(photo("c", -20.0, person(1)), use="texture")
    collection = PhotoCollection((photo("a", 0.0, person(1)), textured, photo("b", 30.0, person(1))))
    begun = resumable_fit(collection, LANDMARKS_ALONE)
    before = begun.face
    same = refit_face(begun, collection.faces, LANDMARKS_ALONE)
    assert np.abs(same.neutral - before.neutral).max() < 5e-4
    wanted = before.photos[0].landmarks[[CHIN, MOUTH_CORNER], 2:] + [[1.0, 9.0], [5.0, -3.0]]
    said = dragged((CHIN, MOUTH_CORNER), wanted), PhotoCorrections("c", "texture")
    corrected = with_corrections(collection, said)
    after, whole = refit_face(begun, corrected.faces, LANDMARKS_ALONE), fit_face(corrected, LANDMARKS_ALONE)
    assert [one.name for one in after.photos] == ["a", "c", "b"]
    assert np.linalg.norm(after.photos[0].landmarks[[CHIN, MOUTH_CORNER], 2:] - wanted, axis=-1).max() < 1.0
    face = TEMPLATE.regions["face"] > 0.5  # the rest of the head follows the prior
    moved = np.abs(after.neutral - before.neutral)[face].max()
    assert moved > 1e-3 and np.abs(after.neutral - whole.neutral)[face].max() < 0.3 * moved
    np.testing.assert_array_equal(after.vertex_albedo, before.vertex_albedo)
    np.testing.assert_array_equal(after.photos[2].light, before.photos[2].light)


def test_a_kept_fit_is_not_for_other_photos_or_another_use(collection: PhotoCollection, begun: ResumableFit) -> None:
    faces = collection.faces
    assert begun.matches_photos(faces) and begun.matches_photos(faces[::-1])
    for other in (
        faces[:1],
        (faces[0], photo("b", 30.0, person(1))),
        (faces[0], replace(faces[1], use="texture")),
        (faces[0], replace(faces[1], name="c")),
    ):
        assert not begun.matches_photos(other)
        assert refit_face(begun, other, LANDMARKS_ALONE) is None


def test_a_photo_for_the_texture_alone_does_not_move_the_shape_and_lies_on_it(
    collection: PhotoCollection, begun: ResumableFit
) -> None:
    mine, other, alone = collection.faces, photo("c", -20.0, person(5)), begun.face
    fitted = fit_face(PhotoCollection((replace(other, use="texture"), *mine)), LANDMARKS_ALONE)
    np.testing.assert_array_equal(fitted.neutral, alone.neutral)
    assert [one.name for one in fitted.photos] == ["c", "a", "b"]
    seen = fitted.photos[0].landmarks
    assert np.median(np.linalg.norm(seen[:, 2:] - seen[:, :2], axis=-1)) < 6.0
    with_it = fit_face(PhotoCollection((photo("c", -20.0, person(1)), *mine)), LANDMARKS_ALONE)
    assert np.abs(with_it.neutral - alone.neutral).max() > 1e-4


def test_corrections_that_say_nothing_change_nothing(collection: PhotoCollection, begun: ResumableFit) -> None:
    same = with_corrections(collection, (PhotoCorrections("a"), PhotoCorrections("b", "shape")))
    np.testing.assert_array_equal(fit_face(same, LANDMARKS_ALONE).neutral, begun.face.neutral)


def test_landmarks_under_a_mask_are_not_believed(collection: PhotoCollection, begun: ResumableFit) -> None:
    faces, truth = collection.faces, begun.face.neutral
    moved = faces[0].landmarks.copy()
    lower = np.linalg.norm(moved[:, :2] - moved[CHIN, :2], axis=-1) < 150.0  # a hand lies there
    moved[lower, :2] += [4.0, -8.0]  # too little for an outlier
    places = faces[0].surface.positions + lower[:, None] * [4.0, -8.0]
    fooled = replace(faces[0], landmarks=moved, surface=replace(faces[0].surface, positions=places))
    hidden = np.zeros((60, 60), bool)
    columns, rows = (moved[lower, :2] / SIZE * 60).astype(int).T
    hidden[rows.min() - 1 : rows.max() + 2, columns.min() - 1 : columns.max() + 2] = True
    seen = PhotoCollection((fooled, faces[1]))
    masked = with_corrections(seen, (PhotoCorrections("a", mask=mask_of(hidden)),))

    def error(fitted: np.ndarray) -> float:
        return float(np.linalg.norm(fitted - truth, axis=-1).mean())

    without = error(fit_face(seen, LANDMARKS_ALONE).neutral)
    assert error(fit_face(masked, LANDMARKS_ALONE).neutral) < 0.75 * without  # the rest: what hidden ones would tell


def test_a_kept_fit_is_not_for_a_new_mask_and_goes_on_with_the_same(collection: PhotoCollection) -> None:
    hidden = np.zeros((60, 60), bool)
    hidden[40:50, 20:30] = True
    masked = with_corrections(collection, (PhotoCorrections("a", mask=mask_of(hidden)),))
    begun = resumable_fit(masked, LANDMARKS_ALONE)
    again = with_corrections(collection, (PhotoCorrections("a", mask=mask_of(hidden)),))
    assert begun.matches_photos(again.faces) and not begun.matches_photos(collection.faces)
