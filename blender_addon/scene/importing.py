"""Import a result into the scene in slices, so that the window stays responsive: free space, origins, and drivers by
which the parts' keys follow the head's.
"""

import json
import re
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..client.submissions import PhotoFile
from ..errors import AddonError
from ..objects import meshes, tags
from ..objects.actions import read_key
from ..objects.tags import Place, cameras_by_photo, head_mesh, remove_head, remove_part, select_alone, units_per_metre
from ..protocol.result import HeadResult, ResultPart, ResultPhoto
from ..rig.bones import EYE_LOOK_KEYS, rigid_motion, turning_point
from ..rig.build import rig_steps
from ..shared.names import ALL_PART_NAMES, BUST, GLASSES
from ..shared.options import REMADE
from ..shared.photo_folder import is_mesh
from . import cameras, corrections, materials
from .expressions import PartLocks, expression_unchanged, set_expression
from .hair import put_hair
from .key_shapes import keep_made_keys
from .nodes import assets_of, bundled_groups, group_slices, hair_library
from .own_head import check_editable

VARIABLE = "head"
"""Name of the variable of our drivers."""


def drive_keys(part: bpy.types.Object, head: bpy.types.Object) -> None:
    """Drive every key of ``part`` that the head also has by the head's value.

    Foreign drivers are left alone; our own are pointed to the head's present keys. The drivers sum one variable, so
    they need no Python and work if a file's scripts are blocked.
    """
    keys, head_keys = part.data.shape_keys, head.data.shape_keys
    if keys is None or head_keys is None:
        return
    present = {curve.data_path: curve.driver for curve in keys.animation_data.drivers} if keys.animation_data else {}
    for block in keys.key_blocks[1:]:
        driver = present.get(f'key_blocks["{block.name}"].value')
        if block.name in head_keys.key_blocks and (driver is None or VARIABLE in driver.variables):
            driver = driver or block.driver_add("value").driver
            driver.type = "SUM"
            read_key(driver, VARIABLE, head.data, block.name)


GAP = 0.5
"""Gap between the head and its neighbour, as a share of the head's width, so that they do not touch in the view."""
_NO_SURFACE = {"EMPTY", "LIGHT", "CAMERA", "ARMATURE", "LATTICE", "SPEAKER", "LIGHT_PROBE"}


def free_shift(low: np.ndarray, high: np.ndarray, others: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Distance that a box must move along x to overlap no other box: 0 if free, else to the right.

    Parameters
    ----------
    low, high : (3,) corners of the box.
    others : corners (3,) of boxes.
    """
    gap = GAP * float(high[0] - low[0])
    level = [box for box in others if (low[1:] < box[1][1:]).all() and (high[1:] > box[0][1:]).all()]  # in y and z
    shift = 0.0
    for other_low, other_high in sorted(level, key=lambda box: float(box[0][0])):
        if low[0] + shift < other_high[0] and high[0] + shift > other_low[0] - (gap if shift else 0.0):
            shift = float(other_high[0] - low[0]) + gap
    return shift


def bounds(objects: Sequence[bpy.types.Object]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (3,) of objects in the world, also of objects not evaluated yet."""
    corners = np.concatenate([_corners(obj) for obj in objects])
    return corners.min(axis=0), corners.max(axis=0)


def _corners(obj: bpy.types.Object) -> np.ndarray:
    world = np.array(_world(obj))
    return np.array(obj.bound_box) @ world[:3, :3].T + world[:3, 3]


def _world(obj: bpy.types.Object) -> Matrix:
    """An object's world matrix from its own values, because ``matrix_world`` is from the last evaluation."""
    own = obj.matrix_basis
    return own if obj.parent is None else _world(obj.parent) @ obj.matrix_parent_inverse @ own


def place_beside(head: bpy.types.Object, parts: Sequence[bpy.types.Object], layer: bpy.types.ViewLayer) -> None:
    """Move a new ``head`` and its children beside the visible objects of the layer. parts : its objects, with
    itself."""
    there = set(layer.objects).difference(parts, [None])  # which stands for an object just removed
    others = [obj for obj in there if obj.parent != head and obj.type not in _NO_SURFACE]
    shown = [bounds([obj]) for obj in others if obj.visible_get(view_layer=layer)]
    head.location.x += free_shift(*bounds(parts), shown)


EYES = ("eye_left", "eye_right")


def neck_pivot(head: ResultPart) -> np.ndarray:
    """(3,) centre of the skin's open rim at the neck, where the bone ``neck`` begins, head frame, rounded to a tenth of
    a millimetre; without a rim, of the lowest centimetre."""
    edges = np.sort(np.concatenate([head.quads[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 3), (3, 0))]), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]  # remove the repeated vertex of triangles
    pairs, uses = np.unique(edges, axis=0, return_counts=True)
    height = head.vertices[:, 1]
    rim = np.unique(pairs[uses == 1])
    rim = rim[height[rim] < 0.5 * (height.min() + height.max())]
    if not len(rim):
        rim = np.flatnonzero(height < height.min() + 0.01)
    return np.round(head.vertices[rim].mean(axis=0), 4)


def eye_centre(eye: ResultPart) -> np.ndarray:
    """(3,) centre about which the look keys rotate an eyeball, head frame; without such keys the centre of its box."""
    motions = [
        rigid_motion(eye.vertices, eye.vertices + moves)
        for name, moves in zip(eye.key_names, eye.keys, strict=True)
        if name.startswith(EYE_LOOK_KEYS)
    ]
    found = turning_point(motions)
    return 0.5 * (eye.vertices.min(axis=0) + eye.vertices.max(axis=0)) if found is None else found.astype(np.float32)


def seen_from(result: HeadResult, origin: np.ndarray) -> HeadResult:
    """The result in a frame with its origin at ``origin`` (3,), head frame: parts, hair and cameras."""
    hair, photos = result.hair, []
    if hair is not None:
        scalp = replace(hair.scalp, vertices=_less(hair.scalp.vertices, origin))
        hair = replace(hair, points=_less(hair.points, origin), scalp=scalp)
    for photo in result.photos:
        pose = photo.camera_from_head.copy()
        pose[:3, 3] += pose[:3, :3] @ origin
        photos.append(replace(photo, camera_from_head=pose))
    return replace(
        result, parts=tuple(part_seen_from(part, origin) for part in result.parts), photos=tuple(photos), hair=hair
    )


def part_seen_from(part: ResultPart, origin: np.ndarray) -> ResultPart:
    """One part in such a frame."""
    return replace(part, vertices=_less(part.vertices, origin))


def remember_origin(item: bpy.types.ID, origin: np.ndarray) -> None:
    """Store ``origin`` (3,), head frame, on a mesh or a collection."""
    item[tags.ORIGIN] = meshes.to_blender(origin).tolist()


def move_origin(obj: bpy.types.Object, origin: np.ndarray) -> None:
    """After ``obj``'s mesh was rewritten relative to ``origin`` (3,), head frame: store it, and move the object so that
    its points stay in place."""
    moved = Vector((meshes.to_blender(origin) - meshes.origin_of(obj.data)).tolist())
    obj.location += obj.matrix_basis.to_3x3() @ moved
    remember_origin(obj.data, origin)


def _less(points: np.ndarray, origin: np.ndarray) -> np.ndarray:
    return (points - origin).astype(np.float32)


PER_SLICE = 18
"""Shape keys, or nodes of a group, that a slice makes."""
FIRST_NAMES = frozenset(
    [*ALL_PART_NAMES, "hair", "rig", "Hair", "Hair Cards", *(look.title() for look in materials.LOOKS.values())]
)
"""Names of a head's objects, of their data and of their materials before the person's is put before them."""
_NUMBER = re.compile(r"\.\d{3,}$")
"""What Blender appends to a name that is taken."""
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
    if hair_library() is None:
        result = replace(result, hair=None)
    build = _Build(result, place, tuple(photos), into, pack_photos, name, armature)
    if into is not None:
        check_editable(build.collection())
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


@dataclass
class _Build:
    """The slices of one import. Every slice looks its data up again."""

    result: HeadResult
    place: Place
    photos: tuple[PhotoFile, ...]
    into: str | None
    pack_photos: bool
    name: str
    armature: bool
    edited: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Express the result relative to the head object's origin: a new head's, or the existing one."""
        self.new, self.locks, self.head_id = self.into is None, PartLocks(), self.into or uuid.uuid4().hex
        if self.new:
            self.origin = neck_pivot(self.result.head)
        else:
            self.origin = meshes.to_head(np.array(self.collection()[tags.ORIGIN], np.float32))
        self.result = seen_from(self.result, self.origin)

    def steps(self) -> Iterator[Callable[[], object]]:
        if self.result.only in REMADE and not self.new:
            yield from (self._albedo, self._tone) if self.result.only == "texture" else (self._hair,)
            yield self._show
            return
        if self.new:
            yield self._make_collection
        for part in self.result.parts:
            yield from self._part_steps(part)
        gone = set() if self.new else {BUST, *GLASSES}.difference(part.name for part in self.result.parts)
        for name in gone if not self.result.geometry_only else gone & {BUST}:
            yield lambda name=name: remove_part(self.collection(), name)
        yield lambda: meshes.put_own_maps(self.object_of, self.result)
        yield lambda: meshes.put_skin_values(self.object_of, self.result)
        yield lambda: keep_made_keys(self.object_of("head").data, self.result.head)
        if not self.result.geometry_only:
            yield self._albedo
        for parts in (self.result.parts[:1], self.result.parts[1:]):
            yield lambda parts=parts: self._materials(parts)
        yield self._tone
        for part in self.result.parts[1:]:
            yield lambda part=part: drive_keys(self.object_of(part.name), self.object_of("head"))
        if not self.result.geometry_only:
            yield lambda: materials.put_detail(self.result.detail, self.collection(), self.object_of("head"))
        if self.result.hair is not None:  # slow, once per file
            for third in range(3):
                yield lambda third=third: bundled_groups(assets_of("hair_strands")[third::3])
            for name in ("hair_on_head", "hair_strands"):  # which uses the other
                yield from group_slices(name, PER_SLICE)
        yield lambda: put_hair(self.result, self.collection(), self.object_of("head"))
        if self.armature or (not self.new and tags.rig_object(self.collection()) is not None):
            yield from rig_steps(self.collection)
        yield self._name_after_person
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
        hidden = bpy.data.collections.new(f"{self.name} {CAMERAS_NAME}".strip())
        hidden[tags.CAMERAS], hidden.hide_viewport = self.head_id, True
        collection.children.link(hidden)

    def _part_steps(self, part: ResultPart) -> Iterator[Callable[[], object]]:
        present = None if self.new else tags.part_object(self.collection(), part.name)
        centre = eye_centre(part) if part.name in EYES else np.zeros(3, np.float32)  # relative to the head's origin
        part, origin = part_seen_from(part, centre), self.origin + centre
        if present is not None and meshes.same_topology(present.data, part):
            yield lambda: self._update_part(part, origin)
            return
        yield lambda: self._new_part(part, origin)
        for first in range(0, len(part.key_names), PER_SLICE):
            names = part.key_names[first : first + PER_SLICE]
            yield lambda names=names: meshes.add_keys(self.object_of(part.name), part, names)

    def _update_part(self, part: ResultPart, origin: np.ndarray) -> None:
        obj, head = self.object_of(part.name), self.object_of("head")
        locked = self.locks.of(head, obj)
        meshes.update_mesh(obj, part, locked)
        if part.name in EYES:
            if locked is not None:
                origin = origin + locked.mean() * (meshes.to_head(meshes.origin_of(obj.data)) - origin)
            move_origin(obj, origin)

    def _new_part(self, part: ResultPart, origin: np.ndarray) -> None:
        """Create an object, or new data for one whose faces were edited or that has another version's topology."""
        collection = self.collection()
        obj = tags.part_object(collection, part.name)
        mesh = meshes.new_mesh(part)
        if obj is not None:
            mesh[tags.ORIGIN] = meshes.origin_of(obj.data).tolist()
            tags.replace_data(obj, mesh)
            move_origin(obj, origin)
            return
        remember_origin(mesh, origin)
        named = collection.get(tags.NAME) if part.name == "head" else None
        obj = bpy.data.objects.new(named or part.name, mesh)
        obj[tags.PART] = part.name
        obj[tags.HEAD_ID] = self.head_id
        collection.objects.link(obj)
        if part.name == "head":  # a head deleted before solving again: its former children are parented again
            obj.scale = [units_per_metre(self.place.scene())] * 3
            obj.location = Vector(meshes.to_blender(origin).tolist()) * obj.scale.x
            for other in [o for o in tags.objects_of(collection) if {tags.PART, tags.HAIR, tags.RIG} & set(o.keys())]:
                if other != obj and other.parent is None:
                    other.parent = obj
        else:
            obj.parent = tags.part_object(collection, "head")
            obj.location = meshes.to_blender(origin - self.origin).tolist()
        modifier = obj.modifiers.new("Subdivision", "SUBSURF")
        modifier.levels, modifier.render_levels = 1, 2
        modifier.uv_smooth = "NONE"  # the albedo assumes linearly subdivided UV maps

    def _albedo(self) -> None:
        self._picture(tags.ALBEDO, "albedo", self.result.albedo_png)
        self.collection().pop(materials.MEASURED, None)
        if self.result.eyes.picture_png is not None:
            self._picture(tags.EYES, "eyes", self.result.eyes.picture_png)
        if self.result.lashes is not None:
            self._picture(tags.LASHES, "lashes", self.result.lashes.picture_png)
        if self.result.portrait_png is not None:
            self._picture(tags.PORTRAIT, "portrait", self.result.portrait_png)

    def _tone(self) -> None:
        """Give a new albedo or material the tone that was chosen."""
        if materials.TONED in (collection := self.collection()):
            materials.put_tone(collection, *collection[materials.TONED])

    def _picture(self, tag: str, name: str, png: bytes) -> None:
        collection = self.collection()
        image = collection.get(tag)
        if image is None:
            image = materials.packed_image(name, png)
            image[tags.HEAD_ID] = self.head_id
            collection[tag] = image
            materials.fill_pictures(collection)
        else:
            materials.replace_packed(image, png)

    def _materials(self, parts: tuple[ResultPart, ...]) -> None:
        """Assign materials to those of ``parts`` without one; none if the albedo they need is missing."""
        if (collection := self.collection()).get(tags.ALBEDO) is None:
            return
        made: dict[str, bpy.types.Material] = {}
        for part in parts:
            obj = self.object_of(part.name)
            if all(slot.material is None for slot in obj.material_slots):
                material = self.object_of("head").active_material if part.name == BUST else None  # same skin
                if material is None:
                    material = materials.material_for_part(part.name, collection, made)
                    material[tags.HEAD_ID] = self.head_id
                    if part.name in self.result.looks:
                        materials.tint(material, self.result.looks[part.name])
                obj.data.materials.clear()
                obj.data.materials.append(material)
                if material.diffuse_color[3] < 1.0:
                    obj.color = material.diffuse_color  # for views coloured by object

    def _name_after_person(self) -> None:
        """Put the person's name before every first name of objects, their data and materials: ``Anna eye_left``."""
        person = tags.name_of(self.collection())
        own = [obj for obj in tags.objects_of(self.collection()) if {tags.PART, tags.HAIR, tags.RIG} & set(obj.keys())]
        used = (item for obj in own for item in (obj, obj.data, *(slot.material for slot in obj.material_slots)))
        for item in dict.fromkeys(filter(None, used)) if person else ():
            first = _NUMBER.sub("", item.name)
            if first in FIRST_NAMES and item.library is None:
                item.name = f"{person} {first}"

    def _given_photos(self) -> tuple[PhotoFile, ...]:
        """The submitted files, plus names only: stored photos whose files are gone, and used ones."""
        stored = [] if self.new else self.collection().get(tags.PHOTOS, ())
        names = [str(group["name"]) for group in stored if not self.photos or group.get("image") is not None]
        names += [photo.name for photo in self.result.photos]
        given = {photo.label for photo in self.photos}
        return self.photos + tuple(PhotoFile(name) for name in dict.fromkeys(names) if name not in given)

    def _store_photo(self, photo: PhotoFile) -> None:
        image = self._photo_image(photo.label)
        try:
            data = photo.path.read_bytes() if photo.path else photo.data
        except OSError:
            data = None
        if data is None or (image is not None and materials.file_bytes(image) == data):
            return
        if image is None:
            if self.pack_photos or photo.path is None:
                image = materials.packed_image(photo.label, data)
            else:
                image = bpy.data.images.load(str(photo.path))
            image[tags.HEAD_ID], image[tags.PHOTO] = self.head_id, photo.label
        else:
            materials.replace_packed(image, data)

    def _photo_image(self, name: str) -> bpy.types.Image | None:
        """The image of a photo from the head's list, which copies of a head share; else the head's own."""
        listed = (g.get("image") for g in self.collection().get(tags.PHOTOS, ()) if g["name"] == name)
        own = (image for image in bpy.data.images if image.get(tags.HEAD_ID) == self.head_id)
        return next(filter(None, (*listed, *(image for image in own if image.get(tags.PHOTO) == name))), None)

    def _camera(self, photo: ResultPhoto) -> None:
        collection = self.collection()
        camera, head = cameras_by_photo(collection).get(photo.name), self.object_of("head")
        if camera is None:
            camera = cameras.new_camera(photo, max(map(abs, head.scale)), tags.name_of(collection))
            camera[tags.HEAD_ID] = self.head_id
            (tags.cameras_collection(collection) or collection).objects.link(camera)
        camera.parent, camera.parent_type = head, "OBJECT"  # it was solved in the head's own frame
        looked_through = camera in map(cameras.photo_camera, bpy.data.scenes)
        compared = looked_through and expression_unchanged(head, dict(camera[tags.EXPRESSION]))
        cameras.update_camera(camera, photo)
        if compared:  # keep the photo's expression on the head
            set_expression(head, photo.expression)
        image = self._photo_image(photo.name)
        data = b"" if image is None else materials.file_bytes(image) or b""
        if cameras.blender_reads(data):
            cameras.set_background(camera, image, *cameras.exif_turn(data))

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
            if camera is not None:
                corrections.put_points(collection, camera)

    def _provenance(self) -> None:
        collection = self.collection()
        said = {entry.get("name"): entry for entry in _dicts(self.result.report.get("photos"))}
        used = {photo.name: photo for photo in self.result.photos}
        groups = []
        for photo in self._given_photos():
            entry, solved = said.get(photo.label, {}), used.get(photo.label)
            gone = self.photos and photo.label not in said and solved is None
            reason = "Its file was not there." if gone else str(entry.get("reason", ""))
            used_mesh = is_mesh(photo.label) and entry.get("used", False)  # of which no camera is left
            group = {"name": photo.label, "used": solved is not None or used_mesh, "reason": reason}
            image = self._photo_image(photo.label)
            if image is not None:
                group["image"] = image
            for field in ("landmark_error_percent", "photometric_error"):
                if getattr(solved, field, None) is not None:
                    group[field] = getattr(solved, field)
            groups.append(group)
        collection[tags.PHOTOS] = groups
        self._note_report()
        if not self.result.geometry_only:
            collection[tags.JOB] = self.result.token
        for camera in tags.camera_objects(collection):
            of_a_copy = head_mesh(camera) not in (None, self.object_of("head"))
            if camera[tags.PHOTO] not in used and not of_a_copy:  # no longer used
                tags.remove_object(camera)

    def _hair(self) -> None:
        """Put other hair on the head as it is now."""
        put_hair(self.result, self.collection(), self.object_of("head"))
        self._note_report()

    def _note_report(self) -> None:
        """Keep the report; what a part that is made anew does not say, settings too, stays as it was."""
        collection = self.collection()
        before = json.loads(collection.get(tags.REPORT, "{}")) if self.result.geometry_only else {}
        report = {**before, **self.result.report}
        settings = [one["settings"] for one in (before, self.result.report) if isinstance(one.get("settings"), dict)]
        if len(settings) == 2:
            report["settings"] = settings[0] | settings[1]
        collection[tags.REPORT] = json.dumps(report, ensure_ascii=False)

    def _show(self) -> None:
        """Link the head into the scene if no scene shows it, and select it as ``place`` says."""
        scene = self.place.scene()
        if scene is None:
            raise AddonError("The scene was removed while the head was being imported.", "Reconstruct it again.")
        collection = self.collection()
        if not any(collection in tags.heads_in(other) for other in bpy.data.scenes):
            scene.collection.children.link(collection)
        layer = scene.view_layers.get(self.place.view_layer) or scene.view_layers[0]
        head = self.object_of("head")
        if self.new and self.place.at_cursor:
            head.location = scene.cursor.location
        elif self.new:
            place_beside(head, [obj for obj in tags.objects_of(collection) if tags.PART in obj], layer)
        if not self.new:
            cameras.join_local_views(obj for obj in tags.objects_of(collection) if obj.type != "CAMERA")
        if self.place.selects:
            select_alone(head, layer)


def _dicts(entries: object) -> list[dict]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
