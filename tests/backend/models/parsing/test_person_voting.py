"""Most photos of a person say what a doubtful one shows; a sure one is believed."""

from __future__ import annotations

import math
from dataclasses import astuple, replace

import pytest

from backend.models.parsing.accessories import AccessoryScores, Headwear
from backend.models.parsing.voting import same_decisions, vote_over_photos

YES, NO, UNKNOWN = AccessoryScores(5.0, 5.0, 5.0), AccessoryScores(-5.0, -5.0, -5.0), AccessoryScores(*(math.nan,) * 3)


def test_a_doubtful_photo_follows_the_others() -> None:
    doubtful = AccessoryScores(-1.0, 1.0, -0.5)
    assert same_decisions(vote_over_photos([doubtful, YES, YES])[0], YES)
    assert same_decisions(vote_over_photos([NO, doubtful, NO])[1], NO)


def test_a_sure_photo_stays_as_it_is_and_so_does_an_only_one() -> None:
    assert same_decisions(vote_over_photos([NO, YES, YES, YES])[0], NO)
    assert vote_over_photos([AccessoryScores(0.3, -0.2, 0.1)]) == (AccessoryScores(0.3, -0.2, 0.1),)


def test_facial_hair_follows_the_others_further_than_glasses_do() -> None:
    """Glasses are taken off between two photos, a moustache is not."""
    turned = vote_over_photos([AccessoryScores(3.0, 3.0, 3.0), NO, NO, NO])[0]
    assert turned.glasses > 0 and turned.moustache < 0 and turned.beard < 0


def test_others_who_disagree_or_cannot_tell_say_nothing() -> None:
    torn = vote_over_photos([AccessoryScores(0.4, -0.4, 0.1), YES, NO])[0]
    assert astuple(torn)[:3] == pytest.approx((0.4, -0.4, 0.1))
    assert vote_over_photos([AccessoryScores(0.4, -0.4, 0.1), UNKNOWN])[0] == AccessoryScores(0.4, -0.4, 0.1)
    unseen, known = vote_over_photos([UNKNOWN, YES])
    assert math.isnan(unseen.beard) and known == YES


def test_a_doubtful_hat_of_the_colour_of_a_sure_one_is_a_hat_and_is_labelled_again() -> None:
    """A karakul hat was hair in all photos but one."""
    grey = (-0.7, 0.1, 0.4)
    hat, doubtful = (replace(NO, headwear=Headwear(score, grey)) for score in (0.2, -1.0))
    sure, turned = vote_over_photos([hat, doubtful])
    assert sure.headwear == hat.headwear and turned.headwear.score > 0 and turned.glasses < 0
    assert not same_decisions(doubtful, turned) and same_decisions(hat, turned)
    assert vote_over_photos([NO, doubtful])[1].headwear == doubtful.headwear
