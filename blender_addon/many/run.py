"""The run over the table: one job after the other through the session."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..backend_process.local_backend import LocalBackend
from ..client.keys import ServerAddress
from ..client.photo_files import unique_labels
from ..client.submissions import PhotoFile
from ..errors import AddonError
from ..job import Job
from ..protocol.names import EVEN_AVERAGE, NO_SYMMETRY
from ..runner import Phase
from ..scene import tags
from ..scene.place import Place, remove_head
from ..session import session
from .folders import file_of, photos_in

PERSONS_OWN: frozenset[str] = frozenset({"no_photo", "no_face", "too_large", "malformed", "out_of_memory", "internal"})
"""Codes of failures after which the next person may do better; all others are the backend's, and the run stops."""


@dataclass(frozen=True)
class RunOptions:
    """What all people of a run have in common; as ``Job``'s."""

    quality: str
    texture_size: int
    hair: str
    face_model: str
    pack_photos: bool
    armature: bool
    apart: bool
    symmetry: float = NO_SYMMETRY
    average: float = EVEN_AVERAGE


class ManyRun:
    """One run, from the click to the last person. ``tick`` drives it beside the session's.

    Attributes
    ----------
    stopped_because : a sentence, where it ended before its end.
    """

    def __init__(self, place: Place, backend: LocalBackend | ServerAddress, options: RunOptions) -> None:
        self._place, self._backend, self._options = place, backend, options
        self._running: str | None = None
        self._begun = 0.0
        self._stopping = False
        self.stopped_because = ""

    def tick(self) -> bool:
        """Look after the run once; False when it is over."""
        if session().busy:
            return True
        scene = self._place.scene()
        if scene is None:
            self.stopped_because = "The scene with the table was removed."
            return False
        if self._running is not None:
            self._ended(scene)
        if self._stopping or self.stopped_because:
            return False
        return self._next(scene)

    def stop(self) -> None:
        """Cancel the person at work, who waits again then, and end."""
        self._stopping = True
        session().cancel()

    def _next(self, scene: bpy.types.Scene) -> bool:
        people = scene.likeness_many.people
        row = next((person for person in people if person.state in ("WAITING", "RUNNING")), None)
        if row is None:
            return False
        scene.likeness_many.active = people.find(row.name)
        paths = photos_in(Path(bpy.path.abspath(row.folder)))
        if not paths:
            row.state, row.sentence = "FAILED", "There are no photos in the folder any more."
            return True
        labels = unique_labels([path.name for path in paths])
        files = tuple(PhotoFile(label, path) for label, path in zip(labels, paths, strict=True))
        options = self._options
        job = Job(
            place=self._place,
            photos=files,
            given=(),
            quality=options.quality,
            texture_size=options.texture_size,
            hair=options.hair,
            face_model=options.face_model,
            frame=False,
            pack_photos=options.pack_photos,
            armature=options.armature,
            name=row.name,
            symmetry=options.symmetry,
            average=options.average,
        )
        try:
            session().begin(job, self._backend)
        except AddonError as error:
            self.stopped_because = str(error)
            return False
        row.state, row.sentence, self._running, self._begun = "RUNNING", "", row.name, time.monotonic()
        return True

    def _ended(self, scene: bpy.types.Scene) -> None:
        """Write down what became of the person at work."""
        row, view = scene.likeness_many.people.get(self._running), session().view
        self._running = None
        if row is None:  # the table was cleared meanwhile
            self._stopping = True
            return
        said = f"{view.sentence} {view.advice}".strip()
        row.seconds = time.monotonic() - self._begun
        if view.phase is Phase.DONE:
            row.state, row.sentence = "DONE", said
            if self._options.apart:
                self._put_apart(row)
        elif view.phase is Phase.FAILED and view.code in PERSONS_OWN:
            row.state, row.sentence = "FAILED", said
        else:
            row.state = "WAITING"
            if view.phase is Phase.FAILED:
                self.stopped_because = said
            self._stopping = True

    def _put_apart(self, row: bpy.types.PropertyGroup) -> None:
        """The head that was just made into its file, and out of this one."""
        collection = session().made
        path = file_of(Path(bpy.path.abspath(row.folder)))
        if collection is None:
            row.state, row.sentence = "FAILED", "The head was removed before it was written."
            return
        try:
            bpy.data.libraries.write(str(path), {collection}, fake_user=True, compress=True)
        except (RuntimeError, OSError) as error:
            row.sentence = f"{path.name} could not be written ({str(error).strip()}); the head stays in this scene."
            return
        remove_head(str(collection[tags.HEAD_ID]))
        row.sentence = f"{path.name}: {row.sentence}"


_run: ManyRun | None = None
_said = ""


def current() -> ManyRun | None:
    """The run that goes on, None without."""
    return _run


def last_words() -> str:
    """Why the last run ended before its end; "" where it did not."""
    return _said


def begin(run: ManyRun) -> None:
    """Start. Raises ``AddonError`` ``busy`` where one goes on."""
    global _run, _said
    if _run is not None or session().busy:
        raise AddonError("The backend is busy already.", "Wait for it, or cancel what runs.", "busy")
    _run, _said = run, ""


def tick() -> None:
    """Look after the run, if one goes on."""
    global _run, _said
    if _run is not None and not _run.tick():
        _said, _run = _run.stopped_because, None


def forget() -> None:
    """No run goes on any more; the extension is being disabled, or another file is open."""
    global _run, _said
    _run, _said = None, ""


def run_to_end(seconds_between: float = 0.02) -> None:
    """Drive run and session until the run has ended: for background mode, where timers do not run."""
    while _run is not None:
        tick()
        session().tick()
        if session().busy and not session().importing:
            time.sleep(seconds_between)
