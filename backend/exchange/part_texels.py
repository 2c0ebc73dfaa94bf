"""Scale of a part in its UV map."""

from __future__ import annotations

import numpy as np

from backend.exchange.face_asset import FacePart


def part_texels_per_metre(part: FacePart, size: int) -> float:
    """Median texels per metre over the part's faces, for a map with ``size`` texels a side. Most faces are the face's
    front."""
    corners, places = part.vertices[part.quads].astype(np.float64), part.uv[part.uv_quads] * size
    area = np.linalg.norm(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), axis=1)
    one, two = places[:, 2] - places[:, 0], places[:, 3] - places[:, 1]
    map_area = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
    sound = (area > 1e-10) & (map_area > 1e-6)
    return float(np.sqrt(np.median(map_area[sound] / area[sound])))
