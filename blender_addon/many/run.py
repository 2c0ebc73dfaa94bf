"""*Many People*: folders of people, and the table of them, stored per scene; the run over the table, one job at a time
through the session; then catalogues of the asset library, and the second Blender that turns head files into assets.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..backend_process.python_finder import hidden_window
from ..backend_process.server import LocalBackend
from ..client.conversation import ServerAddress
from ..client.submissions import PhotoFile, is_text, unique_labels
from ..errors import AddonError
from ..objects import tags
from ..runner import Phase
from ..session import Job, session
from ..shared.photo_folder import PersonFolder, people_folder, photo_folder
from . import library_process
from .stage import CATALOGUE_ID, mark_as_asset

FILE_NAME = "blender_assets.cats.txt"
HEADS = "Likeness/Heads"
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BEGINNING = "# This is an Asset Catalog Definition file for Blender.\n\nVERSION 1\n\n"


def heads_catalogue(folder: Path) -> str:
    """Id of the heads' catalogue in a library folder; added as ``CATALOGUE_ID`` if missing.

    Existing lines stay. Raises ``OSError`` if the file cannot be read or written.
    """
    path = folder / FILE_NAME
    known = path.read_text("utf-8", errors="surrogateescape") if path.is_file() else ""
    for line in known.splitlines():
        number, _, rest = line.strip().partition(":")
        if rest.partition(":")[0] == HEADS and _ID.fullmatch(number):
            return number
    before = known.rstrip("\n") + "\n" if known.strip() else _BEGINNING
    line = f"{CATALOGUE_ID}:{HEADS}:{HEADS.replace('/', '-')}\n"
    path.write_text(before + line, "utf-8", errors="surrogateescape")
    return CATALOGUE_ID


class LibraryProcess:
    """Let head files open on their heads, and collect them in one library or mark each as an asset with a preview, in a
    second Blender process.

    Parameters
    ----------
    files : .blend files with one head each, named like the head.
    written : those that are new, to be opened by an artist.
    library : the file to collect all in; None to mark the new ones in place.
    catalogue : id of their asset catalogue.

    Raises ``OSError`` if no process can be started.
    """

    def __init__(self, files: Sequence[Path], written: Sequence[Path], library: Path | None, catalogue: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="likeness-", ignore_cleanup_errors=True)
        self._what = "The assets' pictures" if library is None else library.name
        self._stopped = False
        folder = Path(self._folder.name)
        job = folder / "job.json"
        paths = {"files": files, "written": written, "library": library}
        job.write_text(json.dumps(paths | {"catalogue": catalogue}, default=str), "utf-8")
        script = library_process.__file__
        command = [sys.executable, "-P", script, str(job)]
        if bpy.app.binary_path:  # empty when Blender is a Python module
            options = ["--background", "--factory-startup", "--python-exit-code", "1"]
            command = [bpy.app.binary_path, *options, "--python", script, "--", str(job)]
        with open(folder / "log.txt", "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **hidden_window()
            )

    def stop(self) -> None:
        """Stop the process; files not written yet stay as they were."""
        self._stopped = True
        self._process.kill()

    def ended(self) -> str | None:
        """None while it runs; then a sentence about what went wrong, "" for nothing."""
        if self._process.poll() is None:
            return None
        folder = Path(self._folder.name)
        try:
            said = (folder / "reply.txt").read_text("utf-8")
        except OSError:
            log = (folder / "log.txt").read_text("utf-8", errors="replace").strip().splitlines()
            why = "it was stopped" if self._stopped else (log or ["no reason was given"])[-1]
            said = f"{self._what} could not be written ({why})."
        self._folder.cleanup()
        return said


PER_PERSON_ERRORS: frozenset[str] = frozenset(
    {"no_photo", "no_face", "too_large", "malformed", "out_of_memory", "internal"}
)
"""Error codes that concern one person only. Any other code concerns the backend and stops the run."""


class ManyRun:
    """One batch run, from the click to the last person. ``tick`` advances it, beside the session's own tick.

    Parameters
    ----------
    job : of each person, without photos and name.
    apart : one .blend file per head. library : the same, and one .blend file with all heads as assets.

    Attributes
    ----------
    stopped_because : a sentence, if it ended early. over : whether it has ended.
    """

    def __init__(self, job: Job, backend: LocalBackend | ServerAddress, apart: bool, library: bool) -> None:
        self._job, self._backend, self._apart, self._library = job, backend, apart or library, library
        self._running: str | None = None
        self._begun = 0.0
        self._stopping = False
        self._written: list[Path] = []
        self._writing: LibraryProcess | None = None
        self.stopped_because = ""
        self.over = False

    @property
    def writing(self) -> bool:
        """Whether all heads are made and the assets' file or previews are being written."""
        return self._writing is not None

    def tick(self) -> None:
        """Advance the run once."""
        self.over = not self._goes_on()

    def _goes_on(self) -> bool:
        if self._writing is not None:
            return self._wait_for_writing()
        if session().busy:
            return True
        scene = self._job.place.scene()
        if scene is None:
            self.stopped_because = "The scene with the table was removed."
            return False
        if self._running is not None:
            self._ended(scene)
        if not (self._stopping or self.stopped_because) and self._next(scene):
            return True
        return self._begin_writing(scene)

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
        try:
            session().begin(replace(self._job, photos=files, name=row.name), self._backend)
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
            if self._apart:
                self._move_to_file(row)
            elif (head := session().made) is not None:
                mark_as_asset(head)
        elif view.phase is Phase.FAILED and view.code in PER_PERSON_ERRORS:
            row.state, row.sentence = "FAILED", said
        else:
            row.state = "WAITING"
            if view.phase is Phase.FAILED:
                self.stopped_because = said
            self._stopping = True

    def _move_to_file(self, row: bpy.types.PropertyGroup) -> None:
        """Move the head that was just made into its own file."""
        collection = session().made
        path = file_of(Path(bpy.path.abspath(row.folder)))
        if collection is None:
            row.state, row.sentence = "FAILED", "The head was removed before it was written."
            return
        try:
            if not self._library:  # otherwise the Asset Browser would show the head twice
                mark_as_asset(collection, heads_catalogue(path.parents[1]))
            # Compressing would block the window for 0.1 s; for ``apart`` the process that makes the previews does it.
            bpy.data.libraries.write(str(path), {collection}, fake_user=True, compress=False)
        except (RuntimeError, OSError) as error:
            row.sentence = f"{path.name} could not be written ({str(error).strip()}); the head stays in this scene."
            return
        tags.remove_head(str(collection[tags.HEAD_ID]))
        row.sentence = f"{path.name}: {row.sentence}"
        self._written.append(path)

    def _begin_writing(self, scene: bpy.types.Scene) -> bool:
        """Start the second Blender that finishes the run's files; return whether it was started."""
        files, library = self._written, None
        people = scene.likeness_many.people
        try:
            if self._library and len(people):
                done = [file_of(Path(bpy.path.abspath(row.folder))) for row in people if row.state == "DONE"]
                files = [path for path in done if path.is_file()]
                folder = Path(bpy.path.abspath(people[0].folder)).parent
                library = folder / f"{folder.name or 'heads'}.blend"
            if not files:
                return False
            catalogue = heads_catalogue(files[0].parents[1])
            self._writing = LibraryProcess(files, self._written, library, catalogue)
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


_run: ManyRun | None = None
"""The latest one."""


def current() -> ManyRun | None:
    """The running batch, None if there is none."""
    return None if _run is None or _run.over else _run


def is_writing() -> bool:
    """Whether a run has made its heads and is writing the assets."""
    return (run := current()) is not None and run.writing


def last_words() -> str:
    """Why the last run ended early; "" if it did not."""
    return _run.stopped_because if _run is not None and _run.over else ""


def begin(run: ManyRun) -> None:
    """Start a run. Raises ``AddonError`` ``busy`` if one is running."""
    global _run
    if current() is not None or session().busy:
        raise AddonError("The backend is busy already.", "Wait for it, or cancel what runs.", "busy")
    _run = run


def tick() -> None:
    """Advance the run, if there is one."""
    if (run := current()) is not None:
        run.tick()


def file_opened() -> None:
    """Called when another file is opened: the run ends, but a write in progress is completed."""
    if not is_writing():
        forget()


def forget() -> None:
    """Drop the run; the extension is being disabled."""
    global _run
    if is_writing():
        _run.stop()
    _run = None


def run_to_end(seconds_between: float = 0.02) -> None:
    """Drive run and session until the run has ended: for background mode, where timers do not run."""
    while current() is not None:
        tick()
        session().tick()
        if (session().busy and not session().importing) or is_writing():
            time.sleep(seconds_between)


MOST_PEOPLE = 10_000
MOST_PHOTOS = 200
"""Per person; more are left out, in the order of their names."""


def people_in(folder: Path) -> tuple[PersonFolder, ...]:
    """The people in a folder, sorted by name; folders without photos are skipped.

    Raises ``AddonError`` ``no_photo``, one sentence, if there are none or the folder cannot be read.
    """
    try:
        found = people_folder(folder)
    except OSError as error:
        raise AddonError(f"The folder {folder} cannot be read.", "Choose another one.", "no_photo") from error
    people = [replace(one, photos=_sendable(one.photos)) for one in found if one.name.isprintable()]
    people = [one for one in people if one.photos][:MOST_PEOPLE]
    if not people:
        raise AddonError(
            f"There is no folder with photos in {folder.name or folder}.",
            "Choose a folder that has a folder of photos for each person.",
            "no_photo",
        )
    return tuple(people)


def photos_in(folder: Path) -> tuple[Path, ...]:
    """The photos directly in a folder, without raw files and Likeness's own pictures; empty if it cannot be read."""
    try:
        return _sendable(photo_folder(folder).photos)
    except OSError:
        return ()


def _sendable(photos: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path for path in photos if is_text(str(path)))[:MOST_PHOTOS]


def file_of(folder: Path) -> Path:
    """The .blend file for the head of a person's folder, beside the photos."""
    return folder / f"{folder.name}.blend"


STATES = (
    ("WAITING", "Waiting", "Its turn will come"),
    ("RUNNING", "Running", "Its head is being made"),
    ("DONE", "Done", "Its head is made"),
    ("FAILED", "Failed", "No head could be made; the reason is below the list"),
)


class LikenessPerson(bpy.types.PropertyGroup):
    """A row of the table. ``name`` is the name of the person's folder."""

    folder: StringProperty(name="Folder", subtype="DIR_PATH")
    first: StringProperty(name="First photo", description="Photo whose thumbnail is shown for the person")
    photos: IntProperty(name="Photos")
    state: EnumProperty(name="State", items=STATES, default="WAITING")
    sentence: StringProperty(name="Result", description="Result, or the reason of the failure")
    seconds: FloatProperty(name="Seconds")


class LikenessMany(bpy.types.PropertyGroup):
    """The table and the options of the run."""

    people: CollectionProperty(type=LikenessPerson)
    active: IntProperty(name="Active person")
    apart: BoolProperty(
        name="A File for Each",
        description="Write each head into a .blend file beside its photos instead of this scene, for more people than "
        "one scene can hold",
    )
    library: BoolProperty(
        name="One Library File",
        description="Write all heads as assets into one .blend file in the chosen folder, named like it, at the end of "
        "a run. Each head is also written to a .blend file beside its photos, which is not an asset",
    )


def list_people(scene: bpy.types.Scene, folder: Path) -> int:
    """Fill the table from a folder of folders; return the number of people. People whose file exists are marked done.

    Raises ``AddonError`` as ``people_in`` does; the table then stays as it was.
    """
    people = people_in(folder)
    many = scene.likeness_many
    many.people.clear()
    many.active = 0
    for person in people:
        row = many.people.add()
        row.name, row.folder, row.photos = person.name, str(person.folder), len(person.photos)
        row.first = str(person.photos[0])
        if (file := file_of(person.folder)).is_file():
            row.state, row.sentence = "DONE", f"{file.name} is there already."
    return len(people)
