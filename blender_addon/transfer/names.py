"""Read the meaning of a shape key from its name: which of ARKit's 52 motions, on which side of the face.

A meaning is a set of *atoms*, pairs of an ARKit base name and a side: ``mouthSmileLeft`` is ``(mouthSmile, L)``;
    ``browInnerUp`` is ``(browInnerUp, L)`` and ``(browInnerUp, R)``, because other rigs have one key per side for it.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import cache

from ..protocol.names import ARKIT_NAMES
from .synonyms import BASE_SYNONYMS, EXCEPTIONAL_NAMES

Atom = tuple[str, str]
"""ARKit name without its side, and ``L`` or ``R``."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_BEFORE_VOWELS = {"mth", "mouth", "viseme", "vowel", "v", "vrm", "lip", "lips"}
_SIDES = {"l": "L", "lt": "L", "lft": "L", "left": "L", "r": "R", "rt": "R", "rgt": "R", "right": "R"}


class Tier(enum.IntEnum):
    """Certainty of a reading, most certain first."""

    EXACT = 0
    SPELLING = 1
    SYNONYM = 2


@dataclass(frozen=True)
class Meaning:
    """The atoms of a name, and how they were found."""

    atoms: frozenset[Atom]
    tier: Tier


def _bare(name: str) -> str:
    for side in ("Left", "Right"):
        if name.endswith(side) and name not in _DIRECTIONS:
            return name.removesuffix(side)
    return name


_DIRECTIONS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
_BASES = {_bare(name).lower(): _bare(name) for name in sorted(ARKIT_NAMES)}
_DIRECTED = {(base, side[0]): base + side for base in ("jaw", "mouth") for side in ("Left", "Right")}


@cache
def meaning(name: str) -> Meaning | None:
    """The meaning of the shape key ``name``, None if it is unknown.

    Recognised: ARKit's names; their spellings with ``_L``, ``.R``, ``Left`` in front or behind, other case, underscores
        or spaces; any prefix (``Face.M_F00_000_00_``, ``blendShape1.``, ``head|``) and a number that Blender appended;
        synonyms of VRM and VRoid, MakeHuman and MPFB, Character Creator, MikuMikuDance and FACS.
    """
    if name in ARKIT_NAMES:
        return Meaning(atoms_of(name), Tier.EXACT)
    words = _words(re.sub(r"\.\d{3}$", "", name))
    for start in range(len(words)):  # drop more and more of a prefix
        vowel = len(words) - start == 1 and words[start] in "aiueo"
        if vowel and start and words[start - 1] not in _BEFORE_VOWELS:
            continue  # "Variant_A" is not the vowel A
        if found := _read(words[start:]):
            return found
    return None


def atoms_of(arkit: str) -> frozenset[Atom]:
    """The atoms of one of the 52 names, or of one without its side, which means both sides."""
    if arkit in _DIRECTIONS or arkit in _BASES.values():
        return frozenset({(arkit, "L"), (arkit, "R")})
    base = _bare(arkit)
    return frozenset({(base, "L" if arkit.endswith("Left") else "R")})


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(name))


def _read(words: tuple[str, ...]) -> Meaning | None:
    """The meaning of a list of words, all of which must be used."""
    whole = "".join(words)
    if whole in EXCEPTIONAL_NAMES:
        return Meaning(_both(EXCEPTIONAL_NAMES[whole], ""), Tier.SYNONYM)
    if whole.lower() in _FLAT:
        return Meaning(atoms_of(_FLAT[whole]), Tier.SPELLING)
    sides = [number for number, word in enumerate(words) if word in _SIDES]
    for number in reversed(sides):  # the last one first: "l_jaw_left"
        base = "".join(words[:number] + words[number + 1 :])
        if found := _with_side(base, _SIDES[words[number]]):
            return found
    return _with_side(whole, "")


def _with_side(base: str, side: str) -> Meaning | None:
    base = re.sub(r"(?<=^au)0+(?=\d)", "", base)
    if (base, side) in _DIRECTED:
        return Meaning(atoms_of(_DIRECTED[base, side]), Tier.SPELLING)
    if base in _BASES and _BASES[base] not in _DIRECTIONS:
        return Meaning(_both(_BASES[base], side), Tier.SPELLING)
    if base in BASE_SYNONYMS:
        bases = BASE_SYNONYMS[base]
        if bases in ("jaw", "mouth"):
            return Meaning(atoms_of(_DIRECTED[bases, side]), Tier.SYNONYM) if side else None
        return Meaning(_both(bases, side), Tier.SYNONYM)
    return None


def _both(bases: str, side: str) -> frozenset[Atom]:
    atoms = frozenset().union(*(atoms_of(base) for base in bases.split()))
    return frozenset(atom for atom in atoms if not side or atom[1] == side)


_FLAT = {name.lower(): name for name in sorted(ARKIT_NAMES)}
