"""Labels of a head crop: by the nets, at three scales, tidied by the landmarks, without other heads."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest
from mean_face import mean_face

from backend.errors import LikenessError
from backend.models.parsing.apply import agree_with_landmarks, label_face, without_other_heads
from backend.models.parsing.network import FaceParser, class_probabilities
from backend.models.registry import PARSING, PARSING_OPINION, forget_models
from backend.photos.collection import FaceClass, PhotoSource
from backend.photos.faces import crop_head, detect_faces, find_landmarks
from backend.photos.networks import person as person_probability
from backend.photos.reading import read_photo

SIDE = 384
LARGE = 512


@pytest.fixture(scope="module")
def head(photo_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """A smiling woman's head crop and the landmarks in it."""
    path = sorted((photo_dir / "people" / "emotions_a").glob("*"))[0]
    pixels = read_photo(PhotoSource.from_path(path)).pixels
    landmarks = find_landmarks(pixels, detect_faces(pixels)[0])
    crop = crop_head(pixels, landmarks, max_side=SIDE)
    return crop.pixels, crop.to_crop(landmarks)


def box(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first and the last place (2,) of the landmarks' box, and labels of it as skin."""
    low, high = landmarks[:468, :2].min(axis=0).astype(int), landmarks[:468, :2].max(axis=0).astype(int)
    labels = np.full((SIDE, SIDE), FaceClass.BACKGROUND, np.uint8)
    labels[low[1] : high[1], low[0] : high[0]] = FaceClass.SKIN
    return low, high, labels


def test_specks_and_other_people_are_tidied_away_and_parts_filled(head: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, landmarks = head
    _, high, labels = box(landmarks)
    labels[: high[1] // 2, :20] = FaceClass.HAIR  # somebody at the edge of the photo
    nose = landmarks[1, :2].astype(int)
    labels[nose[1] - 1 : nose[1] + 2, nose[0] - 1 : nose[0] + 2] = FaceClass.HAIR
    tidy = agree_with_landmarks(labels, person_probability(pixels), landmarks)
    assert (tidy[: high[1] // 2, :20] == FaceClass.BACKGROUND).all()
    assert tidy[nose[1], nose[0]] == FaceClass.SKIN
    mouth = landmarks[[0, 13], :2].mean(axis=0).astype(int)  # in the upper lip, which the net called skin
    assert tidy[mouth[1], mouth[0]] == FaceClass.LIPS


def test_a_picture_that_begins_at_the_eyes_has_nothing_above_them(head: tuple[np.ndarray, np.ndarray]) -> None:
    """OpenCV ends the whole process on a picture without rows."""
    pixels, landmarks = head
    labels = np.full(pixels.shape[:2], FaceClass.SKIN, np.uint8)
    labels[:40, 100:140] = FaceClass.EYES
    tidy = agree_with_landmarks(labels, np.ones(labels.shape, np.float32), landmarks)
    assert (tidy[:40, 105:135] == FaceClass.EYES).mean() > 0.9


def test_a_patch_on_top_of_hair_is_hair_and_what_is_before_it_or_worn_stays(
    head: tuple[np.ndarray, np.ndarray],
) -> None:
    pixels, landmarks = head
    somebody = person_probability(pixels)
    top, middle = landmarks[10, :2].astype(int)[::-1]
    low, _, labels = box(landmarks)
    labels[top - 40 : top, middle - 40 : middle + 40] = FaceClass.HAIR
    labels[top - 30 : top - 18, middle - 20 : middle + 5] = FaceClass.OCCLUDER  # a shine on the hair
    tidy = agree_with_landmarks(labels, somebody, landmarks)
    assert (tidy[top - 28 : top - 20, middle - 18 : middle + 3] == FaceClass.HAIR).all()
    mouth = int(landmarks[13, 1])
    microphone = np.s_[mouth : mouth + 20, low[0] - 6 : low[0] + 10]
    labels[mouth - 60 : mouth + 40, low[0] - 25 : low[0] - 6] = FaceClass.HAIR  # long hair beside the cheek
    labels[microphone] = FaceClass.OCCLUDER
    assert (agree_with_landmarks(labels, somebody, landmarks)[microphone] == FaceClass.OCCLUDER).mean() > 0.9
    labels[top - 40 : top - 6, middle - 40 : middle + 40] = FaceClass.OCCLUDER  # a cap, shadow below its brim
    temple = np.s_[top - 6 : top + 20, low[0] - 12 : low[0]]
    labels[top - 20 : top - 6, low[0] - 12 : middle] = FaceClass.OCCLUDER
    labels[temple] = FaceClass.HAIR
    tidy = agree_with_landmarks(labels, somebody, landmarks)
    assert (tidy[top - 28 : top - 1, middle - 15 : middle + 15] == FaceClass.OCCLUDER).all()
    assert (tidy[temple] == FaceClass.HAIR).mean() > 0.9


def test_islands_of_skin_in_hair_and_of_hair_in_skin_belong_to_what_is_around(
    head: tuple[np.ndarray, np.ndarray],
) -> None:
    landmarks = head[1]
    low, high, labels = box(landmarks)
    top, middle = landmarks[10, :2].astype(int)[::-1]
    labels[low[1] - 5 : low[1], low[0] : high[0]] = FaceClass.SKIN
    labels[top - 45 : top - 4, low[0] : high[0]] = FaceClass.HAIR
    strand = np.s_[top - 4 : top + 8, middle - 30 : middle - 26]
    labels[strand] = FaceClass.HAIR  # hangs from the hair
    shine, bald = (np.s_[y : y + 10, middle : middle + 20] for y in (top + 6, top - 30))
    labels[shine], labels[bald] = FaceClass.HAIR, FaceClass.SKIN
    tidy = agree_with_landmarks(labels, np.ones(labels.shape, np.float32), landmarks)
    assert (tidy[shine] == FaceClass.SKIN).all()
    assert (tidy[bald] == FaceClass.HAIR).all()
    assert (tidy[strand] == FaceClass.HAIR).all()


def test_a_segmentation_that_does_not_see_the_face_takes_no_hair_away(head: tuple[np.ndarray, np.ndarray]) -> None:
    landmarks = head[1]
    low, high, labels = box(landmarks)
    hair = np.s_[low[1] - 45 : low[1], low[0] : high[0]]
    labels[hair] = FaceClass.HAIR
    nobody = np.zeros(labels.shape, np.float32)
    assert (agree_with_landmarks(labels, nobody, landmarks)[hair] == FaceClass.HAIR).mean() > 0.95
    nobody[low[1] : high[1], low[0] : high[0]] = 1.0
    assert (agree_with_landmarks(labels, nobody, landmarks)[hair] == FaceClass.HAIR).mean() < 0.5


def test_without_the_net_one_sentence_says_so(
    head: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> FaceParser:
        raise LikenessError("missing_part", "It is not trained.", "Train it.")

    monkeypatch.setattr(FaceParser, "load", staticmethod(missing))
    forget_models()
    try:
        with pytest.raises(LikenessError, match="It is not trained") as problem:
            label_face(*head)
        assert problem.value.code == "missing_part"
    finally:
        forget_models()


def test_without_its_trunk_the_second_net_is_not_asked_and_that_is_said(
    head: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_file(model: str) -> NoReturn:
        raise LikenessError("missing_part", "The lite0 model is missing.")

    both = label_face(*head)
    assert PARSING_OPINION.find() is not None and PARSING_OPINION.find().version == PARSING_OPINION.open().said
    monkeypatch.setattr("backend.models.mobile_trunk.load_model", no_file)
    forget_models()
    try:
        alone = label_face(*head)
        assert PARSING_OPINION.find() is None and "The lite0 model is missing" in PARSING_OPINION.open().said
    finally:
        forget_models()
    assert 0 < (alone != both).mean() < 0.1


def test_the_shipped_net_finds_a_womans_parts(head: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, landmarks = head
    assert PARSING.find() is not None, "assets/parsing is missing"
    labels = label_face(pixels, landmarks)
    found = {label: int((labels == label).sum()) for label in FaceClass}
    face = float(np.prod(np.ptp(landmarks[:468, :2], axis=0)))
    assert found[FaceClass.SKIN] > 0.4 * face
    assert found[FaceClass.HAIR] > 0.15 * face
    assert 0.005 * face < found[FaceClass.LIPS] + found[FaceClass.MOUTH_INTERIOR] < 0.15 * face
    assert found[FaceClass.FACIAL_HAIR] < 0.01 * face and found[FaceClass.GLASSES] < 0.01 * face


@pytest.fixture(scope="module")
def labelled(head: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With its labels."""
    return *head, label_face(*head)


def test_alone_nothing_changes(labelled: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pixels, landmarks, labels = labelled
    np.testing.assert_array_equal(without_other_heads(labels, pixels, landmarks), labels)


def test_what_another_head_wears_is_background(labelled: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pixels, landmarks, labels = labelled
    half = SIDE // 2
    face = landmarks[:468, :2]
    part = pixels[: int(face[:, 1].max()), int(face[:, 0].min()) - 20 : int(face[:, 0].max()) + 20]
    small = cv2.resize(part, (half // 2, round(part.shape[0] * half / 2 / part.shape[1])))
    picture, both = np.full((SIDE, 3 * half, 3), 128, np.uint8), np.zeros((SIDE, 3 * half), np.uint8)
    picture[:, half // 2 : half // 2 + SIDE], both[:, half // 2 : half // 2 + SIDE] = pixels, labels
    beside = np.s_[10 : 10 + small.shape[0], 3 * half - small.shape[1] :]
    picture[beside], both[beside] = small, FaceClass.HAIR
    square = cv2.copyMakeBorder(picture, 0, half, 0, 0, cv2.BORDER_REPLICATE)
    wide = cv2.copyMakeBorder(both, 0, half, 0, 0, cv2.BORDER_CONSTANT, value=0)
    found = without_other_heads(wide, square, landmarks + np.array([half // 2, 0, 0]))
    own = np.zeros(wide.shape, dtype=bool)
    own[:SIDE, half // 2 : beside[1].start] = True
    assert (found[beside] == FaceClass.HAIR).mean() < 0.15
    assert (found[own] == wide[own]).mean() > 0.98


class _Reddish:
    """In the place of a net of 64 px: class 4 where a pixel is more red than not, else class 1."""

    size = 64

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        small = cv2.resize(pixels, (self.size, self.size), interpolation=cv2.INTER_AREA)
        red = (small[..., 0] > 150).astype(np.float32)
        return np.stack([0 * red, 1 - red, 0 * red, 0 * red, red])


def _whole(pixels: np.ndarray) -> np.ndarray:
    """(5, SIDE, SIDE) the look at the whole crop, enlarged."""
    return np.stack([cv2.resize(channel, (LARGE, LARGE)) for channel in _Reddish().probabilities(pixels)])


def test_a_thin_line_across_the_face_is_found_where_it_is() -> None:
    pixels = np.full((LARGE, LARGE, 3), 60, np.uint8)
    pixels[250:253, 180:330] = (255, 0, 0)
    landmarks = mean_face(200.0, (256.0, 270.0))[:, :2]
    alone = _whole(pixels).argmax(0)
    both = class_probabilities(_Reddish(), pixels, landmarks).argmax(0)
    assert not (alone == 4).any()
    rows, columns = np.nonzero(both == 4)
    assert abs(rows.mean() + 0.5 - 251.5) < 2.0
    assert 175 < columns.min() < 190 and 320 < columns.max() < 335


def test_far_from_the_face_only_the_whole_counts() -> None:
    pixels = np.full((LARGE, LARGE, 3), 60, np.uint8)
    pixels[20:60] = (255, 0, 0)
    pixels[480:483] = (255, 0, 0)
    landmarks = mean_face(200.0, (256.0, 270.0))[:, :2]
    found = class_probabilities(_Reddish(), pixels, landmarks)
    np.testing.assert_array_equal(found[:, :60], _whole(pixels)[:, :60])


def test_a_mirror_image_is_mirrored_back() -> None:
    pixels = np.full((LARGE, LARGE, 3), 60, np.uint8)
    pixels[200:300, 200:240] = (255, 0, 0)
    found = class_probabilities(_Reddish(), pixels, mean_face(220.0, (256.0, 256.0))[:, :2]).argmax(0) == 4
    columns = np.flatnonzero(found[250])
    assert abs(columns.min() - 200) < 5 and abs(columns.max() - 239) < 5


def test_a_face_that_reaches_out_of_the_crop_keeps_probabilities() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    for centre in ((5.0, 90.0), (48.0, 48.0), (-300.0, 10.0)):
        found = class_probabilities(_Reddish(), pixels, mean_face(150.0, centre)[:, :2])
        assert found.shape == (5, 96, 96)
        np.testing.assert_allclose(found.sum(0), 1.0, atol=1e-5)
