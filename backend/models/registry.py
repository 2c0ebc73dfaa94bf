"""All learned models in loading order: a model comes after those that it needs, and before those that it replaces.

To add a model, add its package and a line here.
"""

from __future__ import annotations

from collections.abc import Collection

from backend.models.contract import NOT_USED, LearnedModel, Models, OpenedModel
from backend.models.detail import DETAIL
from backend.models.graph_albedo import GRAPH_ALBEDO
from backend.models.graph_face import GRAPH_FACE
from backend.models.landmarks import LANDMARK_NET
from backend.models.lap import LAP
from backend.models.learned_basis import LEARNED_BASIS
from backend.models.parsing import PARSING, PARSING_OPINION

MODELS: tuple[LearnedModel, ...] = (
    PARSING,
    PARSING_OPINION,
    LANDMARK_NET,
    LAP,
    GRAPH_FACE,
    LEARNED_BASIS,
    GRAPH_ALBEDO,
    DETAIL,
)
SWITCHED = tuple(model for model in MODELS if model.switch is not None)
"""Models that the user may leave out."""


def open_models(without: Collection[str] = (), device: str = "cpu", also: Collection[str] = ()) -> Models:
    """Load all models except those named in ``without``; those that are off by default only if named in ``also``.

    Raises ``DamagedFileError``.
    """
    found: dict[str, OpenedModel] = {}
    for model in MODELS:
        wanted = model.name not in without and (model.by_default or model.name in also)
        replaced = any(model.name in one.model.instead_of and one.ready is not None for one in found.values())
        opened = model.open(device) if wanted and not replaced else OpenedModel(model, reason=NOT_USED)
        missing = [] if opened.ready is None else [name for name in opened.ready.needs if found[name].ready is None]
        found[model.name] = OpenedModel(model, reason=f"{NOT_USED} without {missing[0]}") if missing else opened
    on_gpu = any(one.model.on_gpu and one.ready is not None for one in found.values())
    return Models(tuple(found.values()), device if on_gpu else "cpu")


def left_out(settings: object) -> frozenset[str]:
    """Names of the models that settings leave out, by attributes named like the switches (``settings.lap = False``)."""
    return frozenset(model.name for model in SWITCHED if not getattr(settings, model.switch.name, True))
