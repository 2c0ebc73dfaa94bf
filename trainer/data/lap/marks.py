"""Landmarks of the landmark net for a source's pictures, computed once and stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.models.landmarks.apply import SurfaceLandmarker
from backend.models.landmarks.network import LANDMARKS, WINDOW_PER_FACE
from backend.photos.faces.sampling import Window
from trainer.contracts import Source, SourceConfig
from trainer.data.disk_cache import cache_folder, content_key
from trainer.data.kept_rows import mapped
from trainer.data.lap.batch import LapBatch
from trainer.data.lap.stored import MARK_STEP, code_of_sets
from trainer.data.people.view import FACE_CROP


def marks_of(landmarker: SurfaceLandmarker, pictures: Tensor, quick: bool = False) -> Tensor:
    """Positions and standard deviations (N, 478, 3) of landmarks, in sides, in pictures (N, 3, S, S) in [0, 1] that are
    cut like ``face_square``; the net's first window follows from that. quick : two passes instead of ten."""
    side = pictures.shape[-1]
    window = Window((side / 2, side / 2), side * WINDOW_PER_FACE / FACE_CROP)
    found = []
    for pixels in (pictures * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy():
        look = landmarker.find_near if quick else landmarker.find_in
        seen = look(np.ascontiguousarray(pixels), window)
        found.append(np.column_stack([seen.places, seen.deviation]) / side)
    return torch.from_numpy(np.stack(found)).float()


class MarkedSets:
    """A source of sets whose batches have ``marks``. With ``count`` above 0 those of the first people are stored on
    disk.

    Raises ``LikenessError`` ("missing_part") where the landmark net is not trained.
    """

    def __init__(self, source: Source, key: SourceConfig, count: int, folder: str = "", quick: bool = False) -> None:
        self._source, self._count, self._quick = source, count, quick
        self._landmarker = SurfaceLandmarker.load()
        code = [Path(__file__).resolve(), *code_of_sets()]
        root = Path(folder) if folder else cache_folder() / "lap"
        self._folder = root / f"marks_{content_key(key, count, quick, self._landmarker.version, *code)}"

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        """See ``trainer.contracts.Source``."""
        batch = self._source.batch(indices, device)
        if not self._count:
            return replace(batch, marks=marks_of(self._landmarker, batch.images, self._quick).to(device))
        rows = np.array([index % self._count for index in indices])
        photos = len(batch.images) // len(rows)
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = mapped(self._folder / "marks.npy", (self._count, photos, LANDMARKS, 3), np.int16)
        made = mapped(self._folder / "made.npy", (self._count,))
        for place, row in enumerate(rows):
            if not made[row]:
                own = batch.images[place * photos : (place + 1) * photos]
                marks = marks_of(self._landmarker, own, self._quick)
                kept[row] = (marks / MARK_STEP).round().clamp(-32768, 32767).numpy().astype(np.int16)
                made[row] = 1
        marks = torch.from_numpy(kept[rows].reshape(-1, LANDMARKS, 3)).to(device).float() * MARK_STEP
        return replace(batch, marks=marks)
