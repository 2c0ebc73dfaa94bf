"""What the ray tracer draws: a surface with its material, and the light that falls on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.geometry.normals import vertex_normals


@dataclass(frozen=True)
class Surface:
    """A triangle mesh with per-vertex material. All in one frame, metres.

    Attributes
    ----------
    vertices : (V, 3) positions; faces : (F, 3) int, counter-clockwise from outside.
    normals : (V, 3) shading normals, unit length (they may carry pores that the positions do not have).
    albedo : (V, 3) linear light, 0-1.
    specular : (V,) reflectance at normal incidence (skin 0.028, wet eye 0.03 with low roughness, hair 0.05).
    roughness : (V,) GGX alpha, 0-1.
    translucency : (V,) how far light spreads under the surface, as a factor on skin's (0 = opaque).
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    specular: np.ndarray
    roughness: np.ndarray
    translucency: np.ndarray

    def moved(self, vertices: np.ndarray) -> Surface:
        """The same material on other positions, with plain smooth normals."""
        return Surface(
            vertices,
            self.faces,
            vertex_normals(vertices, self.faces),
            self.albedo,
            self.specular,
            self.roughness,
            self.translucency,
        )


@dataclass(frozen=True)
class AreaLight:
    """A glowing sphere.

    Attributes
    ----------
    position : (3,) metres. radius : metres. irradiance : (3,) RGB that it gives at the origin of the frame to a
        surface that faces it (a white surface shows this value).
    """

    position: np.ndarray
    radius: float
    irradiance: np.ndarray


@dataclass(frozen=True)
class Environment:
    """Distant light: a vertical gradient plus soft spherical-Gaussian windows.

    Attributes
    ----------
    ground, sky : (3,) RGB radiance from straight below and straight above (a linear blend by height between).
    directions : (L, 3) unit vectors of the windows; sharpness : (L,); colours : (L, 3) radiance at their middle.
    """

    ground: np.ndarray
    sky: np.ndarray
    directions: np.ndarray
    sharpness: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Lighting:
    """All the light of a picture."""

    lights: tuple[AreaLight, ...]
    environment: Environment


def joined(surfaces: tuple[Surface, ...]) -> Surface:
    """One surface out of several."""
    starts = np.cumsum([0] + [len(s.vertices) for s in surfaces])
    return Surface(
        np.concatenate([s.vertices for s in surfaces]),
        np.concatenate([s.faces + start for s, start in zip(surfaces, starts[:-1], strict=True)]),
        np.concatenate([s.normals for s in surfaces]),
        np.concatenate([s.albedo for s in surfaces]),
        np.concatenate([s.specular for s in surfaces]),
        np.concatenate([s.roughness for s in surfaces]),
        np.concatenate([s.translucency for s in surfaces]),
    )
