"""Load models that may not be trained yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from backend.errors import LikenessError

Model = TypeVar("Model")


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
