"""Eyes that hold a close-up, in Blender: own picture and map, clear corneas, and heads of before."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from head_message import HeadMessage
from scene_helpers import import_head

from blender_addon.objects import tags
from blender_addon.protocol.result import decode_result


@pytest.fixture
def head(bpy: ModuleType, message: HeadMessage):
    return import_head(decode_result(*message.copy()), bpy.context)


def _picture_of(obj) -> str | None:
    nodes = obj.material_slots[0].material.node_tree.nodes
    return next((node.image.name for node in nodes if node.type == "TEX_IMAGE"), None)


def test_eyes_show_their_own_picture_on_their_own_map(bpy: ModuleType, head) -> None:
    eye = tags.part_object(head, "eye_left")
    assert eye.data.uv_layers.keys() == ["Head", "MakeHuman", "Eye"]
    assert head[tags.EYES].size[:] == (128, 64)
    nodes = eye.material_slots[0].material.node_tree.nodes
    shown = next(node for node in nodes if node.type == "TEX_IMAGE")
    assert shown.image == head[tags.EYES] and shown.inputs[0].links[0].from_node.uv_map == "Eye"
    uv = np.empty(2 * len(eye.data.loops), np.float32)
    eye.data.uv_layers["Eye"].uv.foreach_get("vector", uv)
    assert uv[::2].min() >= 0.5 - 1e-4  # the left eye is the picture's right half
    assert _picture_of(tags.part_object(head, "teeth_upper")) == head[tags.ALBEDO].name


def test_corneas_turn_with_the_slider_of_the_head(bpy: ModuleType, head) -> None:
    skin, cornea = tags.part_object(head, "head"), tags.part_object(head, "cornea_left")
    skin.data.shape_keys.key_blocks["eyeLookUpLeft"].value = 1.0
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    moved = cornea.evaluated_get(graph).to_mesh().vertices[0].co - cornea.data.vertices[0].co
    assert moved.z > 0.003
    assert cornea.parent == skin


def test_a_cornea_refracts_in_cycles_and_is_see_through_elsewhere_beside_red_flesh(bpy: ModuleType, head) -> None:
    material = tags.part_object(head, "cornea_right").material_slots[0].material
    assert material == tags.part_object(head, "cornea_left").material_slots[0].material
    outputs = {node.target: node for node in material.node_tree.nodes if node.type == "OUTPUT_MATERIAL"}
    assert set(outputs) == {"EEVEE", "CYCLES"}
    assert any(node.type == "BSDF_REFRACTION" for node in material.node_tree.nodes)
    flesh = tags.part_object(head, "caruncles").active_material.diffuse_color
    assert material.diffuse_color[3] == 0.0 and flesh[0] > 2 * flesh[1]  # in Solid


def test_light_reaches_an_iris_through_its_cornea(bpy: ModuleType, head) -> None:
    """Rendered: a cornea that kept the light out would leave the iris black."""
    from mathutils import Vector

    eye, cornea = (tags.part_object(head, name) for name in ("eye_left", "cornea_left"))
    for obj in list(head.all_objects):
        obj.hide_render = obj not in (eye, cornea)
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    at = eye.matrix_world.translation
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "SUN"))
    lamp.data.energy, lamp.rotation_euler = 3.0, (np.pi / 2 - 0.9, 0.0, 0.3)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = at + Vector((0.0, -0.2, 0.0)), (np.pi / 2, 0.0, 0.0)
    camera.data.lens, camera.data.clip_start = 600.0, 0.01
    for obj in (lamp, camera):
        scene.collection.objects.link(obj)
    scene.camera, scene.render.engine, scene.cycles.samples = camera, "CYCLES", 4
    scene.render.resolution_x = scene.render.resolution_y = 16

    def brightness() -> float:
        bpy.ops.render.render()
        image = bpy.data.images["Render Result"]
        path = bpy.app.tempdir + "eye.exr"
        scene.render.image_settings.file_format = "OPEN_EXR"
        image.save_render(path)
        pixels = np.array(bpy.data.images.load(path, check_existing=False).pixels[:]).reshape(16, 16, 4)
        return float(pixels[..., :3].mean())

    with_cornea = brightness()
    tags.part_object(head, "cornea_left").hide_render = True
    assert with_cornea > 0.5 * brightness() > 0.01


def test_a_deleted_picture_of_the_eyes_comes_back(bpy: ModuleType, head, message: HeadMessage) -> None:
    bpy.data.images.remove(head[tags.EYES])
    import_head(decode_result(*message.copy()), bpy.context, into=head[tags.HEAD_ID])
    nodes = tags.part_object(head, "eye_left").material_slots[0].material.node_tree.nodes
    assert next(node for node in nodes if node.type == "TEX_IMAGE").image == head[tags.EYES]


def test_the_inside_of_a_mouth_is_not_black(bpy: ModuleType, head) -> None:
    """Its share of light goes by an attribute that is 1 behind the lips and 0 on the skin."""
    skin = tags.part_object(head, "head")
    inside = np.empty(len(skin.data.vertices), np.float32)
    skin.data.attributes["mouth_inside"].data.foreach_get("value", inside)
    assert 200 < (inside > 0.9).sum() < 600
    shader = next(n for n in skin.material_slots[0].material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    light = shader.inputs["Emission Strength"].links[0].from_node
    assert light.inputs[0].links[0].from_node.attribute_name == "mouth_inside"
    assert 0.0 < light.inputs[1].default_value < 0.3


def test_solid_shading_lays_every_picture_by_the_map_that_it_was_made_for(bpy: ModuleType, head) -> None:
    """Solid knows the active map alone: eyes had the picture's white corner all over them."""
    shown, pictures = {}, (head[tags.ALBEDO], head[tags.EYES])
    for obj in (obj for obj in tags.objects_of(head) if obj.type == "MESH" and tags.PART in obj):
        nodes = obj.material_slots[0].material.node_tree.nodes
        for picture in (node for node in nodes if node.type == "TEX_IMAGE" and node.image in pictures):
            (link,) = picture.inputs["Vector"].links
            shown[obj[tags.PART]] = (obj.data.uv_layers.active.name, link.from_node.uv_map)
    assert {"head", "eye_left", "eye_right", "teeth_upper"} <= shown.keys()
    assert all(active == wanted for active, wanted in shown.values()), shown


@pytest.mark.parametrize("part", ["teeth_lower", "teeth_upper", "tongue"])
def test_eevee_dims_what_lies_deep_in_a_mouth_and_cycles_keeps_it(bpy: ModuleType, head, part: str) -> None:
    """Eevee lets all of the world's light into a mouth: tongue and back teeth were grey."""
    nodes = tags.part_object(head, part).material_slots[0].material.node_tree.nodes
    outputs = {node.target: node for node in nodes if node.type == "OUTPUT_MATERIAL"}
    assert set(outputs) == {"ALL", "EEVEE"}
    shader = outputs["ALL"].inputs["Surface"].links[0].from_node
    assert shader.type == "BSDF_PRINCIPLED"
    dim = outputs["EEVEE"].inputs["Surface"].links[0].from_node
    assert dim.inputs[1].links[0].from_node == shader and not dim.inputs[2].is_linked
    share = dim.inputs[0].links[0].from_node
    front, back = share.inputs["To Min"].default_value, share.inputs["To Max"].default_value
    assert 0.0 <= front < 0.3 and 0.8 < back < 0.95
    assert share.inputs["From Min"].default_value < share.inputs["From Max"].default_value  # the front has the lower y
    assert share.inputs["Value"].links[0].from_socket.name == "Y"
