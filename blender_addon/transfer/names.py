"""Read the meaning of a shape key from its name: which of ARKit's 52 motions, on which side; and the mapping from
source keys to target keys that follows.

A meaning is a set of *atoms*, pairs of an ARKit base name and a side: ``mouthSmileLeft`` is ``(mouthSmile, L)``;
``browInnerUp`` is ``(browInnerUp, L)`` and ``(browInnerUp, R)``, because other rigs have one key per side for it.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import AddonError
from ..protocol.names import ARKIT_NAMES
from ..shared.names import SIDES, words_of

BASE_SYNONYMS: dict[str, str] = {
    # one spelling (lower-case letters only, without side) -> ARKit bases
    "blink": "eyeBlink", "eyeclose": "eyeBlink", "eyesclose": "eyeBlink", "eyeclosed": "eyeBlink",
    "eyesclosed": "eyeBlink", "closeeye": "eyeBlink", "closeeyes": "eyeBlink", "eyelidclose": "eyeBlink",
    "wink": "eyeBlink", "upperlidclosed": "eyeBlink", "eyeclosure": "eyeBlink", "lidclose": "eyeBlink",
    "eyeopen": "eyeWide", "eyesopen": "eyeWide", "eyeswide": "eyeWide", "upperlidopen": "eyeWide",
    "eyeopenedup": "eyeWide", "eyewiden": "eyeWide",
    "lowerlidup": "eyeSquint", "eyeslit": "eyeSquint", "squint": "eyeSquint", "eyessquint": "eyeSquint",
    "lookup": "eyeLookUp", "eyeup": "eyeLookUp", "eyesup": "eyeLookUp", "eyeslookup": "eyeLookUp",
    "lookdown": "eyeLookDown", "eyedown": "eyeLookDown", "eyesdown": "eyeLookDown",
    "lookin": "eyeLookIn", "lookout": "eyeLookOut",
    "browlower": "browDown", "browdrop": "browDown", "eyebrowsdown": "browDown", "eyebrowdown": "browDown",
    "browsdown": "browDown",
    "browraiseinner": "browInnerUp", "innerbrowup": "browInnerUp", "innerbrowraise": "browInnerUp",
    "browinnerraise": "browInnerUp", "eyebrowsinnerup": "browInnerUp", "innerbrowraiser": "browInnerUp",
    "browraiseouter": "browOuterUp", "outerbrowup": "browOuterUp", "outerbrowraise": "browOuterUp",
    "browouterraise": "browOuterUp", "eyebrowsexternup": "browOuterUp", "outerbrowraiser": "browOuterUp",
    "browup": "browInnerUp browOuterUp", "browsup": "browInnerUp browOuterUp", "browraise": "browInnerUp browOuterUp",
    "eyebrowsup": "browInnerUp browOuterUp", "eyebrowup": "browInnerUp browOuterUp",
    "cheekraise": "cheekSquint", "cheekup": "cheekSquint", "cheekraiser": "cheekSquint",
    "puff": "cheekPuff", "cheekspuff": "cheekPuff", "cheekspump": "cheekPuff", "puffcheeks": "cheekPuff",
    "nosewrinkler": "noseSneer", "nosewrinkle": "noseSneer", "sneer": "noseSneer", "nosecompression": "noseSneer",
    "noseelevation": "noseSneer",
    "jawdrop": "jawOpen", "mouthopen": "jawOpen", "openmouth": "jawOpen", "chindown": "jawOpen", "openjaw": "jawOpen",
    "chinforward": "jawForward", "jawthrust": "jawForward", "chin": "jaw", "mouthmove": "mouth",
    "mouthshift": "mouth",
    "smile": "mouthSmile", "mouthpullup": "mouthSmile", "mouthcornerpuller": "mouthSmile", "lipcornerpuller":
    "mouthSmile", "mouthcornerup": "mouthSmile", "lipcornerup": "mouthSmile",
    "mouthpulldown": "mouthFrown", "mouthcornerdown": "mouthFrown", "lipcornerdepressor": "mouthFrown",
    "lipcornerdown": "mouthFrown", "mouthsad": "mouthFrown", "mouthdepression": "mouthFrown",
    "mouthpullside": "mouthStretch", "lipstretch": "mouthStretch", "lipstretcher": "mouthStretch",
    "mouthwide": "mouthStretch", "mouthretraction": "mouthStretch",
    "dimple": "mouthDimple", "dimpler": "mouthDimple", "platysma": "mouthStretch", "mouthplatysma": "mouthStretch",
    "lipskiss": "mouthPucker", "kiss": "mouthPucker", "pucker": "mouthPucker", "mouthpursing": "mouthPucker",
    "lippucker": "mouthPucker", "mouthprotusion": "mouthFunnel", "funnel": "mouthFunnel",
    "lipfunneler": "mouthFunnel",
    "mouthupupper": "mouthUpperUp", "upperlipup": "mouthUpperUp", "upperlipraise": "mouthUpperUp", "lipupperup":
    "mouthUpperUp", "mouthdownlower": "mouthLowerDown", "lowerlipdown": "mouthLowerDown", "liplowerdown":
    "mouthLowerDown", "mouthrollinupper": "mouthRollUpper", "upperlipbackward": "mouthRollUpper", "liprollupper":
    "mouthRollUpper", "mouthrollinlower": "mouthRollLower", "lowerlipbackward": "mouthRollLower", "liprolllower":
    "mouthRollLower", "lowerlipup": "mouthShrugLower", "chinraise": "mouthShrugLower",
    "chinraiser": "mouthShrugLower",
    "lippress": "mouthPress", "lipspress": "mouthPress", "mouthcompression": "mouthPress",
    "mouthtighten": "mouthPress",
    "tongue": "tongueOut", "tongueextend": "tongueOut", "tongueoutside": "tongueOut",
    # faceshift
    "eyein": "eyeLookIn", "eyeout": "eyeLookOut", "browsd": "browDown", "browsu": "browOuterUp",
    "browsuc": "browInnerUp", "jawfwd": "jawForward", "lipstogether": "mouthClose", "lipsupperup": "mouthUpperUp",
    "lipslowerdown": "mouthLowerDown", "lipsstretch": "mouthStretch", "lipsupperclose": "mouthRollUpper",
    "lipslowerclose": "mouthRollLower", "chinlowerraise": "mouthShrugLower", "chinupperraise": "mouthShrugUpper",
    # MetaHuman
    "browraisein": "browInnerUp", "eyecheekraise": "cheekSquint", "eyesquintinner": "eyeSquint",
    "mouthcheekblow": "cheekPuff", "mouthcornerdepress": "mouthFrown", "mouthcornerpull": "mouthSmile",
    "mouthlipspress": "mouthPress", "mouthlowerlipdepress": "mouthLowerDown", "mouthlowerliprollin": "mouthRollLower",
    "mouthupperlipraise": "mouthUpperUp", "mouthupperliprollin": "mouthRollUpper",
    # SRanipal
    "mouthapeshape": "mouthClose", "mouthupperinside": "mouthRollUpper", "mouthlowerinside": "mouthRollLower",
    "mouthloweroverlay": "mouthShrugLower", "tonguelongstep1": "tongueOut",
    # Unified Expressions
    "mouthclosed": "mouthClose", "mouthraiserupper": "mouthShrugUpper", "mouthraiserlower": "mouthShrugLower",
    "lipsuckupper": "mouthRollUpper", "lipsucklower": "mouthRollLower",
    # Meta
    "browlowerer": "browDown", "chinraiserb": "mouthShrugLower", "chinraisert": "mouthShrugUpper",
    "lidtightener": "eyeSquint", "lippressor": "mouthPress", "lipstoward": "mouthClose",
    "lowerlipdepressor": "mouthLowerDown", "upperlidraiser": "eyeWide", "upperlipraiser": "mouthUpperUp",
    "jawsideways": "jaw",
    # VRM and VRoid
    "fcleyeclose": "eyeBlink", "fcleyespread": "eyeWide", "fcleyesurprised": "eyeWide", "fclbrwangry": "browDown",
    "fclbrwsorrow": "browInnerUp", "fclbrwsurprised": "browInnerUp browOuterUp",
    "fclmtha": "jawOpen", "fclmthi": "mouthStretch", "fclmthu": "mouthPucker",
    "fclmthe": "mouthUpperUp mouthLowerDown",
    "fclmtho": "mouthFunnel", "fclmthfun": "mouthSmile", "fclmthangry": "mouthFrown", "fclmthclose": "mouthClose",
    "fclmthdown": "mouthShrugLower", "fclmthup": "mouthShrugUpper", "fclalljoy": "mouthSmile eyeBlink",
    "fclallangry": "browDown mouthFrown", "fclallsorrow":
    "browInnerUp mouthFrown", "fclallsurprised": "eyeWide browInnerUp browOuterUp", "fclallfun": "mouthSmile",
    "joy": "mouthSmile", "happy": "mouthSmile", "angry": "browDown mouthFrown", "sorrow": "browInnerUp mouthFrown",
    "sad": "browInnerUp mouthFrown", "surprised": "eyeWide browInnerUp browOuterUp",
    "a": "jawOpen", "i": "mouthStretch", "u": "mouthPucker", "e": "mouthUpperUp mouthLowerDown", "o": "mouthFunnel",
    "aa": "jawOpen", "ih": "mouthStretch", "ou": "mouthPucker", "ee": "mouthUpperUp mouthLowerDown", "oh":
    "mouthFunnel", "visemeaa": "jawOpen", "visemeou": "mouthPucker", "visemeo": "mouthFunnel",
    # MikuMikuDance
    "まばたき": "eyeBlink", "ウィンク": "eyeBlinkLeft", "ウィンク右": "eyeBlinkRight", "びっくり": "eyeWide",
    "あ": "jawOpen", "い": "mouthStretch", "う": "mouthPucker", "え": "mouthUpperUp mouthLowerDown",
    "お": "mouthFunnel", "にっこり": "mouthSmile", "怒り": "browDown", "困る": "browInnerUp", "上": "browOuterUp",
    # facial action units
    "au1": "browInnerUp", "au2": "browOuterUp", "au4": "browDown", "au5": "eyeWide", "au6": "cheekSquint",
    "au7": "eyeSquint", "au9": "noseSneer", "au10": "mouthUpperUp", "au12": "mouthSmile", "au14": "mouthDimple",
    "au15": "mouthFrown", "au16": "mouthLowerDown", "au17": "mouthShrugLower", "au18": "mouthPucker", "au20":
    "mouthStretch", "au22": "mouthFunnel", "au24": "mouthPress", "au26": "jawOpen", "au27": "jawOpen", "au28":
    "mouthRollUpper mouthRollLower", "au29": "jawForward", "au43": "eyeBlink", "au45": "eyeBlink",
}  # fmt: skip
"""Letters and digits of a key's name without the side, lower case -> ARKit names (with or without their side)."""

EXCEPTIONAL_NAMES: dict[str, str] = {
    "lefteyeturnleft": "eyeLookOutLeft", "lefteyeturnright": "eyeLookInLeft", "righteyeturnleft": "eyeLookInRight",
    "righteyeturnright": "eyeLookOutRight", "eyellookl": "eyeLookOutLeft", "eyellookr": "eyeLookInLeft",
    "eyerlookl": "eyeLookInRight", "eyerlookr": "eyeLookOutRight", "lookleft": "eyeLookOutLeft eyeLookInRight",
    "lookright": "eyeLookInLeft eyeLookOutRight", "eyesleft": "eyeLookOutLeft eyeLookInRight", "eyesright":
    "eyeLookInLeft eyeLookOutRight", "eyeslookleft": "eyeLookOutLeft eyeLookInRight", "eyeslookright":
    "eyeLookInLeft eyeLookOutRight", "mouthlookleft": "mouthLeft",
    "eyelookleftl": "eyeLookOutLeft", "eyelookleftr": "eyeLookInRight", "eyelookrightl": "eyeLookInLeft",
    "eyelookrightr": "eyeLookOutRight", "eyeslookleftl": "eyeLookOutLeft", "eyeslookleftr": "eyeLookInRight",
    "eyeslookrightl": "eyeLookInLeft", "eyeslookrightr": "eyeLookOutRight", "eyeleftleft": "eyeLookOutLeft",
    "eyeleftright": "eyeLookInLeft", "eyerightleft": "eyeLookInRight", "eyerightright": "eyeLookOutRight",
    "ウィンク2": "eyeBlinkLeft", "ウィンク2右":
    "eyeBlinkRight", "ｳｨﾝｸ2右": "eyeBlinkRight", "はぅ": "eyeBlink",
}  # fmt: skip
"""Names whose side or direction words do not mean a side: all their letters and digits, lower case."""


Atom = tuple[str, str]
"""ARKit name without its side, and ``L`` or ``R``."""

_VOWELS = {"a", "i", "u", "e", "o", "aa", "ih", "ou", "ee", "oh"}
_BEFORE_VOWELS = {"mth", "mouth", "viseme", "vowel", "v", "vrm", "lip", "lips"}
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
    words = words_of(re.sub(r"\.\d{3}$", "", name))
    for start in range(len(words)):  # drop more and more of a prefix
        rest = [word for word in words[start:] if word not in _SIDES]
        if len(rest) == 1 and rest[0] in _VOWELS:
            behind_mouth = start == 0 or words[start - 1] in _BEFORE_VOWELS
            if len(words) - start > 1 or not behind_mouth:
                continue  # "Variant_A" and "Brows_U_L" are no vowels
        if (part := _read(words[start:])) and _same_part(words[:start], part):
            return part
    return None


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


_FLAT = {name.lower(): name for name in sorted(ARKIT_NAMES)}


FORMAT, VERSION = "likeness-key-mapping", 1
_ADVICE = "Choose a file that Save Mapping wrote."


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
    links = {target: (KeyLink(target, target),) for target in targets if target in set(sources)}
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


def to_json(links: Iterable[KeyLink]) -> str:
    """Encode links as text for ``from_json``."""
    rows = [
        {"source": k.source, "target": k.target, "weight": k.weight, "lowest": k.lowest, "highest": k.highest}
        for k in links
    ]
    return json.dumps({"format": FORMAT, "version": VERSION, "links": rows}, ensure_ascii=False, indent=1)


def from_json(text: str) -> tuple[KeyLink, ...]:
    """Decode links from text. Raises ``AddonError`` ``bad_mapping`` for other content or a later version."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError("no mapping")
        if int(data["version"]) > VERSION:
            raise AddonError("This mapping is from a later version of the extension.", "Update it.", "bad_mapping")
        links = tuple(
            KeyLink(
                str(row["source"]),
                str(row["target"]),
                float(row.get("weight", 1.0)),
                float(row.get("lowest", 0.0)),
                float(row.get("highest", 1.0)),
            )
            for row in data["links"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise AddonError("This is not a mapping of shape keys.", _ADVICE, "bad_mapping") from error
    if not all(np.isfinite([link.weight, link.lowest, link.highest]).all() for link in links):
        raise AddonError("The mapping contains numbers that are not finite.", _ADVICE, "bad_mapping")
    return links
