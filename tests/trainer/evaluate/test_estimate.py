"""What the evaluation fits is what the pipeline fits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backend.photos.collect import CollectOptions
from trainer.evaluate import estimate


@pytest.mark.parametrize("learned_basis", [True, False])
@pytest.mark.parametrize("lap", [True, False])
def test_networks_take_part_as_they_do_in_the_pipeline(
    monkeypatch: pytest.MonkeyPatch, lap: bool, learned_basis: bool
) -> None:
    asked = {}

    def fit(collection: object, options: object, template: object, **sources) -> SimpleNamespace:
        asked.update({name: source((collection,)) for name, source in sources.items()})
        return SimpleNamespace(neutral=np.zeros((1, 3)))

    monkeypatch.setattr(estimate.PhotoSource, "from_path", lambda path: path)

    def collect(sources: object, options: CollectOptions) -> str:
        asked["surface"] = options.surface
        return "photos"

    monkeypatch.setattr(estimate, "collect", collect)
    monkeypatch.setattr(estimate, "fit_face", fit)
    monkeypatch.setattr(estimate, "lap_model", lambda surface: "lap" if surface else "lap without points")
    monkeypatch.setattr(estimate, "basis_model", lambda: "basis")
    monkeypatch.setattr(estimate, "canonical_face", lambda faces, model: (faces, model))
    monkeypatch.setattr(estimate, "encoded_face", lambda faces, model: (faces, model))
    flags = {} if lap and learned_basis else {"lap": lap, "learned_basis": learned_basis, "landmark_net": lap}
    estimate.fit_photos([Path("a.jpg")], **flags)
    assert asked == {
        "surface": lap,
        "canonical": (("photos",), "lap") if lap else None,
        "encoded": (("photos",), "basis") if learned_basis else None,
    }
