"""Make ARKit Keys: a Likeness head's 52 keys on meshes of other topologies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import addon_utils
import bpy
import numpy as np
import pytest
from mathutils import Matrix

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "scene")]
from blender_addon.shared.names import ARKIT_NAMES  # noqa: E402
from scene_helpers import coordinates, import_head, to_the_end  # noqa: E402
from transfer_rigs import select, undone_in_one_step, values_at  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.meshes import origin_of, to_blender  # noqa: E402

ROOT = HERE.parents[1]
SHARED = Path(os.environ.get("LIKENESS_SHARED", ROOT.parent / "shared"))
ICT = SHARED / "faces3d" / "ict_facekit.npz"
ICT_SKIN = 14_062
"""Its first vertices: face, head, neck, mouth and eye sockets; then teeth, eyeballs, lashes."""


@pytest.fixture
def head(result) -> Iterator:
    """A Likeness head in an empty file, the extension enabled."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert addon_utils.enable("blender_addon", default_set=True) is not None
    yield tags.part_object(import_head(result, bpy.context), "head")
    addon_utils.disable("blender_addon", default_set=True)


def mesh_object(name: str, vertices: np.ndarray, faces: np.ndarray):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices.tolist(), [], [tuple(dict.fromkeys(face)) for face in faces.tolist()])
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def motions(obj, name: str) -> np.ndarray:
    blocks = obj.data.shape_keys.key_blocks
    return coordinates(blocks[name].points).astype(float) - coordinates(blocks[0].points)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))


def own_keys(data) -> dict[str, np.ndarray]:
    """ICT-FaceKit's expressions under ARKit's names, (V, 3) in Blender's axes; halves are added up."""
    found: dict[str, np.ndarray] = {}
    for name, offsets in zip(data["expression_names"], data["expression"], strict=True):
        base, _, side = str(name).partition("_")
        arkit = base + {"L": "Left", "R": "Right", "": ""}[side]
        arkit = arkit if arkit in ARKIT_NAMES else base
        found[arkit] = found.get(arkit, 0.0) + to_blender(offsets.astype(np.float32)).astype(float)
    return found


@pytest.mark.skipif(not ICT.is_file(), reason="needs ict_facekit.npz in the folder shared beside the repository")
def test_an_ict_head_gets_keys_like_its_own(head) -> None:
    with np.load(ICT) as data:
        obj = mesh_object("ict", to_blender(data["neutral"]), data["faces"])
        truth = own_keys(data)
    obj.scale = (0.012, 0.012, 0.012)
    obj.location, obj.rotation_euler = (0.7, 0.2, 1.1), (0.0, 0.0, np.pi / 2 + 0.1)
    bpy.context.view_layer.update()
    select(bpy, head, obj)
    begun = time.process_time()
    assert bpy.ops.likeness.make_arkit_keys() == {"FINISHED"}
    seconds = time.process_time() - begun
    made = {block.name for block in obj.data.shape_keys.key_blocks[1:]}
    assert made == set(ARKIT_NAMES) and all(block.value == 0.0 for block in obj.data.shape_keys.key_blocks[1:])
    np.testing.assert_array_equal(coordinates(obj.data.shape_keys.key_blocks[0].points), coordinates(obj.data.vertices))
    skin, whole = {}, {}
    for name in sorted(truth):
        moved = motions(obj, name)
        skin[name] = cosine(moved[:ICT_SKIN], truth[name][:ICT_SKIN])
        whole[name] = cosine(moved, truth[name])
    print({name: round(c, 2) for name, c in skin.items()})
    means = np.mean(list(skin.values())), np.mean(list(whole.values()))
    print(f"{len(skin)} keys, skin {means[0]:.3f}, whole {means[1]:.3f}, {seconds:.1f} s")
    assert len(skin) == 51
    assert means[0] > 0.87 and min(skin.values()) > 0.5
    assert means[1] > 0.75  # with teeth and with eyeballs, which its own keys leave still
    for side, name in ((1, "mouthSmileLeft"), (-1, "mouthSmileRight")):
        weight = np.linalg.norm(motions(obj, name), axis=1)
        assert side * (weight * coordinates(obj.data.vertices)[:, 0]).sum() > 0


def bare(head, name: str):
    """A copy of the head's skin, or a part, without keys and without a hint of whose it is."""
    bpy.context.view_layer.update()
    obj = head.copy()
    obj.data = head.data.copy()
    obj.name, obj.parent = name, None
    for tag in (tags.PART, tags.HEAD_ID):
        del obj[tag]
    bpy.context.scene.collection.objects.link(obj)
    obj.shape_key_clear()
    obj.matrix_world = head.matrix_world
    if "hm08_vertex" in obj.data.attributes:
        obj.data.attributes.remove(obj.data.attributes["hm08_vertex"])
    return obj


def subdivided(head, name: str, turn: float = 0.0):
    """The bare skin with four times the faces, other vertices."""
    obj = bare(head, name)
    select(bpy, obj)
    bpy.ops.object.modifier_apply(modifier="Subdivision")
    obj.rotation_euler.z = turn
    bpy.context.view_layer.update()
    return obj


def likeness(head, dense, names: Iterable[str]) -> dict[str, float]:
    """Cosines of keys of the subdivided mesh against the head's own, each at the nearest of its vertices."""
    from blender_addon.transfer.registration import nearest

    found, _ = to_the_end(nearest(coordinates(dense.data.vertices), coordinates(head.data.vertices)))
    return {name: cosine(motions(dense, name), motions(head, name)[found]) for name in names}


def test_a_denser_copy_gets_the_same_motions_and_keeps_its_own_keys(head, capfd: pytest.CaptureFixture) -> None:
    dense = subdivided(head, "dense", turn=np.pi)
    dense.shape_key_add(name="Basis", from_mix=False)
    mine = dense.shape_key_add(name="jawOpen", from_mix=False)
    mine.value = 0.0
    mine.points[7].co.z += 0.1
    select(bpy, head, dense)
    bpy.ops.likeness.make_arkit_keys()
    assert "Made 51 keys on 1 mesh." in capfd.readouterr().out
    assert np.count_nonzero(np.abs(motions(dense, "jawOpen")).max(axis=1) > 1e-6) == 1
    names = sorted(set(ARKIT_NAMES) - {"jawOpen", "tongueOut"})  # on the skin the tongue hardly shows
    cosines = likeness(head, dense, names)
    print({name: round(c, 2) for name, c in cosines.items() if c < 0.95})
    assert np.mean(list(cosines.values())) > 0.95 and min(cosines.values()) > 0.8
    with pytest.raises(RuntimeError, match="has all these keys already"):
        bpy.ops.likeness.make_arkit_keys()
    bpy.ops.likeness.make_arkit_keys(replace=True)
    assert likeness(head, dense, ["jawOpen"])["jawOpen"] > 0.95
    head.data.shape_keys.key_blocks["mouthSmileLeft"].value = 0.6
    bpy.ops.likeness.transfer_to_selected()
    assert dense.data.shape_keys.key_blocks["mouthSmileLeft"].value == pytest.approx(0.6)


def test_keys_are_undone_in_one_step(head) -> None:
    select(bpy, head, bare(head, "bare"))

    def state() -> tuple[str, ...]:
        keys = bpy.data.objects["bare"].data.shape_keys
        return () if keys is None else tuple(block.name for block in keys.key_blocks)

    undone_in_one_step(bpy, bpy.ops.likeness.make_arkit_keys, state)
    assert len(state()) == 53


@pytest.mark.usefixtures("only_new_garbage")
def test_stopping_early_leaves_the_target_as_it_was(head) -> None:
    from blender_addon.operators.transfer_keys import _make

    dense = subdivided(head, "dense")
    names = ("jawOpen", "mouthSmileLeft", "cheekPuff")
    for until in (0.3, 0.6):
        steps = _make(head, [dense], None, names, False, [], [])
        slowest, begun = 0.0, time.thread_time()
        for done in steps:
            slowest, begun = max(slowest, time.thread_time() - begun), time.thread_time()
            if done > until:
                break
        steps.close()
        print(f"longest slice {slowest:.3f} s")
        assert dense.data.shape_keys is None
        assert slowest < 0.1  # of processor time: a window draws between


def test_marked_points_find_a_face_that_lies_on_its_back(head) -> None:
    dense = subdivided(head, "dense")
    dense.rotation_euler = (-1.9, 0.4, 2.5)
    dense.location = (3.0, -1.0, 0.5)
    bpy.context.view_layer.update()
    rest = coordinates(head.data.vertices) + origin_of(head.data)
    places = {"nose": (0.0, -0.17, 0.69), "left": (0.046, -0.117, 0.729), "right": (-0.046, -0.117, 0.729)}
    places["chin"] = (0.0, -0.14, 0.61)
    for obj in (head, dense):
        select(bpy, obj)
        for name, place in places.items():
            vertex = int(np.linalg.norm(rest - place, axis=1).argmin())
            bpy.context.scene.cursor.location = obj.matrix_world @ head.data.vertices[vertex].co
            assert bpy.ops.likeness.mark_point(name=name) == {"FINISHED"}
    bpy.context.view_layer.update()
    select(bpy, head, dense)
    bpy.ops.likeness.make_arkit_keys()
    cosines = likeness(head, dense, ["jawOpen", "browInnerUp"])
    assert min(cosines.values()) > 0.9, cosines
    bpy.ops.likeness.clear_points()
    assert not [child for child in head.children if child.type == "EMPTY"]


@pytest.mark.parametrize("degrees", [45.0, -100.0])
def test_a_copy_that_looks_aside_gets_the_very_keys(head, degrees: float) -> None:
    copy = bare(head, "copy")
    copy.rotation_euler.z = np.radians(degrees)
    bpy.context.view_layer.update()
    select(bpy, head, copy)
    bpy.ops.likeness.make_arkit_keys()
    for name in sorted(set(ARKIT_NAMES) - {"tongueOut"}):
        own, made = motions(head, name), motions(copy, name)
        assert cosine(own, made) > 0.99 and 0.99 < np.linalg.norm(made) / np.linalg.norm(own) < 1.01, name


def test_a_figure_on_its_back_whose_normals_are_flipped(head, capfd: pytest.CaptureFixture) -> None:
    copy = bare(head, "copy")
    copy.data.flip_normals()
    copy.rotation_euler = (-np.pi / 2, 0.2, 0.7)
    bpy.context.view_layer.update()
    select(bpy, head, copy)
    bpy.ops.likeness.make_arkit_keys()
    assert "The faces of copy point inwards" in capfd.readouterr().out
    assert cosine(motions(head, "jawOpen"), motions(copy, "jawOpen")) > 0.99


def test_parts_that_are_objects_of_their_own_follow_the_face(head, capfd: pytest.CaptureFixture) -> None:
    parts = {str(o[tags.PART]): o for o in head.children if o.type == "MESH" and tags.PART in o}
    names = ("lashes", "teeth_lower", "tongue", "eye_left")
    copies = {name: bare(parts[name], f"copy of {name}") for name in names}
    face, far = bare(head, "face"), mesh_object("far", *cylinder(20, 30))
    top = coordinates(head.data.vertices).max(axis=0)
    far.location = (0.0, 0.0, head.matrix_world.translation.z + top[2] - 0.05)
    bpy.context.view_layer.update()
    select(bpy, head, face, far, *copies.values())
    bpy.ops.likeness.make_arkit_keys()
    said = capfd.readouterr().out
    assert "Made 260 keys on 5 meshes." in said and "The face does not move far" in said
    for part, key in zip(names, ("eyeBlinkLeft", "jawOpen", "tongueOut", "eyeLookUpLeft"), strict=True):
        own = motions(parts[part], key)
        made = motions(copies[part], key)
        assert cosine(own, made) > 0.9, (part, cosine(own, made))
        assert 0.85 < np.linalg.norm(made) / np.linalg.norm(own) < 1.15, part


def test_a_take_drives_a_foreign_rig_with_lashes_of_its_own_undone_in_one_step(head, tmp_path: Path) -> None:
    """A Likeness head gives a stranger keys and a take; what is locked or muted there stays so."""
    lashes = next(o for o in head.children if o.get(tags.PART) == "lashes")
    face, own = bare(head, "face"), bare(lashes, "own lashes")
    select(bpy, head, face, own)
    bpy.ops.likeness.make_arkit_keys()
    rows = "".join(f"10:00:00:{i:02}.000,61,{i / 30},{1 - i / 30},0.5\n" for i in range(30))
    (tmp_path / "take.csv").write_text("Timecode,BlendShapeCount,EyeBlinkLeft,JawOpen,CheekPuff\n" + rows)
    bpy.context.scene.render.fps = 30
    select(bpy, head)
    bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / "take.csv"))
    face.data.shape_keys.key_blocks["jawOpen"].lock_shape = True
    head.data.shape_keys.key_blocks["cheekPuff"].mute = True
    bpy.context.scene.likeness_transfer.source = head
    select(bpy, face, own)

    def state() -> list[float]:
        objects = [bpy.data.objects[name] for name in ("face", "own lashes")]
        keys = ("eyeBlinkLeft", "jawOpen", "cheekPuff")
        return [round(value, 3) for o in objects for key in keys for value in values_at(bpy, o, key, [16])]

    undone_in_one_step(bpy, bpy.ops.likeness.transfer_to_selected, state)
    assert state() == [0.5, 0.0, 0.0, 0.5, 0.5, 0.0]


def test_vertex_groups_of_keys_and_mirrors_are_seen(head) -> None:
    copy = bare(head, "copy")
    x = coordinates(head.data.vertices)[:, 0]
    group = head.vertex_groups.new(name="left")
    group.add(np.flatnonzero(x > 0).tolist(), 1.0, "REPLACE")
    head.data.shape_keys.key_blocks["jawOpen"].vertex_group = "left"
    copy.modifiers.new("Mirror", "MIRROR")
    select(bpy, head, copy)
    with pytest.raises(RuntimeError, match=r"half a face; its modifier Mirror .* Apply that modifier first"):
        bpy.ops.likeness.make_arkit_keys()
    copy.modifiers.clear()
    bpy.ops.likeness.make_arkit_keys()
    made = np.linalg.norm(motions(copy, "jawOpen"), axis=1)
    assert made[x < -0.003].max() < 0.05 * made[x > 0.003].max()


def test_what_is_no_face_is_refused_and_left_alone(head) -> None:
    tube, few = mesh_object("tube", *cylinder(40, 60)), mesh_object("few", np.eye(3), np.array([[0, 1, 2]]))
    lying = bare(head, "lying")  # no axis says so: a fit onto its cheek or its neck once made 52 keys
    lying.data.transform(Matrix.Rotation(np.pi / 2, 4, "Y"))
    for obj in (tube, few, lying):
        select(bpy, head, obj)
        with pytest.raises(RuntimeError, match="no face"):
            bpy.ops.likeness.make_arkit_keys()
        assert obj.data.shape_keys is None


def cylinder(around: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    angle = np.arange(around) * 2 * np.pi / around
    ring = np.stack([0.1 * np.cos(angle), 0.1 * np.sin(angle)], -1)
    vertices = np.concatenate([np.column_stack([ring, np.full(around, 0.005 * z)]) for z in range(high)])
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(around), np.arange(high - 1)))
    k = (i + 1) % around
    return vertices, np.stack([i + around * j, k + around * j, k + around * (j + 1), i + around * (j + 1)], -1)
