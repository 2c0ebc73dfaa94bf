"""The numbers of unwrapping that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnwrappingSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is.

    A pair is where a soft step begins and where it ends. ``benchmarks/texture_settings.py`` halves and doubles each and
    says which figures feel it.
    """

    max_photos: int = 12
    """Photos, 4 to 24, that a texture uses at most: further ones cost time and memory and add little."""
    coloured_light: float = 0.55
    """Log units, 0.3 to 1, of chroma by which bare skin varies (root mean square) in a photo whose colours are the
    lamps'. Of 834 press photos 98 % are below 0.53, half below 0.19; five under stage lamps have 0.6 to 1.1."""
    hard_light: float = 0.6
    """Standard deviation, 0.3 to 1, of log shading over the seen skin at which a photo is trusted half as much as a
    softly lit one: hard shadows end in lines that no low-order light explains. Half of the photos have less than
    0.25."""
    depth_side: int = 640
    """Pixels, 320 to 1280: depth buffers finer than this bring nothing."""
    depth_jump: float = 0.010
    """Metres, 0.003 to 0.03: a jump in depth that is an outline."""
    speck: float = 1.2e-4
    """Square metres, 3e-5 to 5e-4: islands of hair, hand or background in the face that are smaller are skin."""
    sharp: tuple[float, float] = (1000.0, 2500.0)
    """Pixels per metre, 500 to 5000: from a coarse photo to a sharp one."""
    label_border: float = 1.0
    """Pixels, 0.5 to 3, by which the border between two labels is smoothed."""
    shading_floor: float = 0.12
    """Share in [0, 1] of a photo's mean shading: darker is shadow, and not divided out in full."""
    darkest_chroma: float = 1e-3
    """Linear light, 1e-4 to 1e-2: darker pixels are taken for this one, because their colour is noise."""
    tooth_redness: float = 0.06
    """Log red over green, 0.03 to 0.2, by which a lip may be less red than skin: less is a tooth."""
    bearded: float = 0.20
    """Log units, 0.1 to 0.5, by which a bearded chin is darker than skin."""
    strand_reach: float = 0.014
    """Metres, 0.005 to 0.03, from labelled hair, within which a strand may lie."""
    hollow: tuple[float, float] = (0.8, 1.1)
    """Log units, 0.4 to 2, by which what is called lips is darker than lips: the corner of an open mouth."""
    margin: float = 0.0025
    """Metres, 0.001 to 0.005: what is screened takes so much around it with it."""
    lip_margin: float = 0.0006
    """The same within lips, which are narrow."""
    beside_ears: float = 0.004
    """Metres, 0.001 to 0.01: an ear of a photo that lies farther from the mesh's is not on this surface."""
    strand: float = 0.75
    """Log units, 0.4 to 1.5, darker than skin under the same light: hair or a hard shadow, not skin."""


UNWRAPPING = UnwrappingSettings()
