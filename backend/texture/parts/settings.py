"""The numbers of brows, scalp and the irises' colours that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartsSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is.

    ``benchmarks/texture_settings.py`` halves and doubles each and says which figures feel it.
    """

    brow_shown: float = 0.85
    """Of the area within one brow's landmarks, 0.3 to 1.4: where photos show less of both, brows are painted. Of five
    people whose photos show their brows 1.4 to 2.6 is labelled so: all within the landmarks is, and the hair beside;
    under thick frames 0.7."""
    brow_darkness: tuple[float, float] = (1.3, 0.45)
    """Log units, 0.2 to 2, by which brows are darker than the skin, at most and at least, whatever the hair's
    colour."""
    brow_bits: float = 0.04
    """Of the area within both brows' landmarks, 0.01 to 0.2: so much of them must be seen to tell how dark they are."""
    brow_dark_part: float = 0.25
    """Quantile of its brightness that tells how dark they are: the rest is skin between hairs."""
    beside_brows: float = 170.0
    """Part of the working size, 80 to 350: so far beside their labels (1 / 170 of it) brows reach."""
    brow_density: float = 0.8
    """Share in [0, 1] of the skin that painted hairs cover at most."""
    brow_soft: float = 0.0012
    """Metres, 0.0005 to 0.003: softness of a painted brow's outline."""
    brow_pixel: float = 0.00025
    """Metres, 0.0001 to 0.0005: pixels of the mask that the outline is drawn in."""
    brow_rise: float = 0.45
    """Metres up for a metre outwards, 0 to 1: the run of a hair."""
    brow_along: float = 0.15
    """Factor, 0.05 to 0.5: hairs are so much finer across than along."""
    iris_light: float = 0.7
    """Share in [0, 1] of the light that reaches the iris under lid and lashes."""
    least_shaded: float = 0.75
    """Quantile over photos of the white's brightness: the others are shaded by lids."""
    white_range: tuple[float, float] = (0.26, 0.50)
    """Linear albedo in [0, 1], mean over channels: the eyes' white at least and at most."""
    white_light: float = 0.87
    """Share in [0, 1] of the light that reaches the white where it is brightest, beside the iris."""
    eye_reach: float = 3.5
    """Radii of the iris, 2 to 5, that are looked at around it."""
    fewest_beside: int = 6
    """Pixels, 3 to 20, of the white that an iris is compared with at least."""
    fewest_white: int = 20
    """Pixels, 10 to 100, of the white that tell its colour at least."""
    around_iris: tuple[float, float] = (1.0, 2.2)
    """Radii of the iris, 1 to 4: what the chroma of a small picture mixes with the iris."""
    brightest_iris: float = 0.15
    """Linear albedo, 0.1 to 0.3: brighter irises are lids or white."""
    iris_too_small: float = 5.0
    """Pixels of an iris's radius, 3 to 8: up to there its colour is mostly that of skin beside it, for a JPEG has one
    colour for four pixels."""
    iris_large_enough: float = 9.0
    """Pixels of an iris's radius, 6 to 15: from there on its colour is the iris's."""
    light_by_luminance: float = 1.4
    """Log odds that a small iris is light (blue, grey, green) and not brown, per log unit of luminance. Logistic
    regression on 49 people of the press photos whose eyes' colour is known; left out one by one, the area under the
    curve is 0.94."""
    light_by_white: float = 3.2
    """The same per log unit of its luminance over the white's."""
    light_by_warmth: float = -3.3
    """The same per log unit of red over blue beside its surroundings."""
    light_offset: float = 9.15
    """The offset of that regression, log odds."""
    few_photos: float = 1.2
    """Photos, 0.5 to 4: one photo says a half of that, ``n`` photos ``n / (n + few_photos)`` times ``most_sure``. The
    slopes of a logistic regression on draws of 1, 2, 3 and 9 photos of 69 people are 0.42, 0.76, 0.92 and 1.3."""
    most_sure: float = 1.2
    """Factor on the log odds, 0.5 to 2, that very many photos reach."""
    tinted: float = 0.05
    """Log of red over blue, 0 to 0.2, of the albedo around an iris, below which it is seen through a coloured lens."""
    lids_against_white: float = -0.3
    """Log of an iris's luminance over its white's above which eyes are all but shut and these are lids: 4 of 498 photos
    of 69 people have more of this or of ``no_iris``."""
    no_iris: float = 0.35
    """Luminance of an iris's albedo, 0.2 to 0.6, above which it is none."""
    usual_against_white: float = -1.4
    """Log of an iris's luminance over its white's where no white is seen."""
    brown_luminance: tuple[float, float] = (0.012, 0.045)
    """Luminance of albedo: bounds of a small brown iris."""
    light_luminance: tuple[float, float] = (0.09, 0.15)
    """Luminance of albedo: bounds of a small light iris."""
    cool: float = -0.1
    """Log units of warmth of a small light iris that is blue-grey."""
    warm: float = 0.45
    """Log units of warmth of a small light iris that is green."""
    scalp_grows: tuple[float, float] = (0.014, 0.007)
    """Metres to the nearest root, 0.003 to 0.03, from which on nothing and all of the skin has roots: guides stand 8 mm
    apart."""
    hairs_per_area: float = 2e6
    """Hairs per square metre of scalp; 1.2e6 to 3e6 in people."""
    hair_diameter: float = 8e-5
    """Metres, 5e-5 to 1e-4: a hair's."""
    cropped_length: tuple[float, float] = (0.012, 0.025)
    """Metres of hair, 0.01 to 0.06, up to which the scalp is as dark as hairs that stand on it, and from which on lying
    locks cover it."""
    root_shade: float = 0.5
    """Share in [0, 1] of the hair's log colour in that of skin with roots: of the stubble of cropped hair about half is
    skin."""


PARTS = PartsSettings()
