"""Expression from Photo and Animate from Video: the backend solves the pictures, the selected meshes get the result."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ..backend_process.picture_solver import PictureSolver
from ..errors import AddonError
from ..runner import LocalBackend
from ..transfer import clips
from ..transfer.sliced import SlicedFileOperator, Steps, say
from ..ui.preferences import chosen_backend
from .transfer import clip_steps
from .transfer_settings import selected_meshes

PHOTOS = "*.jpg;*.jpeg;*.png;*.webp;*.tif;*.tiff;*.heic;*.heif"
VIDEOS = "*.mp4;*.mov;*.avi;*.mkv;*.webm;*.m4v"
_WAIT_SECONDS = 0.01


class _FromPictures(SlicedFileOperator, ImportHelper):
    """What both operators share."""

    kept = ("filepath", "gain", "head_pose")

    chosen: BoolProperty(default=False, options={"HIDDEN", "SKIP_SAVE"})
    gain: FloatProperty(name="Gain", description="Stronger or weaker", default=1.0, min=0.0, soft_max=2)
    head_pose: BoolProperty(name="Head Pose", description="Turn the chosen bone or object, too", default=True)

    def pictures(self) -> list[Path]:
        """The chosen files."""
        return [Path(bpy.path.abspath(self.filepath))]

    def steps(self, context: bpy.types.Context) -> Steps:
        selected_meshes(context, None)  # says at once where nothing is selected
        pictures = self.pictures()
        for path in pictures:
            if not path.is_file():
                raise AddonError(f"{path.name} could not be read.", "Choose it again.", "no_file")
        backend = chosen_backend(context)
        if not isinstance(backend, LocalBackend):
            raise AddonError(
                "Expressions from pictures need a backend on this computer.",
                "Choose Installed or Existing in the extension's preferences.",
                "remote",
            )
        solver = PictureSolver(backend.python, backend.source, pictures)
        try:
            say("Starting the backend")
            while not solver.finished:
                if solver.stage:
                    say(solver.stage.capitalize())
                yield 0.0
                time.sleep(_WAIT_SECONDS)
            clip = clips.read_clip(solver.out)
        finally:
            solver.stop()
        say("Writing the keys")
        return (yield from clip_steps(context, clip, self.first_frame(context), self.gain, self.head_pose, False))

    def first_frame(self, context: bpy.types.Context) -> int:
        """Where an animation begins."""
        return context.scene.frame_current


class ExpressionFromPhoto(_FromPictures, bpy.types.Operator):
    """Give the selected meshes the expression that a photo shows"""

    bl_idname = "likeness.expression_from_photo"
    bl_label = "Expression from Photo"
    bl_options = {"REGISTER", "UNDO"}
    doing = "Looking at the photo"
    filename_ext = ""

    filter_glob: StringProperty(default=PHOTOS, options={"HIDDEN"})


class AnimateFromVideo(_FromPictures, bpy.types.Operator):
    """Give the selected meshes the performance that a video shows, as keyframes at the scene's frame rate"""

    bl_idname = "likeness.animate_from_video"
    bl_label = "Animate from Video"
    bl_options = {"REGISTER", "UNDO"}
    doing = "Watching the video"
    kept = ("filepath", "gain", "head_pose", "start")
    filename_ext = ""

    filter_glob: StringProperty(default=VIDEOS, options={"HIDDEN"})
    start: IntProperty(name="First Frame", description="Where the animation begins", default=1)

    def first_frame(self, context: bpy.types.Context) -> int:
        return self.start


CLASSES = (ExpressionFromPhoto, AnimateFromVideo)
