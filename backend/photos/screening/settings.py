"""Hand-set constants of screening."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScreeningSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    faces_per_photo: int = 6
    """Faces, 1 to 20: most examined per photo, largest first."""
    bystander: float = 0.15
    """Ratio to the largest face's side, 0.05 to 0.5: smaller faces are bystanders."""
    min_face_px: float = 40.0
    """Pixels of face height, 24 to 100: smaller faces show too little of their shape."""
    max_yaw: float = 56.0
    """Degrees, 40 to 70: the landmark mesh reports about this for a true angle of 80 degrees."""
    min_sharpness: float = 0.06
    """``PhotoQuality.sharpness`` in [0, 1]: below, a face is too blurred to use."""
    min_occlusion: float = 0.5
    """Share in [0, 1] of the face that must be visible."""
    min_exposure: float = 0.08
    """``PhotoQuality.exposure`` in [0, 1]: below, a face is too dark or too bright."""
    size_weight: float = 0.3
    """Units of (same - different), 0 to 1: extra similarity that a face of half the size needs."""
    rounds: int = 6
    """Most iterations, 2 to 20, of the choice of one face per photo: it converges in two or three."""
    pose_reach: float = 15.0
    """Degrees, 5 to 30: photos whose poses differ by less are redundant."""
    min_photos: int = 3
    """Photos, 3 to 6, needed before one can be rejected as another person."""
    same_picture: float = 0.982
    """Dot product of two fingerprints, 0.95 to 0.995: above, the images are copies; two shots of one session stay
    below."""
    fingerprint_side: int = 32
    """Pixels, 16 to 64: side of the face image in a fingerprint."""
    fingerprint_border: int = 4
    """Pixels, 0 to 8, cropped from each edge of it to remove background."""
    measure_side: int = 192
    """Pixels, 96 to 384: face size to which crops are resampled before measuring sharpness."""
    useless_face_px: float = 24.0
    """Pixels of face height, 16 to 64, at which ``PhotoQuality.size`` is 0."""
    good_face_px: float = 400.0
    """Pixels of face height, 200 to 800, from which ``PhotoQuality.size`` is 1."""
    blurred: float = 0.24
    """Ratio of Laplacian to gradient, 0.1 to 0.4, at which ``PhotoQuality.sharpness`` is 0."""
    sharp: float = 0.65
    """The same ratio at which it is 1, as in sharp portraits."""
    noise: float = 1.0
    """Grey levels, 0.5 to 3, added to the gradient, so that noise in flat images does not count as sharp."""
    black: int = 8
    """Level of 255, 0 to 16, up to which a pixel is clipped to black."""
    white: int = 247
    """Level of 255, 240 to 255, from which a pixel is clipped to white."""
    grey_chroma: float = 1.5
    """Units of Lab, 0.5 to 4: below this mean chroma a photo is black-and-white."""
    tint_spread: float = 1.35
    """Units of Lab, 0.5 to 4: below this mean deviation from a function of brightness a photo's colour is one tint."""
    size_exponent: float = 0.35
    """Exponent of ``PhotoQuality.size`` in the score, 0 to 1."""
    sharpness_exponent: float = 0.35
    """The same for sharpness."""
    yaw_exponent: float = 0.5
    """The same for yaw."""
    exposure_exponent: float = 0.5
    """The same for exposure."""
    occlusion_exponent: float = 0.7
    """The same for occlusion, which no later stage can repair."""


SCREENING = ScreeningSettings()
