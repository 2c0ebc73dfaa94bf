"""What each term of LAP's loss counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LapWeights:
    """Weights of the loss terms; a term with weight 0 is not computed. The defaults are the paper's."""

    photometric: float = 1.0
    """Equation 3, or 5 where differences are relaxed."""
    flip: float = 0.5
    """The same for the flipped face."""
    perceptual: float = 1.0
    """Features of rendered pictures and photos."""
    flip_perceptual: float = 0.5
    """The same for the flipped face."""
    smooth: float = 0.0
    """Second differences of depth."""
    mean_view: float = 0.0
    """Keeps the canonical frame in the middle of all views."""
    held_view: float = 0.0
    """Where views put points of the face, against the landmarks' views while these are held (``views``); no truth."""
    posterior: float = 0.0
    """Negative log-likelihood of true depth coefficients, for ``fusion = "posterior"``."""
    coefficients: float = 0.0
    """Squared coefficients of the linear depth basis, in deviations."""
    mean_coefficients: float = 0.0
    """Their mean over the last batches, which is to be nothing: see ``AlikeCoefficients``."""
    depth: float = 0.0
    """Canonical depth against truth."""
    normal: float = 0.0
    """Canonical normals against truth."""
    albedo: float = 0.0
    """Canonical albedo against truth."""
    albedo_edges: float = 0.0
    """Differences between the albedo's neighbours against truth."""
    view: float = 0.0
    """Where views put points of the face, against truth."""
    light: float = 0.0
    """True albedo and surface under the predicted light against the photo."""
    personal_depth: float = 0.0
    """Personalised depth against truth with the photo's expression."""
    personal_normal: float = 0.0
    """Personalised normals against truth."""
    view_depth: float = 0.0
    """Depth of the drawn surface in the photo's view against truth, whatever its mean, in hundredths: what SIDE
    measures. It can make good what a narrow camera does not know of near ones."""
    change: float = 0.0
    """How far personalised depth leaves the shared one, in hundredths."""
