"""``python -m trainer evaluate paper METHOD --data NAME=FOLDER``: the papers' tables, their rows beside ours.

``--export FOLDER`` writes what the own scripts of NoW and REALY score, so no protocol is written twice. NoW's script
(github.com/soubhiksanyal/now_evaluation) reads a mesh and seven points for each picture; REALY's
(github.com/czh-98/REALY) a mesh for each picture and, once, 85 points on the meshes' triangles.
"""

import argparse
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.geometry.closest import Closest
from backend.geometry.template import load_template
from protocol.similarity import fit_similarity
from trainer.engine.disk_cache import PreparedSet, SetError, open_prepared
from trainer.engine.recipe import WHOLE
from trainer.engine.sheets import write_sheet
from trainer.measures.estimate import Estimate
from trainer.measures.harness import OURS, trained_models
from trainer.measures.metrics import mean_interval
from trainer.sets import measure_canonical, measure_faces
from trainer.sets.scans import NowTest, write_obj

PRINTED = True
"""``run`` prints its figures in the papers' columns."""
PUBLISHED = Path(__file__).parent / "published.toml"
Errors = Mapping[str, Mapping[str, np.ndarray]]
"""Row -> figure -> a value per entry of the set (NaN: none)."""
Measure = Callable[[Path | None, PreparedSet, int, list], Errors]
"""Model's folder (None: the shipped one), the set, its most entries, rows of the sheet to append to -> errors."""


@dataclass(frozen=True)
class PaperTable:
    """A table: its key in ``published.toml``, the set that it needs, how our rows are measured, figures where more is
    better, and those that are not means of the entries."""

    key: str
    data: str
    measure: Measure | None = None
    """None where the set has a script of its own."""
    whole: Callable[[Mapping[str, np.ndarray]], dict[str, float]] | None = None
    """Figures of a row that are not means over the entries."""


SHAPES = (PaperTable("shapes.now", "now"), PaperTable("shapes.now", "now_test"), PaperTable("shapes.realy", "realy"))
"""Benchmarks of neutral shape that have scripts of their own: ``--export`` writes what these read."""
TABLES: Mapping[str, tuple[PaperTable, ...]] = {
    "product": (PaperTable("graph.micc", "micc", partial(measure_faces.micc, "product")), *SHAPES),
    "lap": (
        PaperTable("lap.bfm", "bfm", measure_canonical.depth_errors),
        PaperTable("lap.3dfaw", "3dfaw", measure_canonical.keypoint_depths, measure_canonical.correlation_figures),
        PaperTable("lap.celebamask", "celebamask", measure_canonical.render_scores),
    ),
    "learned_basis": (
        PaperTable("learned_basis.bu3dfe", "bu3dfe", measure_faces.bu3dfe),
        PaperTable("learned_basis.celebamask", "celebamask", measure_faces.lips),
        PaperTable("learned_basis.neutral", "bu3dfe", measure_faces.neutral_motion),
        *SHAPES,
    ),
    "graph": (
        PaperTable("graph.micc", "micc", partial(measure_faces.micc, "graph")),
        PaperTable("graph.aflw2000", "aflw2000", measure_faces.aflw2000, measure_faces.yaw_figures),
        *SHAPES,
    ),
}
"""The whole fit, or a method -> its paper's tables."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer evaluate paper``."""
    parser.description = (
        "Print a paper's tables: its own rows, then ours, measured on the sets that you have. A set that is missing is "
        "a row that says how to prepare it."
    )
    parser.add_argument("method", choices=tuple(TABLES))
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="a set that `python -m trainer data NAME SET --out FOLDER` prepared, as often as wanted",
    )
    parser.add_argument("--model", type=Path, help="the exported model; default: the shipped one")
    parser.add_argument("--ablations", type=Path, help="folder of NAME/SEED/model of ablations: a row for each")
    parser.add_argument("--export", type=Path, help="write what the scripts of NoW and REALY read into this folder")
    parser.add_argument("--most", type=int, default=0, help="entries of each set (default: all)")
    parser.add_argument("--sheet", type=Path, help="write pictures, ours and truth, as one sheet")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Measure and print every table of the method; returns all rows as flat figures."""
    folders = data_folders(arguments.data)
    known = {table.data for table in TABLES[arguments.method]}
    if foreign := sorted(folders.keys() - known):
        raise SetError(f"{arguments.method} has no table on {foreign[0]}.", f"Its sets: {', '.join(sorted(known))}.")
    models: dict[str, Sequence[Path | None]] = {OURS: [arguments.model]}
    if arguments.ablations:
        trained = trained_models(arguments.ablations)
        models |= {f"{OURS}: {name}": trained[name] for name in sorted(trained, key=lambda name: (name != WHOLE, name))}
    figures: dict[str, float | str] = {}
    sheet: list = []
    for table in TABLES[arguments.method]:
        printed = published(table.key)
        if table.data not in folders:
            if table.data == NowTest.name:
                continue  # its row is that of the validation part
            why = f"missing: python -m trainer data {table.data} SET --out FOLDER"
            console.print(_printed(printed, {}))
            console.print(f"{OURS}: {why}", soft_wrap=True)
            figures[f"{table.key}.{OURS}"] = why
            continue
        data = open_prepared(folders[table.data], table.data)
        if table.measure:
            rows = measured_rows(table, models, data, arguments.most, sheet)
            console.print(_printed(printed, rows))
            figures |= {f"{table.key}.{name}.{figure}": v for name, row in rows.items() for figure, v in row.items()}
            continue
        console.print(_printed(printed, {}))
        console.print(f"{OURS}: scored by the set's own script: --export FOLDER", soft_wrap=True)
        if arguments.export:
            folder = arguments.export
            figures |= export(arguments.method, arguments.model, table.data, data, arguments.most, folder, console)
    if arguments.sheet and sheet:
        write_sheet(arguments.sheet, sheet, ("picture", "ours", "truth"))
        console.print(f"sheet: {arguments.sheet}")
    return {name: value for name, value in figures.items() if isinstance(value, str) or np.isfinite(value)}


def data_folders(arguments: Sequence[str]) -> dict[str, Path]:
    """NAME -> FOLDER of ``--data`` arguments."""
    folders = {}
    for one in arguments:
        name, equals, folder = one.partition("=")
        if not equals or not folder:
            raise SetError(f"--data {one!r} names no folder.", "Write --data NAME=FOLDER.")
        folders[name] = Path(folder)
    return folders


def published(key: str) -> dict:
    """Title, columns and rows that a paper prints."""
    method, _, table = key.partition(".")
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))[method][table]


def measured_rows(
    table: PaperTable, models: Mapping[str, Sequence[Path | None]], data: PreparedSet, most: int, sheet: list
) -> dict[str, dict[str, float]]:
    """Our rows: means over entries (and seeds) with ``.sd`` and 95 % intervals."""
    rows: dict[str, dict[str, float]] = {}
    for name, folders in models.items():
        seeds = [table.measure(folder, data, most, sheet if name == OURS else []) for folder in folders]
        for row in seeds[0]:
            label = name + row.removeprefix(OURS) if row.startswith(OURS) else row
            if label not in rows:  # a row without a model is the same for all
                values = {figure: np.mean([one[row][figure] for one in seeds], 0) for figure in seeds[0][row]}
                rows[label] = table.whole(values) if table.whole else _means(values)
    return rows


def _means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, errors in values.items():
        known = errors[np.isfinite(errors)]
        figures |= mean_interval(errors).figures(name)
        figures[f"{name}.sd"] = float(known.std()) if len(known) else float("nan")
        figures[f"{name}.entries"] = float(len(known))
    return figures


def _printed(printed: Mapping, rows: Mapping[str, Mapping[str, float]]) -> Table:
    """The paper's rows, then ours, in the paper's columns."""
    columns = [column for column in printed["columns"] if not column.endswith(".sd")]
    table = Table("row", *columns, title=printed["title"])
    for name, values in printed["rows"].items():
        printed_values = dict(zip(printed["columns"], values, strict=False))
        table.add_row(f"paper: {name}", *(_cell(printed_values, column) for column in columns))
    table.add_section()
    for name, row in rows.items():
        table.add_row(name, *(_cell(row, column) for column in columns))
    return table


def _cell(row: Mapping[str, float], column: str) -> str:
    if column not in row or not np.isfinite(row[column]):
        return "-"
    text = f"{row[column]:.3f}"
    if f"{column}.sd" in row:
        text += f" ± {row[f'{column}.sd']:.3f}"
    return text


TOPOLOGY = "likeness"
"""REALY's name for our meshes' triangles."""
ALIGNED_BY = (36, 39, 42, 45, 33, 48, 54)
"""REALY's keypoints of the global alignment, of iBUG's 68."""
Neutral = Callable[[str], Estimate | None]
"""A picture's name in the set -> the neutral head; None without a face."""


def export_now(data: PreparedSet, most: int, neutral: Neutral, out: Path) -> tuple[int, int]:
    """Write ``SUBJECT/CHALLENGE/PICTURE.obj`` (metres) and ``.npy`` (7, 3).

    Returns how many pictures there are, and how many have no face: NoW counts these as missing.
    """
    given = missing = 0
    for sample in data.samples(most):
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
    mean = measure_faces.shape_of(np.zeros((load_template().head.vertex_stop, 3)))
    more = []
    for sample in data.samples(most):
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
    "now": "python compute_error.py --predicted_mesh_folder {out} --dataset_folder NOW, and once for each --challenge "
    "(multiview_neutral, multiview_expressions, multiview_occlusions, selfie)",
    "now_test": f"send {{out}} as {NowTest.licence.page} says: the scans of this part are not published",
    "realy": "copy {out}/data/* to REALY/data, then: python main.py --prediction {out}/meshes --template_topology "
    f"{TOPOLOGY} --save RESULTS",
}
"""What to run then, in the scripts' own folders."""
EXPORTS = {"now": export_now, "now_test": export_now, "realy": export_realy}


def export(
    method: str, model: Path | None, name: str, data: PreparedSet, most: int, out: Path, console: Console
) -> dict[str, float]:
    """Write what the script of the set ``name`` reads into ``out / name``, and print how it is run; returns counts."""
    reconstruct = measure_faces.Reconstructor(method, model, data)

    def neutral(photo: str) -> Estimate | None:
        offsets = reconstruct([photo])
        return None if offsets is None else measure_faces.shape_of(offsets)

    folder = out / name
    given, missing = EXPORTS[name](data, most, neutral, folder)
    console.print(f"{folder}: {given - missing} of {given} pictures; {missing} without a face.")
    console.print(HOW[name].format(out=folder), soft_wrap=True, style="dim")
    return {f"shapes.{name}.pictures": float(given), f"shapes.{name}.without_face": float(missing)}
