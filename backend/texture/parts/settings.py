"""Hand-set constants of brows, scalp, sclera and irises."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartsSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    ``benchmarks.sensitivity`` halves and doubles each constant and reports which figures respond.
    """

    brow_shown: float = 0.85
    """Fraction of the area within one brow's landmarks, 0.3 to 1.4: brows are painted if photos show less of both. Five
    people whose photos show their brows have 1.4 to 2.6, because the labels fill the outline and the hair beside it;
    under thick frames it is 0.7."""
    brow_darkness: tuple[float, float] = (1.3, 0.45)
    """Log units, 0.2 to 2: upper and lower limit of how much darker brows are than the skin, for any hair colour."""
    brow_bits: float = 0.04
    """Fraction of the area within both brows' landmarks, 0.01 to 0.2, needed to measure their darkness."""
    brow_dark_part: float = 0.25
    """Quantile of brightness at which a brow's darkness is measured; brighter texels are skin between hairs."""
    beside_brows: float = 170.0
    """Divisor of the working size, 80 to 350: brows extend 1 / 170 of it beyond their labels."""
    brow_density: float = 0.8
    """Share in [0, 1]: most of the skin that painted hairs cover."""
    brow_soft: float = 0.0012
    """Metres, 0.0005 to 0.003: softness of a painted brow's outline."""
    brow_pixel: float = 0.00025
    """Metres, 0.0001 to 0.0005: pixel size of the mask in which the outline is drawn."""
    brow_rise: float = 0.45
    """Slope, 0 to 1: metres up per metre outwards along a hair."""
    brow_along: float = 0.15
    """Factor, 0.05 to 0.5: frequency of the hair noise along a hair relative to across."""
    iris_light: float = 0.7
    """Share in [0, 1] of the light that reaches the iris under lid and lashes."""
    least_shaded: float = 0.75
    """Quantile over photos of the sclera's brightness; in darker photos lids shade it."""
    white_range: tuple[float, float] = (0.26, 0.50)
    """Linear albedo in [0, 1], mean over channels: lower and upper limit of the sclera."""
    white_light: float = 0.87
    """Share in [0, 1] of the light that reaches the sclera where it is brightest, beside the iris."""
    eye_reach: float = 3.5
    """Iris radii, 2 to 5: size of the neighbourhood examined around the iris."""
    fewest_beside: int = 6
    """Pixels, 3 to 20, of sclera needed to compare an iris with it."""
    fewest_white: int = 20
    """Pixels, 10 to 100, of sclera needed to measure its colour."""
    around_iris: tuple[float, float] = (1.0, 2.2)
    """Iris radii, 1 to 4: ring whose chroma a small image mixes with the iris's."""
    brightest_iris: float = 0.15
    """Linear albedo, 0.1 to 0.3: brighter irises are lids or sclera."""
    iris_too_small: float = 5.0
    """Pixels of an iris's radius, 3 to 8: up to this its chroma is mostly the surrounding skin's, because a JPEG stores
    one chroma for four pixels."""
    iris_large_enough: float = 9.0
    """Pixels of an iris's radius, 6 to 15: from this on its colour is measured directly."""
    light_by_luminance: float = 1.4
    """Log odds that a small iris is light (blue, grey, green) instead of brown, per log unit of luminance. Logistic
    regression on 49 people of the press photos with known eye colour; leave-one-out area under the curve is 0.94."""
    light_by_white: float = 3.2
    """The same per log unit of the ratio of its luminance to the sclera's."""
    light_by_warmth: float = -3.3
    """The same per log unit of red over blue relative to its surroundings."""
    light_offset: float = 9.15
    """Intercept of that regression, log odds."""
    few_photos: float = 1.2
    """Photos, 0.5 to 4: the log odds from ``n`` photos are scaled by ``n / (n + few_photos)`` times ``most_sure``.
    The slopes of a logistic regression on draws of 1, 2, 3 and 9 photos of 69 people are 0.42, 0.76, 0.92 and 1.3."""
    most_sure: float = 1.2
    """Factor on the log odds, 0.5 to 2, in the limit of many photos."""
    tinted: float = 0.05
    """Log of red over blue, 0 to 0.2, of the albedo around an iris: below this the eye is behind a tinted lens."""
    lids_against_white: float = -0.3
    """Log ratio of an iris's luminance to its sclera's: above this the eyes are nearly shut and the pixels are lids. 4
    of 498 photos of 69 people exceed this or ``no_iris``."""
    no_iris: float = 0.35
    """Luminance of an iris's albedo, 0.2 to 0.6, above which it is not an iris."""
    usual_against_white: float = -1.4
    """Log ratio of an iris's luminance to its sclera's, assumed where the sclera is not visible."""
    brown_luminance: tuple[float, float] = (0.012, 0.045)
    """Luminance of albedo: limits of a small brown iris."""
    light_luminance: tuple[float, float] = (0.09, 0.15)
    """Luminance of albedo: limits of a small light iris."""
    cool: float = -0.1
    """Log units of warmth at which a small light iris is blue-grey."""
    warm: float = 0.45
    """Log units of warmth at which a small light iris is green."""
    scalp_grows: tuple[float, float] = (0.014, 0.007)
    """Metres to the nearest root, 0.003 to 0.03: beyond the first the skin has no roots, within the second it is all
    rooted; guides stand 8 mm apart."""
    hairs_per_area: float = 2e6
    """Hairs per square metre of scalp; 1.2e6 to 3e6 in people."""
    hair_diameter: float = 8e-5
    """Metres, 5e-5 to 1e-4: diameter of a hair."""
    cropped_length: tuple[float, float] = (0.012, 0.025)
    """Metres of hair length, 0.01 to 0.06: up to the first the scalp is darkened in full by upright hair, from the
    second on lying locks cover it."""
    root_shade: float = 0.5
    """Weight in [0, 1] of the hair's log colour in skin with roots: about half of cropped stubble is skin."""


PARTS = PartsSettings()
