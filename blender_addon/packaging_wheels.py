"""pyzmq's wheels for every platform and Python of the extension: downloaded by pip, then copied under other Python
tags.

pyzmq ships one wheel for Python 3.11 and one ``abi3`` wheel for all later versions. Blender refuses a package that
lists both on Python 3.13 and later, so the second is copied once per later Python with that Python's tags.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

PYZMQ = "pyzmq==27.3.0"


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
    """Have pip download pyzmq's wheel for ``platform`` and Python ``python`` ("311") into ``folder``.

    Raises ``RuntimeError`` with pip's last line when pip fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = set(folder.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--platform", platform.pip, "--python-version", python, "--dest", str(folder), PYZMQ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"pip could not download {PYZMQ} for {platform.blender}, Python {python}: {last}")
    new = sorted(set(folder.glob("*.whl")) - known)
    if len(new) != 1:
        raise RuntimeError(f"pip downloaded {len(new)} files for {platform.blender}, Python {python}, one was expected")
    return new[0]


def retag(wheel: Path, python: str, folder: Path) -> Path:
    """Copy ``wheel`` into ``folder`` with the tags ``cp<python>-cp<python>``; its platform tag stays.

    As the wheel format requires, the file ``WHEEL`` inside gets the same tags and ``RECORD`` its new hash.
    """
    name, version, *_, platform_tags = wheel.stem.split("-")
    tag = f"cp{python}-cp{python}"
    target = folder / f"{name}-{version}-{tag}-{platform_tags}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        lines = old.read(f"{info}/WHEEL").decode().splitlines()
        kept = [line for line in lines if line and not line.startswith("Tag:")]
        text = "\n".join(kept + [f"Tag: {tag}-{one}" for one in platform_tags.split(".")]) + "\n"
        for item in old.infolist():
            content = old.read(item)
            if item.filename == f"{info}/WHEEL":
                content = text.encode()
            elif item.filename == f"{info}/RECORD":
                content = _record_with(content.decode(), f"{info}/WHEEL", text.encode())
            new.writestr(item, content, zipfile.ZIP_DEFLATED)
    return target


def _record_with(record: str, path: str, content: bytes) -> bytes:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in csv.reader(io.StringIO(record)):
        writer.writerow([path, f"sha256={digest}", str(len(content))] if row and row[0] == path else row)
    return out.getvalue().encode()


def wheels_for(platform: Platform, folder: Path) -> tuple[Path, ...]:
    """One wheel of pyzmq per Python of ``PYTHONS`` in ``folder``/``platform``, downloaded if missing."""
    target = folder / platform.blender
    found = {python: sorted(target.glob(f"pyzmq-*-cp{python}-cp{python}-*.whl")) for python in PYTHONS}
    for python in PYTHONS:
        if found[python]:
            continue
        fetched = fetch_wheel(platform, python, target / f"fetched{python}")
        found[python] = [retag(fetched, python, target)]
    return tuple(found[python][0] for python in PYTHONS)
