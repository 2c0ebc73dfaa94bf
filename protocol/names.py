"""Names that backend, trainer and add-on share: the 52 ARKit keys in the order in which every array holds them and
their spellings in other programs, the parts of a head, the format of an expression file, and the landmarks an artist
sees.

Begin with ``ARKIT_NAMES`` and ``arkit_name``. This file imports the standard library alone, so that every
process can load it, Blender too, which has it as ``blender_addon/shared/names.py``.
"""

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
ARKIT_INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}
LIDS = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
"""Indices of the keys that close the left and the right eye."""

PART_NAMES: tuple[str, ...] = ("head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "lashes")
"""The parts of a head; the first one drives the others."""
LASHES = PART_NAMES[-1]
EYE_PART_NAMES: tuple[str, ...] = ("cornea_left", "cornea_right", "tear_lines", "caruncles")
"""Meshes that lie over the eyeballs; no part of the template."""
GLASSES = ("glasses", "lenses")
"""Frame and lenses, if the person wears glasses."""
BUST = "bust"
"""Neck and shoulders, if requested for the head."""
ALL_PART_NAMES: tuple[str, ...] = (*PART_NAMES, *EYE_PART_NAMES, *GLASSES, BUST)

EXPRESSION_FORMAT, EXPRESSION_VERSION = "likeness-expression", 1
"""``format`` and ``version`` of an ``expression.json`` (docs/expressions.md)."""

SIDES = {"l": "Left", "lt": "Left", "lft": "Left", "left": "Left", "r": "Right", "rt": "Right", "rgt": "Right",
         "right": "Right"}  # fmt: skip
"""Other programs' words for the person's sides, lower case -> the end of ARKit's names."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
"""One word of a name."""
_FLAT = {name.lower(): name for name in ARKIT_NAMES}
"""Lower case -> ARKit name."""


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in camel case or with other characters between them, lower case: ``eyeBlink_L`` is ``eye``,
    ``blink``, ``l``."""
    return tuple(word.lower() for word in _WORD.findall(name))


@cache
def arkit_name(spelling: str) -> str | None:
    """The ARKit name that ``spelling`` means: any case or separators, the side as ``_L``, ``.R`` or a word in front of,
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


def mirrored_name(name: str) -> str:
    """The name of the key on the other side of the face (a central key is its own mirror)."""
    if name.endswith("Left"):
        other = name[:-4] + "Right"
    elif name.endswith("Right"):
        other = name[:-5] + "Left"
    else:
        return name
    return other if other in ARKIT_INDEX else name


HANDLES = (
    *(10, 67, 297, 54, 284),  # hairline, middle and sides, as far as landmarks reach
    *(127, 356, 234, 454, 93, 323, 132, 361, 58, 288),  # in front of the ears, down to the jaw's corners
    *(172, 397, 136, 365, 150, 379, 149, 378, 176, 400, 148, 377, 152),  # jaw line and chin
    *(46, 53, 52, 65, 55, 276, 283, 282, 295, 285),  # lower edge of the brows
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # lids
    *(468, 473),  # pupils
    *(168, 6, 195, 4, 1, 2, 98, 327, 129, 358),  # the nose's ridge, tip, base and wings
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer edge of the lips
    *(13, 14),  # between the lips
)
"""Indices of MediaPipe landmarks shown as handles (all 478 would hide the face); while one is dragged, the other
handles stay fixed."""
