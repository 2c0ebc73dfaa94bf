"""Parameters of the locks of a head of hair. Lengths in metres; arrays of one person or (N, ...) tensors."""

from __future__ import annotations

from dataclasses import dataclass

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
