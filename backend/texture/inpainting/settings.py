"""The numbers of inpainting that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SmoothSkinSettings:
    """How smooth skin follows what is seen."""

    shade: float
    """Log units, 0.05 to 0.8, around lit skin that count."""
    anchor: float
    """Share, 0.001 to 0.2: pull of the one typical colour."""


@dataclass(frozen=True)
class InpaintingSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is.

    A pair is where a soft step begins and where it ends. ``benchmarks/texture_settings.py`` halves and doubles each and
    says which figures feel it.
    """

    fade: float = 0.007
    """Metres, 0.003 to 0.015, inside the border of what photos show, over which trust in them falls: the last
    millimetres of every mask are wrong."""
    hole: float = 6e-4
    """Square metres, 1e-4 to 2e-3: unseen spots smaller than this have no border of their own (nostrils, specks, closed
    eyes)."""
    grazing: tuple[float, float] = (0.08, 0.30)
    """Cosine in [0, 1] of the angle between normal and camera: from a photo that shows nothing to one that does."""
    known: float = 0.35
    """Share in [0, 1]: a texel that a photo shows so far is inside of its border."""
    under_jaw_grazing: tuple[float, float] = (0.50, 0.25)
    """Cosine in [0, 1]: what faces down is in the chin's shadow, and seen aslant at best."""
    skin_length: float = 0.030
    """Metres, 0.01 to 0.06, over which the inpainted skin follows the seen."""
    coarse_border: float = 0.4
    """Share, 0 to 1, by which a coarse photo's border is wider than a sharp one's, at most."""
    aslant: tuple[float, float] = (0.75, 0.50)
    """Cosine in [0, 1]: bare skin seen from further aside shines, and gets the inpainted skin's colour."""
    near_border: tuple[float, float] = (1.0, 0.2)
    """Confidence in [0, 1]: a photo's border is near, and skin there is treated as skin seen aslant."""
    lit_quantile: float = 0.65
    """Quantile of seen skin's brightness that counts as lit."""
    asymmetry: float = 0.3
    """Share in [0, 1] of what differs left and right that inpainted skin keeps."""
    plainest: SmoothSkinSettings = SmoothSkinSettings(shade=0.15, anchor=0.03)
    """Nearly one colour: what rims are judged by."""
    nearest: SmoothSkinSettings = SmoothSkinSettings(shade=0.40, anchor=0.005)
    """Goes on in the colour of the seen skin beside it."""
    blotches: tuple[float, float, float] = (0.014, 0.026, 0.026)
    """Log units of red, green and blue, 0 to 0.05: blotches of inpainted skin, which is too even without."""
    bristle_run: tuple[float, float, float] = (1.0, 0.4, 0.6)
    """Factors on x, y and z, 0.2 to 1: bristles of an inpainted beard run down and backwards."""
    chroma_range: float = 0.06
    """Log units, 0.02 to 0.2, by which the chroma of skin seen aslant may differ from the inpainted."""
    brighter: float = 0.14
    """Log units, 0.05 to 0.4, by which skin seen aslant may be brighter: more is a rim light."""
    darker: float = 0.10
    """Log units, 0.05 to 0.4, by which it may be darker: more is the shadow of the hair beside it, or strands."""
    beard_length: float = 0.012
    """Metres, 0.005 to 0.03, over which an inpainted beard follows the seen."""
    bristle_quantile: float = 0.3
    """Quantile of a beard's brightness that is bristle: the rest is skin that shines between."""
    few_bristles: float = 5.0
    """Summed weight of vertices, 1 to 50, below which labels say too little of bristles."""
    between_hairs: float = 0.10
    """Log units, 0 to 0.3, by which a beard is darker than its smooth colour."""
    beard_drop: float = 0.050
    """Metres, 0.02 to 0.1, below the chin's lowest point where a beard ends."""
    near_gap: tuple[float, float] = (0.03, 0.35)
    """Share in [0, 1] of a gap's surroundings that is seen: a wide gap, which the prior fills, and a narrow one, which
    they fill."""
    pore_octaves: tuple[float, ...] = (0.0016, 0.0008, 0.0004)
    """Metres: wavelengths of synthetic pores."""
    chart_edge: float = 0.02
    """Of the map's side, 0.005 to 0.05: over that much the learned correction fades towards the chart's border, whose
    two sides must agree."""


INPAINTING = InpaintingSettings()
