"""The 52 ARKit keys of one face: the template's keys transferred to its neutral shape, with contacts made exact."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np

from backend.geometry.template import Template
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, LIDS
from backend.rig.contacts import close_lids, lift_lids, meet_lips
from backend.rig.deformation_transfer import SourceDeformations, source_deformations, transfer
from backend.rig.lashes import LashBinding, bind_lashes, carry_lashes
from backend.rig.pocket import OPEN_MOUTH_KEYS, PocketBinding, bind_pocket, keep_pocket_inside, pocket_depths
from backend.rig.rigid_parts import move_jaw_parts, rotate_eyes
from backend.rig.tongue import tongue_out_key


@dataclass(frozen=True)
class _Prepared:
    source: SourceDeformations
    lashes: LashBinding
    pocket: PocketBinding
    pocket_depths: np.ndarray  # (52, P, 4) on the template's own posed head


_PREPARED: dict[int, _Prepared] = {}
_ALIVE: weakref.WeakValueDictionary[int, Template] = weakref.WeakValueDictionary()


def personalise_keys(template: Template, neutral: np.ndarray) -> np.ndarray:
    """The 52 ARKit keys of the face ``neutral``.

    Parameters
    ----------
    template : with the mean face's keys in ``template.expressions``.
    neutral : (V, 3) float32 neutral vertices of all parts, template order, head frame, metres.

    Returns
    -------
    (52, V, 3) float32 offsets at weight 1, metres, in the order of ``ARKIT_NAMES``. Skin by deformation transfer;
    then lids shut on this face's eyeballs, lips meet at ``jawOpen`` + ``mouthClose``, eyeballs turn about their
    own centres, lower teeth and tongue move rigidly with this face's jaw, lashes with the lids. Vertices that the
    template's key does not move (the other side of the face) stay at rest. ``tongueOut`` is computed anew
    (``tongue_out_key``).

    Raises ``ValueError`` when ``neutral`` does not have the template's vertices or is not finite.
    """
    if neutral.shape != template.vertices.shape:
        raise ValueError(f"neutral has shape {neutral.shape}, the template {template.vertices.shape}")
    if not np.isfinite(neutral).all():
        raise ValueError("neutral has vertices that are not finite")
    prepared = _prepare(template)
    head = template.head.vertex_stop
    keys = np.zeros_like(template.expressions)
    keys[:, :head] = transfer(prepared.source, neutral[:head])
    for eye, blink in enumerate(LIDS):
        keys[blink] = close_lids(template, neutral, keys[blink], eye)
    lift_lids(template, neutral, keys)
    for name, offsets, depths in zip(ARKIT_NAMES, keys, prepared.pocket_depths, strict=True):
        if name not in OPEN_MOUTH_KEYS:
            keep_pocket_inside(template, prepared.pocket, neutral, offsets, depths)
    jaw_open, mouth_close = keys[ARKIT_INDEX["jawOpen"]], keys[ARKIT_INDEX["mouthClose"]]
    keys[ARKIT_INDEX["mouthClose"]] = meet_lips(template, neutral, jaw_open, mouth_close)
    rotate_eyes(template, neutral, keys)
    move_jaw_parts(template, neutral, keys)
    keys[ARKIT_INDEX["tongueOut"]] = tongue_out_key(template, neutral, dict(zip(ARKIT_NAMES, keys, strict=True)))
    carry_lashes(template, prepared.lashes, neutral, keys)
    return keys


def _prepare(template: Template) -> _Prepared:
    key = id(template)
    if _ALIVE.get(key) is not template:
        head = template.head
        quads = template.quads[head.face_start : head.face_stop]
        vertices, offsets = template.vertices[: head.vertex_stop], template.expressions[:, : head.vertex_stop]
        pocket = bind_pocket(template)
        depths = [pocket_depths(template, pocket, template.vertices + posed) for posed in template.expressions]
        source = source_deformations(vertices, quads, offsets)
        _PREPARED[key] = _Prepared(source, bind_lashes(template), pocket, np.stack(depths))
        _ALIVE[key] = template
    return _PREPARED[key]
