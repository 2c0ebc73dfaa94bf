"""Face parsing: the class of each pixel of a head crop (skin, hair, glasses and so on).

Input is a crop with landmarks (``apply.look_at_face``); output are labels of ``FaceClass`` and the accessories worn.
"""

from __future__ import annotations

from backend.models.contract import LearnedModel

PARSING = LearnedModel(
    "parsing",
    purpose="masks of skin, hair, glasses and so on",
    without="landmark regions and colours are used",
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
