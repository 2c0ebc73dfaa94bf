"""The skin's relief in its material: mixed by the head's keys, kept when the head is solved again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from head_message import HeadMessage
from scene_helpers import baked_pixels, evaluated_value

from blender_addon.errors import AddonError
from blender_addon.protocol.result import HeadResult, decode_result

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.tags import Place  # noqa: E402
from blender_addon.scene import importing, materials  # noqa: E402


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


def driven(bpy, collection, name: str) -> float:
    return evaluated_value(bpy, skin(collection), name)


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


def test_groups_of_one_channel_come_out_apart_and_add_up(bpy, result: HeadResult) -> None:
    detail = result.detail
    first = [one for one in detail.wrinkles if one.picture == 0]
    twice = replace(first[0], name="again", keys=("jawOpen",))
    alone = replace(detail, pictures=detail.pictures[:1], wrinkles=(*first, twice))
    collection = importing.import_head(replace(result, detail=alone), bpy.context)
    keys = tags.part_object(collection, "head").data.shape_keys.key_blocks
    still = baked(bpy, collection)
    keys["browInnerUp"].value = 1.0
    once = baked(bpy, collection) - still
    keys["jawOpen"].value = 1.0
    both = baked(bpy, collection) - still
    assert once.max() > 0.5
    np.testing.assert_allclose(both, 2 * once, atol=0.02)
    keys["browInnerUp"].value = 0.0
    np.testing.assert_allclose(baked(bpy, collection) - still, once, atol=0.02)


def test_the_largest_key_of_a_group_counts(bpy, collection) -> None:
    keys = tags.part_object(collection, "head").data.shape_keys.key_blocks
    keys["eyeSquintLeft"].value, keys["cheekSquintLeft"].value = 0.3, 0.8
    assert driven(bpy, collection, "squint Left") == pytest.approx(0.8)
    assert driven(bpy, collection, "squint Right") == 0.0
    keys["jawOpen"].value = 0.4
    assert driven(bpy, collection, "jaw_open") == pytest.approx(0.4)


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
    importing.import_head(replace(result, detail=flat), bpy.context, (), collection[tags.HEAD_ID])
    assert materials.strength_socket(material, "Wrinkles").default_value == 0.25
    assert len(material.node_tree.nodes) == count
    images = [image for image in bpy.data.images if image.get(tags.RELIEF)]
    assert len(images) == 4 and {image.colorspace_settings.name for image in images} == {"Non-Color"}
    always = next(image for image in images if image[tags.RELIEF] == "Relief")
    assert bytes(always.packed_file.data) == result.detail.pictures[0]


def test_a_head_without_relief_loses_its_nodes_and_pictures(bpy, collection, result: HeadResult) -> None:
    importing.import_head(replace(result, detail=None), bpy.context, (), collection[tags.HEAD_ID])
    material = skin(collection)
    assert materials.FRAME not in material.node_tree.nodes
    assert not [image for image in bpy.data.images if image.get(tags.RELIEF)]
    assert not material.node_tree.animation_data or not material.node_tree.animation_data.drivers
    importing.import_head(result, bpy.context, (), collection[tags.HEAD_ID])
    assert materials.FRAME in material.node_tree.nodes


def test_two_heads_have_their_own_relief(bpy, collection, result: HeadResult) -> None:
    other = importing.import_head(result, bpy.context)
    tags.part_object(other, "head").data.shape_keys.key_blocks["jawOpen"].value = 1.0
    assert driven(bpy, other, "jaw_open") == 1.0 and driven(bpy, collection, "jaw_open") == 0.0


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
        ("wrinkles", [{"name": "", "keys": ["jawOpen"], "picture": "albedo?", "channel": 0}]),
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


def test_relief_that_was_given_up_half_way_is_whole_after_the_next_solve(bpy, collection, result: HeadResult) -> None:
    deeper = replace(result, detail=replace(result.detail, always_reach=2 * result.detail.always_reach))
    steps = importing.import_steps(deeper, Place.shown(bpy.context), into=collection[tags.HEAD_ID])
    nodes = skin(collection).node_tree.nodes
    for _ in steps:
        if materials.FRAME in nodes and "Skin Displacement" not in nodes:
            break
    assert "Skin Displacement" not in nodes, "between two slices"
    steps.close()
    importing.import_head(deeper, bpy.context, into=collection[tags.HEAD_ID])
    (reach,) = (node.inputs["Height"].links for node in nodes if node.name == "Skin Displacement")
    assert len(reach) == 1 and tags.RELIEF in skin(collection)
    driven = [node.name for node in nodes if node.type == "VALUE" and node.parent and "Strength" not in node.name]
    assert len(driven) == len(set(driven)) == len(skin(collection).node_tree.animation_data.drivers)
