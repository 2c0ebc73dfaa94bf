"""Choice of the face model: whose encoder starts the fit, and whether its identity space is linear or a decoder."""

from __future__ import annotations

from functools import partial

from backend.fitting.fit import EncodedSource, ModesSource
from backend.geometry.template import Template
from backend.models.contract import Models, applied_to_photos
from backend.models.graph_face import GRAPH_FACE
from backend.models.graph_face.apply import GraphModel, graph_face, template_around
from backend.models.learned_basis import LEARNED_BASIS
from backend.models.learned_basis.apply import BasisModel, encoded_face
from backend.progress import ProgressReporter, silent


def face_model(
    models: Models, template: Template, progress: ProgressReporter = silent
) -> tuple[EncodedSource, ModesSource | None]:
    """``encoded`` and ``modes_around`` of ``fit_face``: the graph face model's where it takes part, else the learned
    face model's encoder and the template's own modes."""
    graph = models.of(GRAPH_FACE, GraphModel)
    if graph is not None:
        return applied_to_photos(graph_face, graph, progress), partial(template_around, template, graph)
    return applied_to_photos(encoded_face, models.of(LEARNED_BASIS, BasisModel), progress), None
