"""Sources of ``GraphBatch``: ``kind = "graph_shapes"`` and ``"graph_people"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import load_template
from backend.models.landmarks.apply import SurfaceLandmarker
from backend.models.landmarks.network import LANDMARKS
from backend.photos.collection import FaceClass
from backend.rendering.camera_models import project
from backend.rendering.color import srgb_from_linear
from trainer.contracts import Source, SourceConfig
from trainer.data.disk_cache import cache_folder, content_key
from trainer.data.graph.batch import GraphBatch, GraphPhotos
from trainer.data.kept_rows import mapped, missing_runs
from trainer.data.lap.marks import marks_of
from trainer.data.lap.stored import MARK_STEP
from trainer.data.people import PeopleConfig
from trainer.data.people.carried import CarriedExpressions
from trainer.data.people.expression import draw_expression
from trainer.data.people.identity import IdentityShapes, draw_identity
from trainer.data.people.source import People
from trainer.data.people.surface import PeopleSurface

SKIN = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.LIPS)
_DEPTH_SLACK = 0.006
"""Metres that a vertex may lie behind the depth map and still count as visible, because cage and surface differ."""
_MADE_AT_ONCE = 8
_STEP = 1e-5
"""Metres; shapes are stored as 16-bit multiples of it, relative to the mean face, up to 33 cm."""
_PLACE_STEP = 1 / 8192
"""Sides of the picture; places are stored as 16-bit multiples of it, up to four sides away."""


@dataclass(frozen=True, kw_only=True)
class GraphShapesConfig(SourceConfig):
    """An endless sequence of people's shapes with expressions, without photos; an index is a person."""

    seed: int = 0
    """Another seed gives other people."""
    expressions: int = 2
    """Number of expressions per person."""

    def build(self) -> Source:
        """Make the source."""
        return GraphShapes(self)


class GraphShapes:
    """See ``GraphShapesConfig``."""

    def __init__(self, config: GraphShapesConfig) -> None:
        self.config = config
        self._template = load_template()
        self._tools: dict[torch.device, tuple[IdentityShapes, CarriedExpressions]] = {}

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> GraphBatch:
        """Return people number ``indices``."""
        device = torch.device(device)
        if device not in self._tools:
            shapes = IdentityShapes(PeopleSurface(self._template, device))
            self._tools[device] = shapes, CarriedExpressions(self._template, device)
        shapes, carried = self._tools[device]
        count = self.config.expressions
        people, weights = [], []
        for index in indices:
            generator = np.random.Generator(np.random.Philox(key=[self.config.seed, index]))
            people.append(draw_identity(generator, len(self._template.identity_modes)))
            weights.extend(draw_expression(generator).weights for _ in range(count))
        neutral = shapes.neutral(people).repeat_interleave(count, 0)
        keys = torch.from_numpy(np.stack(weights)).to(device)
        return GraphBatch(
            person=torch.tensor(list(indices), device=device).repeat_interleave(count),
            neutral=neutral,
            weights=keys,
            vertices=carried.posed(neutral, keys)[:, : self._template.head.vertex_stop],
            photos=None,
        )


@dataclass(frozen=True, kw_only=True)
class GraphPeopleConfig(SourceConfig):
    """Photos of synthetic people that are made once and repeat, so that a net can learn to classify them by name."""

    size: int = 112
    """Side of the pictures in pixels."""
    seed: int = 0
    """Another seed gives other people."""
    photos: int = 3
    """Number of photos per person."""
    people: int = 1500
    """Number of people; they repeat in the same order."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.people < 1 or self.photos < 1:
            raise ValueError("people and photos must be at least 1")

    def build(self) -> GraphPeople:
        """Make the source."""
        return GraphPeople(self)


class GraphPeople:
    """See ``GraphPeopleConfig``; raises ``LikenessError`` ("missing_part") where the landmark net is not trained."""

    def __init__(self, config: GraphPeopleConfig) -> None:
        self.config = config
        self._template = load_template()
        self._head = self._template.head.vertex_stop
        self._people = People(
            PeopleConfig(
                size=config.size,
                seed=config.seed,
                photos=config.photos,
                framing="face",
                depth=True,
                albedo=True,
                carried=True,
            )
        )
        self._surfaces: dict[torch.device, PeopleSurface] = {}
        self._landmarker = SurfaceLandmarker.load()
        here = Path(__file__).resolve().parent
        code = [here / "source.py", here.parent / "lap" / "marks.py", *sorted((here.parent / "people").rglob("*.py"))]
        root = Path(config.folder) if config.folder else cache_folder() / "graph"
        self._folder = root / content_key(replace(config, folder=""), self._landmarker.version, *code)
        self._arrays = self._open()

    def batch(self, indices: range, device: torch.device) -> GraphBatch:
        """Return people ``indices``, modulo their count."""
        config, arrays = self.config, self._arrays
        rows = np.array([index % config.people for index in indices])
        for part in missing_runs(arrays["made"], rows, _MADE_AT_ONCE):
            self._make(part, device)
        mean = torch.from_numpy(self._template.vertices).to(device)

        def read(name: str) -> Tensor:
            return torch.from_numpy(arrays[name][rows]).to(device).flatten(0, 1)

        neutral = torch.from_numpy(arrays["neutral"][rows]).to(device).float() * _STEP + mean
        return GraphBatch(
            person=torch.from_numpy(rows).to(device).repeat_interleave(config.photos),
            neutral=neutral.repeat_interleave(config.photos, 0),
            weights=read("weights"),
            vertices=read("vertices").float() * _STEP + mean[: self._head],
            photos=GraphPhotos(
                images=read("images").float() / 255,
                places=read("places").float() * _PLACE_STEP,
                albedo=read("albedo").float() / 255,
                seen=read("seen") > 0,
                light=read("light"),
                marks=read("marks").float() * MARK_STEP,
            ),
        )

    def _open(self) -> dict[str, np.ndarray]:
        self._folder.mkdir(parents=True, exist_ok=True)
        config, size, head = self.config, self.config.size, self._head
        each = (config.people, config.photos)
        shapes = {
            "images": ((*each, 3, size, size), np.uint8),
            "places": ((*each, head, 2), np.int16),
            "albedo": ((*each, head, 3), np.uint8),
            "seen": ((*each, head), np.uint8),
            "light": ((*each, 9, 3), np.float32),
            "marks": ((*each, LANDMARKS, 3), np.int16),
            "weights": ((*each, 52), np.float32),
            "vertices": ((*each, head, 3), np.int16),
            "neutral": ((config.people, len(self._template.vertices), 3), np.int16),
            "made": ((config.people,), np.uint8),
        }
        return {name: mapped(self._folder / f"{name}.npy", *what) for name, what in shapes.items()}

    @torch.no_grad()
    def _make(self, rows: np.ndarray, device: torch.device) -> None:
        """Draw people ``rows``, which are adjacent; a row is marked once all its files are written."""
        device = torch.device(device)
        if device not in self._surfaces:
            self._surfaces[device] = PeopleSurface(self._template, device)
        people = self._people.batch(range(int(rows[0]), int(rows[-1]) + 1), device)
        size, head, photos = self.config.size, self._head, self.config.photos
        drawn = self._surfaces[device].drawn(people.vertices)[:, :head]
        pose = people.camera_from_head
        in_camera = drawn @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3]
        pixels = project(in_camera, people.intrinsics)[..., :2]
        column, row = (pixels[..., k].floor().long().clamp(0, size - 1) for k in (0, 1))
        number = torch.arange(len(pixels), device=device)[:, None]
        inside = ((pixels >= 0) & (pixels < size)).all(-1) & people.inside[number, row, column]
        near = in_camera[..., 2] < people.depth[number, row, column] + _DEPTH_SLACK
        labels = people.labels[number, row, column]
        bare = torch.isin(labels, torch.tensor([int(kind) for kind in SKIN], dtype=labels.dtype, device=device))
        albedo = srgb_from_linear(people.albedo).clamp(0, 1)[number, :, row, column]
        mean = torch.from_numpy(self._template.vertices).to(device)
        values = {
            "images": (people.images * 255).round(),
            "places": (pixels / size / _PLACE_STEP).round().clamp(-32768, 32767),
            "albedo": (albedo * 255).round(),
            "seen": inside & near & bare,
            "light": people.light,
            "marks": (marks_of(self._landmarker, people.images) / MARK_STEP).round().clamp(-32768, 32767),
            "weights": people.expression,
            "vertices": ((people.vertices[:, :head] - mean[:head]) / _STEP).round().clamp(-32768, 32767),
            "neutral": ((people.neutral[::photos] - mean) / _STEP).round().clamp(-32768, 32767),
        }
        for name, value in values.items():
            array = self._arrays[name]
            array[rows] = value.cpu().numpy().reshape(len(rows), *array.shape[1:]).astype(array.dtype)
        self._arrays["made"][rows] = 1
