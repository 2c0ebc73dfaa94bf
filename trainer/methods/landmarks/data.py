"""Faces of synthetic people with their true landmarks, kept on disk (``kind = "landmark_people"``): mirror partners,
sizes, and the detector's answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from backend.errors import LikenessError
from backend.fitting.detector_model import OUTER_EYE_CORNERS, UPRIGHT
from backend.geometry.template import load_template
from backend.photos.faces import DetectedFace, find_landmarks, landmark_window
from backend.rendering.camera import PerspectiveCameras, project
from trainer.engine.batch import BYTES, Batch, Coding, StoredBatches, batch_field
from trainer.engine.contracts import SourceConfig
from trainer.people.mixtures import DrawingProcesses, stored
from trainer.people.source import PeopleConfig


@cache
def landmark_mirror() -> np.ndarray:
    """(478,) int64: the landmark on the other side, by the template's symmetry; irises map to irises."""
    template = load_template()
    positions = template.landmarks478.positions(template.vertices)
    return np.linalg.norm(positions[:, None] * (-1, 1, 1) - positions[None], axis=-1).argmin(1)


SURFACE = 1000
"""Number of surface points beside the landmarks."""
_CODING = Coding(np.int16, step=1 / 64)
"""Landmarks and their depths are stored as 16-bit multiples of so many pixels."""
_AT_ONCE = 16
"""Pictures that a process draws at a time."""
_MIXING = 0x9E3779B97F4A7C15
"""Multiplier of the hash that chooses a picture."""
_WAIT = 0.05
"""Seconds between two looks at what other processes have drawn."""


@dataclass(frozen=True)
class LandmarkBatch(Batch):
    """images : (N, 3, S, S) float32 in [0, 1], sRGB. landmarks : (N, 478, 2) true positions in pixels, hidden ones too.
    depths : (N, 478), distance : (N,) see ``depths_in_pixels``. surface : (N, ``SURFACE``, 3) positions and depths of
    ``surface_points``, in pixels."""

    images: Tensor = batch_field(coding=BYTES)
    landmarks: Tensor = batch_field(coding=_CODING)
    depths: Tensor = batch_field(coding=_CODING)
    distance: Tensor
    surface: Tensor = batch_field(coding=_CODING)


@dataclass(frozen=True, kw_only=True)
class LandmarkPeopleConfig(SourceConfig):
    """The first ``count`` pictures of a source of people, which then repeat; an index is a person."""

    people: PeopleConfig = field(default_factory=lambda: PeopleConfig(size=160, framing="roomy"))
    """Configuration of the people and their pictures; one photo of each."""
    count: int = 10000
    """Number of stored pictures."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""
    processes: int = 0
    """Processes that draw all pictures in order, ahead of the training; 0: each is drawn when it is needed."""
    first: int = 0
    """Number of pictures among which the first samples are chosen; 0: in order, without a choice."""
    growth: float = 0.0
    """With ``first``: pictures by which the choice grows with every sample, up to ``count``."""
    on_device: bool = False
    """Keep all pictures in the training device's memory."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.people.photos != 1:
            raise ValueError("count must be at least 1, and people must have one photo each")
        if not 0 <= self.first <= self.count or self.growth < 0 or self.processes < 0:
            raise ValueError("first must be between 0 and count, growth and processes at least 0")

    def build(self) -> LandmarkPeople:
        """Make the source; pictures are made on demand, or by processes from now on."""
        return LandmarkPeople(self)


class LandmarkPeople:
    """See ``LandmarkPeopleConfig``."""

    def __init__(self, config: LandmarkPeopleConfig) -> None:
        self.config = config
        self._store = _store(config)
        self._drawing = DrawingProcesses(_draw_rows, config, config.count, _AT_ONCE, config.processes)

    def batch(self, indices: range, device: torch.device) -> LandmarkBatch:
        """Return pictures ``indices``, modulo ``count``, or the chosen ones."""
        rows = chosen_rows(self.config, indices)
        if self.config.processes:
            self._wait_for(int(rows.max()) + 1)
        else:
            self._store.make(np.arange(rows.max() + 1) if self.config.on_device else rows, device)
        return self._store.read(rows, device)

    def _wait_for(self, count: int) -> None:
        """Wait until the first ``count`` pictures are drawn; raises ``LikenessError`` if no process is left to."""
        while not self._store.written[:count].all():
            if not self._drawing.alive and not self._store.written[:count].all():
                raise LikenessError("internal", "The processes that draw people have ended.", "Look at their messages.")
            time.sleep(_WAIT)


def chosen_rows(config: LandmarkPeopleConfig, indices: range) -> np.ndarray:
    """(N,) pictures of samples ``indices``: by a hash of the index among the first ``first + growth * index``."""
    numbers = np.array(indices, np.uint64)
    if not config.first:
        return (numbers % np.uint64(config.count)).astype(np.int64)
    pool = np.minimum(config.first + np.floor(config.growth * numbers.astype(np.float64)), config.count)
    with np.errstate(over="ignore"):
        mixed = (numbers + np.uint64(1)) * np.uint64(_MIXING)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(_MIXING)
    return ((mixed >> np.uint64(32)) % pool.astype(np.uint64)).astype(np.int64)


class _MeasuredPeople:
    """Pictures of a source of people, with true positions and depths in them."""

    def __init__(self, config: LandmarkPeopleConfig) -> None:
        self.people, self._marks = config.people.build(), load_template().landmarks478

    def batch(self, indices: range, device: torch.device) -> LandmarkBatch:
        """Draw the people ``indices``."""
        drawn = self.people.batch(indices, device)
        vertices = drawn.vertices.cpu().numpy()
        points, surface = self._marks.positions(vertices), vertices[:, surface_points()]
        count = points.shape[1]
        points = torch.from_numpy(np.concatenate([points, surface], 1)).to(drawn.images.device)
        pixels, depths, distance = in_pixels(points, drawn.cameras, count)
        surface = torch.cat([pixels[:, count:], depths[:, count:, None]], -1)
        return LandmarkBatch(drawn.images, pixels[:, :count], depths[:, :count], distance, surface)


def _store(config: LandmarkPeopleConfig) -> StoredBatches[LandmarkBatch]:
    """A configuration's files; a change of what is taught makes another folder."""
    marks, on_device = load_template().landmarks478, config.on_device
    taught = marks.vertices, marks.barycentrics, surface_points()
    kept = LandmarkBatch, _MeasuredPeople(config), config.count, config.folder, "landmarks", 0
    return stored(*kept, config.people, *taught, on_device=on_device)


def _draw_rows(config: LandmarkPeopleConfig) -> Callable[[range], None]:
    """What a drawing process calls with the rows that it draws."""
    store = _store(config)
    return lambda rows: store.make(np.array(rows), torch.device("cpu"))


@lru_cache(maxsize=1)
def surface_points() -> np.ndarray:
    """(``SURFACE``,) vertices of the head, spread evenly (farthest point sampling) over the skin of face, forehead,
    ears and upper neck, in pairs of mirror images."""
    template = load_template()
    vertices = template.vertices[: template.head.vertex_stop].astype(np.float64)
    regions = {name: template.regions[name][: len(vertices)] for name in template.regions}
    inside = np.maximum(regions["mouth_interior"], regions["eye_sockets"]) > 0.5
    middle = vertices[template.landmarks478.vertices[1, 0]]
    front = (np.linalg.norm(vertices - middle, axis=1) < 0.19) & (vertices[:, 2] > middle[2] - 0.15)
    candidates = np.flatnonzero(front & ~inside)
    distance = np.full(len(vertices), -1.0)
    distance[candidates] = np.inf
    chosen = np.zeros(0, np.int64)
    while len(chosen) < SURFACE:
        far = int(distance.argmax())
        chosen = np.concatenate([chosen, np.unique([far, template.mirror[far]])])
        distance = np.minimum(distance, np.linalg.norm(vertices - vertices[far], axis=1))
        distance = np.minimum(distance, np.linalg.norm(vertices - vertices[template.mirror[far]], axis=1))
    return chosen[:SURFACE]


def in_pixels(points: Tensor, cameras: PerspectiveCameras, middle_of: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positions, and depths that are observable in a picture of unknown focal length, in pixels at the centroid of the
    first ``middle_of`` points.

    Parameters
    ----------
    points : (N, L, 3) head frame, metres.

    Returns
    -------
    (N, L, 2) positions, (N, L) depths along the line of sight to the centroid, away from the camera, and (N,) the
    centroid's distance from the camera: both times the focal length, divided by the centroid's depth along the optical
    axis.
    """
    in_camera = cameras.in_camera(points.to(cameras.camera_from_head.dtype))
    middle = in_camera[:, :middle_of].mean(1)
    distance = middle.norm(dim=-1)
    depths = torch.einsum("nlj,nj->nl", in_camera, middle / distance[:, None]) - distance[:, None]
    pixels = cameras.intrinsics[:, 0, 0] / middle[:, 2]
    return project(in_camera, cameras.intrinsics)[..., :2], depths * pixels[:, None], distance * pixels


_BOX_PER_FACE = 0.8
"""Side of the detector's box relative to the larger extent of the landmarks."""


def landmarks_in_box(pixels: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    """Run ``find_landmarks`` in (H, W, 3) uint8 sRGB around the true landmarks (478, 2), pixels.

    The face's box is given instead of detected: it only initialises the landmark detector, and detection takes most of
    the time.
    """
    return find_landmarks(pixels, box_of_landmarks(true))


def box_of_landmarks(true: np.ndarray) -> DetectedFace:
    """Build the face detector's result for a face with the landmarks (478, 2)."""
    around = landmark_window(true.astype(np.float64), _BOX_PER_FACE)
    return DetectedFace(around.centre, around.side, around.angle, 1.0)


def face_scales(landmarks: Tensor) -> Tensor:
    """(N,) ``backend.fitting.detector_model.face_scale`` of landmarks (N, L, 2)."""

    def apart(pair: tuple[int, int]) -> Tensor:
        return (landmarks[:, pair[0]] - landmarks[:, pair[1]]).norm(dim=-1)

    return torch.maximum(apart(OUTER_EYE_CORNERS), 0.5 * apart(UPRIGHT))
