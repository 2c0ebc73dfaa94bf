"""Apply to MPFB body: write a head's shape and expressions into a whole body with MakeHuman's ``hm08`` mesh."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils.kdtree import KDTree

from ..errors import AddonError
from ..protocol.names import ARKIT_NAMES, PART_NAMES
from . import tags
from .body_fit import LARGEST_MISFIT, NECK_WEIGHT, REST_WEIGHT, Placement, place, seam_weights
from .body_skin import bake, skin_sources, write_skin
from .coordinates import coordinates, neutral_coordinates, origin_of
from .meshes import HM08_VERTEX
from .which_mesh import active_mesh, part_on

SKIN_VERTICES, ALL_VERTICES = 13_380, 19_158
"""Vertex counts of a body without and with MakeHuman's helper geometry. The skin comes first."""
KEY_NAME, MACRO = "Likeness", "$md"
"""Name of our shape key for the head's shape, and prefix of MPFB's own keys."""
WAIT_SECONDS = 0.01
"""Pause between polls of the baking thread; shorter than a frame of the window."""
NEAREST = 4
"""Number of skin vertices that carry a helper vertex."""


@dataclass(frozen=True)
class _Shape:
    """Vertices of a head part by body vertex index: rest positions (N, 3) and offsets of the keys (N, 3)."""

    numbers: np.ndarray
    rest: np.ndarray
    keys: Mapping[str, np.ndarray]


def body_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """The selected MakeHuman body, the active one first; None if there is none."""
    for obj in [context.active_object, *context.selected_objects]:
        if (
            obj is not None
            and obj.type == "MESH"
            and tags.PART not in obj
            and len(obj.data.vertices) in (SKIN_VERTICES, ALL_VERTICES)
        ):
            return obj
    return None


def unavailable_reason(context: bpy.types.Context) -> str:
    """Why ``apply`` cannot be called now, as a sentence for a button; "" if it can."""
    if context.mode != "OBJECT":
        return "Switch to Object Mode"
    if not tags.heads_in(context.scene):
        return "There is no head in the scene. Reconstruct one first"
    if tags.active_head(context) is None:
        return "Several heads are in the scene. Select the one to apply together with the body"
    return "" if body_of(context) is not None else "No MakeHuman body is selected. Select the body's mesh"


def apply(context: bpy.types.Context) -> str:
    """Write the active head into the selected body; return a sentence on what was done.

    Raises ``AddonError`` if there is no head or no body, or the body's vertex order differs.
    """
    steps = apply_steps(context)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def apply_steps(context: bpy.types.Context) -> Generator[float, None, str]:
    """``apply`` in steps: yields the fraction done while a thread bakes the skin. The body is changed only after the
    last yield, so closing it early leaves the body as it was."""
    body, collection = body_of(context), tags.active_head(context)
    if collection is None:
        raise AddonError("There is no head to apply.", "Select one object of the head together with the body.")
    if body is None:
        raise AddonError(
            "No MakeHuman body is selected.",
            f"Select a mesh with MPFB's {ALL_VERTICES:,} vertices, or its {SKIN_VERTICES:,} without helpers.",
        )
    head = active_mesh(context, collection) or tags.part_object(collection, "head")
    weights = _fitted(head, body).weights
    yield 0.05
    sources = skin_sources(collection, head, body, weights)
    names, head_id = (body.name, head.name), collection[tags.HEAD_ID]
    baked = None
    if not isinstance(sources, str):
        done = [0.0]
        with _thread() as threads:
            baking = threads.submit(bake, sources, lambda share: done.__setitem__(0, share))
            while not baking.done():
                time.sleep(WAIT_SECONDS)
                yield 0.1 + 0.8 * done[0]
        baked = baking.result()
    body, head = (bpy.data.objects.get(name) for name in names)
    collection = next((one for one in tags.heads_in(context.scene) if one[tags.HEAD_ID] == head_id), None)
    if body is None or head is None or collection is None:
        raise AddonError("The body or the head is not in the scene any more.", "Undo its removal, and apply it again.")
    apply_head(collection, body, head)
    said = sources if baked is None else write_skin(collection, body, baked)
    return f"{body.name} has the head's shape as the shape key {KEY_NAME}, and its 52 expressions. {said}"


@contextmanager
def _thread() -> Iterator[ThreadPoolExecutor]:
    """A worker thread that is not waited for if the work is given up."""
    threads = ThreadPoolExecutor(1)
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def apply_head(
    collection: bpy.types.Collection, body: bpy.types.Object, head: bpy.types.Object | None = None
) -> Placement:
    """Write a head into ``body``: its shape as the shape key ``Likeness`` at 1, its 52 expressions as keys at 0.

    ``head`` is its mesh or a copy of it; None is its own mesh.

    The head keeps its size in metres; the neck blends from the body's into the head's over a few centimetres. The
    body's own shape keys stay; the new key is the difference to their current sum. Eyes, teeth, tongue and lashes among
    the helpers also take the head's shape; all other helpers follow the skin around them. Applying again replaces the
    keys.
    """
    head = head or tags.part_object(collection, "head")
    before = body.data.shape_keys.key_blocks.get(KEY_NAME) if body.data.shape_keys else None
    if before is not None and body.data.library is None:
        body.shape_key_remove(before)
    fitted = _fitted(head, body)
    skin, weights, placement, basis, now = fitted.skin, fitted.weights, fitted.placement, fitted.basis, fitted.now
    offsets = np.zeros_like(now)
    offsets[skin.numbers] = weights[:, None] * (placement.points(skin.rest) - now[skin.numbers])
    expressions = {name: np.zeros_like(now) for name in skin.keys}
    for name, moves in skin.keys.items():
        expressions[name][skin.numbers] = weights[:, None] * placement.offsets(moves)
    own = [skin.numbers]
    for part in PART_NAMES[1:]:
        obj = part_on(collection, head, part)
        shape = None if obj is None else _shape_of(obj, len(basis))
        if shape is None or not len(shape.numbers):
            continue
        own.append(shape.numbers)
        offsets[shape.numbers] = placement.points(shape.rest) - now[shape.numbers]
        for name, moves in shape.keys.items():
            expressions[name][shape.numbers] = placement.offsets(moves)
    _carry_helpers(now, np.concatenate(own), [offsets, *expressions.values()])
    _write_keys(body, basis, offsets, expressions)
    return placement


@dataclass(frozen=True)
class _Fitted:
    """A head aligned to a body: its skin, (V_skin,) blend weights, its placement, and the body's (V, 3) basis and
    current shape."""

    skin: _Shape
    weights: np.ndarray
    placement: Placement
    basis: np.ndarray
    now: np.ndarray


def _fitted(head: bpy.types.Object | None, body: bpy.types.Object) -> _Fitted:
    """Align the head to the body. Raises ``AddonError`` as ``apply`` does."""
    if head is None:
        raise AddonError("The head's mesh is not in the file any more.", "Undo its removal, or reconstruct again.")
    if body.data.library is not None:
        raise AddonError(f"{body.name} is linked from another file.", "Make it local first.", "linked")
    basis, now = _body_shape(body)
    skin = _shape_of(head, len(basis))
    if skin is None:
        raise AddonError(
            "The head's mesh has lost the attribute hm08_vertex.", "Undo what removed it, or reconstruct again."
        )
    weights = _seam(head.data, skin)
    placement = place(skin.rest, now[skin.numbers], np.where(weights < 1, NECK_WEIGHT, REST_WEIGHT))
    if placement.misfit > LARGEST_MISFIT:
        raise AddonError(
            f"{body.name} has as many vertices as a MakeHuman body, but in another order or shape.",
            "Select a body that MPFB made, without edits to its faces.",
        )
    return _Fitted(skin, weights, placement, basis, now)


def _body_shape(body: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) the body's basis, and its current shape without the 52 expressions."""
    basis = now = neutral_coordinates(body.data)
    if body.data.shape_keys is not None:
        expressions = [block for block in body.data.shape_keys.key_blocks if block.name in ARKIT_NAMES]
        were_mute = [block.mute for block in expressions]
        for block in expressions:
            block.mute = True
        mixed = body.shape_key_add(name=KEY_NAME, from_mix=True)
        now = coordinates(mixed.points)
        body.shape_key_remove(mixed)
        for block, was_mute in zip(expressions, were_mute, strict=True):
            block.mute = was_mute
    return basis.astype(np.float64), now.astype(np.float64)


def _shape_of(obj: bpy.types.Object, body_vertices: int) -> _Shape | None:
    """A part's vertices that exist in the body; None without the attribute ``hm08_vertex``."""
    attribute = obj.data.attributes.get(HM08_VERTEX)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type != "INT":
        return None
    count = len(obj.data.vertices)
    numbers = np.empty(count, np.int32)
    attribute.data.foreach_get("value", numbers)
    here = (numbers >= 0) & (numbers < body_vertices)
    blocks = obj.data.shape_keys.key_blocks if obj.data.shape_keys else ()
    rest = neutral_coordinates(obj.data)
    keys = {}
    for block in blocks:
        if block.name in ARKIT_NAMES:
            keys[block.name] = (coordinates(block.points) - rest)[here].astype(np.float64)
    return _Shape(numbers[here], (rest + origin_of(obj.data))[here].astype(np.float64), keys)


def _seam(mesh: bpy.types.Mesh, skin: _Shape) -> np.ndarray:
    """Blend weights of the head's vertices at the cut through the neck."""
    edges = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", edges)
    corner_edges = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("edge_index", corner_edges)
    edges = edges.reshape(-1, 2)
    border = edges[np.bincount(corner_edges, minlength=len(edges)) == 1]
    if len(skin.numbers) != len(mesh.vertices) or not len(border):
        raise AddonError("The head's mesh was edited too much to fit a body.", "Reconstruct again.")
    return seam_weights(skin.rest, edges, border)


def _carry_helpers(body: np.ndarray, own: np.ndarray, fields: list[np.ndarray]) -> None:
    """Interpolate ``fields`` (V, 3) at helpers that belong to no part, from the nearest skin vertices."""
    free = np.ones(len(body), bool)
    free[:SKIN_VERTICES] = False
    free[own] = False
    helpers = np.flatnonzero(free)
    if not len(helpers):
        return
    tree = KDTree(SKIN_VERTICES)
    for number, point in enumerate(body[:SKIN_VERTICES].tolist()):
        tree.insert(point, number)
    tree.balance()
    nearest = np.empty((len(helpers), NEAREST), int)
    shares = np.empty((len(helpers), NEAREST))
    for row, point in enumerate(body[helpers].tolist()):
        found = tree.find_n(point, NEAREST)
        nearest[row] = [number for _, number, _ in found]
        shares[row] = [1.0 / max(distance, 1e-9) for _, _, distance in found]
    shares /= shares.sum(axis=1, keepdims=True)
    for field in fields:
        field[helpers] = (shares[:, :, None] * field[nearest]).sum(axis=1)


def _write_keys(
    body: bpy.types.Object, basis: np.ndarray, offsets: np.ndarray, expressions: Mapping[str, np.ndarray]
) -> None:
    if body.data.shape_keys is None:
        body.shape_key_add(name="Basis", from_mix=False)
    blocks = body.data.shape_keys.key_blocks
    for name, moves, value in [(KEY_NAME, offsets, 1.0), *((name, moves, 0.0) for name, moves in expressions.items())]:
        block = blocks.get(name) or body.shape_key_add(name=name, from_mix=False)
        block.points.foreach_set("co", (basis + moves).astype(np.float32).ravel())
        block.value = value
    body.data.update()
