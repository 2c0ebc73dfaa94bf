"""The numbers of blending that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BlendingSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is.

    A pair is where a soft step begins and where it ends. ``benchmarks/texture_settings.py`` halves and doubles each and
    says which figures feel it.
    """

    middle_width: float = 0.0008
    """Metres, 0.0004 to 0.002: what is finer is the best photo's alone, for photos are not aligned any better."""
    middle_levels: int = 6
    """Octaves, 3 to 8, of the pyramid that blends middle frequencies: six reach two centimetres, over which photos
    differ in light."""
    consensus_size: int = 512
    """Texels, 256 to 1024: edge of the map on which photos agree on middle frequencies."""
    consensus_outlier: float = 0.25
    """Log units, 0.1 to 0.8: a photo so far from the others counts a quarter in that consensus."""
    deviation_blur: float = 2.0
    """Widths of the middle band, 1 to 8, over which a photo's deviation from the consensus is smoothed."""
    consistent: float = 0.30
    """Log units, 0.1 to 0.8: a photo that deviates by more from the consensus shows something else there."""
    features_consistent: float = 0.45
    """The same for eyes, brows and lips, which move."""
    hairline_consistent: float = 1.0
    """The same for the hair line, which is never sharp."""
    moved_less: float = 0.85
    """Share in [0, 1] by which skin that an expression moves counts less."""
    expression_folds: float = 0.45
    """Share in [0, 1] of what is dark where an expression has moved the skin in all photos that is taken for its folds
    if there is one photo; of several, whose expressions differ, the less the more they are."""
    prefer_first: float = 1.4
    """Factor, 1 to 2, by which the best photo as a whole is preferred: fewer borders between photos."""
    enough_density: float = 3500.0
    """Pixels per metre, 1500 to 8000, at which a photo resolves what the texture can hold; more is no better."""
    beside_hair: float = 120.0
    """Part of the working size, 60 to 240: so far beside the roots (1 / 120 of it) there is hair."""
    brow_share: tuple[float, float] = (0.1, 0.4)
    """Share in [0, 1] of what photos show that is brow: from there on what is dark is no arm of glasses."""
    glasses_area: float = 3e-5
    """Square metres, 1e-5 to 1e-4, of glasses from which a photo shows some."""
    worn_share: tuple[float, float] = (0.2, 0.4)
    """Share in [0, 1] of the photos with glasses: from there on a head wears them, and arms are looked for."""
    beside_eyes: float = 0.002
    """Metres, 0 to 0.01: arms of glasses begin so far outside of the eyes' outer corners."""
    below_eyes: float = 0.010
    """Metres, 0.005 to 0.02: they lie so far below the eyes' middle at most."""
    above_eyes: float = 0.020
    """Metres, 0.01 to 0.04: they lie so far above it at most."""
    beside_brows: float = 0.003
    """Metres, 0.001 to 0.01: they are told from brows so far beside these."""
    arm_contrast: float = 0.3
    """Log units, 0.15 to 0.6, darker than its base: a hinge or an arm, and no wrinkle."""
    part_of_arm: float = 0.06
    """Log units, 0.02 to 0.2, darker than its base: what belongs to an arm where it touches one."""
    sliver: float = 0.0012
    """Metres, 0.0005 to 0.003: half the width of a strip between two gaps that goes, because it stands out as a
    line."""


BLENDING = BlendingSettings()
