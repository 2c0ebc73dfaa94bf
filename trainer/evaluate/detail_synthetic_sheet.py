"""Sheet of synthetic people's true relief and the relief found in their photos, in raking light."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from backend.detail.expression_map import ExpressionMaps
from backend.detail.groups import group_weights
from backend.detail.observation import frames_in_window
from backend.detail.window import detail_window
from backend.geometry.template import load_template
from backend.models.detail.apply import DetailModel, displacements
from backend.rendering.color import srgb_bytes
from trainer.data.detail import DetailPeopleConfig
from trainer.data.detail.picture import picture_places, projected, sampled
from trainer.data.detail.source import DrawnPerson

PEOPLE: tuple[int, ...] = (3, 7)
"""Numbers of the people drawn."""
GROUPS: tuple[str, ...] = ("brows_up", "smile")
"""Groups of keys that are rendered at full strength, after the head at rest."""
SIDE = 300
_TOWARDS_LAMP = np.array([0.62, 0.66, 0.30])
"""Light from the person's left and above, grazing the front, so that folds cast shading."""
_CLAY, _SKY, _LAMP = 0.45, 0.2, 1.1
"""Linear albedo; ambient light; the lamp's light."""
_GREY = 0.05


def synthetic_sheet(model: DetailModel, seed: int) -> np.ndarray:
    """(2 * ``SIDE``, people * (1 + groups) * ``SIDE``, 3) uint8: true relief above, found relief below, each person at
    rest and with ``GROUPS``."""
    config = model.network.config
    source = DetailPeopleConfig(size=config.size, coarse=config.coarse, seed=seed).build()
    coarse = detail_window(load_template(), config.coarse)
    columns = []
    for number in PEOPLE:
        person, batch = source.drawn(number), source.person(number)
        poses = [np.zeros(len(person.keys), np.float32), *(group_weights(name) for name in GROUPS)]
        maps = ExpressionMaps(coarse, person.neutral)
        wanted = np.stack([maps.of(person.posed(weights)) for weights in poses])
        found = displacements(model, batch.photos.numpy(), batch.expressions.numpy(), wanted)
        for weights, heights in zip(poses, found * person.cause.window.allowed, strict=True):
            pair = (person.displacement(weights), heights)
            columns.append(np.concatenate([clay_picture(person, weights, one) for one in pair]))
    return np.concatenate(columns, axis=1)


def clay_picture(person: DrawnPerson, weights: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """(``SIDE``, ``SIDE``, 3) uint8: the posed face from the front as clay with heights (N, N), millimetres."""
    window = person.cause.window
    normals, across = frames_in_window(window, person.frames(weights))
    dy, dx = np.gradient(heights * np.float32(1e-3 * window.size))
    bumped = normals - (across * np.stack([dx, dy], -1)[..., None]).sum(2)
    bumped /= np.maximum(np.linalg.norm(bumped, axis=-1, keepdims=True), 1e-6)
    lamp = (_TOWARDS_LAMP / np.linalg.norm(_TOWARDS_LAMP)).astype(np.float32)
    lit = _CLAY * (_SKY + _LAMP * np.maximum(bumped @ lamp, 0.0))
    side = 2 * SIDE  # supersampling for smooth edges
    positions = window.surface.lifted(person.posed(weights).astype(np.float64))
    where = picture_places(window, projected(positions, np.eye(3), side), side)
    seen = sampled(np.repeat(lit[..., None], 3, -1).astype(np.float32), where, 1)
    picture = np.where(where.shown[..., None], seen, np.float32(_GREY))
    return srgb_bytes(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def write_synthetic_sheet(model: DetailModel, seed: int, path: Path) -> None:
    """Write ``synthetic_sheet`` to ``path`` and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(synthetic_sheet(model, seed)).save(path, quality=85)
