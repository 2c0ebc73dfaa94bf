"""The inside of the mouth: dental arches, cavity, and its keys.

The dental arches: ``hm08``'s strips of 17 columns, an outer and an inner plate that meet at the biting edge.

The mouth's inside with gums, palate and throat, on a finished face.

``hm08``'s mouth is a sack: a tube of loops of 38 vertices behind the lips, with a roof 4 cm above the teeth and a wall
at its end. Here its last loops are moved to the teeth: behind each lip the lining meets the gum, passes between the two
plates of the teeth and continues as palate or floor, then as soft palate with uvula, and throat. Faces and UV stay the
same, and so do the lips and the loops next to them.

Lowered teeth and a flattened tongue, on a finished face.

In MakeHuman's head the rows of teeth overlap too far, an open mouth hides the upper one, and the tongue stands up to
the palate. Teeth are lowered and the tongue is flattened; their keys still move them rigidly.

Parts that move rigidly: eyeballs, lower teeth, tongue.

Teeth: single crowns and their gum, sculpted from the strips.

Lip contact: close the lips along the loops of the mouth, fading out over the lips' skin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import CubicSpline, PchipInterpolator

from backend.geometry.subdivision import subdivide
from backend.geometry.template import Template
from backend.geometry.vectors import smoothstep, unit_vectors
from backend.rig.measure import MouthLoops, eye_sphere, face_loops, mouth_tube, part_slice
from protocol.names import ARKIT_INDEX, ARKIT_NAMES
from protocol.similarity import fit_similarity

REACH_ROWS = {1: 6, 2: 4}
"""Number of loops outside the contact over which a correction fades, for heights (axis 1) and depths (axis 2)."""

LEAST_OVERLAP = 0.0005
"""Metres by which closed lips overlap: with 0.3 mm, teeth show between them from below."""

_SEARCHED_ROWS = (-2, -1, 0, 1)
"""Loops, counted from the contact, of which at least one must touch."""


def closed_lips(template: Template, neutral: np.ndarray) -> np.ndarray:
    """``neutral`` (V, 3) with shut lips (``touch_lips``); all other vertices are unchanged."""
    head = template.head.vertex_stop
    smooth = subdivide(template, 1).matrix[:head, :head]
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
        gaps = [lips_apart(surface[None, :, 1], surface, mouth, row, across)[0] for row in _SEARCHED_ROWS]
        change = np.maximum(np.min(gaps, axis=0) + overlap, 0.0) * window
        shape = points.copy()
        share_between_lips(points[None], change[None], 1, shape, mouth, across)
    return points


def abscissas_across(points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """(64,) places across the mouth, from corner to corner."""
    contact = mouth.rows[mouth.contact]
    return np.linspace(points[contact, 0].min(), points[contact, 0].max(), 64)


def lips_apart(values: np.ndarray, points: np.ndarray, mouth: MouthLoops, row: int, across: np.ndarray) -> np.ndarray:
    """(N, 64) values (N, H) on the upper lip minus those on the lower lip, on loop ``row`` counted from the contact."""
    loop = mouth.rows[mouth.contact + row]
    lips = [loop[np.r_[mouth.right, side, mouth.left]] for side in (mouth.upper, mouth.lower)]
    return _line(values, points, lips[0], across) - _line(values, points, lips[1], across)


def share_between_lips(
    target: np.ndarray, change: np.ndarray, axis: int, points: np.ndarray, mouth: MouthLoops, across: np.ndarray
) -> None:
    """Add half of ``change`` (N, 64) to the lower lip's coordinates, subtract half from the upper lip's; in place."""
    contact = mouth.rows[mouth.contact]
    for side, sign in ((mouth.upper, -0.5), (mouth.lower, 0.5)):
        amount = np.stack([np.interp(points[contact[side], 0], across, line) for line in change])
        for row, weight in zip(mouth.rows, _fade(mouth, REACH_ROWS[axis]), strict=True):
            target[:, row[side], axis] += sign * weight * amount


def _fade(mouth: MouthLoops, reach: int) -> np.ndarray:
    """(R,) weight of each loop: 1 inside the mouth, falling to 0 over ``reach`` loops of the lips' skin."""
    return smoothstep(0.0, 1.0, 1.0 - (np.arange(len(mouth.rows)) - mouth.contact) / reach)


def _line(values: np.ndarray, points: np.ndarray, vertices: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(N, 64) values (N, H) along a line of vertices, interpolated at the places across the mouth."""
    order = vertices[np.argsort(points[vertices, 0])]
    return np.stack([np.interp(across, points[order, 0], row) for row in values[:, order]])


JAW_KEYS = ("jawOpen", "jawForward", "jawLeft", "jawRight")
_CHIN_WEIGHT = 0.95
"""Jaw skinning weight, relative to the largest, from which on skin follows the bone rigidly (chin and jaw line)."""


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
    moved = rest_jaw_parts(template, keys)
    for index, rotation, translation in jaw_turns(template, template.expressions):
        skin = template.expressions[index, chin] - (base[chin] @ rotation.T + translation - base[chin])
        target_skin = keys[index, chin] - (face[chin] @ rotation.T - face[chin])
        target_translation = (target_skin - size * skin).mean(0)
        for rows in moved:
            keys[index, rows] = face[rows] @ rotation.T + target_translation - face[rows]


def rest_jaw_parts(template: Template, keys: np.ndarray) -> tuple[slice, slice]:
    """Set the offsets of teeth and tongue to 0 in all ``keys`` (52, V, 3). Returns the vertices that move with the jaw:
    lower teeth, tongue."""
    moved = part_slice(template.parts["teeth_lower"]), part_slice(template.parts["tongue"])
    for rows in (part_slice(template.parts["teeth_upper"]), *moved):
        keys[:, rows] = 0.0
    return moved


def jaw_turns(template: Template, keys: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Index of each of ``JAW_KEYS``, and the rotation (3, 3) and translation (3,) of the lower teeth in ``keys``
    (52, V, 3)."""
    teeth = part_slice(template.parts["teeth_lower"])
    base = template.vertices[teeth].astype(np.float64)
    for index in (ARKIT_INDEX[name] for name in JAW_KEYS):
        _, rotation, translation = fit_similarity(base, base + keys[index, teeth], scale=1.0)
        yield index, rotation, translation


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


COLUMNS = 17
_MEDIAN_TOLERANCE = 1e-3
"""Distance from the median plane, in metres, below which a template vertex belongs to the middle column."""


@dataclass(frozen=True)
class DentalArch:
    """One side of an arch of teeth, in metres, from the front (row 0) to the last molar (row 8).

    Attributes
    ----------
    outer : (9, 3) where the outer plate ends, in the gum behind the lip.
    bite : (9, 3) the biting edge.
    inner : (9, 3) where the inner plate ends, in the gum towards the tongue.
    """

    outer: np.ndarray
    bite: np.ndarray
    inner: np.ndarray

    @property
    def middle(self) -> float:
        """x of the median plane at the incisors."""
        return float(self.bite[0, 0])

    def at_depth(self, line: np.ndarray, z: np.ndarray | float) -> np.ndarray:
        """Points (..., 3) of ``line`` (``outer``, ``bite`` or ``inner``) at ``z``, clamped to its ends."""
        order = np.argsort(line[:, 2])
        x, y = (np.interp(z, line[order, 2], line[order, axis]) for axis in (0, 1))
        return np.stack(np.broadcast_arrays(x, y, z), axis=-1)

    def along(self, line: np.ndarray, last: float, count: int) -> np.ndarray:
        """(count, 3) points of ``line`` at equal steps, from the front to where it reaches the depth ``last``."""
        steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line[:, ::2], axis=0), axis=1))])
        stop = np.interp(-last, -line[:, 2], steps)
        return np.stack([np.interp(np.linspace(0.0, stop, count), steps, line[:, axis]) for axis in range(3)], axis=1)


def dental_arch(template: Template, neutral: np.ndarray, part: str, side: int) -> DentalArch:
    """The arch ``teeth_upper`` or ``teeth_lower`` of a face (V, 3) on its left (``side`` 1) or right (-1)."""
    rows = part_slice(template.parts[part])
    columns = _columns(template, part)  # (9, 4) of the left
    if side < 0:
        columns = template.mirror[rows][columns] - rows.start
    points = neutral[rows].astype(np.float64)[columns]  # (9, 4, 3)
    return DentalArch(points[:, 0], points[:, 2], points[:, 3])


def _columns(template: Template, part: str) -> np.ndarray:
    """(9, 4) vertices of the part from the middle to the left: end of the outer plate, its middle, bite, inner end."""
    strip = template.parts[part]
    quads = template.quads[strip.face_start : strip.face_stop] - strip.vertex_start
    points = template.vertices[part_slice(strip)]
    adjacent: dict[int, set[int]] = {}
    for quad in quads.tolist():
        for corner in range(4):
            adjacent.setdefault(quad[corner], set()).update((quad[(corner + 1) % 4], quad[corner - 1]))
    middle = [number for number in range(len(points)) if abs(points[number, 0]) < _MEDIAN_TOLERANCE]
    ends = [number for number in middle if len(adjacent[number] & set(middle)) == 1]
    first = max(ends, key=lambda number: points[number, 2])  # the outer plate stands in front
    column = [first]
    while len(column) < len(middle):
        column.append(next(iter(adjacent[column[-1]] & set(middle) - set(column))))
    columns, visited = [column], set(column)
    while len(columns) < (COLUMNS + 1) // 2:
        column = [
            max(adjacent[number] - visited, key=lambda other: points[other, 0]) if len(columns) == 1
            else next(iter(adjacent[number] - visited))
            for number in column
        ]  # fmt: skip
        columns.append(column)
        visited |= set(column)
    if {len(column) for column in columns} != {4}:
        raise ValueError(f"{part} is not hm08's strip of {COLUMNS} columns")
    return np.array(columns)


THROAT, FAUCES, SOFT_PALATE, MOLARS, PREMOLARS, GUM, FOLD = range(7)
"""Loops of the tube from its end: ``GUM`` is the inner edge of the gum, ``FOLD`` the fold between lip and gum."""

# Metres at the template's size; they scale with the teeth.
_LOOP_DEPTHS = {PREMOLARS: 0.0165, MOLARS: 0.035, SOFT_PALATE: 0.053, FAUCES: 0.066, THROAT: 0.082}
"""Distance of each loop behind the gum's inner edge at the incisors. The throat's wall is 9 cm behind the teeth."""
_GUM_BACK, _FOLD_BACK = 0.0145, 0.0115
"""Distance over which the gum's edge and the fold follow the arch backwards; the loops across it start there."""
_PLATE_DEPTH = 0.0006
"""Depth of the ends of the teeth's plates in the lining."""
_GUM_THICKNESS = 0.0012
"""Thickness of the gum: from the outer plate of the teeth to the lining."""
_CHEEK_GAP = 0.006
"""Gap between teeth and cheek. It is 10 mm in hm08, but real cheeks touch the teeth."""
_VAULT = 0.0095
"""Height of the palate over the gum's edge: 17 mm above the biting edges."""
_FLOOR = 0.0095
"""Depth of the floor under the tongue, below the lower gum's edge."""
_HALF_WIDTHS = {SOFT_PALATE: 0.020, FAUCES: 0.015, THROAT: 0.016}
"""Half widths of the loops behind the teeth."""
_ROOF_HEIGHTS = {
    SOFT_PALATE: (3.0, 2.9, 2.5, 1.8, 0.8, -0.5, -2.1, -4.0, -6.0),
    FAUCES: (-11.0, -8.0, -5.0, -4.0, -4.0, -4.6, -6.0, -8.0, -10.5),
    THROAT: (-2.0, -2.1, -2.4, -2.8, -3.5, -4.3, -5.4, -6.6, -8.0),
}
"""Height of their roof from the middle to the side, millimetres above the last upper molar's gum: the uvula hangs in
the middle of the arch of the fauces."""
_FLOOR_HEIGHTS = {SOFT_PALATE: (-11.0, -5.0), FAUCES: (-19.0, -11.0), THROAT: (-22.0, -14.0)}
"""Height of their floor below the tongue's root: middle and side, millimetres above the last lower molar's gum."""
_SIDE_HEIGHTS = {SOFT_PALATE: -8.0, FAUCES: -16.0, THROAT: -14.0}
"""Height of their sides, millimetres above the last upper molar's gum."""

# Shares by loop, from THROAT to FOLD.
_JAW_SHARE = np.array([0.2, 0.45, 0.75, 1.0, 1.0, 1.0, 1.0])
"""Share of the lower teeth's motion that the floor takes."""
_RIGID_SHARE = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.9])
"""Share of that rigid motion in the lining at the teeth; the rest is its old motion with lips and cheeks."""
_RIGID_SHARE_CORNER = np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0])
"""The same at the corner of the mouth, which belongs to the cheek."""
_JAW_CHEEK = (0.3, 0.12, 0.0), (0.75,)
"""Share of the lower teeth's motion in the columns of cheek beside the corner: above it, and below it."""
_JAW_CORNER = 0.5


@dataclass(frozen=True)
class _Lining:
    """New places (7, 38, 3) of the tube's vertices, and shares (7, 38): ``jaw`` of the jaw's motion in a vertex's rigid
    motion, ``bound`` of this rigid motion in the keys instead of the old offsets."""

    places: np.ndarray
    jaw: np.ndarray
    bound: np.ndarray


def with_cavity(template: Template, neutral: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neutral (V, 3) metres and keys (52, V, 3) of the face, with gums, palate and throat around its teeth."""
    tube = mouth_tube(template)
    grid = tube.rows[: FOLD + 1]
    lining = _lining(template, neutral, tube)
    result, moved = neutral.copy(), keys.copy()
    result[grid] = lining.places
    lower = part_slice(template.parts["teeth_lower"])
    before = neutral[lower].astype(np.float64)
    for index in range(len(ARKIT_NAMES)):
        rigid = np.zeros(lining.places.shape)
        if np.any(keys[index, lower]):
            motion = fit_similarity(before, before + keys[index, lower], scale=1.0)
            rigid = lining.jaw[..., None] * (motion.apply(lining.places) - lining.places)
        moved[index, grid] = keys[index, grid] + lining.bound[..., None] * (rigid - keys[index, grid])
    return result, moved


def _lining(template: Template, neutral: np.ndarray, tube: MouthLoops) -> _Lining:
    rows = tube.rows[: FOLD + 1]
    size = similarity_scale(template, neutral)
    points = neutral[rows].astype(np.float64)
    jaw, bound = np.zeros(rows.shape), np.zeros(rows.shape)
    for side, corner in ((1, tube.left), (-1, tube.right)):
        upper, lower = (dental_arch(template, neutral, f"teeth_{which}", side) for which in ("upper", "lower"))
        above, below = tube.upper[11::side], tube.lower[6::side]  # from the middle to the corner
        jaw[:, corner], bound[:, corner] = _JAW_CORNER * _JAW_SHARE, _RIGID_SHARE_CORNER
        for row in range(FOLD + 1):
            at = upper.inner[0, 2] - size * _LOOP_DEPTHS.get(row, 0.0)
            points[row, corner] = end = _corner(row, points[row, corner], upper, lower, at, size * side)
            for columns, line in (
                (above, _upper(row, upper, at, size * side)),
                (below, _lower(row, lower, at, size * side)),
            ):
                cheek = len(columns) - len(line)
                share = np.arange(1, cheek + 1) / (cheek + 1)
                points[row, columns] = np.concatenate([line, line[-1] + share[:, None] * (end - line[-1])])
                bound[row, columns[:-cheek]] = _RIGID_SHARE[row]
                bound[row, columns[-cheek:]] = _RIGID_SHARE[row] + share * (
                    _RIGID_SHARE_CORNER[row] - _RIGID_SHARE[row]
                )
        jaw[:, above[-3:]] = _JAW_SHARE[:, None] * _JAW_CHEEK[0][::-1]
        jaw[:, below] = _JAW_SHARE[:, None]
        jaw[:, below[-1:]] *= _JAW_CHEEK[1]
    return _Lining(points, jaw, bound)


def _corner(row: int, before: np.ndarray, upper: DentalArch, lower: DentalArch, at: float, scale: float) -> np.ndarray:
    """(3,) place of the corner's column. at : z of the loop; scale : size of the teeth, negative on the right."""
    if row in (FOLD, GUM):
        return before
    if row in _SIDE_HEIGHTS:
        x = upper.middle + scale * (_HALF_WIDTHS[row] + 0.0015)
        return np.array([x, upper.inner[-1, 1] + abs(scale) * 1e-3 * _SIDE_HEIGHTS[row], at])
    bite = 0.5 * (upper.at_depth(upper.bite, at) + lower.at_depth(lower.bite, at))
    return bite + np.array([scale * _CHEEK_GAP, 0.0, 0.0])


def _upper(row: int, arch: DentalArch, at: float, scale: float) -> np.ndarray:
    """(9, 3) roof of one loop, from the middle to the outer side of the teeth."""
    size = abs(scale)
    sunk = np.array([0.0, size * _PLATE_DEPTH, 0.0])
    if row == FOLD:
        return _outside_plate(arch, arch.along(arch.outer, at - size * _FOLD_BACK, 9), size) - sunk
    if row in _ROOF_HEIGHTS:
        return _behind_teeth(row, arch, np.array(_ROOF_HEIGHTS[row]), np.linspace(0.0, 1.0, 9), at, scale)
    if row == GUM:
        palate = arch.along(arch.inner, at - size * _GUM_BACK, 7)
    else:
        share = np.linspace(0.0, 1.0, 7)
        edge = arch.at_depth(arch.inner, at)
        palate = np.repeat(edge[None], 7, axis=0)
        palate[:, 0] = arch.middle + share * (edge[0] - arch.middle)
        palate[:, 1] += size * _VAULT * (1.0 - share**2)
    return _over_teeth(arch, palate, size) - sunk


def _lower(row: int, arch: DentalArch, at: float, scale: float) -> np.ndarray:
    """(6, 3) floor of one loop, from the middle to the outer side of the teeth."""
    size = abs(scale)
    sunk = np.array([0.0, size * _PLATE_DEPTH, 0.0])
    if row == FOLD:
        return _outside_plate(arch, arch.along(arch.outer, at - size * _FOLD_BACK, 6), size) + sunk
    if row in _FLOOR_HEIGHTS:
        share = np.linspace(0.0, 0.9, 6)
        middle, side = _FLOOR_HEIGHTS[row]
        return _behind_teeth(row, arch, middle + (side - middle) * (share / 0.9) ** 2, share, at, scale)
    if row == GUM:
        floor = arch.along(arch.inner, at - size * _GUM_BACK, 4)
    else:
        edge = arch.at_depth(arch.inner, at)
        floor = np.repeat(edge[None], 4, axis=0)
        floor[:, 0] = arch.middle + np.array([0.0, 0.45, 0.85, 1.0]) * (edge[0] - arch.middle)
        floor[:, 1] -= size * _FLOOR * np.array([1.0, 0.8, 0.25, 0.0])
    return _over_teeth(arch, floor, size) + sunk


def _over_teeth(arch: DentalArch, inside: np.ndarray, size: float) -> np.ndarray:
    """Extend the line (P, 3), which ends at the inner plate, by two points: between the plates, and beside them."""
    inner = inside[-1]
    outer = _outside_plate(arch, arch.at_depth(arch.outer, inner[2])[None], size)[0]
    return np.concatenate([inside, [0.5 * (inner + outer), outer]])


def _outside_plate(arch: DentalArch, points: np.ndarray, size: float) -> np.ndarray:
    """Points (P, 3) of the outer plate, moved outwards by the gum's thickness."""
    out = points - [arch.middle, 0.0, arch.outer[3:6, 2].mean()]
    out[:, 1] = 0.0
    return points + size * _GUM_THICKNESS * out / np.linalg.norm(out, axis=1, keepdims=True)


def _behind_teeth(
    row: int, arch: DentalArch, heights: np.ndarray, share: np.ndarray, at: float, scale: float
) -> np.ndarray:
    """(P, 3) points of a loop behind the teeth, from heights (P,) in millimetres and shares (P,) of its half width."""
    x = arch.middle + scale * _HALF_WIDTHS[row] * share
    return np.stack([x, arch.inner[-1, 1] + abs(scale) * 1e-3 * heights, np.full(len(x), at)], axis=1)


_UPPER_DOWN = 0.0008
"""Metres by which the upper teeth are lowered, so that 2.4 mm of the incisors show below the lip of a mouth wide open.
A larger value shows too much gum in smiles: of 75 photographs with parted lips, a fifth show more than 2 mm of it, and
two fifths when lowered by 3.2 mm; of real people a tenth do."""
_LOWER_DOWN = 0.0025
"""Metres by which the lower teeth are lowered, so that the upper ones cover 3.3 mm of them (5 mm in hm08)."""
_TONGUE_ROOT, _TONGUE_TIP = 0.079, 0.0015
"""Distances of the tongue's root and tip behind the inner end of the lower incisors, metres."""
_KNOTS = (0.0, 0.12, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)
"""Places from root (0) to tip (1), knots of ``_TOP`` and ``_THICK``."""
_TOP = (-20.0, -11.0, -1.5, 3.0, 2.0, -1.5, -4.0, -6.5)
"""Height of the tongue's back above the biting edge of the lower incisors, millimetres: it is highest between the
molars and falls into the throat."""
_THICK = (8.0, 11.0, 13.0, 13.0, 11.5, 8.5, 6.0, 4.0)  # millimetres
_SIDE_DROP, _FURROW, _FURROW_WIDTH = 0.0035, 0.0016, 0.0035
"""Metres by which the sides are lower than the middle, and depth and half width of the furrow between them."""


def mouth_shapes(template: Template, neutral: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neutral (V, 3) metres and keys (52, V, 3) of the face with lowered teeth, flattened tongue and mouth cavity."""
    neutral, keys = neutral.copy(), keys.copy()
    size = similarity_scale(template, neutral)
    for name, down in (("teeth_upper", _UPPER_DOWN), ("teeth_lower", _LOWER_DOWN)):
        rows = part_slice(template.parts[name])
        _reshape(neutral, keys, rows, neutral[rows] - np.array([0.0, down * size, 0.0], np.float32))
    rows = part_slice(template.parts["tongue"])
    tongue = _tongue_at_rest(template, neutral, size)
    out = neutral[rows] + keys[ARKIT_INDEX["tongueOut"], rows]
    _reshape(neutral, keys, rows, tongue)
    keys[ARKIT_INDEX["tongueOut"], rows] = out - tongue
    return with_cavity(template, neutral, keys)


def _tongue_at_rest(template: Template, neutral: np.ndarray, size: float) -> np.ndarray:
    """(T, 3) float32 vertices of the tongue between the lower teeth of ``neutral`` (V, 3)."""
    before = neutral[part_slice(template.parts["tongue"])].astype(np.float64)
    teeth = dental_arch(template, neutral, "teeth_lower", 1)
    along = (before[:, 2] - before[:, 2].min()) / np.ptp(before[:, 2])
    across = before[:, 0] - before[:, 0].mean()
    above = _relative_height(along, before[:, 1])
    top, thick = (1e-3 * size * PchipInterpolator(_KNOTS, knots)(along) for knots in (_TOP, _THICK))
    y = teeth.bite[0, 1] + top - thick * (0.5 - 0.5 * above)
    y -= size * _SIDE_DROP * (across / np.abs(across).max()) ** 2
    y -= size * _FURROW * smoothstep(0.0, 1.0, above) * np.exp(-((across / (size * _FURROW_WIDTH)) ** 2))
    back = _TONGUE_ROOT + along * (_TONGUE_TIP - _TONGUE_ROOT)
    z = teeth.inner[0, 2] - size * back
    return np.stack([teeth.middle + across, y, z], axis=1).astype(np.float32)


def _relative_height(along: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(T,) relative height of points in the tongue's thickness, from -1 at its underside to 1 on its back.

    along (T,) in [0, 1] from root to tip, y (T,) metres.
    """
    middle = y - np.polyval(np.polyfit(along, y, 3), along)
    bins = np.clip((along * 8).astype(int), 0, 7)
    highest = np.array([np.abs(middle[bins == number]).max() for number in range(8)])
    half = np.interp(along, (np.arange(8) + 0.5) / 8, highest)
    return np.clip(middle / half, -1.0, 1.0)


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


@dataclass(frozen=True)
class ToothRow:
    """Half a row of teeth, from the midline outwards.

    ``widths``, ``crowns`` : metres along the arch, and from the biting edge to the gum. ``rounding`` : metres by which
    a crown's sides lie behind its middle. ``pointed`` : metres from the biting edge's middle to its corners.
    ``shorter`` : metres by which the edge stands back from the row's.
    """

    widths: np.ndarray
    crowns: np.ndarray
    rounding: np.ndarray
    pointed: np.ndarray
    shorter: np.ndarray


_ROUNDING = np.array([0.9, 0.9, 1.5, 1.7, 1.7, 1.8, 1.8]) * 1e-3
TOOTH_ROWS = {
    "teeth_upper": ToothRow(
        np.array([8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 9.5]) * 1e-3,
        np.array([10.0, 8.8, 9.8, 8.2, 7.8, 7.2, 6.8]) * 1e-3,
        _ROUNDING,
        np.array([0.5, 0.8, 1.9, 1.5, 1.3, 1.1, 1.0]) * 1e-3,
        np.array([0.0, 0.7, 0.0, 0.4, 0.6, 0.8, 0.9]) * 1e-3,
    ),
    "teeth_lower": ToothRow(
        np.array([5.3, 5.8, 6.8, 7.0, 7.2, 10.5, 10.0]) * 1e-3,
        np.array([8.2, 8.6, 9.8, 8.2, 7.8, 7.2, 6.8]) * 1e-3,
        _ROUNDING,
        np.array([0.3, 0.4, 1.5, 1.3, 1.2, 1.0, 1.0]) * 1e-3,
        np.array([0.0, 0.0, 0.0, 0.3, 0.5, 0.6, 0.6]) * 1e-3,
    ),
}
"""Mean widths and heights of crowns of adults (Wheeler's Dental Anatomy); upper lateral incisors are shorter than their
neighbours, canines pointed."""
_PAPILLA = 0.34
"""Share of a crown's height that the gum covers between two teeth."""
_ACROSS = (-1.0, -0.86, -0.5, 0.0, 0.5, 0.86)
"""Columns of a tooth, from side (-1) to side (1)."""
_DOWN = ((0.0, 0.5, 0.75, 0.88), (0.0, 0.15, 0.35, 0.6, 0.82, 0.95), (0.0, 0.1, 0.3, 0.55, 0.75, 1.0))
"""Lines of a tooth between the strip's four, from one to the next: gum, outer side, and inner side."""
_BULGE, _EDGE, _GUM_PROUD = 0.45e-3, 0.5e-3, 0.4e-3
"""Metres by which the outer side of a crown is convex, its biting edge is rounded, and the gum stands before it."""
_FOSSA = 1.1e-3
"""Metres by which the middle of a back tooth's grinding surface lies below its rims."""


def gum_line(row: ToothRow, arc: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tooth (N,) 0 to 6, place across it (N,) in [-1, 1], and height (N,) of the gum's edge above the biting edge in
    metres, at places ``arc`` (N,) along the arch, metres from the midline. Behind the last tooth it is 0."""
    arc = np.abs(arc)
    borders = np.concatenate([[0.0], np.cumsum(row.widths)])
    tooth = np.clip(np.searchsorted(borders, arc, side="right") - 1, 0, len(row.widths) - 1)
    across = np.clip(2.0 * (arc - borders[tooth]) / row.widths[tooth] - 1.0, -1.0, 1.0)
    height = row.crowns[tooth] * (1.0 - _PAPILLA * np.abs(across) ** 2.5)
    return tooth, across, height * (1.0 - smoothstep(0.0, 0.002, arc - borders[-1]))


def tooth_places(template: Template, part: str) -> np.ndarray:
    """(P, 2) of the vertices of ``teeth_upper`` or ``teeth_lower``: place along the arch, metres from the midline and
    positive on both sides, and height above the biting edge, metres; on the template."""
    strip = _strip(template, part)
    points = template.vertices[part_slice(template.parts[part])].astype(np.float64)[strip]  # (17, 4, 3)
    positions = np.empty((strip.size, 2))
    positions[strip, 0] = np.abs(_arc(points))[:, None]
    positions[strip, 1] = np.abs(points[..., 1] - points[:, 2:3, 1])
    return positions


def _strip(template: Template, part: str) -> np.ndarray:
    """(17, 4) vertices of the part, from its right end to its left one; ``_columns`` without sides."""
    columns, rows = _columns(template, part), part_slice(template.parts[part])
    return np.concatenate([(template.mirror[rows][columns[:0:-1]] - rows.start), columns])


def _arc(strip: np.ndarray) -> np.ndarray:
    """(17,) metres along the smooth arch from its middle, of a strip's columns (17, 4, 3)."""
    steps = np.linalg.norm(np.diff(_smooth(strip)[:, 1, ::2], axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    return along - along[len(along) // 2]


def _smooth(strip: np.ndarray) -> np.ndarray:
    """Columns (17, 4, 3) where their smooth surface is: the limit of cubic B-splines along the arch."""
    result = strip.copy()
    result[1:-1] = (strip[:-2] + 4.0 * strip[1:-1] + strip[2:]) / 6.0
    return result


@dataclass(frozen=True)
class Teeth:
    """A row of teeth with their crowns.

    Attributes
    ----------
    vertices : (N, 3) float32 metres. quads : (F, 4) int32. keys : (52, N, 3) float32.
    weights : (N, P) sparse: places on the template's strip of P vertices, for what is interpolated on it, as UV.
    strip : (N,) int32 vertex of the strip that a vertex stands for; -1 for none.
    """

    vertices: np.ndarray
    quads: np.ndarray
    keys: np.ndarray
    weights: sp.csr_matrix
    strip: np.ndarray


def sculpted_teeth(template: Template, part: str, neutral: np.ndarray, keys: np.ndarray) -> Teeth:
    """The row of teeth ``part`` of a finished face (V, 3) with keys (52, V, 3), as single crowns in their gum.

    ``hm08`` has a plain band of 68 vertices, whose smooth surface ends 2.8 mm above its biting edge.
    """
    rows, strip, row = part_slice(template.parts[part]), _strip(template, part), TOOTH_ROWS[part]
    before = template.vertices[rows].astype(np.float64)[strip]
    at, rise = _arc(before), np.abs(before[..., 1] - before[:, 2:3, 1])
    half = np.cumsum(row.widths)[:, None] + row.widths[:, None] * 0.5 * (np.array(_ACROSS) - 1.0)
    half = np.concatenate([half.ravel(), row.widths.sum() + np.array([0.0, 0.001, 0.003]), at[-1:]])
    arc = np.concatenate([-half[:0:-1], half])  # (C,)
    line = np.concatenate([first + np.array(down) for first, down in enumerate(_DOWN)])  # (R,) from 0 to 3
    columns, lines = _between(at, arc), _between(np.arange(4.0), line)
    base = CubicSpline(at, _smooth(neutral[rows].astype(np.float64)[strip]))(arc)  # (C, 4, 3)
    height = columns @ rise @ lines.T
    points = np.einsum("rl,cld->crd", lines, base)
    points += similarity_scale(template, neutral) * _crowns(row, arc, line, height, base)
    vertices = points.reshape(-1, 3)
    number = np.arange(len(vertices)).reshape(height.shape)
    quads = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], -1).reshape(-1, 4)
    moves = np.zeros((len(keys), *vertices.shape), np.float32)
    for index in np.flatnonzero(np.abs(keys[:, rows]).max((1, 2))):
        motion = fit_similarity(neutral[rows], neutral[rows] + keys[index, rows], scale=1.0)
        moves[index] = motion.apply(vertices) - vertices
    row_of = np.full(len(vertices), -1)
    nearest = np.abs(arc[:, None] - at).argmin(0)
    row_of[number[np.ix_(nearest, np.flatnonzero(np.isin(line, np.arange(4))))]] = strip
    weights = sp.kron(columns, lines).tocsc()[:, np.argsort(strip.ravel())].tocsr()
    upper = base[0, 0, 1] > base[0, 2, 1]
    return Teeth(vertices.astype(np.float32), quads if upper else quads[:, ::-1], moves, weights, row_of)


def with_plain_teeth(template: Template, neutral: np.ndarray) -> np.ndarray:
    """(V, 3) float32 of a written head (V, 3), whose rows of teeth are the crowns' vertices with hm08's numbers: the
    bands below these crowns, by the similarity that carries the template's."""
    shape, keys = mouth_shapes(template, template.vertices, template.expressions)
    neutral = neutral.astype(np.float32)
    for part in TOOTH_ROWS:
        rows, teeth = part_slice(template.parts[part]), sculpted_teeth(template, part, shape, keys)
        crowns = teeth.vertices[np.argsort(teeth.strip)[-int((teeth.strip >= 0).sum()) :]].astype(np.float64)
        neutral[rows] = fit_similarity(crowns, neutral[rows].astype(np.float64)).apply(shape[rows])
    return neutral


def _between(knots: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(N, K) weights of knots (K,), ascending, at positions (N,) between them."""
    return np.stack([np.interp(positions, knots, unit) for unit in np.eye(len(knots))], axis=1)


def _crowns(row: ToothRow, arc: np.ndarray, line: np.ndarray, height: np.ndarray, base: np.ndarray) -> np.ndarray:
    """(C, R, 3) metres from the plain band to the crowns, at columns ``arc`` (C,) and lines (R,), 0 to 3, which are
    ``height`` (C, R) above the biting edge; base : (C, 4, 3) the band."""
    tooth, across, neck = (values[:, None] for values in gum_line(row, arc))
    aside, inside = np.abs(across), np.clip(line - 2.0, 0.0, 1.0)
    share = np.clip(height / np.maximum(neck, 1e-6), 0.0, 1.0)
    gum = smoothstep(neck - 0.0003, neck + 0.0005, height)
    round_ = row.rounding[tooth] * aside**3 * (1.0 - gum)
    front = _BULGE * 4.0 * share * (1.0 - share) - _EDGE * np.clip(1.0 - share / 0.12, 0.0, 1.0) ** 2 - round_
    front += _GUM_PROUD * gum * np.exp(-np.maximum(height - neck, 0.0) / 0.004)
    back = 0.6 * round_ * np.minimum(inside / 0.3, 1.0) - round_ * np.clip(1.0 - inside / 0.3, 0.0, 1.0)
    power = np.where(tooth < 2, 4.0, 1.4)
    edge = np.where(tooth < 5, aside**power, np.cos(np.pi * across) ** 2)  # molars have two rows of cusps
    edge = row.shorter[tooth] + row.pointed[tooth] * edge
    molar = smoothstep(-0.002, 0.003, np.abs(arc)[:, None] - row.widths[:3].sum())
    ground = height[:, -1:] * smoothstep(0.5, 1.0, inside) + _FOSSA * np.sin(np.pi * np.minimum(inside / 0.55, 1.0))
    up = edge * np.where(line > 2.0, 1.0 - smoothstep(0.3 + 0.2 * molar, 1.0, inside), (1.0 - share) ** 2)
    up += np.where(line > 2.0, molar * (ground - height[:, -1:] * inside), 0.0)
    way = unit_vectors(np.gradient(base[:, 1], axis=0))
    outwards = np.stack([-way[:, 2], np.zeros(len(way)), way[:, 0]], 1)[:, None]
    gumwards = np.array([0.0, np.sign(base[0, 0, 1] - base[0, 2, 1]), 0.0])
    return np.where(line > 2.0, back, front)[..., None] * outwards + up[..., None] * gumwards
