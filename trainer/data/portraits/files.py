"""List the pictures of a folder and the person of each."""

from __future__ import annotations

from pathlib import Path

from trainer.data.portraits.cache import PortraitFile

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".bmp"})


def list_portraits(folder: Path) -> tuple[PortraitFile, ...]:
    """List the pictures of ``folder`` in a fixed order. A picture directly in it is one person; so is each sub-folder.

    Raises
    ------
    FileNotFoundError : no such folder, or there is no picture in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; name the folder in which the portraits lie")
    files: list[PortraitFile] = []
    people = 0
    for entry in sorted(folder.iterdir(), key=lambda path: path.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            inside = [path for path in sorted(entry.rglob("*")) if _is_picture(path)]
            files += [PortraitFile(path.relative_to(folder).as_posix(), people) for path in inside]
            people += bool(inside)
        elif _is_picture(entry):
            files.append(PortraitFile(entry.name, people))
            people += 1
    if not files:
        raise FileNotFoundError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return tuple(files)


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
