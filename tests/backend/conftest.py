"""The template, and photographs of people for the photo stage's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.geometry.template import Template, load_template
from backend.photos.collect import CollectOptions


@pytest.fixture(scope="session")
def template() -> Template:
    return load_template()


@pytest.fixture(scope="session")
def people(photo_dir: Path) -> Callable[[str], list[Path]]:
    """``people("john_simm")``: that person's photos, by name."""

    def paths(name: str) -> list[Path]:
        found = sorted((photo_dir / "people" / name).glob("*.jp*g"))
        if not found:
            pytest.skip(f"needs the photographs people/{name}")
        return found

    return paths


@pytest.fixture(scope="session")
def options() -> CollectOptions:
    """The defaults."""
    return CollectOptions()
