"""A head in other programs looks as in Blender: what each file's materials say when it is imported again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blender_addon.shared.hair_cards import ALPHA_CUTOFF, card_atlas
from blender_addon.shared.names import ARKIT_NAMES
from blender_addon.shared.photo_folder import png_bytes
from scene_helpers import coordinates, image_pixels, import_head
from test_scene_export import COARSE, imported, places

from blender_addon.export.write import ExportSettings, export_head
from blender_addon.objects import tags
from blender_addon.objects.meshes import array_of, origin_of, to_head
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import hair as hair_of_scene


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
    uv = array_of(layer.uv, "vector", 2, np.float32)
    return np.stack([uv.min(0), uv.max(0)])


def card_colour(obj, surface: Surface) -> np.ndarray:
    """(3,) linear light of the cards where they are drawn: their picture, times the colours of the vertices where the
    material uses them."""
    texels = image_pixels(surface.image("Base Color")).reshape(-1, 4)
    shown = texels[texels[:, 3] >= ALPHA_CUTOFF][:, :3]
    linear = np.where(shown < 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4).mean(0)
    if surface.shader.inputs["Base Color"].links[0].from_node.type == "TEX_IMAGE":
        return linear
    return linear * np.median(array_of(obj.data.color_attributes[0].data, "color", 4, np.float32)[:, :3], axis=0)


def hair_colour(result: HeadResult) -> np.ndarray:
    """(3,) albedo of the hair, linear light, in the middle between root and tip."""
    return np.median(0.5 * (result.hair.root_colour + result.hair.tip_colour), axis=0)


@pytest.mark.parametrize("preset", COARSE.values(), ids=COARSE)
def test_a_file_has_keys_bones_and_the_heads_surfaces(bpy, result: HeadResult, tmp_path: Path, preset) -> None:
    path = tmp_path / f"head{preset.suffix}"
    export_head(bpy.context, import_head(result, bpy.context), preset, path)
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
    np.testing.assert_allclose(card_colour(parts["hair"], surface["hair"]), hair_colour(result), rtol=0.2)
    for part, uv in (("lashes", result.lashes.places), ("eye_left", result.eyes.uv["eye_left"])):
        np.testing.assert_allclose(uv_bounds(parts[part].data), [uv.min(0), uv.max(0)], atol=1e-3)
    head, eye = (places(parts[part], parts[part].data.vertices) for part in ("head", "eye_left"))
    assert (head.min(0) < eye.min(0)).all() and (eye.max(0) < head.max(0)).all()


@pytest.mark.parametrize("name", ["UNREAL", "GLTF"])
def test_lower_hair_is_in_the_file_with_its_strand_map(bpy, result: HeadResult, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"Anna{COARSE[name].suffix}"
    export_head(bpy.context, import_head(result, bpy.context), COARSE[name], path, ExportSettings(hair_triangles=1000))
    assert (tmp_path / "Anna_hair_strand_map.png").read_bytes() == png_bytes(card_atlas().strand_map)
    assert "Anna_hair_strand_map.png" in path.with_suffix(".txt").read_text()
    hair = imported(bpy, path)["hair"]
    assert 500 < len(hair.data.polygons) <= 1000
    surface = Surface(hair.data.materials[0])
    assert surface.image("Alpha") is not None and surface.image("Normal") is not None
    np.testing.assert_allclose(card_colour(hair, surface), hair_colour(result), rtol=0.2)
    assert {len(vertex.groups) for vertex in hair.data.vertices} == {1}, "hair follows the skull's bone alone"


@pytest.mark.parametrize("name", ["GLTF", "UNREAL"])
def test_cards_of_a_beard_follow_the_jaw(bpy, result: HeadResult, tmp_path: Path, name: str, monkeypatch) -> None:
    head = result.head
    opens = head.keys[head.key_names.index("jawOpen")]
    chin = int(np.linalg.norm(opens, axis=1).argmax())
    points = result.hair.points.copy()
    points[-10:] += head.vertices[chin] - points[-10:, :1]
    named = {**result.hair.parameters, "facial_guides": 10.0}
    bearded = replace(result, hair=replace(result.hair, points=points, parameters=named))
    collection = import_head(bearded, bpy.context)
    jaw = tags.part_object(collection, "head").data.shape_keys.key_blocks["jawOpen"]
    for bpy.context.scene.frame_end, jaw.value in ((1, 0.0), (3, 1.0)):  # each frame takes time
        jaw.keyframe_insert("value", frame=bpy.context.scene.frame_end)
    placed = points - to_head(origin_of(tags.part_object(collection, "head").data))
    colours = result.hair.root_colour, result.hair.tip_colour
    monkeypatch.setattr(hair_of_scene, "_hairs_at_rest", lambda *_: (placed, colours))  # the guides alone
    path = tmp_path / f"Anna{COARSE[name].suffix}"
    export_head(bpy.context, collection, COARSE[name], path, ExportSettings(hair_triangles=4000))
    hair = imported(bpy, path)["hair"]
    keys = hair.data.shape_keys.key_blocks
    assert hair.data.shape_keys.animation_data is not None, "the jaw opened and the beard stayed"
    moved = np.linalg.norm(coordinates(keys["jawOpen"].data) - coordinates(keys[0].data), axis=1)
    moved *= hair.matrix_world.to_scale()[0]
    np.testing.assert_allclose(moved.max(), np.linalg.norm(opens[chin]), rtol=0.1)
    assert (moved < 0.002).mean() > 0.5, "the scalp's hair stays"
