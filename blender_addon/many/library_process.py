"""Finish head files in a separate Blender: run by ``run.LibraryProcess``. They open on their head, or are assets with
previews, or are collected in one library.

A collection's preview is saved only with the open file: ``libraries.write`` of Blender 5.0 omits it. It also takes
seconds for many heads, while the artist's Blender must stay responsive.
"""

import json
import sys
import types
from pathlib import Path

import bpy

ROOT = "likeness_parts"
"""Package name for the extension's folder here: its own ``__init__`` needs a Blender with a window and wheels."""


def main(job_path: Path) -> None:
    """Do the job in the JSON file and write ``reply.txt`` beside it: a sentence about what failed, or nothing."""
    package = types.ModuleType(ROOT)
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules[ROOT] = package
    job = json.loads(job_path.read_text("utf-8"))
    bpy.context.preferences.filepaths.save_version = 0  # no .blend1 backup
    failed: dict[str, str] = {}
    for file in job["written"]:
        try:
            _finish(file, job["catalogue"] if job["library"] is None else None)
        except (RuntimeError, OSError) as error:
            failed[file] = str(error).strip()
    if job["library"] is not None:
        _into_library(job["library"], job["files"], job["catalogue"], failed)
    said = ""
    if failed:
        file, why = next(iter(failed.items()))
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        said = f"{Path(file).name}{more} could not be made an asset ({why})."
    reply = job_path.with_name("reply.part")
    reply.write_text(said, "utf-8", errors="backslashreplace")
    reply.replace(job_path.with_name("reply.txt"))  # whole, or not there


def _finish(file: str, catalogue: str | None) -> None:
    """Let a file open on its head; with a ``catalogue``, the head is an asset with a preview."""
    from likeness_parts.many import stage
    from likeness_parts.objects import tags

    bpy.ops.wm.open_mainfile(filepath=file, load_ui=False)
    for head in tags.head_collections():
        if catalogue is not None:
            stage.mark_as_asset(head, catalogue)
        if head not in tags.heads_in(bpy.context.scene):
            stage.set_up(head, bpy.context.scene)
    bpy.ops.wm.save_mainfile(compress=True)


def _into_library(library: str, files: list[str], catalogue: str, failed: dict[str, str]) -> None:
    """Put the heads of ``files`` into ``library``, replacing heads of the same names; everything else in it stays."""
    from likeness_parts.many import stage
    from likeness_parts.objects import tags

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
            tags.remove_head(head_id)
        with bpy.data.libraries.load(file, link=False) as (_, wanted):
            wanted.collections = names
        for head in [c for c in wanted.collections if c is not None and tags.HEAD_ID in c]:
            head.name = Path(file).stem
            stage.mark_as_asset(head, catalogue)
    if len(failed) < len(files):
        bpy.ops.wm.save_as_mainfile(filepath=library, compress=True)


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
