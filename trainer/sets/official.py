"""``evaluate paper METHOD --export FOLDER``: what the own scripts of NoW and REALY score.

No protocol is written twice. NoW's script (github.com/soubhiksanyal/now_evaluation) reads a mesh and seven points for
each picture; REALY's (github.com/czh-98/REALY) a mesh for each picture and, once, 85 points on the meshes' triangles.
"""

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from rich.console import Console

from backend.geometry.template import load_template
from protocol.similarity import fit_similarity
from trainer.heads.surface import Closest
from trainer.sets.measure_faces import Reconstructor, shape_of
from trainer.sets.measure_maps import samples
from trainer.sets.protocols import Shape
from trainer.sets.reader import PreparedSet
from trainer.sets.scans import write_obj

TOPOLOGY = "likeness"
"""REALY's name for our meshes' triangles."""
ALIGNED_BY = (36, 39, 42, 45, 33, 48, 54)
"""REALY's keypoints of the global alignment, of iBUG's 68."""
Neutral = Callable[[str], Shape | None]
"""A picture's name in the set -> the neutral head; None without a face."""


def export_now(data: PreparedSet, most: int, neutral: Neutral, out: Path) -> tuple[int, int]:
    """Write ``SUBJECT/CHALLENGE/PICTURE.obj`` (metres) and ``.npy`` (7, 3).

    Returns how many pictures there are, and how many have no face: NoW counts these as missing.
    """
    given = missing = 0
    for sample in samples(data, most):
        for name in map(PurePosixPath, sample["photos"]):
            head = neutral(str(name))
            given += 1
            if head is None:
                missing += 1
                continue
            path = out.joinpath(*name.parts[-3:]).with_suffix(".obj")
            write_obj(path, head.vertices, head.faces)
            np.save(path.with_suffix(".npy"), head.seven.astype(np.float32))
    return given, missing


def export_realy(data: PreparedSet, most: int, neutral: Neutral, out: Path) -> tuple[int, int]:
    """Write ``meshes/PICTURE.obj`` (metres), and the mean head with its 85 points as ``data/likeness.obj, .txt``.

    The points beyond iBUG's 68 are where the set's own keypoints lie on average, once its people are aligned to our
    mean head. Returns as ``export_now``.
    """
    given = missing = 0
    mean = shape_of(np.zeros((load_template().head.vertex_stop, 3)))
    more = []
    for sample in samples(data, most):
        keypoints = sample["keypoints"]
        placed = fit_similarity(keypoints[list(ALIGNED_BY)], mean.marks[list(ALIGNED_BY)])
        more.append(placed.apply(keypoints[len(mean.marks) :]))
        name = str(sample["photos"][0])
        head = neutral(name)
        given += 1
        if head is None:
            missing += 1
        else:
            write_obj(out / "meshes" / PurePosixPath(name).with_suffix(".obj").name, head.vertices, head.faces)
    points = np.concatenate([mean.marks, np.mean(more, axis=0)])
    triangle, barycentrics, _ = Closest(mean.vertices, mean.faces)(points)
    write_obj(out / "data" / f"{TOPOLOGY}.obj", mean.vertices, mean.faces)
    rows = [[int(face), float(a), float(b)] for face, (a, b, _) in zip(triangle, barycentrics, strict=True)]
    (out / "data" / f"{TOPOLOGY}.txt").write_text(json.dumps(rows), encoding="ascii")
    return given, missing


HOW = {
    "now": "python compute_error.py --predicted_mesh_folder {out} --dataset_folder NOW",
    "realy": "copy {out}/data/* to REALY/data, then: python main.py --prediction {out}/meshes --template_topology "
    f"{TOPOLOGY} --save RESULTS",
}
"""What to run then, in the scripts' own folders."""
EXPORTS = {"now": export_now, "realy": export_realy}


def export(
    method: str, model: Path | None, name: str, data: PreparedSet, most: int, out: Path, console: Console
) -> dict[str, float]:
    """Write what the script of the set ``name`` reads into ``out / name``, and print how it is run; returns counts."""
    reconstruct = Reconstructor(method, model, data)

    def neutral(photo: str) -> Shape | None:
        offsets = reconstruct([photo])
        return None if offsets is None else shape_of(offsets)

    folder = out / name
    given, missing = EXPORTS[name](data, most, neutral, folder)
    console.print(f"{folder}: {given - missing} of {given} pictures; {missing} without a face.")
    console.print(HOW[name].format(out=folder), soft_wrap=True, style="dim")
    return {f"shapes.{name}.pictures": float(given), f"shapes.{name}.without_face": float(missing)}
