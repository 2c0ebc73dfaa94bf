"""Strands of hair, and the locks that they form.

Parameters of the locks of a head of hair. Lengths in metres; arrays of one person or (N, ...) tensors.

Hair as guide strands: the result of fitting hair, independent of any file format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

OUT = 0.012
"""Metres from the root (at most half of the hair's length) over which a hair moves from the skin to its place among
others."""
Numbers = np.ndarray | Tensor
"""An array of one person, or a tensor of a batch with a leading axis N."""


@dataclass(frozen=True)
class Flow:
    """Direction field of a style. Plane coordinates are (x to the person's left, z to the front) at distance s from the
    crown.

    Attributes
    ----------
    whorl : (2,) centre from which hair radiates, with strength radial. forward, backward, sideways : strengths of
        combing to the front, to the back, and away from the line x = parting. tied : 0 or 1, whether hair is drawn to
        the point tie (2,). gravity : 0 for hair that stands, 1 for hair that hangs below the top. window : half the
        azimuth of the gap in front of the face. cut : s where the hair ends at the sides and behind; fringe_drop : how
        far below the brows the fringe ends. volume : greatest height above the hull. gather : how far long hair comes
        forward over the chest, 0-1.
    """

    whorl: Numbers
    radial: Numbers
    forward: Numbers
    backward: Numbers
    sideways: Numbers
    parting: Numbers
    tied: Numbers
    tie: Numbers
    gravity: Numbers
    window: Numbers
    cut: Numbers
    fringe_drop: Numbers
    volume: Numbers
    gather: Numbers


@dataclass(frozen=True)
class Locks:
    """L locks of hair; all attributes are (L,).

    Attributes
    ----------
    azimuth, s : the root. length : 0 for no lock. base, floor : height of the root, and least height elsewhere.
    up : sine of the angle with the hull; bend : how far the lock bends back to the hull (1: fully).
    forward : 1 when combed to the front, 0 to the back. turn_x, turn_z : the lock's deviation from the direction field;
        drift : its sideways movement while it hangs. fringe, tied : 1 for locks of the fringe, and for tied ones.
    cut_jitter : the lock's deviation from the cut. width, taper : of the ribbon; roll : its turn about its own axis.
    amplitude, waves, phase, wild : of the waves, and irregularity on top of them.
    tone : factor on the colour; second : share of the second colour (highlights, tips).
    """

    azimuth: Numbers
    s: Numbers
    length: Numbers
    base: Numbers
    floor: Numbers
    up: Numbers
    bend: Numbers
    forward: Numbers
    turn_x: Numbers
    turn_z: Numbers
    drift: Numbers
    fringe: Numbers
    tied: Numbers
    cut_jitter: Numbers
    width: Numbers
    taper: Numbers
    roll: Numbers
    amplitude: Numbers
    waves: Numbers
    phase: Numbers
    wild: Numbers
    tone: Numbers
    second: Numbers


MOST_GUIDES, MOST_POINTS = 4096, 64
"""Limits on read and sent files: number of guides, and points of each. 4 MB; four times the guides of a fit."""
MOST_RADIUS = 0.001
"""Metres; the thickest hair has a tenth of this."""


@dataclass(frozen=True)
class HairStrands:
    """G guide strands of P points each. A guide stands for the lock of hairs around it.

    Attributes
    ----------
    points : (G, P, 3) float32 metres, head frame of the neutral face, root first.
    root_uv : (G, 2) float32 place of the root in UV map ``Head`` (v up), which attaches the hair to the head's surface.
    width : (G,) float32 metres across the lock that a guide stands for.
    root_colour, tip_colour : (G, 3) float32 linear light, albedo.
    hair_radius : metres, of a single hair at its root.
    style : name of the hairstyle that was chosen, or ``auto``.
    parameters : the hairline's numbers by name, metres.
    """

    points: np.ndarray
    root_uv: np.ndarray
    width: np.ndarray
    root_colour: np.ndarray
    tip_colour: np.ndarray
    hair_radius: float
    style: str
    parameters: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.points.ndim != 3:
            raise ValueError(f"points must be (G, P, 3), not {self.points.shape}")
        if not 0 < self.hair_radius < MOST_RADIUS:
            raise ValueError("hair_radius must be that of a hair, in metres")
        guides, points = self.points.shape[:2]
        if not (1 <= guides <= MOST_GUIDES and 2 <= points <= MOST_POINTS):
            raise ValueError(f"hair must have 1 to {MOST_GUIDES} guides of 2 to {MOST_POINTS} points")
        shapes = {"points": (guides, points, 3), "root_uv": (guides, 2), "width": (guides,)}
        shapes |= {"root_colour": (guides, 3), "tip_colour": (guides, 3)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float32 or not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite float32 of shape {shape}")

    def recoloured(self, factor: np.ndarray) -> HairStrands:
        """The same hair with its albedo times ``factor`` (3,), at most 1."""
        root, tip = (
            np.clip(colour * factor, 0.0, 1.0).astype(np.float32) for colour in (self.root_colour, self.tip_colour)
        )
        return replace(self, root_colour=root, tip_colour=tip)
