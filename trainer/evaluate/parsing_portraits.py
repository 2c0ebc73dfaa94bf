"""Evaluate the product's labels on held-out real portraits with hand-corrected labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.models.parsing.network import CLASS_NAMES
from backend.photos.regions.masks import grown
from trainer.data.portraits.cache import CacheSettings
from trainer.data.portraits.hand_labels import SIDE, UNKNOWN, read_hand_labels
from trainer.data.portraits.prepare import portrait_of
from trainer.evaluate.listed_photos import read_listed_photo

_NEAR = 2.0
"""Tolerance of borders in pixels of 256 (the face is about 105 high), the accuracy of hair drawn by hand. Most borders
of the corrected labels come from the net that shipped on 2026-11-20; without a tolerance it would be compared with
itself."""


def agreement(found: np.ndarray, truth: np.ndarray, near: float = _NEAR) -> np.ndarray:
    """(C, 3) int64 pixels of each class: hits, false ones and missed ones; found, truth (S, S) uint8 of ``FaceClass``.

    A pixel of ``found`` is a hit if ``truth`` has its class within ``near`` pixels. A pixel of ``truth`` is missed if
    ``found`` does not have its class within ``near`` pixels. Pixels where ``truth`` is 255 are ignored.
    """
    known = truth != UNKNOWN
    counts = np.zeros((len(CLASS_NAMES), 3), dtype=np.int64)
    for number in range(len(CLASS_NAMES)):
        here, there = (found == number) & known, truth == number
        if here.any() or there.any():
            hits = here & grown(there, near)
            counts[number] = hits.sum(), (here & ~hits).sum(), (there & ~grown(here, near)).sum()
    return counts


def real_figures(portraits: Path) -> dict[str, float]:
    """``real.iou.<class>``, hits / (hits + false + missed), and their mean, over all held-out portraits' pixels.

    Labels are the product's final ones. ``portraits`` is the folder of the photographs that ``hand_labels.npz`` lists.

    Raises ``LikenessError`` where a photograph is missing or is a different one.
    """
    settings = CacheSettings(SIDE, "head", 0.0, True, labels_by="label_face")
    counts = np.zeros((len(CLASS_NAMES), 3), dtype=np.int64)
    for name, corrected in read_hand_labels().items():
        if not corrected.held_out:
            continue
        portrait = portrait_of(read_listed_photo(portraits, name), settings)
        truth = None if portrait is None else corrected.on(portrait.landmarks, SIDE)
        if portrait is None or truth is None:
            raise LikenessError(
                "no_photo",
                f"{portraits / name} is not the photograph whose labels were corrected.",
                "Fetch it again from its source.",
            )
        counts += agreement(portrait.labels, truth)
    share = counts[:, 0] / np.maximum(counts.sum(axis=1), 1)
    figures = {f"real.iou.{name}": float(value) for name, value in zip(CLASS_NAMES, share, strict=True)}
    return figures | {"real.iou.mean": float(share.mean())}
