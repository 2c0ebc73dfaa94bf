"""Skin roughness by region: moist lips and lids, oily nose and forehead, dry ears and neck."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import Template
from backend.geometry.topology import uniform_laplacian
from backend.rig.face_loops import EyeLoops, face_loops

DEFAULT_ROUGHNESS = 0.55
"""Roughness (GGX, as in Principled BSDF and glTF) of cheeks and of all unlisted skin."""
REGION_ROUGHNESS: dict[str, float] = {
    "forehead": 0.45,  # with the nose (T zone), the most sebum
    "nose": 0.45,
    "chin": 0.50,  # lower end of the T zone, less sebum
    "neck": 0.60,  # few glands, dry
    "ears": 0.60,
    "scalp": 0.60,  # hair absorbs the sebum
    "lips": 0.35,  # moist, hardly any horny layer
    "mouth_interior": 0.22,  # wet
    "eye_sockets": 0.30,
}
LID_MARGIN = 0.30
"""Roughness of the lids' edges, which the tear film wets."""
_MOIST_ROWS = (1.0, 0.7, 0.25)
"""Weight of ``LID_MARGIN`` in the loop on a lid's edge and in the loops outside it, about a millimetre apart: the tear
film ends before the lash roots."""
_CORNER_SHARES = (0.0, 0.1, 0.4, 0.8)
"""Factor on that weight at the lids' corner and in the columns next to it, a millimetre apart: both lids' edges are
exposed there, 2 mm beside the caruncle, and a wet edge drew a bright line on the skin."""
_STEPS = 3
"""Smoothing steps over neighbours 4 mm apart: regions blend over about a centimetre."""


def skin_roughness(template: Template) -> np.ndarray:
    """(V,) float32 roughness in [0, 1] of the head's vertices, blended between regions; lips and lids keep sharp
    edges."""
    count = template.head.vertex_stop
    mirror = template.mirror[:count]
    regions = {name: np.maximum(mask[:count], mask[mirror]) for name, mask in template.regions.items()}
    rough = np.full(count, DEFAULT_ROUGHNESS)
    moist = ("lips", "mouth_interior", "eye_sockets")
    for name in (name for name in REGION_ROUGHNESS if name not in moist):
        rough += regions[name] * (REGION_ROUGHNESS[name] - rough)
    laplacian = uniform_laplacian(template.quads[: template.head.face_stop], count)
    for _ in range(_STEPS):
        rough += 0.5 * (laplacian @ rough)
    for name in moist:
        rough += regions[name] * (REGION_ROUGHNESS[name] - rough)
    for eye in face_loops(template).eyes:
        rough[eye.rows[: eye.margin]] = LID_MARGIN
        along = _moist_along(eye)
        for row, share in enumerate(_MOIST_ROWS, eye.margin):
            rough[eye.rows[row]] += share * along * (LID_MARGIN - rough[eye.rows[row]])
    return rough.astype(np.float32)


def _moist_along(eye: EyeLoops) -> np.ndarray:
    """(C,) factor on the lids' moisture by column: 0 at both corners."""
    columns = np.arange(eye.rows.shape[1])
    around = [(columns - corner) % len(columns) for corner in (eye.inner, eye.outer)]
    away = np.min([np.minimum(turn, len(columns) - turn) for turn in around], axis=0)
    return np.array([*_CORNER_SHARES, 1.0])[np.minimum(away, len(_CORNER_SHARES))]
