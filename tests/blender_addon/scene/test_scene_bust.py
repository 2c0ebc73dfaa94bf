"""Neck and shoulders in Blender: below the head without a gap, in its skin, moved by its keys, gone when not wanted."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from blender_addon.protocol.result import HeadResult, ResultPart

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.objects import tags  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402


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
