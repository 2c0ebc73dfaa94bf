"""The numbers of screening that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScreeningSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is."""

    faces_per_photo: int = 6
    """Faces, 1 to 20, of a photo that are looked at, the largest first."""
    bystander: float = 0.15
    """Side over the photo's largest face's, 0.05 to 0.5: smaller faces are bystanders."""
    min_face_px: float = 40.0
    """Pixels of the face's height, 24 to 100: smaller ones show too little of its shape."""
    max_yaw: float = 56.0
    """Degrees, 40 to 70: the landmark mesh reports about this much for a true angle of 80 degrees."""
    min_sharpness: float = 0.06
    """``PhotoQuality.sharpness`` in [0, 1]: a face with less is blurred beyond use."""
    min_occlusion: float = 0.5
    """Share in [0, 1] of the face that must be seen."""
    min_exposure: float = 0.08
    """``PhotoQuality.exposure`` in [0, 1]: a face with less is too dark or too bright."""
    size_weight: float = 0.3
    """Units of (same - different), 0 to 1: a face of half the size must match the other photos better by so much."""
    rounds: int = 6
    """Rounds, 2 to 20, of choosing a face a photo: it settles in two or three."""
    pose_reach: float = 15.0
    """Degrees, 5 to 30: photos whose poses differ by less show the same side."""
    min_photos: int = 3
    """Photos, 3 to 6, that are needed before one can be said to show someone else."""
    same_picture: float = 0.982
    """Dot product of two fingerprints, 0.95 to 0.995: above it one picture is a copy of the other; two shots of one
    session stay below."""
    fingerprint_side: int = 32
    """Pixels, 16 to 64: side of the face that a fingerprint is made of."""
    fingerprint_border: int = 4
    """Pixels, 0 to 8, of that side that are cut off: the background is there."""
    measure_side: int = 192
    """Pixels, 96 to 384, that the face is brought to before sharpness is measured."""
    useless_face_px: float = 24.0
    """Pixels of the face's height, 16 to 64, at which ``PhotoQuality.size`` is 0."""
    good_face_px: float = 400.0
    """Pixels of the face's height, 200 to 800, from which on it is 1."""
    blurred: float = 0.24
    """Laplacian over gradient, 0.1 to 0.4, at which ``PhotoQuality.sharpness`` is 0."""
    sharp: float = 0.65
    """The same at which it is 1, as sharp portraits have it."""
    noise: float = 1.0
    """Grey levels, 0.5 to 3, added to the gradient: keeps flat pictures from being all noise."""
    black: int = 8
    """Level of 255, 0 to 16, up to which a pixel is clipped."""
    white: int = 247
    """Level of 255, 240 to 255, from which on a pixel is clipped."""
    grey_chroma: float = 1.5
    """Units of Lab, 0.5 to 4: a face with less colour is of a black-and-white photo."""
    tint_spread: float = 1.35
    """Units of Lab, 0.5 to 4: a face whose colour differs by less from a function of its brightness is of a tinted
    photo."""
    size_exponent: float = 0.35
    """Weight of ``PhotoQuality.size`` in the score, 0 to 1."""
    sharpness_exponent: float = 0.35
    """The same of its sharpness."""
    yaw_exponent: float = 0.5
    """The same of its yaw."""
    exposure_exponent: float = 0.5
    """The same of its exposure."""
    occlusion_exponent: float = 0.7
    """The same of its occlusion, which no later stage mends."""


SCREENING = ScreeningSettings()
