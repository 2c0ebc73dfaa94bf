"""Apply to MPFB body gives it a skin: the albedo in the body's own map, the rest in the tone of the neck."""

from __future__ import annotations

import time

import numpy as np
import pytest
from machine_speed import times_slower
from scene_helpers import coordinates, image_pixels, to_the_end
from test_scene_mpfb import SKIN, add_body, points  # noqa: F401

from blender_addon.errors import AddonError
from blender_addon.objects import tags
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import mpfb
from blender_addon.scene.materials import ALWAYS

ELSEWHERE = np.array([[0.05, 0.05], [0.25, 0.05], [0.25, 0.25], [0.05, 0.25]])
"""The place in the body's map of a face that is not the head's."""


@pytest.fixture
def body(bpy, collection, result: HeadResult, points: np.ndarray):  # noqa: F811
    """A body whose faces are the head's, in the atlas as MakeHuman has it, and one more."""
    head = result.head
    other = np.setdiff1d(np.arange(SKIN), head.hm08_vertex)[:4]
    corners = [quad[: 3 if quad[2] == quad[3] else 4] for quad in head.quads]
    faces = [head.hm08_vertex[quad].tolist() for quad in corners] + [other.tolist()]
    places = [head.uv_makehuman[quad[: len(c)]] for quad, c in zip(head.uv_makehuman_quads, corners, strict=True)]
    body = add_body(bpy, points, faces)
    layer = body.data.uv_layers.new(name="UVMap")
    layer.uv.foreach_set("vector", np.concatenate([*places, ELSEWHERE]).astype(np.float32).ravel())
    return body


def picture(image) -> np.ndarray:
    return image_pixels(image)[..., :3]


def skin_image(body):
    return next(
        node.image
        for node in body.material_slots[0].material.node_tree.nodes
        if node.type == "TEX_IMAGE" and node.image
    )


def at(image, places: np.ndarray) -> np.ndarray:
    return mpfb.sampled(picture(image), np.asarray(places, np.float64))


def high_up(result: HeadResult) -> tuple[np.ndarray, np.ndarray]:
    """Middles of faces well above the neck, in map ``Head`` and in the atlas."""
    head = result.head
    height = head.vertices[head.quads].mean(1)[:, 1]
    chosen = height > np.percentile(height, 60)
    return head.uv[head.uv_quads[chosen]].mean(1), head.uv_makehuman[head.uv_makehuman_quads[chosen]].mean(1)


def test_the_albedo_lies_in_the_bodys_map(bpy, collection, result: HeadResult, body) -> None:
    assert "its skin" in to_the_end(mpfb.apply_steps(bpy.context))
    image = skin_image(body)
    assert image[tags.BODY_SKIN] == collection[tags.HEAD_ID] and image.packed_file is not None
    in_head, in_atlas = high_up(result)
    np.testing.assert_allclose(at(image, in_atlas), at(collection[tags.ALBEDO], in_head), atol=0.03)


def test_below_the_neck_it_has_the_necks_tone(bpy, collection, result: HeadResult, body) -> None:
    to_the_end(mpfb.apply_steps(bpy.context))
    image, head = skin_image(body), result.head
    tone = at(image, ELSEWHERE.mean(0, keepdims=True))[0]
    assert np.abs(at(image, ELSEWHERE * 0.8 + 0.03) - tone).max() < 0.01
    height = head.vertices[head.quads].mean(1)[:, 1]
    lowest = np.argsort(height)[:12]
    cut = at(image, head.uv_makehuman[head.uv_makehuman_quads[lowest]].mean(1))
    assert np.abs(cut - tone).max() < 0.12  # no step at the cut
    neck = height < height.min() + 0.04
    seen = at(collection[tags.ALBEDO], head.uv[head.uv_quads[neck]].mean(1))
    assert (np.abs(tone - np.median(seen, axis=0)) < 0.15).all()


def test_a_texture_of_its_own_gets_the_necks_tone_and_stays_in_the_file(bpy, collection, body, points) -> None:  # noqa: F811
    to_the_end(mpfb.apply_steps(bpy.context))
    tone = at(skin_image(body), ELSEWHERE.mean(0, keepdims=True))[0]
    body.data.materials.clear()
    own = bpy.data.images.new("own", 64, 64)
    pixels = np.full((64, 64, 4), (0.3, 0.5, 0.6, 1.0), np.float32)
    pixels[:32, :8] = (0.15, 0.25, 0.3, 1.0)  # a spot below the neck
    own.pixels.foreach_set(pixels.ravel())
    material = bpy.data.materials.new("mine")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = own
    shader = next(one for one in material.node_tree.nodes if one.type == "BSDF_PRINCIPLED")
    material.node_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    body.data.materials.append(material)
    assert "texture" in to_the_end(mpfb.apply_steps(bpy.context))
    image = skin_image(body)
    assert node.image == own and body.material_slots[0].material != material and image[tags.BODY_BEFORE] == own
    np.testing.assert_allclose(at(image, [[0.22, 0.22]])[0], tone, atol=0.03)
    assert (at(image, [[0.06, 0.2]]) < 0.8 * tone).all()  # the spot is still one
    first, made = at(image, [[0.06, 0.2], [0.22, 0.22], [0.8, 0.5]]), body.material_slots[0].material
    to_the_end(mpfb.apply_steps(bpy.context))  # again: from the texture of before, into the same picture
    assert body.material_slots[0].material == made and skin_image(body) == image
    np.testing.assert_allclose(at(image, [[0.06, 0.2], [0.22, 0.22], [0.8, 0.5]]), first, atol=0.01)


def test_the_relief_comes_along(bpy, collection, result: HeadResult, body) -> None:
    to_the_end(mpfb.apply_steps(bpy.context))
    tree = body.material_slots[0].material.node_tree
    relief = next(node for node in tree.nodes if node.type == "DISPLACEMENT")
    assert relief.inputs["Scale"].default_value == pytest.approx(2 * result.detail.always_reach / 1000)
    here = tree.nodes[ALWAYS].image
    own = next(image for image in bpy.data.images if image.get(tags.RELIEF) == ALWAYS)
    in_head, in_atlas = high_up(result)
    np.testing.assert_allclose(at(here, in_atlas)[:, 0], at(own, in_head)[:, 0], atol=0.02)
    assert at(here, ELSEWHERE.mean(0, keepdims=True))[0, 0] == pytest.approx(0.5, abs=1e-3)


def test_a_body_without_a_map_keeps_its_looks(bpy, collection, points: np.ndarray) -> None:  # noqa: F811
    body = add_body(bpy, points)
    assert "no UV map" in to_the_end(mpfb.apply_steps(bpy.context))
    assert not body.material_slots and body.data.shape_keys is not None
    assert len(coordinates(body.data.vertices)) == len(points)


def state(body) -> tuple:
    keys = body.data.shape_keys
    return (
        None if keys is None else tuple(keys.key_blocks.keys()),
        tuple(slot.material for slot in body.material_slots),
    )


def test_work_that_is_given_up_leaves_the_body_as_it_was(bpy, collection, body) -> None:
    before = state(body)
    steps = mpfb.apply_steps(bpy.context)
    for _ in range(5):
        assert 0.0 <= next(steps) <= 1.0
    steps.close()
    assert state(body) == before
    to_the_end(mpfb.apply_steps(bpy.context))
    assert state(body) != before


def test_a_body_that_is_deleted_meanwhile_ends_in_a_sentence(bpy, collection, body) -> None:
    steps = mpfb.apply_steps(bpy.context)
    next(steps)
    next(steps)
    bpy.data.objects.remove(body)
    with pytest.raises(AddonError, match="not in the scene any more"):
        for _ in steps:
            pass


@pytest.mark.usefixtures("only_new_garbage")
def test_the_window_never_waits_for_the_bake(bpy, collection, body) -> None:
    """With a texture of 2 k, which takes seconds: nearly all steps are waits of a hundredth of a second, with time for
    the window in between."""
    material = bpy.data.materials.new("own")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.new("own", 2048, 2048)
    material.node_tree.links.new(
        node.outputs["Color"], material.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
    )
    body.data.materials.append(material)
    seconds, begun = [], time.perf_counter()
    for _ in mpfb.apply_steps(bpy.context):
        now = time.perf_counter()
        seconds.append(now - begun)
        begun = now
    assert len(seconds) > 20
    assert np.percentile(seconds, 90) < 0.1 * times_slower()


def test_a_body_of_which_only_the_head_is_left_gets_its_skin(bpy, collection, body) -> None:
    import bmesh

    mesh = bmesh.new()
    mesh.from_mesh(body.data)
    mesh.faces.ensure_lookup_table()
    bmesh.ops.delete(mesh, geom=[mesh.faces[-1]], context="FACES_ONLY")
    mesh.to_mesh(body.data)
    assert "its skin" in to_the_end(mpfb.apply_steps(bpy.context))
