"""The 52 ARKit blendshape names, in the order in which every array of this project holds them."""

from __future__ import annotations

from protocol.names import ARKIT_NAMES

ARKIT_INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}
assert len(ARKIT_INDEX) == 52

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
