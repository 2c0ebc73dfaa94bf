"""Glasses in Blender: two still objects in the photos' colours, on the head's bone, switched off and on, exported."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

sys.path[:0] = [str(Path(__file__).parent / "scene")]
from blender_addon.shared.names import GLASSES  # noqa: E402
from head_message import made_up_asset  # noqa: E402
from scene_helpers import import_head  # noqa: E402

from blender_addon.export.presets import BY_NAME  # noqa: E402
from blender_addon.export.write import export_head, export_parts  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.protocol.result import HeadResult, decode_result  # noqa: E402


@pytest.fixture(scope="module")
def with_glasses() -> HeadResult:
    """The head of the message with blue-framed glasses."""
    assemble = pytest.importorskip("backend.exchange.assemble", exc_type=ImportError)
    import numpy as np

    from backend.exchange.wire import encode_face
    from backend.geometry.template import load_template
    from backend.models.parsing.glasses import _USUAL, Glasses, seat_of

    template, asset = load_template(), made_up_asset()[0]
    shape = replace(_USUAL, distance=0.024, rim=0.003, rim_below=0.002)
    seat, colour = seat_of(template, template.vertices), np.array([0.02, 0.03, 0.4])
    found = Glasses(shape, seat, colour, np.ones(3), 0.05, np.zeros(0))
    worn = assemble.worn_glasses(found, template, template.vertices, np.ones(3))
    message = encode_face(replace(asset, glasses=worn))
    return decode_result(json.loads(json.dumps(message.header)), message.buffers)


def test_they_arrive_in_their_colours_on_the_heads_bone(bpy: ModuleType, with_glasses: HeadResult) -> None:
    collection = import_head(with_glasses, bpy.context, armature=True)
    frame, lenses = (tags.part_object(collection, name) for name in GLASSES)
    assert frame.parent == lenses.parent == tags.part_object(collection, "head")
    assert frame.data.shape_keys is None and lenses.data.shape_keys is None
    assert {group.name for group in frame.vertex_groups} == {group.name for group in lenses.vertex_groups} == {"head"}
    shader = frame.active_material.node_tree.nodes["Principled BSDF"].inputs
    assert tuple(shader["Base Color"].default_value)[:3] == pytest.approx((0.02, 0.03, 0.4))
    assert lenses.active_material.node_tree.nodes["Principled BSDF"].inputs["Alpha"].default_value < 0.1
    assert lenses.color[3] < 0.1  # Solid shading shows the eyes


def test_the_switch_takes_them_off_and_out_of_exports(
    bpy: ModuleType, with_glasses: HeadResult, tmp_path: Path
) -> None:
    collection = import_head(with_glasses, bpy.context)
    worn = [tags.part_object(collection, name) for name in GLASSES]
    assert set(worn) <= set(export_parts(collection))
    export_head(bpy.context, collection, BY_NAME["GLTF"], tmp_path / "head.glb")
    content = (tmp_path / "head.glb").read_bytes()
    data = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    looks = {one["name"].split(".")[0]: one for one in data["materials"]}
    assert looks["frame"]["pbrMetallicRoughness"]["baseColorFactor"][:3] == pytest.approx((0.02, 0.03, 0.4), abs=1e-4)
    assert looks["lens"]["pbrMetallicRoughness"]["baseColorFactor"][3] < 0.1
    collection.likeness.glasses_on = False
    assert all(obj.hide_viewport and obj.hide_render for obj in worn) and not set(worn) & set(export_parts(collection))
    collection.likeness.glasses_on = True
    assert not any(obj.hide_viewport or obj.hide_render for obj in worn)


def test_they_are_gone_when_the_next_solve_has_none(
    bpy: ModuleType, with_glasses: HeadResult, result: HeadResult
) -> None:
    collection = import_head(with_glasses, bpy.context)
    import_head(result, bpy.context, into=collection[tags.HEAD_ID])
    assert all(tags.part_object(collection, name) is None for name in GLASSES)
