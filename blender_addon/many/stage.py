"""A scene for one head: lamps, a camera, and 3D views that show the face beside an open sidebar."""

import bpy
import numpy as np
from mathutils import Quaternion, Vector

from ..objects import tags
from ..redraw import OPENS_ON_HEAD
from ..scene.cameras import show_albedo
from ..scene.importing import bounds
from ..scene.materials import picture_pixels

LAMPS: dict[str, tuple[tuple[float, float, float], float, float]] = {
    "Key Light": ((-0.5, -1.0, 0.5), 1.0, 0.5),
    "Fill Light": ((1.0, -1.0, 0.0), 0.5, 1.0),
    "Rim Light": ((0.5, 1.0, 0.5), 1.0, 0.5),
}
"""Place from the face's middle in metres (x to the person's left, y backwards, z up), share of ``LAMP_WATTS``, and side
in metres: the usual three of a portrait, at arm's length."""
LAMP_WATTS = 18.0
"""With which skin is as bright as its albedo under Blender's usual view transform."""
WORLD_GREY = 0.06
"""Light from everywhere, so that no shadow is black."""
LENS_MM, CAMERA_METRES = 85.0, 1.3
"""A portrait lens, from where the head with its hair fills the picture's height."""
VIEW_METRES = 0.75
"""Distance of the 3D views from the head, with Blender's usual lens for views of 50 mm."""
FRONT = Quaternion((1.0, 0.0, 0.0), np.radians(90.0))
TAGS = ("Likeness", "head")
CATALOGUE_ID = "6d2f0c7e-5b3a-4c55-9a53-0e8d4f1b7a26"
"""Id of the catalogue ``Likeness/Heads`` unless a library already has another one; fixed, so that folders agree."""


def set_up(head: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Link ``head`` into the empty ``scene`` with lamps and a camera, and show it in the file's 3D views."""
    scene.collection.children.link(head)
    scene.name, scene[OPENS_ON_HEAD] = head.name, True
    skin = tags.part_object(head, "head")
    if skin is None:
        return
    low, high = bounds([skin])
    middle = Vector((0.5 * (low + high)).tolist())
    for name, (position, share, side) in LAMPS.items():
        lamp = bpy.data.lights.new(name, "AREA")
        lamp.energy, lamp.size = share * LAMP_WATTS, side
        _stand(scene, bpy.data.objects.new(name, lamp), middle + Vector(position), middle)
    lens = bpy.data.cameras.new("Camera")
    lens.lens = LENS_MM
    scene.camera = bpy.data.objects.new("Camera", lens)
    _stand(scene, scene.camera, middle - Vector((0.0, CAMERA_METRES, 0.0)), middle)
    scene.camera.hide_viewport = True  # its frame would stand around the face; it renders all the same
    scene.render.resolution_x = scene.render.resolution_y
    scene.world = bpy.data.worlds.new("World")
    if scene.world.node_tree is None:  # from 6.0 on every world has nodes and the switch is gone
        scene.world.use_nodes = True
    scene.world.color = (WORLD_GREY,) * 3
    for node in scene.world.node_tree.nodes:
        if node.type == "BACKGROUND":
            node.inputs["Color"].default_value = (*scene.world.color, 1.0)
    skin.select_set(True, view_layer=scene.view_layers[0])
    scene.view_layers[0].objects.active = skin
    skin.use_fake_user = False  # as the file was written
    for area in (area for screen in bpy.data.screens for area in screen.areas if area.type == "VIEW_3D"):
        space = area.spaces.active
        space.show_region_ui, view = True, space.region_3d
        view.view_perspective, view.view_rotation = "PERSP", FRONT
        view.view_location, view.view_distance = middle, VIEW_METRES
        show_albedo(space.shading, material_preview=True)


def _stand(scene: bpy.types.Scene, obj: bpy.types.Object, location: Vector, towards: Vector) -> None:
    """Put a lamp or a camera somewhere, turned to a point."""
    obj.location = location
    obj.rotation_euler = (towards - location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(obj)


def mark_as_asset(collection: bpy.types.Collection, catalogue: str = CATALOGUE_ID) -> None:
    """Mark a head's collection as an asset, or update its description, tags, catalogue and preview, which is the
    backend's portrait of the head. Tags added by the user stay."""
    collection.asset_mark()
    data = collection.asset_data
    photos = sum(bool(photo["used"]) for photo in collection.get(tags.PHOTOS, ()))
    data.description = f"Head from {photos} photo{'' if photos == 1 else 's'}, with 52 shape keys"
    data.catalog_id = catalogue
    for tag in TAGS:
        data.tags.new(tag, skip_if_exists=True)
    portrait = collection.get(tags.PORTRAIT)
    if portrait is None:
        return
    preview = collection.preview_ensure()
    preview.image_size = tuple(portrait.size)
    preview.image_pixels_float.foreach_set(picture_pixels(portrait, 4).ravel())
