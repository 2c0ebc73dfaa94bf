"""The mirror partner of each landmark, computed from the template alone, without the photo stage's dependencies.

Faces of synthetic people with their true landmarks, stored on disk: ``kind = "landmark_people"`` in recipes.

Run the landmark detector on pictures with known face positions.

Size of faces in pictures, for batches of landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.fitting.detector_model import OUTER_EYE_CORNERS, UPRIGHT
from backend.geometry.template import load_template
from backend.photos.faces import DetectedFace, find_landmarks, landmark_window
from trainer.engine.contracts import SourceConfig
from trainer.engine.disk_cache import cache_folder, content_key, mapped, missing_runs
from trainer.people.mixtures import code_of
from trainer.people.source import PeopleConfig


@cache
def landmark_mirror() -> np.ndarray:
    """(478,) int64: the landmark on the other side, by the template's symmetry; irises map to irises."""
    template = load_template()
    places = template.landmarks478.positions(template.vertices)
    return np.linalg.norm(places[:, None] * (-1, 1, 1) - places[None], axis=-1).argmin(1)


KEPT = ("images", "landmarks", "depths", "distance")
"""Stored parts of a batch; a change of them makes another folder."""
_STEP = 1 / 64
"""Pixels; landmarks and their depths are stored as 16-bit multiples of it."""


@dataclass(frozen=True)
class LandmarkBatch:
    """images : (N, 3, S, S) float32 in [0, 1], sRGB. landmarks : (N, 478, 2) true positions in pixels, hidden ones too.
    depths : (N, 478), distance : (N,) see ``depths_in_pixels``."""

    images: Tensor
    landmarks: Tensor
    depths: Tensor
    distance: Tensor


@dataclass(frozen=True, kw_only=True)
class LandmarkPeopleConfig(SourceConfig):
    """The first ``count`` pictures of a source of people, which then repeat; an index is a person."""

    people: PeopleConfig = field(default_factory=lambda: PeopleConfig(size=160, framing="roomy"))
    """Configuration of the people and their pictures; one photo of each."""
    count: int = 10000
    """Number of stored pictures."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.people.photos != 1:
            raise ValueError("count must be at least 1, and people must have one photo each")

    def build(self) -> LandmarkPeople:
        """Make the source; pictures are made on demand."""
        return LandmarkPeople(self)


class LandmarkPeople:
    """See ``LandmarkPeopleConfig``."""

    def __init__(self, config: LandmarkPeopleConfig) -> None:
        self.config = config
        self._people = config.people.build()
        root = Path(config.folder) if config.folder else cache_folder() / "landmarks"
        self._embedding = load_template().landmarks478
        taught = self._embedding.vertices, self._embedding.barycentrics
        folder = root / content_key(config.people, config.count, *code_of(self._people), *KEPT, *taught)
        folder.mkdir(parents=True, exist_ok=True)
        size, count = config.people.size, config.count
        self._images = mapped(folder / "images.npy", (count, 3, size, size))
        self._landmarks = mapped(folder / "landmarks.npy", (count, 478, 2), np.int16)
        self._depths = mapped(folder / "depths.npy", (count, 478), np.int16)
        self._distance = mapped(folder / "distance.npy", (count,), np.float32)
        self._made = mapped(folder / "made.npy", (count,))

    def batch(self, indices: range, device: torch.device) -> LandmarkBatch:
        """Return pictures ``indices``, modulo ``count``."""
        rows = np.array([index % self.config.count for index in indices])
        for run in missing_runs(self._made, rows, len(rows)):
            made = self._people.batch(range(int(run[0]), int(run[-1]) + 1), device)
            self._images[run] = (made.images * 255).round().clamp(0, 255).byte().cpu().numpy()
            self._landmarks[run] = _steps(made.landmarks478)
            points = torch.from_numpy(self._embedding.positions(made.vertices.cpu().numpy())).to(device)
            depths, self._distance[run] = depths_in_pixels(points, made.camera_from_head, made.intrinsics)
            self._depths[run] = _steps(depths)
            self._made[run] = 1
        return LandmarkBatch(
            torch.from_numpy(self._images[rows]).to(device).float() / 255,
            torch.from_numpy(self._landmarks[rows]).to(device).float() * _STEP,
            torch.from_numpy(self._depths[rows]).to(device).float() * _STEP,
            torch.from_numpy(self._distance[rows]).to(device),
        )


def depths_in_pixels(points: Tensor, camera_from_head: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Depths that are observable in a picture of unknown focal length, in pixels at the points' centroid.

    Parameters
    ----------
    points : (N, L, 3) head frame, metres. camera_from_head : (N, 4, 4). intrinsics : (N, 3, 3) K in pixels.

    Returns
    -------
    (N, L) depths along the line of sight to the points' centroid, away from the camera, and (N,) the centroid's
    distance from the camera: both times the focal length, divided by the centroid's depth along the optical axis.
    """
    seen = points.to(camera_from_head.dtype) @ camera_from_head[:, :3, :3].transpose(1, 2)
    seen = seen + camera_from_head[:, None, :3, 3]
    middle = seen.mean(1)
    distance = middle.norm(dim=-1)
    depths = torch.einsum("nlj,nj->nl", seen, middle / distance[:, None]) - distance[:, None]
    pixels = intrinsics[:, 0, 0] / middle[:, 2]
    return depths * pixels[:, None], distance * pixels


def _steps(values: Tensor) -> np.ndarray:
    """Quantise values to 16-bit steps."""
    return (values / _STEP).round().clamp(-32768, 32767).cpu().numpy().astype(np.int16)


_BOX_PER_FACE = 0.8
"""Side of the detector's box relative to the larger extent of the landmarks."""


def landmarks_in_given_box(pixels: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    """Run ``find_landmarks`` in (H, W, 3) uint8 sRGB around the true landmarks (478, 2), pixels.

    The face's box is given instead of detected: it only initialises the landmark detector, and detection takes most of
    the time.
    """
    return find_landmarks(pixels, given_box(true))


def given_box(true: np.ndarray) -> DetectedFace:
    """Build the face detector's result for a face with the landmarks (478, 2)."""
    around = landmark_window(true.astype(np.float64), _BOX_PER_FACE)
    return DetectedFace(around.centre, around.side, around.angle, 1.0)


def face_scales(landmarks: Tensor) -> Tensor:
    """(N,) ``backend.fitting.detector_model.face_scale`` of landmarks (N, L, 2)."""

    def apart(pair: tuple[int, int]) -> Tensor:
        return (landmarks[:, pair[0]] - landmarks[:, pair[1]]).norm(dim=-1)

    return torch.maximum(apart(OUTER_EYE_CORNERS), 0.5 * apart(UPRIGHT))
