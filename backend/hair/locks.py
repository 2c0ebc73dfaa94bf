"""What describes the locks of a head of hair. Lengths in metres, arrays of one person or (N, ...) tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

OUT = 0.012
"""Metres from the root, at most half of its length, within which a hair comes from the skin to its place among others.
"""
Numbers = np.ndarray | Tensor
"""An array of one person, or with a leading axis N a tensor of a batch."""


@dataclass(frozen=True)
class Flow:
    """Where the hair of a style goes. Plane coordinates are (x to the person's left, z to the front) at distance s from
    the crown.

    Attributes
    ----------
    whorl : (2,) where the hair radiates from, with strength radial. forward, backward, sideways : strengths of being
        combed to the front, the back, and away from the line x = parting. tied : 0 or 1, towards the place tie (2,).
    gravity : 0 for hair that stands, 1 for hair that hangs beyond the top. window : half the azimuth of the gap before
        the face. cut : s where the hair ends at the sides and behind; fringe_drop : how far below the brows the
        fringe ends. volume : the greatest height above the hull. gather : how much
        long hair comes forward over the chest, 0-1.
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
    """Locks of hair, L of them; all (L,).

    Attributes
    ----------
    azimuth, s : the root. length : 0 where there is none. base, floor : height of root and lowest height elsewhere.
    up : sine of the angle with the hull; bend : how far the lock comes back to it (1: fully).
    forward : 1 where combed to the front, 0 to the back; turn_x, turn_z : own deviation of the direction; drift : own
        sideways movement while it hangs. fringe, tied : 1 where the lock belongs to the fringe, to what is tied.
    cut_jitter : own deviation of the cut. width, taper : of the ribbon; roll : its turn about its own axis.
    amplitude, waves, phase, wild : waves, and crookedness beside them.
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
