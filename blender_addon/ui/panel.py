"""The tab's main panels: photos, options, the button, progress, the finished head; the status bar.

Begin with ``MainPanel.draw``, then ``HeadPanel`` and what belongs to it. ``registration.py`` registers the classes of
``bpy.types`` in the order of the file; keys are in ``keys_panel.py``, expressions in ``transfer_panel.py``, *Many
People* in ``many_panel.py``. A button names its operator, which is in ``operators``. Three things are called
``likeness``: the scene's are the options of the next head, a collection's the wishes for this head, the window
manager's those sliders of the head that the backend obeys at once.
"""

import bpy

from .. import installer
from ..errors import AddonError
from ..identity import PACKAGE
from ..objects import tags
from ..objects.meshes import is_sculpted
from ..operators.photos import AddPhotos
from ..operators.reconstruct import ALL_PHOTOS
from ..redraw import TAB
from ..runner import JobView, Phase
from ..scene import cameras, corrections
from ..scene.expressions import LOCK
from ..scene.materials import STRENGTHS, skin_material, strength_socket
from ..scene.nodes import NO_LIBRARY, hair_library
from ..scene.own_head import list_words
from ..session import session
from ..settings.preferences import chosen_backend, preferences
from ..settings.properties import HAIR_SLIDERS, RARER_OPTIONS, SHAPE_SLIDERS, SKIN_SLIDERS, USES
from ..shared.options import HAIR_STYLES, named_regions
from ..text import draw_error, draw_wrapped, time_left
from ..transfer.sliced import Work, current_work
from .pictures import photo_icon, photo_is_there, picture_icon, preview_icon

TEXT_BESIDE_PHOTO = 0.7
"""Share of the width for what is said of a photo, beside its picture."""
PREVIEW_SCALE = 10
"""Height of the picture of the head in progress, in buttons."""
STATUS_ICONS = {"NEW": "NONE", "USED": "CHECKMARK", "LEFT_OUT": "CANCEL"}
"""Of photos in the last reconstruction."""


class SidebarPanel:
    """Mix-in: a panel in the sidebar of the 3D views. Its id and label are its class's name, unless it has others:
    ``SkinPanel`` is ``LIKENESS_PT_skin`` and *Skin*."""

    def __init_subclass__(cls) -> None:
        name = cls.__name__.removesuffix("Panel")
        if "bl_idname" not in vars(cls):
            cls.bl_idname = f"LIKENESS_PT_{name.lower()}"
        if "bl_label" not in vars(cls):
            cls.bl_label = name

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = TAB


class ClosedPanel(SidebarPanel):
    """Mix-in: likewise, closed at first."""

    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 (Blender wants a set)


class PhotoList(bpy.types.UIList):
    """One row per photo: thumbnail, name, whether it was used."""

    bl_idname = "LIKENESS_UL_photos"

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        thumbnail = photo_icon(item.path)
        row = layout.row(align=True)
        row.active = item.status != "LEFT_OUT"
        row.label(text=item.name, **({"icon_value": thumbnail} if thumbnail else {"icon": "FILE_IMAGE"}))
        if item.status != "NEW":
            row.label(text="", icon=STATUS_ICONS[item.status])
        row.prop(item, "leads", text="", icon="SOLO_ON" if item.leads else "SOLO_OFF", emboss=False)


class MainPanel(SidebarPanel, bpy.types.Panel):
    """Photos to a head."""

    bl_label = "Likeness"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.likeness
        _draw_photos(layout, settings)
        view = session().view
        row = layout.row()
        row.enabled = not view.phase.busy
        row.prop(settings, "quality")
        if view.phase.busy:
            draw_progress(layout, view)
            if (picture := session().preview) is not None:
                layout.template_icon(preview_icon(picture), scale=PREVIEW_SCALE)
            return
        problem = _backend_problem(context)
        if problem is not None:
            _draw_missing_backend(layout, context, problem)
        column = layout.column(align=True)
        column.enabled = problem is None
        row = column.row(align=True)
        row.scale_y = 1.4
        row.operator("likeness.reconstruct", icon="USER")
        collection = tags.active_head(context)
        if collection is not None:
            column.operator("likeness.solve_again", icon="FILE_REFRESH")
            mesh = tags.active_mesh(context, collection)
            said = tags.copy_words(mesh, collection), list_words(collection, context.scene)
            for sentence in filter(None, said):
                draw_wrapped(layout, sentence, icon="INFO")
        if view.phase is Phase.FAILED:
            draw_error(layout, view.sentence, view.advice)
        elif view.phase is Phase.DONE and session().made is not None:
            draw_wrapped(layout, view.sentence, icon="CHECKMARK", most=2)
        elif view.phase is Phase.CANCELLED:
            draw_wrapped(layout, view.sentence, icon="INFO")


class OptionsPanel(ClosedPanel, bpy.types.Panel):
    """What is chosen less often for a head; below the buttons, so that it never pushes them down."""

    bl_parent_id = MainPanel.bl_idname

    def draw(self, context: bpy.types.Context) -> None:
        column, settings = self.layout.column(), context.scene.likeness
        column.enabled = not session().view.phase.busy
        column.use_property_split = True
        column.use_property_decorate = False
        for name in ("person_name", *RARER_OPTIONS, "place"):
            column.prop(settings, name)


class HeadPanel(SidebarPanel, bpy.types.Panel):
    """The active head; its settings are in sub-panels."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return tags.active_head(context) is not None or cameras.RENDER_BEFORE in context.scene

    def draw(self, context: bpy.types.Context) -> None:
        row = self.layout.row(align=True)
        row.operator("likeness.leave_photo", icon="VIEW3D")
        if tags.active_head(context) is not None:  # else a photo is looked through, with another head or none selected
            row.operator("likeness.reset_selected", icon="LOOP_BACK")


class _OfHead(ClosedPanel):
    """Mix-in: a sub-panel of the panel of the active head; all start closed, so that a window of 900 pixels shows the
    head's panel and one that is opened."""

    bl_parent_id = HeadPanel.bl_idname

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return tags.active_head(context) is not None


class ShapePanel(_OfHead, bpy.types.Panel):
    """How the head is solved from its photos, and what is kept of it."""

    def draw(self, context: bpy.types.Context) -> None:
        layout, collection = self.layout, tags.active_head(context)
        sliders = layout.column(align=True)
        sliders.enabled = _backend_problem(context) is None
        wished = collection.likeness
        sliders.prop(wished, "symmetry")
        row = sliders.row(align=True)
        row.prop(wished, "average", text="Average")
        if wished.changed:  # only beside a single slider: two would have no room for their names
            row.operator("likeness.fit_corrections", text="", icon="FILE_REFRESH")
        mesh = tags.active_mesh(context, collection)
        if mesh is not None:
            _draw_kept(layout, mesh)


class FeaturesPanel(_OfHead, bpy.types.Panel):
    """Sliders that shape the head after the fit."""

    bl_parent_id = ShapePanel.bl_idname

    def draw(self, context: bpy.types.Context) -> None:
        column, wished = self.layout.column(align=True), tags.active_head(context).likeness
        if tags.worn_glasses(wished.id_data):
            column.prop(wished, "glasses_on")
        for name in SHAPE_SLIDERS:
            column.prop(wished, name, slider=True)


class HairStyles(bpy.types.Panel):
    """The hairstyles in pictures; a click grows the active head's hair again."""

    bl_idname = "LIKENESS_PT_hair_styles"
    bl_label = "Change Hair"
    bl_space_type = "VIEW_3D"
    bl_region_type = "HEADER"
    bl_options = {"INSTANCED"}  # noqa: RUF012 (Blender wants a set)
    bl_ui_units_x = 52

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.label(text=HairStyles.bl_label)
        self.layout.operator("likeness.change_hair", text="By the Photos").style = "auto"
        grid = self.layout.grid_flow(row_major=True, columns=7, even_columns=True, align=True)
        for style in HAIR_STYLES:
            cell = grid.column(align=True)
            cell.template_icon(picture_icon(style.name), scale=4)
            cell.operator("likeness.change_hair", text=style.label).style = style.name


class HairPanel(_OfHead, bpy.types.Panel):
    """Style and display of the hair."""

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        hair = tags.hair_object(tags.active_head(context))
        if hair is not None:
            _draw_shown(self.layout, hair, "")

    def draw(self, context: bpy.types.Context) -> None:
        collection = tags.active_head(context)
        column = self.layout.column(align=True)
        row = column.row(align=True)
        row.prop(collection.likeness, "hair_style")
        row.popover(HairStyles.bl_idname, text="", icon="OUTLINER_OB_CURVES")
        column.operator_menu_enum("likeness.hair_from_photo", "photo", text="Hair From Photo", icon="IMAGE_DATA")
        row = column.row(align=True)
        row.prop(context.window_manager.likeness, "parting")
        if collection.likeness.parting in ("left", "right"):
            row.prop(context.window_manager.likeness, "parting_place", text="")
        row.operator("likeness.grow_hair", text="", icon="FILE_REFRESH")
        if tags.hair_object(collection) is None and hair_library() is None:
            draw_wrapped(self.layout, " ".join(NO_LIBRARY), icon="INFO")
            return
        sliders = self.layout.column(align=True)
        sliders.enabled = tags.hair_object(collection) is not None
        for name in HAIR_SLIDERS:
            sliders.prop(collection.likeness, name, slider=True)


class SkinPanel(_OfHead, bpy.types.Panel):
    """Strengths of the skin's relief and of its wrinkles, and its tone."""

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)  # three in a row have no room for their names
        for name, socket in _strengths(context).items():
            column.prop(socket, "default_value", text=name)
        for name in SKIN_SLIDERS:
            column.prop(tags.active_head(context).likeness, name, slider=True)
        if getattr(context.space_data, "shading", None) and context.space_data.shading.type == "SOLID":
            draw_wrapped(column, "Solid shading shows none of these.", icon="INFO")


class TexturePanel(_OfHead, bpy.types.Panel):
    """What paints the skin's texture."""

    bl_parent_id = SkinPanel.bl_idname

    def draw(self, context: bpy.types.Context) -> None:
        collection, column = tags.active_head(context), self.layout.column(align=True)
        wished, row = collection.likeness, column.row(align=True)
        row.prop(wished, "texture_region", text="")
        row.operator("likeness.texture_brush", text="", icon="BRUSH_DATA")
        paint = column.operator_menu_enum("likeness.paint_region", "source", text="Paint From", icon="IMAGE_DATA")
        paint.region = wished.texture_region
        mirrored = dict.fromkeys(named_regions(wished.mirror), "the other side")
        for region, source in (corrections.painted_regions(collection) | mirrored).items():
            row = column.row(align=True)
            row.label(text=f"{region.capitalize()}: {source}")
            undo = row.operator("likeness.paint_region", text="", icon="X")
            undo.region, undo.source = region, ALL_PHOTOS
        row = self.layout.row(align=True)
        column = row.column(align=True)  # side by side a narrow sidebar cuts their names
        column.prop(context.window_manager.likeness, "make_up")
        column.prop(context.window_manager.likeness, "delighting")
        row.operator("likeness.paint_texture", text="", icon="FILE_REFRESH")


class ExportPanel(_OfHead, bpy.types.Panel):
    """The head for other programs and for a body."""

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.operator_menu_enum("likeness.export", "preset", text="Export", icon="EXPORT")
        self.layout.operator("likeness.apply_to_mpfb", icon="ARMATURE_DATA")


class PhotosPanel(_OfHead, bpy.types.Panel):
    """The head's photos and their cameras; last, because there may be many."""

    def draw(self, context: bpy.types.Context) -> None:
        layout, collection = self.layout, tags.active_head(context)
        wished, hidden = collection.likeness, tags.cameras_collection(collection)
        photos = tags.cameras_by_photo(collection, tags.active_mesh(context, collection))
        if not photos:
            layout.label(text="None of its photos' cameras is left.")
            return
        row = layout.row(align=True)
        row.label(text="Look through:")
        if hidden is not None:
            _draw_shown(row, hidden, "Cameras")
        column = layout.column(align=True)
        for name, camera in photos.items():
            through = context.scene.camera == camera and _looks_through_camera(context)
            row = column.row(align=True)
            row.operator("likeness.look_through", text=name, icon="CAMERA_DATA", depress=through).photo = name
            star = "SOLO_ON" if wished.look == name else "SOLO_OFF"
            row.operator("likeness.star_photo", text="", icon=star).photo = name
            if through:
                _draw_comparison(column, camera)
                bust = tags.part_object(collection, "bust")
                if bust is not None:
                    _draw_shown(column, bust, "Bust")
                _draw_corrections(column, collection, name)


def _draw_shown(layout: bpy.types.UILayout, item: bpy.types.Object | bpy.types.Collection, text: str) -> None:
    """Draw Blender's own switch for showing something in the views."""
    icon = "HIDE_ON" if item.hide_viewport else "HIDE_OFF"
    layout.prop(item, "hide_viewport", text=text, icon=icon, invert_checkbox=True, emboss=bool(text))


def _draw_kept(layout: bpy.types.UILayout, head: bpy.types.Object) -> None:
    """Draw what is kept when solving again: a sculpt, and locks."""
    locked, carved = LOCK in head.vertex_groups, is_sculpted(head.data)
    if carved:
        row = layout.row(align=True)
        row.label(text="Solving again keeps your sculpt.", icon="SCULPTMODE_HLT")
        row.operator("likeness.remove_sculpt", text="", icon="X")
    if locked or carved or head.mode == "EDIT":
        row = layout.row(align=True)
        row.label(text="Locked skin stays as it is." if locked else "Lock it as it is:", icon="BLANK1")
        row.operator("likeness.lock_skin", text="", icon="LOCKED")
        row.operator("likeness.unlock_skin", text="", icon="UNLOCKED")


def _strengths(context: bpy.types.Context) -> dict[str, bpy.types.NodeSocket]:
    """The strengths of the active head's relief and of its wrinkles; empty without relief."""
    head = tags.own_face(context)
    material = None if head is None else skin_material(head)
    found = {} if material is None else {name: strength_socket(material, name) for name in STRENGTHS}
    return {name: socket for name, socket in found.items() if socket is not None}


def _draw_corrections(layout: bpy.types.UILayout, collection: bpy.types.Collection, photo: str) -> None:
    """Draw the current photo's landmarks, its mask, and its use."""
    edited = photo in corrections.edited_photos(collection)
    row = layout.row(align=True)
    text = "Done" if edited else "Edit Landmarks"
    row.operator("likeness.edit_landmarks", text=text, icon="EMPTY_AXIS", depress=edited).photo = photo
    if edited:
        row.operator("likeness.show_head", text="", icon="HIDE_OFF")
    row.operator("likeness.fit_corrections", icon="FILE_REFRESH")
    if edited:
        row.operator("likeness.pull_skin", text="", icon="FORCE_MAGNETIC").photo = photo
        row.operator("likeness.snap_to_fit", text="", icon="SNAP_ON")
    row.operator("likeness.reset_points", text="", icon="LOOP_BACK").photo = photo
    if edited:
        layout.prop(collection.likeness, "reach")
    stated = corrections.of_photo(collection, photo)
    row = layout.row(align=True)
    text = "Mask" if stated.mask is None else f"Mask: {100 * stated.mask.share:.1f} %"
    row.operator("likeness.paint_mask", text=text, icon="BRUSH_DATA").photo = photo
    if stated.mask is not None:
        row.operator("likeness.clear_mask", text="", icon="X").photo = photo
    name = next(label for key, label, _ in USES if key == stated.use)
    layout.operator_menu_enum("likeness.use_photo_for", "use", text=f"Use for: {name}").photo = photo


def _draw_comparison(layout: bpy.types.UILayout, camera: bpy.types.Object) -> None:
    """Draw the photo's opacity, and whether it is behind the head or over it."""
    backgrounds = camera.data.background_images
    if len(backgrounds):
        row = layout.row(align=True)
        row.prop(backgrounds[0], "display_depth", expand=True)
        row.prop(backgrounds[0], "alpha", text="Photo", slider=True)


def draw_progress(layout: bpy.types.UILayout, view: JobView) -> None:
    """Draw bar, stage, time left and the cancel button; or the choices for a head without a scene."""
    box = layout.box()
    draw_wrapped(box, view.sentence)
    if view.advice:
        draw_wrapped(box, view.advice, icon="ERROR")
    if session().has_lost_scene:
        box.operator("likeness.take_head", icon="IMPORT")
        box.operator("likeness.cancel", text="Throw It Away", icon="TRASH")
        return
    box.progress(factor=view.fraction, text=f"{view.fraction:.0%}  {time_left(view.seconds_left)}".strip())
    row = box.row()
    row.scale_y = 1.2
    keys = "" if session().elsewhere else " (ESC)"  # Blender ends modal operators when another file is opened
    row.operator("likeness.cancel", text=f"Cancel{keys}", icon="X")


def draw_status_bar(self: bpy.types.Header, context: bpy.types.Context) -> None:
    """Draw progress in the status bar while something runs."""
    view, work = session().view, current_work()
    if session().has_lost_scene:
        self.layout.label(text=view.sentence, icon="USER")  # the buttons for it are only in the panel
    elif view.phase.busy:
        _draw_bar(self.layout, view, "likeness.cancel")
    elif work is not None:
        _draw_bar(self.layout, work, "likeness.cancel_transfer")


def _draw_bar(layout: bpy.types.UILayout, shown: JobView | Work, cancel: str) -> None:
    row = layout.row(align=True)
    left = time_left(shown.seconds_left)
    row.label(text=f"{shown.sentence}{', ' if left else ''}{left}", icon="USER")
    bar = row.row()
    bar.ui_units_x = 6
    bar.progress(factor=shown.fraction, text=f"{shown.fraction:.0%}")
    row.operator(cancel, text="", icon="X")


def _draw_photos(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    photos = settings.photos
    row = layout.row()
    row.template_list(
        PhotoList.bl_idname, "", settings, "photos", settings, "active_photo", rows=4, maxrows=4, sort_lock=True
    )
    column = row.column(align=True)
    column.enabled = not session().busy
    column.operator("likeness.add_photos", text="", icon="ADD")
    column.operator("likeness.remove_photo", text="", icon="REMOVE").index = -1
    column.operator("likeness.add_mesh", text="", icon="MESH_DATA")
    column.separator()
    column.operator("likeness.clear_photos", text="", icon="TRASH")
    if not photos:
        draw_wrapped(layout, "Add a few photos of one person: from the front, from both sides, without sunglasses.")
        layout.operator(AddPhotos.bl_idname, icon="IMAGE_DATA")
        return
    if 0 <= settings.active_photo < len(photos):
        _draw_photo(layout, photos[settings.active_photo])


def _draw_photo(layout: bpy.types.UILayout, photo: bpy.types.PropertyGroup) -> None:
    icon, beside = photo_icon(photo.path), 1.0
    if icon:
        both = layout.split(factor=1.0 - TEXT_BESIDE_PHOTO)
        both.template_icon(icon_value=icon, scale=2 if photo.head else 3)
        layout, beside = both.column(), TEXT_BESIDE_PHOTO
    elif (there := photo_is_there(photo.path)) is not None:
        gone, unseen = f"{photo.name} is not there any more.", "Blender cannot show such a photo; the backend reads it."
        draw_wrapped(layout, unseen if there else gone, icon="INFO" if there else "ERROR")
    fit = f" Landmarks fit to {photo.landmark_error:.1f} % of the eyes' distance." if photo.landmark_error >= 0 else ""
    draw_wrapped(layout, photo.reason + fit, share=beside, most=2)
    if not photo.head:  # later the head has this button
        layout.prop(photo, "use", text="")


def _draw_missing_backend(layout: bpy.types.UILayout, context: bpy.types.Context, problem: AddonError) -> None:
    where = "" if problem.code == "not_enabled" else preferences(context).where
    view = installer.view() if where == "INSTALLED" else None
    if view is not None and not view.finished:
        box = layout.box()
        draw_wrapped(box, view.sentence)
        box.progress(factor=view.fraction, text=f"{view.fraction:.0%}")
        box.operator("likeness.stop_installation", icon="X")
        return
    of_folder = problem.code == "folder"
    if view is not None and view.error is not None and not of_folder:
        draw_error(layout, view.error.sentence, view.error.advice)
    else:
        box = layout.box()
        draw_wrapped(box, problem.sentence, icon="INFO")
        if of_folder:
            draw_wrapped(box, problem.advice, icon="BLANK1")
    if problem.code in ("no_backend", "version") and where == "INSTALLED":
        text = "Install Backend" if problem.code == "no_backend" else "Update Backend"
        layout.operator("likeness.install_backend", text=text, icon="IMPORT").fresh = False
    layout.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = PACKAGE


def _backend_problem(context: bpy.types.Context) -> AddonError | None:
    """Why no backend can be used, or None."""
    try:
        chosen_backend(context, drawing=True)
    except AddonError as error:
        return error
    return None


def _looks_through_camera(context: bpy.types.Context) -> bool:
    space = context.space_data  # context.region_data is None while the sidebar is drawn
    return space is not None and space.type == "VIEW_3D" and space.region_3d.view_perspective == "CAMERA"


HEAD_PANELS = (HeadPanel, ShapePanel, HairPanel, SkinPanel, ExportPanel, PhotosPanel)
"""The head's panels from top to bottom, without their own sub-panels, for tests that draw them."""


def register() -> None:
    bpy.types.STATUSBAR_HT_header.append(draw_status_bar)


def unregister() -> None:
    bpy.types.STATUSBAR_HT_header.remove(draw_status_bar)
