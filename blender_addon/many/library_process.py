"""Heads' files into assets with pictures, in a Blender of its own: run by ``library.LibraryProcess``.

Only a file that is open keeps a collection's preview when it is written: ``libraries.write`` of Blender 5.0 leaves it
out. It takes seconds for many heads, too, in which the artist's Blender goes on.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import bpy

ROOT = "likeness_parts"
"""The extension's folder under a name of its own: its ``__init__`` is for a Blender with a window and wheels."""


def main(job_path: Path) -> None:
    """Do the job in the JSON file and write ``reply.json`` beside it: per file that failed, why."""
    package = types.ModuleType(ROOT)
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules[ROOT] = package
    job = json.loads(job_path.read_text("utf-8"))
    bpy.context.preferences.filepaths.save_version = 0  # no .blend1 beside it
    failed: dict[str, str] = {}
    if job["library"] is None:
        for file in job["files"]:
            try:
                _picture_in(file, job["catalogue"])
            except (RuntimeError, OSError) as error:
                failed[file] = str(error).strip()
    else:
        _into_library(job["library"], job["files"], job["catalogue"], failed)
    (job_path.parent / "reply.json").write_text(json.dumps(failed), "utf-8")


def _picture_in(file: str, catalogue: str) -> None:
    from likeness_parts.scene import assets, tags

    bpy.ops.wm.open_mainfile(filepath=file, load_ui=False)
    for head in tags.head_collections():
        assets.mark_as_asset(head, catalogue)
    bpy.ops.wm.save_mainfile(compress=True)


def _into_library(library: str, files: list[str], catalogue: str, failed: dict[str, str]) -> None:
    """Put the heads of ``files`` into ``library`` in place of those of the same names; all else in it stays."""
    from likeness_parts.scene import assets, tags
    from likeness_parts.scene.place import remove_head

    if Path(library).exists():
        bpy.ops.wm.open_mainfile(filepath=library, load_ui=False)
    else:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.context.preferences.filepaths.save_version = 0
    for file in files:
        try:
            with bpy.data.libraries.load(file) as (source, _):
                names = list(source.collections)
        except (RuntimeError, OSError) as error:
            failed[file] = str(error).strip()
            continue
        if not names:
            failed[file] = "there is no head in it"
            continue
        for head_id in [h[tags.HEAD_ID] for h in tags.head_collections() if tags.name_of(h) == Path(file).stem]:
            remove_head(head_id)
        with bpy.data.libraries.load(file, link=False) as (_, wanted):
            wanted.collections = names
        for head in [c for c in wanted.collections if c is not None and tags.HEAD_ID in c]:
            head.name = Path(file).stem
            assets.mark_as_asset(head, catalogue)
    if len(failed) < len(files):
        bpy.ops.wm.save_as_mainfile(filepath=library, compress=True)


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
