"""Most photos of a person say what a doubtful one shows; a sure one is believed."""

from __future__ import annotations

import math

import pytest

from backend.models.parsing.accessories import AccessoryScores, vote_over_photos

YES, NO, UNKNOWN = AccessoryScores(5.0, 5.0, 5.0), AccessoryScores(-5.0, -5.0, -5.0), AccessoryScores(*(math.nan,) * 3)


def test_a_doubtful_photo_follows_the_others() -> None:
    doubtful = AccessoryScores(-1.0, 1.0, -0.5)
    assert vote_over_photos([doubtful, YES, YES])[0].decisions == YES.decisions
    assert vote_over_photos([NO, doubtful, NO])[1].decisions == NO.decisions


def test_a_sure_photo_stays_as_it_is_and_so_does_an_only_one() -> None:
    assert vote_over_photos([NO, YES, YES, YES])[0].decisions == NO.decisions
    assert vote_over_photos([AccessoryScores(0.3, -0.2, 0.1)]) == (AccessoryScores(0.3, -0.2, 0.1),)


def test_facial_hair_follows_the_others_further_than_glasses_do() -> None:
    """Glasses are taken off between two photos, a moustache is not."""
    turned = vote_over_photos([AccessoryScores(3.0, 3.0, 3.0), NO, NO, NO])[0]
    assert turned.glasses > 0 and turned.moustache < 0 and turned.beard < 0


def test_others_who_disagree_or_cannot_tell_say_nothing() -> None:
    torn = vote_over_photos([AccessoryScores(0.4, -0.4, 0.1), YES, NO])[0]
    assert torn == pytest.approx((0.4, -0.4, 0.1))
    assert vote_over_photos([AccessoryScores(0.4, -0.4, 0.1), UNKNOWN])[0] == AccessoryScores(0.4, -0.4, 0.1)
    unseen, known = vote_over_photos([UNKNOWN, YES])
    assert math.isnan(unseen.beard) and known == YES
