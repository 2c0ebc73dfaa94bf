"""Operators that bring expressions to rigs: from another rig, a file, a photo or a video, which the session's runner
solves.
"""

import os
import secrets
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from .. import timer
from ..backend_process.server import LocalBackend
from ..client.conversation import ServerAddress
from ..client.events import ExpressionsReceived
from ..client.submissions import PHOTO_GLOB, PhotoFile, Transfer, unique_labels
from ..errors import AddonError
from ..objects.actions import animated_keys, driven_keys, linear_curve
from ..objects.tags import Place, expressive_meshes, key_mesh
from ..protocol import clips
from ..rig.lead import led_keys, set_keys
from ..runner import JobView, Phase
from ..scene.expressions import locked_keys, read_cues
from ..scene.own_head import neutral_head
from ..session import session
from ..settings.preferences import chosen_backend
from ..text import LikenessOperator, poll_of
from ..transfer import apply
from ..transfer.names import apply_links
from ..transfer.sliced import SlicedFileOperator, SlicedOperator, Steps, cancel_work, current_work, say
from . import transfer_keys


def solved(job: Transfer, backend: LocalBackend | ServerAddress) -> Generator[JobView, None, clips.ExpressionClip]:
    """Yield the progress of the transfer, return its result; closing the generator early cancels the job.

    Raises ``AddonError`` with the backend's message, or ``busy``.
    """
    current = session()
    runner = current.lend_runner()
    try:
        runner.begin(job, backend)
        while True:
            for event in runner.tick():
                if isinstance(event, ExpressionsReceived):
                    return event.clip
            view = runner.view
            if not view.phase.busy:
                sentence = view.sentence if view.phase is Phase.FAILED else "The transfer was cancelled."
                raise AddonError(sentence, view.advice, view.code or "cancelled")
            yield view
    finally:
        runner.cancel()
        current.return_runner()


MOST_FRAMES = 1_000_000
TRANSFER_KINDS = (
    ("AUTO", "Automatic", "The animation where the source has one, else the expression"),
    ("EXPRESSION", "Expression", "What the source shows at this moment"),
    ("ACTION", "Animation", "All keyframes of the source's shape keys"),
)


class TransferToSelected(SlicedOperator, bpy.types.Operator):
    """Give the source's expression, or its whole animation, to the selected meshes"""

    bl_label = "Transfer to Selected"
    doing = "Transferring"

    what: EnumProperty(name="What", items=TRANSFER_KINDS, default="AUTO", options={"SKIP_SAVE"})

    can_run = poll_of(lambda context: "" if transfer_keys.source_of(context) else transfer_keys.NO_SOURCE)

    def steps(self, context: bpy.types.Context) -> Steps:
        settings, source = transfer_keys.settings_of(context), transfer_keys.source_of(context)
        targets = transfer_keys.selected_meshes(context, source)
        keys, take = apply.shape_keys(source), None
        animate = self.what == "ACTION" or (self.what == "AUTO" and apply.range_of(keys) is not None)
        frame, names = context.scene.frame_current_final, apply.key_names(source)
        outcomes, problems = [], []
        if animate:
            take = yield from apply.read_take(source)
        for number, target in enumerate(targets):
            links = transfer_keys.links_for(settings, names, target)
            try:
                if take is not None:
                    outcomes.append((yield from apply.copy_action(take, target, links)))
                else:
                    outcomes.append(apply.copy_expression(source, target, links, frame))
            except AddonError as error:
                if len(targets) == 1:
                    raise
                problems.append(str(error))
            yield (number + 1) / len(targets)
        problems += _copy_pose(settings, source, animate)
        return said(outcomes, problems, "animation" if animate else "expression")


def _copy_pose(settings: transfer_keys.LikenessTransfer, source: bpy.types.Object, animate: bool) -> list[str]:
    """Copy the head rotation from rig to rig, if the artist chose both ends; return notes for the artist."""
    giver, taker = settings.pose_from, settings.pose_to
    if giver is None or taker is None:
        return []
    frames = np.array([bpy.context.scene.frame_current_final])
    if animate:
        first, last = apply.range_of(giver, source.data.shape_keys)
        frames = np.arange(np.floor(first), np.ceil(last) + 1)
    turns = apply.sampled_turns(giver, settings.pose_from_bone, frames)
    warning = apply.apply_turns(taker, settings.pose_to_bone, frames, turns, animate)
    return [warning] if warning else []


def said(outcomes: Sequence[apply.Outcome], problems: Sequence[str], what: str) -> str:
    """One sentence about all targets, and one line per note."""
    count = sum(outcome.written for outcome in outcomes)
    meshes = f"{len(outcomes)} mesh{'' if len(outcomes) == 1 else 'es'}"
    lines = [f"Transferred the {what} to {meshes}: {count} key{'' if count == 1 else 's'}."]
    lines += [outcome.warning for outcome in outcomes if outcome.warning] + list(problems)
    return "\n".join(lines)


def _fit_range(default: bool) -> object:
    return BoolProperty(
        name="Fit Frame Range", description="Let the scene end where the animation does", default=default
    )


class _OntoMeshes(SlicedFileOperator, ImportHelper):
    """Common base of the operators that put a file's expressions onto meshes."""

    chosen: BoolProperty(options={"HIDDEN", "SKIP_SAVE"})
    gain: FloatProperty(name="Gain", description="Stronger or weaker", default=1.0, min=0.0, soft_max=2)
    head_pose: BoolProperty(name="Head Pose", description="Turn the chosen bone or object, too", default=True)


class LoadExpressionFile(_OntoMeshes, bpy.types.Operator):
    """Put an expression.json, a CSV of Live Link Face, or Rhubarb's mouth cues (TSV, JSON), onto the selected meshes"""

    doing = "Loading the expressions"
    filename_ext = ".json"

    filter_glob: StringProperty(default="*.json;*.csv;*.tsv", options={"HIDDEN"})
    start: IntProperty(name="First Frame", description="Where the animation begins", default=1)
    set_range: _fit_range(False)

    def steps(self, context: bpy.types.Context) -> Steps:
        path = Path(bpy.path.abspath(self.filepath))
        clip = read_cues(path) or clips.read_clip(path)
        targets, scene = transfer_keys.selected_meshes(context, None), context.scene
        place = ClipPlace(scene, self.start, scene.frame_current_final)
        return (yield from clip_steps(place, clip, targets, self.gain, self.head_pose, self.set_range))


@dataclass(frozen=True)
class ClipPlace:
    """Target of a clip: the scene with the frame rate and settings, the frame where an animation begins, and the frame
    for a single expression."""

    scene: bpy.types.Scene
    start: int
    now: float


def clip_steps(
    place: ClipPlace,
    clip: clips.ExpressionClip,
    targets: Sequence[bpy.types.Object],
    gain: float,
    head_pose: bool,
    set_range: bool = False,
) -> Steps:
    """Apply a clip to meshes: as keyframes, or as the values of a single expression."""
    settings, render = place.scene.likeness_transfer, place.scene.render
    rate = render.fps / render.fps_base
    if clip.seconds[-1] * rate > MOST_FRAMES:
        raise AddonError("This film is too long for an animation.", "Cut it into parts.", "bad_clip")
    many = len(clip.seconds) > 1
    clip = clips.resample(clip, rate)
    frames = place.start + np.round(clip.seconds * rate)
    outcomes: list[apply.Outcome] = []
    for number, target in enumerate(targets):
        if not apply.key_names(target) and len(targets) > 1:
            continue
        yield from _apply_clip(place, clip, target, frames if many else None, gain, outcomes)
        yield (number + 1) / len(targets)
    problems = list(clip.notes)
    if head_pose and clip.rotation is not None and settings.pose_to is not None:
        turns = apply.in_blender(clip.rotation)
        problems.append(apply.apply_turns(settings.pose_to, settings.pose_to_bone, frames, turns, many))
    if many and set_range:
        place.scene.frame_start, place.scene.frame_end = int(frames[0]), int(frames[-1])
    for guessed, why in (
        (~clip.found & ~clip.dropped, "showed no sure face"),
        (clip.dropped, "are missing in the file"),
    ):
        if guessed.any():
            problems.append(f"{guessed.sum()} of {len(guessed)} frames {why} and are interpolated.")
    return said(outcomes, [problem for problem in problems if problem], "animation" if many else "expression")


def _apply_clip(
    place: ClipPlace,
    clip: clips.ExpressionClip,
    target: bpy.types.Object,
    frames: np.ndarray | None,
    gain: float,
    outcomes: list[apply.Outcome],
) -> Steps:
    """Apply a clip to one target's keys: keyframes at ``frames`` or, without frames, the first expression as values."""
    apply.shape_keys(target)
    values = {name: clip.weights[:, column] * gain for column, name in enumerate(clip.names)}
    values = apply_links(transfer_keys.links_for(place.scene.likeness_transfer, clip.names, target), values)
    if frames is None:
        single = {name: float(column[0]) for name, column in values.items()}
        outcomes.append(apply.set_values(target, single, place.now))
        return ""
    curves = {name: linear_curve(frames, column) for name, column in values.items()}
    outcomes.append((yield from apply.write_curves(target, curves, (frames[0], frames[-1]))))
    return ""


class ResetTargets(LikenessOperator):
    """Set the expression of what is selected, or of the only head, to 0, with bones that lead keys; driven, animated
    and locked keys and a build stay"""

    bl_idname = "likeness.reset_selected"
    bl_label = "Neutral"

    def run(self, context: bpy.types.Context) -> None:
        chosen = dict.fromkeys(map(key_mesh, context.selected_objects))
        meshes = [obj for obj in chosen if obj.type == "MESH" and obj.data.shape_keys is not None]
        for obj in meshes or expressive_meshes(context):
            keys = obj.data.shape_keys
            busy = driven_keys(keys) | {name for name, _ in animated_keys(keys)} | locked_keys(keys)
            for name in transfer_keys.expression_keys(transfer_keys.settings_of(context), obj):
                if name not in busy:
                    keys.key_blocks[name].value = 0.0
            set_keys(obj, dict.fromkeys(led_keys(obj) - locked_keys(keys), 0.0))
            obj.data.update_tag()


class CancelTransfer(LikenessOperator):
    """Stop the transfer (ESC does the same)"""

    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    poll = poll_of(lambda context: "" if current_work() is not None else "No transfer is running")

    def run(self, context: bpy.types.Context) -> None:
        cancel_work()


VIDEOS = "*.mp4;*.mov;*.avi;*.mkv;*.webm;*.m4v"


class _FromPictures(_OntoMeshes):
    """Common base of both operators; ``job`` is what they submit."""

    bl_options = {"UNDO"}  # no REGISTER: another gain would solve it all again, with the window frozen
    filename_ext, set_range = "", False

    can_run = poll_of(lambda context: session().busy_reason)

    def steps(self, context: bpy.types.Context) -> Steps:
        meshes = [mesh.session_uid for mesh in transfer_keys.selected_meshes(context, None)]
        asked, start, now = Place.shown(context), self.first_frame(context), context.scene.frame_current_final
        path, person = Path(bpy.path.abspath(self.filepath)), transfer_keys.settings_of(context).person
        if not os.path.isfile(path):
            (label,) = unique_labels([path.name])
            raise AddonError(f"{label} could not be read.", "Choose it again.", "no_file")
        head = None if person is None else neutral_head(person)
        timer.start()  # keeps ticking the backend after this operator has finished
        clip = yield from solved(self.job(path, head), chosen_backend(context))
        say("Writing the keys")
        targets = [obj for obj in bpy.data.objects if obj.session_uid in meshes]
        if not targets:
            raise AddonError("The meshes that should get it are gone.", "Select others, and try again.", "no_target")
        place = ClipPlace(asked.scene() or context.scene, start, now)
        return (yield from clip_steps(place, clip, targets, self.gain, self.head_pose, self.set_range))

    def first_frame(self, context: bpy.types.Context) -> int:
        """Frame where an animation begins."""
        return context.scene.frame_current


class ExpressionFromPhoto(_FromPictures, bpy.types.Operator):
    """Give the selected meshes the expression that a photo shows"""

    bl_label = "Expression from Photo"
    doing = "Looking at the photo"

    filter_glob: StringProperty(default=PHOTO_GLOB, options={"HIDDEN"})

    def job(self, path: Path, head: bytes | None) -> Transfer:
        (label,) = unique_labels([path.name])
        return Transfer(secrets.token_hex(16), photos=(PhotoFile(label, path),), head=head)


class AnimateFromVideo(_FromPictures, bpy.types.Operator):
    """Give the selected meshes the performance that a video shows, as keyframes at the scene's frame rate"""

    bl_label = "Animate from Video"
    doing = "Watching the video"

    filter_glob: StringProperty(default=VIDEOS, options={"HIDDEN"})
    start: IntProperty(name="First Frame", description="Where the animation begins", default=1)
    set_range: _fit_range(True)

    def job(self, path: Path, head: bytes | None) -> Transfer:
        return Transfer(secrets.token_hex(16), video=path, head=head)

    def first_frame(self, context: bpy.types.Context) -> int:
        return self.start
