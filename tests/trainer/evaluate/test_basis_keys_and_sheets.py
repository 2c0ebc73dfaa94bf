"""Learned expressions as corrections of the keys, under the rig's rules; pictures of the model."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.models.learned_basis.apply import BasisModel
from backend.models.learned_basis.network import FaceBases
from backend.rig.arkit import ARKIT_INDEX
from trainer.evaluate import basis_keys, basis_sheets
from trainer.stages.learned_basis_start import begin_from_prior

sys.path.append(str(Path(__file__).resolve().parents[2] / "trainer"))
from basis_parts import small_people
from encoded_hand_made import TINY, tiny_network


def begun() -> FaceBases:
    bases = FaceBases(replace(TINY, expression=52))
    begin_from_prior(bases)
    return bases


def test_what_has_learned_nothing_corrects_nothing_and_what_has_grown_makes_keys_grow() -> None:
    bases = begun()
    assert np.abs(basis_keys.corrections(bases)).max() < 1e-7
    with torch.no_grad():
        bases.expression.mul_(1.1)
    change = basis_keys.corrections(bases)
    template = load_template()
    face = template.regions["face"][: template.head.vertex_stop] > 0.5
    jaw = ARKIT_INDEX["jawOpen"]
    key = template.expressions[jaw, : template.head.vertex_stop]
    wanted = 0.1 * key[face]  # a tenth of what 60 nodes can express of it
    apart = np.linalg.norm(change[jaw][face] - wanted, axis=1).mean()
    assert apart < 0.25 * np.linalg.norm(wanted, axis=1).mean()


def test_keys_that_break_a_rule_are_named() -> None:
    template = load_template()
    keys = template.expressions.copy()
    from backend.rig.personalise import personalise_keys

    whole = personalise_keys(template, template.vertices)
    assert basis_keys.rule_breakers(template, whole) == []
    keys = whole.copy()
    keys[ARKIT_INDEX["eyeBlinkLeft"]] *= 0.5
    keys[ARKIT_INDEX["mouthClose"]] *= 0.5
    keys[ARKIT_INDEX["mouthSmileLeft"]] += 0.2 * whole[ARKIT_INDEX["mouthSmileRight"]]
    assert set(basis_keys.rule_breakers(template, keys)) == {"eyeBlinkLeft", "jawOpen", "mouthClose", "mouthSmileLeft"}


def test_sums_of_keys_are_explained_by_keys() -> None:
    template = load_template()
    batch = small_people()
    count = template.head.vertex_stop
    weights = torch.zeros(len(batch.truth.vertices), 52)
    weights[:, ARKIT_INDEX["jawOpen"]], weights[:, ARKIT_INDEX["browInnerUp"]] = 0.7, 0.4
    moved = torch.einsum("nk,kvc->nvc", weights, torch.from_numpy(template.expressions[:, :count]))
    made = replace(batch, truth=replace(batch.truth, vertices=batch.truth.neutral + moved))
    assert basis_keys.explained_mm(template.expressions, [made]) < 0.01
    without = template.expressions.copy()
    without[ARKIT_INDEX["jawOpen"]] = 0
    assert basis_keys.explained_mm(without, [made]) > 0.3


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
    picture = basis_sheets.modes_sheet(model.network, "identity").astype(float)
    low, mean, high = picture[:32], picture[32:64], picture[64:]
    assert np.abs(low - mean).mean() > 0.5 and np.abs(high - mean).mean() > 0.5
    assert np.abs(mean[:, :32] - mean[:, 32:64]).max() == 0


def first_sets(count: int):
    batch = small_people()
    chosen = batch.set_of < count
    from trainer.evaluate.basis_reenactment import chosen_photos

    return chosen_photos(batch, chosen)


def kept_as_it_is(faces, model, options):
    from backend.models.learned_basis.personalise import Personalised

    return Personalised(model, faces[1].name, 0.2, 0.1, True, 0.5)
