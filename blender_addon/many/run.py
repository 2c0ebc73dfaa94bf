"""The batch run over the table, one job at a time through the session."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
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
from ..scene.assets import CATALOGUE_ID, mark_as_asset, put_picture
from ..scene.place import Place, remove_head
from ..scene.portrait import portrait_steps
from ..session import SLICE_SECONDS, session
from .catalogue import heads_catalogue
from .folders import file_of, library_of, photos_in
from .library import LibraryProcess

PER_PERSON_ERRORS: frozenset[str] = frozenset(
    {"no_photo", "no_face", "too_large", "malformed", "out_of_memory", "internal"}
)
"""Error codes that concern one person only. Any other code concerns the backend and stops the run."""


@dataclass(frozen=True)
class RunOptions:
    """Options common to all people of a run; see ``Job``.

    ``apart``: one .blend file per head. ``library``: the same, and one .blend file with all heads as assets.
    """

    quality: str
    texture_size: int
    hair: str
    face_model: str
    pack_photos: bool
    armature: bool
    apart: bool
    symmetry: float = NO_SYMMETRY
    average: float = EVEN_AVERAGE
    library: bool = False


class ManyRun:
    """One batch run, from the click to the last person. ``tick`` advances it, beside the session's own tick.

    Attributes
    ----------
    stopped_because : a sentence, if it ended early.
    """

    def __init__(self, place: Place, backend: LocalBackend | ServerAddress, options: RunOptions) -> None:
        self._place, self._backend, self._options = place, backend, options
        self._running: str | None = None
        self._begun = 0.0
        self._stopping = False
        self._written: list[Path] = []
        self._pictures: list[Generator[None, None, None]] = []
        self._writing: LibraryProcess | None = None
        self.stopped_because = ""

    @property
    def writing(self) -> bool:
        """Whether all heads are made and the assets' file or previews are being written."""
        return self._writing is not None

    def tick(self) -> bool:
        """Advance the run once; False when it is over."""
        if self._writing is not None:
            return self._wait_for_writing()
        self._draw_pictures()
        if session().busy:
            return True
        scene = self._place.scene()
        if scene is None:
            self.stopped_because = "The scene with the table was removed."
            return False
        if self._running is not None:
            self._ended(scene)
        if not (self._stopping or self.stopped_because) and self._next(scene):
            return True
        return bool(self._pictures) or self._begin_writing(scene)

    def stop(self) -> None:
        """Stop. The current person is cancelled and waits again; an interrupted write leaves the previous file."""
        if self._writing is not None:
            self._writing.stop()
            return
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
        """Record the outcome of the current person."""
        row, view = scene.likeness_many.people.get(self._running), session().view
        self._running = None
        if row is None:  # the table was cleared meanwhile
            self._stopping = True
            return
        said = f"{view.sentence} {view.advice}".strip()
        row.seconds = time.monotonic() - self._begun
        if view.phase is Phase.DONE:
            row.state, row.sentence = "DONE", said
            if self._options.apart or self._options.library:
                self._move_to_file(row)
            elif (head := session().made) is not None:
                mark_as_asset(head, pictured=False)
                self._pictures.append(_picture_steps(str(head[tags.HEAD_ID]), session().small_pictures))
        elif view.phase is Phase.FAILED and view.code in PER_PERSON_ERRORS:
            row.state, row.sentence = "FAILED", said
        else:
            row.state = "WAITING"
            if view.phase is Phase.FAILED:
                self.stopped_because = said
            self._stopping = True

    def _draw_pictures(self) -> None:
        """Draw previews in slices for a moment, beside the next person's reconstruction."""
        until = time.monotonic() + SLICE_SECONDS
        while self._pictures and not session().importing:
            try:
                next(self._pictures[0])
            except (StopIteration, ReferenceError):  # finished; or the head was removed or undone meanwhile
                del self._pictures[0]
            if time.monotonic() >= until:
                break

    def _move_to_file(self, row: bpy.types.PropertyGroup) -> None:
        """Move the head that was just made into its own file."""
        collection = session().made
        path = file_of(Path(bpy.path.abspath(row.folder)))
        if collection is None:
            row.state, row.sentence = "FAILED", "The head was removed before it was written."
            return
        try:
            if not self._options.library:  # otherwise the Asset Browser would show the head twice
                mark_as_asset(collection, heads_catalogue(path.parents[1], CATALOGUE_ID), pictured=False)
            # Compressing would block the window for 0.1 s; for ``apart`` the process that draws the preview does it.
            bpy.data.libraries.write(str(path), {collection}, fake_user=True, compress=False)
        except (RuntimeError, OSError) as error:
            row.sentence = f"{path.name} could not be written ({str(error).strip()}); the head stays in this scene."
            return
        remove_head(str(collection[tags.HEAD_ID]))
        row.sentence = f"{path.name}: {row.sentence}"
        self._written.append(path)

    def _begin_writing(self, scene: bpy.types.Scene) -> bool:
        """Start the second Blender that finishes the run's files; return whether it was started."""
        files, library = self._written, None
        people = scene.likeness_many.people
        try:
            if self._options.library and len(people):
                done = [file_of(Path(bpy.path.abspath(row.folder))) for row in people if row.state == "DONE"]
                files = [path for path in done if path.is_file()]
                library = library_of(Path(bpy.path.abspath(people[0].folder)).parent)
            if not files:
                return False
            catalogue = heads_catalogue(files[0].parents[1], CATALOGUE_ID)
            self._writing = LibraryProcess(files, library, catalogue)
        except OSError as error:
            self._add_sentence(f"The asset library could not be written ({error}).")
            return False
        return True

    def _wait_for_writing(self) -> bool:
        said = self._writing.ended()
        if said is None:
            return True
        self._add_sentence(said)
        return False

    def _add_sentence(self, sentence: str) -> None:
        self.stopped_because = f"{self.stopped_because} {sentence}".strip()


def _picture_steps(head_id: str, small: Mapping[str, bytes]) -> Generator[None, None, None]:
    """Draw a head's preview in slices and set it for the Asset Browser, if the head still exists then."""
    head = tags.collection_of_id(head_id)
    if head is None:
        return
    picture = yield from portrait_steps(head, small=small)
    head = tags.collection_of_id(head_id)
    if head is not None and head.asset_data is not None:
        put_picture(head, picture)


_run: ManyRun | None = None
_said = ""


def current() -> ManyRun | None:
    """The running batch, None if there is none."""
    return _run


def is_writing() -> bool:
    """Whether a run has made its heads and is writing the assets."""
    return _run is not None and _run.writing


def last_words() -> str:
    """Why the last run ended early; "" if it did not."""
    return _said


def begin(run: ManyRun) -> None:
    """Start a run. Raises ``AddonError`` ``busy`` if one is running."""
    global _run, _said
    if _run is not None or session().busy:
        raise AddonError("The backend is busy already.", "Wait for it, or cancel what runs.", "busy")
    _run, _said = run, ""


def tick() -> None:
    """Advance the run, if there is one."""
    global _run, _said
    if _run is not None and not _run.tick():
        _said, _run = _run.stopped_because, None


def file_opened() -> None:
    """Called when another file is opened: the run ends, but a write in progress is completed."""
    if not is_writing():
        forget()


def forget() -> None:
    """Drop the run; the extension is being disabled."""
    global _run, _said
    if is_writing():
        _run.stop()
    _run, _said = None, ""


def run_to_end(seconds_between: float = 0.02) -> None:
    """Drive run and session until the run has ended: for background mode, where timers do not run."""
    while _run is not None:
        tick()
        session().tick()
        if (session().busy and not session().importing) or is_writing():
            time.sleep(seconds_between)
