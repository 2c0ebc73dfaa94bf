"""The one reconstruction that may run in this Blender: ``timer`` drives it, its result goes into the scene in steps."""

from __future__ import annotations

import secrets
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bpy

from .backend_process.local_backend import LocalBackend
from .client.events import Arrived, Previewed
from .client.keys import ServerAddress, config_folder
from .client.photo_files import unique_labels
from .client.submissions import PhotoFile, Submission
from .errors import AddonError
from .identity import client_name
from .protocol.preview import Preview
from .protocol.result import HeadResult
from .runner import JobView, Phase, Runner
from .scene import photo_files, tags
from .scene.importing import Place, import_steps
from .scene.own_head import check_editable
from .ui import redraw, statuses
from .ui.view_frame import frame_head

SLICE_SECONDS = 0.03
"""After so long the next slice of the import waits for the next tick."""


@dataclass(frozen=True)
class Job:
    """What the artist asked for.

    Attributes
    ----------
    place : the scene whose list the photos come from and which gets the head, and what was shown of it.
    photos : what is sent, old and new. given : the list's paths with the labels they were sent under.
    into : id of the head to solve again, None for a new one. missing : how many of its photos' files are gone.
    """

    place: Place
    photos: tuple[PhotoFile, ...]
    given: tuple[tuple[str, str], ...]
    quality: str
    texture_size: int
    into: str | None = None
    missing: int = 0
    frame: bool = True
    pack_photos: bool = True


_NEEDS_SCENE = JobView(Phase.RUNNING, "A head is ready that was asked for before this file was opened", 1.0)
_NEEDS_OBJECT_MODE = JobView(Phase.RUNNING, "The head is ready: leave the mode you are in (Object Mode) to get it", 1.0)


class Session:
    """What one Blender does with the backend."""

    def __init__(self) -> None:
        self.runner = Runner(client_name(), config_folder())
        self._runner_is_mine = False
        self._lent = False
        self.job: Job | None = None
        self.preview: Preview | None = None
        self.preview_at = 0.0
        self._head_id: str | None = None
        self.elsewhere = False
        self._begun = self._took = 0.0
        self._result: HeadResult | None = None
        self._import: Generator[float, None, str] | None = None
        self._import_view: JobView | None = None

    @property
    def view(self) -> JobView:
        """What there is to show of the reconstruction."""
        return self._import_view or (self.runner.view if self._runner_is_mine else JobView())

    @property
    def busy(self) -> bool:
        """Whether a reconstruction runs or its result is being imported, or the runner is lent."""
        return self.view.phase.busy or self._lent or self.runner.busy

    @property
    def why_busy(self) -> str:
        """What a button says that cannot be clicked because of that; "" where it can."""
        if self.homeless:
            return "A head is ready: put it into this scene or throw it away first"
        return "The backend is busy" if self.busy else ""

    @property
    def importing(self) -> bool:
        """Whether slices of a result are going into the scene right now."""
        return self._import is not None

    @property
    def homeless(self) -> bool:
        """Whether a head is ready that was asked for in a file that is not open any more; ``take`` gives it a scene."""
        return self.elsewhere and self._result is not None

    @property
    def made_is_there(self) -> bool:
        """Whether the head that was made last is in the file, and neither undone nor deleted."""
        return self._head_id is not None and tags.collection_of_id(self._head_id) is not None

    def begin(self, job: Job, backend: LocalBackend | ServerAddress) -> None:
        """Start. Raises ``AddonError`` ``busy``."""
        self._check_idle()
        self._runner_is_mine = True
        options = {"quality": job.quality, "texture_size": job.texture_size, "device": "auto"}
        self.job, self.preview, self._result, self._import_view = job, None, None, None
        self._head_id, self.elsewhere = None, False
        self._begun = time.monotonic()
        self.runner.begin(Submission(secrets.token_hex(16), job.photos, options), backend)

    def lend(self) -> Runner:
        """The runner, for a job of somebody else who ticks it until ``take_back``. Raises ``AddonError`` ``busy``."""
        self._check_idle()
        self._lent, self._runner_is_mine = True, False
        return self.runner

    def take_back(self) -> None:
        """Whoever had the runner is done with it; a job that is being cancelled is looked after from here."""
        self._lent = False

    def _check_idle(self) -> None:
        if self.busy:
            raise AddonError("The backend is busy already.", "Wait for it, or cancel what runs.", "busy")

    def cancel(self) -> None:
        """Stop: the job at the backend, or the result that waits for the scene."""
        if self._result is not None or self._import is not None:
            self._end_import(JobView(Phase.CANCELLED, "Cancelled."))
            redraw.everything()  # ``tick`` has nothing to change any more
        else:
            self.runner.cancel()

    def file_opened(self) -> None:
        """Another file is open: what was said of the one before is not said any more; what runs goes on.

        Its result stays here until somebody says by ``take`` that it shall go into this file.
        """
        if self._import is not None:
            self._import.close()
            self._import = None
        if self.busy and self._runner_is_mine:
            self.elsewhere = True
        else:
            self._runner_is_mine, self._import_view = False, None

    def take(self, place: Place) -> None:
        """Put the head that was asked for in a file that is not open any more into this one.

        Raises ``AddonError`` ``linked`` where this one links the head that was to be solved again; it waits on then.
        """
        if self.job is not None and self.homeless:
            head = None if self.job.into is None else tags.collection_of_id(self.job.into, place.scene())
            if head is not None:
                check_editable(head)
            self.job, self.elsewhere = replace(self.job, place=place), False

    def tick(self) -> None:
        """Look after everything once; on the main thread only."""
        if self._lent:
            return
        for event in self.runner.tick():
            if isinstance(event, Previewed):
                self.preview, self.preview_at = event.preview, time.monotonic()
            elif isinstance(event, Arrived) and self.job is not None:
                self._result, self._took = event.result, time.monotonic() - self._begun
                self._import_view = JobView(Phase.RUNNING, "Putting the head into the scene", 1.0)
        if self._result is not None:
            self._place()
        if not self.busy:
            self.preview = None

    def stop(self) -> None:
        """End the job and the backend; the extension is being disabled or Blender quits."""
        if self._import is not None:
            self._import.close()
        self.__init_import()
        self.runner.stop(wait=True)

    def _place(self) -> None:
        """Slices of the import for a moment; all of it in one undo step."""
        job, result = self.job, self._result
        assert job is not None and result is not None
        if self.elsewhere:
            self._import_view = _NEEDS_SCENE
            return
        if self._import is None:
            scene = _scene_of(job)
            if in_a_mode(scene, job.into):
                self._import_view = _NEEDS_OBJECT_MODE
                return
            files = [
                photo_files.PhotoFile(photo.label, photo.data, str(photo.path) if photo.path else None)
                for photo in job.photos
            ]
            self._import = _guarded(result, replace(job.place, scene_uid=scene.session_uid), files, job)
        until = time.monotonic() + SLICE_SECONDS
        try:
            while time.monotonic() < until:
                done = next(self._import)
                self._import_view = JobView(Phase.RUNNING, "Putting the head into the scene", done)
        except StopIteration as stop:
            self._arrived(job, result, stop.value)
        except AddonError as error:
            self._end_import(JobView(Phase.FAILED, error.sentence, code=error.code, advice=error.advice))
        except Exception as error:  # a fault of ours must not leave the panel busy for ever
            self._end_import(
                JobView(
                    Phase.FAILED, f"The head could not be put into the scene: {error!r}.", advice="Please report it."
                )
            )
            raise

    def _arrived(self, job: Job, result: HeadResult, collection: str) -> None:
        self._head_id = str(bpy.data.collections[collection][tags.HEAD_ID])
        scene = _scene_of(job)
        statuses.write(scene, job.given, result.report, self._head_id)
        said = statuses.summary(result.report, self._took, job.missing)
        self._end_import(JobView(Phase.DONE, said, 1.0))
        if not bpy.app.background:
            if job.frame:
                frame_head(collection, scene)
            redraw.push_undo("Reconstruct Face", scene)

    def _end_import(self, view: JobView) -> None:
        if self._import is not None:
            self._import.close()
        self.__init_import()
        self._import_view = view

    def __init_import(self) -> None:
        self.job = self._import = self._result = self._import_view = None


def _scene_of(job: Job) -> bpy.types.Scene:
    """The job's scene; where that was deleted, the context's.

    In a timer that is the scene of the first window, whatever it shows by then.
    """
    return job.place.scene() or bpy.context.scene


def in_a_mode(scene: bpy.types.Scene, into: str | None) -> bool:
    """Whether what the scene's windows show, or the head to solve again, is being edited, sculpted or the like."""
    windows = bpy.context.window_manager.windows
    objects = [window.view_layer.objects.active for window in windows if window.scene == scene]
    head = None if into is None else tags.collection_of_id(into, scene)
    objects += [] if head is None else tags.objects_of(head)
    return any(obj is not None and obj.mode != "OBJECT" for obj in objects)


def _guarded(
    result: HeadResult, place: Place, files: Sequence[photo_files.PhotoFile], job: Job
) -> Generator[float, None, str]:
    """The import; where the head to solve again is gone, a new one is made."""
    try:
        return (yield from import_steps(result, place, files, job.into, job.pack_photos))
    except AddonError as error:
        if error.code != "head_gone" or job.into is None:
            raise
    return (yield from import_steps(result, place, files, None, job.pack_photos))


def listed_photos(scene: bpy.types.Scene) -> tuple[tuple[PhotoFile, ...], tuple[tuple[str, str], ...]]:
    """The scene's photo list as files to send, and (path as listed, label) for the statuses afterwards.

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
    """The session of this Blender."""
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
    """Stop everything; the next ``session()`` is a new one."""
    global _session
    if _session is not None:
        _session.stop()
    _session = None
