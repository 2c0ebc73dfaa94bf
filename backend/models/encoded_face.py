"""Result of the learned face model's encoder for one person's photos, in the product's own frames and units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.photos.faces import Window


@dataclass(frozen=True)
class EncodedPhoto:
    """The encoder's result for one photo.

    Attributes
    ----------
    name : the photo's name. window : the encoder's input, a square of the photo's crop turned so that the head is
        upright.
    expression : (V_head, 3) offsets in metres of the cage's head vertices from the neutral face.
    rotation : (3, 3) camera_from_head for the window, OpenCV axes. distance : metres to the head's middle.
    light : (9, 3) SH coefficients, head frame, as ``FittedPhoto.light``.
    """

    name: str
    window: Window
    expression: np.ndarray
    rotation: np.ndarray
    distance: float
    light: np.ndarray

    def rotation_in_photo(self) -> np.ndarray:
        """(3, 3) camera_from_head for the crop, with the window's turn undone."""
        cos, sin = np.cos(self.window.angle), np.sin(self.window.angle)
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ self.rotation


@dataclass(frozen=True)
class EncodedFace:
    """The encoder's result for one person.

    Attributes
    ----------
    identity : (V_head, 3) offsets in metres of the neutral cage's head vertices from the template's.
    reflectance : (V_head, 3) linear. photos : in the order of the input faces.
    version : fingerprint of the model's weights.
    code : (K,) identity coefficients, if the fit uses the model's own modes; None: project ``identity`` onto the modes.
    """

    identity: np.ndarray
    reflectance: np.ndarray
    photos: tuple[EncodedPhoto, ...]
    version: str
    code: np.ndarray | None = None
