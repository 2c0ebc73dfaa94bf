"""Soft region masks of the template, from MakeHuman's CC0 texture masks, UV charts and distances to landmarks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from backend.geometry.smoothstep import smoothstep
from trainer.template.atlas import chart_labels, makehuman_map
from trainer.template.makehuman import BaseMesh, data_folder
from trainer.template.topology import Selection

REGION_NAMES = (
    "face", "lips", "lip_upper", "lip_lower", "lids_left", "lids_right", "mouth_interior", "nose", "brows", "cheeks",
    "forehead", "chin", "ears", "scalp", "neck", "eye_sockets",
)  # fmt: skip


def _distance_to_polyline(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(N,) distance of points (N, 3) to the polyline through (M, 3)."""
    start, step = line[:-1], np.diff(line, axis=0)
    along = ((points[:, None] - start) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-16)
    nearest = start + np.clip(along, 0.0, 1.0)[..., None] * step
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(1)


def _texture_mask(name: str, uv: np.ndarray, uv_quads: np.ndarray, quads: np.ndarray, count: int) -> np.ndarray:
    """(count,) one of MakeHuman's masks, sampled at the vertices (maximum over a vertex's UV corners)."""
    pixels = np.asarray(Image.open(data_folder() / "mpfb2" / "textures" / f"mpfb_{name}.jpg").convert("L")) / 255.0
    height, width = pixels.shape
    columns = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    rows = np.clip(((1.0 - uv[:, 1]) * height).astype(int), 0, height - 1)
    mask = np.zeros(count)
    np.maximum.at(mask, quads.ravel(), pixels[rows, columns][uv_quads].ravel())
    return mask


def bake_regions(base: BaseMesh, selection: Selection, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """Region name -> (V,) float32 in [0, 1], mirror-symmetric except for the one-sided ones.

    Parameters
    ----------
    landmarks : (68, 3) landmark positions on the base mesh, metres.
    """
    points = base.vertices[selection.hm08_vertex]
    head = selection.parts["head"]
    count, stop = len(points), head.vertex_stop
    uv_map = makehuman_map(base, selection)
    quads, uv_quads = selection.quads[: head.face_stop], uv_map.quads[: head.face_stop]
    labels = chart_labels(uv_map.quads, len(uv_map.uv))[: head.face_stop]
    sizes = np.bincount(labels)

    def chart(select: np.ndarray) -> np.ndarray:
        """1 where all of a vertex's quads lie in the given charts (so seams belong to the outside)."""
        inside = np.zeros(count)
        inside[quads[np.isin(labels, np.flatnonzero(select))]] = 1.0
        inside[quads[~np.isin(labels, np.flatnonzero(select))]] = 0.0
        return inside

    def texture(name: str) -> np.ndarray:
        mask = _texture_mask(name, uv_map.uv, uv_quads, quads, count)
        return 0.5 * (mask + mask[selection.mirror])

    sockets, mouth = chart((sizes > 200) & (sizes < 350)), chart((sizes > 350) & (sizes < 1000))
    skin = np.zeros(count)
    skin[:stop] = 1.0
    skin *= (1.0 - sockets) * (1.0 - mouth)
    face, lips, lids, ears = (texture(name) * skin for name in ("face", "lips", "eyelids", "ears"))
    face = np.maximum(face, np.maximum(lips, lids))
    x, y, z = points.T
    left = (x > 0).astype(float)
    lids = lids * (np.abs(x) > 0.008)
    mouth_line = np.interp(np.abs(x), np.abs(landmarks[[62, 63, 64], 0]), landmarks[[62, 63, 64], 1])
    upper = (y > mouth_line - 2e-4).astype(float)
    nose_line = np.concatenate([landmarks[27:31], landmarks[31:36]])
    nose = face * smoothstep(0.019, 0.011, _distance_to_polyline(points, nose_line)) * (1.0 - lids) * (1.0 - lips)
    brow_line = landmarks[22:27]
    brow_distance = _distance_to_polyline(points * [1, 1, 1], brow_line)
    brows = face * smoothstep(0.0085, 0.0045, np.minimum(brow_distance, brow_distance[selection.mirror])) * (1 - lids)
    brow_height = np.interp(np.abs(x), brow_line[:, 0], brow_line[:, 1])
    forehead = face * smoothstep(brow_height.max() + 0.002, brow_height.max() + 0.010, y)
    chin_top = landmarks[57, 1]
    chin = face * smoothstep(chin_top, chin_top - 0.006, y) * smoothstep(0.036, 0.024, np.abs(x)) * (1 - lips)
    cheeks = face * smoothstep(landmarks[41, 1] - 0.004, landmarks[41, 1] - 0.012, y)
    cheeks *= smoothstep(0.018, 0.028, np.abs(x)) * (1 - nose) * (1 - lips) * (1 - chin) * (1 - lids)
    outside = skin * (1.0 - face) * (1.0 - ears)
    # the scalp ends at a plane from below the ear to the hairline of the nape
    above = smoothstep(0.668, 0.690, y - 0.10 * (0.05 - z))
    scalp, neck = outside * above, outside * (1.0 - above)
    masks = {
        "face": face, "lips": lips, "lip_upper": lips * upper, "lip_lower": lips * (1 - upper),
        "lids_left": lids * left, "lids_right": lids * (1 - left), "mouth_interior": mouth, "nose": nose,
        "brows": brows, "cheeks": cheeks, "forehead": forehead, "chin": chin, "ears": ears, "scalp": scalp,
        "neck": neck, "eye_sockets": sockets,
    }  # fmt: skip
    return {name: np.clip(masks[name], 0.0, 1.0).astype(np.float32) for name in REGION_NAMES}
