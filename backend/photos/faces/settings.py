"""Hand-set constants of face detection, landmarks and crops."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FacesSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    search_side: int = 1280
    """Pixels, 640 to 2560: longer side of the image used for detection. Smaller values lose small faces."""
    view_side: int = 384
    """Pixels, 192 to 512: side of each window passed to the detectors; their inputs are 128 and 192."""
    same_face_overlap: float = 0.3
    """Share in [0, 1] of the smaller box: boxes with more overlap are one face."""
    min_score: float = 0.4
    """Detector confidence in [0, 1] below which a detection is dropped."""
    sure_score: float = 0.7
    """Detector confidence in [0, 1] from which a large face ends the search."""
    large_face: float = 0.2
    """Fraction of the image's short side, 0.1 to 0.5: if a larger face is found, no tiles are searched."""
    min_tile: int = 96
    """Pixels, 48 to 192: smaller tiles cannot contain a usable face."""
    least_contrast: int = 8
    """Levels of 255, 2 to 20, between the darkest and the brightest value of a view. With less it is a plain area
    (black video frame, backdrop) and is skipped, which saves two models on ten tiles in four orientations."""
    mesh_side: int = 256
    """Pixels, 192 to 512: side of the window passed to the mesh model; its input is 192."""
    window_per_face: float = 1.9
    """Face sizes, 1.5 to 2.5: side of this window."""
    agreement: float = 0.03
    """Face sizes, 0.01 to 0.1: results of the mesh model farther from the median are dropped."""
    follow_shift: float = 0.45
    """Face sizes, 0.2 to 1: most that a face may move between frames."""
    follow_size: float = 1.5
    """Ratio, 1.1 to 2: most that a face's size may change between frames."""
    crop_per_face: float = 2.4
    """Landmark extents, 2 to 3: side of a head crop; it contains all hair except long hair."""
    crop_raised: float = 0.04
    """Landmark extents, 0 to 0.15: upward shift of the crop, because the skull extends farther above the landmarks than
    the chin below them."""
    crop_behind: float = 0.25
    """Landmark extents, 0 to 0.5: backward shift of the crop of a profile, because the centre of a turned head lies
    behind that of its landmarks."""


FACES = FacesSettings()
