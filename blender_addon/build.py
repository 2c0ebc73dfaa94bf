"""``python -m blender_addon.build``: build and validate the extension's zips for Linux, Windows and macOS.

Each zip holds the add-on with the files of ``protocol`` in ``shared``, the wheels of pyzmq for its platform, and the
backend's source with its assets (``backend.zip``), from which *Install backend* creates the environment. Run it in a
clean checkout: only files that git has are packed.

pip downloads pyzmq's wheels and refuses any whose hash is not in ``locks/packages.txt``. There is one for Python 3.11
and one ``abi3`` wheel for all later versions. Blender refuses a package that lists both on Python 3.13 and later, so
the second is copied once per later Python with that Python's tags.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Platform:
    """A platform by Blender's name, and the platform tag for pip."""

    blender: str
    pip: str


PLATFORMS = (
    Platform("linux-x64", "manylinux_2_28_x86_64"),
    Platform("windows-x64", "win_amd64"),
    Platform("macos-arm64", "macosx_11_0_arm64"),
    Platform("macos-x64", "macosx_10_15_x86_64"),
)
PYTHONS = ("311", "313", "314")
"""Python of Blender 4.2 to 5.0 (3.11), of 5.1 and distributions' builds (3.13), and of distributions' 5.2 (3.14)."""


def fetch_wheel(platform: Platform, python: str, folder: Path) -> Path:
    """Have pip download pyzmq's wheel for ``platform`` and Python ``python`` ("311") into the new ``folder``.

    Raises ``RuntimeError`` with pip's last line when pip fails, also where no wheel has a locked hash.
    """
    folder.mkdir(parents=True)
    lines = (ROOT / "locks" / "packages.txt").read_text("utf-8").splitlines()
    (folder / "locked.txt").write_text("\n".join(line for line in lines if line.startswith("pyzmq==")))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--platform", platform.pip, "--python-version", python, "--dest", str(folder)]
    command += ["--require-hashes", "-r", str(folder / "locked.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"pip could not download pyzmq for {platform.blender}, Python {python}: {last}")
    return next(folder.glob("*.whl"))


def retag(wheel: Path, python: str, folder: Path) -> Path:
    """Copy ``wheel`` into ``folder`` under the tags ``cp<python>-cp<python>``; its platform tag stays. Blender chooses
    and unpacks wheels by their names alone."""
    name, version, *_, platform_tags = wheel.stem.split("-")
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(wheel, folder / f"{name}-{version}-cp{python}-cp{python}-{platform_tags}.whl"))


ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "blender_addon"
BACKEND_PARTS = ("backend", "protocol", "assets", "locks", "pyproject.toml", "README.md", "LICENSE")
NOT_PACKED = "build.py"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def tracked(parts: Iterable[str]) -> list[str]:
    """Names of files under ``parts`` of the checkout that git tracks, sorted."""
    return sorted(name for name in _git("ls-files", "-z", "--cached", "--", *parts).split("\0") if name)


def check_clean() -> None:
    """Raise ``RuntimeError`` where the checkout differs from what git has: what is published is what git has."""
    changed = _git("status", "--porcelain").splitlines()
    if changed:
        raise RuntimeError(f"The checkout has changes, for example in {changed[0][3:]}: commit or remove them first.")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError("The extension is built in a checkout of its git repository, and here git finds none.")
    return done.stdout.decode()


def write_zip(target: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write ``(name, content)`` pairs with fixed dates, so that equal files give an equal zip."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in files:
            item = zipfile.ZipInfo(name, _EPOCH)
            item.external_attr = 0o644 << 16
            item.compress_type = zipfile.ZIP_STORED if name.endswith((".whl", ".zip")) else zipfile.ZIP_DEFLATED
            archive.writestr(item, content)


def backend_archive(target: Path) -> None:
    """The backend's source, assets and project file as one zip."""
    write_zip(target, ((name, (ROOT / name).read_bytes()) for name in tracked(BACKEND_PARTS)))


def manifest_for(platform: Platform, wheels: Sequence[Path]) -> str:
    """The committed manifest with the ``platforms`` and ``wheels`` of one platform."""
    text = (SOURCE / "blender_manifest.toml").read_text("utf-8")
    listed = ",\n".join(f'  "./wheels/{wheel.name}"' for wheel in wheels)
    head, table, rest = text.partition("[permissions]")
    made = f'{head}platforms = ["{platform.blender}"]\nwheels = [\n{listed},\n]\n\n{table}{rest}'
    tomllib.loads(made)
    return made


def build(platform: Platform, out: Path) -> Path:
    """Write the zip of one platform into ``out`` and return its path."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "wheels"
        wheels = [retag(fetch_wheel(platform, python, folder / python), python, folder) for python in PYTHONS]
        manifest = manifest_for(platform, wheels)
        version = tomllib.loads(manifest)["version"]
        target = out / f"likeness-{version}-{platform.blender.replace('-', '_')}.zip"
        backend = Path(scratch) / "backend.zip"
        backend_archive(backend)
        files = [("blender_manifest.toml", manifest.encode())]
        for name in tracked(["blender_addon"]):
            inside = name.removeprefix("blender_addon/")
            if inside not in (NOT_PACKED, "blender_manifest.toml"):
                files.append((inside, (ROOT / name).read_bytes()))
        for name in tracked(["protocol"]):
            inside = name.removeprefix("protocol/")
            if inside != "__init__.py":  # the extension has its own, which finds these files
                files.append((f"shared/{inside}", (ROOT / name).read_bytes()))
        files.append(("LICENSE", (ROOT / "LICENSE").read_bytes()))
        files.append(("backend.zip", backend.read_bytes()))
        files += [(f"wheels/{wheel.name}", wheel.read_bytes()) for wheel in wheels]
        write_zip(target, files)
    return target


def blender_command_line() -> Path | None:
    """Blender's extension tool from the ``bpy`` wheel of this Python; None if it is not installed."""
    spec = importlib.util.find_spec("bpy")
    if spec is None or not spec.submodule_search_locations:
        return None
    tools = sorted(Path(spec.submodule_search_locations[0]).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    return tools[-1] if tools else None


def validate(package: Path) -> str:
    """Validate ``package`` with Blender's extension tool; return its output, or why nothing was checked.

    Raises ``RuntimeError`` with its output if it finds an error.
    """
    tool = blender_command_line()
    if tool is None:
        return "not validated: Blender's extension tool is not installed here (pip install bpy)"
    done = subprocess.run([sys.executable, str(tool), "validate", str(package)], capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise RuntimeError(f"{package.name} is not valid: {said}")
    return said.splitlines()[-1] if said else "valid"


def chosen_platforms(
    prog: str, about: str, arguments: Sequence[str] | None = None
) -> tuple[Path, tuple[Platform, ...]]:
    """Parse a command's arguments: output folder and platforms."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of what is made (default: dist)")
    names = [platform.blender for platform in PLATFORMS]
    parser.add_argument("--platform", action="append", choices=names, help="only this platform; may be repeated")
    values = parser.parse_args(arguments)
    wanted = tuple(platform for platform in PLATFORMS if values.platform is None or platform.blender in values.platform)
    return values.out, wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and validate the requested zips; return the exit code."""
    out, wanted = chosen_platforms("python -m blender_addon.build", __doc__.splitlines()[0], arguments)
    try:
        check_clean()
        for platform in wanted:
            package = build(platform, out)
            print(f"{package} ({package.stat().st_size / 1e6:.1f} MB): {validate(package)}")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
