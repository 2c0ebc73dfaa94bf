"""A hand-made asset with a strip of lashes."""

from dataclasses import replace

import numpy as np
from hand_made import make_asset

from backend.exchange.face_asset import FaceAsset

ROWS, COLUMNS = 5, 13


def asset_with_strip(height: float, flipped: bool) -> tuple[FaceAsset, np.ndarray]:
    """The hand-made asset with one strip of lashes beside the left eye, and which row each of its vertices is in.

    Row 0 is nearest to the eye; ``flipped`` turns the order of rows and the winding around.
    """
    asset = make_asset()
    eye = asset.part("eye_left").vertices.mean(axis=0)
    row, column = np.meshgrid(np.arange(ROWS), np.arange(COLUMNS), indexing="ij")
    angle = np.linspace(-0.8, 0.8, COLUMNS)[column]
    radius = 0.013 + 0.002 * row
    direction = np.stack([np.sin(angle), np.full_like(angle, height), np.cos(angle)], axis=-1)
    vertices = (eye + radius[..., None] * direction).reshape(-1, 3)
    number = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    if flipped:
        number = number[::-1]
    quads = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], axis=-1).reshape(-1, 4)
    lashes = replace(
        asset.part("lashes"),
        vertices=vertices.astype(np.float32),
        quads=quads.astype(np.int32),
        uv=np.stack([column / (COLUMNS - 1), row / (ROWS - 1)], axis=-1).reshape(-1, 2).astype(np.float32),
        uv_quads=quads.astype(np.int32),
        uv_makehuman=np.zeros((len(vertices), 2), np.float32),
        uv_makehuman_quads=quads.astype(np.int32),
        hm08_vertex=np.arange(len(vertices), dtype=np.int32),
        keys={},
    )
    return replace(asset, parts=(*asset.parts[:-1], lashes)), row.ravel()
