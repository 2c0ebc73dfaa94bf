"""The skin's relief in its material: mixed by keys, kept, as high as its geometry says."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import bpy as bpy_module
import numpy as np
import pytest
from head_message import HeadMessage
from scene_helpers import baked_pixels, evaluated_value, import_head

from blender_addon.errors import AddonError
from blender_addon.protocol.result import HeadResult, decode_result

sys.path.insert(0, str(Path(__file__).parents[1]))
from instant_backend import Backend
from transfer_rigs import select

from blender_addon.objects import tags
from blender_addon.objects.tags import Place
from blender_addon.rig import build, lead
from blender_addon.rig.bones import JAW_LED
from blender_addon.scene import importing, materials

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


@pytest.fixture(scope="module")
def result(result: HeadResult) -> HeadResult:
    """Without hair: a bake evaluates all of it, in thirty times the time of the skin."""
    return replace(result, hair=None)


def skin(collection):
    return materials.skin_material(tags.part_object(collection, "head"))


def baked(bpy, collection, size: int = 32) -> np.ndarray:
    """(S, S) millimetres of the relief as Cycles sees it: the height is baked as an emission in map ``Head``."""
    material, head = skin(collection), tags.part_object(collection, "head")
    tree = material.node_tree
    relief = tree.nodes["Skin Displacement"]
    emission, output = tree.nodes.new("ShaderNodeEmission"), next(n for n in tree.nodes if n.type == "OUTPUT_MATERIAL")
    shifted = tree.nodes.new("ShaderNodeMath")  # emission cannot be negative
    shifted.operation = "ADD"
    shifted.inputs[1].default_value = 5.0
    tree.links.new(relief.inputs["Height"].links[0].from_socket, shifted.inputs[0])
    tree.links.new(shifted.outputs[0], emission.inputs["Color"])
    before = output.inputs["Surface"].links[0].from_socket
    tree.links.new(emission.outputs[0], output.inputs["Surface"])
    head.data.uv_layers.active = head.data.uv_layers["Head"]
    pixels = baked_pixels(bpy, head, "EMIT", size)
    tree.links.new(before, output.inputs["Surface"])
    for node in (emission, shifted):
        tree.nodes.remove(node)
    heights = pixels[::-1, :, 0]
    return np.where(heights > 0, heights - 5.0, 0.0)  # 0 where the map shows no skin


def out(bpy, head, name: str) -> float:
    """How far a group's wrinkles are out."""
    return evaluated_value(bpy, materials.skin_material(head), name)


def test_keys_bring_out_their_wrinkles_on_their_side(bpy, collection) -> None:
    keys = tags.part_object(collection, "head").data.shape_keys.key_blocks
    still = baked(bpy, collection)
    assert np.abs(still).max() == pytest.approx(0.2, abs=0.03)
    keys["browDownLeft"].value = 1.0
    pressed = baked(bpy, collection) - still
    rows = slice(17, 19)  # of 32: the second group's stripe lies in rows 35 to 37 of 64
    left, right = pressed[rows, 17:], pressed[rows, :15]
    assert left.max() == pytest.approx(1.0, abs=0.1)  # u above one half is the person's left
    assert np.abs(right).max() < 0.05
    keys["browDownRight"].value = 0.5
    assert (baked(bpy, collection) - still)[rows, :15].max() == pytest.approx(0.5, abs=0.08)


def test_the_largest_key_of_a_group_counts(bpy, collection) -> None:
    keys = (head := tags.part_object(collection, "head")).data.shape_keys.key_blocks
    keys["eyeSquintLeft"].value, keys["cheekSquintLeft"].value = 0.3, 0.8
    assert [out(bpy, head, f"squint {side}") for side in ("Left", "Right")] == pytest.approx([0.8, 0.0])
    keys["jawOpen"].value = 0.4
    assert out(bpy, head, "jaw_open") == pytest.approx(0.4)


def test_typical_lines_come_live_where_the_photos_own_are_shallower(bpy, collection) -> None:
    material, keys = skin(collection), tags.part_object(collection, "head").data.shape_keys.key_blocks
    strength = materials.strength_socket(material, materials.TYPICAL)
    assert strength.default_value == 0.0
    rest = baked(bpy, collection, 128)
    keys["browInnerUp"].value = 1.0
    own = baked(bpy, collection, 128)
    strength.default_value = 1.0
    deeper = own - baked(bpy, collection, 128)
    assert deeper.min() > -0.01 and 0.2 < deeper.max() < 1.4, "as deep as a forehead's of middle age"
    rows = np.argwhere(deeper > 0.1)[:, 0] / 128
    assert ((rows > 0.15) & (rows < 0.5)).mean() > 0.9, "on the forehead"
    keys["browInnerUp"].value = 0.0
    np.testing.assert_allclose(baked(bpy, collection, 128), rest, atol=1e-4)


def test_files_get_typical_lines_where_the_nodes_show_them(bpy, collection) -> None:
    material, keys = skin(collection), tags.part_object(collection, "head").data.shape_keys.key_blocks
    picture, strength = materials.typical_picture(1), materials.strength_socket(material, materials.TYPICAL)
    row, column = np.mgrid[:1024, :1024] / 1024
    picture.pixels.foreach_set(np.repeat(0.5 + 0.5 * np.sin(20 * column + 9 * row), 4).astype(np.float32))
    keys["browInnerUp"].value = 1.0
    own = baked(bpy, collection, 64)
    strength.default_value = 1.0
    shown = own - baked(bpy, collection, 64)
    (wrinkles, *_), groups, reach = materials.wrinkles_of(material)
    channel = next(one[3] for one in groups if one[0] == "brows_up")
    stored = 2 * reach * (materials.picture_pixels(wrinkles) - materials.lined(material, 1))[::-1, :, channel]
    np.testing.assert_allclose(shown[16:32, 16:48], stored[16:32, 16:48], atol=0.1)
    assert shown[16:32, 16:48].std() > 0.3


def test_heads_of_two_shapes_have_their_own_typical_lines(bpy, result: HeadResult) -> None:
    wider, depths = replace(result, parts=tuple(replace(one, vertices=1.02 * one.vertices) for one in result.parts)), []
    for shape in (result, result, wider):
        material = skin(import_head(shape, bpy.context))
        own = materials.lined(material, 1)
        materials.strength_socket(material, materials.TYPICAL).default_value = 1.0
        depths.append((own - materials.lined(material, 1))[..., 0].ravel())
    np.testing.assert_array_equal(depths[0], depths[1])
    assert np.corrcoef(depths[0], depths[2])[0, 1] < 0.6 and min(one.std() for one in depths) > 0.002


def test_the_relief_is_in_millimetres_and_bump_by_default(collection) -> None:
    material = skin(collection)
    relief = material.node_tree.nodes["Skin Displacement"]
    assert relief.inputs["Scale"].default_value == pytest.approx(0.001) and relief.inputs["Midlevel"].default_value == 0
    assert material.displacement_method == "BUMP"
    assert "Pores" not in material.node_tree.nodes  # the relief has its own


def test_solving_again_keeps_strengths_and_nodes_and_brings_new_maps(bpy, collection, result: HeadResult) -> None:
    material = skin(collection)
    materials.strength_socket(material, "Wrinkles").default_value = 0.25
    count = len(material.node_tree.nodes)
    flat = replace(result.detail, always_png=result.detail.pictures[0])
    import_head(replace(result, detail=flat), bpy.context, (), collection[tags.HEAD_ID])
    assert materials.strength_socket(material, "Wrinkles").default_value == 0.25
    assert len(material.node_tree.nodes) == count
    images = [image for image in bpy.data.images if image.get(tags.RELIEF)]
    assert len(images) == 4 and {image.colorspace_settings.name for image in images} == {"Non-Color"}
    always = next(image for image in images if image[tags.RELIEF] == "Relief")
    assert bytes(always.packed_file.data) == result.detail.pictures[0]


def test_a_head_without_relief_loses_its_nodes_and_pictures(bpy, collection, result: HeadResult) -> None:
    import_head(replace(result, detail=None), bpy.context, (), collection[tags.HEAD_ID])
    material = skin(collection)
    assert materials.FRAME not in material.node_tree.nodes
    assert not [image for image in bpy.data.images if image.get(tags.RELIEF)]
    assert not material.node_tree.animation_data or not material.node_tree.animation_data.drivers
    import_head(result, bpy.context, (), collection[tags.HEAD_ID])
    assert materials.FRAME in material.node_tree.nodes


def test_two_heads_have_their_own_relief(bpy, collection, result: HeadResult) -> None:
    first, other = (tags.part_object(one, "head") for one in (collection, import_head(result, bpy.context)))
    other.data.shape_keys.key_blocks["jawOpen"].value = 1.0
    assert out(bpy, other, "jaw_open") == 1.0 and out(bpy, first, "jaw_open") == 0.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("always", "nothing"),
        ("always_reach", float("nan")),
        ("always_reach", 1e9),
        ("wrinkle_reach", "4"),
        ("wrinkles", [{"name": "x", "keys": ["jawOpen"], "picture": "detail.wrinkles.0", "channel": 3}]),
        ("wrinkles", [{"name": "x", "keys": ["jawWide"], "picture": "detail.wrinkles.0", "channel": 0}]),
        ("wrinkles", [{"name": "x", "keys": [], "picture": "detail.wrinkles.0", "channel": 0}]),
        ("wrinkles", [{"name": "x", "keys": ["jawOpen"], "picture": "albedo?", "channel": 0}]),
    ],
)
def test_broken_detail_is_one_sentence(message: HeadMessage, field: str, value: object) -> None:
    header, buffers = message.copy()
    header["detail"][field] = value
    with pytest.raises(AddonError) as caught:
        decode_result(header, buffers)
    assert caught.value.code == "malformed"


def test_a_result_without_detail_is_fine(message: HeadMessage) -> None:
    header, buffers = message.copy()
    header["detail"] = None
    assert decode_result(json.loads(json.dumps(header)), buffers).detail is None


def test_relief_is_whole_between_any_two_slices_of_a_solve(bpy, collection, result: HeadResult) -> None:
    deeper = replace(result, detail=replace(result.detail, always_reach=2 * result.detail.always_reach))
    nodes = skin(collection).node_tree.nodes
    for _ in importing.import_steps(deeper, Place.shown(bpy.context), into=collection[tags.HEAD_ID]):
        assert materials.FRAME in nodes and "Skin Displacement" in nodes
    (reach,) = (node.inputs["Height"].links for node in nodes if node.name == "Skin Displacement")
    assert len(reach) == 1 and tags.RELIEF in skin(collection)
    driven = [node.name for node in nodes if node.type == "VALUE" and node.parent and "Strength" not in node.name]
    assert len(driven) == len(set(driven)) == len(skin(collection).node_tree.animation_data.drivers)


def two_heads(bpy, result: HeadResult) -> list:
    return [tags.part_object(import_head(result, bpy.context), "head") for _ in range(2)]


def test_animation_of_another_head_brings_out_this_heads_wrinkles(backend: Backend, result: HeadResult) -> None:
    bpy = bpy_module
    source, target = two_heads(bpy, result)
    keys = source.data.shape_keys
    for frame, value in ((1, 0.0), (5, 1.0)):
        keys.key_blocks["jawOpen"].value = keys.key_blocks["noseSneerLeft"].value = value
        for name in ("jawOpen", "noseSneerLeft"):
            keys.keyframe_insert(f'key_blocks["{name}"].value', frame=frame)
    bpy.context.scene.likeness_transfer.source = source
    select(bpy, target)
    assert bpy.ops.likeness.transfer_to_selected() == {"FINISHED"}
    source.data.shape_keys.animation_data_clear()
    source.data.shape_keys.key_blocks["jawOpen"].value = 0.0
    for frame, expected in ((1, 0.0), (3, 0.5), (5, 1.0)):
        bpy.context.scene.frame_set(frame)
        assert out(bpy, target, "jaw_open") == pytest.approx(expected, abs=0.05)
        assert out(bpy, target, "sneer Left") == pytest.approx(expected, abs=0.05)
        assert out(bpy, target, "sneer Right") == out(bpy, source, "jaw_open") == 0.0


def test_a_jaw_that_its_bone_opens_brings_out_its_wrinkles(bpy, collection) -> None:
    head, rig = tags.part_object(collection, "head"), build.put_rig(collection)
    lead.set_lead(head, rig, JAW_LED, by_bones=True)
    bone, channels = lead.motions_of(rig)["jawOpen"]
    rig.pose.bones[bone].rotation_euler[channels[0].axis] = 0.5 * channels[0].amount
    assert out(bpy, head, "jaw_open") == pytest.approx(0.5, abs=0.02)


def test_a_file_that_is_opened_again_has_its_relief(bpy, collection, tmp_path: Path) -> None:
    materials.strength_socket(
        materials.skin_material(tags.part_object(collection, "head")), "Relief"
    ).default_value = 0.5
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    head = tags.part_object(tags.head_collections()[0], "head")
    material = materials.skin_material(head)
    assert materials.strength_socket(material, "Relief").default_value == 0.5
    assert all(node.image.packed_file for node in materials.relief_nodes(material))
    head.data.shape_keys.key_blocks["mouthPucker"].value = 0.75
    assert out(bpy, head, "pucker") == pytest.approx(0.75)


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


def baked_normals(bpy, head, kind: str) -> np.ndarray:
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
        collection = import_head(replace(result, detail=detail), bpy.context)
        head = tags.part_object(collection, "head")
        head.data.uv_layers.active = head.data.uv_layers["Head"]
        for key in keys:
            head.data.shape_keys.key_blocks[key].value = 1.0
        return head

    head = imported(16.0)
    positions = gaussian(baked_normals(bpy, head, "POSITION") * 1e3)
    down, right = np.gradient(positions, axis=(0, 1))
    texel = np.linalg.norm((right, down)[axis][part], axis=-1).mean()  # mm of skin under a baked texel
    texels = 4.0 / texel * SIZE / BAKED  # 4 mm long
    head = imported(texels)
    material = materials.skin_material(head)
    materials.strength_socket(material, materials.ALWAYS).default_value = 0.0
    bent = 2.0 * baked_normals(bpy, head, "NORMAL")[part] - 1.0
    materials.strength_socket(material, materials.WRINKLES).default_value = 0.0
    flat = 2.0 * baked_normals(bpy, head, "NORMAL")[part] - 1.0
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
