"""Render a surface with camera and light to linear light and depth in one call."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.rendering.camera import Camera
from trainer.data.raytrace.bvh import Bvh, build_bvh
from trainer.data.raytrace.film import scatter
from trainer.data.raytrace.integrate import integrate
from trainer.data.raytrace.scene import Lighting, Surface


@dataclass(frozen=True)
class TracedView:
    """A rendered view.

    Attributes
    ----------
    linear : (H, W, 3) float32 linear light in front of black. coverage : (H, W) 0-1. depth : (H, W) metres along the
        optical axis, 0 on the background.
    """

    linear: np.ndarray
    coverage: np.ndarray
    depth: np.ndarray

    def over(self, background: np.ndarray) -> np.ndarray:
        """Composite the view over a linear-light background (H, W, 3)."""
        return self.linear + (1 - self.coverage[..., None]) * background


def trace_view(
    surface: Surface,
    camera: Camera,
    lighting: Lighting,
    samples: int = 4,
    ambient_rays: int = 4,
    seed: int = 0,
    bvh: Bvh | None = None,
) -> TracedView:
    """Trace ``surface`` as seen by ``camera``.

    Parameters
    ----------
    surface : in the camera's head frame, metres. lighting : in the same frame.
    samples : primary rays per pixel. ambient_rays : rays into the surroundings per primary ray.
    seed : of the sampling noise; the same seed gives the same picture.
    bvh : of ``surface``, for sharing between pictures; built here when None.
    """
    bvh = build_bvh(surface.vertices, surface.faces) if bvh is None else bvh
    width, height = camera.size
    environment = lighting.environment
    material = np.stack([surface.specular, surface.roughness, surface.translucency], axis=1)
    diffuse, specular, colour, coverage, depth, translucency = integrate(
        bvh.bounds,
        bvh.links,
        bvh.corners,
        bvh.face_order,
        np.ascontiguousarray(surface.faces, dtype=np.int32),
        _single(surface.normals),
        _single(surface.albedo),
        _single(material),
        width,
        height,
        np.linalg.inv(camera.intrinsics),
        np.ascontiguousarray(camera.camera_from_head[:3, :3], dtype=np.float64),
        camera.centre(),
        _single([light.position for light in lighting.lights]).reshape(-1, 3),
        _single([light.radius for light in lighting.lights]),
        _single([light.irradiance for light in lighting.lights]).reshape(-1, 3),
        _single([environment.ground, environment.sky]),
        _single(environment.directions).reshape(-1, 3),
        _single(environment.sharpness),
        _single(environment.colours).reshape(-1, 3),
        samples,
        ambient_rays,
        seed,
    )
    covered = np.maximum(coverage, 1e-6)
    depth = np.where(coverage > 0, depth / covered, 0).astype(np.float32)
    focal = float(camera.intrinsics[0, 0])
    spread = scatter(diffuse / covered[..., None], depth, coverage, translucency / covered, focal)
    shine = scatter(specular / covered[..., None], depth, coverage, np.zeros_like(coverage), focal)  # denoised
    linear = spread * colour + shine * coverage[..., None]
    return TracedView(linear.astype(np.float32), coverage, depth)


def _single(values: object) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)


def look_at(
    yaw_degrees: float,
    pitch_degrees: float,
    roll_degrees: float,
    distance: float,
    focal_px: float,
    size: tuple[int, int],
    target: np.ndarray,
) -> Camera:
    """Build a camera that looks at ``target`` (3,) in the head frame from ``distance`` metres.

    Positive yaw shows the head turned to its own left (the camera is on the person's right), positive pitch shows it
    looking up (the camera is low), positive roll rotates the picture clockwise. The target is in the picture's centre.
    """
    yaw, pitch, roll = np.radians([yaw_degrees, pitch_degrees, roll_degrees])
    turn_yaw = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_pitch = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    turn_roll = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    rotation = turn_roll @ np.diag([1.0, -1.0, -1.0]) @ turn_pitch @ turn_yaw
    camera_from_head = np.eye(4)
    camera_from_head[:3, :3] = rotation
    camera_from_head[:3, 3] = np.array([0, 0, distance]) - rotation @ target
    intrinsics = np.array([[focal_px, 0, size[0] / 2], [0, focal_px, size[1] / 2], [0, 0, 1.0]])
    return Camera(intrinsics, camera_from_head, size)
