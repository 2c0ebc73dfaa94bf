"""The dental arches: ``hm08``'s strips of 17 columns, an outer and an inner plate that meet at the biting edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.geometry.template import Template
from backend.rig.measure import part_slice

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
    place = part_slice(template.parts[part])
    columns = _columns(template, part)  # (9, 4) of the left
    if side < 0:
        columns = template.mirror[place][columns] - place.start
    points = neutral[place].astype(np.float64)[columns]  # (9, 4, 3)
    return DentalArch(points[:, 0], points[:, 2], points[:, 3])


def _columns(template: Template, part: str) -> np.ndarray:
    """(9, 4) vertices of the part from the middle to the left: end of the outer plate, its middle, bite, inner end."""
    own = template.parts[part]
    quads = template.quads[own.face_start : own.face_stop] - own.vertex_start
    points = template.vertices[part_slice(own)]
    beside: dict[int, set[int]] = {}
    for quad in quads.tolist():
        for corner in range(4):
            beside.setdefault(quad[corner], set()).update((quad[(corner + 1) % 4], quad[corner - 1]))
    middle = [number for number in range(len(points)) if abs(points[number, 0]) < _MEDIAN_TOLERANCE]
    ends = [number for number in middle if len(beside[number] & set(middle)) == 1]
    first = max(ends, key=lambda number: points[number, 2])  # the outer plate stands in front
    column = [first]
    while len(column) < len(middle):
        column.append(next(iter(beside[column[-1]] & set(middle) - set(column))))
    found, seen = [column], set(column)
    while len(found) < (COLUMNS + 1) // 2:
        column = [
            max(beside[number] - seen, key=lambda other: points[other, 0]) if len(found) == 1
            else next(iter(beside[number] - seen))
            for number in column
        ]  # fmt: skip
        found.append(column)
        seen |= set(column)
    if {len(column) for column in found} != {4}:
        raise ValueError(f"{part} is not hm08's strip of {COLUMNS} columns")
    return np.array(found)
