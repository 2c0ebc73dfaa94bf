"""Labels for self-training: what people saw rules out classes, doubt becomes unknown, close-ups fit their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mean_face import mean_face

from backend.models.parsing.apply import ResolvedLabels
from backend.photos.collection import FaceClass
from backend.photos.faces import Window
from trainer.portraits import relabel as relabelling
from trainer.portraits.collection import CacheSettings, PortraitCache, PortraitFile, Verdict, close_up, create_cache

SIDE = 128
CLASSES = len(FaceClass)


def _landmarks() -> np.ndarray:
    """(478, 2) of a face in the middle of a crop of ``SIDE`` pixels."""
    return mean_face(60.0, (SIDE / 2, SIDE / 2))[:, :2]


def _doubtful(other: FaceClass, share: float) -> np.ndarray:
    odds = np.zeros((CLASSES, SIDE, SIDE), np.float32)
    odds[FaceClass.SKIN], odds[other] = 1 - share, share
    return odds


@pytest.mark.parametrize("other", [FaceClass.GLASSES, FaceClass.FACIAL_HAIR])
def test_what_nobody_saw_is_ruled_out(other: FaceClass) -> None:
    corrected = relabelling.correct(
        _doubtful(other, 0.9), _landmarks(), relabelling.Traits(relabelling.NO, False, False)
    )
    assert (corrected[other] == 0).all()
    np.testing.assert_allclose(corrected.sum(0), 1.0, atol=1e-5)


def test_what_was_seen_needs_less_certainty() -> None:
    assert (
        relabelling.correct(
            _doubtful(FaceClass.GLASSES, 0.45), _landmarks(), relabelling.Traits(relabelling.NO, True, False)
        ).argmax(0)
        == 4
    ).all()
    beard = relabelling.correct(
        _doubtful(FaceClass.FACIAL_HAIR, 0.3), _landmarks(), relabelling.Traits(relabelling.BEARD, None, None)
    )
    assert (beard.argmax(0) == FaceClass.FACIAL_HAIR).all()


def test_a_moustache_is_on_the_upper_lip_alone() -> None:
    landmarks = _landmarks()
    odds = relabelling.correct(
        _doubtful(FaceClass.FACIAL_HAIR, 0.4), landmarks, relabelling.Traits(relabelling.MOUSTACHE, False, False)
    )
    found = odds.argmax(0) == FaceClass.FACIAL_HAIR
    lip, chin, cheek = (landmarks[k].round().astype(int) for k in (164, 152, 205))
    assert found[lip[1], lip[0]]
    assert not found[chin[1], chin[0]] and not found[cheek[1], cheek[0]]


def test_a_beard_that_the_teacher_hardly_sees_is_found_on_the_chin() -> None:
    landmarks = _landmarks()
    odds = _doubtful(FaceClass.FACIAL_HAIR, 0.06)
    chin = landmarks[152].round().astype(int) - [0, 5]
    found = relabelling.correct(odds, landmarks, relabelling.Traits(relabelling.BEARD, False, False)).argmax(0)
    assert found[chin[1], chin[0]] == FaceClass.FACIAL_HAIR
    assert (
        relabelling.correct(odds, landmarks, relabelling.Traits(relabelling.NO, False, False)).argmax(0)
        == FaceClass.SKIN
    ).all()


def test_above_the_brows_a_hat_that_somebody_saw_is_neither_skin_nor_hair() -> None:
    landmarks = _landmarks()
    odds = np.zeros((CLASSES, SIDE, SIDE), np.float32)
    odds[FaceClass.SKIN], odds[FaceClass.HAIR], odds[FaceClass.OCCLUDER] = 0.6, 0.3, 0.1
    found = relabelling.correct(odds, landmarks, relabelling.Traits(relabelling.NO, False, True)).argmax(0)
    top = int(landmarks[10, 1]) - 8
    assert found[top, SIDE // 2] == FaceClass.OCCLUDER
    nose = landmarks[4].round().astype(int)
    assert found[nose[1], nose[0]] == FaceClass.SKIN


def test_who_could_not_tell_changes_nothing() -> None:
    odds = _doubtful(FaceClass.GLASSES, 0.4)
    np.testing.assert_allclose(
        relabelling.correct(odds, _landmarks(), relabelling.Traits(None, None, None)), odds, atol=1e-6
    )


def test_the_table_is_read_and_nines_mean_unknown(tmp_path: Path) -> None:
    path = tmp_path / "traits.csv"
    path.write_text("file,facial_hair,glasses,headwear\na.jpg,1,0,9\nb.jpg,9,1,0\n")
    traits = relabelling.read_traits(path)
    assert traits == {"a.jpg": relabelling.Traits(1, False, None), "b.jpg": relabelling.Traits(None, True, False)}
    shipped = relabelling.read_traits(relabelling.TRAITS_PATH)
    assert len(shipped) > 1000 and {seen.facial_hair for seen in shipped.values()} >= {
        relabelling.NO,
        relabelling.MOUSTACHE,
        relabelling.BEARD,
    }


@pytest.fixture
def portraits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PortraitCache:
    """Head crops of two people, ``a.jpg`` and ``b.jpg``, whose photos end 20 pixels above the crop's lower edge and
    leave 9 columns free at the left; a teacher that takes everything for skin."""
    files = (PortraitFile("a.jpg", 0), PortraitFile("b.jpg", 1))
    cache = create_cache(tmp_path / "cache", CacheSettings(SIDE, "head", 40.0, False, "test"), files, "photos")
    photo = np.random.default_rng(0).integers(0, 256, (SIDE - 20, SIDE, 3), dtype=np.uint8)
    cache.crops[:] = Window((SIDE / 2 - 9, SIDE / 2), SIDE).cut(photo, SIDE)
    cache.labels[:, :-20, 9:] = FaceClass.HAIR
    cache.labels[:, -20:] = cache.labels[:, :, :9] = relabelling.collection.UNKNOWN
    cache.landmarks[:] = _landmarks()
    cache.verdicts[:] = Verdict.KEPT
    monkeypatch.setattr(relabelling, "teacher_labels", lambda *_: np.full((SIDE, SIDE), FaceClass.SKIN, np.uint8))
    return cache


def test_a_second_net_has_its_say_in_what_is_hair(monkeypatch: pytest.MonkeyPatch) -> None:
    doubtful, sure = _doubtful(FaceClass.HAIR, 0.4), _doubtful(FaceClass.HAIR, 1.0)
    monkeypatch.setattr(relabelling, "class_probabilities", lambda *_: doubtful)
    monkeypatch.setattr(relabelling, "wide_probabilities", lambda *_: sure)
    monkeypatch.setattr(relabelling.networks, "person", lambda pixels: np.ones(pixels.shape[:2], np.float32))
    picture, nobody = np.full((SIDE, SIDE, 3), 127, np.uint8), np.zeros((SIDE, SIDE), bool)
    monkeypatch.setattr(
        relabelling, "resolve_labels", lambda odds, *_: ResolvedLabels(odds.argmax(0).astype(np.uint8), nobody, nobody)
    )
    seen = relabelling.Traits(None, None, None)
    alone = relabelling.teacher_labels([None], picture, _landmarks(), seen)
    both = relabelling.teacher_labels([None], picture, _landmarks(), seen, second=object())
    assert (alone == FaceClass.SKIN).all() and (both == FaceClass.HAIR).all()


def test_who_was_left_out_can_be_labelled_later(portraits: PortraitCache) -> None:
    traits = {"b.jpg": relabelling.Traits(relabelling.NO, False, False)}
    photo = np.zeros((SIDE, SIDE), bool)
    photo[:-20, 9:] = True
    assert relabelling.relabel(portraits, (), traits) == 1
    assert (portraits.labels[0] == relabelling.collection.UNKNOWN).all()
    assert relabelling.relabel(portraits, (), traits, unlisted=True) == 2
    for row in range(2):
        np.testing.assert_array_equal(portraits.labels[row] == FaceClass.SKIN, photo)


def test_a_portrait_that_no_pose_explains_stays_unlabelled(portraits: PortraitCache) -> None:
    portraits.landmarks[0] = np.nan
    assert relabelling.relabel(portraits, (), {}, unlisted=True) == 1
    assert (portraits.labels[0] == relabelling.collection.UNKNOWN).all()
    assert (portraits.labels[1] == FaceClass.SKIN).any()


def test_where_a_crop_only_repeats_its_edge_there_is_no_photo() -> None:
    generator = np.random.default_rng(1)
    crop = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    assert relabelling.photo_part(crop).all()
    crop[:30] = np.clip(crop[30].astype(int) + (generator.random((30, SIDE, 3)) < 0.03), 0, 255)
    crop[:, -5:] = crop[:, [-6]]
    expected = np.ones((SIDE, SIDE), bool)
    expected[:30] = expected[:, -5:] = False
    np.testing.assert_array_equal(relabelling.photo_part(crop), expected)
    assert relabelling.photo_part(np.full_like(crop, 7)).all()


def test_a_close_up_holds_the_face_and_its_labels_move_along() -> None:
    landmarks = torch.from_numpy(_landmarks()).float()[None]
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images = torch.stack([rows, columns, rows * 0]).float()[None] / SIDE
    labels = (columns // 16).to(torch.uint8)[None]
    cut, classes, moved = close_up(images, labels, landmarks)
    mesh = moved[0, :468]
    torch.testing.assert_close((mesh.amin(0) + mesh.amax(0)) / 2, torch.full((2,), SIDE / 2), atol=0.5, rtol=0)
    assert SIDE / 1.1 * 0.9 < (mesh.amax(0) - mesh.amin(0)).mean() < SIDE / 1.1 * 1.1
    there = cut[0, 1] * SIDE  # the column that each pixel shows
    known = classes[0] != 255
    assert known.all()  # the whole square lies in the picture
    assert (classes[0].float() - torch.floor((there + 0.5) / 16)).abs().max() <= 1
    assert ((classes[0].float() - torch.floor((there + 0.5) / 16)) == 0).float().mean() > 0.9


def test_what_lies_outside_the_picture_is_unknown() -> None:
    landmarks = torch.from_numpy(_landmarks()).float()[None] - 40
    _, classes, _ = close_up(torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, SIDE, SIDE, dtype=torch.uint8), landmarks)
    assert (classes == 255).any() and (classes == 0).any()
