"""The last job's photos as they were read and its fit, for a person who drags a landmark and waits for the head."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import PhotoCollection
from backend.photos.reading.source import PhotoSource
from backend.pipeline import KeptFit
from backend.progress import ProgressReporter, silent

IDLE_SECONDS = 120.0
"""How long faces are kept after they were last used: a person drags the next point within a minute."""
MOST_BYTES = 300 * 2**20
"""Of pixels and labels: 18 crops of the largest size. What is larger is read again."""


@dataclass(frozen=True)
class _Kept:
    key: str
    collection: PhotoCollection


class KeptFaces:
    """``collect``, which remembers its last answer for ``idle_seconds``; the same photos get it again at once. What was
    kept of their fit (``fit``) goes with them."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._timer: threading.Timer | None = None
        self._fit: KeptFit | None = None

    def __call__(
        self, sources: Sequence[PhotoSource], *, progress: ProgressReporter = silent, options: CollectOptions
    ) -> PhotoCollection:
        """As ``photos.collect.collect``."""
        key = _key(sources, options)
        with self._lock:
            kept = self._kept
        if kept is None or kept.key != key:
            self.forget()  # so that not both are in memory
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
        """Give the memory back."""
        with self._lock:
            self._kept = self._fit = None

    def keep_fit(self, fit: KeptFit) -> None:
        """Keep how the photos were fitted, as long as they are kept."""
        with self._lock:
            self._fit = fit if self._kept is not None else None

    @property
    def fit(self) -> KeptFit | None:
        """The last fit, None where it is not kept."""
        return self._fit

    @property
    def keeps(self) -> bool:
        """Whether faces are in memory."""
        return self._kept is not None


def _key(sources: Sequence[PhotoSource], options: CollectOptions) -> str:
    """Of names, contents and limits; the same only where all are."""
    digest = hashlib.sha256(repr((options.max_used, options.max_crop_side, options.surface)).encode())
    for source in sources:
        data = source.data if source.path is None else source.path.read_bytes()
        digest.update(repr((source.name, hashlib.sha256(data or b"").hexdigest())).encode())
    return digest.hexdigest()
