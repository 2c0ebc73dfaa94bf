"""Cache of the last job's read photos and its fit, for fast updates while a user drags landmarks."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import PhotoCollection
from backend.photos.reading.source import PhotoSource
from backend.pipeline import CachedFit
from backend.progress import ProgressReporter, silent

IDLE_SECONDS = 120.0
"""Time that faces are kept after their last use: a user drags the next point within a minute."""
MOST_BYTES = 300 * 2**20
"""Limit on pixels and labels: 18 crops of the largest size. Larger collections are read again."""


@dataclass(frozen=True)
class _Kept:
    key: str
    collection: PhotoCollection


class CachedFaces:
    """``collect`` with a cache of its last result for ``idle_seconds``. The cached fit of the photos (``fit``) is
    dropped with them."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._timer: threading.Timer | None = None
        self._fit: CachedFit | None = None

    def __call__(
        self, sources: Sequence[PhotoSource], *, progress: ProgressReporter = silent, options: CollectOptions
    ) -> PhotoCollection:
        """As ``photos.collect.collect``."""
        key = _key(sources, options)
        with self._lock:
            kept = self._kept
        if kept is None or kept.key != key:
            self.forget()  # before reading, so that only one of both is in memory
            kept = _Kept(key, collect(sources, progress=progress, options=options))
        progress("photos", 1.0)
        size = sum(face.pixels.nbytes + face.labels.nbytes for face in kept.collection.faces)
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._kept = kept if size <= MOST_BYTES else None
            self._timer = threading.Timer(self._idle_seconds, self.forget)
            self._timer.daemon = True
            self._timer.start()
        return kept.collection

    def forget(self) -> None:
        """Drop the cache."""
        with self._lock:
            self._kept = self._fit = None

    def keep_fit(self, fit: CachedFit) -> None:
        """Keep the fit of the photos as long as they are kept."""
        with self._lock:
            self._fit = fit if self._kept is not None else None

    @property
    def fit(self) -> CachedFit | None:
        """The last fit, None if it is not kept."""
        return self._fit

    @property
    def keeps(self) -> bool:
        """Whether faces are cached."""
        return self._kept is not None


def _key(sources: Sequence[PhotoSource], options: CollectOptions) -> str:
    """SHA-256 of names, contents and limits."""
    digest = hashlib.sha256(repr((options.max_used, options.max_crop_side, options.surface)).encode())
    for source in sources:
        data = source.data if source.path is None else source.path.read_bytes()
        digest.update(repr((source.name, hashlib.sha256(data or b"").hexdigest())).encode())
    return digest.hexdigest()
