"""Wrinkles that follow the expression: a network from photos of the unwrapped face to displacements.

Inputs are observations and expressions, outputs heights in millimetres. ``backend.detail`` makes a head's relief.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel, Switch

DETAIL = LearnedModel(
    "detail",
    purpose="wrinkles that follow the expression",
    without="the mesh has no fine wrinkles",
    loader="backend.models.detail.apply:DetailModel.load",
    switch=Switch("detail", "do without wrinkles and pores"),
    on_gpu=True,
)
