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
from trainer.engine.batch import BYTES, Batch, Coding, StoredBatches, batch_field
from trainer.engine.contracts import Source, SourceConfig
from trainer.engine.disk_cache import cache_folder, content_key
from trainer.people.mixtures import code_of
from trainer.people.source import People, PeopleConfig


@cache
def landmark_mirror() -> np.ndarray:
    """(478,) int64: the landmark on the other side, by the template's symmetry; irises map to irises."""
    template = load_template()
    places = template.landmarks478.positions(template.vertices)
    return np.linalg.norm(places[:, None] * (-1, 1, 1) - places[None], axis=-1).argmin(1)


_STEP = 1 / 64
"""Pixels; landmarks and their depths are stored as 16-bit multiples of it."""


@dataclass(frozen=True)
class LandmarkBatch(Batch):
    """images : (N, 3, S, S) float32 in [0, 1], sRGB. landmarks : (N, 478, 2) true positions in pixels, hidden ones too.
    depths : (N, 478), distance : (N,) see ``depths_in_pixels``."""

    images: Tensor = batch_field(coding=BYTES)
    landmarks: Tensor = batch_field(coding=Coding(np.int16, step=_STEP))
    depths: Tensor = batch_field(coding=Coding(np.int16, step=_STEP))
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

    def build(self) -> Source:
        """Make the source; pictures are made on demand."""
        people, marks = self.people.build(), load_template().landmarks478
        root = Path(self.folder) if self.folder else cache_folder() / "landmarks"
        code = (Path(__file__), *code_of(people))
        folder = root / content_key(self.people, self.count, *code, marks.vertices, marks.barycentrics)
        return StoredBatches(LandmarkBatch, LandmarkPeople(people), self.count, folder)


class LandmarkPeople:
    """People with their true landmarks, without a store."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._embedding = load_template().landmarks478

    def batch(self, indices: range, device: torch.device) -> LandmarkBatch:
        """Return people number ``indices``."""
        made = self._people.batch(indices, device)
        points = torch.from_numpy(self._embedding.positions(made.vertices.cpu().numpy())).to(device)
        depths, distance = depths_in_pixels(points, made.camera_from_head, made.intrinsics)
        return LandmarkBatch(made.images, made.landmarks478, depths, distance)


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
