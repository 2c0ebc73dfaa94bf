"""``python -m tools.release``: make the files of a release from a checkout.

The extension's zips, validated; a wheel of backend and trainer with the assets inside; the listing for Blender's
remote repositories; and the checksums of all of them (docs/release.md).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import backend
from blender_addon.build import Platform, blender_command_line, build, chosen_platforms, validate

ROOT = Path(__file__).resolve().parents[1]
CHECKSUMS = "SHA256SUMS"
INDEX = "index.json"


class ReleaseError(Exception):
    """The release cannot be made; the text gives the reason."""


def check_versions(root: Path = ROOT) -> str:
    """Return the common version of backend and citation; raises ``ReleaseError`` where they differ or the changelog
    lacks it.

    A test checks the extension's manifest.
    """
    version = backend.__version__
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    if cited is None or cited[1] != version:
        raise ReleaseError(f"CITATION.cff has version {cited and cited[1]}, the backend {version}")
    if f"## {version}" not in (root / "CHANGELOG.md").read_text("utf-8"):
        raise ReleaseError(f"CHANGELOG.md has no section {version}")
    return version


def build_wheel(out: Path, root: Path = ROOT) -> Path:
    """Build the wheel into ``out``; raises ``ReleaseError`` with pip's last lines."""
    with tempfile.TemporaryDirectory() as scratch:
        # setuptools leaves files beside the sources and would put stale ones into a second wheel
        copy = Path(scratch) / "source"
        command = ["git", "checkout-index", "--all", f"--prefix={copy}/"]
        _run(command, root)
        made = Path(scratch) / "wheel"
        _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(made), str(copy)], root)
        (wheel,) = made.glob("*.whl")
        return Path(shutil.move(wheel, out / wheel.name))


def write_index(folder: Path) -> Path:
    """List the zips in ``folder`` with Blender's own tool; raises ``ReleaseError``."""
    tool = blender_command_line()
    if tool is None:
        raise ReleaseError("the index needs Blender's extension tool: pip install -e '.[blender]' with Python 3.11")
    _run([sys.executable, str(tool), "server-generate", f"--repo-dir={folder}"], ROOT)
    return folder / INDEX


def write_checksums(folder: Path, files: Sequence[Path]) -> Path:
    """Write ``SHA256SUMS`` in the format of ``sha256sum -c``, sorted by name."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(files)]
    target = folder / CHECKSUMS
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def make_release(out: Path, platforms: Sequence[Platform], wheels: Path) -> list[Path]:
    """Make all files in ``out``, which must hold no zip of another release; returns them.

    Raises
    ------
    ReleaseError : versions differ, a tool fails or is missing. RuntimeError : a wheel of pyzmq is not available.
    """
    version = check_versions()
    out.mkdir(parents=True, exist_ok=True)
    foreign = [path.name for path in out.glob("*.zip") if not path.name.startswith(f"likeness-{version}-")]
    if foreign:
        raise ReleaseError(f"{out} holds {foreign[0]}, which would be listed too; choose an empty folder")
    zips = [build(platform, out, wheels) for platform in platforms]
    for package in zips:
        validate(package)
    made = [*zips, build_wheel(out), write_index(out)]
    return [*made, write_checksums(out, made)]


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise ReleaseError(f"{' '.join(command[:4])} ... failed: {' / '.join(said)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the requested files; returns the exit code."""
    out, wheels, wanted = chosen_platforms("python -m tools.release", __doc__.splitlines()[0], arguments)
    try:
        made = make_release(out.resolve(), wanted, wheels)
    except (ReleaseError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in made:
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
