"""The numbers of delighting that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DelightingSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is.

    ``benchmarks/texture_settings.py`` halves and doubles each and says which figures feel it.
    """

    base_length: float = 0.009
    """Metres, 0.005 to 0.02: what is coarser is smooth albedo, what is finer is a photo's detail. Below it noise enters
    the albedo, above it cheeks lose their own colour."""
    light_trust_linear: float = 0.002
    """Ridge on the light's three linear coefficients, 0 to 0.1: pull towards the fit's light where the photo says
    little."""
    light_trust_quadratic: float = 0.012
    """The same of the five quadratic ones, which photos of one side hardly show."""
    base_outlier: float = 0.16
    """Log units, 0.05 to 0.5: a photo whose albedo is so far from the others' counts a quarter."""
    skin_colours: float = 0.1
    """Log units of chroma, 0.05 to 0.3, by which skin may differ from its mean over centimetres: blushes and the shadow
    of a beard. Of ten people 1 % of the skin reached 0.05 to 0.13; under stage lamps half of it went beyond 0.17, and a
    face was orange on its sides and purple in the middle."""
    base_pull: float = 0.06
    """Share, 0.01 to 0.3: pull of the mean on smooth albedo that no photo shows well."""
    symmetric_level: float = 0.9
    """Share in [0, 1] of smooth differences in brightness that are the same left and right, and kept as skin."""
    one_sided_level: float = 0.3
    """Of ``symmetric_level``: what differs left and right, and is more likely light."""
    symmetric_chroma: float = 0.7
    """Share in [0, 1] of smooth differences in colour that are the same left and right, and kept."""
    one_sided_chroma: float = 0.1
    """The same of what differs left and right."""
    light_length: float = 0.004
    """Metres, 0.001 to 0.01: light is divided out down to this size; finer shade is the look of folds."""
    difference_length: float = 0.020
    """Metres, 0.01 to 0.05: over this length a photo may differ from the others (exposure, cast shadows)."""
    consensus_outlier: float = 0.25
    """Log units, 0.1 to 0.8: a photo so far from the others around a vertex counts a quarter there."""
    one_sided_skin: float = 0.3
    """Share in [0, 1] of what differs left and right over centimetres that may be skin."""
    plain_skin_pull: float = 0.02
    """Share, 0.005 to 0.1: pull of plain skin on what no photo shows; it is felt after 6 cm."""
    colour_range: float = 0.10
    """Log units of chroma, 0.03 to 0.3, by which detail may differ from the smooth albedo: more is coloured light."""
    coarse_colour: float = 0.4
    """Share of ``colour_range`` where no photo is sharp: small JPEG pictures store one colour for several pixels."""
    lip_colour_range: float = 0.3
    """Log units of chroma: the same as ``colour_range`` for lips."""
    sharp_lip_colour_range: float = 0.8
    """The same in sharp photos, which show paint on lips."""
    dark_grey: float = 0.5
    """Share in [0, 1] of its own colour that dark detail loses, because a camera's noise makes dark hair look grey or
    blue."""
    skin_range: float = 0.45
    """Log units, 0.2 to 0.8, by which plain skin is brighter than its mean at most (the bridge of a nose); more is
    shine."""
    matt_quantile: float = 0.3
    """Quantile of seen skin, by colour and by brightness, that is taken for skin without gloss."""
    gloss_over_brightness: float = 1.2
    """Gloss is at most so many times what a place is brighter than matt skin; darker skin has none."""
    gloss_from: float = 0.03
    """Share of a place's light, 0.01 to 0.1: less is blood, a tan, or a lamp of another colour."""
    gloss_sure: float = 0.08
    """Share of a place's light from which all of it is gloss."""
    gloss_most: float = 0.6
    """Share of the blue light in [0, 1]: what is left of white has no colour to judge by."""
    gloss_length: float = 0.009
    """Metres: finer highlights are in the detail (``highlights.without_highlight``)."""
    gloss_pull: float = 0.004
    """Share: pull of no gloss on what is not seen."""
    gloss_least_weight: float = 20.0
    """Summed weight of vertices below which nothing is said of gloss."""
    sheet_brightness: float = 0.10
    """Log units: deviation of skin tones from the two-pigment family in brightness."""
    sheet_red_green: float = 0.05
    """The same in red over green."""
    sheet_yellow_blue: float = 0.09
    """The same in yellow over blue."""
    haemoglobin_spread: float = 0.20
    """Deviation of haemoglobin among people, in units of ``skin_tone.HAEMOGLOBIN_DENSITY``."""
    fit_deviation: float = 0.25
    """Log units: deviation of the level of the fit's albedo."""
    photo_deviation: float = 0.45
    """Log units: deviation of one photo's skin brightness as an estimate of albedo, by its exposure."""
    common_deviation: float = 0.15
    """Log units: the same that all photos share."""
    white_balance_deviation: float = 0.12
    """Log units of chroma: deviation of one photo's white balance."""
    common_cast: float = 0.08
    """Log units of chroma: the same that all photos share, for people are photographed under warm lamps."""
    typical_shading: float = 0.85
    """Cameras expose so that the light on a face is about this, in log average."""


DELIGHTING = DelightingSettings()
