"""Hair cards from a head's guides."""

from __future__ import annotations

from backend.hair.draw import finished_hairs
from backend.hair.groom.scalp import lock_variation
from backend.hair.hair_strands import HairStrands
from protocol.hair_cards import HairCards, bundled_cards
from protocol.message import CARD_LEVELS

_HAIRS = 4000
"""Finished hairs that are bundled into cards: five a card."""
_BY_LOCK = 0.15
"""Range of brightness between locks, as half of that of single strands."""


def hair_cards(strands: HairStrands, most: int = CARD_LEVELS[0]) -> HairCards:
    """Cards of at most ``most`` triangles in bundles of a head's finished hairs (``finished_hairs``)."""
    hairs = finished_hairs(strands, _HAIRS)
    darker = (1 - _BY_LOCK * lock_variation(hairs.points[:, 0]))[:, None]
    return bundled_cards(hairs.points, darker * hairs.root_colour, darker * hairs.tip_colour, hairs.curl, most)
