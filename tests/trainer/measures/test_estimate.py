"""What the evaluation fits is what the pipeline fits."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace

import numpy as np
import pytest
from plain_photo import plain_photo

from backend.fitting import fit as face_model
from backend.models.lap.apply import LapModel
from backend.models.learned_basis.apply import BasisModel
from backend.models.registry import LAP, LEARNED_BASIS, MODELS, Models, OpenedModel
from backend.photos.collection import PhotoCollection, SurfaceLandmarks
from trainer.measures import estimate


@pytest.mark.parametrize("learned_basis", [True, False])
@pytest.mark.parametrize("lap", [True, False])
def test_networks_take_part_as_they_do_in_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, lap: bool, learned_basis: bool
) -> None:
    asked = {}

    def fit(collection: object, options: object, template: object, models: face_model.FaceModels) -> SimpleNamespace:
        assert models.modes_around is None
        sources = {"canonical": models.canonical, "encoded": models.encoded}
        asked.update({name: source and source(collection.faces) for name, source in sources.items()})
        asked["faces"] = collection.faces
        return SimpleNamespace(neutral=np.zeros((1, 3)), photos=())

    monkeypatch.setattr(estimate, "fit_face", fit)
    shown = (LapModel(None, None, "lap"), BasisModel(None, None, "basis"))

    def opened(without: Collection[str], also: Collection[str]) -> Models:
        assert not also
        ready = {LAP: shown[0], LEARNED_BASIS: shown[1]}
        return Models(tuple(OpenedModel(one, None if one.name in without else ready.get(one)) for one in MODELS), "cpu")

    monkeypatch.setattr(estimate, "open_models", opened)
    monkeypatch.setattr(face_model, "canonical_face", lambda faces, model, progress: (faces, model))
    monkeypatch.setattr(face_model, "encoded_face", lambda faces, model, progress: (faces, model))
    points = SurfaceLandmarks(np.zeros((478, 2)), np.ones(478))
    collection = PhotoCollection((plain_photo((64, 64), surface=points),))
    estimate.fitted(collection, estimate.Variant(lap=lap, encoder=learned_basis, landmark_net=lap))
    (given,) = asked.pop("faces")
    assert (given.surface is None) == (not lap)
    assert asked == {
        "canonical": ((given,), shown[0]) if lap else None,
        "encoded": ((given,), shown[1]) if learned_basis else None,
    }
