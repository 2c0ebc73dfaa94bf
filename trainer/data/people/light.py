"""Light of ordinary photographs: an environment of three SH bands, and a key, a fill and a rim lamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.rendering.spherical_harmonics import light_from_directions


@dataclass(frozen=True)
class LightParameters:
    """The light of one picture, in upright camera axes: x right in the picture, y up, z to the camera.

    Attributes
    ----------
    directions : (L, 3) unit vectors towards the lamps; the first is the key light. colours : (L, 3) linear.
    softness : (L,) 0 for the sun, 1 for a large window. ambient : (9, 3) coefficients of the shading by everything
        else, in the form of ``backend.rendering.spherical_harmonics``.
    """

    directions: np.ndarray
    colours: np.ndarray
    softness: np.ndarray
    ambient: np.ndarray


def draw_light(g: np.random.Generator) -> LightParameters:
    """Draw the light: overcast sky, sun, window, room, flash or studio."""
    kind = g.choice(6, p=[0.26, 0.16, 0.22, 0.2, 0.07, 0.09])
    sky_share = (0.80, 0.30, 0.24, 0.42, 0.18, 0.22)[kind]
    sky_share *= float(np.exp(g.normal(0, 0.2)))
    softness = g.uniform(*((0.9, 0.9), (0.05, 0.25), (0.5, 0.9), (0.3, 0.8), (0.35, 0.35), (0.3, 0.9))[kind])
    elevation = np.radians(g.uniform(*((35, 85), (20, 70), (0, 40), (25, 75), (0, 15), (10, 55))[kind]))
    azimuth = np.radians(g.uniform(*((-90, 90), (-110, 110), (-100, 100), (-80, 80), (-8, 8), (-70, 70))[kind]))
    key = _direction(azimuth, elevation)
    warm = np.clip(g.normal(0.0, 0.5), -1.2, 1.2)
    key_colour = _tint(warm) * (1 - min(sky_share, 0.95)) * 1.5
    fill = _direction(np.radians(g.uniform(-180, 180)), np.radians(g.uniform(-20, 50)))
    fill_colour = _tint(g.normal(-0.2 * warm, 0.4)) * g.exponential(0.10)
    rim = _direction(np.radians(g.choice([-1, 1]) * g.uniform(110, 165)), np.radians(g.uniform(5, 60)))
    rim_colour = _tint(g.normal(0, 0.6)) * g.exponential(0.25) * float(g.random() < 0.4)
    # the environment: brighter from above than from below, with some colour from the ground
    blobs = 8
    directions = g.standard_normal((blobs, 3))
    directions[:, 1] = directions[:, 1] * 0.7 + 0.45
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = g.exponential(1.0, blobs)
    colours = np.stack([_tint(t) for t in g.normal(-0.3 * warm, 0.45, blobs)]) * strength[:, None]
    ambient = light_from_directions(directions, colours, float(strength.sum() * 0.25))
    ambient *= sky_share / max(float(ambient[0].mean()) * 0.2820948, 1e-6)
    return LightParameters(
        np.stack([key, fill, rim]).astype(np.float32),
        np.stack([key_colour, fill_colour, rim_colour]).astype(np.float32),
        np.array([softness, 0.8, 0.6], np.float32),
        ambient.astype(np.float32),
    )


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    """(3,) direction, at zero towards the camera; azimuth to the right, elevation up."""
    return np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])


def _tint(warmth: float) -> np.ndarray:
    """(3,) colour of mean 1 from bluish (-1) to orange (1)."""
    colour = np.exp(np.array([0.22, 0.0, -0.30]) * warmth)
    return colour / colour.mean()
