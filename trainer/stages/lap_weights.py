"""Weights of LAP's loss terms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LapWeights:
    """Weights of the loss terms; a term with weight 0 is not computed. The defaults are the paper's."""

    photometric: float = 1.0
    """Equation 3, or equation 5 with relaxed differences."""
    flip: float = 0.5
    """The same for the flipped face."""
    perceptual: float = 1.0
    """Distance between features of renders and photos."""
    flip_perceptual: float = 0.5
    """The same for the flipped face."""
    smooth: float = 0.0
    """Smoothness: second differences of depth."""
    mean_view: float = 0.0
    """Keeps the canonical frame in the middle of all views."""
    held_view: float = 0.0
    """Face points placed by the networks' views against the landmarks' views, while in use (``views``); no truth."""
    posterior: float = 0.0
    """Negative log-likelihood of true depth coefficients, for ``fusion = "posterior"``."""
    coefficients: float = 0.0
    """Squared coefficients of the linear depth basis, in standard deviations."""
    mean_coefficients: float = 0.0
    """Pulls the mean coefficients over the last batches to zero: see ``AlikeCoefficients``."""
    depth: float = 0.0
    """Canonical depth against truth."""
    normal: float = 0.0
    """Canonical normals against truth."""
    albedo: float = 0.0
    """Canonical albedo against truth."""
    albedo_edges: float = 0.0
    """Differences between neighbouring albedo pixels against truth."""
    view: float = 0.0
    """Face points placed by the predicted views against truth."""
    light: float = 0.0
    """True albedo and surface, shaded with the predicted light, against the photo."""
    personal_depth: float = 0.0
    """Personalised depth against truth with the photo's expression."""
    personal_normal: float = 0.0
    """Personalised normals against truth."""
    view_depth: float = 0.0
    """Depth of the rendered surface in the photo's view against truth, without its mean, in hundredths, as SIDE
    measures it. It can compensate for the narrow camera model on photos from near cameras."""
    change: float = 0.0
    """Difference of personalised from canonical depth, in hundredths."""
