"""Names of the bones and of what else the armature has, as the field has them; ``.L`` is the person's left."""

from __future__ import annotations

ROOT, NECK, HEAD, JAW, EYE_TARGET = "root", "neck", "head", "jaw", "eye_target"
EYES: tuple[str, str] = ("eye.L", "eye.R")
TONGUE: tuple[str, str] = ("tongue.01", "tongue.02")
PARENTS: dict[str, str | None] = {
    ROOT: None,
    NECK: ROOT,
    HEAD: NECK,
    JAW: HEAD,
    EYES[0]: HEAD,
    EYES[1]: HEAD,
    TONGUE[0]: JAW,
    TONGUE[1]: TONGUE[0],
    EYE_TARGET: ROOT,
}
"""Bone -> parent, parents first."""
DEFORMING: frozenset[str] = frozenset([ROOT, NECK, HEAD, JAW, *TONGUE])
"""Bones that move vertices. The jaw carries the tongue alone: skin and teeth open by their keys. Eyes turn by keys."""
EYE_AIM = "eye_aim"
"""Custom property of the armature object, 0-1: how far the eyes look at the target; of use while bones lead them."""
JAW_LED, EYES_LED = "JAW", "EYES"
"""What is led by keys or by bones."""
BONES_OF: dict[str, tuple[str, ...]] = {JAW_LED: (JAW,), EYES_LED: EYES}
JAW_KEYS: tuple[str, ...] = ("jawOpen", "jawForward", "jawLeft", "jawRight")
LOOKS: tuple[str, ...] = ("eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut")
LEADABLE_KEYS: frozenset[str] = frozenset([*JAW_KEYS, *(look + side for look in LOOKS for side in ("Left", "Right"))])
"""Keys that bones may drive."""
