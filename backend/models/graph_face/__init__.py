"""The graph face model: codes of identity and expression to a head, by convolutions on its mesh.

Photos, or a known shape (``codes.codes_of_shape``), go in; codes, and the head that they stand for, come out.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel

GRAPH_FACE = LearnedModel(
    "graph_face",
    purpose="a non-linear face model",
    without="the linear prior is used",
    loader="backend.models.graph_face.apply:load_graph_model",
    on_gpu=True,
    by_default=False,
    instead_of=("learned_basis",),
)
