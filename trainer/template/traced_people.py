"""Detections of the photo stage on ray-traced people of known shape, in addition to the rasterised ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backend.geometry.template import Template
from backend.photos.collect import collect
from backend.photos.reading.source import PhotoSource
from trainer.data.ict_people import ict_photos, neutral_face_middle, true_template_positions
from trainer.data.photographs import shot_camera, six_shots
from trainer.template.calibration import Observation


def observe_traced(template: Template, seeds: Iterable[int]) -> tuple[list[Observation], np.ndarray]:
    """Observations of six photographs each of random ICT people, and (P,) the person's number of each observation.

    Rendering takes about 20 seconds per person, once: it is cached. Raises ``LikenessError`` where no face is found.
    """
    observations, people = [], []
    for number, seed in enumerate(seeds):
        cage = with_parts(template, true_template_positions(seed))
        for path, shot in zip(ict_photos(seed, smiling=False), six_shots(5000 + seed), strict=True):
            camera = shot_camera(shot, neutral_face_middle(seed))
            face = collect([PhotoSource.from_path(path)]).faces[0]
            found = face.landmarks[:, :2] / face.crop_scale + np.asarray(face.crop_offset)
            observations.append(Observation(cage, camera, 0.0, found, 1.0))
            people.append(number)
    return observations, np.array(people)


def with_parts(template: Template, head: np.ndarray) -> np.ndarray:
    """(V, 3) float32 cage with the head (V_head, 3) as given; every other part moves with the skin around it."""
    cage = template.vertices.astype(np.float64).copy()
    count = template.head.vertex_stop
    moved = head - cage[:count]
    cage[:count] = head
    for name, part in template.parts.items():
        if name == "head":
            continue
        own = slice(part.vertex_start, part.vertex_stop)
        distance = np.linalg.norm(template.vertices[:count] - template.vertices[own].mean(0), axis=1)
        near = np.exp(-0.5 * (distance / (distance.min() + 0.006)) ** 2)
        cage[own] += (near[:, None] * moved).sum(0) / near.sum()
    return cage.astype(np.float32)
