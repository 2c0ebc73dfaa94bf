"""Which half a case of an evaluation belongs to for ever: development, or judgement at which one looks seldom."""

from __future__ import annotations

import hashlib

HALVES = ("development", "judgement")
LOOK_SEPARATOR = "@"
"""Before the number of a look in the name of a drawn head: ``scan_cgtub@1``."""


def half_of(name: str) -> str:
    """The half that a person belongs to for ever, by a hash of the name."""
    return HALVES[name_hash(name)[-1] % 2]


def person_of(name: str) -> str:
    """Whose head it is that has been drawn: without the look."""
    return name.partition(LOOK_SEPARATOR)[0]


def name_hash(text: str) -> bytes:
    """32 bytes that no order of names shows in."""
    return hashlib.sha256(text.encode()).digest()
