"""Labels that somebody corrected: kept, found again on the same crop alone, learnt from unless they are held out."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from mean_face import mean_face

from backend.models.parsing.network import FaceParser
from backend.photos.collection import FaceClass
from trainer.methods.parsing.evaluate import agreement
from trainer.portraits import collection
from trainer.portraits.relabel import relabel


def write_hand_labels(path: Path, portraits: dict[str, collection.HandLabels]) -> None:
    files = sorted(portraits)
    maps = np.stack([portraits[file].labels for file in files])
    maps = np.where(maps == collection.UNKNOWN, collection._STORED_UNKNOWN, maps).astype(np.uint8)
    np.savez(
        path,
        files=np.array(files),
        held_out=np.array([portraits[file].held_out for file in files]),
        frames=np.stack([portraits[file].frame for file in files]).astype(np.float32),
        labels=np.frombuffer(lzma.compress(maps.tobytes(), preset=9), np.uint8),
    )


def _landmarks() -> np.ndarray:
    """(478, 2) of a face in the middle of a crop of 256 pixels."""
    return mean_face(105.0, (collection.SIDE / 2, collection.SIDE / 2))[:, :2].astype(np.float32)


def _portrait(label: int, held_out: bool) -> collection.HandLabels:
    return collection.HandLabels(
        np.full((collection.SIDE, collection.SIDE), label, np.uint8), collection.landmark_frame(_landmarks()), held_out
    )


def _cache(folder: Path, names: list[str]) -> Path:
    files = tuple(collection.PortraitFile(name, person) for person, name in enumerate(names))
    cache = collection.create_cache(
        folder, collection.CacheSettings(collection.SIDE, "head", 40.0, False, "label_face"), files, "somewhere"
    )
    cache.landmarks[:] = _landmarks()
    cache.verdicts[:] = collection.Verdict.KEPT
    cache.flush()
    return folder


def test_labels_are_kept_and_fit_their_own_crop_alone(tmp_path: Path) -> None:
    labels = np.arange(collection.SIDE * collection.SIDE).reshape(collection.SIDE, collection.SIDE) // 97 % 12
    labels[:, :20] = collection.UNKNOWN
    portrait = collection.HandLabels(labels.astype(np.uint8), collection.landmark_frame(_landmarks()), held_out=True)
    write_hand_labels(tmp_path / "kept.npz", {"a.jpg": portrait, "b.jpg": _portrait(3, held_out=False)})
    read = collection.read_hand_labels(tmp_path / "kept.npz")
    np.testing.assert_array_equal(read["a.jpg"].labels, labels)
    assert read["a.jpg"].held_out and not read["b.jpg"].held_out
    assert read["a.jpg"].on(_landmarks() + 5, collection.SIDE) is None  # another crop
    half = read["a.jpg"].on(_landmarks() / 2, collection.SIDE // 2)
    np.testing.assert_array_equal(half, labels[1::2, 1::2])


def test_relabelling_takes_corrected_labels_and_nobody_learns_from_held_out_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _cache(tmp_path / "cache", ["learnt.jpg", "measured.jpg", "unseen.jpg"])
    by_hand = {"learnt.jpg": _portrait(FaceClass.HAIR, False), "measured.jpg": _portrait(FaceClass.HAIR, True)}
    assert relabel(collection.open_cache(folder, writable=True), [FaceParser.load()], {}, by_hand) == 1
    labels = collection.open_cache(folder).labels
    assert (labels[0] == FaceClass.HAIR).all() and (labels[1:] == collection.UNKNOWN).all()
    monkeypatch.setattr(collection, "read_hand_labels", lambda: by_hand)
    source = collection.PortraitsConfig(folder=str(folder), by_hand=True).build()
    assert [person for person, _ in source.people] == [0]


def test_a_teacher_labels_the_unlisted_when_asked_but_never_what_parsing_is_judged_by(tmp_path: Path) -> None:
    judged = next(Path(photo).name for photo in collection.sheet_photographs() if "public_domain" in photo)
    folder = _cache(tmp_path / "cache", ["unlisted.jpg", judged])
    cache = collection.open_cache(folder, writable=True)
    cache.crops[:] = np.random.default_rng(0).integers(0, 256, (collection.SIDE, collection.SIDE, 3))  # in colour
    cache.labels[:] = FaceClass.BACKGROUND
    assert relabel(cache, [FaceParser.load()] * 2, {}, {judged: _portrait(FaceClass.HAIR, False)}, unlisted=True) == 1
    labels = collection.open_cache(folder).labels
    assert (labels[0] != collection.UNKNOWN).any() and (labels[1] == collection.UNKNOWN).all()


def test_agreement_forgives_two_pixels_and_counts_by_class() -> None:
    truth = np.zeros((20, 20), np.uint8)
    truth[:10] = 7
    found = np.zeros_like(truth)
    found[:8] = 7  # two rows less
    counts = agreement(found, truth)
    assert counts[7].tolist() == [160, 0, 0] and counts[0].tolist() == [240, 0, 0]
    found[8:] = 0
    found[:4] = 0  # four rows more, of which two are near
    counts = agreement(found, truth)
    assert counts[7].tolist() == [80, 0, 40] and counts[0].tolist() == [240, 80, 0]
    truth[:4] = collection.UNKNOWN
    assert agreement(found, truth)[7].tolist() == [80, 0, 0]
