"""Names of the bones and of the armature's other data, following common rig conventions; ``.L`` is the person's
left."""

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
"""Bones with vertex weights. The jaw bone carries only the tongue; skin and teeth open by keys. Eyes turn by keys."""
EYE_AIM = "eye_aim"
"""Custom property of the armature object, 0-1: influence of the eyes' aim at the target while bones lead them."""
JAW_LED, EYES_LED = "JAW", "EYES"
"""The two groups that keys or bones lead."""
BONES_OF: dict[str, tuple[str, ...]] = {JAW_LED: (JAW,), EYES_LED: EYES}
JAW_KEYS: tuple[str, ...] = ("jawOpen", "jawForward", "jawLeft", "jawRight")
EYE_LOOK_KEYS: tuple[str, ...] = ("eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut")
LEADABLE_KEYS: frozenset[str] = frozenset(
    [*JAW_KEYS, *(look + side for look in EYE_LOOK_KEYS for side in ("Left", "Right"))]
)
"""Keys that bones may drive."""
