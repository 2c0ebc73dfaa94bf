"""Which faces are used, on candidates that are made up: no picture, no model."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from made_photos import candidate, quality

from backend.photos import screening
from backend.photos.faces import HeadPose, mean_landmarks

ANNA, BERT, CARL = np.eye(3)


NAMES = [f"{index}.jpg" for index in range(100)]


def test_the_face_that_matches_the_other_photos_is_taken_though_smaller() -> None:
    couple = (candidate(0, BERT, size_px=400.0), candidate(0, ANNA, size_px=250.0))
    choice = screening.screen([couple, (candidate(1, ANNA),), (candidate(2, ANNA),)], NAMES, 24)
    assert choice.chosen[0] is couple[1]
    assert "matches the other photos" in choice.notes[0]
    assert choice.left_out == {}


def test_a_pair_in_every_photo_gives_one_person_throughout() -> None:
    photos = [
        (candidate(0, ANNA, size_px=300.0), candidate(0, BERT, size_px=290.0)),
        (candidate(1, BERT, size_px=310.0), candidate(1, ANNA, size_px=300.0)),
        (candidate(2, ANNA, size_px=320.0), candidate(2, BERT, size_px=200.0)),
    ]
    chosen = screening.choose_person(photos)
    assert {tuple(face.descriptor) for face in chosen.values()} == {tuple(ANNA)}


def test_one_photo_of_several_people_gives_the_largest() -> None:
    faces = (candidate(0, ANNA, size_px=100.0), candidate(0, BERT, size_px=180.0))
    choice = screening.screen([faces], NAMES, 24)
    assert choice.used == (faces[1],)
    assert "largest" in choice.notes[0]


def test_one_wrong_person_among_five_is_left_out() -> None:
    photos = [(candidate(index, BERT if index == 3 else ANNA),) for index in range(5)]
    choice = screening.screen(photos, NAMES, 24)
    assert list(choice.left_out) == [3]
    assert "another person" in choice.left_out[3]
    assert [face.photo for face in choice.used] == [0, 1, 2, 4]


def test_two_wrong_people_among_six_are_left_out() -> None:
    people = [ANNA, BERT, ANNA, ANNA, CARL, ANNA]
    faces = [candidate(index, person) for index, person in enumerate(people)]
    assert sorted(screening.other_people(faces)) == [1, 4]


def test_nobody_is_a_stranger_on_weak_evidence() -> None:
    two = [candidate(0, ANNA), candidate(1, BERT)]
    assert screening.other_people(two) == {}
    all_different = [candidate(0, ANNA), candidate(1, BERT), candidate(2, CARL)]
    assert screening.other_people(all_different) == {}
    half_alike = np.array([0.6, 0.8, 0.0])
    assert screening.other_people([candidate(0, ANNA), candidate(1, ANNA), candidate(2, half_alike)]) == {}


def test_copies_are_used_once_and_the_better_one() -> None:
    good, other = candidate(0), candidate(1)
    copy = candidate(2, fingerprint=good.fingerprint, quality=quality(score=0.95))
    mirror = candidate(3, fingerprint=screening.mirrored_fingerprint(other.fingerprint), quality=quality(score=0.5))
    left_out = screening.duplicates([good, other, copy, mirror], NAMES)
    assert left_out == {
        0: "It is the same picture as 2.jpg; one of them is enough.",
        3: "It is the mirror image of 1.jpg; one of them is enough.",
    }


def test_fingerprints_see_through_size_and_brightness_and_tell_pictures_apart() -> None:
    rng = np.random.default_rng(0)
    landmarks = (mean_landmarks().points * 60 + [128, 128, 0]).astype(np.float32)
    one, two = (cv2.GaussianBlur(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8), (0, 0), 4) for _ in range(2))
    small = cv2.resize(one, (150, 150), interpolation=cv2.INTER_AREA)
    copy = screening.picture_fingerprint((small * 0.7 + 20).astype(np.uint8), landmarks * (150 / 256))
    mine = screening.picture_fingerprint(one, landmarks)
    assert mine @ copy > 0.982
    assert abs(mine @ screening.picture_fingerprint(two, landmarks)) < 0.6
    flipped = screening.picture_fingerprint(
        np.ascontiguousarray(one[:, ::-1]), (landmarks * [-1, 1, 1] + [256, 0, 0])[mean_landmarks().mirror]
    )
    assert mine @ screening.mirrored_fingerprint(flipped) > 0.982


@pytest.mark.parametrize("side", [150, 600])
def test_noise_is_no_sharpness(side: int) -> None:
    draw = np.random.default_rng(3)
    landmarks = (mean_landmarks().points * [0.25, 0.25, 1.0] * side + [side / 2, side / 2, 0.0]).astype(np.float32)
    detail = cv2.GaussianBlur(draw.normal(size=(side, side)), (0, 0), side / 120)
    soft = cv2.GaussianBlur(draw.normal(size=(side, side)), (0, 0), side / 25)

    def sharpness(picture: np.ndarray, level: float, noise: float) -> float:
        light = level * (128.0 + 30.0 * picture / picture.std())[..., None] + noise * draw.normal(size=(side, side, 3))
        return screening.sharpness_quality(np.clip(light.round(), 0, 255).astype(np.uint8), landmarks)

    for level, noise in ((1.0, 5.0), (0.5, 3.0)):
        assert sharpness(detail, level, noise) == pytest.approx(sharpness(detail, level, 0.0), abs=0.06)
    assert sharpness(soft, 1.0, 5.0) < 0.06 and sharpness(soft, 0.15, 5.0) < 0.4, "as 1.0 it counted as sharp"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"size_px": 20.0}, "20 pixels"),
        ({"pose": HeadPose(62.0, 0.0, 0.0)}, "side"),
        ({"pose": HeadPose(-60.0, 0.0, 0.0)}, "side"),
        ({"quality": quality(sharpness=0.01)}, "blurred"),
        ({"quality": quality(occlusion=0.3)}, "covered"),
        ({"quality": quality(exposure=0.0)}, "dark"),
    ],
)
def test_weak_photos_are_left_out_unless_there_is_nothing_else(change: dict, word: str) -> None:
    weak = candidate(0, **change)
    assert word in screening.low_quality_reason(weak)
    with_good = screening.screen([(weak,), (candidate(1),)], NAMES, 24)
    assert word in with_good.left_out[0]
    assert [face.photo for face in with_good.used] == [1]
    alone = screening.screen([(weak,)], NAMES, 24)
    assert alone.used == (weak,)
    assert word in alone.notes[0]
    assert "no better photo" in alone.notes[0]


def test_most_used_is_kept_and_sides_are_kept_with_it() -> None:
    frontal = [candidate(index, quality=quality(score=0.8 + index / 1000)) for index in range(30)]
    sides = [
        candidate(30 + index, pose=HeadPose(turn, 0.0, 0.0), quality=quality(score=0.6))
        for index, turn in enumerate((-45.0, 45.0, -30.0))
    ]
    choice = screening.screen([(face,) for face in frontal + sides], NAMES, 10)
    taken = [face.photo for face in choice.used]
    assert len(taken) == 10
    assert {30, 31, 32} <= set(taken)
    assert 29 in taken
    assert len(choice.left_out) == 23
    assert all("best 10" in reason for reason in choice.left_out.values())
    scores = [face.quality.score for face in choice.used]
    assert scores == sorted(scores, reverse=True)


def test_few_photos_are_all_used() -> None:
    faces = [candidate(index) for index in range(4)]
    assert screening.best_spread(faces, 4) == faces


def test_photos_without_a_face_are_no_obstacle() -> None:
    choice = screening.screen([(), (candidate(1),), ()], NAMES, 24)
    assert [face.photo for face in choice.used] == [1]
    assert 0 not in choice.chosen
