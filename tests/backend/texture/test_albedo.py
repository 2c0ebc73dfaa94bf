"""The whole texture, from pictures of a head whose albedo is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from plain_photo import mask_of
from texture_scene import TONE, TRUTH_SIZE, Scene, Shot, make_scene, soft_light, with_labels

from backend.errors import Cancelled
from backend.geometry.robust_statistics import robust_deviation
from backend.photos.collection import FaceClass, PhotoCollection
from backend.photos.corrections import PhotoCorrections, with_corrections
from backend.photos.regions import BROW_RIGHT, EYE_RIGHT, mirrored
from backend.rendering.color import linear_from_srgb
from backend.system import parallel
from backend.texture.albedo import AlbedoResult, build_albedo
from backend.texture.surface import head_surface, texture_space

SIZE = 512
SIDES = [Shot(0.0, soft_light(0.2)), Shot(35.0, soft_light(-0.8)), Shot(-35.0, soft_light(0.8, key=1.0))]


@pytest.fixture(scope="module")
def three_views() -> tuple[Scene, AlbedoResult]:
    scene = make_scene(SIDES)
    return scene, build_albedo(scene.template, scene.fitted, scene.faces, SIZE)


@pytest.fixture(scope="module")
def one_side() -> tuple[Scene, AlbedoResult]:
    scene = make_scene([Shot(40.0, soft_light(0.2, ambient=0.6))])
    return scene, build_albedo(scene.template, scene.fitted, scene.faces, SIZE)


def _linear(result: AlbedoResult) -> np.ndarray:
    return linear_from_srgb(result.albedo)


def _truth(scene: Scene) -> np.ndarray:
    factor = TRUTH_SIZE // SIZE
    return scene.truth.reshape(SIZE, factor, SIZE, factor, 3).mean((1, 3))


def _region(scene: Scene, name: str, threshold: float = 0.9) -> np.ndarray:
    """(SIZE, SIZE) bool mask of a region of the face's own chart."""
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    return space.skin.image(space.skin.sample(surface.regions[name][:, None])[:, 0]) > threshold


def _covered(scene: Scene) -> np.ndarray:
    space = texture_space(scene.template, SIZE)
    mask = np.zeros(SIZE * SIZE, bool)
    for atlas in (space.skin, space.inner, *space.parts.values()):
        mask[atlas.texel] = True
    return mask.reshape(SIZE, SIZE)


def test_known_albedo_comes_back(three_views: tuple[Scene, AlbedoResult]) -> None:
    scene, result = three_views
    truth, found = _truth(scene), _linear(result)
    shown = (result.coverage > 0.8) & _region(scene, "face") & ~_region(scene, "brows", 0.02)
    error = np.log(found[shown]) - np.log(truth[shown])
    error = error - error.mean(0)  # the level is the tone prior's, tested below
    assert shown.sum() > 20000
    assert np.sqrt((error**2).mean()) < 0.07
    photo = linear_from_srgb(scene.faces[1].pixels)[scene.faces[1].labels == FaceClass.SKIN]
    assert np.log(photo).std(0).min() > 0.2  # what light did to the photo: several times as much


def test_level_and_colour_of_the_tone(three_views: tuple[Scene, AlbedoResult]) -> None:
    scene, result = three_views
    plain = (result.coverage > 0.8) & _region(scene, "cheeks")
    ratio = np.median(_linear(result)[plain], axis=0) / np.median(_truth(scene)[plain], axis=0)
    assert np.abs(np.log(ratio)).max() < 0.2


def test_features_keep_their_contrast(three_views: tuple[Scene, AlbedoResult]) -> None:
    scene, result = three_views
    truth, found = _truth(scene), _linear(result)
    cheeks = _region(scene, "cheeks") & (result.coverage > 0.8)
    for name in ("lips", "brows"):
        inside = _region(scene, name) & (result.coverage > 0.8)
        contrast = np.log(np.median(found[inside], 0) / np.median(found[cheeks], 0))
        expected = np.log(np.median(truth[inside], 0) / np.median(truth[cheeks], 0))
        assert np.abs(contrast - expected).max() < 0.2 * np.abs(expected).max() + 0.05, name


def test_a_beard_that_all_photos_show_is_no_light() -> None:
    scene = make_scene(SIDES, beard=1.2)
    result = build_albedo(scene.template, scene.fitted, scene.faces, SIZE)
    chin, cheeks = (_region(scene, name) & (result.coverage > 0.8) for name in ("chin", "cheeks"))
    chin &= ~_region(scene, "lips", 0.02)
    found, truth = (
        np.log(image[chin].mean(0) / image[cheeks].mean(0)).mean()  # medians of dark bytes go in steps of 3 %
        for image in (_linear(result), _truth(scene))
    )
    assert truth < -1.0
    assert abs(found - truth) < 0.17 * abs(truth)


def test_what_a_crop_is_padded_with_is_never_sampled() -> None:
    scene = make_scene([Shot(0.0), Shot(10.0, soft_light(-0.3))])
    faces = []
    for face in scene.faces:
        pixels, edge = face.pixels.copy(), 215
        pixels[:, :edge] = (0, 40, 255)  # the file begins here
        height, width = face.labels.shape
        faces.append(replace(face, pixels=pixels, crop_offset=(-float(edge), 0.0), source_size=(width - edge, height)))
    found = _linear(build_albedo(scene.template, scene.fitted, faces, SIZE))
    assert (found[..., 2] - found[..., 0])[_region(scene, "face", 0.5)].max() < 0.02


def test_no_hole_and_no_background(three_views: tuple[Scene, AlbedoResult]) -> None:
    scene, result = three_views
    found, covered = _linear(result), _covered(scene)
    skin = _region(scene, "face", 0.5) & ~_region(scene, "brows", 0.02) & ~_region(scene, "nose", 0.02)
    tone = np.median(found[_region(scene, "cheeks")], axis=0)
    assert (found[skin] > 0.3 * tone).all()
    # the pictures' background is pure green: nowhere may green be the strongest channel by more than a trace
    greenness = found[..., 1] - np.maximum(found[..., 0], found[..., 2])
    assert greenness[covered].max() < 0.02


def test_whole_texture_is_filled(three_views: tuple[Scene, AlbedoResult]) -> None:
    scene, result = three_views
    assert result.albedo.shape == (SIZE, SIZE, 3) and result.albedo.dtype == np.uint8
    assert result.coverage.shape == (SIZE, SIZE) and 0 <= result.coverage.min() <= result.coverage.max() <= 1
    lashes = np.zeros(SIZE * SIZE, bool)
    lashes[texture_space(scene.template, SIZE).parts["lashes"].texel] = True
    inner = np.zeros(SIZE * SIZE, bool)
    for name in ("eye_left", "eye_right"):  # pupils are black
        inner[texture_space(scene.template, SIZE).parts[name].texel] = True
    rest = _covered(scene) & ~(lashes | inner).reshape(SIZE, SIZE)
    assert result.albedo[rest].max(1).min() > 40


def test_the_fits_light_may_be_wrong() -> None:
    scene = make_scene(SIDES, fitted_light=soft_light(0.0, ambient=0.8))
    result = build_albedo(scene.template, scene.fitted, scene.faces, SIZE)
    shown = (result.coverage > 0.8) & _region(scene, "face") & ~_region(scene, "brows", 0.02)
    error = np.log(_linear(result)[shown]) - np.log(_truth(scene)[shown])
    assert np.sqrt(((error - error.mean(0)) ** 2).mean()) < 0.08


def test_the_far_side_comes_from_the_mirror(one_side: tuple[Scene, AlbedoResult]) -> None:
    scene, result = one_side
    found, cheeks = _linear(result), _region(scene, "cheeks")
    seen = cheeks & (result.coverage > 0.9)
    unseen = cheeks & (result.coverage < 0.02) & (result.coverage[:, ::-1] > 0.9)
    assert unseen.sum() > 500
    difference = np.log(found[unseen]) - np.log(found[:, ::-1][unseen])
    assert np.abs(difference).mean() < 0.06
    assert abs(np.log(found[unseen].mean() / found[seen].mean())) < 0.1


def test_unseen_skin_is_as_smooth_as_in_coarse_photos(one_side: tuple[Scene, AlbedoResult]) -> None:
    scene, _ = one_side
    faces = [replace(face, pixels=cv2.GaussianBlur(face.pixels, (0, 0), 6.0)) for face in scene.faces]
    result = build_albedo(scene.template, scene.fitted, faces, SIZE)
    log = np.log(_linear(result) + 1e-3).mean(-1)
    fine = log - cv2.GaussianBlur(log, (0, 0), 2.0)
    unseen = _region(scene, "neck") & (np.maximum(result.coverage, result.coverage[:, ::-1]) < 0.02)
    seen = _region(scene, "cheeks") & (result.coverage > 0.98)
    assert robust_deviation(fine[unseen]) < 2.0 * robust_deviation(fine[seen])


def test_deterministic(one_side: tuple[Scene, AlbedoResult]) -> None:
    scene, result = one_side
    again = build_albedo(scene.template, scene.fitted, scene.faces, SIZE)
    np.testing.assert_array_equal(result.albedo, again.albedo)
    np.testing.assert_array_equal(result.coverage, again.coverage)


@pytest.mark.parametrize("label", [FaceClass.GLASSES, FaceClass.OCCLUDER, FaceClass.HAIR])
def test_what_is_labelled_as_in_the_way_is_never_sampled(label: FaceClass) -> None:
    scene = make_scene([Shot(0.0), Shot(20.0, soft_light(-0.3))])
    faces = []
    for face in scene.faces:
        eyes = face.landmarks[[33, 133, 362, 263], :2]
        left, right = int(eyes[:, 0].min()) - 14, int(eyes[:, 0].max()) + 14
        top, bottom = int(eyes[:, 1].mean()) - 16, int(eyes[:, 1].mean()) + 16
        pixels, labels = face.pixels.copy(), face.labels.copy()
        frame = np.zeros(labels.shape, bool)
        frame[top:bottom, left:right] = True
        frame &= labels != FaceClass.BACKGROUND
        pixels[frame] = (0, 40, 255)
        labels[frame] = label
        faces.append(with_labels(face, labels, pixels))
    result = build_albedo(scene.template, scene.fitted, faces, SIZE)
    found = _linear(result)
    assert (found[..., 2] - found[..., 0])[_region(scene, "face", 0.5)].max() < 0.02


def test_what_a_person_has_masked_is_not_in_the_texture() -> None:
    """A sticker on a cheek that parsing took for skin, in the only photo that shows the cheek from the front."""
    scene = make_scene([Shot(0.0)])
    (face,) = scene.faces
    pixels, hidden = face.pixels.copy(), np.zeros((100, 100), bool)
    (left, top), side = face.landmarks[205, :2].astype(int) - 8, 16
    pixels[top : top + side, left : left + side] = (40, 230, 60)
    corners = np.array([[left - 3, top - 3], [left + side + 3, top + side + 3]]) / face.crop_scale + face.crop_offset
    (first, upper), (last, lower) = (100 * corners / face.source_size).astype(int)
    hidden[upper : lower + 1, first : last + 1] = True
    stuck = PhotoCollection((replace(face, pixels=pixels),))
    masked = with_corrections(stuck, (PhotoCorrections(face.name, mask=mask_of(hidden)),))
    cheeks, truth = _region(scene, "cheeks"), np.log(_truth(scene))

    def worst(collection: PhotoCollection) -> float:
        found = np.log(_linear(build_albedo(scene.template, scene.fitted, collection.faces, SIZE)))
        error = (found - truth)[cheeks]
        return float(np.quantile(np.abs(error - np.median(error, axis=0)).max(1), 0.995))

    assert worst(stuck) > 1.0 and worst(masked) < 0.3


def test_brows_under_the_frame_of_glasses_are_the_photos() -> None:
    """Wire frames on the brows' lower edges, labelled four times as thick as they are."""
    scene = make_scene([Shot(0.0), Shot(20.0, soft_light(-0.3)), Shot(-20.0, soft_light(0.4))])
    faces = []
    for face in scene.faces:
        pixels, thick = face.pixels.copy(), np.zeros(face.labels.shape, np.uint8)
        for brow, eye in ((BROW_RIGHT, EYE_RIGHT), (mirrored(BROW_RIGHT), mirrored(EYE_RIGHT))):
            top = face.landmarks[list(brow), 1].mean() + 1.0
            middle = face.landmarks[list(eye), :2].mean(0)
            size = (round(0.85 * np.ptp(face.landmarks[list(eye), 0])), round(float(middle[1] - top)))
            centre = tuple(int(value) for value in middle.round())
            cv2.ellipse(pixels, centre, size, 0, 0, 360, (40, 36, 32), 2, cv2.LINE_AA)
            cv2.ellipse(thick, centre, size, 0, 0, 360, 1, 9)
        behind = (thick > 0) & np.isin(face.labels, (FaceClass.SKIN, FaceClass.BROWS))
        faces.append(with_labels(face, np.where(behind, np.uint8(FaceClass.GLASSES), face.labels), pixels))
    found = _linear(build_albedo(scene.template, scene.fitted, faces, SIZE))
    skin = np.log(np.median(found[_region(scene, "forehead")], axis=0))
    brows = np.log(found[_region(scene, "brows", 0.8)])
    true = np.log(_truth(scene)[_region(scene, "brows", 0.8)]).mean(1) - np.log(TONE).mean()
    assert np.median(brows.mean(1) - skin.mean()) < 0.87 * np.median(true), "0.82 where they ended without a gradient"
    assert np.quantile(brows[:, 2] - brows[:, 0], 0.95) < -0.5


def test_grey_photos_give_coloured_skin() -> None:
    scene = make_scene([Shot(0.0, monochrome=True), Shot(30.0, soft_light(-0.6), monochrome=True)])
    found = _linear(build_albedo(scene.template, scene.fitted, scene.faces, SIZE))
    cheeks, lips = _region(scene, "cheeks"), _region(scene, "lips")
    skin = np.median(found[cheeks], axis=0)
    assert skin[0] > 1.25 * skin[1] > 1.25 * 1.1 * skin[2]
    lip = np.median(found[lips], axis=0)
    assert lip[0] / lip[1] > 1.1 * skin[0] / skin[1]


def test_one_feature_from_one_photo() -> None:
    """Photos whose fit is 4 mm off sideways: brows must not be doubled."""
    scene = make_scene([Shot(0.0), Shot(3.0, soft_light(-0.4))])
    off = scene.fitted.photos[1]
    camera = replace(off.camera, camera_from_head=off.camera.camera_from_head.copy())
    camera.camera_from_head[0, 3] += 0.004
    fitted = replace(
        scene.fitted, photos=(scene.fitted.photos[0], replace(off, camera=camera, landmark_error_percent=4.0))
    )
    face = scene.faces[1]
    shifted = face.landmarks.copy()
    shifted[:, 0] += 0.004 * camera.intrinsics[0, 0] / 0.9  # the landmarks agree with the wrong fit
    faces = (scene.faces[0], replace(face, landmarks=shifted))
    found = _linear(build_albedo(scene.template, fitted, faces, SIZE))
    brows = cv2.dilate(_region(scene, "brows", 0.3).astype(np.uint8), np.ones((5, 5))) > 0
    error = np.log(found[brows]).mean(1) - np.log(_truth(scene)[brows]).mean(1)
    assert np.sqrt(((error - np.median(error)) ** 2).mean()) < 0.25


@pytest.mark.parametrize("size", [256, 2048])
def test_sizes(size: int) -> None:
    scene = make_scene([Shot(0.0)])
    result = build_albedo(scene.template, scene.fitted, scene.faces, size)
    assert result.albedo.shape == (size, size, 3) and result.coverage.shape == (size, size)
    assert 0.1 < (result.coverage > 0.5).mean() < 0.9


def test_refusals_and_cancelling() -> None:
    scene = make_scene([Shot(0.0, size=128)])
    with pytest.raises(ValueError, match="at least 256"):
        build_albedo(scene.template, scene.fitted, scene.faces, 128)
    with pytest.raises(ValueError, match=r"photo0\.png"):
        build_albedo(scene.template, scene.fitted, (), 256)

    def cancel(stage: str, fraction: float) -> None:
        assert stage == "texture"
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        build_albedo(scene.template, scene.fitted, scene.faces, 256, progress=cancel)


def test_threads_change_nothing(three_views: tuple[Scene, AlbedoResult], monkeypatch: pytest.MonkeyPatch) -> None:
    scene, expected = three_views
    other = 1 if parallel.parallel_threads() > 1 else 2
    monkeypatch.setattr(parallel, "parallel_threads", lambda: other)
    again = build_albedo(scene.template, scene.fitted, scene.faces, SIZE)
    assert np.array_equal(again.albedo, expected.albedo)
