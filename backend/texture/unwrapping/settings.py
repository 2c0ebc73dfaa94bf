"""Hand-set constants of unwrapping."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnwrappingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    A pair is the start and end of a soft step. ``benchmarks.sensitivity`` halves and doubles each constant and
    reports which figures respond.
    """

    max_photos: int = 12
    """Photos, 4 to 24: most that a texture uses; more cost time and memory and add little."""
    coloured_light: float = 0.55
    """Log units of chroma, 0.3 to 1: a photo whose bare skin varies more (root mean square) is lit by coloured lamps.
    Of 834 press photos 98 % are below 0.53, half below 0.19; five under stage lamps have 0.6 to 1.1."""
    hard_light: float = 0.6
    """Standard deviation, 0.3 to 1, of log shading over the visible skin at which a photo's trust is half a softly lit
    one's: hard shadows end in lines that low-order light cannot explain. Half of the photos have less than 0.25."""
    depth_side: int = 640
    """Pixels, 320 to 1280: edge of the depth buffers; finer ones do not help."""
    depth_jump: float = 0.010
    """Metres, 0.003 to 0.03: a jump in depth that marks an outline."""
    speck: float = 1.2e-4
    """Square metres, 3e-5 to 5e-4: smaller islands of hair, hand or background in the face are relabelled as skin."""
    sharp: tuple[float, float] = (1000.0, 2500.0)
    """Pixels per metre, 500 to 5000: from a coarse photo to a sharp one."""
    label_border: float = 1.0
    """Pixels, 0.5 to 3: smoothing of the borders between labels."""
    shading_floor: float = 0.12
    """Share in [0, 1] of a photo's mean shading: darker shading is shadow and is not divided out in full."""
    tooth_redness: float = 0.06
    """Log red over green, 0.03 to 0.2: limit of how much less red than skin a lip is; paler is a tooth."""
    bearded: float = 0.20
    """Log units, 0.1 to 0.5: a chin darker than skin by more is bearded."""
    strand_reach: float = 0.014
    """Metres, 0.005 to 0.03: distance from labelled hair within which strands are searched."""
    hollow: tuple[float, float] = (0.8, 1.1)
    """Log units, 0.4 to 2, below the lips' brightness: texels labelled lips are the corner of an open mouth."""
    margin: float = 0.0025
    """Metres, 0.001 to 0.005: dilation of screened texels, and of the mesh's ears, on which a photo's may lie."""
    strand: float = 0.75
    """Log units, 0.4 to 1.5, darker than skin under the same light: hair or a hard shadow."""


UNWRAPPING = UnwrappingSettings()
