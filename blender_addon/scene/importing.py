"""Import a result into the scene in slices, so that the window stays responsive."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence

import bpy
import numpy as np
from mathutils import Vector

from ..errors import AddonError
from ..protocol.names import BUST
from ..protocol.result import HeadResult, ResultPart, ResultPhoto
from ..rig.build import rig_steps
from . import corrections, tags
from .cameras import new_camera, photo_camera, remove_camera, set_background, update_camera
from .coordinates import origin_of
from .drivers import drive_keys
from .expressions import expression_unchanged, set_expression
from .frames import to_blender, to_head
from .free_place import place_beside
from .hair import put_hair
from .hair_nodes import follow_group, hair_group, offset_group
from .images import file_bytes, packed_image, replace_packed
from .locks import PartLocks
from .materials import fill_pictures, head_pictures, material_for_part
from .meshes import add_keys, new_mesh, put_own_maps, put_skin_values, same_topology, update_mesh
from .origins import EYES, eye_centre, head_origin, move_origin, neck_pivot, part_seen_from, remember_origin, seen_from
from .own_head import check_editable
from .photo_files import PhotoFile, blender_reads, exif_turn
from .place import Place, remove_head, remove_part, select_alone, units_per_metre
from .skin_detail import detail_steps
from .which_mesh import cameras_by_photo, head_mesh

KEYS_PER_SLICE = 18
COLLECTION_NAME = "Likeness"
CAMERAS_NAME = "Photos"


def import_steps(
    result: HeadResult,
    place: Place,
    photos: Sequence[PhotoFile] = (),
    into: str | None = None,
    pack_photos: bool = True,
    name: str = "",
    armature: bool = False,
) -> Generator[float, None, str]:
    """Build a new head, or update one, in slices of well under 100 ms.

    The caller runs the generator to its end on the main thread and then pushes one undo step (an operator with the
    option ``UNDO`` does this when it finishes). Closing it early, or an error, removes the unfinished new head. Between
    slices only names and numbers are kept, so an undo in between causes an ``AddonError``, not a crash.

    Parameters
    ----------
    photos : the submitted files, used or not, in the order of the submit. They are packed into the .blend
        (``pack_photos``) or referenced by path, are shown as the cameras' backgrounds, and are used to solve again.
    place : the scene for a new head; if the head ``into`` has copies, also selects the one shown there.
    into : ``collection[tags.HEAD_ID]`` of the head to solve again. Its collection, objects, materials, modifiers,
        animation and foreign shape keys stay; shapes, textures and cameras are replaced. None makes a new head.
    armature : whether the head gets bones (``rig``); existing bones stay.
    name : of a new head, for its collection, head object and cameras; "" for generic names.

    Yields
    ------
    The fraction done.

    Returns
    -------
    The name of the head's collection.

    Raises
    ------
    AddonError : one sentence, if the head was removed meanwhile or the data makes no valid mesh.
    """
    build = _Build(result, place, tuple(photos), into, pack_photos, name, armature)
    if into is not None:
        check_editable(build.collection())
    build.choose_origin()
    steps = list(build.steps())
    try:
        for number, step in enumerate(steps):
            step()
            if number + 1 < len(steps):
                yield (number + 1) / len(steps)
    except BaseException:
        if into is None:
            remove_head(build.head_id)
        raise
    return build.collection().name


def import_head(
    result: HeadResult,
    context: bpy.types.Context,
    photos: Sequence[PhotoFile] = (),
    into: str | None = None,
    pack_photos: bool = True,
    name: str = "",
    armature: bool = False,
) -> bpy.types.Collection:
    """Run ``import_steps`` at once for the scene of ``context``; return the head's collection."""
    steps = import_steps(result, Place.shown(context), photos, into, pack_photos, name, armature)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return bpy.data.collections[stop.value]


class _Build:
    """The slices of one import. Every slice looks its data up again."""

    def __init__(
        self,
        result: HeadResult,
        place: Place,
        photos: tuple[PhotoFile, ...],
        into: str | None,
        pack_photos: bool,
        name: str,
        armature: bool,
    ) -> None:
        self.result, self.place = result, place
        self.photos, self.pack_photos = photos, pack_photos
        self.new, self.name, self.armature = into is None, name, armature
        self.edited: tuple[str, ...] = ()
        self.locks = PartLocks()
        self.origin = np.zeros(3, np.float32)
        self.head_id = into or uuid.uuid4().hex

    def choose_origin(self) -> None:
        """Express the result relative to the head object's origin: a new head's, or the existing one."""
        self.origin = neck_pivot(self.result.head) if self.new else head_origin(self.collection())
        self.result = seen_from(self.result, self.origin)

    def steps(self) -> Iterator[Callable[[], object]]:
        if self.new:
            yield self._make_collection
        for part in self.result.parts:
            yield from self._part_steps(part)
        if not self.new and all(part.name != BUST for part in self.result.parts):
            yield lambda: remove_part(self.collection(), BUST)
        yield lambda: put_own_maps(self.object_of, self.result)
        yield lambda: put_skin_values(self.object_of, self.result)
        if not self.result.geometry_only:
            yield self._albedo
        yield self._materials
        for part in self.result.parts[1:]:
            yield lambda part=part: drive_keys(self.object_of(part.name), self.object_of("head"))
        if not self.result.geometry_only:
            yield from detail_steps(self.result.detail, self.collection, lambda: self.object_of("head"))
        if self.result.hair is not None and self.result.hair_cards is None:  # slow, once per file
            yield from (follow_group, offset_group, hair_group)
        yield lambda: put_hair(self.result, self.collection(), self.object_of("head"))
        if self.armature or (not self.new and tags.rig_object(self.collection()) is not None):
            yield from rig_steps(self.collection)
        for photo in self._given_photos():
            yield lambda photo=photo: self._store_photo(photo)
        yield self._put_points_away
        for photo in self.result.photos:
            yield lambda photo=photo: self._camera(photo)
        yield self._provenance
        yield self._put_points_back
        yield self._show

    def collection(self) -> bpy.types.Collection:
        found = tags.collection_of_id(self.head_id, self.place.scene())
        if found is None:
            raise AddonError("The head was removed while it was being imported.", "Reconstruct it again.", "head_gone")
        return found

    def object_of(self, part: str) -> bpy.types.Object:
        found = tags.part_object(self.collection(), part)
        if found is None:
            raise AddonError("The head was changed while it was being imported.", "Reconstruct it again.", "head_gone")
        return found

    def _make_collection(self) -> None:
        collection = bpy.data.collections.new(self.name or COLLECTION_NAME)
        if self.name:
            collection[tags.NAME] = self.name
        collection[tags.HEAD_ID] = self.head_id
        remember_origin(collection, self.origin)
        cameras = bpy.data.collections.new(CAMERAS_NAME)
        cameras[tags.CAMERAS] = self.head_id
        collection.children.link(cameras)

    def _part_steps(self, part: ResultPart) -> Iterator[Callable[[], object]]:
        present = None if self.new else tags.part_object(self.collection(), part.name)
        centre = np.zeros(3, np.float32)  # an eye's centre, relative to the head's origin
        if part.name in EYES and (present is None or tags.ORIGIN in present.data):
            centre = eye_centre(part)
        part, origin = part_seen_from(part, centre), self.origin + centre
        if present is not None and same_topology(present.data, part):
            yield lambda: self._update_part(part, origin)
            return
        yield lambda: self._new_part(part, origin)
        for first in range(0, len(part.key_names), KEYS_PER_SLICE):
            names = part.key_names[first : first + KEYS_PER_SLICE]
            yield lambda names=names: add_keys(self.object_of(part.name), part, names)

    def _update_part(self, part: ResultPart, origin: np.ndarray) -> None:
        obj, head = self.object_of(part.name), self.object_of("head")
        locked = self.locks.of(head, obj)
        update_mesh(obj, part, locked)
        if part.name in EYES and tags.ORIGIN in obj.data:
            if locked is not None:
                origin = origin + locked.mean() * (to_head(origin_of(obj.data)) - origin)
            move_origin(obj, origin)

    def _new_part(self, part: ResultPart, origin: np.ndarray) -> None:
        """Create an object, or new data for one whose faces were edited or that has another version's topology."""
        collection = self.collection()
        obj = tags.part_object(collection, part.name)
        mesh = new_mesh(part)
        if obj is not None:
            before = obj.data
            for material in before.materials:
                mesh.materials.append(material)
            obj.data = mesh
            if tags.ORIGIN in before:
                mesh[tags.ORIGIN] = before[tags.ORIGIN]
                move_origin(obj, origin)
            if before.users == 0:
                bpy.data.meshes.remove(before)
            return
        if tags.ORIGIN in collection or origin.any():
            remember_origin(mesh, origin)
        named = collection.get(tags.NAME) if part.name == "head" else None
        obj = bpy.data.objects.new(named or part.name, mesh)
        obj[tags.PART] = part.name
        obj[tags.HEAD_ID] = self.head_id
        collection.objects.link(obj)
        if part.name == "head":  # a head deleted before solving again: its former children are parented again
            obj.scale = [units_per_metre(self.place.scene())] * 3
            obj.location = Vector(to_blender(origin).tolist()) * obj.scale.x
            for other in [o for o in tags.objects_of(collection) if {tags.PART, tags.HAIR, tags.RIG} & set(o.keys())]:
                if other != obj and other.parent is None:
                    other.parent = obj
        else:
            obj.parent = tags.part_object(collection, "head")
            obj.location = to_blender(origin - self.origin).tolist()
        modifier = obj.modifiers.new("Subdivision", "SUBSURF")
        modifier.levels, modifier.render_levels = 1, 2
        modifier.uv_smooth = "NONE"  # the albedo assumes linearly subdivided UV maps

    def _albedo(self) -> None:
        self._picture(tags.ALBEDO, "albedo", self.result.albedo_png)
        if self.result.eyes.picture_png is not None:
            self._picture(tags.EYES, "eyes", self.result.eyes.picture_png)
        if self.result.lashes is not None:
            self._picture(tags.LASHES, "lashes", self.result.lashes.picture_png)

    def _picture(self, tag: str, name: str, png: bytes) -> None:
        collection = self.collection()
        image = collection.get(tag)
        if image is None:
            image = packed_image(name, png)
            image[tags.HEAD_ID] = self.head_id
            collection[tag] = image
            fill_pictures(self.head_id, head_pictures(collection))
        else:
            replace_packed(image, png)

    def _materials(self) -> None:
        """Assign materials to parts without one; none if the albedo they need is missing."""
        pictures = head_pictures(self.collection())
        if pictures.albedo is None:
            return
        made: dict[str, bpy.types.Material] = {}
        for part in self.result.parts:
            obj = self.object_of(part.name)
            if all(slot.material is None for slot in obj.material_slots):
                material = self.object_of("head").active_material if part.name == BUST else None  # same skin
                if material is None:
                    material = material_for_part(part.name, pictures, made)
                    material[tags.HEAD_ID] = self.head_id
                obj.data.materials.clear()
                obj.data.materials.append(material)
                if material.diffuse_color[3] < 1.0:
                    obj.color = material.diffuse_color  # for views coloured by object

    def _given_photos(self) -> tuple[PhotoFile, ...]:
        """The submitted files, plus names only: stored photos whose files are gone, and used ones."""
        stored = [] if self.new else self.collection().get(tags.PHOTOS, ())
        names = [str(group["name"]) for group in stored if not self.photos or group.get("image") is not None]
        names += [photo.name for photo in self.result.photos]
        given = {photo.name for photo in self.photos}
        return self.photos + tuple(PhotoFile(name) for name in dict.fromkeys(names) if name not in given)

    def _store_photo(self, photo: PhotoFile) -> None:
        image = self._photo_image(photo.name)
        data = photo.read()
        if data is None:
            return
        if image is not None and file_bytes(image) == data:
            return
        if image is None:
            if self.pack_photos or photo.path is None:
                image = packed_image(photo.name, data)
            else:
                image = bpy.data.images.load(photo.path)
            image[tags.HEAD_ID], image[tags.PHOTO] = self.head_id, photo.name
        else:
            replace_packed(image, data)

    def _photo_image(self, name: str) -> bpy.types.Image | None:
        """The image of a photo from the head's list, which copies of a head share; else the head's own."""
        listed = (g.get("image") for g in self.collection().get(tags.PHOTOS, ()) if g["name"] == name)
        own = (image for image in bpy.data.images if image.get(tags.HEAD_ID) == self.head_id)
        return next(filter(None, (*listed, *(image for image in own if image.get(tags.PHOTO) == name))), None)

    def _camera(self, photo: ResultPhoto) -> None:
        collection = self.collection()
        camera, head = cameras_by_photo(collection).get(photo.name), self.object_of("head")
        if camera is None:
            camera = new_camera(photo, max(map(abs, head.scale)), tags.name_of(collection))
            camera[tags.HEAD_ID] = self.head_id
            cameras = next((c for c in collection.children if c.get(tags.CAMERAS) == self.head_id), collection)
            cameras.objects.link(camera)
        camera.parent, camera.parent_type = head, "OBJECT"  # it was solved in the head's own frame
        looked_through = camera in map(photo_camera, bpy.data.scenes)
        compared = looked_through and expression_unchanged(head, dict(camera[tags.EXPRESSION]))
        update_camera(camera, photo)
        if compared:  # keep the photo's expression on the head
            set_expression(head, photo.expression)
        image = self._photo_image(photo.name)
        data = b"" if image is None else file_bytes(image) or b""
        if blender_reads(data):
            set_background(camera, image, exif_turn(data))

    def _put_points_away(self) -> None:
        """Store points dragged during the job, because the cameras they are parented to will move."""
        collection = self.collection()
        self.edited = corrections.edited_photos(collection)
        for photo in self.edited:
            corrections.put_away(collection, photo)

    def _put_points_back(self) -> None:
        """Show the points again for photos being edited; also store corrections of new photos from the list."""
        collection = self.collection()
        corrections.add_unknown(collection, _dicts(self.result.report.get("corrections")))
        for photo in self.edited:
            camera = cameras_by_photo(collection).get(photo)
            if camera is not None and tags.LANDMARKS in camera:
                corrections.put_points(collection, camera)

    def _provenance(self) -> None:
        collection = self.collection()
        said = {entry.get("name"): entry for entry in _dicts(self.result.report.get("photos"))}
        used = {photo.name: photo for photo in self.result.photos}
        groups = []
        for photo in self._given_photos():
            entry, solved = said.get(photo.name, {}), used.get(photo.name)
            gone = self.photos and photo.name not in said and solved is None
            reason = "Its file was not there." if gone else str(entry.get("reason", ""))
            group = {"name": photo.name, "used": solved is not None, "reason": reason}
            image = self._photo_image(photo.name)
            if image is not None:
                group["image"] = image
            for field in ("landmark_error_percent", "photometric_error"):
                if getattr(solved, field, None) is not None:
                    group[field] = getattr(solved, field)
            groups.append(group)
        collection[tags.PHOTOS] = groups
        before = json.loads(collection.get(tags.REPORT, "{}")) if self.result.geometry_only else {}
        collection[tags.REPORT] = json.dumps({**before, **self.result.report}, ensure_ascii=False)
        for camera in tags.camera_objects(collection):
            of_a_copy = head_mesh(camera) not in (None, self.object_of("head"))
            if camera[tags.PHOTO] not in used and not of_a_copy:  # no longer used
                remove_camera(camera)

    def _show(self) -> None:
        """Link the head into the scene if no scene shows it, select only it and make it active."""
        scene = self.place.scene()
        if scene is None:
            raise AddonError("The scene was removed while the head was being imported.", "Reconstruct it again.")
        collection = self.collection()
        if not any(collection in tags.heads_in(other) for other in bpy.data.scenes):
            scene.collection.children.link(collection)
        layers = scene.view_layers
        layer = layers.get(self.place.view_layer) or layers[min(self.place.layer_number, len(layers) - 1)]  # renamed
        head = self.object_of("head")
        if self.new and self.place.at_cursor:
            head.location = scene.cursor.location
        elif self.new:
            place_beside(head, [obj for obj in tags.objects_of(collection) if tags.PART in obj], layer)
        select_alone(head, layer)


def _dicts(entries: object) -> list[dict]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
