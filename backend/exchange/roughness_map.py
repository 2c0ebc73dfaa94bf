"""How rough each texel of the head is, as glTF wants it: hair is matt, skin shines a little."""

from __future__ import annotations

import numpy as np

from backend.exchange.face_asset import FacePart
from backend.geometry.topology import triangles_from_quads
from backend.rendering.uv_space import rasterize_uv

SKIN_ROUGHNESS, HAIR_ROUGHNESS = 0.5, 0.85
"""Hair's is what the add-on's material has: rougher than a strand, because it stands for thousands at all angles."""
_SIDE = 512  # texels: hair's cover is known per vertex, one every 2 to 8 mm


def roughness_map(part: FacePart) -> np.ndarray | None:
    """(S, S, 3) uint8 occlusion, roughness, metalness on UV map ``Head``, row 0 at v = 1; None where no hair is known.

    Occlusion is 255 (none), metalness 0; between the charts lies skin.
    """
    if part.hair is None or not (part.hair > 0).any():
        return None
    raster = rasterize_uv(part.uv, triangles_from_quads(part.uv_quads), _SIDE)
    cover = raster.interpolate(part.hair[:, None], triangles_from_quads(part.quads))[..., 0]
    roughness = SKIN_ROUGHNESS + (HAIR_ROUGHNESS - SKIN_ROUGHNESS) * cover
    texels = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    texels[..., 0] = 255
    texels[..., 1] = np.round(255 * roughness)
    return texels
