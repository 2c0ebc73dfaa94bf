"""Wrinkles of a known height bend Cycles' normals as much as their geometry says."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from scene_helpers import baked_pixels

from blender_addon.protocol.result import HeadResult

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.objects import tags  # noqa: E402
from blender_addon.scene import importing, materials  # noqa: E402

SIZE = 1024
"""Texels a side of the wrinkle map, as the backend sends it."""
BAKED = 512
HEIGHT = 0.2
"""Millimetres from mid skin to crest."""
REACH = 4.0
GROUPS = {
    "brows_up": (("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), (205, 245), (160, 184), 1),
    "squint": (("eyeSquintLeft", "cheekSquintLeft"), (345, 365), (200, 220), 1),
    "smile": (("mouthSmileLeft",), (306, 322), (270, 300), 0),
}
"""Group -> its keys, columns and rows of the baked map (row 0 is the top), and the image axis across its furrows: the
middle of the forehead, beside the left eye's outer corner, and beside the nose's left wing."""


def png16(rgb: np.ndarray) -> bytes:
    """A 16-bit PNG file of (S, S, 3) uint16."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
    header = struct.pack(">IIBBBBB", *rgb.shape[:2], 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def waves(axis: int, texels: float, size: int) -> np.ndarray:
    """(S, S) millimetres: a sinusoid of ``HEIGHT`` across the image's columns (0) or rows (1), ``texels`` of a map of
    ``SIZE`` long."""
    along = (np.arange(size) + 0.5) * (SIZE / size)
    line = HEIGHT * np.sin(2.0 * np.pi * along / texels)
    return np.broadcast_to(line[None] if axis == 0 else line[:, None], (size, size))


def gaussian(image: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """(S, S, C) image, blurred by ``sigma`` texels along both sides."""
    steps = np.arange(-8, 9)
    kernel = np.exp(-0.5 * (steps / sigma) ** 2)
    for axis in (0, 1):
        image = sum(w * np.roll(image, step, axis) for w, step in zip(kernel / kernel.sum(), steps, strict=True))
    return image


def baked(bpy, head, kind: str) -> np.ndarray:
    """(S, S, 3) in world space, row 0 at the top."""
    bpy.context.scene.render.bake.normal_space = "OBJECT"
    return baked_pixels(bpy, head, kind, BAKED)[::-1, :, :3].astype(np.float64)


@pytest.mark.parametrize("group", GROUPS)
def test_a_wrinkle_of_two_tenths_of_a_millimetre_bends_the_normal_as_geometry_says(
    bpy, result: HeadResult, group: str
) -> None:
    keys, columns, rows, axis = GROUPS[group]
    wanted = next(one for one in result.detail.wrinkles if one.name == group)
    part = np.s_[slice(*rows), slice(*columns)]

    def imported(texels: float):
        steps = np.full((SIZE, SIZE, 3), 32768, np.uint16)
        steps[..., wanted.channel] = np.rint(waves(axis, texels, SIZE) * (32768 / REACH)) + 32768
        pictures = [png16(np.full((1, 1, 3), 32768, np.uint16))] * len(result.detail.pictures)
        pictures[wanted.picture] = png16(steps)
        detail = replace(result.detail, pictures=tuple(pictures), wrinkle_reach=REACH)
        collection = importing.import_head(replace(result, detail=detail), bpy.context)
        head = tags.part_object(collection, "head")
        head.data.uv_layers.active = head.data.uv_layers["Head"]
        for key in keys:
            head.data.shape_keys.key_blocks[key].value = 1.0
        return head

    head = imported(16.0)
    positions = gaussian(baked(bpy, head, "POSITION") * 1e3)
    down, right = np.gradient(positions, axis=(0, 1))
    texel = np.linalg.norm((right, down)[axis][part], axis=-1).mean()  # mm of skin under a baked texel
    texels = 4.0 / texel * SIZE / BAKED  # 4 mm long
    head = imported(texels)
    material = materials.skin_material(head)
    materials.strength_socket(material, materials.ALWAYS).default_value = 0.0
    bent = 2.0 * baked(bpy, head, "NORMAL")[part] - 1.0
    materials.strength_socket(material, materials.WRINKLES).default_value = 0.0
    flat = 2.0 * baked(bpy, head, "NORMAL")[part] - 1.0
    flat /= np.linalg.norm(flat, axis=-1, keepdims=True)
    slope = flat - bent / (bent * flat).sum(-1, keepdims=True)  # the height's gradient on the skin

    tangents = np.stack([right[part], down[part]], -2)  # (..., 2, 3) mm per texel
    along = np.arange(BAKED) + 0.5
    period = texels * BAKED / SIZE
    smoothed = (2.0 + np.cos(2.0 * np.pi / texels)) / 3.0  # cubic look-ups are B-splines, 1/6, 4/6, 1/6 at the texels
    steep = smoothed * HEIGHT * 2.0 * np.pi / period * np.cos(2.0 * np.pi * along / period)  # mm per baked texel
    by_texel = np.zeros((*slope.shape[:2], 2))
    by_texel[..., axis] = steep[slice(*columns)][None] if axis == 0 else steep[slice(*rows)][:, None]
    expected = np.einsum("yxic,yxi->yxc", np.linalg.pinv(tangents).swapaxes(-1, -2), by_texel)
    gain = (slope * expected).sum() / (expected**2).sum()
    left = np.sqrt(((slope - gain * expected) ** 2).sum() / (expected**2).sum())
    crest = np.sqrt(2.0 * (slope**2).sum(-1).mean())
    assert gain == pytest.approx(1.0, abs=0.02)
    assert left < 0.08
    assert crest == pytest.approx(2.0 * np.pi * HEIGHT / 4.0, rel=0.1)
