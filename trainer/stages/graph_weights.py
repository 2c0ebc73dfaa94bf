"""Weights of the terms of the stage ``graph_face``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphFaceWeights:
    """Weights of the loss terms: those with an equation in paper 2, and ours."""

    shape: float = 1.0
    """Equation 7, with the photo's expression and without, millimetres."""
    pair: float = 0.5
    """Equation 8: the identity of one photo with the expression of the next."""
    together: float = 1.0
    """Ours: the neutral shape from the mean identity of a person's photos, millimetres; it trains the confidence."""
    codes: float = 0.3
    """Ours: mean squared difference of the codes from the true shape's in the linear part, in standard deviations."""
    smooth: float = 0.1
    """Equation 9, millimetres. At 2, the error of motions is twice as large as at 0, because it pulls towards the
    template."""
    plain_smooth: float = 0.0
    """The conventional smoothness, for the ablation."""
    classification: float = 0.1
    """Equation 4, the first term."""
    centre: float = 0.02
    """Equation 4, the second."""
    photometric: float = 2.0
    """Equation 5."""
    landmarks: float = 0.0005
    """Equation 6. Its gradient at the start is then a quarter of the shape's; at 0.02 it was a hundred times that."""
    place: float = 0.02
    """Ours: distance in the picture of all vertices of the face from their true places, per cent, with the true shape;
    it
    trains the pose."""
    albedo: float = 2.0
    """Ours: difference of visible colours from the true ones; the paper has no labels for them."""
    symmetry: float = 0.5
    """Equation 10."""
    light: float = 0.2
    """Ours: difference of the shading from the true light's."""
    adversary: float = 0.0
    """Equation 11, the generator's part."""
    size: float = 0.001
    """Ours: mean square of the codes, so that they stay near a normal distribution."""


@dataclass(frozen=True)
class CriticWeights:
    """Weights of the critic's loss terms."""

    divergence: float = 1.0
    """Equation 11."""
