"""All learned models in loading order: a model comes after those that it needs, and before those that it replaces.

To add a model, add its package and a line here.
"""

from __future__ import annotations

from collections.abc import Collection

from backend.models.contract import NOT_USED, LearnedModel, Models, OpenedModel

LAP = LearnedModel(
    "lap",
    purpose="canonical depth and albedo",
    without="the fit starts from landmarks",
    loader="backend.models.lap.apply:LapModel.load",
    switch="lap",
    on_gpu=True,
)


LEARNED_BASIS = LearnedModel(
    "learned_basis",
    purpose="an encoder that starts the fit; its identity is principal components of synthetic people",
    without="the fit starts cold, from landmarks",
    loader="backend.models.learned_basis.apply:BasisModel.load",
    switch="learned_basis",
    on_gpu=True,
)


GRAPH_FACE = LearnedModel(
    "graph_face",
    purpose="a non-linear face model",
    without="the linear prior is used",
    loader="backend.models.graph_face:GraphModel.load",
    on_gpu=True,
    by_default=False,
    instead_of=("learned_basis",),
)


GRAPH_ALBEDO = LearnedModel(
    "graph_albedo",
    purpose="the colours of skin that no photo shows",
    without="rules and the mirrored side alone give them",
    loader="backend.models.graph_face:GraphAlbedoModel.load",
    on_gpu=True,
    by_default=False,
)


DETAIL = LearnedModel(
    "detail",
    purpose="wrinkles that follow the expression",
    without="the mesh has no fine wrinkles",
    loader="backend.models.detail:DetailModel.load",
    switch="detail",
    on_gpu=True,
)


LANDMARK_NET = LearnedModel(
    "landmarks",
    purpose="points of the face's surface",
    without="the fit takes the detector's landmarks",
    loader="backend.models.landmarks:SurfaceLandmarker.load",
    on_gpu=True,
    switch="landmark_net",
)


PARSING = LearnedModel(
    "parsing",
    purpose="masks of skin, hair, glasses and so on",
    without="no head can be made",
    loader="backend.models.parsing.network:FaceParser.load",
    on_gpu=True,
)
PARSING_OPINION = LearnedModel(
    "parsing_opinion",
    purpose="a second opinion on hair and what is behind it",
    without="the first net decides alone",
    loader="backend.models.parsing.network:load_second_parser",
    on_gpu=True,
)
"""A second net, on frozen ImageNet features; its shipped file holds only the weights trained here."""


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
