"""Real portraits without labels: ``kind = "graph_portraits"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import backend.fitting
from backend.errors import LikenessError
from backend.fitting.fit import fit_face
from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import fit_options_for
from backend.geometry.normals import vertex_normals
from backend.geometry.template import load_template
from backend.geometry.topology import triangles_from_quads
from backend.models.landmarks.apply import marks_in
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.faces.crop import Window, upright_square
from backend.photos.reading.source import PhotoSource
from trainer.contracts import Source, SourceConfig
from trainer.data.disk_cache import cache_folder, content_key, save_arrays
from trainer.data.graph.batch import UNKNOWN, GraphBatch, GraphPhotos
from trainer.data.graph.source import SKIN

_FACING = 0.3
"""Cosine between normal and line of sight above which a vertex's colour is visible."""


@dataclass(frozen=True, kw_only=True)
class GraphPortraitsConfig(SourceConfig):
    """Portraits from a folder, one per person. A fit of the linear face model to the landmarks gives the head's
    position. Nothing else is known of them: ``person`` is ``UNKNOWN``."""

    folder: str
    """Folder of JPEG files; files without a detected face are skipped."""
    size: int = 112
    """Side of the pictures in pixels."""
    people: int = 300
    """Number of portraits, evenly spread over the folder's names; they repeat in the same order."""

    def __post_init__(self) -> None:
        if self.people < 1:
            raise ValueError("people must be at least 1")

    def build(self) -> Source:
        """Make the source."""
        return GraphPortraits(self)


class GraphPortraits:
    """See ``GraphPortraitsConfig``; raises ``LikenessError`` ("no_photo") where the folder has no JPEG file."""

    def __init__(self, config: GraphPortraitsConfig) -> None:
        self.config = config
        paths = sorted(Path(config.folder).glob("*.jpg"))
        if not paths:
            raise LikenessError("no_photo", f"There is no JPEG file in {config.folder}.", "Name a folder of portraits.")
        chosen = np.linspace(0, len(paths), config.people, endpoint=False).astype(int)
        self._order = [(paths * 2)[number : number + len(paths)] for number in np.unique(chosen)]
        here = Path(__file__).resolve()
        code = [here, *sorted(Path(backend.fitting.__file__).parent.rglob("*.py"))]
        self._folder = cache_folder() / "graph_portraits" / content_key(config.size, *code)

    def batch(self, indices: range, device: torch.device) -> GraphBatch:
        """Return portraits ``indices``, modulo their count."""
        template = load_template()
        rows = [self._one(index % len(self._order)) for index in indices]

        def stacked(name: str) -> Tensor:
            return torch.from_numpy(np.stack([row[name] for row in rows])).to(device)

        head = template.head.vertex_stop
        return GraphBatch(
            person=torch.full((len(rows),), UNKNOWN, device=device),
            neutral=stacked("neutral"),
            weights=stacked("weights"),
            vertices=stacked("vertices"),
            photos=GraphPhotos(
                images=stacked("image").permute(0, 3, 1, 2).float() / 255,
                places=stacked("places"),
                albedo=torch.zeros(len(rows), head, 3, device=device),
                seen=stacked("seen"),
                light=stacked("light"),
                marks=stacked("marks"),
            ),
        )

    def _one(self, number: int) -> dict[str, np.ndarray]:
        """Return the portrait, or the next one with a detected face; its fit is cached."""
        for path in self._order[number]:
            kept = self._folder / f"{content_key(path)}.npz"
            if not kept.exists():
                save_arrays(kept, **(fitted_portrait(path, self.config.size) or {"none": np.zeros(1)}))
            with np.load(kept) as data:
                if "none" not in data:
                    return dict(data)
        raise LikenessError("no_face", f"No face was found in {self.config.folder}.", "Name a folder of portraits.")


def fitted_portrait(path: Path, size: int) -> dict[str, np.ndarray] | None:
    """The arrays of a ``GraphBatch`` for one portrait, ``image`` (S, S, 3) uint8; None where no face is found."""
    try:
        faces = collect([PhotoSource.from_path(path)]).faces
        fitted = fit_face(PhotoCollection(faces), fit_options_for("fast"))
    except LikenessError:
        return None
    face, photo = faces[0], fitted.photos[0]
    window = upright_square(face.landmarks)
    places, seen = head_in_window(fitted, face, window)
    return {
        "image": window.cut(face.pixels, size),
        "marks": marks_in([face], [window])[0].numpy().astype(np.float32),
        "places": places,
        "seen": seen,
        "light": photo.light.astype(np.float32),
        "weights": photo.expression.astype(np.float32),
        "vertices": photo.vertices[: len(places)].astype(np.float32),
        "neutral": fitted.neutral.astype(np.float32),
    }


def head_in_window(fitted: FittedFace, face: PhotoFace, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Positions (C, 2) float32 of the head's vertices in a window, in its sides, and (C,) bool which of them show bare
    skin, brows or lips of the face."""
    template, photo = load_template(), fitted.photos[0]
    head = template.head
    vertices = photo.vertices[: head.vertex_stop].astype(np.float64)
    triangles = triangles_from_quads(template.quads[head.face_start : head.face_stop]).astype(np.int64)
    pixels = photo.camera.project(vertices)[:, :2]
    pose = photo.camera.camera_from_head
    sight = -pose[:3, :3].T @ pose[:3, 3] - vertices
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    facing = (vertex_normals(vertices, triangles) * sight).sum(1) > _FACING
    height, width = face.labels.shape
    column, row = np.floor(pixels).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    labels = face.labels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    seen = inside & facing & np.isin(labels, [int(kind) for kind in SKIN])
    places = window.from_picture(pixels, 1.0)
    return places.astype(np.float32), seen & ((places > 0) & (places < 1)).all(1)
