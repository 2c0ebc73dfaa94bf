"""Find a head's data again: custom properties, because names and objects can be changed by anybody; which mesh the
artist means; where it stands, in which unit; its removal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import bpy

from ..shared.names import ARKIT_NAMES, GLASSES

HEAD_ID = "likeness_id"
"""On a head's collection: a random id. On its objects and images: the same id."""
PART = "likeness_part"
"""On an object: which part of the head it is."""
PHOTO = "likeness_photo"
"""On a camera object and on an image: the photo's name."""
EXPRESSION = "likeness_expression"
"""On a camera object: ARKit name -> weight of the photo's expression."""
PHOTO_SIZE = "likeness_photo_size"
"""On a camera object: width and height of the photo after EXIF rotation."""
PIXEL_ASPECT = "likeness_pixel_aspect"
"""On a camera object: the photo's pixel aspect x, y."""
PHOTOS = "likeness_photos"
"""On a head's collection: one group per given photo: name, used, reason, image and error figures."""
REPORT = "likeness_report"
"""On a head's collection: the backend's report, JSON."""
JOB = "likeness_job"
"""On a head's collection: token of the job that solved it last, by which a backend knows it for a while."""
ALBEDO = "likeness_albedo"
"""On a head's collection: the albedo image."""
EYES = "likeness_eyes"
"""On a head's collection: the picture of its eyes."""
LASHES = "likeness_lashes"
"""On a head's collection: the picture of its lashes."""
PORTRAIT = "likeness_portrait"
"""On a head's collection: the picture of it in the Asset Browser."""
HAIR = "likeness_hair"
"""On a head's hair: fingerprint of its points as they were made."""
RELIEF = "likeness_relief"
"""On an image: which relief map it is. On the skin's material: the setup its nodes were built for."""
REACH = "likeness_reach"
"""On the image of the relief at rest: millimetres from mid grey to black or white."""
BODY_SKIN = "likeness_body_skin"
"""On the image of a body's skin: id of the head it was made from."""
BODY_BEFORE = "likeness_body_before"
"""On such an image: the body's previous texture."""
NAME = "likeness_name"
"""On a head's collection: the person's name, if given; also used to name data added later."""
RIG = "likeness_rig"
"""On a head's armature object."""
ORIGIN = "likeness_origin"
"""On a part's mesh, and on a head's collection for its head: the origin in the head frame, Blender's axes, metres."""
CAMERAS = "likeness_cameras"
"""On the collection of a head's cameras: the head's id."""


CORRECTIONS = "likeness_corrections"
"""On a head's collection, JSON: corrections of photos as a job's message has them."""
SHAPE, HAIR_SHAPE = "likeness_shape", "likeness_hair_shape"
"""On a head's collection: slider of shape or hair -> the value that is in the meshes or strands."""
LANDMARKS = "likeness_landmarks"
HEAD_POINTS = "likeness_head_points"
"""On a camera object, pixels of the photo. Landmarks: 478 x (x, y detected, x, y fitted). Head points: 11 x (x, y
fitted, visibility)."""
INTRINSICS = "likeness_intrinsics"
"""On a camera object: focal lengths x and y, principal point x and y, in pixels of the photo."""
LANDMARK = "likeness_landmark"
"""On a draggable point: index of the landmark, or of a head point (numbered after the 478 landmarks)."""
CREATED_AT = "likeness_begun"
"""On such a point: x and y in pixels of the photo where it was created; missing if it was corrected earlier."""


def head_collections() -> list[bpy.types.Collection]:
    """All heads in the file."""
    return [collection for collection in bpy.data.collections if HEAD_ID in collection]


def heads_in(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """The heads shown in a scene."""
    outermost = [c for c in scene.collection.children if HEAD_ID in c]
    if len(outermost) == len(head_collections()):  # the common case first, a hundred times per redraw
        return outermost
    return list(dict.fromkeys(c for c in scene.collection.children_recursive if HEAD_ID in c))


def collection_of_id(head_id: str, scene: bpy.types.Scene | None = None) -> bpy.types.Collection | None:
    """The collection of the head ``head_id``, None if it is gone; among copies the one shown in ``scene``."""
    shown = heads_in(scene) if scene is not None else []
    return next((c for c in (*shown, *head_collections()) if c[HEAD_ID] == head_id), None)


def active_head(context: bpy.types.Context) -> bpy.types.Collection | None:
    """The head of the active object, else of a selected one, else the scene's only head, else None.

    Among copies with the same id, the one that contains the object.
    """
    heads = heads_in(context.scene)
    if len(heads) < 2:
        return heads[0] if heads else None
    for obj in _chosen(context):
        of_id = [c for c in heads if obj is not None and obj.get(HEAD_ID) == c[HEAD_ID]]
        if of_id:
            return next((c for c in of_id if obj in c.all_objects[:]), of_id[0])
    return None


def _chosen(context: bpy.types.Context) -> Iterator[bpy.types.Object | None]:
    """The active object, then the selected ones, lazily: Blender rebuilds that list on every access."""
    yield context.active_object
    yield from context.selected_objects


def name_of(collection: bpy.types.Collection) -> str:
    """The name that the artist gave the head; empty if none was given."""
    return str(collection.get(NAME, ""))


def objects_of(
    collection: bpy.types.Collection, wanted: Callable[[bpy.types.Object], bool] = lambda _: True
) -> list[bpy.types.Object]:
    """A head's objects that satisfy ``wanted``, in its collection or moved by the user into others."""
    return [*filter(wanted, collection.all_objects), *_moved_out(collection, wanted)]


def part_object(collection: bpy.types.Collection, part: str) -> bpy.types.Object | None:
    """A head's object for ``part``, None if it was deleted."""
    return _first(collection, lambda obj: obj.type == "MESH" and obj.get(PART) == part)


def worn_glasses(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """A head's frame and lenses, those that it has."""
    return [obj for name in GLASSES if (obj := part_object(collection, name)) is not None]


def hair_object(collection: bpy.types.Collection) -> bpy.types.Object | None:
    """A head's strands, None if it has none or they were deleted."""
    return _first(collection, lambda obj: obj.type == "CURVES" and HAIR in obj)


def cameras_collection(collection: bpy.types.Collection) -> bpy.types.Collection | None:
    """The collection of a head's cameras, None if it was removed. It is hidden in the views of a new head."""
    return next((c for c in collection.children_recursive if c.get(CAMERAS) == collection[HEAD_ID]), None)


def rig_object(collection: bpy.types.Collection) -> bpy.types.Object | None:
    """A head's armature object, None if it has none."""
    rigs = bpy.data.armatures  # in most files there is none, and panels ask on every redraw
    return _first(collection, lambda obj: obj.type == "ARMATURE" and RIG in obj) if rigs else None


def camera_objects(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """A head's cameras, in the order in which the photos were solved."""
    cameras = objects_of(collection, lambda obj: obj.type == "CAMERA" and PHOTO in obj)
    order = {group["name"]: number for number, group in enumerate(collection.get(PHOTOS, ()))}
    return sorted(cameras, key=lambda camera: order.get(camera[PHOTO], len(order)))


def _first(collection: bpy.types.Collection, wanted: Callable[[bpy.types.Object], bool]) -> bpy.types.Object | None:
    """The first object of ``objects_of``; faster, as the panel calls it dozens of times per redraw."""
    inside = next((obj for obj in collection.all_objects if wanted(obj)), None)
    return inside if inside is not None else next(iter(_moved_out(collection, wanted)), None)


def _moved_out(collection: bpy.types.Collection, wanted: Callable[[bpy.types.Object], bool]) -> list[bpy.types.Object]:
    """Matching objects of a head outside all head collections, in scenes that show this head but no copy of it."""
    head_id = collection[HEAD_ID]
    if not any(wanted(obj) for scene in bpy.data.scenes for obj in scene.objects):
        return []  # quick exit: most heads lack an armature, for example, and this runs at every redraw
    held = {obj for other in head_collections() if other[HEAD_ID] == head_id for obj in other.all_objects}
    scenes = [s for s in bpy.data.scenes if [c for c in heads_in(s) if c[HEAD_ID] == head_id] == [collection]]
    shown = dict.fromkeys(obj for scene in scenes for obj in scene.objects if obj.get(HEAD_ID) == head_id)
    return [obj for obj in shown if obj not in held and wanted(obj)]


def head_mesh(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    """The head mesh that an object is or is parented to, possibly a copy; None for other objects."""
    if obj is None or HEAD_ID not in obj:
        return None
    while obj is not None and not (obj.type == "MESH" and obj.get(PART) == "head"):
        obj = obj.parent
    return obj


def key_mesh(obj: bpy.types.Object) -> bpy.types.Object:
    """The mesh whose keys ``obj`` follows: for eyes or teeth that of their parent head, else ``obj`` itself."""
    of_head = head_mesh(obj) if PART in obj else None
    return of_head or obj


def active_mesh(context: bpy.types.Context, collection: bpy.types.Collection) -> bpy.types.Object | None:
    """The head's active or selected mesh, possibly a copy; else its own, None if that was deleted."""
    for obj in (context.active_object, *context.selected_objects):
        mesh = head_mesh(obj)
        if mesh is not None and mesh.get(HEAD_ID) == collection[HEAD_ID]:
            return mesh
    return part_object(collection, "head")


def copy_words(mesh: bpy.types.Object | None, collection: bpy.types.Collection) -> str:
    """A sentence on what solving again does if ``mesh`` is a copy with its own shape; else ""."""
    own = part_object(collection, "head")
    if mesh is None or own is None or mesh.data == own.data:
        return ""
    return f"{mesh.name} is a copy and keeps its shape: solving again changes {own.name}."


def part_on(collection: bpy.types.Collection, mesh: bpy.types.Object, part: str) -> bpy.types.Object | None:
    """The part parented to ``mesh``, else the head's own, None if both were deleted."""
    parts = [obj for obj in objects_of(collection) if obj.type == "MESH" and obj.get(PART) == part]
    return next((obj for obj in parts if head_mesh(obj) == mesh), None) or part_object(collection, part)


def cameras_by_photo(
    collection: bpy.types.Collection, mesh: bpy.types.Object | None = None
) -> dict[str, bpy.types.Object]:
    """Photo -> its camera for ``mesh``: one parented to it, else the head's own. None stands for the head's own
    mesh."""
    own = part_object(collection, "head")
    mesh = mesh or own
    found: dict[str, bpy.types.Object] = {}
    for camera in camera_objects(collection):
        hangs_on, photo = head_mesh(camera), str(camera[PHOTO])
        if hangs_on == mesh and (photo not in found or head_mesh(found[photo]) != mesh):
            found[photo] = camera
        elif hangs_on in (None, own):
            found.setdefault(photo, camera)
    return found


def expressive_meshes(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The active and the selected meshes with the 52 keys, each mesh data once; if there are none, the active
    head's."""
    chosen = [key_mesh(obj) for obj in (context.active_object, *context.selected_objects) if obj is not None]
    meant = {obj.data.name_full: obj for obj in chosen if has_all_keys(obj)}
    collection = active_head(context)
    own = active_mesh(context, collection) if collection is not None and not meant else None
    return list(meant.values()) if own is None else [own]


def has_all_keys(obj: bpy.types.Object) -> bool:
    """Whether an object is a mesh with ARKit's 52 keys."""
    keys = obj.data.shape_keys if obj.type == "MESH" else None
    return keys is not None and set(keys.key_blocks.keys()).issuperset(ARKIT_NAMES)


@dataclass(frozen=True)
class Place:
    """Where a head is placed.

    Attributes
    ----------
    scene_uid : ``session_uid`` of the scene. It survives renaming and undo; a copy of the scene gets its own.
    view_layer : name of the scene's view layer in which the head becomes the active object; the first if it is gone.
    at_cursor : whether a new head's origin goes to the scene's 3D cursor at its arrival; else it stands beside the
        existing objects.
    selects : whether the head becomes the only selected and the active object.
    """

    scene_uid: int
    view_layer: str
    at_cursor: bool = False
    selects: bool = True

    @classmethod
    def shown(cls, context: bpy.types.Context, at_cursor: bool = False, selects: bool = True) -> Place:
        """The scene and view layer of the context's window."""
        return cls(context.scene.session_uid, context.view_layer.name, at_cursor, selects)

    def scene(self) -> bpy.types.Scene | None:
        """The scene, None if it was deleted."""
        return next((scene for scene in bpy.data.scenes if scene.session_uid == self.scene_uid), None)


def units_per_metre(scene: bpy.types.Scene | None) -> float:
    """Scale that gives a head its real size in scenes whose unit is not the metre, as in Blender's own importers."""
    units = None if scene is None else scene.unit_settings
    return 1.0 if units is None or units.system == "NONE" else 1.0 / units.scale_length


def remove_object(obj: bpy.types.Object) -> None:
    """Remove an object; its data stays if another one uses it."""
    data = obj.data
    bpy.data.objects.remove(obj)
    if data.users == 0:
        bpy.data.batch_remove([data])


def replace_data(obj: bpy.types.Object, data: bpy.types.ID) -> None:
    """Give an object other data with the same materials; the old data stays if another one uses it."""
    for material in obj.data.materials:  # before: data without slots takes the object's own from it
        data.materials.append(material)
    before, obj.data = obj.data, data
    if before.users == 0:
        bpy.data.batch_remove([before])


def remove_part(collection: bpy.types.Collection, part: str) -> None:
    """Remove one object of a head, and its mesh if it has no other users; no effect if missing."""
    obj = part_object(collection, part)
    if obj is not None:
        remove_object(obj)


def remove_head(head_id: str) -> None:
    """Remove all data of the head ``head_id`` from the file."""
    owned = [
        item
        for items in (bpy.data.objects, bpy.data.collections, bpy.data.materials, bpy.data.images)
        for item in items
        if item.get(HEAD_ID) == head_id or item.get(CAMERAS) == head_id
    ]
    owned += [item.data for item in owned if isinstance(item, bpy.types.Object) and item.data is not None]
    bpy.data.batch_remove(owned)


def select_alone(obj: bpy.types.Object, layer: bpy.types.ViewLayer) -> None:
    """Select only ``obj`` in a view layer and make it active; no effect if the layer excludes it."""
    try:
        obj.select_set(True, view_layer=layer)
    except RuntimeError:
        return
    layer.objects.active = obj
    for other in list(layer.objects.selected):
        if other != obj:
            other.select_set(False, view_layer=layer)


def active_face(context: bpy.types.Context) -> bpy.types.Object | None:
    """The mesh that *Face Keys* shows: the active one with all 52 keys, possibly a copy of a head or another
    character's, else the active head's own; None if there is none."""
    active = context.active_object
    chosen = None if active is None else key_mesh(active)
    return chosen if chosen is not None and has_all_keys(chosen) else own_face(context)


def own_face(context: bpy.types.Context) -> bpy.types.Object | None:
    """The mesh of the active head whose keys drive the other parts', None if there is none with keys."""
    collection = active_head(context)
    head = None if collection is None else part_object(collection, "head")
    return None if head is None or head.data.shape_keys is None else head


def head_keys(context: bpy.types.Context) -> bpy.types.bpy_prop_collection | None:
    """The key blocks of ``active_face``, None if there are none."""
    head = active_face(context)
    return None if head is None else head.data.shape_keys.key_blocks


def active_rig(context: bpy.types.Context) -> bpy.types.Object | None:
    """The active head's armature object, None if there is none."""
    collection = active_head(context)
    return None if collection is None else rig_object(collection)
