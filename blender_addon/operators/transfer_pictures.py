"""Operators Expression from Photo and Animate from Video: the backend solves, the selected meshes get the result."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from pathlib import Path

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from .. import timer
from ..client.photo_files import PHOTO_GLOB, unique_labels
from ..client.submissions import PhotoFile, Transfer
from ..errors import AddonError
from ..runner import JobView
from ..scene.neutral_head import neutral_head
from ..scene.place import Place
from ..session import session
from ..solving import solved
from ..transfer.clips import ExpressionClip
from ..transfer.sliced import SlicedFileOperator, Steps, Waiting, say
from ..ui.preferences import chosen_backend
from .polls import clickable
from .transfer import ClipPlace, clip_steps
from .transfer_settings import selected_meshes, settings_of

VIDEOS = "*.mp4;*.mov;*.avi;*.mkv;*.webm;*.m4v"


class _FromPictures(SlicedFileOperator, ImportHelper):
    """Common base of both operators."""

    kept = ("filepath", "gain", "head_pose")

    chosen: BoolProperty(default=False, options={"HIDDEN", "SKIP_SAVE"})
    gain: FloatProperty(name="Gain", description="Stronger or weaker", default=1.0, min=0.0, soft_max=2)
    head_pose: BoolProperty(name="Head Pose", description="Turn the chosen bone or object, too", default=True)

    @classmethod
    def can_run(cls, context: bpy.types.Context) -> bool:
        return clickable(cls, session().busy_reason)

    def job(self, path: Path, head: bytes | None) -> Transfer:
        """The job to submit."""
        raise AttributeError("an operator has to say what it asks for")

    def steps(self, context: bpy.types.Context) -> Steps:
        meshes = [mesh.session_uid for mesh in selected_meshes(context, None)]
        asked, start, now = Place.shown(context), self.first_frame(context), context.scene.frame_current_final
        path, person = Path(bpy.path.abspath(self.filepath)), settings_of(context).person
        if not os.path.isfile(path):
            (label,) = unique_labels([path.name])
            raise AddonError(f"{label} could not be read.", "Choose it again.", "no_file")
        head = None if person is None else neutral_head(person)
        timer.start()  # keeps ticking the backend after this operator has finished
        clip = yield from _waiting(solved(self.job(path, head), chosen_backend(context)))
        say("Writing the keys")
        targets = [obj for obj in bpy.data.objects if obj.session_uid in meshes]
        if not targets:
            raise AddonError("The meshes that should get it are gone.", "Select others, and try again.", "no_target")
        place = ClipPlace(asked.scene() or context.scene, start, now)
        return (yield from clip_steps(place, clip, targets, self.gain, self.head_pose))

    def first_frame(self, context: bpy.types.Context) -> int:
        """Frame where an animation begins."""
        return context.scene.frame_current


class ExpressionFromPhoto(_FromPictures, bpy.types.Operator):
    """Give the selected meshes the expression that a photo shows"""

    bl_idname = "likeness.expression_from_photo"
    bl_label = "Expression from Photo"
    bl_options = {"UNDO"}  # no REGISTER: another gain would solve it all again, with the window frozen
    doing = "Looking at the photo"
    filename_ext = ""

    filter_glob: StringProperty(default=PHOTO_GLOB, options={"HIDDEN"})

    def job(self, path: Path, head: bytes | None) -> Transfer:
        (label,) = unique_labels([path.name])
        return Transfer(secrets.token_hex(16), photos=(PhotoFile(label, path),), head=head)


class AnimateFromVideo(_FromPictures, bpy.types.Operator):
    """Give the selected meshes the performance that a video shows, as keyframes at the scene's frame rate"""

    bl_idname = "likeness.animate_from_video"
    bl_label = "Animate from Video"
    bl_options = {"UNDO"}  # no REGISTER: another gain would solve it all again, with the window frozen
    doing = "Watching the video"
    kept = ("filepath", "gain", "head_pose", "start")
    filename_ext = ""

    filter_glob: StringProperty(default=VIDEOS, options={"HIDDEN"})
    start: IntProperty(name="First Frame", description="Where the animation begins", default=1)

    def job(self, path: Path, head: bytes | None) -> Transfer:
        return Transfer(secrets.token_hex(16), video=path, head=head)

    def first_frame(self, context: bpy.types.Context) -> int:
        return self.start


def _waiting(steps: Generator[JobView, None, ExpressionClip]) -> Generator[Waiting, None, ExpressionClip]:
    """Wrap the backend's progress as ``Waiting`` steps."""
    try:
        while True:
            view = next(steps)
            yield Waiting(view.sentence, view.fraction, view.seconds_left)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


CLASSES = (ExpressionFromPhoto, AnimateFromVideo)
