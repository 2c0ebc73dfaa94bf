"""The graph face model: codes of identity and expression to a head, by graph convolutions on its mesh.

Inputs are photos, or a known shape (``codes.codes_of_shape``); outputs are codes and the head that they encode.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel

GRAPH_FACE = LearnedModel(
    "graph_face",
    purpose="a non-linear face model",
    without="the linear prior is used",
    loader="backend.models.graph_face.apply:GraphModel.load",
    on_gpu=True,
    by_default=False,
    instead_of=("learned_basis",),
)
