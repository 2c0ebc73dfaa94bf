"""Hair files: guides in ``hair.json``, the texture of the cards in ``hair.png``."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from backend.hair.cards import HairCards, card_atlas
from backend.hair.hair_strands import HairStrands
from backend.rendering.color import srgb_bytes

FORMAT_VERSION = 1
_DECIMALS = 5  # of metres: a hundredth of a millimetre


def write_hair(strands: HairStrands | None, path: Path) -> None:
    """Write ``hair.json``; ``guides`` is empty without hair. Raises ``OSError``."""
    content: dict[str, object] = {"version": FORMAT_VERSION, "unit": "metre", "guides": []}
    if strands is not None:
        content |= {
            "style": strands.style,
            "numbers": dict(strands.parameters),
            "hair_radius": strands.hair_radius,
            "guides": [
                {
                    "points": np.round(points.astype(float), _DECIMALS).tolist(),
                    "root_uv": np.round(uv.astype(float), _DECIMALS).tolist(),
                    "width": round(float(width), _DECIMALS),
                    "root_colour": np.round(root.astype(float), 4).tolist(),
                    "tip_colour": np.round(tip.astype(float), 4).tolist(),
                }
                for points, uv, width, root, tip in zip(
                    strands.points, strands.root_uv, strands.width, strands.root_colour, strands.tip_colour, strict=True
                )
            ],
        }
    path.write_bytes(msgspec.json.encode(content))


def hair_picture(cards: HairCards | None) -> np.ndarray:
    """(S, S, 4) uint8 texture of the cards in their mean colour, because OBJ has no vertex colours; one transparent
    texel without cards."""
    if cards is None:
        return np.zeros((1, 1, 4), np.uint8)
    picture = card_atlas().strands.copy()
    picture[..., :3] = srgb_bytes(np.clip(picture[..., :3] / 255 * cards.colours.mean(0), 0, 1).astype(np.float32))
    return picture
