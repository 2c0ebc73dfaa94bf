"""The ray tracer's scene: a surface with its material, and its lighting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.geometry.normals import vertex_normals


@dataclass(frozen=True)
class Surface:
    """A triangle mesh with per-vertex material. Everything in one frame, metres.

    Attributes
    ----------
    vertices : (V, 3) positions; faces : (F, 3) int, counter-clockwise from outside.
    normals : (V, 3) shading normals, unit length (they may contain pores that the positions lack).
    albedo : (V, 3) linear light, 0-1.
    specular : (V,) reflectance at normal incidence (skin 0.028, wet eye 0.03 with low roughness, hair 0.05).
    roughness : (V,) GGX alpha, 0-1.
    translucency : (V,) extent of subsurface scattering relative to skin's (0 = opaque).
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    specular: np.ndarray
    roughness: np.ndarray
    translucency: np.ndarray

    def moved(self, vertices: np.ndarray) -> Surface:
        """The same material at other positions, with smooth vertex normals."""
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
    position : (3,) metres. radius : metres. irradiance : (3,) RGB at the origin of the frame, on a surface facing the
        light (a white surface gets this value).
    """

    position: np.ndarray
    radius: float
    irradiance: np.ndarray


@dataclass(frozen=True)
class Environment:
    """Distant light: a vertical gradient plus soft spherical-Gaussian windows.

    Attributes
    ----------
    ground, sky : (3,) RGB radiance from straight below and straight above, linearly blended by height in between.
    directions : (L, 3) unit vectors of the windows; sharpness : (L,); colours : (L, 3) radiance at their centre.
    """

    ground: np.ndarray
    sky: np.ndarray
    directions: np.ndarray
    sharpness: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Lighting:
    """All lights of a picture."""

    lights: tuple[AreaLight, ...]
    environment: Environment


def joined(surfaces: tuple[Surface, ...]) -> Surface:
    """Join several surfaces to one."""
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
