"""A head in other programs looks as in Blender: what each file's materials say when it is imported again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scene_helpers import coordinates, image_pixels
from test_scene_export import imported

from blender_addon.protocol.names import ARKIT_NAMES
from blender_addon.protocol.result import HeadResult, ResultCards

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.export.presets import BY_NAME, PRESETS  # noqa: E402
from blender_addon.export.write import export_head  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.scene import importing  # noqa: E402

CARD_COLOUR = (0.2, 0.1, 0.05)


def with_cards(result: HeadResult) -> HeadResult:
    """The result with a card for each of its guides."""
    from head_message import png

    guide = result.hair.points[:, [0, -1]]
    side = np.array([0.004, 0, 0], np.float32)
    count = len(guide)
    uv = np.tile(np.array([[0, 1], [0.25, 1], [0, 0], [0.25, 0]], np.float32), (count, 1))
    quad = np.array([[0, 2, 1], [1, 2, 3]], np.int32)
    cards = ResultCards(
        vertices=np.stack([guide - side, guide + side], 2).reshape(-1, 3),
        normals=np.tile(np.array([[0, 0, 1]], np.float32), (4 * count, 1)),
        uv=uv,
        colours=np.tile(np.array(CARD_COLOUR, np.float32), (4 * count, 1)),
        triangles=np.concatenate([quad + 4 * number for number in range(count)]),
        strands_png=png((4, 4)),
        relief_png=png((4, 4)),
    )
    return replace(result, hair_cards=cards)


class Surface:
    """What a re-imported material says, by its Principled BSDF."""

    def __init__(self, material) -> None:
        self.shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")

    def value(self, name: str):
        assert not self.shader.inputs[name].is_linked, name
        return self.shader.inputs[name].default_value

    def image(self, name: str):
        """The first image upstream of an input; None if there is none."""
        waiting = [self.shader.inputs[name]]
        while waiting:
            for link in waiting.pop().links:
                if link.from_node.type == "TEX_IMAGE" and link.from_node.image is not None:
                    return link.from_node.image
                waiting += link.from_node.inputs
        return None

    @property
    def glows(self) -> bool:
        strength, colour = (self.shader.inputs[name] for name in ("Emission Strength", "Emission Color"))
        dark = not colour.is_linked and max(colour.default_value[:3]) == 0
        return strength.is_linked or (strength.default_value > 0 and not dark)


def uv_bounds(mesh) -> np.ndarray:
    """Least and largest UV of a mesh's only map."""
    (layer,) = mesh.uv_layers
    flat = np.empty(2 * len(mesh.loops), np.float32)
    layer.uv.foreach_get("vector", flat)
    return np.stack([flat.reshape(-1, 2).min(0), flat.reshape(-1, 2).max(0)])


def card_colour(obj, surface: Surface) -> np.ndarray:
    """(3,) linear light of the cards: their picture, times the colours of the vertices where the material uses them."""
    shown = np.median(image_pixels(surface.image("Base Color"))[..., :3], axis=(0, 1))
    linear = np.where(shown < 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    if surface.shader.inputs["Base Color"].links[0].from_node.type == "TEX_IMAGE":
        return linear
    colours = np.empty((len(obj.data.color_attributes[0].data), 4), np.float32)
    obj.data.color_attributes[0].data.foreach_get("color", colours.ravel())
    return linear * np.median(colours[:, :3], axis=0)


def world(obj) -> np.ndarray:
    """(V, 3) world coordinates."""
    matrix = np.array(obj.matrix_world)
    return coordinates(obj.data.vertices) @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_file_has_keys_bones_and_the_heads_surfaces(bpy, result: HeadResult, tmp_path: Path, preset) -> None:
    path = tmp_path / f"head{preset.suffix}"
    export_head(bpy.context, importing.import_head(with_cards(result), bpy.context), preset, path)
    parts = imported(bpy, path)
    assert {block.name for block in parts["head"].data.shape_keys.key_blocks} - {"Basis"} == set(ARKIT_NAMES)
    assert [obj.type for obj in bpy.data.objects].count("ARMATURE") == 1
    surface = {name: Surface(obj.data.materials[0]) for name, obj in parts.items()}
    assert not [name for name, one in surface.items() if one.glows]
    skin = surface["head"]
    assert skin.image("Base Color").size[0] == 256
    rough, relief = image_pixels(skin.image("Roughness")), image_pixels(skin.image("Normal"))
    assert np.ptp(rough[..., 1]) > 0.2 and 0.3 < np.median(rough[..., 1]) < 0.7  # moist lips, dry ears
    assert relief[..., 2].min() > 0.99 and np.ptp(relief[..., 0]) > 0.015 > 2 * np.ptp(relief[..., 1])  # waves across u
    if preset.one_mesh:
        return
    for part in ("cornea_left", "cornea_right", "tear_lines"):
        assert surface[part].value("Alpha") < 0.2 and surface[part].image("Base Color") is None
    assert image_pixels(surface["eye_left"].image("Base Color")).shape[1] == 128  # the eyes' own picture
    flesh = surface["caruncles"].value("Base Color")
    assert flesh[0] > 2 * flesh[1] > 0.1
    for part in ("lashes", "hair"):
        assert surface[part].image("Alpha") is not None
    assert surface["hair"].image("Normal") is not None
    assert len(parts["hair"].data.vertices) >= 4 * len(result.hair.points)
    strands = np.array([0.2158605, 0.2158605, 1.0])  # linear light of the cards' picture, sRGB (128, 128, 255)
    np.testing.assert_allclose(card_colour(parts["hair"], surface["hair"]), strands * CARD_COLOUR, atol=5e-3)
    for part, uv in (("lashes", result.lashes.places), ("eye_left", result.eyes.uv["eye_left"])):
        np.testing.assert_allclose(uv_bounds(parts[part].data), [uv.min(0), uv.max(0)], atol=1e-3)
    head, eye = (world(parts[part]) for part in ("head", "eye_left"))
    assert (head.min(0) < eye.min(0)).all() and (eye.max(0) < head.max(0)).all()


@pytest.mark.parametrize("name", ["UNREAL", "GLTF"])
def test_lower_hair_is_in_the_file_and_not_in_the_scene(bpy, result: HeadResult, tmp_path: Path, name: str) -> None:
    from head_message import png

    preset, dressed = BY_NAME[name], with_cards(result)
    strand_map = png((4, 4))
    dressed = replace(dressed, hair_cards=replace(dressed.hair_cards, strand_map_png=strand_map))
    collection = importing.import_head(dressed, bpy.context)
    cards, before = tags.hair_object(collection, "MESH"), len(bpy.data.meshes)
    whole = len(cards.data.polygons)
    small = np.mean([polygon.area for polygon in cards.data.polygons])
    path = tmp_path / f"Anna{preset.suffix}"
    export_head(bpy.context, collection, preset, path, hair_triangles=whole // 3)
    assert len(cards.data.polygons) == whole and len(bpy.data.meshes) == before
    assert (tmp_path / "Anna_hair_strand_map.png").read_bytes() == strand_map
    assert "Anna_hair_strand_map.png" in path.with_suffix(".txt").read_text()
    hair = imported(bpy, path)["hair"]
    assert 0 < len(hair.data.polygons) <= whole // 3
    surface = Surface(hair.data.materials[0])
    assert surface.image("Alpha") is not None and surface.image("Normal") is not None
    strands = np.array([0.2158605, 0.2158605, 1.0])
    np.testing.assert_allclose(card_colour(hair, surface), strands * CARD_COLOUR, atol=5e-3)
    np.testing.assert_allclose(uv_bounds(hair.data), [[0, 0], [0.25, 1]], atol=1e-3)
    weights = {len(vertex.groups) for vertex in hair.data.vertices}
    assert weights == {1}, "hair follows the skull's bone alone"
    assert np.mean([polygon.area for polygon in hair.data.polygons]) > small, "fewer cards are wider"


@pytest.mark.parametrize("name, lower", [("GLTF", False), ("UNREAL", True)])
def test_cards_of_a_beard_follow_the_jaw(bpy, result: HeadResult, tmp_path: Path, name: str, lower: bool) -> None:
    head = result.head
    opens = head.keys[head.key_names.index("jawOpen")]
    chin = int(np.linalg.norm(opens, axis=1).argmax())
    points = result.hair.points.copy()
    points[-10:] += head.vertices[chin] - points[-10:, :1]
    named = {**result.hair.parameters, "facial_guides": 10.0}
    bearded = with_cards(replace(result, hair=replace(result.hair, points=points, parameters=named)))
    collection = importing.import_head(bearded, bpy.context)
    cards, mesh = tags.hair_object(collection, "MESH"), tags.part_object(collection, "head")
    rest = coordinates(cards.data.vertices)
    mesh.data.shape_keys.key_blocks["jawOpen"].value = 1.0
    bpy.context.view_layer.update()
    moved = coordinates(cards.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices) - rest
    np.testing.assert_allclose(np.linalg.norm(moved[-40:], axis=1), np.linalg.norm(opens[chin]), rtol=0.1)
    assert np.abs(moved[:-40]).max() < 0.002
    path = tmp_path / f"Anna{BY_NAME[name].suffix}"
    whole = len(cards.data.polygons)
    export_head(bpy.context, collection, BY_NAME[name], path, hair_triangles=whole // 3 if lower else 0)
    hair = imported(bpy, path)["hair"]
    keys = hair.data.shape_keys.key_blocks
    moved = np.linalg.norm(coordinates(keys["jawOpen"].data) - coordinates(keys[0].data), axis=1)
    moved *= hair.matrix_world.to_scale()[0]
    np.testing.assert_allclose(moved.max(), np.linalg.norm(opens[chin]), rtol=0.1)
