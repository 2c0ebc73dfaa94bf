"""Hand-set constants of blending."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BlendingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    A pair is the start and end of a soft step. ``benchmarks.sensitivity`` halves and doubles each constant and
    reports which figures respond.
    """

    middle_width: float = 0.0008
    """Metres, 0.0004 to 0.002: finer detail comes from the best photo alone, because photos are aligned no better."""
    middle_levels: int = 6
    """Octaves, 3 to 8, of the pyramid that blends middle frequencies: six reach two centimetres, the scale at which
    photos differ in light."""
    consensus_size: int = 512
    """Texels, 256 to 1024: edge of the map on which the consensus of middle frequencies is computed."""
    consensus_outlier: float = 0.25
    """Log units, 0.1 to 0.8: a photo this far from the others gets a quarter of its weight in that consensus."""
    deviation_blur: float = 2.0
    """Widths of the middle band, 1 to 8, over which a photo's deviation from the consensus is smoothed."""
    consistent: float = 0.30
    """Log units, 0.1 to 0.8: a photo that deviates more from the consensus shows an occluder there."""
    features_consistent: float = 0.45
    """Log units: the same for eyes, brows and lips, which move."""
    hairline_consistent: float = 1.0
    """Log units: the same for the hairline, which is never sharp."""
    moved_less: float = 0.85
    """Share in [0, 1] by which the weight of skin moved by an expression is reduced."""
    expression_folds: float = 0.45
    """Share in [0, 1] of the dark detail that is removed as expression folds where the skin is moved in all photos. It
    is divided by the number of photos, because several photos have different expressions."""
    fold_width: float = 0.002
    """Metres, 0.001 to 0.004: half the width of a laugh's folds, which are 3 to 6 mm wide."""
    fold_shown: tuple[float, float] = (0.3, 0.8)
    """Weight in [0, 1] of a photo, from where on to where fully it can say that skin is not as dark as a fold."""
    fold_unseen: float = 3.0
    """Log units, 2 to 5, as dark as any detail: what a photo that cannot say so is taken for."""
    prefer_first: float = 1.4
    """Factor, 1 to 2, by which the best photo overall is preferred, to reduce borders between photos."""
    enough_density: float = 3500.0
    """Pixels per metre, 1500 to 8000, at which a photo resolves all that the texture can hold."""
    beside_hair: float = 120.0
    """Divisor of the working size, 60 to 240: texels within 1 / 120 of it of the hair roots count as hair."""
    brow_share: tuple[float, float] = (0.1, 0.4)
    """Share in [0, 1] of the photos' labels that are brow: from there on dark detail is brow, not an arm of glasses."""
    glasses_area: float = 3e-5
    """Square metres, 1e-5 to 1e-4: a photo with more glasses than this shows the person wearing them."""
    worn_share: tuple[float, float] = (0.2, 0.4)
    """Share in [0, 1] of the photos with glasses, from which the person wears them and arms are searched."""
    beside_eyes: float = 0.002
    """Metres, 0 to 0.01: distance outside the eyes' outer corners where arms of glasses begin."""
    below_eyes: float = 0.010
    """Metres, 0.005 to 0.02: lower limit of the arms, below the middle of the eyes."""
    above_eyes: float = 0.020
    """Metres, 0.01 to 0.04: upper limit of the arms, above the middle of the eyes."""
    beside_brows: float = 0.003
    """Metres, 0.001 to 0.01: margin around brows within which no arm is detected."""
    arm_contrast: float = 0.3
    """Log units, 0.15 to 0.6, darker than the base: a hinge or an arm; wrinkles have less contrast."""
    part_of_arm: float = 0.06
    """Log units, 0.02 to 0.2, darker than the base: a texel connected to an arm belongs to it."""
    sliver: float = 0.0012
    """Metres, 0.0005 to 0.003: half the width of the strips between two gaps that are removed, because they would stand
    out as lines."""


BLENDING = BlendingSettings()
