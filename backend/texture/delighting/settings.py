"""Hand-set constants of delighting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DelightingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    ``benchmarks.sensitivity`` halves and doubles each constant and reports which figures respond.
    """

    base_length: float = 0.009
    """Metres, 0.005 to 0.02: scale that separates smooth albedo from photo detail. Smaller values let noise into the
    albedo, larger ones wash out the colour of the cheeks."""
    light_trust_linear: float = 0.002
    """Ridge on the light's three linear coefficients, 0 to 0.1: pull towards the fit's light where the photo constrains
    them weakly."""
    light_trust_quadratic: float = 0.012
    """The same for the five quadratic ones, which one-sided photos hardly constrain."""
    base_outlier: float = 0.16
    """Log units, 0.05 to 0.5: a photo whose albedo is this far from the others' gets a quarter of its weight."""
    skin_colours: float = 0.1
    """Log units of chroma, 0.05 to 0.3: most that skin may differ from its mean over centimetres, for blushes and the
    shadow of a beard. The top 1 % of the skin of ten people reached 0.05 to 0.13; under stage lamps half of it exceeded
    0.17, and a face was orange on its sides and purple in the middle."""
    base_pull: float = 0.06
    """Share, 0.01 to 0.3: pull of poorly seen smooth albedo towards the mean."""
    symmetric_level: float = 0.9
    """Share in [0, 1] of the symmetric smooth differences in brightness that is kept as skin."""
    one_sided_level: float = 0.3
    """Fraction of ``symmetric_level`` kept of asymmetric differences, which are more likely light."""
    symmetric_chroma: float = 0.7
    """Share in [0, 1] of the symmetric smooth differences in colour that is kept."""
    one_sided_chroma: float = 0.1
    """The same for asymmetric differences."""
    light_length: float = 0.004
    """Metres, 0.001 to 0.01: light is divided out down to this size; finer shading is part of the look of folds."""
    hat_shade_known: tuple[float, float] = (0.02, 0.25)
    """Share in [0, 1] of bare skin around a texel, from no shade of a hat to all of it; half at a straight edge."""
    hat_least_texels: float = 100.0
    """Texels, 30 to 1000: summed weight of lit skin, and of skin below the hat, that an estimate of its shade needs."""
    difference_length: float = 0.020
    """Metres, 0.01 to 0.05: scale of a photo's smooth difference from the others (exposure, cast shadows)."""
    consensus_outlier: float = 0.25
    """Log units, 0.1 to 0.8: a photo this far from the others around a vertex gets a quarter of its weight there."""
    one_sided_skin: float = 0.3
    """Share in [0, 1] of asymmetric differences over centimetres that is kept as skin."""
    plain_skin_pull: float = 0.02
    """Share, 0.005 to 0.1: pull of unseen skin towards plain skin; noticeable beyond 6 cm."""
    colour_range: float = 0.10
    """Log units of chroma, 0.03 to 0.3: most that detail may differ from the smooth albedo; more is coloured light."""
    coarse_colour: float = 0.4
    """Share of ``colour_range`` where no photo is sharp, because small JPEG images store one chroma per several
    pixels."""
    lip_colour_range: float = 0.3
    """Log units of chroma: ``colour_range`` of lips."""
    sharp_lip_colour_range: float = 0.8
    """The same in sharp photos, which show lipstick."""
    dark_grey: float = 0.5
    """Share in [0, 1] of its own chroma that dark detail loses, because camera noise makes dark hair look grey or
    blue."""
    skin_range: float = 0.45
    """Log units, 0.2 to 0.8: most that plain skin is brighter than its mean (the bridge of a nose); more is
    specular."""
    matt_quantile: float = 0.3
    """Quantile of visible skin, by chroma and by brightness, that is assumed free of gloss."""
    gloss_over_brightness: float = 1.2
    """Upper limit of gloss as a multiple of the brightness above matt skin; darker skin has none."""
    gloss_from: float = 0.03
    """Share of a place's light, 0.01 to 0.1, below which it is not gloss but blood, a tan, or a lamp's colour."""
    gloss_sure: float = 0.08
    """Share of a place's light from which all of it counts as gloss."""
    gloss_most: float = 0.6
    """Upper limit of gloss as a share in [0, 1] of the blue light: the remainder needs a measurable colour."""
    gloss_length: float = 0.009
    """Metres: finer highlights are removed from the detail (``highlights.without_highlight``)."""
    sheet_brightness: float = 0.10
    """Log units: standard deviation of skin tones from the two-pigment family in brightness."""
    sheet_red_green: float = 0.08
    """The same in red over green, as among 78 portraits with white cloth."""
    sheet_yellow_blue: float = 0.12
    """The same in yellow over blue."""
    haemoglobin_spread: float = 0.20
    """Standard deviation of haemoglobin among people, in units of ``skin_tone.HAEMOGLOBIN_DENSITY``."""
    fit_deviation: float = 0.25
    """Log units: standard deviation of the level of the fit's albedo."""
    photo_deviation: float = 0.45
    """Log units: standard deviation of one photo's skin brightness as an estimate of albedo; exposure causes it."""
    common_deviation: float = 0.15
    """Log units: the part of that deviation common to all photos of a person."""
    camera_chroma: float = 1.15
    """Log chroma of photographed skin relative to its reflectance, 1 to 1.4: the contrast of cameras' tone curves.
    With 1, skin was less red than beside white cloth, by 0.16 log units in 78 portraits, 0.08 in 115 press photos."""
    white_balance_deviation: float = 0.2
    """Log units of chroma: standard deviation of one photo's white balance. Red over green of one person's skin varies
    by 0.20 between press photos, green over blue by 0.24 (80 people)."""
    common_cast: float = 0.08
    """Log units of chroma: the part of that deviation common to all photos, because indoor lamps are warm."""
    typical_shading: float = 0.85
    """Typical shading of a face, as a log average: cameras expose for about this level."""


DELIGHTING = DelightingSettings()
