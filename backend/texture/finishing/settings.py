"""Hand-set constants of finishing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FinishingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    ``benchmarks.sensitivity`` halves and doubles each constant and reports which figures respond.
    """

    rim_detail: float = 0.85
    """Share in [0, 1] of the detail that coarse photos lose at grazing angles and at their borders."""
    nostril_haemoglobin: float = 0.8
    """Units of ``skin_tone.HAEMOGLOBIN_DENSITY``, 0 to 2: extra redness of a nostril."""
    nostril_shade: float = 1.5
    """Log units, 0.5 to 3: extra darkness of a nostril, which is a cavity."""
    mouth_front: tuple[float, float, float] = (0.36, 0.13, 0.115)
    """Linear albedo of the inside of the lips."""
    mouth_back: tuple[float, float, float] = (0.34, 0.115, 0.105)
    """Linear albedo of the mouth three centimetres behind the lips: wet flesh, unshaded. A third of this value renders
    as a black hole, because lips and teeth already cast a shadow."""
    throat: tuple[float, float, float] = (0.05, 0.013, 0.011)
    """Linear albedo of the throat's wall, from which hardly any light returns."""
    throat_depth: tuple[float, float] = (0.050, 0.105)
    """Metres behind the lips, in ``hm08``'s mouth, over which flesh blends into throat: from the last molars to the
    throat's wall."""

    seam_reach: float = 0.006
    """Metres, 0.002 to 0.015: width of the blend between skin and an eye socket or the mouth interior. It is two mesh
    edges, the shortest usable transition."""


FINISHING = FinishingSettings()
