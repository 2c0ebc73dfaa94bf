"""Hair cards from a head's guides."""

from __future__ import annotations

from backend.hair.draw import finished_hairs
from backend.hair.hair_strands import HairStrands
from protocol.hair_cards import HairCards, bundled_cards
from protocol.message import CARD_LEVELS

_HAIRS = 4000
"""Finished hairs that are bundled into cards: five a card."""


def hair_cards(strands: HairStrands, most: int = CARD_LEVELS[0]) -> HairCards:
    """Cards of at most ``most`` triangles in bundles of a head's finished hairs (``finished_hairs``)."""
    hairs = finished_hairs(strands, _HAIRS)
    return bundled_cards(hairs.points, hairs.root_colour, hairs.tip_colour, hairs.curl, most)
