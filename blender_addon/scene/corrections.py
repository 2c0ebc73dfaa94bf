"""The artist's corrections of photos: masks as a coarse grid of cells with brush strokes, and draggable landmarks.
These are empties parented to the photo's camera, between it and the head: seen through the camera they lie on the
photo, and undo and saving are Blender's.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils.bvhtree import BVHTree

from ..client.submissions import PhotoCorrections, PhotoMask, described, understood
from ..objects import meshes, tags
from ..shared.names import ALL_PART_NAMES, BUST, GLASSES, HANDLES
from ..shared.similarity import LocalMotion, Similarity, fit_similarity
from .expressions import LID_ATTACHED_PARTS

SIDE = 256
"""Cells along a photo's longer side: the maximum that a backend accepts."""


def new_cells(size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool, nothing masked, for a photo of ``size`` (width, height) pixels."""
    cells_per_pixel = SIDE / max(size)
    width, height = (max(1, round(side * cells_per_pixel)) for side in size)
    return np.zeros((height, width), bool)


def cells_of(mask: PhotoMask | None, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool cells of a mask; nothing masked for None."""
    if mask is None:
        return new_cells(size)
    hidden = np.arange(len(mask.runs)) % 2 == 1
    return np.repeat(hidden, mask.runs).reshape(mask.height, mask.width)


def photo_mask_of(cells: np.ndarray) -> PhotoMask | None:
    """Encode cells (H, W) bool as a mask; None if none is masked."""
    if not cells.any():
        return None
    flat = cells.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(np.int8)))
    runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
    return PhotoMask(cells.shape[1], cells.shape[0], tuple(int(run) for run in runs))


def stroke(
    cells: np.ndarray,
    size: tuple[int, int],
    start: tuple[float, float],
    stop: tuple[float, float],
    radius: float,
    masked: bool,
) -> np.ndarray:
    """The cells (H, W) after a stroke of a round brush from ``start`` to ``stop`` that masks or clears.

    Parameters
    ----------
    size : (width, height) of the photo in pixels.
    start, stop : (x, y) pixels of the photo, also outside of it.
    radius : pixels of the photo; a brush thinner than a cell affects the nearest one.
    """
    height, width = cells.shape
    scale = width / size[0]
    y, x = np.mgrid[:height, :width] + 0.5
    begin, end = np.array(start) * scale, np.array(stop) * scale
    along = end - begin
    place = ((x - begin[0]) * along[0] + (y - begin[1]) * along[1]) / max(float(along @ along), 1e-9)
    place = np.clip(place, 0.0, 1.0)
    distance = np.hypot(x - begin[0] - place * along[0], y - begin[1] - place * along[1])
    return np.where(distance <= max(radius * scale, np.sqrt(0.5)), masked, cells)


def rectangles(cells: np.ndarray) -> np.ndarray:
    """(R, 4) left, top, right, bottom of the masked runs of every row, as shares of the photo's width and height."""
    height, width = cells.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = cells
    change = np.diff(padded, axis=1)
    row, left = np.nonzero(change == 1)
    _, right = np.nonzero(change == -1)
    return np.stack([left / width, row / height, right / width, (row + 1) / height], axis=1)


BRUSH = "brush"
"""The region of a texture that an artist marked."""
BRUSH_GROUP = "Texture Brush"
"""The head's vertex group that marks it."""
USES = ("both", "shape", "texture", "neither")
SKIN_VERTEX = "skin_vertex"
"""Attribute of a part without vertices of hm08: the head's vertex that each follows."""
LEAST_BLINK = 1e-3
"""Metres: skin that a blink moves by less than this is no lid."""
HM08_VERTICES = 19_158
"""Of MakeHuman's base mesh."""
PUPILS = (468, 473)
"""They are on no skin."""
LANDMARKS = 478
HEAD_POINTS = (
    *("Ear Top L", "Ear Side L", "Ear Lobe L", "Ear Top R", "Ear Side R", "Ear Lobe R"),
    *("Hair Line", "Hair Line L", "Hair Line R", "Hair Corner L", "Hair Corner R"),
)
"""Points of ears and hairline, numbered after the landmarks."""
LEAST_DEPTH, CLIP_ROOM = 0.1, 1.05
"""Distance of the points from the camera: at least so many metres, and this multiple of the clip start; before the
head."""
POINT_SHARE = 0.005
"""Radius of a point, as a share of the photo's longer side."""
STILL_SHARE = 0.0005
"""A point moved by less than this share of the photo's longer side counts as unmoved: half a pixel of a view."""


def edited_photos(collection: bpy.types.Collection) -> tuple[str, ...]:
    """The photos of a head whose points are currently shown."""
    return tuple(dict.fromkeys(str(point[tags.PHOTO]) for point in _points(collection)))


def known_photos(collection: bpy.types.Collection) -> tuple[str, ...]:
    """The photos that were given for a head."""
    return tuple(str(group["name"]) for group in collection.get(tags.PHOTOS, ()))


def head_corrections(collection: bpy.types.Collection) -> tuple[PhotoCorrections, ...]:
    """Corrections of a head's photos: the stored ones, updated by the points currently shown."""
    said = _stored(collection)
    for label in edited_photos(collection):
        before = said.get(label, PhotoCorrections(label))
        points = {landmark: (landmark, x, y) for landmark, x, y in before.points}
        for point in (point for point in _points(collection) if point[tags.PHOTO] == label):
            landmark, (x, y) = int(point[tags.LANDMARK]), _pixel(point)
            points.pop(landmark, None)
            if _corrected(point, (x, y)):
                points[landmark] = (landmark, x, y)
        said[label] = replace(before, points=tuple(points.values()))
    return tuple(one for one in said.values() if not one.is_empty)


def has_corrections(collection: bpy.types.Collection) -> bool:
    """Whether a head's photos have or had corrections: removed ones still affect the head's shape."""
    return bool(_stored(collection) or head_corrections(collection))


def list_corrections(scene: bpy.types.Scene, given: Iterable[tuple[str, str]]) -> tuple[PhotoCorrections, ...]:
    """The scene's corrections for the photos of its list, by label: (path, label)."""
    use = {photo.path: photo.use for photo in scene.likeness.photos}
    return tuple(PhotoCorrections(label, use[path]) for path, label in given if use.get(path, "both") != "both")


def of_photo(collection: bpy.types.Collection, photo: str) -> PhotoCorrections:
    """The stored corrections of a head's photo."""
    return _stored(collection).get(photo, PhotoCorrections(photo))


def change(collection: bpy.types.Collection, photo: str, **said: Any) -> None:
    """Store something else of a photo's corrections."""
    _store(collection, _stored(collection) | {photo: replace(of_photo(collection, photo), **said)})


def painted_regions(collection: bpy.types.Collection) -> dict[str, str]:
    """Region of the texture -> the photo that alone paints it; ``BRUSH`` is what was marked."""
    said = _stored(collection).values()
    found = {region: one.label for one in said for region in one.paints}
    marked = [one.label for one in said if one.brush]
    return found | ({BRUSH: marked[0]} if marked else {})


def paints_of(collection: bpy.types.Collection) -> tuple[PhotoCorrections, ...]:
    """What single photos of a head paint, and nothing else that was said of them."""
    said = (PhotoCorrections(one.label, paints=one.paints, brush=one.brush) for one in _stored(collection).values())
    return tuple(one for one in said if not one.is_empty)


def with_region(
    paints: Iterable[PhotoCorrections], region: str, photo: str, brush: bytes = b""
) -> tuple[PhotoCorrections, ...]:
    """``paints_of`` a head where one photo alone paints a region, or what the ``brush`` marked; "" for all photos."""
    said = {}
    for one in paints:
        left = tuple(other for other in one.paints if other != region)
        said[one.label] = replace(one, paints=left, brush=b"" if region == BRUSH else one.brush)
    if photo:
        one = said.get(photo, PhotoCorrections(photo))
        more = {"brush": brush} if region == BRUSH else {"paints": (*one.paints, region)}
        said[photo] = replace(one, **more)
    return tuple(one for one in said.values() if not one.is_empty)


def keep_paints(collection: bpy.types.Collection, paints: Iterable[PhotoCorrections]) -> None:
    """Store what single photos of a head paint, and nothing else that is said of them."""
    stored, wanted = _stored(collection), {one.label: one for one in paints}
    for label in {**stored, **wanted}:
        before, one = stored.get(label, PhotoCorrections(label)), wanted.get(label, PhotoCorrections(label))
        stored[label] = replace(before, paints=one.paints, brush=one.brush)
        if stored[label] != before and stored[label].is_empty:  # others stay: the shape still has their corrections
            del stored[label]
    _store(collection, stored)


def brush_of(head: bpy.types.Object) -> bytes:
    """A byte for each vertex, 255 where the vertex group ``BRUSH_GROUP`` has all weight; empty without any."""
    weights = meshes.group_weights(head, BRUSH_GROUP)
    return b"" if weights is None or not weights.any() else np.round(255.0 * weights).astype(np.uint8).tobytes()


def put_points(collection: bpy.types.Collection, camera: bpy.types.Object) -> list[bpy.types.Object]:
    """Create the points for the photo of ``camera``: corrected ones at their corrected place, others where the fitted
    head has them."""
    photo = str(camera[tags.PHOTO])
    put_away(collection, photo)
    corrected = {
        landmark: (x, y) for one in head_corrections(collection) if one.label == photo for landmark, x, y in one.points
    }
    believed = fitted_points(collection, camera)
    home = (camera.users_collection or (collection,))[0]
    made = []
    for landmark in dict.fromkeys((*believed, *corrected)):
        place = corrected.get(landmark) or believed[landmark]
        name = f"Landmark {landmark}" if landmark < LANDMARKS else HEAD_POINTS[landmark - LANDMARKS]
        point = bpy.data.objects.new(name, None)
        point[tags.HEAD_ID], point[tags.PHOTO], point[tags.LANDMARK] = collection[tags.HEAD_ID], photo, landmark
        if landmark not in corrected:
            point[tags.CREATED_AT] = list(place)
        point.empty_display_type = "CUBE" if landmark in corrected else "SPHERE"
        point.show_in_front = True
        point.parent = camera
        _move_to(point, place)
        point.lock_rotation = point.lock_scale = (True, True, True)
        home.objects.link(point)
        made.append(point)
    return made


def put_away(collection: bpy.types.Collection, photo: str) -> None:
    """Store the positions of a photo's points, and remove the points."""
    if photo not in edited_photos(collection):
        return
    points = next((one.points for one in head_corrections(collection) if one.label == photo), ())
    change(collection, photo, points=points)
    bpy.data.batch_remove([point for point in _points(collection) if point[tags.PHOTO] == photo])


def reset_points(collection: bpy.types.Collection, photo: str) -> None:
    """Delete the corrections of a photo's points; shown points return to the fitted head."""
    out = photo in edited_photos(collection)
    if out:
        bpy.data.batch_remove([point for point in _points(collection) if point[tags.PHOTO] == photo])
    if photo in _stored(collection):
        change(collection, photo, points=())
    camera = tags.cameras_by_photo(collection).get(photo)
    if out and camera is not None:
        put_points(collection, camera)


def selected_points(context: bpy.types.Context, collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """The points of a head that are selected in the view layer."""
    chosen = [obj for obj in context.selected_objects if tags.LANDMARK in obj]
    return [point for point in _points(collection) if point in chosen] if chosen else []


def snap_to_fit(collection: bpy.types.Collection, points: Iterable[bpy.types.Object]) -> int:
    """Move points back to the fitted head, so that they no longer count as corrected.

    Returns how many. Points without a fitted position, such as an ear hidden in the photo, stay where they are.
    """
    believed: dict[bpy.types.Object, dict[int, tuple[float, float]]] = {}
    moved = 0
    for point in points:
        camera = point.parent
        if camera not in believed:
            believed[camera] = fitted_points(collection, camera)
        place = believed[camera].get(int(point[tags.LANDMARK]))
        if place is not None:
            point[tags.CREATED_AT] = list(place)
            point.empty_display_type = "SPHERE"
            _move_to(point, place)
            moved += 1
    return moved


def pull_to_points(collection: bpy.types.Collection, photo: str, reach: float) -> int:
    """Move the skin to the dragged points of a photo, parallel to its plane; the photo's other points hold where they
    are. Returns how many points were dragged.

    The motion is interpolated by Wendland's C2 function, so that it ends ``reach`` metres from a dragged point. It is a
    sculpt, which solving again keeps. The points then count as fitted, in all photos.
    """
    camera, head = tags.cameras_by_photo(collection).get(photo), tags.part_object(collection, "head")
    if camera is None or head is None:
        return 0
    fitted = {
        landmark: place for landmark, place in fitted_points(collection, camera).items() if landmark not in PUPILS
    }
    own = [point for point in _points(collection) if point[tags.PHOTO] == photo and int(point[tags.LANDMARK]) in fitted]
    places = {int(point[tags.LANDMARK]): _pixel(point) for point in own if _corrected(point, _pixel(point))}
    if not places:
        return 0
    change = np.array([np.subtract(places.get(one, place), place) for one, place in fitted.items()])
    seen = _SeenSkin(head, camera)
    sites = seen.sites(np.array(list(fitted.values())))
    rest = meshes.neutral_coordinates(head.data)
    field = LocalMotion(rest, sites.vertices, sites.shares, seen.in_head_frame(sites, change), reach)
    for part in ("head", BUST, *LID_ATTACHED_PARTS):
        obj = tags.part_object(collection, part)
        if obj is not None:
            away = meshes.origin_of(obj.data) - meshes.origin_of(head.data)
            meshes.move_basis(obj.data, field(meshes.neutral_coordinates(obj.data) + away))
    _forget_points(collection, photo, set(places))
    return len(places)


@dataclass(frozen=True)
class _Sites:
    """Places on a mesh: (N, 3) vertices and their shares."""

    vertices: np.ndarray
    shares: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """(N, C) of values (V, C)."""
        return np.einsum("nk,nkc->nc", self.shares, values[self.vertices])


class _SeenSkin:
    """A head's skin as a photo's camera sees it, with the photo's expression, in the head's frame."""

    def __init__(self, head: bpy.types.Object, camera: bpy.types.Object, less: np.ndarray | float = 0.0) -> None:
        """less : (V, 3) of the skin's present shape that is left out, metres."""
        rest, keys = meshes.neutral_coordinates(head.data), head.data.shape_keys
        shape = rest - less
        for name, weight in camera[tags.EXPRESSION].items():
            if weight and keys is not None and name in keys.key_blocks:
                shape += weight * (meshes.coordinates(keys.key_blocks[name].points) - rest)
        pose = np.array(camera.matrix_basis)
        self.turn, self.place = pose[:3, :3], pose[:3, 3]
        self.focal, self.centre = np.reshape(camera[tags.INTRINSICS], (2, 2))
        self.shape = shape
        head.data.calc_loop_triangles()
        self.triangles = meshes.array_of(head.data.loop_triangles, "vertices", 3)
        self.tree = BVHTree.FromPolygons(shape.tolist(), self.triangles.tolist())
        self.pixels, self.depth = self.project(shape)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 2) pixels and (N,) depths in metres of points (N, 3)."""
        x, y, z = ((points - self.place) @ self.turn).T
        depth = np.maximum(-z, 1e-6)
        return np.stack([x, -y], axis=1) / depth[:, None] * self.focal + self.centre, depth

    def sites(self, pixels: np.ndarray) -> _Sites:
        """What is seen at pixels (N, 2); where that is no skin, the vertex beside."""
        rays = np.column_stack([(pixels - self.centre) / self.focal * [1.0, -1.0], -np.ones(len(pixels))]) @ self.turn.T
        vertices, shares = np.empty((len(pixels), 3), np.int64), np.zeros((len(pixels), 3))
        for row, (pixel, ray) in enumerate(zip(pixels, rays, strict=True)):
            hit, _, triangle, _ = self.tree.ray_cast(self.place.tolist(), ray.tolist())
            if hit is None:
                vertices[row], shares[row, 0] = np.linalg.norm(self.pixels - pixel, axis=1).argmin(), 1.0
                continue
            vertices[row] = self.triangles[triangle]
            corners = self.shape[vertices[row]].astype(np.float64)
            shares[row] = np.linalg.lstsq(np.vstack([corners.T, np.ones(3)]), np.append(hit, 1.0), rcond=None)[0]
        return _Sites(vertices, shares)

    def in_head_frame(self, sites: _Sites, change: np.ndarray) -> np.ndarray:
        """(N, 3) motions of sites that change their places by (N, 2) pixels and not their depths."""
        across = change / self.focal * sites.of(self.depth[:, None])
        return across[:, :1] * self.turn[:, 0] - across[:, 1:] * self.turn[:, 1]

    def moved_with(self, pixels: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """(N, 2) where places (N, 2) on the photo are after the skin's vertices have moved by (V, 3)."""
        return pixels + self.sites(pixels).of(self.project(self.shape + moved)[0] - self.pixels)


@cache
def _shape_modes() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Slider -> vertices (N,) of ``hm08``; motions (N, 2, 3) at -1 and 1, metres, and their shares (2,) of a target."""
    with np.load(Path(__file__).with_name("shape_sliders.npz"), allow_pickle=False) as file:
        names = [name.removesuffix(".steps") for name in file.files if name.endswith(".steps")]
        motions = {name: meshes.to_blender(file[f"{name}.steps"] * float(file["step"])) for name in names}
        return {name: (file[f"{name}.vertices"], motions[name], file[f"{name}.reach"]) for name in names}


def slide_shape(collection: bpy.types.Collection, wished: Mapping[str, float]) -> None:
    """Shape a head by MakeHuman's own modes: slider -> -1 to 1, 0 for the shape from the photos.

    The change since the last call is added to the bases of all parts, as a sculpt, so that solving again keeps it.
    """
    head, before = tags.part_object(collection, "head"), collection.get(tags.SHAPE, {})
    if head is None or head.mode != "OBJECT":
        return
    change = np.zeros((HM08_VERTICES + 1, 3), np.float32)  # the last one is for vertices that are not in hm08
    slid, kept = change.copy(), {}
    for name, (vertices, ends, reach) in _shape_modes().items():
        value, last = float(wished.get(name, 0.0)), before.get(name, 0.0)
        if isinstance(last, float):  # of a file of 0.2.0, whose sliders went to the ends of MakeHuman's modes
            last = last, last / reach[int(last > 0)]
        kept[name] = value, float(last[1] if value == last[0] else value)
        gone, come = (abs(amount) * ends[:, int(amount > 0)] for amount in (last[1], kept[name][1]))
        change[vertices] += come - gone
        slid[vertices] += come
    collection[tags.SHAPE] = kept
    rest, own = meshes.neutral_coordinates(head.data), change[meshes.hm08_vertices(head.data)]
    lids = _lid_scales(collection, head.data, slid)
    rigid: dict[str, Similarity] = {}
    for part in ALL_PART_NAMES:
        obj = tags.part_object(collection, part)
        if obj is None:
            continue
        points = meshes.neutral_coordinates(obj.data) + meshes.origin_of(obj.data) - meshes.origin_of(head.data)
        numbers = meshes.hm08_vertices(obj.data)
        moved, known, side = change[numbers], numbers >= 0, part.split("_")[-1]
        if part.startswith(("eye_", "teeth_")):  # a ball stays one; most vertices of crowns are not in hm08
            rigid[side] = fit_similarity(points[known], points[known] + moved[known])
        elif not part.startswith("cornea_") and not known.any():
            moved = own[_skin_vertices(obj.data, points, rest)]
            if part in GLASSES:  # both move with the frame, rigidly
                rigid.setdefault(side := "glasses", fit_similarity(points, points + moved))
        if side in rigid:
            moved = rigid[side].apply(points) - points
        if part == "head" or part in LID_ATTACHED_PARTS:
            scales = lids if part == "head" else lids[_skin_vertices(obj.data, points, rest)]
            meshes.move_basis(obj.data, moved.astype(np.float32), scales / meshes.key_scales(obj.data))
            meshes.write_attribute(obj.data, meshes.KEY_SCALE, "FLOAT", "value", scales)
        elif moved.any():
            meshes.move_basis(obj.data, moved.astype(np.float32))


def _lid_scales(collection: bpy.types.Collection, head: bpy.types.Mesh, slid: np.ndarray) -> np.ndarray:
    """(V, 1) scales of the head's keys by which a blink ends on the eyeball as it did before sliders moved ``hm08`` by
    ``slid`` (19159, 3): a slider moves eyeballs, but makes them no larger."""
    scales, blocks = np.ones((len(head.vertices), 1), np.float32), head.shape_keys.key_blocks if head.shape_keys else {}
    skin = slid[meshes.hm08_vertices(head)]
    for name, eye in (("eyeBlinkLeft", "eye_left"), ("eyeBlinkRight", "eye_right")):
        ball = tags.part_object(collection, eye)
        if name in blocks and ball is not None:
            way = (meshes.coordinates(blocks[name].points) - meshes.neutral_coordinates(head)) / meshes.key_scales(head)
            share = ((skin - slid[meshes.hm08_vertices(ball.data)].mean(0)) * way).sum(1, keepdims=True)
            scales -= np.clip(share / ((way * way).sum(1, keepdims=True) + LEAST_BLINK**2), -1.0, 0.9)
    return scales


def _skin_vertices(mesh: bpy.types.Mesh, points: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(V,) the vertex of ``skin`` (S, 3) that each of a part's ``points`` (V, 3) follows: the nearest one at first."""
    kept = mesh.attributes.get(SKIN_VERTEX)
    if kept is None:
        tree = meshes.search_tree(skin)
        nearest = [tree.find(point)[1] for point in points.tolist()]
        kept = meshes.write_attribute(mesh, SKIN_VERTEX, "INT", "value", np.array(nearest))
    return meshes.array_of(kept.data, "value")


def _forget_points(collection: bpy.types.Collection, photo: str, landmarks: set[int]) -> None:
    """Let points of a photo count as fitted, and show its points anew where they are shown."""
    shown = photo in edited_photos(collection)
    put_away(collection, photo)
    if (before := _stored(collection).get(photo)) is not None:
        change(collection, photo, points=tuple(point for point in before.points if point[0] not in landmarks))
    if shown:
        put_points(collection, tags.cameras_by_photo(collection)[photo])


def add_unknown(collection: bpy.types.Collection, entries: Iterable[Mapping[str, Any]]) -> None:
    """Add corrections from the backend's report for photos that the head has none for: the list's new ones."""
    stored = _stored(collection)
    for entry in entries:
        name, use = str(entry.get("name", "")), entry.get("use", "both")
        if name in known_photos(collection) and name not in stored and use in USES:
            stored[name] = PhotoCorrections(name, use)
    _store(collection, stored)


def fitted_points(collection: bpy.types.Collection, camera: bpy.types.Object) -> dict[int, tuple[float, float]]:
    """Where the present head has the points that are shown, pixels of the photo: where the fit has them, and from there
    with the skin that was sculpted since."""
    places = np.array(camera[tags.LANDMARKS], np.float64).reshape(LANDMARKS, 4)[:, 2:]
    more = np.reshape(camera[tags.HEAD_POINTS], (-1, 3))
    ears = {LANDMARKS + number: (x, y) for number, (x, y, seen) in enumerate(more) if seen > 0}
    shown = {landmark: tuple(places[landmark]) for landmark in HANDLES} | ears
    head = tags.part_object(collection, "head")
    carved = None if head is None else meshes.sculpted(head.data)
    if carved is None:
        return shown
    onto = [one for one in shown if one not in PUPILS]
    moved = _SeenSkin(head, camera, carved).moved_with(np.array([shown[one] for one in onto]), carved)
    return shown | dict(zip(onto, map(tuple, moved.tolist()), strict=True))


def _points(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    found = tags.objects_of(collection, lambda obj: obj.type == "EMPTY" and tags.LANDMARK in obj)
    return [point for point in found if point.parent is not None and tags.INTRINSICS in point.parent]


def _move_to(point: bpy.types.Object, place: tuple[float, float]) -> None:
    fx, fy, cx, cy = point.parent[tags.INTRINSICS]
    x, y = (place[0] - cx) / fx, (place[1] - cy) / fy
    scale = point.parent.matrix_world.to_scale().z  # clipping does not scale with the head
    depth = max(LEAST_DEPTH, CLIP_ROOM * point.parent.data.clip_start / scale)
    point.location = (depth * x, -depth * y, -depth)
    point.empty_display_size = POINT_SHARE * max(point.parent[tags.PHOTO_SIZE]) * depth / fx


def _pixel(point: bpy.types.Object) -> tuple[float, float]:
    """Position of a point on its photo, pixels."""
    x, y, z = (point.matrix_parent_inverse @ point.matrix_basis).translation
    fx, fy, cx, cy = point.parent[tags.INTRINSICS]
    away = max(-z, 1e-6)
    width, height = point.parent[tags.PHOTO_SIZE]
    return min(max(fx * x / away + cx, 0.0), float(width)), min(max(-fy * y / away + cy, 0.0), float(height))


def _corrected(point: bpy.types.Object, place: tuple[float, float]) -> bool:
    """Whether the point was moved by the artist."""
    if tags.CREATED_AT not in point:
        return True
    began = np.clip(np.array(point[tags.CREATED_AT]), 0.0, np.array(point.parent[tags.PHOTO_SIZE], float))
    return bool(np.hypot(*(np.array(place) - began)) > STILL_SHARE * max(point.parent[tags.PHOTO_SIZE]))


@lru_cache(maxsize=32)
def _read(text: str) -> Mapping[str, PhotoCorrections]:
    """Corrections by photo from what ``_store`` wrote; kept, as panels ask on every redraw."""
    return {one["name"]: understood(one) for one in json.loads(text)}


def _stored(collection: bpy.types.Collection) -> dict[str, PhotoCorrections]:
    return dict(_read(collection.get(tags.CORRECTIONS, "[]")))


def _store(collection: bpy.types.Collection, said: Mapping[str, PhotoCorrections]) -> None:
    collection[tags.CORRECTIONS] = json.dumps(list(map(described, said.values())), ensure_ascii=False)
