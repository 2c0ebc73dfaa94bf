"""Moist lips and lids, an oily nose, dry ears: the skin's roughness in Blender."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from head_message import HeadMessage
from scene_helpers import baked_pixels

from blender_addon.errors import AddonError
from blender_addon.protocol.result import decode_result

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.objects import tags  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402
from blender_addon.scene.materials import ROUGHNESS, SPECULAR  # noqa: E402

USUAL_ROUGHNESS, USUAL_SPECULAR = 0.52, 0.4
"""Of skin without the vertices' attribute, such as a body's."""


def roughness_of(head) -> np.ndarray:
    values = np.empty(len(head.data.vertices), np.float32)
    head.data.attributes["skin_roughness"].data.foreach_get("value", values)
    return values


def baked_roughness(bpy: ModuleType, head) -> np.ndarray:
    """(S, S) roughness of the head's skin as Cycles sees it, by map ``Head``; 0 where the map shows no skin."""
    return baked_pixels(bpy, head, "ROUGHNESS", 64)[..., 0]


def test_vertices_say_how_rough_their_skin_is(bpy: ModuleType, message: HeadMessage) -> None:
    template = pytest.importorskip("backend.geometry.template", exc_type=ImportError).load_template()
    head = tags.part_object(import_head(decode_result(*message.copy()), bpy.context), "head")
    rough, regions = roughness_of(head), template.regions
    found = {name: np.median(rough[regions[name][: len(rough)] > 0.95]) for name in ("lips", "nose", "cheeks", "ears")}
    for name, expected in {"lips": 0.35, "nose": 0.45, "cheeks": 0.55, "ears": 0.60}.items():
        assert found[name] == pytest.approx(expected, abs=0.02), name


def test_the_skin_is_as_rough_as_its_vertices_say(bpy: ModuleType, message: HeadMessage) -> None:
    head = tags.part_object(import_head(decode_result(*message.copy()), bpy.context), "head")
    nodes = head.material_slots[0].material.node_tree.nodes
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Roughness"].links[0].from_node == nodes[ROUGHNESS]
    assert shader.inputs["Specular IOR Level"].links[0].from_node == nodes[SPECULAR]
    baked = baked_roughness(bpy, head)
    shown = baked[baked > 0]
    assert len(shown) > 1000
    rough = roughness_of(head)
    assert shown.min() == pytest.approx(rough.min(), abs=0.02) and shown.max() == pytest.approx(rough.max(), abs=0.02)
    assert np.ptp(shown) > 0.25


def test_the_mouths_inside_mirrors_little(bpy: ModuleType, message: HeadMessage) -> None:
    """Eevee mirrors the world wherever there is a mirror: the lining was grey. The factor stays in the last node."""
    head = tags.part_object(import_head(decode_result(*message.copy()), bpy.context), "head")
    nodes = head.material_slots[0].material.node_tree.nodes
    seen = nodes[SPECULAR].inputs[0].links[0].from_node
    outside = seen.inputs[1].links[0].from_node
    assert outside.inputs[0].links[0].from_node.attribute_name == "mouth_inside"
    slope, there = outside.inputs[1].default_value, outside.inputs[2].default_value
    assert there == 1.0 and 0.05 < there + slope < 0.2
    assert nodes[SPECULAR].inputs[1].default_value == pytest.approx(USUAL_SPECULAR)


@pytest.mark.parametrize("fault", ["above one", "not a number", "too few"])
def test_a_roughness_that_cannot_be_is_refused(message: HeadMessage, fault: str) -> None:
    header, buffers = message.copy()
    number = [entry["name"] for entry in header["buffers"]].index(header["skin_roughness"])
    values = np.frombuffer(buffers[number], "<f4").copy()
    if fault == "too few":
        values = values[:-1]
        header["buffers"][number]["shape"] = [len(values)]
    else:
        values[7] = 1.5 if fault == "above one" else np.nan
    buffers[number] = values.tobytes()
    with pytest.raises(AddonError) as caught:
        decode_result(header, buffers)
    assert caught.value.code == "malformed"
