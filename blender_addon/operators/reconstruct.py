"""Operators that start a reconstruction and, in a window, watch for ESC; in background mode they run to the end."""

from dataclasses import replace

import bpy
from bpy.props import EnumProperty, IntProperty

from .. import redraw, timer
from ..client.submissions import PhotoCorrections
from ..errors import AddonError
from ..objects import tags
from ..runner import Phase
from ..scene import corrections
from ..scene import own_head as solve_again
from ..session import Job, in_a_mode, listed_photos, run_to_end, session
from ..settings.preferences import chosen_backend, preferences
from ..settings.properties import HAIR_STYLE, TEXTURE_REGION, options_of
from ..shared.options import HeadOptions, named_regions
from ..text import NO_HEAD, LikenessOperator, NamedByClass, clickable, needs, poll_of, report_error


def _chosen_place(context: bpy.types.Context) -> tags.Place:
    """The scene shown in the window, and where a new head is placed in it."""
    return tags.Place.shown(context, at_cursor=context.scene.likeness.place == "CURSOR")


def _own_id(collection: bpy.types.Collection, scene: bpy.types.Scene) -> str:
    """The id of a head that is to be changed, which no copy shares any more."""
    into, parted = solve_again.own_id(collection)
    if parted and not bpy.app.background:  # an undo in between must not bring the shared id back
        redraw.push_undo("Part Head from Its Copies", scene)
    return into


class _Watching(NamedByClass):
    """Mix-in: a modal operator that watches the session until it is done, for ESC and for the final report."""

    def watch(self, context: bpy.types.Context) -> set[str]:
        """Start watching; call it from ``invoke`` once the session has work."""
        timer.start()
        self._timer = context.window_manager.event_timer_add(0.1, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        current = session()
        if not current.busy:
            view = current.view
            if view.phase is Phase.FAILED:
                report_error(self, f"{view.sentence} {view.advice}".strip())
            elif view.phase is Phase.DONE:
                self.report({"INFO"}, view.sentence)
            self.cancel(context)
            return {"FINISHED"}
        if event.type == "ESC" and event.value == "PRESS" and not redraw.plays(context):
            current.cancel()
            return {"RUNNING_MODAL"}
        if current.importing and event.type not in {"TIMER", "MOUSEMOVE", "INBETWEEN_MOUSEMOVE", "WINDOW_DEACTIVATE"}:
            return {"RUNNING_MODAL"}  # while the import runs, block edits of the data it builds
        return {"PASS_THROUGH"}

    def cancel(self, context: bpy.types.Context) -> None:
        if getattr(self, "_timer", None) is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None


class _Reconstructing(_Watching):
    """Mix-in: a job from click to head. ``again`` solves the active head again instead of making a new one; ``only`` is
    what alone is made, one of ``ONLY``."""

    bl_options = {"REGISTER"}
    again, only = False, ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Run to the end: for scripts and background mode."""
        if not self._begin(context, to_the_end=True):
            return {"CANCELLED"}
        view = run_to_end()
        if view.phase is Phase.DONE:
            self.report({"INFO"}, view.sentence)
            return {"FINISHED"}
        report_error(self, f"{view.sentence} {view.advice}".strip())
        return {"CANCELLED"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        if not self._begin(context):
            return {"CANCELLED"}
        return self.watch(context)

    def _begin(self, context: bpy.types.Context, to_the_end: bool = False) -> bool:
        try:
            job = self._job(context)
            if to_the_end and in_a_mode(context.scene, job.into):  # nobody could leave the mode meanwhile
                raise AddonError("An object is being edited.", "Switch to Object Mode, and try again.", "mode")
            session().begin(job, chosen_backend(context))
        except AddonError as error:
            report_error(self, str(error))
            return False
        return True

    def _job(self, context: bpy.types.Context) -> Job:
        settings, chosen = context.scene.likeness, preferences(context)
        into, missing, wished = None, 0, settings
        if self.again:
            collection = tags.active_head(context)
            if collection is None:
                raise AddonError("There is no head to solve again.", "Select a head that Likeness made.", "no_head")
            photos, given = solve_again.photos_to_send(collection, context.scene)
            missing = solve_again.missing_photos(collection, photos)
            said = tags.copy_words(tags.active_mesh(context, collection), collection)
            if said:
                self.report({"INFO"}, said)
            name, wished = tags.name_of(collection), collection.likeness
            own = corrections.head_corrections(collection)
            new = corrections.list_corrections(context.scene, given)
            stated = own + tuple(one for one in new if one.label not in corrections.known_photos(collection))
            into = _own_id(collection, context.scene)
        else:
            photos, given = listed_photos(context.scene)
            name = settings.person_name.strip()
            stated = corrections.list_corrections(context.scene, given)
        labels = {photo.label for photo in photos}
        return Job(
            place=_chosen_place(context),
            photos=photos,
            given=given,
            options=replace(options_of(settings, wished), look=self._look(context, given, labels)),
            into=into,
            missing=missing,
            frame=chosen.frame_head and not self.again,
            material_preview=chosen.material_preview,
            pack_photos=chosen.pack_photos,
            armature=chosen.armature,
            name=name,
            only=self.only,
            corrections=tuple(one for one in stated if one.label in labels and not one.is_empty),
        )

    def _look(self, context: bpy.types.Context, given: tuple[tuple[str, str], ...], labels: set[str]) -> str:
        """Label of the photo with the star: of the list, or else of the head to solve again."""
        if self.only:  # the shape does not touch the hair
            return ""
        starred = {photo.path for photo in context.scene.likeness.photos if photo.leads}
        of_list = [label for path, label in given if path in starred]
        kept = tags.active_head(context).likeness.look if self.again else ""
        return of_list[0] if of_list else kept if kept in labels else ""


_NO_PHOTOS = "There are no photos in the list. Add a few photos of one person first"
_NOTHING_TO_SOLVE = "There is no head to solve again. Select one that Likeness made"


class ReconstructFace(_Reconstructing, bpy.types.Operator):
    """Make a rigged, textured head out of the photos in the list"""

    bl_idname = "likeness.reconstruct"

    poll = poll_of(lambda context: session().busy_reason or ("" if context.scene.likeness.photos else _NO_PHOTOS))


class SolveAgain(_Reconstructing, bpy.types.Operator):
    """Solve the active head again, with its own photos and those of the list"""

    bl_label = "Add Photos and Solve Again"
    again = True

    poll = poll_of(lambda context: session().busy_reason or ("" if tags.active_head(context) else _NOTHING_TO_SOLVE))


class FitCorrections(_Reconstructing, bpy.types.Operator):
    """Solve the active head's shape again, with its landmarks where you put them and as its sliders say; texture, \
hair and relief stay until you solve it again as a whole"""

    bl_label = "Fit"
    again, only = True, "geometry"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        collection = tags.active_head(context)
        said = collection is not None and (collection.likeness.changed or corrections.has_corrections(collection))
        nothing = "" if said else "No landmark and no slider of this head was moved, and nothing was masked"
        return clickable(cls, session().busy_reason or nothing)


_photos: list[tuple[str, str, str]] = []


def _photos_of(_: bpy.types.Operator, context: bpy.types.Context) -> list[tuple[str, str, str]]:
    collection = tags.active_head(context)
    names = () if collection is None else corrections.known_photos(collection)
    _photos[:] = [(name, name, "As this photo alone shows it") for name in names]  # Blender does not hold the texts
    return _photos


class _OnHead(_Reconstructing):
    """Mix-in: changes the active head, without solving it."""

    poll = poll_of(lambda context: session().busy_reason or ("" if tags.active_head(context) else NO_HEAD))

    def _head(self, context: bpy.types.Context) -> bpy.types.Collection | None:
        return tags.active_head(context)

    def _wished(self, options: HeadOptions, collection: bpy.types.Collection) -> HeadOptions:
        """The options with what this operator asks of a head."""
        return options

    def _paints(self, collection: bpy.types.Collection) -> tuple[PhotoCorrections, ...]:
        """What single photos are to paint."""
        return corrections.paints_of(collection)

    def _job(self, context: bpy.types.Context) -> Job:
        collection = self._head(context)
        if collection is None:
            raise AddonError("The head is not there any more.", f"{NO_HEAD}.", "no_head")
        if not collection.get(tags.JOB):
            raise AddonError("The backend does not have this head any more.", "Solve the head again.", "no_head")
        wished = options_of(context.scene.likeness, collection.likeness)
        return Job(
            place=_chosen_place(context),
            photos=(),
            given=(),
            options=self._wished(wished, collection),
            into=_own_id(collection, context.scene),
            frame=False,
            corrections=self._paints(collection) if self.only == "texture" else (),
            only=self.only,
            head=str(collection[tags.JOB]),
        )


class HairFromPhoto(_OnHead, bpy.types.Operator):
    """Grow the active head's hair again as this photo shows it, without solving the head; the photo gets the star"""

    bl_label = "From Photo"
    only = "hair"
    photo: EnumProperty(name="Photo", items=_photos_of)

    def _wished(self, options: HeadOptions, collection: bpy.types.Collection) -> HeadOptions:
        return replace(options, look=self.photo)


class ChangeHair(_OnHead, bpy.types.Operator):
    """Grow the active head's hair again in this style, without solving the head: for as long as the backend has it, \
a quarter of an hour after its last solve"""

    only = "hair"
    style: HAIR_STYLE

    def _begin(self, context: bpy.types.Context, to_the_end: bool = False) -> bool:
        tags.active_head(context).likeness.put_on(self.style)
        return super()._begin(context, to_the_end)


class _Asked(_OnHead):
    """Mix-in: makes hair or texture anew as a slider asked, of the head that has the slider."""

    head: IntProperty(
        name="Head",
        description="session_uid of the head's collection, 0 for the active one",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    poll = poll_of(lambda context: session().busy_reason or ("" if tags.head_collections() else NO_HEAD))

    def _head(self, context: bpy.types.Context) -> bpy.types.Collection | None:
        asked = (one for one in tags.head_collections() if one.session_uid == self.head)
        return next(asked, None) if self.head else super()._head(context)

    def cancel(self, context: bpy.types.Context) -> None:
        super().cancel(context)
        if session().view.phase is not Phase.DONE:  # else the session has pushed a step for slider and picture
            redraw.push_undo_soon("Change Head")


class GrowHair(_Asked, bpy.types.Operator):
    """Grow the active head's hair again as chosen here, without solving the head: for as long as the backend has it, \
a quarter of an hour after its last solve"""

    only = "hair"


class PaintTexture(_Asked, bpy.types.Operator):
    """Paint the active head's texture again as chosen here, without solving the head: for as long as the backend has \
it, a quarter of an hour after its last solve"""

    only = "texture"


ALL_PHOTOS, OTHER_SIDE = "/all", "/mirrored"
"""Sources of a region besides a photo; no photo's name has a slash."""
_BESIDE_PHOTOS = [
    (ALL_PHOTOS, "All Photos", "As all photos show it together"),
    (OTHER_SIDE, "The Other Side", "As the other side of the face is, mirrored"),
]


def _sources_of(operator: bpy.types.Operator, context: bpy.types.Context) -> list[tuple[str, str, str]]:
    return _BESIDE_PHOTOS + _photos_of(operator, context)  # no lambda: Blender evaluates it elsewhere


class PaintRegion(_OnHead, bpy.types.Operator):
    """Paint this region of the texture as one photo shows it, or as the other side is"""

    only = "texture"
    region: TEXTURE_REGION
    source: EnumProperty(name="From", items=_sources_of)

    def _wished(self, options: HeadOptions, collection: bpy.types.Collection) -> HeadOptions:
        mirrored = [one for one in named_regions(options.mirror) if one != self.region]
        return replace(options, mirror=", ".join(mirrored + [self.region] * (self.source == OTHER_SIDE)))

    def _paints(self, collection: bpy.types.Collection) -> tuple[PhotoCorrections, ...]:
        mesh = tags.active_mesh(bpy.context, collection)
        if mesh is not None and mesh.mode == "WEIGHT_PAINT":
            bpy.ops.object.mode_set(mode="OBJECT")
        brush = corrections.brush_of(mesh) if self.region == corrections.BRUSH and mesh is not None else b""
        photo = "" if self.source in (ALL_PHOTOS, OTHER_SIDE) else self.source
        if self.region == corrections.BRUSH and photo and not brush:
            raise AddonError("Nothing is marked.", "Mark a part of the head with the brush first.", "no_brush")
        if self.source == OTHER_SIDE and not self.region.startswith(("left", "right")):
            raise AddonError(f"The region {self.region} has no other side.", "Choose a left or right one.", "no_side")
        return corrections.with_region(corrections.paints_of(collection), self.region, photo, brush)


class TextureBrush(LikenessOperator):
    """Mark a part of the head with Blender's weight brush, which a photo is to paint; once more to have done with it"""

    bl_label = "Brush"

    poll = needs(
        (tags.active_head, NO_HEAD),
        (lambda c: tags.active_mesh(c, tags.active_head(c)), "The head has no mesh any more. Solve it again first"),
    )

    def run(self, context: bpy.types.Context) -> set[str] | None:
        collection = tags.active_head(context)
        mesh = tags.active_mesh(context, collection)
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
            if context.view_layer.objects.active == mesh:
                return {"FINISHED"}
        groups = mesh.vertex_groups
        groups.active = groups.get(corrections.BRUSH_GROUP) or groups.new(name=corrections.BRUSH_GROUP)
        collection.likeness.texture_region = corrections.BRUSH
        tags.select_alone(mesh, context.view_layer)
        bpy.ops.object.mode_set(mode="WEIGHT_PAINT")


class CancelReconstruction(LikenessOperator):
    """Stop the reconstruction; a head that is ready is thrown away"""

    bl_idname = "likeness.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    poll = needs(
        (lambda _: session().view.phase is not Phase.CANCELLING, "It is being cancelled already"),
        (lambda _: session().busy, "Nothing is running"),
    )

    def run(self, context: bpy.types.Context) -> None:
        session().cancel()


class TakeHead(_Watching, LikenessOperator):
    """Put the head that is ready into this scene"""

    bl_label = "Put It into This Scene"
    bl_options = {"INTERNAL"}

    poll = poll_of(lambda context: "" if session().has_lost_scene else "No head waits to be put into a scene")

    def run(self, context: bpy.types.Context) -> None:
        """For scripts; the following ticks do the work."""
        session().take(_chosen_place(context))
        timer.start()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        done = self.execute(context)
        return done if bpy.app.background or done == {"CANCELLED"} else self.watch(context)
