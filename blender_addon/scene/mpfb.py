"""Apply to MPFB body: write a head's shape and expressions into a whole body with MakeHuman's ``hm08`` mesh, and its
albedo and relief into the body's UV map; the rest of the skin is tinted to the neck's tone. In plain numpy, so that a
thread bakes while the window goes on.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np

from ..errors import AddonError
from ..objects import meshes, tags
from ..rig.bones import open_edges
from ..shared.names import ARKIT_NAMES, PART_NAMES
from ..shared.photo_folder import png_bytes
from ..shared.similarity import Similarity, fit_similarity
from . import materials
from .nodes import add_nodes

CHUNK = 1 << 20
"""Candidate texels per batch: 100 MB of numbers."""
SEAM_BAND = 0.045
"""Metres of skin above the cut through the neck over which the body blends into the head."""
NECK_WEIGHT, REST_WEIGHT = 1.0, 0.15
"""Weights of vertices in the seam band and above it when the head is aligned to the neck."""
UNITS = (0.1, 1.0, 10.0, 100.0)
"""Units per metre of common bodies: metres mostly, decimetres in MakeHuman, centimetres."""
UNIT_FACTOR_TOLERANCE = 1.6
"""A body whose head size differs by more than this factor in every unit was scaled on purpose."""
LARGEST_MISFIT = 0.035
"""Metres rms: larger than the difference between any two heads."""
MOST_SIDE, LEAST_SIDE = 4096, 1024
"""Limits for the side of the body's picture, texels."""
FINER = 2
"""The face takes about a third of the atlas's width, so twice the albedo's side is slightly coarser than the albedo."""
MARGIN = 8
"""Gutter around charts in texels, at ``MOST_SIDE``; mipmaps sample it in distant views."""
LARGEST_RATIO = 6.0
"""Limit for the ratio of the neck's tone to the body's own texture; larger ratios are not skin."""
SKIN_VERTICES, ALL_VERTICES = 13_380, 19_158
"""Vertex counts of a body without and with MakeHuman's helper geometry. The skin comes first."""
KEY_NAME, MACRO = "Likeness", "$md"
"""Name of our shape key for the head's shape, and prefix of MPFB's own keys."""
WAIT_SECONDS = 0.01
"""Pause between polls of the baking thread; shorter than a frame of the window."""


def covered_texels(corners: np.ndarray, values: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Rasterise triangles in UV space: texels whose centres are covered, and interpolated corner values.

    Parameters
    ----------
    corners : (T, 3, 2) UV in [0, 1], v up.
    values : (T, 3, C).
    side : of the square picture, texels.

    Returns
    -------
    (N,) int64 texels, row * side + column with row 0 at v = 0, and (N, C) float32 values. A texel on a shared edge may
    occur twice, with the same values if these are continuous.
    """
    at = corners.astype(np.float64) * side - 0.5  # texel centres are at integers
    first = np.clip(np.ceil(at.min(axis=1)), 0, side - 1).astype(np.int64)
    last = np.clip(np.floor(at.max(axis=1)), -1, side - 1).astype(np.int64)
    size = np.maximum(last - first + 1, 0)
    a, b, c = np.moveaxis(at, 1, 0)
    area = meshes.cross_2d(b - a, c - a)
    counts = np.where(np.abs(area) > 1e-9, size[:, 0] * size[:, 1], 0)
    texels, found = [np.empty(0, np.int64)], [np.empty((0, values.shape[2]), np.float32)]
    begin = 0
    while begin < len(counts):
        end = max(begin + 1, int(np.searchsorted(np.cumsum(counts[begin:]), CHUNK)) + begin)
        chunk = np.arange(begin, min(end, len(counts)))
        own = np.repeat(chunk, counts[chunk])
        place = np.arange(len(own)) - np.repeat(np.cumsum(counts[chunk]) - counts[chunk], counts[chunk])
        column, row = first[own, 0] + place % size[own, 0], first[own, 1] + place // size[own, 0]
        p = np.stack([column, row], axis=1)
        shares = (
            np.stack([meshes.cross_2d(b[own] - p, c[own] - p), meshes.cross_2d(c[own] - p, a[own] - p)], axis=1)
            / area[own, None]
        )
        shares = np.column_stack([shares, 1.0 - shares.sum(axis=1)])
        inside = (shares >= -1e-9).all(axis=1)
        texels.append((row * side + column)[inside])
        found.append(np.einsum("nk,nkc->nc", shares[inside], values[own[inside]]).astype(np.float32))
        begin = end
    return np.concatenate(texels), np.concatenate(found)


def sampled(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Sample a picture (H, W, C), row 0 at v = 0, at UV (N, 2) bilinearly, clamping at edges; (N, C) float32."""
    height, width = picture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(uv[:, 1] * height - 0.5, 0, height - 1)
    left, low = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    right, up = (x - left).astype(np.float32)[:, None], (y - low).astype(np.float32)[:, None]
    below = picture[low, left] * (1 - right) + picture[low, left + 1] * right
    above = picture[low + 1, left] * (1 - right) + picture[low + 1, left + 1] * right
    return below * (1 - up) + above * up


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """Resize a picture (H, W, C) to a square of ``side`` texels, bilinear; row by row, to save memory."""
    centres = (np.arange(side) + 0.5) / side
    return np.stack([sampled(picture, np.column_stack([centres, np.full(side, v)])) for v in centres])


def grow(picture: np.ndarray, side: int, texels: np.ndarray, taken: np.ndarray, rings: int) -> None:
    """Fill the gutter around ``texels`` ring by ring with the mean of known neighbours, in place, so that filtered
    lookups beyond a chart's edge return the chart's colours.

    picture : (side², C).
    texels, taken : indices of known texels, and of texels that must stay.
    """
    known, free = np.zeros(side * side, bool), np.ones(side * side, bool)
    known[texels], free[taken] = True, False
    for _ in range(rings):
        around = _neighbours(texels, side)
        texels = np.unique(around[free[around] & ~known[around]])
        near = _neighbours(texels, side)
        counts = known[near].astype(picture.dtype)[..., None]
        picture[texels] = (picture[near] * counts).sum(axis=0) / counts.sum(axis=0)
        known[texels] = True


def _neighbours(texels: np.ndarray, side: int) -> np.ndarray:
    """(4, N) neighbouring texels left, right, below and above; at the picture's edge the texel itself."""
    row, column = texels // side, texels % side
    steps = ((-1, column > 0), (1, column < side - 1), (-side, row > 0), (side, row < side - 1))
    return np.stack([texels + step * inside for step, inside in steps])


def place(head: np.ndarray, body: np.ndarray, weights: np.ndarray) -> tuple[Similarity, float]:
    """Align a head of real size to a body's own head by weighted least squares; also the rms residual in metres of the
    head.

    The scale is used only to detect the body's unit, so that the head keeps its size in metres. If no unit fits, the
    body was scaled on purpose and the head is scaled with it.

    Parameters
    ----------
    head, body : (N, 3) corresponding vertices, metres and the body's unit.
    weights : (N,) of the alignment.
    """
    scale = fit_similarity(head, body).scale
    unit = min(UNITS, key=lambda u: abs(np.log(scale / u)))
    if max(scale / unit, unit / scale) < UNIT_FACTOR_TOLERANCE:
        scale = unit
    placement = fit_similarity(head, body, weights, scale)
    return placement, float(np.sqrt(((placement.apply(head) - body) ** 2).sum(axis=1).mean()) / scale)


def seam_weights(vertices: np.ndarray, edges: np.ndarray, border: np.ndarray, band: float = SEAM_BAND) -> np.ndarray:
    """(V,) blend weights: 0 at the cut through the neck, 1 beyond ``band`` metres along edges from it, smooth between.

    Parameters
    ----------
    vertices : (V, 3) metres, z up.
    edges : (E, 2).
    border : (B, 2) edges with only one face; the lowest of their loops is the cut.
    """
    cut = _lowest_loop(vertices, border)
    return meshes.smooth(meshes.along_edges(vertices, edges, cut) / band)


def _lowest_loop(vertices: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Vertices of the border loop that lies lowest on average."""
    left, loops = np.unique(border), []
    while len(left):
        reached = np.isfinite(meshes.along_edges(vertices, border, left[:1]))[left]
        loops.append(left[reached])
        left = left[~reached]
    return min(loops, key=lambda loop: vertices[loop, 2].mean())


@dataclass(frozen=True)
class SkinSources:
    """Inputs for baking a body's skin, read from Blender: ``albedo`` (H, W, 3) float32 sRGB, ``texture`` (H, W, 3) of
    the body or None, ``heights`` (H, W, 1) of the relief or None and its ``reach`` in millimetres, and the side of the
    new picture in texels.

    Triangles of the head's skin: (T, 3, 2) ``on_body`` in the body's map and ``on_head`` in map ``Head``, with (T, 3)
    blend ``weights``; ``others`` (U, 3, 2) in the body's map are of all other faces.
    """

    albedo: np.ndarray
    texture: np.ndarray | None
    heights: np.ndarray | None
    reach: float
    side: int
    on_body: np.ndarray
    on_head: np.ndarray
    weights: np.ndarray
    others: np.ndarray


def skin_sources(
    collection: bpy.types.Collection, head: bpy.types.Object, body: bpy.types.Object, weights: np.ndarray
) -> SkinSources | str:
    """Inputs for ``body``'s skin, or a sentence on why the body keeps its material.

    ``weights`` (V_head,) is 1 on the head and falls to 0 at the cut through the neck.
    """
    albedo = collection.get(tags.ALBEDO)
    if albedo is None or albedo.size[0] < 2:
        return "It has no albedo, so the body keeps its looks."
    layer = _layer(body.data)
    if layer is None:
        return "The body has no UV map, so it keeps its looks."
    corners = _corners(head.data, body.data, layer, weights)
    if corners is None:
        return "The body's faces are not MakeHuman's, so it keeps its looks."
    source = _own_texture(body)
    side = int(np.clip(FINER * albedo.size[0], LEAST_SIDE, MOST_SIDE))
    side = side if source is None else int(np.clip(max(side, *source.size), LEAST_SIDE, MOST_SIDE))
    texture = None if source is None else materials.picture_pixels(source)
    # the artist's own material brings its own relief
    relief = materials.relief_at_rest(head) if source is None else None
    heights, reach = (
        (None, 0.0) if relief is None else (materials.picture_pixels(relief)[..., :1], float(relief[tags.REACH]))
    )
    skin, tone = materials.picture_pixels(albedo), materials.tone_of(head)
    if tone is not None:
        skin = materials.srgb(materials.linear(skin) * tone).astype(np.float32)
    return SkinSources(skin, texture, heights, reach, side, *corners)


def bake(sources: SkinSources, told: Callable[[float], None]) -> tuple[bytes, bytes | None]:
    """Bake the skin in the body's map: the head's albedo and relief on the head's skin; below, the body's texture
    tinted to the neck's tone, or that tone alone without a texture. Returns the PNG files of the picture and of the
    relief. It does not access Blender, so it can run on a thread; ``told`` is called with the fraction done."""
    side = sources.side
    texels, found = covered_texels(sources.on_body, np.dstack([sources.on_head, sources.weights[..., None]]), side)
    told(0.2)
    uv, share = found[:, :2], np.clip(found[:, 2:], 0.0, 1.0)
    skin = materials.linear(sampled(sources.albedo, uv))
    told(0.35)
    neck = skin[((share > 0.05) & (share < 0.95))[:, 0]]
    tone = np.median(neck if len(neck) else skin, axis=0)
    if sources.texture is None:
        picture = np.broadcast_to(tone.astype(np.float32), (side, side, 3)).reshape(-1, 3).copy()
    else:
        picture = resized(sources.texture, side).reshape(-1, 3)
        own = np.median(materials.linear(picture[texels[((share > 0.05) & (share < 0.95))[:, 0]]]), axis=0)
        ratio = np.clip(tone / np.maximum(own, 1e-3), 1 / LARGEST_RATIO, LARGEST_RATIO)
        for rows in np.split(picture, side):  # row by row, to save memory
            rows[:] = materials.linear(rows) * ratio
    picture[texels] = share * skin + (1.0 - share) * picture[texels]
    rings = max(2, MARGIN * side // MOST_SIDE)
    near = _overlapping(sources.others, sources.on_body, rings / side)
    taken = covered_texels(near, np.zeros((*near.shape[:2], 0)), side)[0]
    told(0.5)
    grow(picture, side, texels, taken, rings)
    told(0.65)
    levels = np.stack([np.round(255.0 * materials.srgb(rows)).astype(np.uint8) for rows in np.split(picture, side)])
    coloured = png_bytes(levels[::-1])
    told(0.85)
    relief = None
    if sources.heights is not None:
        heights = np.full((side * side, 1), 0.5, np.float32)
        heights[texels] = 0.5 + share * (sampled(sources.heights, uv) - 0.5)
        grow(heights, side, texels, taken, rings)
        relief = png_bytes(np.round(65535.0 * heights).astype(np.uint16).reshape(side, side)[::-1])
    return coloured, relief


def _layer(mesh: bpy.types.Mesh) -> bpy.types.MeshUVLoopLayer | None:
    return next((layer for layer in mesh.uv_layers if layer.active_render), mesh.uv_layers.active)


def _corners(
    head: bpy.types.Mesh, body: bpy.types.Mesh, layer: bpy.types.MeshUVLoopLayer, weights: np.ndarray
) -> tuple[np.ndarray, ...] | None:
    """The triangles of ``SkinSources``; None if the body has none of the head's faces."""
    numbers = meshes.array_of(head.attributes[meshes.HM08_VERTEX].data, "value")
    head_uv, body_uv = (
        meshes.array_of(one.uv, "vector", 2, np.float32) for one in (head.uv_layers[meshes.UV_HEAD], layer)
    )
    place = {
        frozenset(numbers[list(face.vertices)].tolist()): face.loop_start
        for face in head.polygons
        if face.loop_total == 4
    }
    corner_vertex = meshes.array_of(head.loops, "vertex_index")
    of_body, of_head, shares, others = [], [], [], []
    for face in body.polygons:
        start, vertices = face.loop_start, list(face.vertices)
        first = place.get(frozenset(vertices))
        loops = [(0, 1, 2), (0, 2, 3)] if len(vertices) == 4 else [(0, 1, 2)] if len(vertices) == 3 else []
        if first is None:
            others += [[start + one for one in three] for three in loops]
            continue
        there = {int(numbers[corner_vertex[loop]]): loop for loop in range(first, first + 4)}
        for three in loops:
            of_body.append([start + one for one in three])
            of_head.append([there[vertices[one]] for one in three])
            shares.append([weights[corner_vertex[there[vertices[one]]]] for one in three])
    if not of_body:
        return None
    skin, rest = (body_uv[np.array(loops, int).reshape(-1, 3)] for loops in (of_body, others))
    return skin, head_uv[np.array(of_head)], np.array(shares, np.float32), rest


def _overlapping(others: np.ndarray, own: np.ndarray, margin: float) -> np.ndarray:
    """The triangles (U, 3, 2) whose bounding boxes touch the one around ``own`` (T, 3, 2)."""
    low, high = own.min(axis=(0, 1)) - margin, own.max(axis=(0, 1)) + margin
    return others[((others.max(axis=1) >= low) & (others.min(axis=1) <= high)).all(axis=1)]


def _texture_node(material: bpy.types.Material | None) -> bpy.types.Node | None:
    """The texture node nearest upstream of a material's output, which supplies its base colour."""
    if material is None or material.node_tree is None:
        return None
    waiting = [node for node in material.node_tree.nodes if node.type == "OUTPUT_MATERIAL" and node.is_active_output]
    seen = set(waiting)
    while waiting:
        node = waiting.pop(0)
        image = node.image if node.type == "TEX_IMAGE" else None
        usable = image is not None and image.source != "TILED" and image.size[0] > 1
        if usable and image.colorspace_settings.name != "Non-Color":
            return node
        for socket in node.inputs:
            for link in socket.links:
                if link.from_node not in seen:
                    seen.add(link.from_node)
                    waiting.append(link.from_node)
    return None


def _own_texture(body: bpy.types.Object) -> bpy.types.Image | None:
    """The body's original texture, also after a skin of ours was applied."""
    for slot in body.material_slots:
        node = _texture_node(slot.material)
        if node is not None:
            return node.image.get(tags.BODY_BEFORE) if tags.BODY_SKIN in node.image else node.image
    return None


def write_skin(
    collection: bpy.types.Collection, body: bpy.types.Object, reach: float, picture: bytes, relief: bytes | None
) -> None:
    """Assign the skin that ``bake`` made to ``body``; ``reach`` is the relief's. The body's materials are copied before
    they are changed. A second call starts from the body's original texture."""
    layer, source, image = _layer(body.data), _own_texture(body), None
    for slot in body.material_slots:
        node = _texture_node(slot.material)
        if node is None or (tags.BODY_SKIN not in node.image and node.image != source):
            continue
        if tags.BODY_SKIN in node.image:
            image = node.image
            materials.replace_packed(image, picture)
        else:
            image = image or _new_image(collection, body, picture, source)
            slot.material = slot.material.copy()
            _texture_node(slot.material).image = image
    if image is not None:
        return
    image = _new_image(collection, body, picture, None)
    material = materials.skin_look_material(image, layer.name, FINER)
    material.name = f"{body.name} Skin"
    if relief is not None:
        _add_relief(material, layer.name, relief, reach)
    if body.material_slots:
        body.material_slots[0].material = material
    else:
        body.data.materials.append(material)


def _new_image(
    collection: bpy.types.Collection, body: bpy.types.Object, data: bytes, before: bpy.types.Image | None
) -> bpy.types.Image:
    image = materials.packed_image(f"{body.name} skin", data)
    image[tags.BODY_SKIN] = collection[tags.HEAD_ID]
    if before is not None:
        image[tags.BODY_BEFORE] = before
    return image


def _add_relief(material: bpy.types.Material, layer: str, heights: bytes, reach: float) -> None:
    """Add the relief as displacement, which Eevee and Cycles draw as a bump."""
    image = materials.packed_image(f"{material.name} relief", heights)
    image.colorspace_settings.name = "Non-Color"
    tree = material.node_tree
    nodes = add_nodes(tree, "body_relief")
    nodes["Relief UV"].uv_map, nodes[materials.ALWAYS].image, height = layer, image, nodes["Body Relief"]
    height.inputs["Scale"].default_value = 2.0 * reach / 1000.0
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(height.outputs["Displacement"], output.inputs["Displacement"])


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
    """Why ``apply_steps`` cannot be called now, as a sentence for a button; "" if it can."""
    if context.mode != "OBJECT":
        return "Switch to Object Mode"
    if not tags.heads_in(context.scene):
        return "There is no head in the scene. Reconstruct one first"
    if tags.active_head(context) is None:
        return "Several heads are in the scene. Select the one to apply together with the body"
    return "" if body_of(context) is not None else "No MakeHuman body is selected. Select the body's mesh"


def apply_steps(context: bpy.types.Context) -> Generator[float, None, str]:
    """Write the active head into the selected body; return a sentence on what was done. Yields the fraction done while
    a thread bakes the skin. The body is changed only after the last yield, so closing it early leaves the body as it
    was.

    Raises ``AddonError`` if there is no head or no body, or the body's vertex order differs.
    """
    if reason := unavailable_reason(context):
        raise AddonError(f"{reason}.")
    body, collection = body_of(context), tags.active_head(context)
    head = tags.active_mesh(context, collection)
    _, weights, *_ = _fitted(head, body)
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
    said = sources
    if baked is not None:
        write_skin(collection, body, sources.reach, *baked)
        own = "The body's texture has its skin and the neck's tone."
        said = "The body has its skin." if sources.texture is None else own
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
) -> Similarity:
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
    skin, weights, placement, basis, now = _fitted(head, body)
    offsets = np.zeros_like(now)
    offsets[skin.numbers] = weights[:, None] * (placement.apply(skin.rest) - now[skin.numbers])
    expressions = {name: np.zeros_like(now) for name in skin.keys}
    for name, moves in skin.keys.items():
        expressions[name][skin.numbers] = weights[:, None] * placement.offsets(moves)
    own = [skin.numbers]
    for part in PART_NAMES[1:]:
        obj = tags.part_on(collection, head, part)
        shape = None if obj is None else _shape_of(obj, len(basis))
        if shape is None or not len(shape.numbers):
            continue
        own.append(shape.numbers)
        offsets[shape.numbers] = placement.apply(shape.rest) - now[shape.numbers]
        for name, moves in shape.keys.items():
            expressions[name][shape.numbers] = placement.offsets(moves)
    _carry_helpers(now, np.concatenate(own), [offsets, *expressions.values()])
    _write_keys(body, basis, offsets, expressions)
    return placement


def _fitted(
    head: bpy.types.Object | None, body: bpy.types.Object
) -> tuple[_Shape, np.ndarray, Similarity, np.ndarray, np.ndarray]:
    """Align the head to the body: its skin, (V_skin,) blend weights, its placement, and the body's (V, 3) basis and
    current shape. Raises ``AddonError`` as ``apply_steps`` does."""
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
    placement, misfit = place(skin.rest, now[skin.numbers], np.where(weights < 1, NECK_WEIGHT, REST_WEIGHT))
    if misfit > LARGEST_MISFIT:
        raise AddonError(
            f"{body.name} has as many vertices as a MakeHuman body, but in another order or shape.",
            "Select a body that MPFB made, without edits to its faces.",
        )
    return skin, weights, placement, basis, now


def _body_shape(body: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) the body's basis, and its current shape without the 52 expressions."""
    basis = now = meshes.neutral_coordinates(body.data)
    if body.data.shape_keys is not None:
        expressions = [block for block in body.data.shape_keys.key_blocks if block.name in ARKIT_NAMES]
        were_mute = [block.mute for block in expressions]
        for block in expressions:
            block.mute = True
        mixed = body.shape_key_add(name=KEY_NAME, from_mix=True)
        now = meshes.coordinates(mixed.points)
        body.shape_key_remove(mixed)
        for block, was_mute in zip(expressions, were_mute, strict=True):
            block.mute = was_mute
    return basis.astype(np.float64), now.astype(np.float64)


def _shape_of(obj: bpy.types.Object, body_vertices: int) -> _Shape | None:
    """A part's vertices that exist in the body; None without the attribute ``hm08_vertex``."""
    if meshes.HM08_VERTEX not in obj.data.attributes:
        return None
    numbers = meshes.hm08_vertices(obj.data)
    here = (numbers >= 0) & (numbers < body_vertices)
    blocks = obj.data.shape_keys.key_blocks if obj.data.shape_keys else ()
    rest = meshes.neutral_coordinates(obj.data)
    keys = {}
    for block in blocks:
        if block.name in ARKIT_NAMES:
            keys[block.name] = (meshes.coordinates(block.points) - rest)[here].astype(np.float64)
    return _Shape(numbers[here], (rest + meshes.origin_of(obj.data))[here].astype(np.float64), keys)


def _seam(mesh: bpy.types.Mesh, skin: _Shape) -> np.ndarray:
    """Blend weights of the head's vertices at the cut through the neck."""
    border = open_edges(mesh)
    if len(skin.numbers) != len(mesh.vertices) or not len(border):
        raise AddonError("The head's mesh was edited too much to fit a body.", "Reconstruct again.")
    return seam_weights(skin.rest, meshes.array_of(mesh.edges, "vertices", 2), border)


def _carry_helpers(body: np.ndarray, own: np.ndarray, fields: list[np.ndarray]) -> None:
    """Interpolate ``fields`` (V, 3) at helpers that belong to no part, from the nearest skin vertices."""
    free = np.ones(len(body), bool)
    free[:SKIN_VERTICES] = False
    free[own] = False
    helpers = np.flatnonzero(free)
    if not len(helpers):
        return
    nearest, shares = meshes.beside(body[:SKIN_VERTICES], body[helpers])
    for field in fields:
        field[helpers] = (shares[:, :, None] * field[nearest]).sum(axis=1)


def _write_keys(
    body: bpy.types.Object, basis: np.ndarray, offsets: np.ndarray, expressions: Mapping[str, np.ndarray]
) -> None:
    for name, moves, value in [(KEY_NAME, offsets, 1.0), *((name, moves, 0.0) for name, moves in expressions.items())]:
        meshes.write_key(body, name, basis + moves).value = value
    body.data.update()
