"""Wrinkles that follow the expression: the network that turns photos on the unwrapped face into displacement.

Observations and expressions go in; heights in millimetres come out. ``backend.detail`` makes a head's relief of them.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel, Switch

DETAIL = LearnedModel(
    "detail",
    purpose="wrinkles that follow the expression",
    without="the mesh has no fine wrinkles",
    loader="backend.models.detail.apply:load_detail_model",
    switch=Switch("detail", "do without wrinkles and pores"),
    on_gpu=True,
)
