"""Solved cameras as Blender's, with the photos as backgrounds; which way up photo files are; the view on a
new head.
"""

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import bpy
import gpu
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Matrix, Vector

from ..objects import tags
from ..objects.meshes import BLENDER_FROM_HEAD
from ..protocol.result import ResultPhoto
from ..redraw import window_of


def blender_reads(data: bytes) -> bool:
    """Whether every Blender can show the format, from the file's first bytes (HEIC and AVIF: no)."""
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM")
    return data.startswith(starts) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


_MIRRORED, _QUARTERS = (2, 4, 5, 7), (0, 0, 0, 2, 2, 3, 1, 1, 3)
"""EXIF orientations that are mirrored, and the quarter turns of those from 0 (none) to 8."""
_ORIENTATION = re.compile(rb"\x12\x01\x03\0\x01\0\0\0([\1-\x08])|\x01\x12\0\x03\0\0\0\x01\0([\1-\x08])")
"""EXIF's entry for it: its tag, one short number, and its value, in either order of bytes."""
EXIF_BYTES = 2**16
"""EXIF data is no longer."""


def exif_turn(data: bytes) -> tuple[bool, int]:
    """What makes a picture upright by a JPEG file's EXIF orientation: whether to mirror it in x, and then the quarter
    turns clockwise; neither for other files and for files without it."""
    start = data.find(b"Exif\0\0", 0, EXIF_BYTES) if data[:2] == b"\xff\xd8" else -1
    found = _ORIENTATION.search(data, start, start + EXIF_BYTES) if start >= 0 else None
    orientation = 0 if found is None else (found[1] or found[2])[0]
    return orientation in _MIRRORED, _QUARTERS[orientation]


EVEN_LIGHT = "paint.sl"
"""Blender's studio light for texture painting: under the default one light skin looks brown and waxen."""


def show_albedo(shading: bpy.types.View3DShading, material_preview: bool = False) -> None:
    """Solid shading with texture colours under a neutral light, without lines around objects, one of which would be a
    seam between head and bust; only if the user has not changed these settings.

    Other modes, colours and lights set by the artist stay. With ``material_preview`` the view switches to Material
    Preview where there is a graphics card, and shows the same colours when switched back to Solid.
    """
    if shading.type != "SOLID" or shading.color_type not in ("MATERIAL", "TEXTURE"):
        return
    shading.color_type = "TEXTURE"
    if shading.light == "STUDIO" and shading.studio_light == "Default":
        with suppress(TypeError):  # that light was removed by the user
            shading.studio_light = EVEN_LIGHT
            shading.show_object_outline = False
    if material_preview and not _drawn_by_processor():
        shading.type = "MATERIAL"


def _drawn_by_processor() -> bool:
    """Whether Blender draws without a graphics card: Eevee's shaders take minutes there, and eyes are white till
    then."""
    try:
        return gpu.platform.device_type_get() == "SOFTWARE"
    except SystemError:  # in background mode
        return False


def frame_head(collection: str, scene: bpy.types.Scene, material_preview: bool = False) -> None:
    """Show the head ``collection`` from the front, beside the sidebar, with ``show_albedo``; its bust may reach out of
    the view.

    Applies to 3D views that look through no camera, in the first window that shows ``scene``; no effect if there is
    none.
    """
    found = bpy.data.collections.get(collection)
    head = None if found is None else tags.part_object(found, "head")
    window = window_of(scene)
    if head is None or window is None or window.scene != scene:
        return
    for area in window.screen.areas:
        if area.type != "VIEW_3D" or area.spaces.active.region_3d.view_perspective == "CAMERA":
            continue
        region = next((region for region in area.regions if region.type == "WINDOW"), None)
        if region is None:
            continue
        show_albedo(area.spaces.active.shading, material_preview)
        with bpy.context.temp_override(window=window, area=area, region=region):
            bpy.ops.view3d.view_axis(type="FRONT")
            bpy.ops.view3d.view_selected()
            _into_free_part(area.spaces.active.region_3d, region, area)


def free_span(region: bpy.types.Region, beside: Iterable[bpy.types.Region]) -> tuple[int, int]:
    """Left and right end, in pixels of a view's ``region``, of the part not covered by toolbar and sidebar."""
    left, right = 0, region.width
    for other in beside:
        start, end = other.x - region.x, other.x - region.x + other.width
        if other.type not in ("TOOLS", "UI") or other.width <= 1 or end <= 0 or start >= region.width:
            continue  # hidden, or beside the view
        if start + end < region.width:
            left = max(left, end)
        else:
            right = min(right, start)
    return (left, right) if left < right else (0, region.width)


def _into_free_part(view: bpy.types.RegionView3D, region: bpy.types.Region, area: bpy.types.Area) -> None:
    """Centre the view's content in its free part, and zoom out if that is narrow."""
    left, right = free_span(region, area.regions)
    shorter = min(region.width, region.height)
    view.view_distance *= max(1.0, shorter / min(right - left, shorter))
    view.update()
    across = view.view_rotation @ Vector((1.0, 0.0, 0.0))
    ends = [location_3d_to_region_2d(region, view, view.view_location + way * across) for way in (0.0, 1.0)]
    if None not in ends and (ends[1] - ends[0]).length > 0.0:
        pixels = 0.5 * (left + right - region.width)
        view.view_location -= across * (pixels / (ends[1] - ends[0]).length)


def zoom_to(context: bpy.types.Context, points: Sequence[Vector] = ()) -> None:
    """Zoom the views through a camera so that ``points`` of the world which it sees fill them, beside toolbar and
    sidebar; without points all of its frame, as *Home* does."""
    for area, region, space in () if bpy.app.background else _view_areas(context):  # which has no views to update
        view, camera, size = space.region_3d, space.camera, np.array([region.width, region.height])
        if view.view_perspective != "CAMERA" or camera is None:
            continue
        view.update()
        wanted = points or [camera.matrix_world @ corner for corner in camera.data.view_frame(scene=context.scene)]
        seen = [location_3d_to_region_2d(region, view, point) for point in wanted]
        box = np.array([place[:] for place in seen if place is not None])
        if len(box) > 1:
            now, free = (view.view_camera_zoom, view.view_camera_offset[:]), free_span(region, area.regions)
            zoom, offset = onto_box(*now, (box.min(0), box.max(0)), size, free, 0.9 if points else 1.0)
            view.view_camera_zoom, view.view_camera_offset = zoom, offset


def onto_box(
    zoom: float,
    offset: Sequence[float],
    box: tuple[np.ndarray, np.ndarray],
    size: np.ndarray,
    span: tuple[int, int],
    share: float,
) -> tuple[float, tuple[float, float]]:
    """Blender's zoom and offset of a camera's view, ``size`` (2,) pixels, so that what is in the pixels of ``box``, its
    lower and upper corner, fills a ``share`` of ``span`` or of the height, in its middle."""
    base, room = 50.0 * math.sqrt(2.0), np.array([span[1] - span[0], size[1]])  # magnified by the square of base + zoom
    larger = float((share * room / np.maximum(box[1] - box[0], 1.0)).min())
    grown = min(math.sqrt(larger) * (base + zoom), base + MOST_ZOOM)
    before, after = ((base + zoom) / base) ** 2, (grown / base) ** 2
    aside = 0.5 * (box[0] + box[1]) - 0.5 * size + np.array(offset) * size * before  # from the middle at no offset
    wanted = np.array([0.5 * (span[0] + span[1]), 0.5 * size[1]]) - 0.5 * size
    moved = np.clip((aside * after / before - wanted) / (size * after), -1.0, 1.0)
    return grown - base, tuple(moved.tolist())


MOST_ZOOM = 600.0
"""Blender's own limit of a camera's zoom in a view."""


SENSOR_MM = 36.0
RENDER_BEFORE, CAMERA_BEFORE = "likeness_render_before", "likeness_camera_before"
VIEW_BEFORE = "likeness_view_before"
"""On a scene that looks through a photo: settings to restore afterwards."""
EXPRESSION_HEAD = "likeness_wearer"
"""On such a scene: the head with the photo's expression."""
HIDDEN_CAMERAS = "likeness_hidden_cameras"
"""On such a scene: the collection of cameras that is hidden otherwise."""
LOCAL_VIEW = "likeness_local_view"
"""On a screen: its views were put into local view to look through a photo. (Undo does not change screens.)"""
FREE_PROJECTION = "PERSP"
"""Fallback for a view that looked through the artist's own camera before."""
_VIEW = ("view_rotation", "view_location", "view_distance", "view_perspective")
_RENDER_SHAPE = ("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y")
MOST_RENDERED = 2048
"""Limit for a render through a photo's camera, pixels on the longer side; photos may be larger than is practical."""
CLIP_MARGIN = 0.25
"""Clipping margin before and behind the head, as a share of its depth in the view: room for keys and sculpting."""
_BLENDER_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Lens:
    """Blender's camera parameters for a K; the sensor is ``SENSOR_MM`` along the longer side of the picture.

    Attributes
    ----------
    fit : ``HORIZONTAL`` or ``VERTICAL``.
    focal_mm, shift_x, shift_y : as in ``bpy.types.Camera``.
    pixel_aspect : (x, y) as in ``RenderSettings``; not (1, 1) only if K has two focal lengths.
    """

    fit: str
    focal_mm: float
    shift_x: float
    shift_y: float
    pixel_aspect: tuple[float, float]


def lens_of(intrinsics: np.ndarray, size: tuple[int, int]) -> Lens:
    """Blender's camera parameters for K (3, 3) in pixels of a picture of ``size`` (width, height); exact, without skew.

    Blender measures shifts as fractions of the side that the sensor is fitted to, in the render's square pixels.
    """
    (width, height), (fx, fy) = size, intrinsics[[0, 1], [0, 1]]
    aspect = fx / fy  # pixel height over width
    horizontal = width >= height * aspect
    side = width if horizontal else height * aspect  # in pixel widths
    return Lens(
        fit="HORIZONTAL" if horizontal else "VERTICAL",
        focal_mm=float(fx * SENSOR_MM / side),
        shift_x=float((width / 2 - intrinsics[0, 2]) / side),
        shift_y=float((intrinsics[1, 2] - height / 2) * aspect / side),
        pixel_aspect=(float(max(1.0, 1 / aspect)), float(max(1.0, aspect))),
    )


def new_camera(photo: ResultPhoto, scale: float, person: str = "") -> bpy.types.Object:
    """A camera object for the photo, without a background; ``scale`` is that of its future parent head."""
    name = f"{person} {photo.name}".strip()
    data = bpy.data.cameras.new(name)
    data.display_size = 0.02  # metres; from the front, cameras stand before the face
    data.clip_start, data.clip_end = 0.01 * scale, 100.0 * scale  # scene units, whatever the parent's scale
    data.passepartout_alpha = 0.8
    return bpy.data.objects.new(name, data)


def update_camera(camera: bpy.types.Object, photo: ResultPhoto) -> None:
    """Write the photo's solved camera and expression into a camera object that is a child of the head."""
    lens = lens_of(photo.intrinsics, photo.size)
    data = camera.data
    data.type = "PERSP"
    data.lens_unit = "MILLIMETERS"
    data.sensor_fit = lens.fit
    data.sensor_width = data.sensor_height = SENSOR_MM
    data.lens = lens.focal_mm
    data.shift_x, data.shift_y = lens.shift_x, lens.shift_y
    camera.matrix_parent_inverse = Matrix.Identity(4)
    pose = BLENDER_FROM_HEAD @ np.linalg.inv(photo.camera_from_head) @ _BLENDER_FROM_OPENCV
    camera.matrix_basis = Matrix(pose.tolist())
    camera.lock_location = camera.lock_rotation = camera.lock_scale = (True, True, True)  # orbiting would move it
    camera[tags.PHOTO] = photo.name
    camera[tags.PHOTO_SIZE] = list(photo.size)
    camera[tags.PIXEL_ASPECT] = list(lens.pixel_aspect)
    camera[tags.EXPRESSION] = dict(photo.expression)
    camera[tags.INTRINSICS] = photo.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    camera[tags.LANDMARKS] = photo.landmarks.astype(float).ravel().tolist()
    _keep_head_points(camera, photo)
    if camera in map(photo_camera, bpy.data.scenes):
        _clip_to_head(camera)


def _keep_head_points(camera: bpy.types.Object, photo: ResultPhoto) -> None:
    """Store the points of ears and hairline; points that were not checked keep their old position."""
    points, before = photo.head_points.astype(float), camera.get(tags.HEAD_POINTS, ())
    if len(before) == points.size:
        points = np.where(points[:, 2:] < 0, np.reshape(before, points.shape), points)
    camera[tags.HEAD_POINTS] = points.ravel().tolist()


def set_background(camera: bpy.types.Object, image: bpy.types.Image, mirrored: bool, quarters: int) -> None:
    """Show ``image`` upright as the camera's background; Blender itself ignores EXIF orientations.

    If it is already shown, its opacity and depth (front or back) stay.
    """
    data = camera.data
    data.show_background_images = True
    background = next((b for b in data.background_images if b.image in (None, image)), None)
    if background is None:
        background = data.background_images.new()
        background.display_depth, background.alpha = "BACK", 1.0
    background.image = image
    background.frame_method = "STRETCH" if quarters % 2 == 0 else "FIT"
    background.use_flip_x = mirrored
    background.rotation = math.pi / 2 * quarters  # clockwise, as Blender draws it
    # Blender applies a quarter turn after fitting the unrotated picture into the rotated frame, so the scale is
    # corrected here.
    width, height = camera[tags.PHOTO_SIZE]
    background.scale = max(width, height) / min(width, height) if quarters % 2 else 1.0


def look_through(context: bpy.types.Context, camera: bpy.types.Object, wearer: bpy.types.Object | None = None) -> None:
    """Make ``camera`` the scene camera, give the render the photo's aspect, and let the 3D views look through it.

    ``wearer`` is the head with the photo's expression. The camera's clip range is limited to its head, and the views
    enter local view, so that other objects of the scene hide neither the head nor the photo. Hidden cameras are shown,
    because Blender draws the photo of visible ones only.
    """
    scene = context.scene
    _hide_cameras_again(scene)
    for hidden in (one for one in camera.users_collection if one.hide_viewport and tags.CAMERAS in one):
        hidden.hide_viewport, scene[HIDDEN_CAMERAS] = False, hidden
    context.view_layer.update()  # update the head's matrix
    _clip_to_head(camera)
    if wearer is not None:
        scene[EXPRESSION_HEAD] = wearer
    if RENDER_BEFORE not in scene:
        scene[RENDER_BEFORE] = {name: getattr(scene.render, name) for name in _RENDER_SHAPE}
        scene[CAMERA_BEFORE] = scene.camera
        for _, _, space in _view_areas(context)[:1]:
            scene[VIEW_BEFORE] = {name: getattr(space.region_3d, name) for name in _VIEW}
    scene.camera = camera
    render = scene.render
    width, height = camera[tags.PHOTO_SIZE]
    render.resolution_x, render.resolution_y = int(width), int(height)
    render.resolution_percentage = min(100, max(1, 100 * MOST_RENDERED // max(int(width), int(height))))
    render.pixel_aspect_x, render.pixel_aspect_y = camera[tags.PIXEL_ASPECT]
    for _, _, space in _view_areas(context):
        space.region_3d.view_perspective = "CAMERA"
    if not bpy.app.background:
        _enter_local_view(context, camera)
        zoom_to(context)


def _hide_cameras_again(scene: bpy.types.Scene) -> None:
    """Hide the cameras that ``look_through`` has shown."""
    shown = scene.pop(HIDDEN_CAMERAS, None)
    if isinstance(shown, bpy.types.Collection):
        shown.hide_viewport = True


def _enter_local_view(context: bpy.types.Context, camera: bpy.types.Object) -> None:
    """Show only the head of ``camera``, the camera and the lights in the views that look through it; a view that the
    artist has put into local view shows these as well. What is selected stays so."""
    family = () if camera.parent is None else (camera.parent, *camera.parent.children_recursive)
    lights = (obj for obj in context.scene.objects if obj.type in ("LIGHT", "LIGHT_PROBE"))
    shown = [camera, *(obj for obj in family if obj.type != "CAMERA"), *lights]
    selected = list(context.selected_objects)
    for area, region, space in _view_areas(context):
        if space.local_view is None:
            for obj in context.view_layer.objects:
                obj.select_set(obj in shown)
            with context.temp_override(area=area, region=region), suppress(RuntimeError):
                bpy.ops.view3d.localview(frame_selected=False)
                context.screen[LOCAL_VIEW] = True
    for obj in context.view_layer.objects:
        obj.select_set(obj in selected)
    join_local_views(shown)


def _leave_local_view(context: bpy.types.Context) -> None:
    """End the local views of ``_enter_local_view``."""
    if context.screen is None or not context.screen.pop(LOCAL_VIEW, False):
        return
    selected = list(context.selected_objects)
    for area, region, space in _view_areas(context):
        if space.local_view is not None:
            with context.temp_override(area=area, region=region), suppress(RuntimeError):
                bpy.ops.view3d.localview(frame_selected=False)
    for obj in context.view_layer.objects:
        obj.select_set(obj in selected)


def join_local_views(objects: Iterable[bpy.types.Object]) -> None:
    """Show objects in all views that are in local view: Blender leaves new objects out."""
    for window in bpy.context.window_manager.windows:
        spaces = [area.spaces.active for area in window.screen.areas if area.type == "VIEW_3D"]
        for space in (space for space in spaces if space.local_view is not None):
            for obj in (obj for obj in objects if window.view_layer.objects.get(obj.name) == obj):
                obj.local_view_set(space, True)


def _clip_to_head(camera: bpy.types.Object) -> None:
    head = camera.parent
    if head is None:
        return
    placed = head.matrix_world @ camera.matrix_parent_inverse @ camera.matrix_basis  # matrix_world may be outdated
    view_from_world = placed.normalized().inverted()  # a view has no scale
    parts = [part for part in (head, *head.children_recursive) if part.type in {"MESH", "CURVES"}]
    depths = [-(view_from_world @ part.matrix_world @ Vector(at)).z for part in parts for at in part.bound_box]
    if not depths or min(depths) <= 0:  # the camera was moved by hand into the head
        return
    nearest, farthest = min(depths), max(depths)
    margin = CLIP_MARGIN * (farthest - nearest)
    camera.data.clip_start, camera.data.clip_end = max(nearest - margin, nearest / 2), farthest + margin


def photo_camera(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The scene's camera, if ``look_through`` set it to a photo's camera; else None."""
    camera = scene.camera
    return camera if RENDER_BEFORE in scene and camera is not None and tags.PHOTO in camera else None


def photo_wearer(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The head with a photo's expression, even if that photo's camera is gone; None if there is none."""
    wearer = scene.get(EXPRESSION_HEAD)
    return wearer if isinstance(wearer, bpy.types.Object) else None


def leave_cameras(context: bpy.types.Context) -> None:
    """Let the 3D views leave their camera, and look as from before the first photo.

    The scene's own camera and render size are restored; a camera chosen by the artist meanwhile stays.
    """
    scene = context.scene
    view = scene[VIEW_BEFORE].to_dict() if VIEW_BEFORE in scene else {}
    if view.get("view_perspective", "CAMERA") == "CAMERA":
        view["view_perspective"] = FREE_PROJECTION
    if RENDER_BEFORE in scene:
        for name, value in scene[RENDER_BEFORE].items():
            setattr(scene.render, name, value)
        if scene.camera is None or tags.PHOTO in scene.camera:
            scene.camera = scene.get(CAMERA_BEFORE)
        for name in (RENDER_BEFORE, CAMERA_BEFORE, VIEW_BEFORE, EXPRESSION_HEAD):
            scene.pop(name, None)
    _hide_cameras_again(scene)
    _leave_local_view(context)
    for _, _, space in _view_areas(context):
        if space.region_3d.view_perspective == "CAMERA":
            for name, value in view.items():
                setattr(space.region_3d, name, value)


def _view_areas(context: bpy.types.Context) -> list[tuple[bpy.types.Area, bpy.types.Region, bpy.types.SpaceView3D]]:
    """Area, main region and space of the 3D view under the mouse, else of all of the window's."""
    here = context.area is not None and context.area.type == "VIEW_3D"
    areas = (context.area,) if here else context.window.screen.areas if context.window else ()
    return [
        (area, next(region for region in area.regions if region.type == "WINDOW"), area.spaces.active)
        for area in areas
        if area.type == "VIEW_3D"
    ]
