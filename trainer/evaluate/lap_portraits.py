"""Evaluate LAP on real portraits against the landmark fit: depth in the photo's view, and view against pose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from backend.fitting.fit import fit_landmarks
from backend.fitting.landmark_targets import LandmarkModel, landmark_model
from backend.fitting.options import FitOptions
from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template, load_template
from backend.models.landmarks.apply import SurfaceLandmarker
from backend.models.lap.network import LapNet
from backend.models.lap.render import view_of
from backend.photos.collection import PhotoFace, PhotoQuality
from trainer.data.lap.marks import marks_of
from trainer.data.portraits import PortraitsConfig

_LEAST_COSINE = 0.2
"""Least cosine between the surface normal and the direction to the camera; other landmarks are left out."""
_FEWEST = 40
"""Fewest landmarks in LAP's picture for a correlation."""
_BATCH = 20


@dataclass(frozen=True)
class LandmarkDepth:
    """Depth and pose of a photo by the landmark fit.

    pixels : (L, 2) of the landmarks that face the camera. depth : (L,) metres from the camera.
    forward : (3,) unit direction of the nose in the camera's frame (x right, y down, z forward).
    """

    pixels: np.ndarray
    depth: np.ndarray
    forward: np.ndarray


@dataclass(frozen=True)
class PortraitErrors:
    """Errors of P portraits, nan where unknown. correlation : (P,) of depths. yaw, pitch : (P,) degrees, LAP's minus
    the fit's, positive to the picture's right and down. fit_yaw, fit_pitch : (P,) degrees, the fit's own."""

    correlation: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    fit_yaw: np.ndarray
    fit_pitch: np.ndarray


def fitted_depth(template: Template, model: LandmarkModel, landmarks: np.ndarray, size: int) -> LandmarkDepth:
    """Fit the template to landmarks (478, 2) of a square picture of ``size`` pixels; raises ``ValueError``."""
    marks = np.concatenate([landmarks, np.zeros((len(landmarks), 1))], 1).astype(np.float32)
    face = PhotoFace(
        name="portrait",
        source_size=(size, size),
        focal_px=None,
        pixels=np.zeros((size, size, 3), np.uint8),
        crop_scale=1.0,
        crop_offset=(0.0, 0.0),
        landmarks=marks,
        labels=np.zeros((size, size), np.uint8),
        monochrome=False,
        yaw_degrees=0.0,
        quality=PhotoQuality(1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    )
    state = fit_landmarks(template, model, (face,), FitOptions())
    pose, vertices = state.estimate.photos[0], state.posed(0)
    camera = pose.camera()
    rotation, shift = camera.camera_from_head[:3, :3], camera.camera_from_head[:3, 3]
    placed = template.landmarks478.positions(vertices) @ rotation.T + shift
    normals = (
        vertex_normals(vertices, np.concatenate([template.quads[:, :3], template.quads[:, [0, 2, 3]]])) @ rotation.T
    )
    corners = normals[template.landmarks478.vertices].mean(1)  # (L, 3)
    lengths = np.linalg.norm(corners, axis=1) * np.linalg.norm(placed, axis=1)
    cosine = -(corners * placed).sum(1) / np.maximum(lengths, 1e-9)
    shown = (cosine > _LEAST_COSINE) & template.landmarks478.valid
    return LandmarkDepth(landmarks[shown].astype(np.float64), placed[shown, 2], rotation[:, 2])


def resized(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Resize pictures (N, C, H, W) to ``size`` pixels a side."""
    return functional.interpolate(pictures, (size, size), mode="bilinear", antialias=True)


def degrees(forward: np.ndarray) -> tuple[float, float]:
    """Yaw to the picture's right and pitch down of a direction (3,) that points at the camera at (0, 0, -1)."""
    x, y, z = forward
    return float(np.degrees(np.arctan2(x, -z))), float(np.degrees(np.arctan2(y, -z)))


def depth_correlation(depth: np.ndarray, shown: np.ndarray, marks: LandmarkDepth, size: int) -> float:
    """Correlation of a depth map (S, S) with the fit's depths at the landmarks inside ``shown`` (S, S) bool.

    marks : in pixels of a picture of ``size``. Returns nan for too few landmarks."""
    grid = torch.from_numpy(marks.pixels * 2 / size - 1).float().view(1, 1, -1, 2)
    maps = torch.from_numpy(np.stack([np.where(shown, depth, 0.0), shown])).float()[None]
    value, share = functional.grid_sample(maps, grid, align_corners=False)[0, :, 0].numpy()
    inside = share > 0.999
    if inside.sum() < _FEWEST:
        return float("nan")
    return float(np.corrcoef(value[inside], marks.depth[inside])[0, 1])


@torch.no_grad()
def portrait_errors(network: LapNet, folder: Path, count: int, seed: int) -> PortraitErrors:
    """Errors on ``count`` random held-out portraits of a prepared collection with ``framing = "face"``; every photo is
    a set of its own."""
    source = PortraitsConfig(folder=str(folder), part="held_out", seed=seed).build()
    template = load_template()
    model, size = landmark_model(template), network.config.size
    landmarker = None if network.landmarks is None else SurfaceLandmarker.load()
    rows: list[tuple[float, float, float, float, float]] = []
    for start in range(0, min(count, len(source)), _BATCH):
        batch = source.batch(range(start, min(start + _BATCH, count, len(source))), torch.device("cpu"))
        full = batch.images.shape[-1]
        pictures = resized(batch.images, size) * 2 - 1
        marks = None if landmarker is None else marks_of(landmarker, batch.images)
        face, scene = network(pictures, torch.arange(len(pictures)), marks)
        own = network.personalize(pictures, face)
        surface = view_of(own, scene.view, network.config)
        for number, landmarks in enumerate(batch.landmarks.numpy()):
            try:
                marks = fitted_depth(template, model, landmarks, full)
            except (ValueError, np.linalg.LinAlgError):
                rows.append((np.nan,) * 5)
                continue
            shown = surface.mask[number].numpy()
            correlation = depth_correlation(surface.depth[number].numpy(), shown, marks, full)
            forward = -scene.view.rotation[number, :, 2].numpy()  # canonical faces look along -z
            (yaw, pitch), (fit_yaw, fit_pitch) = degrees(forward), degrees(marks.forward)
            rows.append((correlation, yaw - fit_yaw, pitch - fit_pitch, fit_yaw, fit_pitch))
    return PortraitErrors(*np.array(rows).T)


def portrait_figures(errors: PortraitErrors) -> dict[str, float]:
    """``portraits.correlation`` (median of depth), ``.correlation.least``, ``.negative`` (number). ``.yaw``,
    ``.pitch`` : correlation with the fit's; ``.degrees`` : median absolute difference; ``.lean`` : signed mean."""
    known = np.isfinite(errors.correlation)
    figures = {
        "portraits.count": float(len(known)),
        "portraits.no_figure": float((~known).sum()),
        "portraits.correlation": float(np.median(errors.correlation[known])),
        "portraits.correlation.least": float(errors.correlation[known].min()),
        "portraits.negative": float((errors.correlation[known] < 0).sum()),
    }
    for name, wrong, true in (("yaw", errors.yaw, errors.fit_yaw), ("pitch", errors.pitch, errors.fit_pitch)):
        fine = np.isfinite(wrong)
        figures[f"portraits.{name}"] = float(np.corrcoef((true + wrong)[fine], true[fine])[0, 1])
        figures[f"portraits.{name}.degrees"] = float(np.median(np.abs(wrong[fine])))
        figures[f"portraits.{name}.lean"] = float(wrong[fine].mean())
    return figures
