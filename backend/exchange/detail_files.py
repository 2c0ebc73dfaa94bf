"""Files of the skin's relief: a normal map, 16-bit heights, and their description in ``detail.json``."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from backend.detail.groups import KEY_GROUPS
from backend.detail.skin_detail import MIDDLE, HeightMap, SkinDetail, tangent_normals
from backend.exchange.face_asset import FacePart
from backend.exchange.part_texels import part_texels_per_metre
from backend.exchange.png import png_bytes

FORMAT_VERSION = 1
WRINKLE_FILES: dict[str, str] = {name: f"wrinkles_{name}.png" for name in KEY_GROUPS}
NONE = HeightMap(np.full((1, 1), MIDDLE, np.uint16), 1.0)
"""Placeholder for skin without relief."""


def normal_picture(detail: SkinDetail | None, head: FacePart) -> np.ndarray:
    """(S, S, 3) uint8 tangent-space normals of the permanent relief; one flat texel without detail."""
    if detail is None:
        return np.array([[[128, 128, 255]]], np.uint8)
    heights = detail.always.millimetres()
    return tangent_normals(heights, part_texels_per_metre(head, len(heights)))


def write_displacement(detail: SkinDetail | None, path: Path) -> None:
    """Write ``displacement.png``, 16-bit grey. Raises ``OSError``."""
    path.write_bytes(png_bytes((NONE if detail is None else detail.always).steps))


def write_wrinkles(detail: SkinDetail | None, folder: Path) -> None:
    """Write ``WRINKLE_FILES``, 16-bit grey. Raises ``OSError``."""
    for name, file in WRINKLE_FILES.items():
        (folder / file).write_bytes(png_bytes((NONE if detail is None else detail.wrinkles[name]).steps))


def write_detail(detail: SkinDetail | None, path: Path) -> None:
    """Write ``detail.json``. Raises ``OSError``."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(detail_facts(detail)), indent=1))


def detail_facts(detail: SkinDetail | None) -> dict[str, object]:
    """Content of ``detail.json``: scale and meaning of the maps."""
    always = NONE if detail is None else detail.always
    maps = {name: NONE for name in KEY_GROUPS} if detail is None else detail.wrinkles
    return {
        "version": FORMAT_VERSION,
        "has_detail": detail is not None,
        "uv_map": "Head",
        "heights": "outwards; millimetres = (value - 32768) / 32768 * reach_mm",
        "displacement": {"file": "displacement.png", "reach_mm": always.reach},
        "wrinkles": [
            {"name": name, "file": file, "reach_mm": maps[name].reach, "keys": list(KEY_GROUPS[name])}
            for name, file in WRINKLE_FILES.items()
        ],
        "how": "height = displacement + sum of wrinkles, each times the largest value of its keys; keys of one side "
        "count on their side of the map (Left: u above 0.5)",
    }
