import sys

import numpy as np
import pytest

from backend.errors import LikenessError
from trainer.measures import metrics as identity


def test_distance_is_the_mean_over_photos_and_skips_renders_without_a_face():
    photos = [np.eye(128)[0], np.eye(128)[0] * 3]
    result = identity.identity_distance([np.zeros(128), np.full(128, np.nan), np.eye(128)[0]], photos)
    assert result.per_render[0] == pytest.approx(2.0)  # (1 + 3) / 2
    assert np.isnan(result.per_render[1])
    assert result.per_render[2] == pytest.approx(1.0)  # (0 + 2) / 2
    assert result.mean == pytest.approx(1.5)


def test_without_photos_there_is_nothing_to_compare():
    with pytest.raises(ValueError, match="no photo"):
        identity.identity_distance([np.zeros(128)], [])


def test_a_missing_recogniser_is_told_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "face_recognition", None)
    identity._recogniser.cache_clear()
    with pytest.raises(LikenessError, match="face_recognition") as problem:
        identity.face_embedding(np.zeros((16, 16, 3), np.uint8))
    assert problem.value.code == "missing_part"
    identity._recogniser.cache_clear()
