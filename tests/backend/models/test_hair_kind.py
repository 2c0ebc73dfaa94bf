"""The kind of hair is read alike from a picture and its mirror image, and photos are added up."""

import numpy as np
import pytest

from backend.models.hair_kind import FIELDS, MIRRORED, SIDE, HairKind, joined_kinds, kind_reader, read_heads
from backend.photos.collection import FaceClass


def kind(**odds: list[float]) -> HairKind:
    return HairKind({field: np.array(each) for field, each in odds.items()})


def test_photos_are_added_up_and_a_doubtful_one_says_little() -> None:
    sure, doubtful = kind(fringe=[0.9, 0.08, 0.02]), kind(fringe=[0.3, 0.4, 0.3])
    both = joined_kinds([sure, doubtful])
    assert both.value("fringe") == "none"
    assert both.odds["fringe"].sum() == pytest.approx(1)
    assert 0.4 < both.probability("fringe", "none") < 0.9
    assert joined_kinds([sure, sure]).probability("fringe", "none") == pytest.approx(0.9), "two alike are no two proofs"
    assert both.probability("fringe", "partial", "full") == pytest.approx(1 - both.probability("fringe", "none"))
    assert both.to_report()["fringe"]["value"] == "none"
    with pytest.raises(ValueError, match="no photo"):
        joined_kinds([])


def test_a_value_that_was_never_learnt_stays_impossible() -> None:
    assert joined_kinds([kind(curl=[0.7, 0.3, 0.0])] * 2).odds["curl"][2] == 0


def test_left_of_a_picture_is_right_of_its_mirror_image() -> None:
    """And every shipped field is one that reports promise."""
    reader = kind_reader()
    assert reader is not None and set(reader.heads) == set(FIELDS) - {"tied"}
    random = np.random.default_rng(4)
    pixels = random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    labels = np.full((SIDE, SIDE), FaceClass.HAIR, np.uint8)
    labels[120:, 90:] = FaceClass.SKIN
    told, mirrored = reader.read(pixels, labels), reader.read(pixels[:, ::-1].copy(), labels[:, ::-1].copy())
    for field, values in FIELDS.items():
        if field in reader.heads:
            assert [mirrored.probability(field, MIRRORED.get(v, v)) for v in values] == pytest.approx(
                told.odds[field].tolist(), abs=2e-3
            )
            assert told.odds[field].sum() == pytest.approx(1)


def test_heads_are_finite_where_they_were_learnt() -> None:
    for weights, bias in read_heads().values():
        assert np.isfinite(weights).all() and np.isfinite(bias).sum() > 1
