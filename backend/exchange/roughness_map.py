"""Skin roughness as a texture, for formats without roughness per vertex."""

from __future__ import annotations

import numpy as np

from backend.exchange.face_asset import FaceAsset, FacePart
from backend.geometry.topology import triangulate
from backend.rendering.uv_space import gutter_source
from backend.texture.unwrapping.atlas import UvChart, build_atlases

SIZE = 256
"""Texels a side, 3 mm each on the face; the cage's vertices, which carry the roughness, are 4 mm apart."""


def roughness_picture(asset: FaceAsset) -> np.ndarray | None:
    """(256, 256, 3) uint8 metallic-roughness texture of glTF in map ``Head``: green is the roughness of head and bust,
    blue (metal) is 0; row 0 is v = 1. None if the asset has no roughness."""
    rough = asset.skin_roughness
    if rough is None:
        return None
    head = asset.parts[0]
    values = [rough[:, None]]
    charts = [_chart(head)]
    if asset.bust is not None:  # as rough as the neck's rim, at the head's lowest vertex
        values.append(np.full((len(asset.bust.vertices), 1), rough[head.vertices[:, 1].argmin()]))
        charts.append(_chart(asset.bust))
    green, covered = np.zeros(SIZE * SIZE, np.float32), np.zeros(SIZE * SIZE, bool)
    for atlas, own in zip(build_atlases(charts, SIZE), values, strict=True):
        green[atlas.texel] = atlas.sample(own)[:, 0]
        covered[atlas.texel] = True
    green = green[gutter_source(covered.reshape(SIZE, SIZE)).ravel()]
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[..., 0] = 255  # no occlusion, for programs that read it from this channel
    picture[..., 1] = np.rint(255 * green.reshape(SIZE, SIZE))
    return picture


def _chart(part: FacePart) -> UvChart:
    split = triangulate(part.quads)
    return UvChart(part.uv, split.apply(part.uv_quads), split.faces)
