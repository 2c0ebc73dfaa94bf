"""The numbers of finding faces that were set by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FacesSettings:
    """One number a field; below each its unit, its plausible range and why it is what it is."""

    search_side: int = 1280
    """Pixels, 640 to 2560: longer side of the picture that faces are searched in. Smaller ones lose small faces."""
    view_side: int = 384
    """Pixels, 192 to 512: side of each window that the detectors are given; their inputs are 128 and 192."""
    same_face_overlap: float = 0.3
    """Share in [0, 1] of the smaller box: boxes that overlap by more are one face."""
    min_score: float = 0.4
    """Detector's confidence in [0, 1] below which there is no face."""
    sure_score: float = 0.7
    """Detector's confidence in [0, 1] from which a large face ends the search."""
    large_face: float = 0.2
    """Part of the picture's short side, 0.1 to 0.5: with a larger face no tiles are searched for small ones."""
    min_tile: int = 96
    """Pixels, 48 to 192: smaller tiles hold no face that could be used."""
    max_faces: int = 20
    """Faces, 5 to 50, of a photo: of a crowd the largest."""
    least_contrast: int = 8
    """Levels of 255, 2 to 20, between the darkest and the brightest value of a view: with less it is of one colour, as
    black frames of videos and backdrops are, and need not be searched, with two models, in ten tiles and four turns."""
    mesh_side: int = 256
    """Pixels, 192 to 512: side of the window that the mesh model is given; its input is 192."""
    window_per_face: float = 1.9
    """Sides of the face, 1.5 to 2.5, that this window spans."""
    agreement: float = 0.03
    """Sides of the face, 0.01 to 0.1: an answer of the mesh model farther from the median of all is dropped."""
    follow_shift: float = 0.45
    """Sides of the face, 0.2 to 1, that it may move from one frame to the next."""
    follow_size: float = 1.5
    """Ratio, 1.1 to 2, by which its size may change from one frame to the next."""
    crop_per_face: float = 2.4
    """Extents of the landmarks, 2 to 3, that a head crop spans: all hair that is not long is in it."""
    crop_raised: float = 0.04
    """Extents, 0 to 0.15, by which the crop is moved up: the skull reaches higher above the landmarks than the chin
    below them."""
    crop_behind: float = 0.25
    """Extents, 0 to 0.5, by which the crop of a profile is moved back: the head's middle lies behind the landmarks'
    when the face is turned."""


FACES = FacesSettings()
