import sys

import numpy as np
import pytest

from backend.errors import LikenessError
from trainer.measures import metrics as identity


def test_a_missing_recogniser_is_told_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "face_recognition", None)
    identity._recogniser.cache_clear()
    with pytest.raises(LikenessError, match="face_recognition") as problem:
        identity.face_embedding(np.zeros((16, 16, 3), np.uint8))
    assert problem.value.code == "missing_part"
    identity._recogniser.cache_clear()
