"""Models that may not be trained yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from backend.errors import LikenessError

Model = TypeVar("Model")


def trained_or_none(load: Callable[[Path | None], Model], folder: Path | None) -> Model | None:
    """``load(folder)``, None where there is no trained model.

    Raises ``LikenessError`` where ``folder`` was named and holds one that is damaged.
    """
    try:
        return load(folder)
    except LikenessError:
        if folder is not None and any(folder.glob("*.safetensors")):
            raise
        return None
