"""Sheet of a person's relief: photo, and the head at rest and with three expressions in raking light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from backend.exchange.asset_mesh import AssetMesh, asset_mesh
from backend.exchange.face_asset import FaceAsset
from backend.exchange.preview import photo_and_fit, portrait_camera
from backend.photos.reading.source import PhotoSource
from backend.pipeline import ReconstructOptions, reconstruct
from backend.rendering.color import srgb_bytes
from backend.rendering.spherical_harmonics import light_from_directions
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES

SIDE = 440
EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "at rest": {},
    "brows up": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    "frown": {"browDownLeft": 1.0, "browDownRight": 1.0, "noseSneerLeft": 0.4, "noseSneerRight": 0.4},
    "smile": {
        "mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "cheekSquintLeft": 0.7, "cheekSquintRight": 0.7,
        "eyeSquintLeft": 0.5, "eyeSquintRight": 0.5,
    },
}  # fmt: skip
RAKING = light_from_directions(np.array([[0.86, 0.45, 0.22]]), np.full((1, 3), 1.1), 0.25)
"""Light from the person's left and above, grazing the front, so that folds cast shading."""
_CLAY = 0.35
"""Linear albedo of the lower row, which shows only the shape."""
_GREY = (60, 62, 66)


def relief_sheet(photos: Sequence[Path]) -> np.ndarray:
    """(2 * ``SIDE``, (1 + expressions) * ``SIDE``, 3) uint8: the best photo above the fitted head over it, then the
    head in raking light, textured above and as clay below.

    Raises ``LikenessError`` where no photo shows a face.
    """
    made = reconstruct([PhotoSource.from_path(path) for path in photos], ReconstructOptions(hair="none"))
    best = made.previews[0]
    textured, clay = asset_mesh(made.asset), asset_mesh(_as_clay(made.asset))
    rows = [[part] for part in photo_and_fit(textured, best, SIDE)]
    for row, mesh in zip(rows, (textured, clay), strict=True):
        row += [_drawn(mesh, weights) for weights in EXPRESSIONS.values()]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def _as_clay(asset: FaceAsset) -> FaceAsset:
    return replace(asset, albedo=np.full_like(asset.albedo, srgb_bytes(np.array(_CLAY))))


def _drawn(mesh: AssetMesh, weights: Mapping[str, float]) -> np.ndarray:
    expression = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in weights.items():
        expression[ARKIT_INDEX[name]] = value
    return mesh.render(portrait_camera(mesh.positions(), 20.0, (SIDE, SIDE)), RAKING, _GREY, expression)


def write_sheets(people: Mapping[str, Sequence[Path]], folder: Path) -> list[str]:
    """Write one picture per person to ``folder``; returns the file names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, photos in people.items():
        Image.fromarray(relief_sheet(photos)).save(folder / f"{name}.png")
    return [f"{name}.png" for name in people]
