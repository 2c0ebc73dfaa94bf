"""Fit neutral heads to out-of-domain photographs, with learned parts switched off in turn; fits are cached on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

import backend
from backend.errors import LikenessError
from backend.fitting.options import fit_options_for
from backend.models.landmarks import LANDMARK_NET
from backend.models.lap import LAP
from backend.models.learned_basis import LEARNED_BASIS
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection
from backend.photos.reading.source import PhotoSource
from trainer.data.disk_cache import cache_folder, content_key, save_arrays
from trainer.evaluate.estimate import fit_with


@dataclass(frozen=True)
class Variant:
    """The learned parts that a fit uses; ``quality`` as in ``fit_options_for``."""

    quality: str = "standard"
    lap: bool = True
    encoder: bool = True
    landmark_net: bool = True


VARIANTS: Mapping[str, Variant] = {
    "full": Variant(),
    "without.lap": Variant(lap=False),
    "without.encoder": Variant(encoder=False),
    "without.landmark_net": Variant(landmark_net=False),
    "landmarks_only": Variant("fast", lap=False, encoder=False, landmark_net=False),
}
"""``full`` is the product's fit. ``landmarks_only`` is the baseline: the detector's landmarks and the prior. LAP's
networks need the landmark net's points, so they are off without it, as in the product."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of everything that a fit depends on: the backend's files and the weights."""
    package = Path(backend.__file__).parent
    files = (path for folder in (package, package.parent / "assets") for path in sorted(folder.rglob("*")))
    chosen = [path for path in files if path.suffix in (".py", ".npz", ".json", ".safetensors")]
    return content_key(*(part for path in chosen for part in (path.relative_to(package.parent).as_posix(), path)))


def fitted_neutrals(photos: Sequence[Path], wanted: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Fit photos: name of each wanted variant -> neutral vertices (V, 3) float32, metres.

    Returns None if no photo shows a usable face. Photos are read at most once, and only if a variant is not cached."""
    folder = cache_folder() / "foreign_fits" / code_version()
    key = content_key(*photos)
    paths = {name: folder / f"{key}_{content_key(VARIANTS[name])}.npz" for name in wanted}
    collection: PhotoCollection | None = None
    found = {}
    for name, path in paths.items():
        if not path.exists():
            if collection is None:
                try:
                    collection = collect([PhotoSource.from_path(photo) for photo in photos])
                except LikenessError as error:
                    if error.code != "no_face":
                        raise
                    return None
            save_arrays(path, neutral=fitted(collection, VARIANTS[name]))
        with np.load(path) as data:
            found[name] = data["neutral"]
    return found


def fitted(collection: PhotoCollection, variant: Variant) -> np.ndarray:
    """(V, 3) float32 neutral vertices of a variant's fit."""
    if not variant.landmark_net:
        collection = replace(collection, faces=tuple(replace(face, surface=None) for face in collection.faces))
    wanted = {LAP.name: variant.lap, LEARNED_BASIS.name: variant.encoder, LANDMARK_NET.name: variant.landmark_net}
    models = open_models({name for name, asked in wanted.items() if not asked})
    return fit_with(collection, fit_options_for(variant.quality), models).neutral.astype(np.float32)
