"""*Install backend*: create an environment on a background thread, with a log and a stop button.

Install the wheels of ``locks/`` and nothing else, and parse pip's output for progress and for the reason of a failure.
"""

import errno
import json
import re
import shutil
import subprocess
import threading
import zipfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import AddonError
from ..shared.file_lock import FileLock
from . import folders
from .python_finder import find_python, hidden_window, of_child

_REASONS = (
    (
        r"(?i)do not match the hashes",
        "A downloaded package is not the one that was published: its checksum differs.",
        "Install again. If it happens again, a proxy or a mirror changes packages: ask whoever runs it.",
        "changed_package",
    ),
    (
        r"No space left on device|not enough space on the disk|Disk quota exceeded",
        "The disk is full.",
        "Make room, then install again.",
        "disk",
    ),
    (
        r"No module named (ensurepip|venv|pip)|ensurepip is not available",
        "This Python cannot make environments.",
        "Install its venv package (python3-venv on Debian and Ubuntu), or another Python 3.11 to 3.14.",
        "no_python",
    ),
    (
        r"(?i)name resolution|getaddrinfo|dns error|Max retries|NewConnectionError|timed? ?out|error sending request|"
        r"ConnectionResetError|Network is unreachable|ProxyError|certificate verify failed|SSLError",
        "The packages could not be downloaded.",
        "Check the internet connection, the proxy and its certificates, and the computer's clock; then install again.",
        "network",
    ),
    (
        r"(?P<what>lib[\w+.-]+\.so[\w.]*): cannot open shared object file",
        "The system library {what} is missing.",
        "Install it with the system's own packages, then install again.",
        "missing_part",
    ),
    (
        r"Windows Long Path support",
        "Windows cannot open files in the backend's folder: its path is too long.",
        "Choose a Backend Folder with a short path in the preferences, like C:\\Likeness.",
        "folder",
    ),
    (
        r"No matching distribution found for (?P<what>\S+)",
        "There is no {what} for this Python and computer.",
        "Use a 64-bit Python 3.11 to 3.14 on Linux or Windows (x86-64) or on a Mac with Apple silicon.",
        "no_package",
    ),
    (
        r"(?i)Permission denied|Access is denied",
        "A file could not be written.",
        "Check the folder's permissions.",
        "disk",
    ),
)


WINDOWS_DISK_FULL = 112


class PipProgress:
    """Turn lines of pip into a sentence and a fraction; ``packages`` is the number of packages."""

    def __init__(self, packages: int) -> None:
        self.sentence = "Downloading packages"
        self.fraction = 0.0
        self._steps, self._seen = max(2 * packages, 1), 0

    def read(self, line: str) -> bool:
        """Read a line; return True if the sentence or the fraction changed."""
        if match := re.match(r"\s*Collecting ([\w.\-]+)", line):
            return self._advance(f"Looking for {match[1]}")
        if match := re.match(r"\s*Downloading (?:\S*/)?([A-Za-z0-9_.]+?)-\d\S* \(([^)]+)\)", line):
            return self._advance(f"Downloading {match[1].replace('_', '-')} ({match[2]})")
        if line.startswith("Installing collected packages"):
            self.sentence, self.fraction = "Unpacking the packages (a few minutes)", max(self.fraction, 0.8)
            return True
        if line.startswith("Successfully installed"):
            self.fraction = 1.0
            return True
        return False

    def _advance(self, sentence: str) -> bool:
        self._seen += 1
        self.sentence = sentence
        self.fraction = 0.8 * min(self._seen / self._steps, 1)
        return True


def pip_failure_sentence(lines: Sequence[str], code: int) -> AddonError:
    """A sentence about a failed installation command, from its output."""
    said = "\n".join(lines[-200:])
    for pattern, sentence, advice, name in _REASONS:
        if match := re.search(pattern, said):
            groups = [group for group in match.groupdict().values() if group]
            return AddonError(sentence.format(what=groups[0] if groups else ""), advice, name)
    errors = [line for line in lines if re.match(r"(?i)\s*error", line)] or [line for line in lines if line.strip()]
    last = errors[-1].strip() if errors else "it said nothing"
    return AddonError(f"The installation stopped with code {code}: {last}", "Show the log for more.", "install")


CPU_BYTES = 1_600_000_000
"""Measured on Linux: torch 2.13 for the CPU and the rest."""
CUDA_BYTES = 6_500_000_000
DOWNLOAD_SHARE = 0.45
"""Extra disk space needed during downloads, as a share of the installed size."""
CHECK = (
    "import json, sys, tempfile, torch, backend; from backend.__main__ import main; "
    "from backend.system.files import ASSETS; from backend.photos.networks import SHA256, network; "
    "[network(name) for name in SHA256]; out = tempfile.TemporaryDirectory(); "
    "photos = sorted(ASSETS.glob('demo/[12]*')); "
    "code = main(['reconstruct', *map(str, photos), '--texture=1024', '--out', out.name]); "
    "out.cleanup(); code and sys.exit(code); "
    "print(json.dumps({'version': backend.__version__, 'torch': torch.__version__, 'cuda': torch.cuda.is_available()}))"
)
"""Self-test run by the new environment: the head of two photos, so that the first that a user waits for finds numba's
loops compiled. It fails if a package or a network is missing or broken; otherwise it prints the versions as JSON."""


@dataclass(frozen=True)
class InstallPlan:
    """Options of an installation.

    Attributes
    ----------
    archive : ``backend.zip`` of the extension, or a folder with the backend's source.
    told_python : the interpreter that the user entered, "" to search.
    fresh : delete an existing environment first.
    pip_arguments : further arguments for pip.
    check : the self-test, see ``CHECK``.
    """

    archive: Path
    told_python: str = ""
    fresh: bool = False
    pip_arguments: tuple[str, ...] = ()
    check: str = CHECK


@dataclass(frozen=True)
class InstallView:
    """State of an installation for display; ``error`` is set if it failed, ``finished`` when it ended either way."""

    sentence: str = ""
    fraction: float = 0.0
    finished: bool = False
    error: AddonError | None = None


def has_nvidia() -> bool:
    """Whether ``nvidia-smi`` runs and lists a card."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        done = subprocess.run([program, "-L"], capture_output=True, timeout=10, **hidden_window())
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"GPU" in done.stdout


def installed_bytes(cuda: bool) -> int:
    """Installed size in bytes."""
    return CUDA_BYTES if cuda else CPU_BYTES


def needed_bytes(cuda: bool) -> int:
    """Peak disk space in bytes during an installation."""
    return int(installed_bytes(cuda) * (1 + DOWNLOAD_SHARE))


class Installation:
    """One run of the installer. ``start`` returns at once; ``view`` and ``lines`` report the progress in ``folder``.

    ``end_server`` is called before anything is installed. It waits until a server running from the folder has ended,
    and raises ``AddonError`` if that server must go on. ``lock`` is the folder's lock, released before the view reports
    the end; ``ended`` is called in between, on the installation's thread.
    """

    _NAME = "The installation"

    def __init__(
        self,
        folder: folders.BackendFolder,
        plan: InstallPlan | None = None,
        end_server: Callable[[], None] | None = None,
        lock: FileLock | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.view = InstallView("Starting")
        self.lines: deque[str] = deque(maxlen=2000)
        self.folder, self._plan, self._end_server, self._lock, self._ended = folder, plan, end_server, lock, ended
        self._cuda = False
        self._stopped = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="likeness-install", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Request the stop; the view reports when it has ended."""
        self._stopped.set()
        if (child := self._child) is not None:
            child.terminate()

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        view = InstallView("It ended.", finished=True)
        try:
            if self._end_server is not None and self.folder.has_contents:
                self.view = InstallView("Waiting for the backend to end")
                self._end_server()
                if self._stopped.is_set():
                    raise self._cancelled()
            view = InstallView(self._work(), 1.0, True)
        except AddonError as error:
            view = self._failed(error)
        except OSError as error:
            view = self._failed(self._refused(error))
        except Exception as error:  # an unexpected error must not leave the preferences waiting forever
            view = self._failed(AddonError(f"{self._NAME} failed: {error!r}.", "Please report it."))
            raise
        finally:
            if self._lock is not None:
                self._lock.release()
            if self._ended is not None:
                self._ended()
            self.view = view

    def _work(self) -> str:
        installed = self._install()
        self.folder.mark_installed(installed)
        return f"The backend {installed.version} is installed."

    def _failed(self, error: AddonError) -> InstallView:
        self._say(str(error))
        return InstallView(error.sentence, self.view.fraction, True, error)

    def _refused(self, error: OSError) -> AddonError:
        if error.errno == errno.ENOSPC or getattr(error, "winerror", None) == WINDOWS_DISK_FULL:
            return AddonError("The disk is full.", "Make room, then install again.", "disk")
        where = f" {error.filename}" if error.filename else ""
        return AddonError(
            f"The system refused it:{where} {error.strerror or error}.",
            "Close other programs that use the backend, like a second Blender, and check the folder's permissions.",
            "disk",
        )

    def _cancelled(self) -> AddonError:
        return AddonError("The installation was cancelled.", "Install Backend starts it again.", "cancelled")

    def _clear(self, path: Path) -> None:
        """Delete a part of the installation; from the first deletion on the rest must not be used."""
        self.folder.mark_incomplete()
        folders.delete(path)

    def _install(self) -> folders.Installed:
        folder, plan = self.folder, self._plan
        folders.make_ready(folder)
        folder.install_log.write_text("", "utf-8")
        self._step("Looking for Python", 0.0)
        python = find_python(plan.told_python)
        self._say(f"{python.text}: {python.path}")
        if plan.fresh and folder.environment.exists():
            self._step("Removing the old environment", 0.01)
            self._clear(folder.environment)
        self._cuda = has_nvidia()
        folders.check_room(folder, needed_bytes(self._cuda) - folders.folder_bytes(folder.environment))
        self._step("Unpacking the backend", 0.02)
        self._unpack()
        if not self._environment_works():
            self._step("Making an environment", 0.03)
            self._clear(folder.environment)
            self._command([str(python.path), "-I", "-m", "venv", str(folder.environment)])
        self._packages()
        self._step("Checking the installation", 0.96)
        said = self._command([str(folder.python), "-P", "-c", plan.check], PYTHONPATH=str(folder.source))
        facts = json.loads(next(line for line in reversed(said) if line.startswith("{")))
        self._step("Measuring its size", 0.99)
        size = folders.folder_bytes(folder.environment) + folders.folder_bytes(folder.source)
        return folders.Installed(facts["version"], python.text, facts["torch"], facts["cuda"], size)

    def _environment_works(self) -> bool:
        """Whether the environment's Python and pip run; they do not after an interruption or if the base Python is
        gone."""
        if not self.folder.python.exists():
            return False
        try:
            self._command([str(self.folder.python), "-m", "pip", "--version"])
        except (AddonError, OSError):
            if self._stopped.is_set():
                raise
            return False
        return True

    def _unpack(self) -> None:
        target, part, archive = self.folder.source, self.folder.source_part, self._plan.archive
        folders.delete(part)
        if archive.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".git", "node_modules")
            part.mkdir(parents=True)
            for name in ("backend", "protocol", "assets", "locks"):
                shutil.copytree(archive / name, part / name, ignore=ignored)
            shutil.copy2(archive / "pyproject.toml", part)
        elif archive.is_file():
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(part)
        else:
            raise AddonError(
                f"There is no backend in {archive}.",
                "Install the extension from a zip that its build made.",
                "no_source",
            )
        self._clear(target)
        folders.with_retries(lambda: part.rename(target))

    def _packages(self) -> None:
        """Install the locked wheels. No file with another hash is installed, and no source is built."""
        locks, python = self.folder.source / "locks", str(self.folder.python)
        command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        command += ["--require-hashes", "--only-binary", ":all:", "--no-deps", *self._plan.pip_arguments]
        packages = 0
        for name in ("torch_cuda.txt" if self._cuda else "torch_cpu.txt", "packages.txt"):
            command += ["-r", str(locks / name)]
            packages += (locks / name).read_text("utf-8").count("\n")
        self._command(command, PipProgress(packages))

    def _command(self, command: Sequence[str], progress: PipProgress | None = None, **environment: str) -> list[str]:
        """Run a program to its end, logging its output; return its lines. Raises ``AddonError`` if it fails."""
        if self._stopped.is_set():
            raise self._cancelled()
        said: list[str] = []
        self._say("$ " + " ".join(command))
        self._child = subprocess.Popen(
            list(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=str(self.folder.root),
            **of_child(PYTHONUNBUFFERED="1", PYTHONUTF8="1", **environment),
        )
        with self._child as child:
            if self._stopped.is_set():  # stop() was called while the process was starting
                child.terminate()
            for line in child.stdout:
                line = line.rstrip()
                said.append(line)
                self._say(line)
                if progress is not None and progress.read(line):
                    self.view = InstallView(progress.sentence, 0.05 + 0.9 * progress.fraction)
        code, self._child = child.returncode, None
        if self._stopped.is_set():
            raise self._cancelled()
        if code != 0:
            raise pip_failure_sentence(said, code)
        return said

    def _step(self, sentence: str, fraction: float) -> None:
        if self._stopped.is_set():
            raise self._cancelled()
        self.view = InstallView(sentence, fraction)
        self._say(f"== {sentence}")

    def _say(self, line: str) -> None:
        self.lines.append(line)
        if not self.folder.is_owned_by_extension:
            return
        try:
            with self.folder.install_log.open("a", encoding="utf-8") as log:
                print(line, file=log)
        except OSError:
            return


class Removal(Installation):
    """Delete everything that the extension created in the folder, on a thread like an installation."""

    _NAME = "The removal"

    def _work(self) -> str:
        self.view = InstallView("Removing the backend", 0.5)
        if (problem := folders.removal_problem(self.folder)) is not None:
            raise problem
        for path in self.folder.made:
            self._clear(path)
        return "The backend was removed."

    def _cancelled(self) -> AddonError:
        return AddonError("The removal was cancelled.", "Nothing was deleted.", "cancelled")

    def _refused(self, error: OSError) -> AddonError:
        return AddonError(
            f"The backend could not be removed ({error.strerror or error}).",
            f"Close programs that use it, or delete {self.folder.root} yourself.",
            "disk",
        )
