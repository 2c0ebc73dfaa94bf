"""Hair in the scene: strands that follow the head, stay groomed, can be removed and come back."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from head_message import HeadMessage
from scene_helpers import coordinates, import_head, points_of

from blender_addon.errors import AddonError
from blender_addon.objects import tags
from blender_addon.objects.meshes import move_basis, neutral_coordinates, origin_of, to_blender
from blender_addon.protocol.result import HeadResult, decode_result
from blender_addon.scene import hair


def drawn(bpy, obj) -> np.ndarray:
    """Points of all hairs that the viewport draws, head frame of Blender."""
    bpy.context.view_layer.update()
    return points_of(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data)


def of_hairs(bpy, obj, name: str) -> np.ndarray:
    """(N,) values of an attribute of the drawn hairs or of their points."""
    values = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.attributes[name]
    flat = np.empty(len(values.data), np.float32)
    values.data.foreach_get("value", flat)
    return flat


def set_count(obj, name: str, value: float) -> None:
    hair.set_inputs(obj.modifiers[0], {name.replace(" ", "_").lower(): value}, {})
    obj.update_tag()


def strands(collection):
    return tags.hair_object(collection)


def test_the_guides_hang_on_the_head(bpy, collection, result: HeadResult) -> None:
    obj, head = strands(collection), tags.part_object(collection, "head")
    wanted = to_blender(result.hair.points).reshape(-1, 3) - origin_of(head.data)
    np.testing.assert_allclose(points_of(obj.data), wanted, atol=1e-6)
    assert obj.parent == head == obj.data.surface and obj.data.surface_uv_map == "Head"
    roots = points_of(obj.data).reshape(result.hair.points.shape)[:, 0]
    away = np.linalg.norm(hair.places(head.data, result.hair.root_uv, neutral_coordinates(head.data)) - roots, axis=1)
    assert np.median(away) < 1e-3 and away.max() < 3e-3  # quads are split otherwise here
    assert obj.active_material.node_tree.nodes["root_colour"].attribute_name == "root_colour"
    colour = np.array([one.color for one in obj.data.attributes["tip_colour"].data])
    np.testing.assert_allclose(colour[:, :3], result.hair.tip_colour, atol=1e-6)
    assert head.location.x == 0.0, "a head does not stand beside its own hair"


def test_eevee_which_draws_principled_hair_black_gets_a_surface_of_the_albedo(collection) -> None:
    """Hair was black in Material Preview and in Eevee, whatever its colour."""
    tree = strands(collection).active_material.node_tree
    surfaces = {}
    for engine in ("EEVEE", "CYCLES"):
        (link,) = tree.get_output_node(engine).inputs["Surface"].links
        surfaces[engine] = link.from_node
    assert {engine: node.type for engine, node in surfaces.items()} == {
        "EEVEE": "BSDF_PRINCIPLED",
        "CYCLES": "BSDF_HAIR_PRINCIPLED",
    }
    (link,) = surfaces["EEVEE"].inputs["Base Color"].links
    scale, offset = (np.array(socket.default_value) for socket in (link.from_node.inputs[1], link.from_node.inputs[2]))
    (link,) = link.from_node.inputs[0].links
    gamma, (colour,) = link.from_node.inputs["Gamma"].default_value, link.from_node.inputs["Color"].links
    assert colour.from_socket == surfaces["CYCLES"].inputs["Color"].links[0].from_socket
    albedo = np.array([[0.02, 0.015, 0.013], [0.4, 0.28, 0.15]])
    factors = [np.array(socket.default_value) for socket in tree.nodes["Reflected"].inputs[1:3]]
    shown = (albedo * factors[0] + factors[1]) ** tree.nodes["Colour"].inputs["Gamma"].default_value
    assert (shown < albedo).all() and np.allclose(shown**gamma * scale + offset, albedo, rtol=1e-3)


ODDITIES = (
    "Trim", "Baby", "Broken", "Clump Side", "Clump Top", "Lock Side", "Lock Top", "Wave", "Noise Side", "Noise Top",
    "Frizz Amount", "Fly Share",
)  # fmt: skip
"""Inputs that move hairs away from the middle of their guides, or cut them."""


def starts_of(bpy, obj) -> np.ndarray:
    """(N + 1,) numbers of the drawn hairs' first points, and of all points."""
    data = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    starts = np.empty(len(data.curves) + 1, np.int32)
    data.curve_offset_data.foreach_get("value", starts)
    return starts


def roots_of(bpy, obj) -> np.ndarray:
    """(N, 3) first points of the drawn hairs."""
    return drawn(bpy, obj)[starts_of(bpy, obj)[:-1]]


def test_a_blender_without_hair_assets_gets_the_head_without_hair(bpy, result: HeadResult, monkeypatch) -> None:
    monkeypatch.setattr("blender_addon.scene.nodes.LIBRARY", "left_out_by_the_distribution.blend")
    head = import_head(result, bpy.context)
    assert tags.part_object(head, "head") is not None
    assert tags.hair_object(head) is None


def test_hairs_grow_on_the_scalp_between_guides_as_dense_as_asked(bpy, collection, result: HeadResult) -> None:
    obj = strands(collection)
    for name in ODDITIES:
        set_count(obj, name, 0.0)
    few = len(roots_of(bpy, obj))
    set_count(obj, "Density", 2.0 * result.hair.chain["density"])
    points, roots = drawn(bpy, obj), roots_of(bpy, obj)
    assert few > 1000 and len(roots) == pytest.approx(2 * few, rel=0.1)
    origin = origin_of(tags.part_object(collection, "head").data)
    skin, lines = (to_blender(one) - origin for one in (result.hair.scalp.vertices, result.hair.points))
    lines = np.concatenate([lines[:, :-1] + share * np.diff(lines, axis=1) for share in (0, 0.25, 0.5, 0.75)], 1)
    away = [
        np.linalg.norm(place[::97, None] - near[None], axis=-1).min(1)
        for place, near in ((roots, skin), (points, lines.reshape(-1, 3)))
    ]
    assert away[0].max() < 0.012, "they start on the skin"
    pairs = [(np.delete(lines, k, 0)[:, ::2], place) for k, line in enumerate(lines) for place in line[::9]]
    apart = [np.linalg.norm(others - place, axis=-1).min() for others, place in pairs]
    between = np.percentile(apart, 75) + sum(result.hair.chain[name] for name in ("noise_side", "lock_spread"))
    assert np.percentile(away[1], 75) < between < 0.012, "and keep between their guides, but for noise"
    assert all(link.from_socket.enabled for link in obj.modifiers[0].node_group.links), "locks curled at one rate"
    set_count(obj, "Curl Radius", 0.01)
    assert np.abs(roots_of(bpy, obj) - roots).max() < 0.001, "curls laid partings bare"


def test_hairs_of_the_hairline_are_shorter_and_finer(bpy, collection) -> None:
    """Else cords begin there, and the hairline looks drawn with a pen."""
    obj = strands(collection)
    set_count(obj, "Baby", 0.9)
    points, starts = drawn(bpy, obj), starts_of(bpy, obj)
    pieces = np.linalg.norm(np.diff(points, axis=0), axis=1)
    length = np.array([pieces[a : b - 1].sum() for a, b in pairwise(starts)])
    edge, radius = of_hairs(bpy, obj, "edge"), of_hairs(bpy, obj, "radius")[starts[:-1]]
    rim, inside = edge < 0.001, edge > 0.012
    assert rim.sum() > 20 and inside.sum() > 100
    assert length[rim].mean() < 0.8 * length[inside].mean() and radius[rim].mean() < 0.75 * radius[inside].mean()


def test_the_scalp_moves_with_the_skin_and_goes_with_the_hair(bpy, collection, result: HeadResult) -> None:
    obj, head = strands(collection), tags.part_object(collection, "head")
    scalp = obj[hair.SCALP_TAG]
    before = coordinates(scalp.data.vertices)
    moved = neutral_coordinates(head.data) + np.array([0, 0, 0.01], np.float32)
    head.data.shape_keys.reference_key.points.foreach_set("co", moved.ravel())
    hair.move_hair(collection, head)
    away = np.linalg.norm(coordinates(scalp.data.vertices) - before - np.float32([0, 0, 0.01]), axis=1)
    assert np.median(away) < 5e-4 and away.max() < 3e-3
    assert scalp.name not in bpy.context.scene.objects


def test_hair_follows_the_shape_keys(bpy, collection, result: HeadResult) -> None:
    obj, head = strands(collection), tags.part_object(collection, "head")
    before = drawn(bpy, obj)
    key = head.shape_key_add(name="taller", from_mix=False)
    lifted = coordinates(head.data.vertices) + np.array([0, 0, 0.02], np.float32)
    key.points.foreach_set("co", lifted.ravel())
    key.value = 1.0
    np.testing.assert_allclose(np.median(drawn(bpy, obj) - before, axis=0), [0, 0, 0.02], atol=1e-4)


def test_hair_turns_with_the_skull(bpy, collection, result: HeadResult) -> None:
    obj, head = strands(collection), tags.part_object(collection, "head")
    before = drawn(bpy, obj)
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    key = head.shape_key_add(name="turned", from_mix=False)
    key.points.foreach_set("co", (coordinates(head.data.vertices) @ turn.T).ravel())
    key.value = 1.0
    away = np.linalg.norm(drawn(bpy, obj) - before @ turn.T, axis=1)
    assert np.median(away) < 0.012 and np.percentile(away, 99) < 0.02


def test_hair_stays_where_it_is_without_its_head(bpy, collection, result: HeadResult) -> None:
    obj = strands(collection)
    before = drawn(bpy, obj)
    bpy.data.objects.remove(tags.part_object(collection, "head"))
    assert np.abs(drawn(bpy, obj) - before).max() < 0.005


def test_solving_again_renews_hair_that_nobody_touched(bpy, collection, result: HeadResult, photo_files) -> None:
    obj, head_id = strands(collection), collection[tags.HEAD_ID]
    set_count(obj, "Neighbours", 7.0)
    shorter = replace(result, hair=replace(result.hair, points=result.hair.points[:, :10].copy()))
    obj.data.materials[0].node_tree.nodes.remove(obj.data.materials[0].node_tree.nodes["Reflected"])  # as in 0.1.0
    bpy.data.objects.remove(obj[hair.SCALP_TAG])  # by a person, in the outliner
    import_head(shorter, bpy.context, photo_files, into=head_id)
    assert strands(collection) == obj and len(obj.data.points) == 10 * len(result.hair.points)
    assert obj.data.surface is not None and obj[hair.SCALP_TAG] is not None
    assert "Reflected" in obj.data.materials[0].node_tree.nodes
    (modifier,) = obj.modifiers
    kept = next(item for item in modifier.node_group.interface.items_tree if item.name == "Neighbours")
    own = getattr(modifier, "properties", None)
    value = modifier[kept.identifier] if own is None else getattr(own.inputs, kept.identifier).value
    assert value == 7, "what a person has set stays"
    assert len(bpy.data.hair_curves) == 1


def test_groomed_hair_stays_and_moves_with_the_skin(bpy, collection, result: HeadResult, photo_files) -> None:
    obj = strands(collection)
    obj.data.remove_curves(indices=list(range(len(result.hair.points) // 3)))
    groomed = points_of(obj.data)
    groomed[5::24] += 0.01
    obj.data.position_data.foreach_set("vector", groomed.ravel())
    assert hair.is_groomed(obj)
    move = np.array([0.003, 0.01, 0.0], np.float32)
    parts = tuple(replace(part, vertices=part.vertices + move) for part in result.parts)
    moved = replace(result, parts=parts, hair=replace(result.hair, points=result.hair.points + move))
    import_head(moved, bpy.context, photo_files, into=collection[tags.HEAD_ID])
    away = points_of(strands(collection).data) - groomed  # of as many points
    np.testing.assert_allclose(np.median(away, axis=0), to_blender(move), atol=2e-4)


def test_removed_hair_comes_back_when_it_is_solved_again(bpy, collection, result: HeadResult, photo_files) -> None:
    bpy.data.objects.remove(strands(collection))
    import_head(result, bpy.context, photo_files, into=collection[tags.HEAD_ID])
    assert strands(collection) is not None


def test_no_hair_wanted_removes_what_nobody_groomed(bpy, collection, result: HeadResult, photo_files) -> None:
    import_head(replace(result, hair=None), bpy.context, photo_files, into=collection[tags.HEAD_ID])
    assert strands(collection) is None and len(bpy.data.hair_curves) == 0


def test_a_removed_head_takes_its_hair_along(bpy, collection) -> None:
    tags.remove_head(collection[tags.HEAD_ID])
    assert len(bpy.data.hair_curves) == 0 and len(bpy.data.objects) == 0


@pytest.mark.parametrize("field, value", [
    ("hair_radius", 1.0), ("hair_radius", "thick"), ("parameters", {"top": None}),
    ("points", "albedo"),
])  # fmt: skip
def test_impossible_hair_is_refused(message: HeadMessage, field: str, value: object) -> None:
    header, buffers = message.copy()
    header["hair"][field] = value
    with pytest.raises(AddonError):
        decode_result(header, buffers)


@pytest.mark.parametrize("key", ["jawOpen", "browInnerUp", "browDownLeft"])
def test_beard_and_brows_stand_on_the_skin_that_keys_move(bpy, result: HeadResult, key: str) -> None:
    head = result.head
    opens = head.keys[head.key_names.index(key)]
    far = np.linalg.norm(opens, axis=1)
    chin = head.quads[(far > 0.8 * far.max())[head.quads].all(1)]
    quad = chin[np.argmax(head.vertices[chin].mean(1)[:, 2])]
    place = int(np.flatnonzero((head.quads == quad).all(1))[0])
    root, uv = head.vertices[quad].mean(0), head.uv[head.uv_quads[place]].mean(0)
    points, root_uv = result.hair.points.copy(), result.hair.root_uv.copy()
    points[-10:] = root + np.linspace(0, 0.02, points.shape[1])[:, None] * np.array([0.0, -1.0, 0.3])
    root_uv[-10:] = uv
    named = {**result.hair.parameters, "facial_guides": 10.0}
    scalp, first = result.hair.scalp, len(result.hair.scalp.vertices)
    scalp = replace(
        scalp,
        vertices=np.concatenate([scalp.vertices, head.vertices[quad]]),
        triangles=np.concatenate([scalp.triangles, first + np.array([[0, 1, 2], [0, 2, 3]], np.int32)]),
        uv=np.concatenate([scalp.uv, np.float32([[0, 0], [0.01, 0], [0.01, 0.01], [0, 0.01]])]),
        **{name: np.pad(getattr(scalp, name), (0, 4)) for name in ("top", "melanin")},
        density=np.append(0.1 * scalp.density, np.ones(4, np.float32)),  # all hairs of a head take fifteen seconds
        edge=np.append(scalp.edge, np.ones(4, np.float32)),
    )
    hair = replace(result.hair, points=points, root_uv=root_uv, scalp=scalp, parameters=named)
    bearded = replace(result, hair=hair)
    collection = import_head(bearded, bpy.context)
    obj, mesh = strands(collection), tags.part_object(collection, "head")
    set_count(obj, "Viewport", 1.0)
    rest = roots_of(bpy, obj)
    mesh.data.shape_keys.key_blocks[key].value = 1.0
    moved = roots_of(bpy, obj) - rest
    skin, places = to_blender(opens)[quad].mean(0), to_blender(head.vertices[quad]) - origin_of(mesh.data)
    on_quad = np.linalg.norm(rest - places.mean(0), axis=1) < 0.004
    np.testing.assert_allclose(moved[on_quad], np.tile(skin, (on_quad.sum(), 1)), atol=0.003)
    assert on_quad.sum() > 3 and np.linalg.norm(skin) > 0.003
    assert np.percentile(np.abs(moved[rest[:, 2] > places[:, 2].max() + 0.08]), 99) < 0.002


def test_guides_come_back_exactly_when_the_skin_does(bpy, collection, result: HeadResult) -> None:
    """Roots lie on a finer skin than the mesh: the first change of it put them up to 2.7 mm beside their places. Other
    hair stood where the skin had been."""
    obj, head, other = strands(collection), tags.part_object(collection, "head"), replace(result, only="hair")
    before, skin = points_of(obj.data), neutral_coordinates(head.data)
    for up in (0.004, 0.0):
        move_basis(head.data, (skin + np.float32([0, 0, up])) - neutral_coordinates(head.data))
        for change in (hair.move_hair, lambda *_: import_head(other, bpy.context, into=collection[tags.HEAD_ID])):
            change(collection, head)
            np.testing.assert_allclose(points_of(obj.data) - before, np.tile([0, 0, up], (len(before), 1)), atol=1e-5)
