"""The session: at most one reconstruction per Blender, driven by ``timer`` and imported into the scene in slices."""

import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import bpy

from . import redraw
from .backend_process.server import LocalBackend
from .client.conversation import ServerAddress
from .client.events import Previewed, ResultReceived
from .client.submissions import PhotoCorrections, PhotoFile, Submission, unique_labels
from .errors import AddonError
from .identity import version
from .objects import tags
from .protocol.result import HeadResult
from .runner import JobView, Phase, Runner
from .scene import corrections
from .scene.cameras import frame_head
from .scene.hair import show_guides_alone, show_hairs
from .scene.importing import import_steps
from .scene.nodes import NO_LIBRARY, hair_library
from .scene.own_head import check_editable
from .shared.keys import config_folder
from .shared.options import REMADE, HeadOptions

SLICE_SECONDS = 0.03
"""Time per tick for import slices; later slices wait for the next tick."""

_ARRIVES = JobView(Phase.RUNNING, "Putting the head into the scene", 1.0)
_NEEDS_SCENE = JobView(Phase.RUNNING, "A head is ready that was asked for before this file was opened", 1.0)
_NEEDS_OBJECT_MODE = JobView(Phase.RUNNING, "The head is ready: leave the mode you are in (Object Mode) to get it", 1.0)


@dataclass(frozen=True)
class Job:
    """Settings of a reconstruction.

    Attributes
    ----------
    place : the scene whose photo list is used and which gets the head, and what was shown of it.
    photos : photos to send, old and new.
    given : (path as listed, label it was sent under) of the list.
    name : the person's, for a new head; may be empty.
    options : of the head; its look is a photo's label.
    armature : whether the head gets bones.
    frame : whether views turn to a new head.
    material_preview : whether views in Solid then switch to Material Preview.
    corrections : the artist's corrections of photos, by label.
    only : what alone of ``into`` is made anew: one of ``ONLY``.
    head : token of the job that solved ``into`` last; of this head the backend makes hair or texture alone.
    into : id of the head to solve again, None for a new one.
    missing : number of its photos whose files are gone.
    """

    place: tags.Place
    photos: tuple[PhotoFile, ...]
    given: tuple[tuple[str, str], ...]
    options: HeadOptions = field(default_factory=HeadOptions)
    into: str | None = None
    missing: int = 0
    frame: bool = True
    material_preview: bool = False
    pack_photos: bool = True
    armature: bool = False
    name: str = ""
    corrections: tuple[PhotoCorrections, ...] = ()
    only: str = ""
    head: str = ""


class Session:
    """State of the add-on's work with the backend."""

    def __init__(self) -> None:
        self.runner = Runner(f"likeness-blender {version()}", config_folder())
        self._runner_is_mine = False
        self._lent = False
        self._asked: dict[tuple[str, int], float] = {}
        self.job: Job | None = None
        self.preview: bytes | None = None
        self._head_id: str | None = None
        self.elsewhere = False
        self._begun = self._took = 0.0
        self._result: HeadResult | None = None
        self._import: Generator[float, None, str] | None = None
        self._import_view: JobView | None = None

    @property
    def view(self) -> JobView:
        """State of the reconstruction for display."""
        return self._import_view or (self.runner.view if self._runner_is_mine else JobView())

    @property
    def busy(self) -> bool:
        """Whether a reconstruction or import is in progress, or the runner is lent."""
        return self.view.phase.busy or self._lent or self.runner.busy

    @property
    def busy_reason(self) -> str:
        """Reason why a button is disabled while busy; "" if not busy."""
        if self.has_lost_scene:
            return "A head is ready: put it into this scene or throw it away first"
        return "The backend is busy" if self.busy else ""

    @property
    def importing(self) -> bool:
        """Whether a result is being imported right now."""
        return self._import is not None

    @property
    def has_lost_scene(self) -> bool:
        """Whether a finished head lost its scene because another file was opened; ``take`` gives it one."""
        return self.elsewhere and self._result is not None

    @property
    def made(self) -> bpy.types.Collection | None:
        """The collection of the most recently made head; None if it was undone or deleted."""
        return None if self._head_id is None else tags.collection_of_id(self._head_id)

    def begin(self, job: Job, backend: LocalBackend | ServerAddress) -> None:
        """Start a reconstruction. Raises ``AddonError`` ``busy``."""
        self._check_idle()
        self._runner_is_mine = True
        more = {"only": job.only, "head": job.head}
        options = job.options.changed() | {name: value for name, value in more.items() if value}
        self.job, self.preview, self._result, self._import_view = job, None, None, None
        self._head_id, self.elsewhere = None, False
        self._begun = time.monotonic()
        self.runner.begin(Submission(secrets.token_hex(16), job.photos, options, job.corrections), backend)

    def ask(self, only: str, head: bpy.types.Collection) -> None:
        """Have the timer make a head's hair or texture anew soon, if there is a backend that may have the head."""
        if self.runner.connected:
            self._asked[only, head.session_uid] = time.monotonic()

    def asked(self) -> tuple[str, int] | None:
        """What ``ask`` wants now, of ``REMADE``, and the ``session_uid`` of its head; None while a slider moves or the
        backend is busy. It counts as made then."""
        if not self._asked or self.busy or time.monotonic() - max(self._asked.values()) < redraw.SETTLED_SECONDS:
            return None
        return self._asked.popitem()[0]

    def prepare(self, backend: LocalBackend | ServerAddress) -> None:
        """Start a backend of this computer for a click that is likely to come."""
        if isinstance(backend, LocalBackend) and not self.busy:
            self.runner.prepare(backend)

    def lend_runner(self) -> Runner:
        """Lend the runner for another kind of job; the borrower ticks it until ``return_runner``. Raises ``AddonError``
        ``busy``."""
        self._check_idle()
        self._lent, self._runner_is_mine = True, False
        return self.runner

    def return_runner(self) -> None:
        """End the loan of the runner; a job being cancelled is then ticked by the session."""
        self._lent = False

    def _check_idle(self) -> None:
        if self.busy:
            raise AddonError("The backend is busy already.", "Wait for it, or cancel what runs.", "busy")

    def cancel(self) -> None:
        """Cancel the job at the backend, the import, or the wait for a scene, which discards the head."""
        if self._result is not None:
            self._end_import(JobView(Phase.CANCELLED, "Cancelled."))
            redraw.everything()  # ``tick`` will have no change to draw
        else:
            self.runner.cancel()

    def file_opened(self) -> None:
        """Called when another file is opened: clear the status of the previous one; a running job continues.

        Its result is kept until ``take`` puts it into the new file.
        """
        if self._import is not None:
            self._import.close()
        self._import = None
        self._asked.clear()
        if self.busy and self._runner_is_mine:
            self.elsewhere = True
        else:
            self._runner_is_mine, self._import_view = False, None

    def take(self, place: tags.Place) -> None:
        """Put the head that was requested in a previous file into this one.

        Raises ``AddonError`` ``linked`` if the head to solve again is linked from another file; the result then waits
        on.
        """
        if self.job is not None and self.has_lost_scene:
            into = None if self.job.into is None else tags.collection_of_id(self.job.into, place.scene())
            if into is not None:
                check_editable(into)
            self.job, self.elsewhere = replace(self.job, place=place), False

    def tick(self) -> None:
        """Process everything pending; on the main thread only."""
        if self._lent:
            return
        for event in self.runner.tick():
            if isinstance(event, Previewed):
                self.preview = event.picture
            elif isinstance(event, ResultReceived) and self.job is not None:
                self._result, self._took = event.result, time.monotonic() - self._begun
                self._import_view = _ARRIVES
        if self._result is not None:
            self._place()
        if not self.busy:
            self.preview = None

    def stop(self) -> None:
        """Stop the job and the backend; the extension is being disabled or Blender quits."""
        if self._import is not None:
            self._import.close()
        self.__init_import()
        self.runner.stop(wait=True)

    def _place(self) -> None:
        """Run import slices for a moment; all of them form one undo step."""
        job, result = self.job, self._result
        if self.elsewhere:
            self._import_view = _NEEDS_SCENE
            return
        if self._import is None:
            scene = _scene_of(job)
            if in_a_mode(scene, job.into):
                self._import_view = _NEEDS_OBJECT_MODE
                return
            self._import = _guarded(result, replace(job.place, scene_uid=scene.session_uid), job)
        until = time.monotonic() + SLICE_SECONDS
        try:
            while time.monotonic() < until:
                done = next(self._import)
                self._import_view = replace(_ARRIVES, fraction=done)
        except StopIteration as stop:
            self._arrived(job, result, stop.value)
        except AddonError as error:
            self._fail(error)
        except Exception as error:  # an unexpected error must not leave the panel busy forever
            self._fail(AddonError(f"The head could not be put into the scene: {error!r}.", "Please report it."))
            raise

    def _fail(self, error: AddonError) -> None:
        """Report that the head did not get into the scene."""
        self._end_import(JobView(Phase.FAILED, error.sentence, code=error.code, advice=error.advice))

    def _arrived(self, job: Job, result: HeadResult, collection: str) -> None:
        made = bpy.data.collections[collection]
        self._head_id = str(made[tags.HEAD_ID])
        settings = result.report.get("settings")
        made.likeness.remember(settings if isinstance(settings, dict) else {}, job.into is None)
        if job.only == "texture":
            corrections.keep_paints(made, job.corrections)
            made.likeness.mirror = job.options.mirror
        if job.into is None:
            for only in REMADE:  # the values that it was made with ask for nothing
                self._asked.pop((only, made.session_uid), None)
        scene = _scene_of(job)
        redraw.mark_photos(scene, job.given, result.report, self._head_id)
        sentence = redraw.summary(result.report, self._took, job.missing)
        if result.hair is not None and hair_library() is None:
            sentence = f"{sentence} The hair is not here: {' '.join(NO_LIBRARY)}"
        self._end_import(JobView(Phase.DONE, sentence, 1.0))
        if redraw.once_quiet("hairs", show_hairs):  # they take longer than all else of a head's first drawing
            show_guides_alone(made)
        if job.frame and not bpy.app.background:
            frame_head(collection, scene, job.material_preview)
        moved_on = (job.only, made.session_uid) in self._asked  # the slider, whose last picture has the step
        if not moved_on:
            redraw.push_undo("Reconstruct Face", scene)

    def _end_import(self, view: JobView) -> None:
        if self._import is not None:
            self._import.close()
        self.__init_import()
        self._import_view = view

    def __init_import(self) -> None:
        self.job = self._import = self._result = self._import_view = None


def _scene_of(job: Job) -> bpy.types.Scene:
    """The job's scene; if it was deleted, the context's.

    In a timer the context is the first window, whichever scene it shows then.
    """
    return job.place.scene() or bpy.context.scene


def in_a_mode(scene: bpy.types.Scene, into: str | None) -> bool:
    """Whether the active objects of the scene's windows, or the head to solve again, are in a mode other than Object
    Mode."""
    windows = bpy.context.window_manager.windows
    objects = [window.view_layer.objects.active for window in windows if window.scene == scene]
    head = None if into is None else tags.collection_of_id(into, scene)
    objects += [] if head is None else tags.objects_of(head)
    return any(obj is not None and obj.mode != "OBJECT" for obj in objects)


def _guarded(result: HeadResult, place: tags.Place, job: Job) -> Generator[float, None, str]:
    """The import; if the head to solve again is gone, a complete result makes a new one."""
    settings = job.pack_photos, job.name, job.armature
    try:
        return (yield from import_steps(result, place, job.photos, job.into, *settings))
    except AddonError as error:
        if error.code != "head_gone" or job.into is None or result.geometry_only or result.only:
            raise
    return (yield from import_steps(result, place, job.photos, None, *settings))


def listed_photos(scene: bpy.types.Scene) -> tuple[tuple[PhotoFile, ...], tuple[tuple[str, str], ...]]:
    """The scene's photo list as files to send, and (path as listed, label) for the statuses.

    Raises ``AddonError`` ``no_photo`` for an empty list.
    """
    listed = list(scene.likeness.photos)
    if not listed:
        raise AddonError("There are no photos in the list.", "Add a few photos of one person.", "no_photo")
    labels = unique_labels([photo.name for photo in listed])
    paths = [Path(bpy.path.abspath(photo.path)) for photo in listed]
    files = tuple(PhotoFile(label, path) for label, path in zip(labels, paths, strict=True))
    return files, tuple((photo.path, label) for photo, label in zip(listed, labels, strict=True))


_session: Session | None = None


def session() -> Session:
    """The session of this Blender, created on first use."""
    global _session
    if _session is None:
        _session = Session()
    return _session


def run_to_end(seconds_between: float = 0.02) -> JobView:
    """Drive the session until the reconstruction has ended: for background mode, where timers do not run."""
    current = session()
    while current.busy:
        current.tick()
        if current.busy and not current.importing:
            time.sleep(seconds_between)
    return current.view


def shut_down() -> None:
    """Stop everything; the next ``session()`` creates a new one."""
    global _session
    if _session is not None:
        _session.stop()
    _session = None
