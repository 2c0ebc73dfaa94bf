"""A result in the scene: objects, keys, drivers, maps, materials."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from blender_addon.shared.names import EYE_PART_NAMES, PART_NAMES
from head_message import HeadMessage
from machine_speed import times_slower
from scene_helpers import coordinates, counts, evaluated, import_head, local, subdivision

from blender_addon.errors import AddonError
from blender_addon.objects import tags
from blender_addon.objects.meshes import to_blender
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import expressions, importing
from blender_addon.scene.nodes import hair_library


def key_values(obj) -> dict[str, float]:
    return {block.name: block.value for block in obj.data.shape_keys.key_blocks[1:]}


def test_the_head_is_there_with_its_parts(bpy, collection, result: HeadResult) -> None:
    assert collection in bpy.context.scene.collection.children[:]
    meshes = {obj.name: obj for obj in collection.all_objects if obj.type == "MESH"}
    assert set(meshes) == set(PART_NAMES + EYE_PART_NAMES)
    for part in result.parts:
        obj = meshes[part.name]
        np.testing.assert_allclose(coordinates(obj.data.vertices), local(part, obj), atol=1e-6)
        assert len(obj.data.polygons) == len(part.quads)
        assert obj.parent == (None if part.name == "head" else meshes["head"])
        assert all(polygon.use_smooth for polygon in obj.data.polygons)
        modifier = subdivision(obj)
        assert (modifier.levels, modifier.render_levels) == (1, 2)
    assert bpy.context.active_object == meshes["head"]
    assert bpy.context.selected_objects == [meshes["head"]]
    points = evaluated(bpy, meshes["head"])
    assert 0.2 < np.ptp(points[:, 2]) < 0.4 and abs(points[:, 0].mean()) < 0.01  # metres, upright
    eyes = evaluated(bpy, meshes["eye_left"])
    assert eyes[:, 0].mean() > 0.02  # the person's left is +x
    nose = points[np.abs(points[:, 0]) < 0.01][:, 1].min()
    assert nose < eyes[:, 1].min() < points[:, 1].mean()  # the face looks to -y


def test_solid_shading_shows_single_lashes(bpy, collection) -> None:
    """It cuts the active texture of a material where it is clear, by the active map."""
    lashes = tags.part_object(collection, "lashes")
    (material,) = lashes.data.materials
    assert material.node_tree.nodes.active.image == collection[tags.LASHES]
    assert lashes.data.uv_layers.active.name == "Lash"
    assert material.diffuse_color[3] == 1.0  # a share of it would fade the hairs as well
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Alpha"].is_linked  # renders have their opacity per vertex


def test_the_keys_are_the_52_at_zero(collection, head, result: HeadResult) -> None:
    blocks = head.data.shape_keys.key_blocks
    assert blocks[0].name == "Basis" and tuple(block.name for block in blocks[1:]) == result.head.key_names
    for block in blocks[1:]:
        assert (block.value, block.mute, block.slider_min, block.slider_max) == (0.0, False, 0.0, 1.0)
    for part in result.parts:
        obj = tags.part_object(collection, part.name)
        if not part.key_names:
            assert obj.data.shape_keys is None
            continue
        assert tuple(key_values(obj)) == part.key_names
        rest = local(part, obj)
        for name, offsets in zip(part.key_names, part.keys, strict=True):
            moved = coordinates(obj.data.shape_keys.key_blocks[name].points)
            np.testing.assert_allclose(moved - rest, to_blender(offsets), atol=1e-6)


def test_left_is_the_persons_left(head) -> None:
    rest = coordinates(head.data.vertices)
    for name, side in (("eyeBlinkLeft", 1), ("eyeBlinkRight", -1), ("mouthSmileLeft", 1), ("mouthSmileRight", -1)):
        moves = np.linalg.norm(coordinates(head.data.shape_keys.key_blocks[name].points) - rest, axis=1)
        assert side * (moves * rest[:, 0]).sum() / moves.sum() > 0.01


@pytest.mark.parametrize(
    ("key", "part", "axis", "sign"),
    [
        ("jawOpen", "teeth_lower", 2, -1),
        ("jawOpen", "tongue", 2, -1),
        ("jawLeft", "teeth_lower", 0, 1),
        ("eyeBlinkLeft", "lashes", 2, -1),
        ("tongueOut", "tongue", 1, -1),
    ],
)
def test_a_slider_of_the_head_moves_the_part(bpy, collection, key: str, part: str, axis: int, sign: int) -> None:
    head, obj = tags.part_object(collection, "head"), tags.part_object(collection, part)
    before = evaluated(bpy, obj)
    head.data.shape_keys.key_blocks[key].value = 0.8
    moved = (evaluated(bpy, obj) - before)[:, axis]
    assert sign * moved[np.abs(moved).argmax()] > 0.002
    head.data.shape_keys.key_blocks[key].value = 0.0
    np.testing.assert_allclose(evaluated(bpy, obj), before, atol=1e-7)


def test_a_look_turns_the_eye_and_the_upper_teeth_never_move(bpy, collection) -> None:
    head, eye = tags.part_object(collection, "head"), tags.part_object(collection, "eye_left")
    teeth = evaluated(bpy, tags.part_object(collection, "teeth_upper"))
    before = evaluated(bpy, eye)
    expressions.set_expression(head, {"eyeLookUpLeft": 1.0, "jawOpen": 1.0})
    after = evaluated(bpy, eye)
    pupil = before[:, 1].argmin()
    assert after[pupil, 2] - before[pupil, 2] > 0.003
    assert np.ptp(after, axis=0) == pytest.approx(np.ptp(before, axis=0), rel=0.1)
    np.testing.assert_array_equal(evaluated(bpy, tags.part_object(collection, "teeth_upper")), teeth)


def test_drivers_need_no_scripts(collection) -> None:
    for part in (PART_NAMES + EYE_PART_NAMES)[1:]:
        keys = tags.part_object(collection, part).data.shape_keys
        if keys is not None:
            assert len(keys.animation_data.drivers) == len(keys.key_blocks) - 1
            assert {curve.driver.type for curve in keys.animation_data.drivers} == {"SUM"}
            assert all(curve.driver.is_valid and curve.is_valid for curve in keys.animation_data.drivers)


def test_maps_and_attributes(collection, result: HeadResult) -> None:
    for part in result.parts:
        mesh = tags.part_object(collection, part.name).data
        more = ["Eye"] if part.name in result.eyes.uv else ["Lash"] if part.name == "lashes" else []
        assert [layer.name for layer in mesh.uv_layers] == ["Head", "MakeHuman", *more]
        shown = (*more, "Head")[0]  # what Solid lays the pictures by
        assert mesh.uv_layers.active.name == shown and mesh.uv_layers["Head"].active_render
        for layer, uv, quads in (
            ("Head", part.uv, part.uv_quads),
            ("MakeHuman", part.uv_makehuman, part.uv_makehuman_quads),
        ):
            seen = np.empty(2 * len(mesh.loops), np.float32)
            mesh.uv_layers[layer].uv.foreach_get("vector", seen)
            keep = np.ones(part.quads.shape, bool)
            keep[:, 3] = part.quads[:, 3] != part.quads[:, 2]
            np.testing.assert_array_equal(seen.reshape(-1, 2), uv[quads[keep]])
        attribute = mesh.attributes["hm08_vertex"]
        assert (attribute.data_type, attribute.domain) == ("INT", "POINT")
        numbers = np.empty(len(mesh.vertices), np.int32)
        attribute.data.foreach_get("value", numbers)
        np.testing.assert_array_equal(numbers, part.hm08_vertex)


def test_materials_show_the_packed_albedo(bpy, collection, result: HeadResult) -> None:
    image = collection[tags.ALBEDO]
    assert bytes(image.packed_file.data) == result.albedo_png
    assert tuple(image.size) == (256, 256) and image.colorspace_settings.name == "sRGB"
    shaders = {}
    for part in PART_NAMES:
        (material,) = tags.part_object(collection, part).data.materials
        nodes = {node.type: node for node in material.node_tree.nodes}
        shader = shaders[part] = nodes["BSDF_PRINCIPLED"]
        link = shader.inputs["Base Color"].links[0]
        own = {"eye_left": ("Eye", tags.EYES), "eye_right": ("Eye", tags.EYES), "lashes": ("Lash", tags.LASHES)}
        uv_map, tag = own.get(part, ("Head", tags.ALBEDO))
        assert link.from_node.image == collection[tag]
        assert link.from_node.inputs["Vector"].links[0].from_node.uv_map == uv_map
        assert nodes["OUTPUT_MATERIAL"].inputs["Surface"].is_linked
    assert shaders["head"].inputs["Subsurface Weight"].default_value > 0
    assert shaders["eye_left"].inputs["Coat Weight"].default_value == 1
    assert shaders["eye_left"].id_data == shaders["eye_right"].id_data  # the same material
    hairs, lashes = shaders["lashes"].inputs["Alpha"].links[0], tags.part_object(collection, "lashes").data
    assert hairs.from_node.image == collection[tags.LASHES] and hairs.from_socket.name == "Alpha"
    places, corners = np.empty(2 * len(lashes.loops), np.float32), np.empty(len(lashes.loops), np.int32)
    lashes.uv_layers["Lash"].uv.foreach_get("vector", places)
    lashes.loops.foreach_get("vertex_index", corners)
    np.testing.assert_allclose(places.reshape(-1, 2), result.lashes.places[corners], atol=1e-6)


def test_provenance_is_in_the_file(collection, message: HeadMessage) -> None:
    assert json.loads(collection[tags.REPORT]) == message.header["report"]
    photos = [group.to_dict() for group in collection[tags.PHOTOS]]
    assert [photo["name"] for photo in photos] == list(message.photos)
    assert [photo["used"] for photo in photos] == [True, True, True, True, False]
    assert photos[4]["reason"] == "It is blurred."
    assert photos[1]["landmark_error_percent"] == pytest.approx(2.0)
    assert [bytes(photo["image"].packed_file.data) for photo in photos] == list(message.photos.values())


def test_expressions_are_set_and_reset(collection, head) -> None:
    head.shape_key_add(name="mine", from_mix=False).value = 0.5
    head.data.shape_keys.key_blocks["cheekPuff"].value = 0.9
    camera = tags.cameras_by_photo(collection)["square.jpg"]
    expressions.set_expression(head, dict(camera[tags.EXPRESSION]))
    values = key_values(head)
    assert values.pop("mouthSmileLeft") == pytest.approx(0.6) and values.pop("jawOpen") == pytest.approx(0.1)
    assert values.pop("mine") == 0.5
    assert set(values.values()) == {0.0}
    expressions.set_expression(head, {})
    values = key_values(head)
    assert values.pop("mine") == 0.5 and set(values.values()) == {0.0}


def test_two_heads_live_side_by_side(bpy, collection, result: HeadResult) -> None:
    other = import_head(result, bpy.context)
    assert other != collection and len(tags.head_collections()) == 2
    assert tags.active_head(bpy.context) == other
    bpy.context.view_layer.objects.active = tags.part_object(collection, "tongue")
    assert tags.active_head(bpy.context) == collection
    tags.part_object(other, "head").data.shape_keys.key_blocks["jawOpen"].value = 1
    bpy.context.view_layer.update()
    assert tags.part_object(other, "tongue").data.shape_keys.key_blocks["jawOpen"].value == 1
    assert tags.part_object(collection, "tongue").data.shape_keys.key_blocks["jawOpen"].value == 0


@pytest.mark.usefixtures("only_new_garbage")
@pytest.mark.parametrize("armature", [False, True])
def test_slices_are_short_and_say_how_far_it_is(bpy, result: HeadResult, photo_files, armature: bool) -> None:
    """Less than 0.1 s each, or than Blender takes for two of its own hair nodes, and a second together."""
    steps = importing.import_steps(result, tags.Place.shown(bpy.context), photo_files, armature=armature)
    seconds, fractions, running = [], [], True
    while running:
        start = time.thread_time()  # of the window's thread: other programs on the machine do not count
        try:
            fractions.append(next(steps))
        except StopIteration:
            running = False
        seconds.append(time.thread_time() - start)
    slower, start = times_slower(), time.thread_time()
    for name in ("Clump Hair Curves", "Trim Hair Curves"):
        with bpy.data.libraries.load(str(hair_library())) as (_, wanted):
            wanted.node_groups = [name]
    assert max(seconds) < max(0.1 * slower, time.thread_time() - start) and sum(seconds) < slower
    assert fractions == sorted(fractions) and fractions[0] > 0 and fractions[-1] < 1
    (collection,) = tags.head_collections()
    assert (tags.rig_object(collection) is not None) == armature


@pytest.mark.parametrize("slices", [0, 1, 3, 12, 20, 30])
def test_an_import_that_is_given_up_leaves_nothing(bpy, result: HeadResult, photo_files, slices: int) -> None:
    before = counts(bpy)
    steps = importing.import_steps(result, tags.Place.shown(bpy.context), photo_files)
    for _ in range(slices):
        next(steps)
    steps.close()
    assert counts(bpy) == before


def test_a_head_that_is_removed_meanwhile_ends_in_a_sentence(bpy, result: HeadResult) -> None:
    steps = importing.import_steps(result, tags.Place.shown(bpy.context))
    for _ in range(5):
        next(steps)
    tags.remove_head(tags.head_collections()[0][tags.HEAD_ID])
    with pytest.raises(AddonError, match="removed"):
        for _ in steps:
            pass
    assert sum(counts(bpy).values()) == 0


def test_faces_that_are_no_mesh_are_refused(bpy, message: HeadMessage) -> None:
    from blender_addon.protocol.result import decode_result

    header, buffers = message.copy()
    number = [entry["name"] for entry in header["buffers"]].index("tongue.quads")
    quads = np.frombuffer(buffers[number], "<i4").reshape(-1, 4).copy()
    quads[1] = quads[0]
    buffers[number] = quads.tobytes()
    with pytest.raises(AddonError) as error:
        import_head(decode_result(header, buffers), bpy.context)
    assert error.value.code == "malformed"
    assert sum(counts(bpy).values()) == 0
