"""Skin that no photo shows, learned: a U-Net in UV corrects what rules have made up there.

The texture in log albedo and how far photos show it go in; the corrected texture comes out.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel

GRAPH_ALBEDO = LearnedModel(
    "graph_albedo",
    purpose="the colours of skin that no photo shows",
    without="rules and the mirrored side alone give them",
    loader="backend.models.graph_albedo.apply:load_graph_albedo",
    on_gpu=True,
    by_default=False,
)
