"""Face parsing: which pixel of a head crop is skin, hair, glasses and so on.

A crop with landmarks goes in (``apply.look_at_face``); labels of ``FaceClass`` and what is worn come out.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel

PARSING = LearnedModel(
    "parsing",
    purpose="masks of skin, hair, glasses and so on",
    without="landmark regions and colours are used",
    loader="backend.models.parsing.network:load_face_parser",
    on_gpu=True,
)
PARSING_OPINION = LearnedModel(
    "parsing_opinion",
    purpose="a second opinion on hair and what is behind it",
    without="the first net decides alone",
    loader="backend.models.parsing.network:load_second_parser",
    on_gpu=True,
)
"""A second net, on frozen features of ImageNet; what ships of it is only what was learnt here."""
