"""What the learned face model's encoder says about one person's photos, in the product's own terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.photos.faces.sampling import Window


@dataclass(frozen=True)
class EncodedPhoto:
    """One photo's part.

    Attributes
    ----------
    name : the photo's name. window : the square of its crop that the encoder saw, turned so that the head is upright.
    expression : (V_head, 3) metres by which the cage's head vertices leave the neutral face.
    rotation : (3, 3) OpenCV camera axes of the window from the head's. distance : metres to the head's middle.
    light : (9, 3) SH coefficients, head frame, as ``FittedPhoto.light``.
    """

    name: str
    window: Window
    expression: np.ndarray
    rotation: np.ndarray
    distance: float
    light: np.ndarray

    def rotation_in_photo(self) -> np.ndarray:
        """(3, 3) camera_from_head for the upright crop, the window's turn taken back."""
        cos, sin = np.cos(self.window.angle), np.sin(self.window.angle)
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ self.rotation


@dataclass(frozen=True)
class EncodedFace:
    """One person.

    Attributes
    ----------
    identity : (V_head, 3) metres by which the neutral cage's head vertices leave the template's.
    reflectance : (V_head, 3) linear. photos : in the order of the faces that were encoded.
    version : fingerprint of the model's weights.
    code : (K,) the identity in the fit's own modes, where these are the model's; None: it is to be projected on them.
    """

    identity: np.ndarray
    reflectance: np.ndarray
    photos: tuple[EncodedPhoto, ...]
    version: str
    code: np.ndarray | None = None
