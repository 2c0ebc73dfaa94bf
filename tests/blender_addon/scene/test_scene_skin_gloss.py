"""The skin's roughness in Blender, and neck and shoulders below the head."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from head_message import HeadMessage
from scene_helpers import baked_pixels, import_head

from blender_addon.errors import AddonError
from blender_addon.objects import tags
from blender_addon.protocol.result import HeadResult, ResultPart, decode_result

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


def test_the_skin_is_as_rough_as_its_vertices_say(bpy: ModuleType, result: HeadResult) -> None:
    head = tags.part_object(import_head(replace(result, hair=None), bpy.context), "head")
    nodes = head.material_slots[0].material.node_tree.nodes
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Roughness"].links[0].from_node == nodes["Skin Roughness"]
    assert shader.inputs["Specular IOR Level"].links[0].from_node == nodes["Skin Specular"]
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
    seen = nodes["Skin Specular"].inputs[0].links[0].from_node
    outside = seen.inputs[1].links[0].from_node
    assert outside.inputs[0].links[0].from_node.attribute_name == "mouth_inside"
    slope, there = outside.inputs[1].default_value, outside.inputs[2].default_value
    assert there == 1.0 and 0.05 < there + slope < 0.2
    assert nodes["Skin Specular"].inputs[1].default_value == pytest.approx(USUAL_SPECULAR)


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


@pytest.fixture
def with_bust(result: HeadResult) -> HeadResult:
    """The head of the message, with the bust of the template's mean face."""
    assemble = pytest.importorskip("backend.exchange.assemble", exc_type=ImportError)
    from backend.geometry.template import load_template
    from backend.rig.bust import bust_shape, load_bust

    template = load_template()
    part = assemble.bust_part(load_bust(), bust_shape(load_bust(), template, template.vertices, template.expressions))
    names = tuple(part.keys)
    fields = {name: getattr(part, name) for name in ResultPart.__dataclass_fields__ if hasattr(part, name)}
    fields |= {"key_names": names, "keys": np.stack([part.keys[name] for name in names]), "alpha": None}
    return replace(result, parts=(*result.parts, ResultPart(**fields)))


def world(obj) -> np.ndarray:
    """(V, 3) vertices as the scene has them, with keys, modifiers and parents, before any subdivision."""
    import bpy

    for modifier in obj.modifiers:
        if modifier.type == "SUBSURF":
            modifier.show_viewport = False
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    points = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", points)
    matrix = np.array(evaluated.matrix_world)
    return points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def gap(collection) -> float:
    """The largest distance, metres, of a vertex of the head's rim from the bust."""
    from backend.rig.bust import load_bust

    head, bust = (world(tags.part_object(collection, name)) for name in ("head", "bust"))
    return float(np.linalg.norm(head[load_bust().rim] - bust[: len(load_bust().rim)], axis=1).max())


def test_it_stands_below_the_head_in_its_skin(bpy: ModuleType, with_bust: HeadResult) -> None:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=False)
    assert "Cube" in bpy.data.objects
    collection = import_head(with_bust, bpy.context)
    head, bust = tags.part_object(collection, "head"), tags.part_object(collection, "bust")
    assert bust.parent == head and bust.material_slots[0].material == head.material_slots[0].material
    assert gap(collection) < 1e-5
    head.data.shape_keys.key_blocks["jawOpen"].value = 1.0
    bpy.context.view_layer.update()
    assert bust.data.shape_keys.key_blocks["jawOpen"].value == pytest.approx(1.0) and gap(collection) < 1e-5
    heights = world(bust)[:, 2]
    assert np.isclose(heights, heights.min(), atol=1e-5).sum() > 40  # level


def test_a_turned_head_leaves_the_shoulders_where_they_are(bpy: ModuleType, with_bust: HeadResult) -> None:
    collection = import_head(with_bust, bpy.context, armature=True)
    before = world(tags.part_object(collection, "bust"))
    rig = tags.rig_object(collection)
    rig.pose.bones["head"].rotation_euler = (0.3, 0.4, 0.0)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(world(tags.part_object(collection, "bust")), before, atol=1e-6)
    assert gap(collection) < 1e-5


def test_solving_again_without_it_takes_it_away(bpy: ModuleType, result: HeadResult, with_bust: HeadResult) -> None:
    collection = import_head(with_bust, bpy.context)
    meshes = len(bpy.data.meshes)
    import_head(with_bust, bpy.context, into=collection[tags.HEAD_ID])
    assert tags.part_object(collection, "bust") is not None and len(bpy.data.meshes) == meshes
    import_head(result, bpy.context, into=collection[tags.HEAD_ID])
    assert tags.part_object(collection, "bust") is None and len(bpy.data.meshes) == meshes - 1
    import_head(with_bust, bpy.context, into=collection[tags.HEAD_ID])
    assert gap(collection) < 1e-5


def test_it_is_exported(bpy: ModuleType, with_bust: HeadResult) -> None:
    from blender_addon.export.write import export_parts

    collection = import_head(with_bust, bpy.context)
    assert [obj[tags.PART] for obj in export_parts(collection)][-1] == "bust"


def test_the_skin_is_as_rough_on_both_sides_of_the_necks_rim(bpy: ModuleType, with_bust: HeadResult) -> None:
    head = import_head(with_bust, bpy.context)
    rough = []
    for name in ("head", "bust"):
        mesh = tags.part_object(head, name).data
        rough.append(np.empty(len(mesh.vertices), np.float32))
        mesh.attributes["skin_roughness"].data.foreach_get("value", rough[-1])
    rim = np.argsort(with_bust.head.vertices[:, 1])[:10]
    np.testing.assert_allclose(rough[1], rough[1][0])
    np.testing.assert_allclose(rough[0][rim], rough[1][0], atol=0.01)
