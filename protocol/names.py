"""The 52 ARKit names in the order in which every array holds them, and their spellings in other programs."""

from __future__ import annotations

import re
from functools import cache

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

EXPRESSION_FORMAT, EXPRESSION_VERSION = "likeness-expression", 1
"""``format`` and ``version`` of an ``expression.json`` (docs/expressions.md)."""

SIDES = {"l": "Left", "lt": "Left", "lft": "Left", "left": "Left", "r": "Right", "rt": "Right", "rgt": "Right",
         "right": "Right"}  # fmt: skip
"""Words for the person's sides, lower case."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_FLAT = {name.lower(): name for name in ARKIT_NAMES}


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in camel case or with other characters between them, lower case: ``eyeBlink_L`` is ``eye``,
    ``blink``, ``l``."""
    return tuple(word.lower() for word in _WORD.findall(name))


@cache
def arkit_name(spelling: str) -> str | None:
    """The ARKit name that ``spelling`` means: any case, words apart, the side as ``_L``, ``.R`` or a word in front of,
    within or behind it; None for other names."""
    words = words_of(spelling)
    if (name := _FLAT.get("".join(words))) is not None:
        return name
    for number in reversed(range(len(words))):
        if words[number] in SIDES:
            bare = "".join(words[:number] + words[number + 1 :])
            if (name := _FLAT.get(bare + SIDES[words[number]].lower())) is not None:
                return name
    return None


ARKIT_INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}


LIDS = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
"""The left and the right lid's key, to index an array with."""


def mirrored_name(name: str) -> str:
    """The name of the key on the other side of the face (a central key is its own mirror)."""
    if name.endswith("Left"):
        other = name[:-4] + "Right"
    elif name.endswith("Right"):
        other = name[:-5] + "Left"
    else:
        return name
    return other if other in ARKIT_INDEX else name
