"""Redrawing the sidebar's tab is no work, however much is stored of the head's photos."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")
sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from instant_backend import Backend  # noqa: E402
from machine_speed import times_slower  # noqa: E402
from redraws import head_of_many_photos, redraw_milliseconds  # noqa: E402

from blender_addon.backend_process import looks  # noqa: E402
from blender_addon.backend_process.looks import Looks  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene import corrections  # noqa: E402

pytestmark = pytest.mark.blender

MOST_MILLISECONDS = 5.0
"""Of processor time, for the tab with all of its panels open and a photo looked through, of which more is drawn."""

TRIES, RUNS = 30, 5
"""The least of so many redraws, each try beside a measure of the machine's speed."""


@pytest.fixture
def decoded(backend: Backend, result: HeadResult, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A head of 20 corrected and masked photos is looked at; what is taken apart of its corrections from then on."""
    head_of_many_photos(result)
    read, groups = corrections._read, []
    monkeypatch.setattr(corrections, "_read", lambda group: groups.append(group) or read(group))
    return groups


def test_with_twenty_photos_it_takes_less_than_five_milliseconds(decoded: list[object]) -> None:
    least = MOST_MILLISECONDS + 1.0
    for _ in range(TRIES):
        taken = redraw_milliseconds(RUNS)
        assert taken["photos"] > 0.1  # it is drawn
        least = min(least, taken["tab"] / times_slower())
        if least < MOST_MILLISECONDS:
            break
    assert least < MOST_MILLISECONDS


def test_many_redraws_check_the_files_once(decoded: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """The main panel and the head's share the result; each redraw checks again only once the result is old."""
    from blender_addon import installer

    checks, own = [], Looks(lambda folder: checks.append(folder))
    monkeypatch.setattr(installer, "_looks", own)
    monkeypatch.setattr(looks, "REUSE_SECONDS", 60.0)
    redraw_milliseconds(runs=3)
    assert len(checks) == 1
    own.forget()
    redraw_milliseconds(runs=3)
    assert len(checks) == 2


def test_of_twenty_photos_corrections_one_is_taken_apart(decoded: list[object]) -> None:
    """That of the photo that is looked through, for the share of it that is masked."""
    redraw_milliseconds(runs=1)
    assert len(decoded) == 1
