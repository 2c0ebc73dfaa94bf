"""Fixtures that all tests share: the photographs beside the repository, and pictures made on the spot."""

from __future__ import annotations

import os
import sys

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, and those that it starts: one thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")

import backend  # noqa: F401  # isort: skip  its settings for numpy and torch must be there before these are
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

with suppress(ImportError):  # the environment of Blender 4.5 lacks it
    from hypothesis import HealthCheck, settings

    settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy machine")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests skip themselves, but where tests are named one by one, as CI does with those skipped, or by ``-m``."""
    if not config.option.markexpr and not any("::" in name for name in config.args):
        for item in filter(lambda item: item.get_closest_marker("slow"), items):
            item.add_marker(pytest.mark.skip(reason="takes some ten seconds: pytest -m slow"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the names of skipped tests and files to the file LIKENESS_TEST_SKIPPED, for ``pytest @FILE``."""
    if target := os.environ.get("LIKENESS_TEST_SKIPPED"):
        names = dict.fromkeys(report.nodeid for report in terminalreporter.stats.get("skipped", ()))
        Path(target).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def _compiled_stays() -> Iterator[None]:
    """What a file of tests compiled goes on the list: each program that starts removes what is not on it."""
    yield
    if numba_cache := sys.modules.get("backend.system.numba_cache"):
        numba_cache.list_compiled()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of photographs and scans beside the repository, or where LIKENESS_SHARED says; skips without it."""
    path = Path(os.environ.get("LIKENESS_SHARED") or ROOT.parent / "shared")
    if not path.is_dir():
        pytest.skip(f"needs the data beside the repository ({path.name}/ is missing; set LIKENESS_SHARED)")
    return path


@pytest.fixture(scope="session")
def photo_dir(shared_dir: Path) -> Path:
    """The folder of photographs; skips without it."""
    path = shared_dir / "photos"
    if not path.is_dir():
        pytest.skip("needs the photographs beside the repository (photos/ is missing)")
    return path


@pytest.fixture(scope="session")
def demo_photos() -> list[Path]:
    """The photos of the person who does not exist, the first from the front."""
    return sorted((ROOT / "assets" / "demo").glob("*.jpg"))


@pytest.fixture(scope="session")
def small_photo(demo_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``photo.jpg``, the first of them, 320 pixels wide."""
    from PIL import Image

    path = tmp_path_factory.mktemp("small") / "photo.jpg"
    picture = Image.open(demo_photos[0])
    picture.resize((320, 320 * picture.height // picture.width), Image.Resampling.LANCZOS).save(path, quality=92)
    return path


@pytest.fixture(scope="session")
def synthetic_picture() -> np.ndarray:
    """(240, 320, 3) uint8 sRGB: smooth colours with a bright corner at the top left and some texture; no face."""
    rows, columns = np.mgrid[:240, :320]
    picture = np.stack([columns * 0.5 + 40, rows * 0.7 + 30, 180 - columns * 0.3], axis=-1)
    picture += 12 * np.sin(rows / 7)[..., None] * np.cos(columns / 9)[..., None]
    picture[:60, :80] = [250, 240, 200]
    return np.clip(picture, 0, 255).astype(np.uint8)
