"""Parameters of a head of hair. Lengths in metres; arrays of one person or (N, ...) tensors of a batch."""

from __future__ import annotations

from dataclasses import dataclass

from backend.hair.locks import Flow, Locks, Numbers


@dataclass(frozen=True)
class HairParameters:
    """A head of hair.

    Attributes
    ----------
    style : index of ``hair_styles.STYLES``; character : (32,) the random numbers behind the style, reused in other
    pictures
        of the person. flow, locks, wisps : the hair and its thin loose strands.
    cap_height : (CAP_ROWS, AZIMUTHS) height of the scalp's cover above the hull, below zero where there is no hair.
    cap_edge : (AZIMUTHS,) s of the hairline. ear_room : see ``hull.hull_surface``. cap_mix : 1 where the cover is hair,
        down to 0.4 where skin is visible between the hairs; colour, second_colour, root_colour : (3,) linear.
    root_length : metres over which the root's colour fades. shine : strength of the highlight.
    bundle : (8,) bun or tail: present, azimuth, s, radius, length, squash, lobes, drop.
    """

    style: Numbers
    character: Numbers
    flow: Flow
    locks: Locks
    wisps: Locks
    wisp_alpha: Numbers
    cap_height: Numbers
    cap_edge: Numbers
    cap_mix: Numbers
    ear_room: Numbers
    colour: Numbers
    second_colour: Numbers
    root_colour: Numbers
    root_length: Numbers
    shine: Numbers
    bundle: Numbers
    scalp: Numbers
