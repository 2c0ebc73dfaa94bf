"""Learned inpainting of unseen skin: a U-Net in UV corrects the texture that rules have filled in.

Input: the texture's log albedo and the photos' coverage. Output: the corrected texture.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel

GRAPH_ALBEDO = LearnedModel(
    "graph_albedo",
    purpose="the colours of skin that no photo shows",
    without="rules and the mirrored side alone give them",
    loader="backend.models.graph_albedo.apply:GraphAlbedoModel.load",
    on_gpu=True,
    by_default=False,
)
