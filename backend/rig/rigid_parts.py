"""Parts that move rigidly: eyeballs, lower teeth, tongue."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backend.geometry.template import Template
from backend.geometry.vectors import nearest_similarity
from backend.rig.arkit import ARKIT_INDEX
from backend.rig.measure import eye_sphere, part_slice
from protocol.names import ARKIT_NAMES

JAW_KEYS = ("jawOpen", "jawForward", "jawLeft", "jawRight")
_CHIN_WEIGHT = 0.95
"""Jaw skinning weight, relative to the largest, from which on skin follows the bone rigidly (chin and jaw line)."""


def rotate_eyes(template: Template, neutral: np.ndarray, keys: np.ndarray) -> None:
    """Write the eyeballs' offsets into ``keys`` (52, V, 3): the template key's rotation about this face's eye centre.

    A linear key moves a point along the chord of its arc; at weight 1 the eyeball is exactly rotated.
    """
    for eye, part in enumerate(("eye_left", "eye_right")):
        place = part_slice(template.parts[part])
        centre, _ = eye_sphere(template, neutral, eye)
        for index in range(len(ARKIT_NAMES)):
            offsets = template.expressions[index, place]
            if not np.any(offsets):
                keys[index, place] = 0.0
                continue
            shape = template.vertices[place].astype(np.float64)
            rotation = nearest_similarity(shape, shape + offsets, with_scale=False).rotation
            keys[index, place] = (neutral[place] - centre) @ (rotation - np.eye(3)).T


def move_jaw_parts(template: Template, neutral: np.ndarray, keys: np.ndarray) -> None:
    """Write the offsets of teeth and tongue into ``keys`` (52, V, 3), which must already hold the head's.

    They move in ``JAW_KEYS`` alone (``tongueOut`` is made by ``tongue_out_key``). Lower teeth and tongue rotate as on
    the template. Their translation follows this face's chin: the motion of chin relative to teeth is the template's,
    scaled by the size of the face.
    """
    size = similarity_scale(template, neutral)
    chin = _chin(template)
    base = template.vertices.astype(np.float64)
    face = neutral.astype(np.float64)
    moved = rest_jaw_parts(template, keys)
    for index, rotation, translation in jaw_turns(template, template.expressions):
        skin = template.expressions[index, chin] - (base[chin] @ rotation.T + translation - base[chin])
        target_skin = keys[index, chin] - (face[chin] @ rotation.T - face[chin])
        target_translation = (target_skin - size * skin).mean(0)
        for place in moved:
            keys[index, place] = face[place] @ rotation.T + target_translation - face[place]


def rest_jaw_parts(template: Template, keys: np.ndarray) -> tuple[slice, slice]:
    """Set the offsets of teeth and tongue to 0 in all ``keys`` (52, V, 3). Returns the vertices that move with the jaw:
    lower teeth, tongue."""
    moved = part_slice(template.parts["teeth_lower"]), part_slice(template.parts["tongue"])
    for place in (part_slice(template.parts["teeth_upper"]), *moved):
        keys[:, place] = 0.0
    return moved


def jaw_turns(template: Template, keys: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Index of each of ``JAW_KEYS``, and the rotation (3, 3) and translation (3,) of the lower teeth in ``keys``
    (52, V, 3)."""
    teeth = part_slice(template.parts["teeth_lower"])
    base = template.vertices[teeth].astype(np.float64)
    for index in (ARKIT_INDEX[name] for name in JAW_KEYS):
        _, rotation, translation = nearest_similarity(base, base + keys[index, teeth], with_scale=False)
        yield index, rotation, translation


def similarity_scale(template: Template, neutral: np.ndarray) -> float:
    """Size of the mouth's parts on this face relative to the template's."""
    place = np.r_[part_slice(template.parts["teeth_lower"]), part_slice(template.parts["tongue"])]
    ours = neutral[place] - neutral[place].mean(0)
    theirs = template.vertices[place] - template.vertices[place].mean(0)
    return float(np.sqrt((ours**2).sum() / (theirs**2).sum()))


def _chin(template: Template) -> np.ndarray:
    head = template.head
    weights = template.jaw_weights[: head.vertex_stop]
    moved = np.linalg.norm(template.expressions[ARKIT_INDEX["jawOpen"], : head.vertex_stop], axis=1)
    chosen = np.flatnonzero((weights >= _CHIN_WEIGHT * weights.max()) & (moved > 0.5 * moved.max()))
    return chosen if len(chosen) else np.argsort(-moved)[:50]
