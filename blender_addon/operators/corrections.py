"""Operators that correct what the solve read from photos: landmarks, what a photo is used for, and masks painted with
a brush in the view through the photo's camera.
"""

import math

import bpy
import gpu
import numpy as np
from bpy.props import EnumProperty, StringProperty
from bpy_extras.view3d_utils import location_3d_to_region_2d
from gpu_extras.batch import batch_for_shader

from ..objects import tags
from ..scene import corrections, hair
from ..scene.cameras import join_local_views, zoom_to
from ..settings.properties import USES
from ..text import NO_HEAD, LikenessOperator, NamedByClass, needs

NO_POINTS = "Select landmarks of a photo. Edit Landmarks puts them out"


class HeadPhotoOperator:
    """Mix-in: an operator on one photo of the active head."""

    photo: StringProperty(name="Photo", options={"SKIP_SAVE"})

    poll = needs((tags.active_head, NO_HEAD))


class EditLandmarks(HeadPhotoOperator, LikenessOperator):
    """Look through this photo and drag its landmarks to where they are; once more to have done with it"""

    def run(self, context: bpy.types.Context) -> set[str] | None:
        collection = tags.active_head(context)
        was_edited = corrections.edited_photos(collection)
        for photo in was_edited:
            corrections.put_away(collection, photo)
        show_head(context, collection, True)
        if self.photo in was_edited:
            return {"FINISHED"}
        camera = tags.cameras_by_photo(collection, tags.active_mesh(context, collection)).get(self.photo)
        if camera is None:
            return self.refuse(f"The camera of {self.photo} is not in the file any more.")
        bpy.ops.likeness.look_through(photo=self.photo)
        points = corrections.put_points(collection, camera)
        join_local_views(points)
        show_head(context, collection, False)
        for obj in list(context.selected_objects):
            obj.select_set(False)
        context.view_layer.objects.active = points[0]
        context.view_layer.update()
        zoom_to(context, [point.matrix_world.translation for point in points])


class StarPhoto(HeadPhotoOperator, LikenessOperator):
    """Give the head this photo's hair and beard when it is solved again; once more to let them be chosen"""

    bl_label = "Look"

    def run(self, context: bpy.types.Context) -> None:
        wished = tags.active_head(context).likeness
        wished.look = "" if wished.look == self.photo else self.photo
        for photo in context.scene.likeness.photos:  # a star of the list would win over it
            photo.leads = False


class ShowHead(LikenessOperator):
    """Show or hide the head, to see the photo below the landmarks"""

    poll = needs((tags.active_head, NO_HEAD))

    def run(self, context: bpy.types.Context) -> None:
        collection = tags.active_head(context)
        head = tags.part_object(collection, "head")
        show_head(context, collection, head is not None and head.hide_get())


class ResetPoints(HeadPhotoOperator, LikenessOperator):
    """Forget where you have put this photo's landmarks"""

    def run(self, context: bpy.types.Context) -> None:
        corrections.reset_points(tags.active_head(context), self.photo)


class SnapToFit(LikenessOperator):
    """Put the selected landmarks back to where the fit has them; they are not sent as corrections any more"""

    bl_label = "Snap to Fit"

    poll = needs(
        (tags.active_head, NO_HEAD),
        (lambda context: corrections.selected_points(context, tags.active_head(context)), NO_POINTS),
    )

    def run(self, context: bpy.types.Context) -> set[str]:
        collection = tags.active_head(context)
        points = corrections.selected_points(context, collection)
        moved = corrections.snap_to_fit(collection, points)
        if moved < len(points):
            self.report({"WARNING"}, f"{len(points) - moved} of these landmarks have no position in the fit.")
        return {"FINISHED"} if moved else {"CANCELLED"}


class PullSkin(HeadPhotoOperator, LikenessOperator):
    """Move the skin to this photo's dragged landmarks at once, near them alone; the other landmarks hold it where it \
is. It is kept like a sculpt"""

    bl_label = "Pull"

    def run(self, context: bpy.types.Context) -> set[str] | None:
        collection = tags.active_head(context)
        if not corrections.pull_to_points(collection, self.photo, collection.likeness.reach):
            return self.refuse("No landmark of this photo was dragged.")
        hair.move_hair(collection, tags.part_object(collection, "head"))
        join_local_views(tags.objects_of(collection, lambda obj: tags.LANDMARK in obj))


class UsePhotoFor(HeadPhotoOperator, LikenessOperator):
    """What this photo is used for when the head is solved again"""

    use: EnumProperty(name="Use For", items=USES, options={"SKIP_SAVE"})

    def run(self, context: bpy.types.Context) -> None:
        corrections.change(tags.active_head(context), self.photo, use=self.use)


def show_head(context: bpy.types.Context, collection: bpy.types.Collection, shown: bool) -> None:
    """Show or hide a head's meshes and hair in the view layer."""
    for obj in tags.objects_of(collection):
        if (tags.PART in obj or tags.HAIR in obj) and context.view_layer.objects.get(obj.name) == obj:
            obj.hide_set(not shown)


def close_all(context: bpy.types.Context) -> None:
    """Store and remove the draggable points of all heads of the scene."""
    for collection in tags.heads_in(context.scene):
        if photos := corrections.edited_photos(collection):
            for photo in photos:
                corrections.put_away(collection, photo)
            show_head(context, collection, True)


HINT = "Mask: drag | Clear: Ctrl drag | Brush: [ and ] | Undo: Ctrl Z | Keep: Enter | Give up: Esc"
MASK_COLOR = (0.9, 0.15, 0.1, 0.45)
BRUSH_COLOR = (1.0, 1.0, 1.0, 0.9)
FIRST_BRUSH, BRUSH_STEP = 0.03, 1.2
"""Initial brush radius as a share of the photo's longer side (a thumb's width on a portrait), and the factor of [ and
]."""
LEAST_BRUSH, LARGEST_BRUSH = 0.004, 0.25
_VIEW_EVENTS = {"MIDDLEMOUSE", "WHEELUPMOUSE", "WHEELDOWNMOUSE", "TRACKPADPAN", "TRACKPADZOOM", "MOUSEROTATE", "HOME"}


class Painting:
    """A mask being painted, with its undo history, newest last."""

    def __init__(self, size: tuple[int, int], cells: np.ndarray) -> None:
        self.size, self.brush = size, FIRST_BRUSH
        self.kept = [cells]
        self._last: tuple[float, float] | None = None
        self._masks = True

    @property
    def cells(self) -> np.ndarray:
        """(H, W) bool: the current mask."""
        return self.kept[-1]

    @property
    def radius(self) -> float:
        """Radius of the brush, pixels of the photo."""
        return self.brush * max(self.size)

    @property
    def drawing(self) -> bool:
        """Whether the mouse button is held."""
        return self._last is not None

    def begin(self, place: tuple[float, float], masks: bool) -> None:
        """Start a stroke at ``place`` (pixels of the photo) that masks or clears."""
        self.kept.append(self.cells)
        self._last, self._masks = place, masks
        self.go(place)

    def go(self, place: tuple[float, float]) -> None:
        """Continue the stroke to ``place``; no effect if the button is not held."""
        if self._last is not None:
            self.kept[-1] = corrections.stroke(self.cells, self.size, self._last, place, self.radius, self._masks)
            self._last = place

    def end(self) -> None:
        """End the stroke."""
        self._last = None

    def undo(self) -> None:
        """Undo the newest stroke."""
        if not self.drawing and len(self.kept) > 1:
            self.kept.pop()

    def resize(self, factor: float) -> None:
        """Scale the brush."""
        self.brush = min(max(self.brush * factor, LEAST_BRUSH), LARGEST_BRUSH)


class PaintMask(NamedByClass, HeadPhotoOperator, bpy.types.Operator):
    """Look through this photo and paint over what of it is not to be used: a hand, a strand, a reflection"""

    bl_label = "Mask"
    bl_options = {"REGISTER", "UNDO"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        collection = tags.active_head(context)
        camera = tags.cameras_by_photo(collection, tags.active_mesh(context, collection)).get(self.photo)
        if camera is None:
            return self.refuse(f"The camera of {self.photo} is not in the file any more.")
        area = context.area
        region = next((one for one in area.regions if one.type == "WINDOW"), None) if area else None
        if region is None or area.type != "VIEW_3D":
            return self.refuse("Masks are painted in a 3D View.")
        for photo in corrections.edited_photos(collection):
            corrections.put_away(collection, photo)
        bpy.ops.likeness.look_through(photo=self.photo)
        show_head(context, collection, False)
        size = tuple(int(side) for side in camera[tags.PHOTO_SIZE])
        mask = corrections.of_photo(collection, self.photo).mask
        self._painting = Painting(size, corrections.cells_of(mask, size))
        self._head, self._camera, self._area, self._region = collection.name, camera.name, area, region
        self._mouse = (event.mouse_x, event.mouse_y)
        background = next(iter(camera.data.background_images), None)
        self._shown = None if background is None else (background.display_depth, background.alpha)
        if background is not None:  # drawn before the other objects of the scene
            background.display_depth, background.alpha = "FRONT", 1.0
        self._handle = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")
        area.header_text_set(HINT)
        area.tag_redraw()
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        collection = bpy.data.collections.get(self._head)
        if collection is None or self._camera not in bpy.data.objects or not self._area_is_there(context):
            return self._leave(context, None)
        if event.value == "PRESS" and event.type in {"RET", "NUMPAD_ENTER"}:
            return self._leave(context, collection)
        if event.value == "PRESS" and event.type == "ESC":
            return self._leave(context, None)
        frame = self._frame(context)
        if frame is None:  # the view was turned: no strokes until it looks through the photo again
            self._painting.end()
            return {"PASS_THROUGH"}
        inside = self._inside(event)
        place = _on_photo((event.mouse_x - self._region.x, event.mouse_y - self._region.y), frame, self._painting.size)
        self._mouse = (event.mouse_x, event.mouse_y)
        self._area.tag_redraw()
        if event.type == "MOUSEMOVE":
            self._painting.go(place)
        elif event.type == "LEFTMOUSE" and event.value == "RELEASE" and self._painting.drawing:
            self._painting.end()
        elif not inside or event.type in _VIEW_EVENTS:
            return {"PASS_THROUGH"}
        elif event.value != "PRESS":
            pass
        elif event.type == "LEFTMOUSE":
            self._painting.begin(place, not event.ctrl)
        elif event.type in {"LEFT_BRACKET", "RIGHT_BRACKET"}:
            self._painting.resize(BRUSH_STEP if event.type == "RIGHT_BRACKET" else 1.0 / BRUSH_STEP)
        elif event.type == "Z" and (event.ctrl or event.oskey):
            self._painting.undo()
        elif event.type == "RIGHTMOUSE":
            return self._leave(context, None)
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Called by Blender when the operator is ended from outside, for example by loading a file."""
        self._leave(context, None)

    def _leave(self, context: bpy.types.Context, keep_in: bpy.types.Collection | None) -> set[str]:
        bpy.types.SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
        if self._area_is_there(context):
            self._area.header_text_set(None)
            self._area.tag_redraw()
        camera, head = bpy.data.objects.get(self._camera), bpy.data.collections.get(self._head)
        if camera is not None and self._shown is not None and camera.data.background_images:
            background = camera.data.background_images[0]
            background.display_depth, background.alpha = self._shown
        if head is not None:
            show_head(context, head, True)
        if keep_in is None:
            return {"CANCELLED"}
        corrections.change(keep_in, self.photo, mask=corrections.photo_mask_of(self._painting.cells))
        return {"FINISHED"}

    def _area_is_there(self, context: bpy.types.Context) -> bool:
        """Whether the 3D View that was painted in is still on the screen."""
        return context.screen is not None and any(area == self._area for area in context.screen.areas)

    def _inside(self, event: bpy.types.Event) -> bool:
        x, y = event.mouse_x - self._region.x, event.mouse_y - self._region.y
        others = (one for one in self._area.regions if one.type != "WINDOW" and one.width > 1 and one.height > 1)
        covered = any(
            one.x <= event.mouse_x < one.x + one.width and one.y <= event.mouse_y < one.y + one.height for one in others
        )
        return 0 <= x < self._region.width and 0 <= y < self._region.height and not covered

    def _frame(self, context: bpy.types.Context) -> tuple[float, float, float, float] | None:
        """Left, bottom, right, top of the photo in the region's pixels; None if the view looks elsewhere."""
        camera = bpy.data.objects.get(self._camera)
        view = next((one for one in self._area.spaces if one.type == "VIEW_3D"), None)
        if camera is None or view is None or view.region_3d.view_perspective != "CAMERA":
            return None
        if context.scene.camera != camera:
            return None
        corners = [camera.matrix_world @ corner for corner in camera.data.view_frame(scene=context.scene)]
        places = [location_3d_to_region_2d(self._region, view.region_3d, corner) for corner in corners]
        if any(place is None for place in places):
            return None
        x, y = zip(*places, strict=True)
        return min(x), min(y), max(x), max(y)

    def _draw(self) -> None:
        """Called by Blender after drawing a 3D View: draw the mask and the brush."""
        context = bpy.context
        frame = self._frame(context) if context.region == self._region else None
        if frame is None:
            return
        left, bottom, right, top = frame
        gpu.state.blend_set("ALPHA")
        parts = corrections.rectangles(self._painting.cells)
        if len(parts):
            x = left + parts[:, [0, 2]] * (right - left)
            y = top - parts[:, [1, 3]] * (top - bottom)
            corners = np.stack([x[:, [0, 1, 1, 0]], y[:, [0, 0, 1, 1]]], 2).reshape(-1, 2).astype(np.float32)
            halves = np.array([[0, 1, 2], [0, 2, 3]])
            triangles = (4 * np.arange(len(parts))[:, None, None] + halves).reshape(-1, 3).astype(np.int32)
            _fill("TRIS", corners, MASK_COLOR, triangles)
        middle = np.array(self._mouse) - (self._region.x, self._region.y)
        angles = np.linspace(0.0, 2.0 * math.pi, 49)
        radius = self._painting.radius * (right - left) / self._painting.size[0]
        circle = middle + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        _fill("LINE_STRIP", circle.astype(np.float32), BRUSH_COLOR)
        gpu.state.blend_set("NONE")


class ClearMask(HeadPhotoOperator, LikenessOperator):
    """Use all of this photo again"""

    def run(self, context: bpy.types.Context) -> None:
        corrections.change(tags.active_head(context), self.photo, mask=None)


def _on_photo(
    place: tuple[float, float], frame: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float]:
    """Pixels of the photo at a position in the region."""
    left, bottom, right, top = frame
    return (place[0] - left) / (right - left) * size[0], (top - place[1]) / (top - bottom) * size[1]


def _fill(
    kind: str, places: np.ndarray, color: tuple[float, float, float, float], indices: np.ndarray | None = None
) -> None:
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    shader.uniform_float("color", color)
    batch_for_shader(shader, kind, {"pos": places}, indices=indices).draw(shader)
