"""What all evaluations share: cases (people, heads) measured one after the other, means and intervals over them, fits
kept on disk, the table and the JSON of flat figures, and sheets of pictures.

An evaluation returns flat figures, ``name -> number`` or a word such as "not trained". ``name.low`` and ``name.high``
are the ends of a 95 % interval; ``person.NAME.…`` and ``head.NAME.…`` belong to one case.
"""

import argparse
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from backend.errors import LikenessError
from backend.models.registry import current_stamp
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection, PhotoFace, PhotoSource
from backend.photos.faces import Window, face_square, landmarks_of_largest
from protocol.photo_folder import PHOTO_SUFFIXES
from trainer.engine.contracts import Source
from trainer.engine.disk_cache import cache_folder, content_key, save_arrays, write_bytes
from trainer.engine.recipe import WHOLE
from trainer.measures.metrics import mean_interval, ratio_interval

Case = TypeVar("Case")
Model = TypeVar("Model")
Figures = dict[str, float | str]

OURS = "ours"
"""Beginning of our model's row in a paper's table, in whose place ``sets/tables.py`` puts an ablation's name."""
CASES = ("person.", "head.", "drawn.person.")
"""Prefixes of figures of one case, which the table leaves out."""


def people_folders(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Name -> photos of ``folder`` and its sub-folders, as far as they hold photos directly."""
    people = {}
    for directory in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        photos = tuple(sorted(path for path in directory.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES))
        if photos:
            people[directory.name] = photos
    if not people:
        raise LikenessError("no_photo", f"There are no photos in {folder}.", "Give a folder with a folder per person.")
    return people


def add_people_arguments(parser: argparse.ArgumentParser, most: int | None = None) -> None:
    """Add the options ``--people``, ``--quality`` and, with a default ``most``, ``--most``."""
    parser.add_argument("--people", type=Path, required=True, help="a folder with a folder of photos per person")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    if most is not None:
        parser.add_argument("--most", type=int, default=most, help=f"photos left out in turn (default {most})")


def collected(photos: Sequence[Path]) -> PhotoCollection:
    """The photo stage on files of one person; raises ``LikenessError`` where none is usable."""
    return collect([PhotoSource.from_path(path) for path in photos])


def found_faces(photos: Sequence[Path]) -> tuple[PhotoFace, ...]:
    """The faces in one person's photos; empty where there is none."""
    try:
        return collected(photos).faces
    except LikenessError as error:
        if error.code != "no_face":
            raise
        return ()


def face_window(picture: np.ndarray) -> Window | None:
    """LAP's square around the largest face; None without a face."""
    marks = landmarks_of_largest(picture)
    return None if marks is None else face_square(marks)


def trained_or_none(load: Callable[[Path | None], Model], folder: Path | None) -> Model | None:
    """Return ``load(folder)``, or None where there is no trained model.

    Raises ``LikenessError`` where ``folder`` was given and its model is damaged.
    """
    try:
        return load(folder)
    except LikenessError:
        if folder is not None and any(folder.glob("*.safetensors")):
            raise
        return None


def batches(source: Source, count: int, size: int) -> Iterator[Any]:
    """The first ``count`` items of a source in batches of at most ``size``, on the CPU."""
    for start in range(0, count, size):
        yield source.batch(range(start, min(start + size, count)), torch.device("cpu"))


def measured(
    cases: Mapping[str, Case], measure: Callable[[Case], Mapping[str, float]], console: Console
) -> dict[str, Mapping[str, float]]:
    """Figures of each case, measured one after the other, with a line for each. A case that raises ``LikenessError`` is
    printed and left out; raises ``LikenessError`` if all are."""
    results: dict[str, Mapping[str, float]] = {}
    for number, (name, case) in enumerate(cases.items(), 1):
        try:
            results[name] = measure(case)
        except LikenessError as error:
            console.print(f"{name}: {error}", markup=False)
            continue
        words = ", ".join(f"{key} {value:.3f}" for key, value in results[name].items() if not np.isnan(value))
        console.print(f"{number}/{len(cases)} {name}: {words}", markup=False, highlight=False)
    if not results:
        raise LikenessError("no_photo", "Nobody could be measured.", "The lines above say why.")
    return results


def judged(
    cases: Mapping[str, Case],
    measure: Callable[[Case], Mapping[str, float]],
    console: Console,
    name: str = "",
    kind: str = "person",
) -> Figures:
    """Measure cases as ``measured``: flat figures ``KIND.CASE.FIGURE`` of each, and over those that have it
    ``NAME.FIGURE``, the mean with its interval. NaN is left out."""
    found = measured(cases, measure, console)
    columns = dict.fromkeys(key for row in found.values() for key in row)
    prefix = f"{name}." if name else ""
    rows = {f"{prefix}{key}": [row.get(key, np.nan) for row in found.values()] for key in columns}
    each = {f"{kind}.{case}.{key}": value for case, row in found.items() for key, value in row.items()}
    figures = each | mean_figures(rows)
    return {key: value for key, value in figures.items() if not np.isnan(value)}


def means(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure over those that have it; NaN is left out."""
    names = dict.fromkeys(name for one in figures for name in one)
    known = {name: [one[name] for one in figures if not np.isnan(one.get(name, np.nan))] for name in names}
    return {name: float(np.mean(values)) for name, values in known.items() if values}


def mean_figures(rows: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each row of values with its interval."""
    return {
        key: value
        for name, values in rows.items()
        for key, value in mean_interval(np.array(values)).figures(name).items()
    }


def trained_models(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Folders of exported models ``NAME/SEED/model`` of ablations, by name, in the order of their seeds."""
    paths = sorted(folder.glob("*/*/model"), key=lambda path: (path.parts[-3], path.parts[-2]))
    return {name: tuple(path for path in paths if path.parts[-3] == name) for name in {p.parts[-3] for p in paths}}


def ablation_figures(
    models: Mapping[str, Sequence[Path]],
    measures: Sequence[str],
    errors: Callable[[Path], np.ndarray],
    of_mean_face: Collection[str] = (),
) -> dict[str, float]:
    """``ablation.NAME.MEASURE`` for each of ``models`` (name -> folders, one per seed): the mean over people and seeds.

    ``.seeds`` : standard deviation of the seeds' means, if there are several. ``.of_whole`` : ratio to the whole method
    over the seeds that both have, with its interval over people. ``.of_mean_face`` : ratio to the mean face's error,
    the last row of ``errors``, with its interval.

    Parameters
    ----------
    errors : folder of a model -> (measures [+ 1], people) errors; NaN where a person's photos do not determine one.

    Raises
    ------
    LikenessError("missing_part") : the model of the whole method is missing.
    """
    if WHOLE not in models:
        advice = "Train it without --ablation."
        raise LikenessError("missing_part", f"Among the ablations is no model called {WHOLE!r}.", advice)
    errors_by_model = {name: {path.parent.name: errors(path) for path in paths} for name, paths in models.items()}
    figures: dict[str, float] = {}
    for name, seeds in sorted(errors_by_model.items(), key=lambda item: item[0] != WHOLE):
        for number, measure in enumerate(measures):
            key = f"ablation.{name}.{measure}"
            values = np.stack([one[number] for one in seeds.values()])  # (seeds, people)
            figures[key] = float(np.nanmean(values))
            if len(values) > 1:
                figures[f"{key}.seeds"] = float(np.nanmean(values, 1).std(ddof=1))
            if measure in of_mean_face:
                mean = np.mean([one[-1] for one in seeds.values()], 0)
                figures |= ratio_interval(np.mean(values, 0), mean).figures(f"{key}.of_mean_face")
            shared = [seed for seed in seeds if seed in errors_by_model[WHOLE]]
            if name != WHOLE and shared:
                ablated, whole = (
                    np.mean([of[seed][number] for seed in shared], 0) for of in (seeds, errors_by_model[WHOLE])
                )
                figures |= ratio_interval(ablated, whole).figures(f"{key}.of_whole")
    return figures


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of everything that a fit depends on: code, weights and packages."""
    return content_key(current_stamp())


def kept_arrays(kind: str, key: str, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What the backend makes of the inputs that ``key`` stands for: read from the cache, or made and written there."""
    path = cache_folder() / kind / code_version() / f"{key}.npz"
    if not path.exists():
        save_arrays(path, **make())
    with np.load(path) as data:
        return dict(data)


def table_of(figures: Mapping[str, float | str], title: str) -> Table:
    """The figures as a table, without those of single cases; ends of intervals beside their figure."""
    table = Table("figure", "value", title=title)
    for name, value in figures.items():
        if name.startswith(CASES) or name.endswith((".low", ".high")):
            continue
        text = value if isinstance(value, str) else f"{value:.4f}"
        if f"{name}.low" in figures:
            text += f" ({figures[f'{name}.low']:.4f} to {figures[f'{name}.high']:.4f})"
        table.add_row(name, text)
    return table


def write_figures(path: Path, figures: Mapping[str, float | str]) -> None:
    """Write flat JSON, name -> number (or a word, such as "not trained"), atomically."""
    rounded = {k: v if isinstance(v, str) else round(float(v), 5) for k, v in figures.items()}
    write_bytes(path, json.dumps(rounded, indent=1).encode() + b"\n")
    path.chmod(0o644)
