"""The installer: finds a Python, makes an environment out of a small package, reads pip, says why it failed."""

from __future__ import annotations

import pytest

pytest.importorskip("bpy")

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from backend_folders import finished

from blender_addon.backend_process import install
from blender_addon.backend_process.folders import BackendFolder, Installed, folder_bytes, lock_folder
from blender_addon.backend_process.install import Installation, InstallPlan, Removal, pip_failure_sentence
from blender_addon.backend_process.python_finder import find_python, probe
from blender_addon.errors import AddonError
from tools import release

ROOT = Path(__file__).resolve().parents[2]
CHECK = (
    "import json, pebble, backend; "
    "print(json.dumps({'version': backend.__version__, 'torch': pebble.__version__, 'cuda': False}))"
)


def wheel(folder: Path, name: str, version: str) -> str:
    """A package with one line of code, without a build tool; its SHA-256."""
    info, target = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(f"{name}.py", f"__version__ = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(target.read_bytes()).hexdigest()


def write_locks(source: Path, digest: str) -> None:
    (source / "locks").mkdir(exist_ok=True)
    (source / "locks" / "packages.txt").write_text(f"pebble==2.0 --hash=sha256:{digest}\n")
    for name in ("torch_cpu.txt", "torch_cuda.txt"):
        (source / "locks" / name).write_text("# nothing\n")


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed here is small."""
    monkeypatch.setattr(install, "needed_bytes", lambda cuda: 50_000_000)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> InstallPlan:
    """A backend that needs one small package, which lies in a folder beside it."""
    tmp_path = tmp_path_factory.mktemp("given")
    source, packages = tmp_path / "given", tmp_path / "packages"
    (source / "backend").mkdir(parents=True)
    for name in ("assets", "protocol"):
        (source / name).mkdir()
    packages.mkdir()
    (source / "backend" / "__init__.py").write_text("__version__ = '1.2.3'\n")
    (source / "pyproject.toml").write_text('[project]\nname = "b"\ndependencies = ["pebble==2.0"]\n')
    write_locks(source, wheel(packages, "pebble", "2.0"))
    with zipfile.ZipFile(tmp_path / "backend.zip", "w") as archive:
        for path in source.rglob("*"):
            archive.write(path, path.relative_to(source))
    return InstallPlan(
        tmp_path / "backend.zip",
        sys.executable,
        pip_arguments=("--no-index", "--find-links", str(packages)),
        check=CHECK,
    )


def run(folder: BackendFolder, plan: InstallPlan) -> Installation:
    return finished(Installation(folder, plan), 120)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> BackendFolder:
    """One folder for several tests: making an environment takes seconds."""
    return BackendFolder(tmp_path_factory.mktemp("shared") / "own")


def test_from_nothing_to_an_environment(plan: InstallPlan, shared_folder: BackendFolder) -> None:
    folder = shared_folder
    assert folder.installed() is None
    installation = run(folder, plan)
    assert installation.view.error is None, list(installation.lines)
    installed = folder.installed()
    assert (installed.version, installed.torch, installed.cuda) == ("1.2.3", "2.0", False)
    assert installed.size_bytes > 1_000_000 and installed.python.startswith("Python 3.")
    assert "Successfully installed pebble-2.0" in folder.install_log.read_text()
    assert any("Making an environment" in line for line in installation.lines)


def test_a_package_that_cannot_be_had_leaves_nothing_that_looks_installed(
    plan: InstallPlan, shared_folder: BackendFolder
) -> None:
    elsewhere = replace(plan, pip_arguments=("--no-index", "--force-reinstall"))
    error = run(shared_folder, elsewhere).view.error
    assert error.code == "no_package" and "pebble==2.0" in error.sentence
    assert shared_folder.installed() is None


def from_folder(plan: InstallPlan, source: Path, packages: Path) -> InstallPlan:
    """The plan with the backend in ``source``, whose package comes from ``packages``."""
    shutil.unpack_archive(plan.archive, source)
    options = ("--no-index", "--force-reinstall", "--find-links", str(packages))
    return replace(plan, archive=source, pip_arguments=options)


def test_a_wheel_that_is_not_the_published_one_is_refused(
    plan: InstallPlan, shared_folder: BackendFolder, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    changed = from_folder(plan, tmp_path / "source", other)
    wheel(other, "pebble", "2.0")
    with zipfile.ZipFile(other / "pebble-2.0-py3-none-any.whl", "a") as archive:
        archive.writestr("evil.py", "")
    error = run(shared_folder, changed).view.error
    assert error.code == "changed_package" and shared_folder.installed() is None
    assert not list(shared_folder.environment.glob("**/evil.py"))


def test_a_source_is_never_built(plan: InstallPlan, shared_folder: BackendFolder, tmp_path: Path) -> None:
    """Not even one whose hash is in the lock."""
    other, ran = tmp_path / "other", tmp_path / "ran"
    package = tmp_path / "pebble-2.0"
    for folder in (other, package):
        folder.mkdir()
    (package / "setup.py").write_text(f"open({str(ran)!r}, 'w'); import setuptools; setuptools.setup(name='pebble')\n")
    (package / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: pebble\nVersion: 2.0\n")
    with tarfile.open(other / "pebble-2.0.tar.gz", "w:gz") as archive:
        archive.add(package, "pebble-2.0")
    changed = from_folder(plan, tmp_path / "source", other)
    write_locks(changed.archive, hashlib.sha256((other / "pebble-2.0.tar.gz").read_bytes()).hexdigest())
    error = run(shared_folder, changed).view.error
    assert error.code == "no_package" and "pebble==2.0" in error.sentence and not ran.exists()


def test_the_lock_has_what_the_project_asks_for_and_a_hash_for_each() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    locked = {name: (ROOT / "locks" / name).read_text("utf-8") for name in os.listdir(ROOT / "locks")}
    rest = locked.pop("packages.txt")
    for requirement in asked:
        texts, line = [rest], f"\n{requirement} "
        if requirement.startswith("torch>="):
            texts, line = locked.values(), f"\ntorch=={release.PYTORCH_VERSION} "
        assert all(line in text for text in texts), f"python -m tools.release --lock ({requirement})"
    lines = [line for text in (rest, *locked.values()) for line in text.splitlines()]
    packages = [line for line in lines if not line.startswith(("#", "--find-links https://download.pytorch.org/whl/c"))]
    assert len(packages) > 55
    assert all("==" in line and " --hash=sha256:" in line for line in packages)


def test_a_broken_environment_is_noticed(plan: InstallPlan, shared_folder: BackendFolder) -> None:
    error = run(shared_folder, replace(plan, check="import granite")).view.error
    assert "granite" in error.sentence and shared_folder.installed() is None


def environment_check(*folders: Path) -> list[str]:
    """The exit code of the installer's own check in this environment, packages in ``folders`` first, and its lines."""
    with_source = {"PYTHONPATH": os.pathsep.join(str(folder) for folder in (*folders, ROOT))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", install.CHECK],
        env=os.environ | with_source,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return [str(done.returncode), *done.stdout.splitlines()]


def test_the_check_ends_with_what_is_there() -> None:
    for package in ("torch", "ai_edge_litert", "numba", "zmq"):
        pytest.importorskip(package)
    code, *said = environment_check()
    assert code == "0" and json.loads(said[-1]).keys() == {"version", "torch", "cuda"}
    assert any(line.endswith(" s  texture") for line in said), said  # a head is made


def test_a_network_that_cannot_be_read_is_noticed(tmp_path: Path) -> None:
    for package in ("torch", "numba", "zmq"):
        pytest.importorskip(package)
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").touch()
    code, *said = environment_check(tmp_path)
    assert code == "1" and "LiteRT, which runs the networks that find faces, cannot be loaded" in said[-1]


def test_it_can_be_stopped(plan: InstallPlan, shared_folder: BackendFolder) -> None:
    installation = Installation(shared_folder, replace(plan, check="import time; time.sleep(60)"))
    installation.start()
    end = time.monotonic() + 60
    while installation.view.sentence != "Checking the installation":
        assert time.monotonic() < end and not installation.view.finished, list(installation.lines)
        time.sleep(0.02)
    installation.stop()
    installation.join(10)
    assert installation.view.error.code == "cancelled" and shared_folder.installed() is None


def test_one_that_was_killed_with_its_blender_is_followed_by_a_repair(
    plan: InstallPlan, shared_folder: BackendFolder, tmp_path: Path
) -> None:
    """The system frees the lock, though the program that the installation had started is still there."""
    script = f"""
import sys, time
from pathlib import Path
from blender_addon.backend_process import install
from blender_addon.backend_process.folders import lock_folder
from blender_addon.backend_process.folders import BackendFolder
install.needed_bytes = lambda cuda: 0
folder = BackendFolder(Path({str(shared_folder.root)!r}))
sleep, pip = "import time; time.sleep(9)", {plan.pip_arguments!r}
plan = install.InstallPlan(Path({str(plan.archive)!r}), sys.executable, pip_arguments=pip, check=sleep)
installation = install.Installation(folder, plan, lock=lock_folder(Path({str(tmp_path)!r}), folder.root))
installation.start()
while installation.view.sentence != "Checking the installation":
    time.sleep(0.02)
print("checks", flush=True)
installation.join()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "checks\n"
        with pytest.raises(AddonError, match="Another Blender"):
            lock_folder(tmp_path, shared_folder.root)
        other.kill()
        other.wait(10)
    assert shared_folder.installed() is None
    repair = Installation(shared_folder, replace(plan, fresh=True), lock=lock_folder(tmp_path, shared_folder.root))
    assert finished(repair, 120).view.error is None, list(repair.lines)
    assert shared_folder.installed() is not None and lock_folder(tmp_path, shared_folder.root) is not None


def test_an_environment_that_was_interrupted_is_made_again(plan: InstallPlan, shared_folder: BackendFolder) -> None:
    for pip in shared_folder.environment.glob("**/site-packages/pip"):
        shutil.rmtree(pip)
    installation = run(shared_folder, plan)
    assert installation.view.error is None and shared_folder.installed() is not None
    assert any("Making an environment" in line for line in installation.lines)


def test_removing_leaves_an_empty_folder(plan: InstallPlan, shared_folder: BackendFolder) -> None:
    run(shared_folder, plan)
    removal = Removal(shared_folder)
    removal.start()
    removal.join(60)
    assert removal.view.finished and removal.view.error is None
    assert shared_folder.installed() is None and list(shared_folder.root.iterdir()) == []


def test_a_disk_without_room_is_said_before_anything_is_downloaded(
    plan: InstallPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(install.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    folder = BackendFolder(tmp_path / "own")
    error = run(folder, plan).view.error
    assert error.code == "disk" and "GB left" in error.sentence and str(folder.root) in error.advice
    assert not folder.environment.exists()


def test_an_extension_without_a_backend_says_so(tmp_path: Path) -> None:
    error = run(BackendFolder(tmp_path / "own"), InstallPlan(tmp_path / "none.zip", sys.executable)).view.error
    assert error.code in ("no_source", "disk")


def test_a_damaged_note_counts_as_not_installed(tmp_path: Path) -> None:
    folder = BackendFolder(tmp_path)
    folder.mark_installed(Installed("1", "Python 3.11.1", "2", False, 5))
    assert folder.installed() is None  # there is no Python
    (tmp_path / "installed.json").write_text("{")
    assert folder.installed() is None
    assert folder_bytes(tmp_path) == 1


def python(folder: Path, name: str, said: str, code: int = 0) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{said}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="writes shell scripts")
def test_the_first_wanted_python_is_taken(tmp_path: Path) -> None:
    old = python(tmp_path, "old", "3 9 2 64 /x/python3.9")
    small = python(tmp_path, "small", "3 12 1 32 /x/small")
    broken = python(tmp_path, "broken", "3 12 1 64 /x/broken", 1)
    silent = python(tmp_path, "silent", "hello")
    new = python(tmp_path, "new", "3 15 0 64 /x/new")
    good = python(tmp_path, "good", "3 12 4 64 /a path/python3.12")
    commands = [[str(path)] for path in (old, small, broken, silent, new, tmp_path / "gone", good)]
    found = find_python("", commands)
    assert (str(found.path), found.text) == ("/a path/python3.12", "Python 3.12.4")
    with pytest.raises(AddonError, match=r"No Python 3\.11 to 3\.14.*Install Python 3\.13"):
        find_python("", commands[:-1])
    with pytest.raises(AddonError, match=r"Python 3\.15\.0"):
        find_python(str(new))
    with pytest.raises(AddonError, match="is not a Python"):
        find_python(str(broken))
    assert probe([sys.executable]).version == sys.version_info[:3]


@pytest.mark.skipif(sys.platform == "win32", reason="writes shell scripts")
def test_a_python_that_says_no_utf_8_does_not_end_the_search(tmp_path: Path) -> None:
    """Like one in the folder of a user whose name has an accent, which answers in the system's own letters."""
    latin, words = tmp_path / "latin", tmp_path / "words"
    latin.write_bytes("#!/bin/sh\necho '3 12 4 64 /home/André/python3.12'\n".encode("latin-1"))
    words.write_text("#!/bin/sh\necho 'Python was not 64 found'\n")
    for path in (latin, words):
        path.chmod(0o755)
    good = python(tmp_path, "good", "3 12 4 64 /home/Zoë/python3.12")
    assert str(find_python("", [[str(latin)], [str(words)], [str(good)]]).path) == "/home/Zoë/python3.12"
    with pytest.raises(AddonError, match="is not a Python"):
        find_python(str(latin))


def test_a_python_in_a_folder_with_an_accent_is_read(tmp_path: Path) -> None:
    environment = tmp_path / "André"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    program = BackendFolder(tmp_path / "x").python.relative_to(tmp_path / "x" / "environment")
    assert probe([str(environment / program)]).path.is_relative_to(environment)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(...: [Errno -2] Name or service)'",
            "network",
        ),
        ("  cause: dns error", "network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no_package"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "changed_package"),
        ("  cause: certificate verify failed", "network"),
        ("Error: Command '[...]' returned non-zero: No module named ensurepip", "no_python"),
        ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'", "disk"),
        ("ImportError: libz.so.1: cannot open shared object file: No such file or directory", "missing_part"),
        ("ERROR: something new", "install"),
    ],
)
def test_why_pip_failed(line: str, code: str) -> None:
    error = pip_failure_sentence(["Collecting torch", line, "trailing words"], 1)
    assert error.code == code
    assert error.advice.endswith(".")
    if code == "install":
        assert "something new" in error.sentence
