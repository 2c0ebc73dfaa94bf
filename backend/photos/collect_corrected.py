"""The photo stage with the user's corrections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from backend.photos.collect import CollectOptions, collect, unique_names
from backend.photos.collection import PhotoCollection
from backend.photos.reading.source import PhotoSource
from backend.photos.screening.corrections import (
    PhotoCorrections,
    check_corrections,
    left_out_verdicts,
    with_corrections,
)
from backend.progress import ProgressReporter, silent

PhotoReader = Callable[..., PhotoCollection]
"""Has the signature of ``photos.collect.collect``."""


def collect_corrected(
    sources: Sequence[PhotoSource],
    corrections: Sequence[PhotoCorrections],
    options: CollectOptions,
    progress: ProgressReporter = silent,
    reader: PhotoReader = collect,
) -> PhotoCollection:
    """Collect the faces with ``reader`` and apply ``corrections``; photos left out by the user are not read.

    Raises ``LikenessError`` as ``collect`` does, and "usage" for corrections that do not fit the photos.
    """
    if not corrections:
        return reader(sources, progress=progress, options=options)
    names = unique_names([source.name for source in sources])
    check_corrections(corrections, names)
    out = {one.name for one in corrections if one.use == "neither"}
    named = [replace(source, name=name) for source, name in zip(sources, names, strict=True)]
    wanted = [source for source in named if source.name not in out]
    collection = with_corrections(reader(wanted, progress=progress, options=options), corrections)
    return replace(collection, verdicts=left_out_verdicts(collection.verdicts, names, corrections))
