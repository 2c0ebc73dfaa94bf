"""The numbers of finishing that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FinishingSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is.

    ``benchmarks/texture_settings.py`` halves and doubles each and says which figures feel it.
    """

    rim_detail: float = 0.85
    """Share in [0, 1] of the details that coarse photos lose where they see bare skin aslant, or end."""
    gap: float = 0.015
    """Metres, 0.005 to 0.04, that surroundings reach into what no photo shows: a patch without them stands out."""
    nostril_haemoglobin: float = 0.8
    """Units of ``skin_tone.HAEMOGLOBIN_DENSITY``, 0 to 2, by which a nostril is redder than the skin around."""
    nostril_shade: float = 1.5
    """Log units, 0.5 to 3, by which it is darker: it is a cavity."""
    mouth_front: tuple[float, float, float] = (0.36, 0.13, 0.115)
    """Linear albedo of the inside of the lips."""
    mouth_back: tuple[float, float, float] = (0.34, 0.115, 0.105)
    """Linear albedo of the mouth three centimetres behind them: wet flesh without its shadow. A third of that is a
    black hole in renders, whose lips and teeth cast one."""
    throat: tuple[float, float, float] = (0.05, 0.013, 0.011)
    """Linear albedo of the throat's wall: what little light goes in does not come out again."""
    throat_depth: tuple[float, float] = (0.050, 0.105)
    """Metres behind the lips, in ``hm08``'s mouth, between which flesh turns into throat: from the last molars
    to the throat's wall."""

    seam_reach: float = 0.006
    """Metres, 0.002 to 0.015, within which an eye socket or the mouth's inside takes the colour of the skin
    at its edge: two edges of the mesh, so that there is a way between the two."""


FINISHING = FinishingSettings()
