"""Make the 52 ARKit keys of the mean head from MakeHuman's CC0 face units and ICT-FaceKit's expressions.

Lid motion as a rotation about the eyeball: for blinking, and for following the gaze down.
"""

import numpy as np

from backend.geometry.template import Template
from backend.geometry.vectors import smoothstep
from backend.rig import personalise
from backend.rig.measure import EyeLoops, eye_angles, eye_sphere, face_loops, from_eye_angles, lid_openings, part_slice
from backend.rig.mouth import jaw_turns, rest_jaw_parts
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, mirrored_name
from protocol.similarity import fit_similarity

_FULL_ROWS = 2
"""Rows beyond the lid's margin that rotate as far as the margin."""
_UPPER_REACH, _LOWER_REACH = 9.0, 7.0
"""Rows beyond the margin at which a lid's rotation has faded out."""
_POCKET_SHARE = 0.6
"""Share of the rotation for the rows behind the lid."""


def turn_lids(template: Template, eye: int, upper_share: float, lower_share: float) -> np.ndarray:
    """Offsets (V, 3) in metres that rotate the lids of eye 0 (left) or 1 (right) about the eyeball's centre.

    The upper lid's edge moves down by ``upper_share`` of the opening at its azimuth, the lower lid's edge moves up by
    ``lower_share`` (negative: down). Shares that sum to 1 shut the eye along a smooth curve.
    """
    neutral = template.vertices.astype(np.float64)
    loops = face_loops(template).eyes[eye]
    centre, radius = eye_sphere(template, neutral, eye)
    azimuths, openings = lid_openings(template, neutral, eye)
    order = np.argsort(azimuths)
    abscissas, heights = azimuths[order], openings[order] * 1e-3 / radius
    # the opening is zero at the corners
    corners = eye_angles(neutral[loops.rows[loops.margin + 1, [loops.inner, loops.outer]]], centre)[0]
    abscissas = np.concatenate([[corners.min()], abscissas, [corners.max()]])
    heights = np.concatenate([[0.0], heights, [0.0]])
    offsets = np.zeros_like(neutral)
    lids = ((loops.upper, -upper_share, _UPPER_REACH), (loops.lower, lower_share, _LOWER_REACH))
    for columns, share, reach in lids:
        grid = loops.rows[:, columns]
        azimuth, elevation, distance = eye_angles(neutral[grid], centre)
        across = eye_angles(neutral[loops.rows[loops.margin + 1, columns]], centre)[0]
        turn = share * _fade(loops, reach)[:, None] * np.interp(across, abscissas, heights)
        offsets[grid] = from_eye_angles(azimuth, elevation + turn, distance, centre) - neutral[grid]
    return offsets


def _fade(loops: EyeLoops, reach: float) -> np.ndarray:
    rows = np.arange(len(loops.rows)) - loops.margin
    out = 1.0 - smoothstep(_FULL_ROWS, reach, rows)
    return np.where(rows < 0, 1.0 + rows * (1.0 - _POCKET_SHARE) / 3.0, out)


GAINS = {
    "browInnerUp": 1.5, "browOuterUpLeft": 1.8, "browOuterUpRight": 1.8, "cheekPuff": 1.8, "mouthLeft": 1.6,
    "mouthRight": 1.6, "mouthUpperUpLeft": 1.65, "mouthUpperUpRight": 1.65, "mouthRollLower": 2.0,
    "mouthShrugLower": 2.0, "jawOpen": 1.15, "mouthClose": 1.15, "mouthPucker": 1.3,
}  # fmt: skip
"""Factors that bring MakeHuman's face units to the size of ICT-FaceKit's."""

GAZE_DEGREES = {"eyeLookUp": 25.0, "eyeLookDown": 28.0, "eyeLookIn": 28.0, "eyeLookOut": 28.0}
"""Rotation of the eyeball at weight 1."""

BLINK_SHARES = (0.88, 0.12)
"""Shares of the eye's opening by which the upper lid moves down and the lower lid up when the eye shuts."""
LOOK_DOWN_SHARES = (0.55, -0.14)
"""The same when lids follow the gaze down."""

WHOLE_FACE_SIDES = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
"""Keys that are named after a direction, not after a half of the face."""

_BLEND = {"eye": 0.004, "brow": 0.010, "cheek": 0.008, "nose": 0.007, "mouth": 0.010}
"""Half width in metres of the band around the median plane in which a one-sided key fades out."""
_LEAST_MOTION = 2e-5
"""Metres: smaller offsets are set to zero."""


FROM_MAKEHUMAN = (
    "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose",
)  # fmt: skip
"""Keys from MakeHuman. The others use ICT-FaceKit's motion, which is better (scans of real faces), except
``tongueOut``, which is computed."""

CLOSED_MOUTH_KEYS = (
    "jawForward", "jawLeft", "jawRight", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthFrownLeft",
    "mouthDimpleLeft", "mouthStretchLeft", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthPressLeft",
    "cheekPuff", "cheekSquintLeft",
)  # fmt: skip
"""Keys that keep the mouth shut (a left one together with its right one)."""


def bake_expressions(template: Template, facekit: np.ndarray | None = None) -> np.ndarray:
    """Make the 52 keys of the mean head.

    Parameters
    ----------
    template : everything but the keys; ``template.expressions`` holds MakeHuman's raw face units (gain 1).
    facekit : (52, V_head, 3) ICT-FaceKit's motion (``facekit_keys``); without it all keys are MakeHuman's.

    Returns
    -------
    (52, V, 3) float32 offsets at weight 1, metres. Left and right keys are mirror images. One-sided keys do not move
    the other side. Eyeballs and lower teeth move rigidly. ``tongueOut`` comes from ``tongue_out_key``. ``eyeBlink*``
    shuts the lids on the eyeball, lips meet at ``jawOpen`` + ``mouthClose``, lashes follow the lids.
    """
    raw = template.expressions.astype(np.float64)
    keys = makehuman_keys(template)
    if facekit is not None:
        for index, name in enumerate(ARKIT_NAMES):
            if not name.startswith(FROM_MAKEHUMAN):
                keys[index, : template.head.vertex_stop] = facekit[index]
    keys = symmetrise(template, keys)
    for name in CLOSED_MOUTH_KEYS:
        _keep_lips_together(template, keys, name)
    keys = separate_sides(template, symmetrise(template, keys))
    keys[np.linalg.norm(keys, axis=2) < _LEAST_MOTION] = 0.0
    neutral = template.vertices
    for eye, side in enumerate(("Left", "Right")):
        blink, down = ARKIT_INDEX[f"eyeBlink{side}"], ARKIT_INDEX[f"eyeLookDown{side}"]
        keys[blink] = turn_lids(template, eye, *BLINK_SHARES)
        keys[down] = turn_lids(template, eye, *LOOK_DOWN_SHARES)
        keys[blink] = personalise.close_lids(template, neutral, keys[blink], eye)
    personalise.lift_lids(template, neutral, keys)
    pocket = personalise.bind_pocket(template)
    for name, offsets in zip(ARKIT_NAMES, keys, strict=True):
        if name not in personalise.OPEN_MOUTH_KEYS:
            personalise.keep_pocket_inside(template, pocket, neutral, offsets)
    close, jaw = ARKIT_INDEX["mouthClose"], ARKIT_INDEX["jawOpen"]
    keys[close] = personalise.meet_lips(template, neutral, keys[jaw], keys[close])
    _turn_eyes(template, keys)
    _move_teeth(template, raw, keys)
    keys[ARKIT_INDEX["tongueOut"]] = personalise.tongue_out_key(
        template, neutral, dict(zip(ARKIT_NAMES, keys, strict=True))
    )
    keys = keys.astype(np.float32)
    personalise.carry_lashes(template, personalise.bind_lashes(template), neutral, keys)
    return symmetrise(template, keys).astype(np.float32)


def makehuman_keys(template: Template) -> np.ndarray:
    """(52, V, 3) MakeHuman's face units with ``GAINS``; ``jawOpen`` is scaled along its arc."""
    raw = template.expressions.astype(np.float64)
    keys = raw * np.array([GAINS.get(name, 1.0) for name in ARKIT_NAMES])[:, None, None]
    keys[ARKIT_INDEX["jawOpen"]] = _open_jaw(template, raw[ARKIT_INDEX["jawOpen"]], GAINS["jawOpen"])
    return keys


def _keep_lips_together(template: Template, keys: np.ndarray, name: str) -> None:
    """Close the gap that the key opens between the lips; a left and a right key share the correction of their sum."""
    index, partner = ARKIT_INDEX[name], ARKIT_INDEX[mirrored_name(name)]
    if index == partner or name in WHOLE_FACE_SIDES:
        keys[index] = personalise.meet_lips(template, template.vertices, 0.0 * keys[index], keys[index])
        return
    both = keys[index] + keys[partner]
    correction = 0.5 * (personalise.meet_lips(template, template.vertices, 0.0 * both, both) - both)
    keys[index] += correction
    keys[partner] += correction


def symmetrise(template: Template, keys: np.ndarray) -> np.ndarray:
    """Keys (52, V, 3) averaged with the mirror images of their partners."""
    flip = np.array([-1.0, 1.0, 1.0])
    partners = [ARKIT_INDEX[mirrored_name(name)] for name in ARKIT_NAMES]
    return 0.5 * (keys + keys[partners][:, template.mirror] * flip)


def separate_sides(template: Template, keys: np.ndarray) -> np.ndarray:
    """Split one-sided keys at the median plane: each keeps its own half of left + right, whose sum does not change.

    The halves blend within the band ``_BLEND``.
    """
    keys = keys.copy()
    across = template.vertices[:, 0].astype(np.float64)
    for name in ARKIT_NAMES:
        if not name.endswith("Left") or name in WHOLE_FACE_SIDES:
            continue
        left, right = ARKIT_INDEX[name], ARKIT_INDEX[mirrored_name(name)]
        width = next(w for prefix, w in _BLEND.items() if name.startswith(prefix))
        share = smoothstep(0.0, 1.0, 0.5 + 0.5 * across / width)[:, None]
        both = keys[left] + keys[right]
        keys[left], keys[right] = share * both, (1.0 - share) * both
    return keys


def carried_face_units(doll: Template, target: np.ndarray) -> np.ndarray:
    """Transfer MakeHuman's face units (``doll.expressions`` on ``doll.vertices``) to another face of the same topology.

    ``target`` (V, 3) is that face in about the same orientation. The head uses deformation transfer; the offsets of the
    other parts are scaled. Returns (52, V, 3) float32 metres.
    """
    head = doll.head
    quads = doll.quads[head.face_start : head.face_stop]
    skin = doll.vertices[: head.vertex_stop].astype(np.float64)
    spread = [np.linalg.norm(face - face.mean(0), axis=1).mean() for face in (skin, target[: head.vertex_stop])]
    units = doll.expressions * np.float32(spread[1] / spread[0])
    source = personalise.source_deformations(skin * (spread[1] / spread[0]), quads, units[:, : head.vertex_stop])
    units[:, : head.vertex_stop] = personalise.transfer(source, target[: head.vertex_stop])
    return units


def _hinge(rotation: np.ndarray, translation: np.ndarray) -> tuple[float, np.ndarray]:
    """Angle (radians, about +x) and fixed point (3,) of a rotation about the x axis with a translation."""
    angle = float(np.arctan2(rotation[2, 1], rotation[1, 1]))
    fixed = np.linalg.lstsq((np.eye(3) - rotation)[1:, 1:], translation[1:], rcond=None)[0]
    return angle, np.array([0.0, *fixed])


def _about_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _open_jaw(template: Template, raw: np.ndarray, gain: float) -> np.ndarray:
    """``jawOpen`` with ``gain`` times the angle: each vertex keeps its share of the jaw's rotation; the residual is
    scaled."""
    neutral = template.vertices.astype(np.float64)
    teeth = part_slice(template.parts["teeth_lower"])
    _, rotation, translation = fit_similarity(neutral[teeth], neutral[teeth] + raw[teeth], scale=1.0)
    angle, pivot = _hinge(rotation, translation)
    arm = neutral - pivot
    old = arm @ (_about_x(angle) - np.eye(3)).T
    new = arm @ (_about_x(gain * angle) - np.eye(3)).T
    share = np.clip((raw * old).sum(1) / np.maximum((old * old).sum(1), 1e-12), 0.0, 1.0)[:, None]
    return share * new + gain * (raw - share * old)


def _move_teeth(template: Template, raw: np.ndarray, keys: np.ndarray) -> None:
    """Move lower teeth and tongue rigidly in the jaw's keys; upper teeth, and all of them in other keys, stay still."""
    neutral = template.vertices.astype(np.float64)
    moved = rest_jaw_parts(template, keys)
    for index, rotation, translation in jaw_turns(template, raw):
        if ARKIT_NAMES[index] == "jawOpen":
            angle, pivot = _hinge(rotation, translation)
            rotation = _about_x(GAINS["jawOpen"] * angle)
            translation = pivot - rotation @ pivot
        for rows in moved:
            keys[index, rows] = neutral[rows] @ rotation.T + translation - neutral[rows]


def _turn_eyes(template: Template, keys: np.ndarray) -> None:
    neutral = template.vertices.astype(np.float64)
    for eye, side in enumerate(("Left", "Right")):
        rows = part_slice(template.parts[f"eye_{side.lower()}"])
        centre, _ = eye_sphere(template, neutral, eye)
        keys[:, rows] = 0.0
        outwards = 1.0 if side == "Left" else -1.0
        for name, degrees in GAZE_DEGREES.items():
            angle = np.radians(degrees)
            if name.endswith(("Up", "Down")):
                rotation = _about_x(-angle if name.endswith("Up") else angle)
            else:
                turn = outwards * (angle if name.endswith("Out") else -angle)
                c, s = np.cos(turn), np.sin(turn)
                rotation = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
            keys[ARKIT_INDEX[name + side], rows] = (neutral[rows] - centre) @ (rotation - np.eye(3)).T
