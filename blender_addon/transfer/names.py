"""Which shape key of a rig moves which key of another, by their names alone.

``meaning`` reads a name: which of ARKit's 52 motions it is, on which side. ``suggest`` links the keys of two rigs whose
names mean the same, as ``KeyLink``; an artist may change these links. ``apply_links`` gives the target's values.

A meaning is a set of *atoms*, pairs of an ARKit base name and a side: ``mouthSmileLeft`` is ``(mouthSmile, L)``;
``browInnerUp`` is ``(browInnerUp, L)`` and ``(browInnerUp, R)``, because other rigs have one key per side for it.
"""

import enum
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..shared.names import ARKIT_NAMES, SIDES, words_of

_TABLES = json.loads(Path(__file__).with_name("names.json").read_text("utf-8"))
"""Names of other programs' keys: letters and digits only, lower case. ``bases``: ARKit names, with or without their
side, to names without their side. ``whole``: to names whose words for directions do not mean a side. ``none``: names
that mean nothing although they read so. ``no_motion_words``: words of correctives and the like."""
BASE_SYNONYMS, EXCEPTIONAL_NAMES = (
    {name: meant for meant, names in _TABLES[table].items() for name in names.split()} for table in ("bases", "whole")
)
_NOTHING, _NO_MOTION = (frozenset(_TABLES[table].split()) for table in ("none", "no_motion_words"))


Atom = tuple[str, str]
"""ARKit name without its side, and ``L`` or ``R``."""

_VOWELS = {"a", "i", "u", "e", "o", "aa", "ih", "ou", "ee", "oh"}
_BEFORE_VOWELS = {"mth", "mouth", "viseme", "vowel", "v", "vrm", "lip", "lips"}
_SUFFIX = re.compile(r"(?i)^(expressions_.+)_max$|^(.*facs_.+)_div\d$")
"""What MB-Lab and DAZ write behind a motion."""
_SIDES = {word: side[0] for word, side in SIDES.items()}
_MOUTH = {"mouth", "lip", "lips", "mth", "jaw", "chin"}
_PARTS = {
    "eye": {"eye", "eyes", "lid", "lids", "eyelid", "eyelids", "lash", "lashes", "eyelash", "eyelashes", "pupil"},
    "brow": {"brow", "brows", "eyebrow", "eyebrows", "brw"},
    "mouth": _MOUTH,
    "jaw": _MOUTH,
    "cheek": {"cheek", "cheeks"},
    "nose": {"nose", "nostril", "nostrils"},
    "tongue": {"tongue"},
    "other": {"ear", "ears", "teeth", "tooth", "hair", "neck", "throat", "beard"},
}
"""The words for the part of the face at the beginning of an ARKit name. A word for another part is no prefix."""
_PART_WORDS = frozenset().union(*_PARTS.values())
_NO_SIDES = {"tongueOut", "jawOpen", "jawForward", "mouthClose"}
"""Motions of the whole: with a side, a name means something else (``Tongue_L`` is no tongue out)."""


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
_FLAT = {name.lower(): name for name in sorted(ARKIT_NAMES)}
_BASES = {_bare(name).lower(): _bare(name) for name in sorted(ARKIT_NAMES)}
_DIRECTED = {(base, side[0]): base + side for base in ("jaw", "mouth") for side in ("Left", "Right")}


@cache
def meaning(name: str) -> Meaning | None:
    """The meaning of the shape key ``name``, None if it is unknown.

    Recognised: ARKit's names; their spellings with ``_L``, ``.R``, ``Left`` in front or behind, other case, underscores
        or spaces; any prefix (``Face.M_F00_000_00_``, ``blendShape1.``, ``head|``) and a number that Blender appended;
        synonyms of other programs (``names.json``). A name of two motions means nothing, nor does a corrective's.
    """
    name = _normal(name)
    if name in ARKIT_NAMES:
        return Meaning(atoms_of(name), Tier.EXACT)
    words = words_of(_SUFFIX.sub(r"\1\2", re.sub(r"\.\d{3}$", "", name)))
    if "".join(words) in _NOTHING or _NO_MOTION.intersection(words):
        return None
    for start in range(len(words)):  # drop more and more of a prefix
        rest = [word for word in words[start:] if word not in _SIDES]
        if len(rest) == 1 and rest[0] in _VOWELS:
            behind_mouth = start == 0 or words[start - 1] in _BEFORE_VOWELS
            if len(words) - start > 1 or not behind_mouth:
                continue  # "Variant_A" and "Brows_U_L" are no vowels
        part = _read(words[start:])
        if part and _same_part(words[:start], part) and not _other_motion(words[:start], part):
            return part
    return None


def _normal(name: str) -> str:
    """One form of letters that look alike: accents composed, kana of full width."""
    return unicodedata.normalize("NFKC", name)


def _other_motion(prefix: tuple[str, ...], part: Meaning) -> bool:
    """Whether words of a dropped prefix mean a motion that does not hold all of ``part``."""
    runs = (prefix[i:j] for i in range(len(prefix)) for j in range(i + 1, len(prefix) + 1))
    return any(run[0] not in _VOWELS and (read := _read(run)) and not read.atoms >= part.atoms for run in runs)


def _same_part(prefix: tuple[str, ...], part: Meaning) -> bool:
    """Whether the words of a dropped prefix that mean a part of the face mean one that ``part`` moves."""
    allowed = frozenset().union(*(_PARTS[re.match("[a-z]+", base)[0]] for base, _ in part.atoms))
    return all(word in allowed for word in prefix if word in _PART_WORDS)


def atoms_of(arkit: str) -> frozenset[Atom]:
    """The atoms of one of the 52 names, or of one without its side, which means both sides."""
    if arkit in _DIRECTIONS or arkit in _BASES.values():
        return frozenset({(arkit, "L"), (arkit, "R")})
    base = _bare(arkit)
    return frozenset({(base, "L" if arkit.endswith("Left") else "R")})


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
        if read := _with_side(base, _SIDES[words[number]]):
            return read
    return _with_side(whole, "")


def _with_side(base: str, side: str) -> Meaning | None:
    base = re.sub(r"(?<=^au)0+(?=\d)", "", base)
    if side and {BASE_SYNONYMS.get(base), _BASES.get(base)} & _NO_SIDES:
        return None
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


@dataclass(frozen=True)
class KeyLink:
    """``target`` gets ``weight`` times the value of ``source``, clamped to ``lowest`` and ``highest``."""

    source: str
    target: str
    weight: float = 1.0
    lowest: float = 0.0
    highest: float = 1.0


def suggest(sources: Sequence[str], targets: Sequence[str]) -> tuple[KeyLink, ...]:
    """Suggest links between the keys of two rigs by their names, in the order of ``targets``.

    Equal names come first, then other spellings, then synonyms; within these, keys with the fewest motions. A target
    key is used only if none of its motions is covered by a key chosen before, so that nothing moves twice. A key for
    both sides gets the mean of both.
    """
    named = {_normal(source): source for source in sources} | {source: source for source in sources}
    equal = ((target, named.get(target) or named.get(_normal(target))) for target in targets)
    links = {target: (KeyLink(source, target),) for target, source in equal if source is not None}
    covered: set[Atom] = set()
    for target in links:
        if (known := meaning(target)) is not None:
            covered |= known.atoms
    readable = [(name, known) for name in sources if (known := meaning(name)) is not None]
    wanted = [(name, known) for name in targets if name not in links and (known := meaning(name)) is not None]
    for name, known in sorted(wanted, key=lambda pair: (pair[1].tier, len(pair[1].atoms))):
        if known.atoms & covered:
            continue
        if match := _links(name, known, readable):
            links[name] = match
            covered |= known.atoms
    return tuple(link for target in targets for link in links.get(target, ()))


def _links(target: str, wanted: Meaning, sources: Iterable[tuple[str, Meaning]]) -> tuple[KeyLink, ...]:
    """Link every atom of ``target`` to the most certain source that has it; the weight is the share of atoms."""
    shares: dict[str, float] = {}
    for atom in sorted(wanted.atoms):
        having = [(known.tier, len(known.atoms), name) for name, known in sources if atom in known.atoms]
        if having:
            best = min(having)[2]
            shares[best] = shares.get(best, 0.0) + 1.0 / len(wanted.atoms)
    return tuple(KeyLink(source, target, round(share, 4)) for source, share in shares.items())


def apply_links(links: Iterable[KeyLink], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values (F,) of the target's keys: the sum over each key's links of the weighted, clamped source values."""
    out: dict[str, np.ndarray] = {}
    for link in links:
        if link.source in values:
            part = np.clip(np.asarray(values[link.source], float) * link.weight, link.lowest, link.highest)
            out[link.target] = out[link.target] + part if link.target in out else part
    return out
