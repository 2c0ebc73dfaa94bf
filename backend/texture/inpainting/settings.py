"""Hand-set constants of inpainting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InpaintingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    A pair is the start and end of a soft step. ``benchmarks.sensitivity`` halves and doubles each constant and
    reports which figures respond.
    """

    fade: float = 0.007
    """Metres, 0.003 to 0.015: width inside the photos' border over which confidence falls, because the last millimetres
    of every mask are wrong."""
    hole: float = 6e-4
    """Square metres, 1e-4 to 2e-3: smaller unseen spots (nostrils, specks, closed eyes) do not form a border."""
    grazing: tuple[float, float] = (0.08, 0.30)
    """Cosine in [0, 1] of the angle between normal and camera: evidence rises from none to full."""
    known: float = 0.35
    """Share in [0, 1] of evidence from which a texel is inside the photos' border."""
    under_jaw_grazing: tuple[float, float] = (0.50, 0.25)
    """Cosine in [0, 1]: skin under the jaw is in the chin's shadow and mostly seen at grazing angles."""
    skin_length: float = 0.030
    """Metres, 0.01 to 0.06: length over which inpainted skin follows the visible skin."""
    coarse_border: float = 0.4
    """Share, 0 to 1: limit of how much wider a coarse photo's border is than a sharp one's."""
    aslant: tuple[float, float] = (0.75, 0.50)
    """Cosine in [0, 1]: bare skin at more grazing angles is specular and takes the inpainted skin's colour."""
    lit_quantile: float = 0.65
    """Quantile of visible skin's brightness that counts as lit."""
    plainest_shade: float = 0.15
    """Log units, 0.05 to 0.8: scale of the robust weight around lit skin's brightness for nearly plain skin, the
    reference for skin at grazing angles."""
    nearest_shade: float = 0.40
    """The same for inpainted skin, which continues the colour of the visible skin beside it."""
    anchor: float = 0.01
    """Share, 0.001 to 0.2: pull of both towards the one typical colour."""
    blotches: tuple[float, float, float] = (0.014, 0.026, 0.026)
    """Log units of red, green and blue, 0 to 0.05: blotches that keep inpainted skin from looking too even."""
    bristle_run: tuple[float, float, float] = (1.0, 0.4, 0.6)
    """Factors on x, y and z, 0.2 to 1: bristles of an inpainted beard run down and backwards."""
    chroma_range: float = 0.06
    """Log units, 0.02 to 0.2: most that the chroma of skin at grazing angles may differ from the inpainted skin's."""
    brighter: float = 0.14
    """Log units, 0.05 to 0.4: most that skin at grazing angles may be brighter; more is a rim light."""
    darker: float = 0.10
    """Log units, 0.05 to 0.4: most that it may be darker; more is the shadow of hair, or strands."""
    beard_length: float = 0.012
    """Metres, 0.005 to 0.03: length over which an inpainted beard follows the visible one."""
    bristle_quantile: float = 0.3
    """Quantile of a beard's brightness that represents bristles; brighter texels are skin between them."""
    few_bristles: float = 5.0
    """Summed weight of vertices, 1 to 50, below which too few bristles are labelled to use the labels."""
    pore_octaves: tuple[float, ...] = (0.0016, 0.0008, 0.0004)
    """Metres: wavelengths of synthetic pores."""
    chart_edge: float = 0.02
    """Fraction of the map's side, 0.005 to 0.05: width over which the learned correction fades towards the chart's
    border, so that both sides of the seam match."""


INPAINTING = InpaintingSettings()
