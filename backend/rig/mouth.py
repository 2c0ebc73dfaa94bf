"""The mouth of one face: lips that touch, parts that move rigidly, and what the template's ``Sculpture`` holds.

Teeth with their gum, tongue, palate and throat are sculpted on the mean face and carried to a face by the motion of
``hm08``'s teeth and tongue, which is that of the identity modes: the same linear map for all three.
"""

import numpy as np
import scipy.sparse as sp

from backend.geometry.subdivision import subdivision
from backend.geometry.template import Template
from backend.geometry.vectors import smoothstep
from backend.rig.measure import MouthLoops, eye_sphere, face_loops, part_slice
from protocol.names import ARKIT_INDEX, ARKIT_NAMES
from protocol.similarity import fit_similarity

TEETH = ("teeth_upper", "teeth_lower")
JAW_KEYS = ("jawOpen", "jawForward", "jawLeft", "jawRight")
_CHIN_WEIGHT = 0.95
"""Jaw skinning weight, relative to the largest, from which on skin follows the bone rigidly (chin and jaw line)."""
REACH_ROWS = 6
"""Number of loops outside the contact over which a correction fades."""

LEAST_OVERLAP = 0.0005
"""Metres by which closed lips overlap: with 0.3 mm, teeth show between them from below."""

_SEARCHED_ROWS = (-2, -1, 0, 1)
"""Loops, counted from the contact, of which at least one must touch."""


def closed_lips(template: Template, neutral: np.ndarray) -> np.ndarray:
    """``neutral`` (V, 3) with shut lips (``touch_lips``); all other vertices are unchanged."""
    head = template.head.vertex_stop
    smooth = subdivision(1).matrix[:head, :head]
    closed = neutral.astype(np.float64)
    closed[:head] = touch_lips(closed[:head], smooth, face_loops(template).mouth, LEAST_OVERLAP)
    return closed


def touch_lips(points: np.ndarray, smooth: sp.csr_matrix, mouth: MouthLoops, overlap: float) -> np.ndarray:
    """``points`` (H, 3) moved until the lips touch everywhere: at each place across the mouth, the smooth surface
    ``smooth @ points`` of the upper lip is ``overlap`` metres below the lower lip's in at least one loop."""
    points = points.copy()
    across = abscissas_across(points, mouth)
    window = np.minimum(1.0, 10.0 * (1.0 - np.abs(np.linspace(-1, 1, 64))))  # both lips share the corners
    for _ in range(4):
        surface = smooth @ points
        gaps = [lips_apart(surface, mouth, row, across) for row in _SEARCHED_ROWS]
        _share_between_lips(points, np.maximum(np.min(gaps, axis=0) + overlap, 0.0) * window, mouth, across)
    return points


def abscissas_across(points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """(64,) places across the mouth, from corner to corner."""
    contact = mouth.rows[mouth.contact]
    return np.linspace(points[contact, 0].min(), points[contact, 0].max(), 64)


def lips_apart(points: np.ndarray, mouth: MouthLoops, row: int, across: np.ndarray) -> np.ndarray:
    """(64,) heights of the upper lip of points (H, 3) minus those of the lower lip, on loop ``row`` counted from the
    contact."""
    loop, heights = mouth.rows[mouth.contact + row], []
    for side in (mouth.upper, mouth.lower):
        lip = points[loop[np.r_[mouth.right, side, mouth.left]]]
        lip = lip[np.argsort(lip[:, 0])]
        heights.append(np.interp(across, lip[:, 0], lip[:, 1]))
    return heights[0] - heights[1]


def _share_between_lips(points: np.ndarray, change: np.ndarray, mouth: MouthLoops, across: np.ndarray) -> None:
    """Add half of ``change`` (64,) to the lower lip's heights, subtract half from the upper lip's; in place. It has the
    weight 1 inside the mouth, falling to 0 over ``REACH_ROWS`` loops of the lips' skin."""
    fade = smoothstep(0.0, 1.0, 1.0 - (np.arange(len(mouth.rows)) - mouth.contact) / REACH_ROWS)
    places = points[mouth.rows[mouth.contact], 0]
    for side, sign in ((mouth.upper, -0.5), (mouth.lower, 0.5)):
        amount = np.interp(places[side], across, change)
        for row, weight in zip(mouth.rows, fade, strict=True):
            points[row[side], 1] += sign * weight * amount


def rotate_eyes(template: Template, neutral: np.ndarray, keys: np.ndarray) -> None:
    """Write the eyeballs' offsets into ``keys`` (52, V, 3): the template key's rotation about this face's eye centre.

    A linear key moves a point along the chord of its arc; at weight 1 the eyeball is exactly rotated.
    """
    for eye, part in enumerate(("eye_left", "eye_right")):
        rows = part_slice(template.parts[part])
        centre, _ = eye_sphere(template, neutral, eye)
        for index in range(len(ARKIT_NAMES)):
            offsets = template.expressions[index, rows]
            if not np.any(offsets):
                keys[index, rows] = 0.0
                continue
            shape = template.vertices[rows].astype(np.float64)
            rotation = fit_similarity(shape, shape + offsets, scale=1.0).rotation
            keys[index, rows] = (neutral[rows] - centre) @ (rotation - np.eye(3)).T


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
    teeth = part_slice(template.parts["teeth_lower"])
    moved = teeth, part_slice(template.parts["tongue"])
    for rows in (part_slice(template.parts["teeth_upper"]), *moved):
        keys[:, rows] = 0.0
    for index in (ARKIT_INDEX[name] for name in JAW_KEYS):
        _, rotation, translation = fit_similarity(
            base[teeth], base[teeth] + template.expressions[index, teeth], scale=1.0
        )
        skin = template.expressions[index, chin] - (base[chin] @ rotation.T + translation - base[chin])
        target_skin = keys[index, chin] - (face[chin] @ rotation.T - face[chin])
        target_translation = (target_skin - size * skin).mean(0)
        for rows in moved:
            keys[index, rows] = face[rows] @ rotation.T + target_translation - face[rows]


def similarity_scale(template: Template, neutral: np.ndarray) -> float:
    """Size of the mouth's parts on this face relative to the template's."""
    rows = np.r_[part_slice(template.parts["teeth_lower"]), part_slice(template.parts["tongue"])]
    ours = neutral[rows] - neutral[rows].mean(0)
    theirs = template.vertices[rows] - template.vertices[rows].mean(0)
    return float(np.sqrt((ours**2).sum() / (theirs**2).sum()))


def _chin(template: Template) -> np.ndarray:
    head = template.head
    weights = template.jaw_weights[: head.vertex_stop]
    moved = np.linalg.norm(template.expressions[ARKIT_INDEX["jawOpen"], : head.vertex_stop], axis=1)
    chosen = np.flatnonzero((weights >= _CHIN_WEIGHT * weights.max()) & (moved > 0.5 * moved.max()))
    return chosen if len(chosen) else np.argsort(-moved)[:50]


def _carry(source: np.ndarray, target: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 3), float64, by the linear map and translation that fit ``source`` (N, 3) to ``target`` (N, 3)."""
    middle = source.mean(0, dtype=np.float64)
    arms = np.concatenate([source - middle, np.ones((len(source), 1))], axis=1)
    linear = np.linalg.lstsq(arms, target.astype(np.float64), rcond=None)[0]  # (4, 3)
    return (points - middle) @ linear[:3] + linear[3]


def _mouth_rows(template: Template) -> slice:
    return slice(template.parts["teeth_upper"].vertex_start, template.parts["tongue"].vertex_stop)


def mouth_shapes(template: Template, neutral: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neutral (V, 3) metres and keys (52, V, 3) of the face with the sculpted teeth, tongue and mouth cavity."""
    mouth, rows = template.sculpture, _mouth_rows(template)
    corners = mouth.corner.astype(np.int64)
    carried = (mouth.rest, mouth.lining.reshape(-1, 3), template.vertices[corners].reshape(-1, 3))
    carried = _carry(template.vertices[rows], neutral[rows], np.concatenate(carried))
    rest, lining, corner = np.split(carried, np.cumsum([len(mouth.rest), mouth.corner.size]))
    lining = lining + mouth.corner_share.reshape(-1, 1) * (neutral[corners].reshape(-1, 3) - corner)
    neutral, keys = neutral.copy(), keys.copy()
    tongue_rows, tongue_out = part_slice(template.parts["tongue"]), ARKIT_INDEX["tongueOut"]
    out = neutral[tongue_rows] + keys[tongue_out, tongue_rows]
    for name in (*TEETH, "tongue"):
        part = part_slice(template.parts[name])
        _reshape(neutral, keys, part, rest[part.start - rows.start : part.stop - rows.start].astype(np.float32))
    keys[tongue_out, tongue_rows] = out - neutral[tongue_rows]
    _line_with_cavity(template, lining.reshape(*corners.shape, 3), neutral, keys)
    return neutral, keys


def _line_with_cavity(template: Template, places: np.ndarray, neutral: np.ndarray, keys: np.ndarray) -> None:
    """Move gums, palate and throat of ``neutral`` (V, 3) to ``places`` (7, 38, 3) around its teeth; ``keys`` (52, V, 3)
    go along. In place."""
    mouth = template.sculpture
    grid = mouth.lining_vertices.astype(np.int64)
    lower = part_slice(template.parts["teeth_lower"])
    before = neutral[lower].astype(np.float64)
    for index in range(len(ARKIT_NAMES)):
        rigid = np.zeros(places.shape)
        if np.any(keys[index, lower]):
            turned = fit_similarity(before, before + keys[index, lower], scale=1.0)
            rigid = mouth.jaw_share[..., None] * (turned.apply(places) - places)
        keys[index, grid] += mouth.rigid_share[..., None] * (rigid - keys[index, grid])
    neutral[grid] = places


def _reshape(neutral: np.ndarray, keys: np.ndarray, rows: slice, shape: np.ndarray) -> None:
    """Give a part a new shape (P, 3), in place; its rigid keys apply the same motion to the new shape."""
    before = neutral[rows].astype(np.float64)
    for index in range(len(ARKIT_NAMES)):
        moved = keys[index, rows]
        if not np.any(moved):
            continue
        motion = fit_similarity(before, before + moved, scale=1.0)
        keys[index, rows] = shape @ (motion.rotation - np.eye(3)).T + motion.translation
    neutral[rows] = shape


def sculpted_teeth(
    template: Template, part: str, neutral: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The row of teeth ``part`` of a finished face (V, 3) with keys (52, V, 3), as single crowns in their gum: vertices
    (N, 3) and keys (52, N, 3), float32.

    ``hm08`` has a plain band of 68 vertices, whose smooth surface ends 2.8 mm above its biting edge.
    """
    rows = part_slice(template.parts[part])
    vertices = _carry(_band(template, part), neutral[rows], template.sculpture.crowns[TEETH.index(part)])
    moves = np.zeros((len(keys), *vertices.shape), np.float32)
    for index in np.flatnonzero(np.abs(keys[:, rows]).max((1, 2))):
        motion = fit_similarity(neutral[rows], neutral[rows] + keys[index, rows], scale=1.0)
        moves[index] = motion.apply(vertices) - vertices
    return vertices.astype(np.float32), moves


def _band(template: Template, part: str) -> np.ndarray:
    """(68, 3) vertices of ``hm08``'s row of teeth on the finished mean face."""
    rows, first = part_slice(template.parts[part]), _mouth_rows(template).start
    return template.sculpture.rest[rows.start - first : rows.stop - first]


def with_plain_teeth(template: Template, neutral: np.ndarray) -> np.ndarray:
    """(V, 3) float32 of a written head (V, 3), whose rows of teeth are the crowns' vertices with hm08's numbers: the
    bands below these crowns."""
    neutral = neutral.astype(np.float32)
    for row, part in enumerate(TEETH):
        rows, strip = part_slice(template.parts[part]), template.sculpture.crown_strip[row]
        crowns = template.sculpture.crowns[row][np.argsort(strip)[-int((strip >= 0).sum()) :]]
        neutral[rows] = _carry(crowns, neutral[rows], _band(template, part))
    return neutral
