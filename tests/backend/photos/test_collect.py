"""The whole photo stage on photographs: every kind of photo that people give."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_photos import encoded, upright
from PIL import Image, ImageDraw, ImageFilter

from backend.errors import Cancelled, LikenessError
from backend.models.parsing.accessories import AccessoryScores
from backend.models.parsing.apply import FaceLabels, look_at_face
from backend.photos import faces as finding
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import FaceClass, PhotoCollection, PhotoSource
from backend.photos.screening import what_it_seems

pytestmark = pytest.mark.photos
People = Callable[[str], list[Path]]
NOTHING = encoded(np.full((300, 300, 3), 90, np.uint8))


@pytest.fixture(scope="module")
def woman(people: People) -> list[Path]:
    return people("emotions_a")


@pytest.fixture(scope="module")
def portrait(woman: list[Path]) -> Image.Image:
    return upright(woman[0]).resize((477, 640))


def gather(options: CollectOptions, *photos: bytes | Path | Image.Image) -> PhotoCollection:
    sources = []
    for index, photo in enumerate(photos):
        if isinstance(photo, Path):
            sources.append(PhotoSource(f"{index}.jpg", path=photo))
        else:
            data = photo if isinstance(photo, bytes) else encoded(photo)
            sources.append(PhotoSource(f"{index}.jpg", data))
    return collect(sources, options=options)


@pytest.fixture(scope="module")
def plain(portrait: Image.Image, options: CollectOptions) -> PhotoCollection:
    """What the stage makes of the portrait itself."""
    return gather(options, portrait)


def in_source(collection: PhotoCollection, index: int = 0) -> np.ndarray:
    """The landmarks in pixels of the file."""
    face = collection.faces[index]
    return face.in_file(face.landmarks[:, :2])


def test_faces_and_verdicts(woman: list[Path], options: CollectOptions) -> None:
    told: list[float] = []
    sources = [PhotoSource.from_path(path) for path in woman[:3]]
    sources.insert(1, PhotoSource("broken.jpg", b"broken"))
    collection = collect(sources, progress=lambda stage, fraction: told.append(fraction), options=options)
    assert [verdict.name for verdict in collection.verdicts] == ["1.jpg", "broken.jpg", "2.jpg", "3.jpg"]
    assert [verdict.used for verdict in collection.verdicts] == [True, False, True, True]
    assert [verdict.reason == "" for verdict in collection.verdicts] == [True, False, True, True]
    assert told == sorted(told)
    assert told[-1] == 1.0
    scores = [face.quality.score for face in collection.faces]
    assert scores == sorted(scores, reverse=True)
    for face in collection.faces:
        side = face.pixels.shape[0]
        assert face.pixels.shape == (side, side, 3)
        assert face.labels.shape == (side, side)
        assert face.landmarks.shape == (478, 3)
        assert face.landmarks.dtype == np.float32
        assert face.source_size in ((954, 1280), (1024, 1280))
        assert not face.monochrome
        assert ((face.landmarks[:, :2] > 0) & (face.landmarks[:, :2] < side)).all()
    turned = next(face for face in collection.faces if face.name == "2.jpg")
    assert turned.yaw_degrees > 25  # she looks to her own left


def test_landmarks_hardly_depend_on_where_the_face_lies(portrait: Image.Image) -> None:
    """Seen through windows that are moved, turned and scaled, the landmarks stay within 0.2 % of the face's size."""
    pixels = np.asarray(portrait)
    found = finding.find_landmarks(pixels, finding.detect_faces(pixels)[0])
    window = finding.landmark_window(found, 2.4)
    size = finding.landmark_window(found, 1.0).side
    answers = []
    for shift, scale, turn in ((0.0, 1.0, 0.0), (0.05, 1.1, 0.1), (-0.04, 0.92, -0.12)):
        other = replace(
            window,
            centre=(window.centre[0] + shift * size, window.centre[1] - shift * size),
            side=window.side * scale,
            angle=window.angle + turn,
        )
        view = other.cut(pixels, 512)
        answers.append(other.to_picture(finding.find_landmarks(view, finding.detect_faces(view)[0]), 512)[:, :2])
    spread = np.linalg.norm(np.array(answers) - np.mean(answers, axis=0), axis=2).mean()
    assert spread < 0.002 * size


def test_small_faces_in_large_pictures_are_found(
    portrait: Image.Image, plain: PhotoCollection, options: CollectOptions
) -> None:
    small = portrait.resize((95, 128), Image.Resampling.LANCZOS)
    scene = Image.new("RGB", (1600, 1200), (120, 130, 110))
    scene.paste(small, (1150, 700))
    face = gather(options, scene)
    eyes = in_source(face)[[finding.EYE_OUTER_RIGHT, finding.EYE_OUTER_LEFT]].mean(axis=0)
    full = in_source(plain)[[finding.EYE_OUTER_RIGHT, finding.EYE_OUTER_LEFT]].mean(axis=0)
    assert eyes == pytest.approx(full * (128 / 640) + [1150, 700], abs=1.5)


def test_icons_of_a_screenshot_are_no_face(woman: list[Path], portrait: Image.Image, options: CollectOptions) -> None:
    """A face of a dozen pixels is what icons look like: it says nothing of who it is."""
    icon = portrait.resize((round(40 * portrait.width / portrait.height), 40), Image.Resampling.LANCZOS)
    screen = Image.new("RGB", (900, 500), (60, 60, 60))
    for place in ((40, 60), (700, 60), (420, 300)):
        screen.paste(icon, place)
    verdict = gather(options, *woman[:3], screen).verdicts[-1]
    assert not verdict.used and verdict.reason.startswith("No face was found in it"), verdict


def test_no_photo_and_no_face(options: CollectOptions) -> None:
    for photos, code in (((), "no_photo"), ((b"junk",), "no_photo"), ((NOTHING,), "no_face")):
        with pytest.raises(LikenessError) as caught:
            gather(options, *photos)
        assert caught.value.code == code
        assert caught.value.advice
    with pytest.raises(LikenessError) as caught:
        gather(replace(options, max_photos=3), *[NOTHING] * 4)
    assert caught.value.code == "usage"


def test_bad_photos_beside_a_good_one(portrait: Image.Image, options: CollectOptions) -> None:
    good = encoded(portrait, "JPEG", quality=95)
    one_pixel = encoded(np.zeros((1, 1, 3), np.uint8))
    collection = gather(options, NOTHING, good[: len(good) // 2], one_pixel, b"", good)
    assert [verdict.used for verdict in collection.verdicts] == [False] * 4 + [True]
    for verdict, word in zip(collection.verdicts, ("No face", "cut short", "No face", "empty"), strict=False):
        assert word in verdict.reason


def test_a_face_in_light_of_one_colour_is_used_in_grey(portrait: Image.Image, options: CollectOptions) -> None:
    """In green the seen skin came out dark with a light rim, because its red and blue were taken for skin's."""
    light = (np.asarray(portrait) * np.array([0.25, 1.0, 0.3])).astype(np.uint8)
    (face,) = gather(options, Image.fromarray(light)).faces
    assert face.monochrome and (np.ptp(face.pixels, axis=2) == 0).all() and face.pixels.max() > 150


def test_a_face_on_which_the_landmark_net_is_unsure_may_be_no_person(plain: PhotoCollection) -> None:
    """A cat's face has nine times the deviation of a person's."""
    face = plain.faces[0]
    square = finding.face_square(face.landmarks)
    assert what_it_seems(face, square) == ""
    unsure = replace(face, surface=replace(face.surface, deviation=9.0 * face.surface.deviation))
    assert "animal" in what_it_seems(unsure, square)


def test_drawings_are_used_with_a_word_and_photographs_without(photo_dir: Path, options: CollectOptions) -> None:
    portraits = photo_dir / "public_domain"
    if not portraits.is_dir():
        pytest.skip("needs the portraits beside the repository")
    said = {}
    for name in ("000174", "000334", "002974", "004248", "015429"):
        (verdict,) = gather(options, portraits / f"{name}.jpg").verdicts
        assert verdict.used
        said[name] = "drawing" in verdict.reason
    assert list(said.values()) == [True] * 2 + [False] * 3


def test_two_people_and_the_right_one_is_taken(people: People, portrait: Image.Image, options: CollectOptions) -> None:
    man = upright(people("family1-dad")[0])
    scene = Image.new("RGB", (1100, 640), (100, 100, 100))
    scene.paste(portrait.resize((358, 480)), (80, 100))
    scene.paste(man.resize((500, 594)), (560, 20))
    others = people("emotions_a")[3:5]
    together = gather(options, scene, *others)
    face = next(face for face in together.faces if face.name == "0.jpg")
    assert (face.landmarks[:, 0] / face.crop_scale + face.crop_offset[0]).max() < 500
    assert "2 faces" in together.verdicts[0].reason
    alone = gather(options, scene)
    assert in_source(alone)[:, 0].min() > 500
    assert "largest" in alone.verdicts[0].reason


def test_the_same_photo_twice_is_used_once_and_a_smaller_copy_is_not_analysed(
    portrait: Image.Image, options: CollectOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysed, detect = [], finding.detect_faces
    monkeypatch.setattr(finding, "detect_faces", lambda p: analysed.append(p.shape[0]) or detect(p))
    small = encoded(portrait.resize((300, 402), Image.Resampling.LANCZOS), "JPEG", quality=60)
    for photos, used, looked_at in (((small, portrait), 1, [402, 640]), ((portrait, portrait, small), 0, [640])):
        analysed.clear()
        collection = gather(options, *photos)
        assert sorted(analysed) == looked_at
        for index, verdict in enumerate(collection.verdicts):
            assert verdict.used == (index == used)
            assert verdict.used or f"same picture as {used}.jpg" in verdict.reason


def test_profile_only_is_used_alone_and_left_out_beside_better(photo_dir: Path, options: CollectOptions) -> None:
    profile, frontal = (photo_dir / "public_domain" / name for name in ("005087.jpg", "000002.jpg"))
    if not (profile.exists() and frontal.exists()):
        pytest.skip("needs the photographs public_domain")
    alone = gather(options, profile)
    assert alone.verdicts[0].used
    assert "side" in alone.verdicts[0].reason
    assert abs(alone.faces[0].yaw_degrees) > 50
    both = gather(options, profile, frontal)
    assert [verdict.used for verdict in both.verdicts] == [False, True]


def test_sunglasses_are_labelled_and_lower_the_quality(
    portrait: Image.Image, plain: PhotoCollection, options: CollectOptions
) -> None:
    points = in_source(plain)
    worn = portrait.copy()
    draw = ImageDraw.Draw(worn)
    eye = {"right": points[[33, 133]].mean(axis=0), "left": points[[263, 362]].mean(axis=0)}
    reach = 0.62 * np.linalg.norm(points[33] - points[133])
    wide, high = 1.35 * reach, reach
    for x, y in eye.values():
        draw.ellipse([x - wide, y - high, x + wide, y + high], fill=(15, 15, 20))
    draw.line([tuple(map(float, centre)) for centre in eye.values()], fill=(15, 15, 20), width=6)
    face = gather(options, worn).faces[0]
    assert face.quality.occlusion < plain.faces[0].quality.occlusion - 0.05
    for centre in eye.values():
        x, y = ((centre - face.crop_offset) * face.crop_scale).astype(int)
        assert face.labels[y, x] == FaceClass.GLASSES
        assert FaceClass.SKIN not in face.labels[y - 8 : y + 8, x - 8 : x + 8]


def test_blur_and_darkness_lower_the_quality(
    portrait: Image.Image, plain: PhotoCollection, options: CollectOptions
) -> None:
    usual = plain.faces[0].quality
    blurred = gather(options, portrait.filter(ImageFilter.GaussianBlur(6))).faces[0].quality
    dark = gather(options, portrait.point(lambda level: level * 0.15)).faces[0].quality
    small = gather(options, portrait.resize((119, 160), Image.Resampling.LANCZOS)).faces[0].quality
    assert blurred.sharpness < 0.4 * usual.sharpness
    assert dark.exposure < 0.5 * usual.exposure
    assert small.size < usual.size
    assert max(blurred.score, dark.score, small.score) < usual.score


def test_labels_say_what_is_where(people: People, options: CollectOptions) -> None:
    face = gather(options, people("family1-dad")[1]).faces[0]
    height, width = face.labels.shape
    left, top = face.crop_offset
    columns, rows = np.arange(width) + 0.5 + left, np.arange(height) + 0.5 + top
    outside = ((columns < 0) | (columns > face.source_size[0]))[None] | ((rows < 0) | (rows > face.source_size[1]))[
        :, None
    ]
    assert outside.mean() > 0.2
    assert (face.labels[outside] == FaceClass.BACKGROUND).all()

    def label(landmark: int) -> int:
        x, y = face.landmarks[landmark, :2].astype(int)
        return int(face.labels[y, x])

    assert [label(index) for index in (4, 50, 280, 151)] == [FaceClass.SKIN] * 4
    assert [label(index) for index in (0, 17)] == [FaceClass.LIPS] * 2
    assert [label(index) for index in (468, 473)] == [FaceClass.EYES] * 2
    assert [label(index) for index in (105, 334)] == [FaceClass.BROWS] * 2
    assert (face.labels == FaceClass.HAIR).mean() > 0.03
    assert (face.labels == FaceClass.FACIAL_HAIR).mean() < 0.01


def test_hair_over_the_face_and_hands_are_no_skin(woman: list[Path], options: CollectOptions) -> None:
    face = gather(options, woman[0]).faces[0]
    hand = (np.array([300.0, 160.0]) * (954 / 373) - face.crop_offset) * face.crop_scale
    assert face.labels[int(hand[1]), int(hand[0])] == FaceClass.OCCLUDER
    assert (face.labels == FaceClass.OCCLUDER).mean() > 0.01


def test_a_doubtful_photo_is_labelled_as_the_others_say(
    woman: list[Path], options: CollectOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare, moustached = AccessoryScores(-9.0, -9.0, -9.0), AccessoryScores(-9.0, 9.0, -9.0)
    said = iter([moustached, AccessoryScores(-9.0, -1.0, -9.0), moustached])
    decided: list[AccessoryScores] = []

    def look(
        pixels: np.ndarray,
        landmarks: np.ndarray,
        covered: object,
        accessories: AccessoryScores | None = None,
        device: str = "cpu",
    ) -> FaceLabels:
        found = look_at_face(pixels, landmarks, covered, accessories or next(said), device)
        if accessories is not None:
            decided.append(accessories)
        return found

    monkeypatch.setattr("backend.photos.collect.look_at_face", look)
    faces = gather(options, *woman[:3]).faces
    assert len(faces) == 3 and len(decided) == 1 and decided[0].moustache > 0 and decided[0].glasses < -9
    settled = {face.name: face.labels for face in faces}["1.jpg"]
    said, decided[:] = iter([bare, AccessoryScores(-9.0, -1.0, -9.0), bare]), []
    alone = {face.name: face.labels for face in gather(options, *woman[:3]).faces}["1.jpg"]
    assert not decided
    assert (settled == FaceClass.FACIAL_HAIR).sum() > (alone == FaceClass.FACIAL_HAIR).sum()


def test_cancelling_stops_at_once_and_leaves_no_thread(woman: list[Path], options: CollectOptions) -> None:
    def cancel(stage: str, fraction: float) -> None:
        if fraction > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        collect([PhotoSource.from_path(path) for path in woman[:4]], progress=cancel, options=options)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("photo-reader")]
