"""LAP: one canonical depth and albedo of a person from all photos, and the light and view of each photo.

Photos with landmarks go in (``apply.canonical_face``); a ``CanonicalFace`` comes out, from which the fit starts.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel, Switch

LAP = LearnedModel(
    "lap",
    purpose="canonical depth and albedo",
    without="the fit starts from landmarks",
    loader="backend.models.lap.apply:LapModel.load",
    switch=Switch("lap", "do without the canonical face that the networks of LAP give"),
    on_gpu=True,
)
