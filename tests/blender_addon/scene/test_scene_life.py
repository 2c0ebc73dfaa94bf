"""What becomes of a head afterwards: undo, saving, solving again, exporting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from head_message import HeadMessage
from scene_helpers import coordinates, counts, evaluated, import_head, local

from blender_addon.client.submissions import PhotoFile
from blender_addon.errors import AddonError
from blender_addon.objects import tags
from blender_addon.objects.meshes import to_blender
from blender_addon.protocol.result import HeadResult
from blender_addon.scene.own_head import missing_photos, own_id, stored_photos


@pytest.fixture
def second_result(result: HeadResult) -> HeadResult:
    """The head a tenth larger with half of every expression, without its first photo."""
    parts = tuple(replace(part, vertices=part.vertices * 1.1, keys=part.keys * 0.5) for part in result.parts)
    return replace(result, parts=parts, photos=result.photos[1:])


def test_an_import_is_undone_and_redone_in_one_step(bpy, result: HeadResult, photo_files) -> None:
    bpy.ops.ed.undo_push(message="before")
    import_head(result, bpy.context, photo_files)
    bpy.ops.ed.undo_push(message="Reconstruct Face")
    full = counts(bpy)
    bpy.ops.ed.undo()
    assert sum(counts(bpy).values()) == 0
    bpy.ops.ed.redo()
    assert counts(bpy) == full
    (collection,) = tags.head_collections()
    tags.part_object(collection, "head").data.shape_keys.key_blocks["jawOpen"].value = 1
    bpy.context.view_layer.update()
    assert tags.part_object(collection, "teeth_lower").data.shape_keys.key_blocks["jawOpen"].value == 1
    assert bytes(collection[tags.ALBEDO].packed_file.data) == result.albedo_png


def test_solving_again_is_undone_in_one_step(bpy, collection, result: HeadResult, second_result: HeadResult) -> None:
    bpy.ops.ed.undo_push(message="before")
    import_head(second_result, bpy.context, into=collection[tags.HEAD_ID])
    bpy.ops.ed.undo_push(message="Solve Again")
    bpy.ops.ed.undo()
    (collection,) = tags.head_collections()
    head = tags.part_object(collection, "head")
    np.testing.assert_allclose(coordinates(head.data.vertices), local(result.head, head), atol=1e-6)
    assert len(tags.camera_objects(collection)) == 4


def test_a_saved_file_holds_everything(
    bpy, collection, result: HeadResult, message: HeadMessage, tmp_path: Path
) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "head.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "head.blend"))
    (collection,) = tags.head_collections()
    head, teeth = tags.part_object(collection, "head"), tags.part_object(collection, "teeth_lower")
    assert [block.name for block in head.data.shape_keys.key_blocks[1:]] == list(result.head.key_names)
    before = evaluated(bpy, teeth)
    head.data.shape_keys.key_blocks["jawOpen"].value = 1
    assert evaluated(bpy, teeth)[:, 2].mean() < before[:, 2].mean() - 0.005
    assert bytes(collection[tags.ALBEDO].packed_file.data) == result.albedo_png
    assert {photo.label: photo.data for photo in stored_photos(collection)} == message.photos
    camera = tags.cameras_by_photo(collection)["square.jpg"]
    assert camera[tags.EXPRESSION]["mouthSmileLeft"] == pytest.approx(0.6)
    assert json.loads(collection[tags.REPORT])["versions"] == {"likeness": "0.1.0"}


def test_solving_again_keeps_what_the_artist_made(bpy, collection, second_result: HeadResult, photo_files) -> None:
    head = tags.part_object(collection, "head")
    head.name, collection.name = "Grandma", "Family"
    own_material = bpy.data.materials.new("Clay")
    head.data.materials[0] = own_material
    head.modifiers.new("Mine", "SMOOTH")
    group = head.vertex_groups.new(name="nose")
    group.add([1, 2, 3], 1.0, "REPLACE")
    own_key = head.shape_key_add(name="mine", from_mix=False)
    rest = coordinates(head.data.vertices)
    own_key.points.foreach_set("co", (rest + np.float32([0, 0, 0.01])).ravel())
    smile = head.data.shape_keys.key_blocks["mouthSmileLeft"]
    smile.value = 0.25
    smile.keyframe_insert("value", frame=1)
    before, identity = counts(bpy), (head.as_pointer(), head.data.as_pointer(), collection[tags.ALBEDO].as_pointer())

    again = import_head(second_result, bpy.context, photo_files, into=collection[tags.HEAD_ID])

    assert again == collection and again.name == "Family"
    head = tags.part_object(again, "head")
    assert (head.as_pointer(), head.data.as_pointer(), again[tags.ALBEDO].as_pointer()) == identity
    assert head.name == "Grandma" and head.data.materials[0] == own_material
    assert [m.name for m in head.modifiers if m.type != "ARMATURE"] == ["Subdivision", "Mine"]
    assert [vertex.groups[0].weight for vertex in head.data.vertices[1:4]] == [1.0] * 3
    new_rest = local(second_result.head, head)
    blocks = head.data.shape_keys.key_blocks
    np.testing.assert_allclose(coordinates(head.data.vertices), new_rest, atol=1e-6)
    np.testing.assert_allclose(coordinates(blocks["Basis"].points), new_rest, atol=1e-6)
    np.testing.assert_allclose(
        coordinates(blocks["mine"].points) - new_rest, np.tile([0, 0, 0.01], (4200, 1)), atol=1e-6
    )
    jaw = second_result.head.keys[second_result.head.key_names.index("jawOpen")]
    np.testing.assert_allclose(coordinates(blocks["jawOpen"].points) - new_rest, to_blender(jaw), atol=1e-6)
    assert blocks["mouthSmileLeft"].value == 0.25 and head.data.shape_keys.animation_data.action is not None
    assert [camera[tags.PHOTO] for camera in tags.camera_objects(again)] == [
        "landscape äö.jpg",
        "crop.jpg",
        "square.jpg",
    ]
    assert [photo["used"] for photo in again[tags.PHOTOS]] == [False, True, True, True, False]
    after = counts(bpy)
    assert after == {**before, "objects": before["objects"] - 1, "cameras": before["cameras"] - 1}


def test_solving_again_a_head_whose_faces_were_edited(bpy, collection, head, second_result: HeadResult) -> None:
    import bmesh

    material = head.data.materials[0]
    edit = bmesh.new()
    edit.from_mesh(head.data)
    edit.verts.ensure_lookup_table()
    bmesh.ops.delete(edit, geom=edit.verts[:5], context="VERTS")
    edit.to_mesh(head.data)
    edit.free()
    bpy.data.objects.remove(tags.part_object(collection, "tongue"))
    import_head(second_result, bpy.context, into=collection[tags.HEAD_ID])
    assert tags.part_object(collection, "head") == head and len(head.data.vertices) == 4200
    assert list(head.data.materials) == [material]
    assert tags.part_object(collection, "tongue").parent == head  # a part that was deleted is there again
    head.data.shape_keys.key_blocks["jawOpen"].value = 1
    bpy.context.view_layer.update()
    for part in ("teeth_lower", "tongue"):
        assert tags.part_object(collection, part).data.shape_keys.key_blocks["jawOpen"].value == 1


def test_a_new_photo_joins_the_head(bpy, collection, result: HeadResult, photo_files, message: HeadMessage) -> None:
    added = replace(result.photos[0], name="fifth.jpg")
    files = [*photo_files, PhotoFile("fifth.jpg", None, message.photos["portrait.jpg"] + b"\0")]
    grown = replace(result, photos=(*result.photos, added))
    import_head(grown, bpy.context, files, into=collection[tags.HEAD_ID])
    assert len(tags.camera_objects(collection)) == 5
    assert [photo.label for photo in stored_photos(collection)] == [*message.photos, "fifth.jpg"]


def test_a_linked_head_is_not_touched(bpy, collection, result: HeadResult, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (source, target):
        target.collections = [name for name in source.collections if name == "Likeness"]
    (linked,) = tags.head_collections()
    with pytest.raises(AddonError, match="linked"):
        import_head(result, bpy.context, into=linked[tags.HEAD_ID])


def test_photos_by_path_stay_outside_of_the_file(bpy, result: HeadResult, message: HeadMessage, tmp_path: Path) -> None:
    files = []
    for name, data in message.photos.items():
        (tmp_path / name).write_bytes(data)
        files.append(PhotoFile(name, tmp_path / name))
    collection = import_head(result, bpy.context, files, pack_photos=False)
    assert all(group["image"].packed_file is None for group in collection[tags.PHOTOS])
    assert {photo.label: photo.data for photo in stored_photos(collection)} == message.photos
    (tmp_path / "square.jpg").unlink()
    assert len(stored_photos(collection)) == len(message.photos) - 1


def test_a_photo_whose_file_is_gone_for_now_is_not_forgotten(bpy, result: HeadResult, tmp_path: Path) -> None:
    """As of a drive that is not connected when the head is solved again."""
    files = [PhotoFile(photo.name, tmp_path / photo.name) for photo in result.photos]
    for file in files:
        file.path.write_bytes(b"\xff\xd8" + file.label.encode())
    report = {"photos": [{"name": photo.name, "used": True} for photo in result.photos[1:]]}
    collection = import_head(result, bpy.context, files, pack_photos=False)
    (tmp_path / "portrait.jpg").rename(tmp_path / "away.jpg")
    stored = stored_photos(collection)
    assert missing_photos(collection, stored) == 1
    fewer = replace(result, photos=result.photos[1:], report=report)
    import_head(fewer, bpy.context, stored, into=collection[tags.HEAD_ID])
    said = {group["name"]: (group["used"], group["reason"]) for group in collection[tags.PHOTOS]}
    assert said["portrait.jpg"] == (False, "Its file was not there.") and said["square.jpg"] == (True, "")
    (tmp_path / "away.jpg").rename(tmp_path / "portrait.jpg")
    assert missing_photos(collection, stored_photos(collection)) == 0
    bpy.data.images.remove(collection[tags.PHOTOS][3]["image"])  # this is how one takes a photo away
    stored = stored_photos(collection)
    import_head(fewer, bpy.context, stored, into=collection[tags.HEAD_ID])
    assert missing_photos(collection, stored) == 0


def again(bpy, collection, result: HeadResult) -> None:
    import_head(result, bpy.context, into=collection[tags.HEAD_ID])


def test_what_hung_on_a_head_that_was_deleted_hangs_on_the_new_one(bpy, collection, result: HeadResult) -> None:
    bpy.data.objects.remove(tags.part_object(collection, "head"))
    stand = bpy.data.objects.new("stand", None)
    tags.part_object(collection, "tongue").parent = stand  # by the artist
    again(bpy, collection, result)
    head = tags.part_object(collection, "head")
    parents = {obj.name: obj.parent for obj in collection.all_objects if obj != head and tags.RIG not in obj}
    assert parents.pop("tongue") == stand and set(parents.values()) == {head} and len(parents) == 14
    assert tags.hair_object(collection).data.surface == head
    tags.cameras_collection(collection).hide_viewport = False  # Blender does not place what is hidden
    bpy.context.view_layer.update()
    camera = tags.cameras_by_photo(collection)["square.jpg"]
    before, head.location.x = camera.matrix_world.translation.x, 1.0
    bpy.context.view_layer.update()
    assert camera.matrix_world.translation.x == pytest.approx(before + 1.0)


def test_an_albedo_that_was_deleted_is_behind_the_materials_again(bpy, collection, result: HeadResult) -> None:
    bpy.data.images.remove(collection[tags.ALBEDO])
    bpy.data.images.remove(collection[tags.LASHES])
    bpy.data.images.remove(next(image for image in bpy.data.images if image.get(tags.RELIEF) == "Relief"))
    again(bpy, collection, result)
    for part, tag in (("head", tags.ALBEDO), ("tongue", tags.ALBEDO), ("lashes", tags.LASHES)):
        nodes = tags.part_object(collection, part).data.materials[0].node_tree.nodes
        images = [node.image for node in nodes if node.type == "TEX_IMAGE"]
        assert [one for one in images if tags.RELIEF not in one and "typical" not in one.name] == [collection[tag]]
        assert len({image.get(tags.RELIEF) for image in images}) == (5 if part == "head" else 1)


def test_materials_that_were_deleted_are_there_again(bpy, collection, result: HeadResult) -> None:
    own = bpy.data.materials.new("Clay")
    for material in [material for material in bpy.data.materials if material != own]:
        bpy.data.materials.remove(material)
    tongue = tags.part_object(collection, "tongue")
    tongue.material_slots[0].link = "OBJECT"
    tongue.material_slots[0].material = own
    again(bpy, collection, result)
    assert tags.part_object(collection, "head").data.materials[0][tags.HEAD_ID] == collection[tags.HEAD_ID]
    assert tongue.material_slots[0].material == own


def test_an_overridden_head_is_not_touched(bpy, collection, tmp_path: Path) -> None:
    """What was written into its linked meshes would be lost with the next opening of the file."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (source, target):
        target.collections = [name for name in source.collections if name == "Likeness"]
    (linked,) = target.collections
    bpy.context.scene.collection.children.link(linked)
    own = linked.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    assert own.library is None
    with pytest.raises(AddonError, match="linked"):
        own_id(own)
