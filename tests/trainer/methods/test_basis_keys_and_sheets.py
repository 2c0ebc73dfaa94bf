"""Pictures of the learned face model."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.models.learned_basis.apply import BasisModel
from trainer.evaluate.harness import sheet
from trainer.methods.learned_basis import evaluate as basis_sheets

sys.path.append(str(Path(__file__).resolve().parents[2] / "trainer"))
from basis_parts import small_people
from encoded_hand_made import tiny_network


@pytest.fixture(scope="module")
def model() -> BasisModel:
    return BasisModel(tiny_network(), torch.device("cpu"), "tiny")


def test_sheets_show_modes_that_differ_from_the_mean(model: BasisModel, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(basis_sheets, "TILE", 32)
    monkeypatch.setattr(basis_sheets, "_PHOTOS", 2)
    monkeypatch.setattr(basis_sheets, "people_batch", lambda seed, count, photos: first_sets(3))
    monkeypatch.setattr(basis_sheets, "personalise", kept_as_it_is)
    figures = basis_sheets.write_sheets(model, tmp_path / "sheets")
    assert figures["personalised.photometric.before"] == 0.2
    shapes = {}
    for path in sorted((tmp_path / "sheets").glob("*.png")):
        shapes[path.stem] = cv2.imread(str(path)).shape[:2]
    assert shapes == {
        "basis_expressions": (4 * 32, 2 * 32),
        "basis_modes_expression": (3 * 32, 5 * 32),
        "basis_modes_identity": (3 * 32, 6 * 32),
        "basis_modes_reflectance": (3 * 32, 4 * 32),
        "basis_personalised": (3 * 32, 2 * 32),
    }
    low, mean, high = (sheet([row]).astype(float) for row in basis_sheets.modes_sheet(model.network, "identity"))
    assert np.abs(low - mean).mean() > 0.5 and np.abs(high - mean).mean() > 0.5
    assert np.abs(mean[:, :32] - mean[:, 32:64]).max() == 0


def first_sets(count: int):
    batch = small_people()
    chosen = batch.set_of < count
    from trainer.methods.learned_basis.evaluate import chosen_photos

    return chosen_photos(batch, chosen)


def kept_as_it_is(faces, model, options):
    from backend.models.learned_basis.apply import Personalised

    return Personalised(model, faces[1].name, 0.2, 0.1, True, 0.5)
