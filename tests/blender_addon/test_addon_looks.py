"""Checks of files for drawing: how often they are made, and which result is drawn."""

from __future__ import annotations

import threading

import pytest

from blender_addon.backend_process import looks
from blender_addon.backend_process.looks import Looks


class Counted:
    """Finds how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, place: str) -> int:
        self.times += 1
        return self.times


def test_redraws_in_a_row_share_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "REUSE_SECONDS", 60.0)
    files = Looks(Counted())
    assert [files.at("a", drawing=True) for _ in range(5)] == [1] * 5
    assert files.at("b", drawing=True) == 2 and files.at("a", drawing=True) == 1
    monkeypatch.setattr(looks, "REUSE_SECONDS", 0.0)
    assert files.at("a", drawing=True) == 3


def test_a_click_checks_and_drawing_uses_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "REUSE_SECONDS", 60.0)
    files = Looks(Counted())
    assert [files.at("a", drawing=True), files.at("a"), files.at("a"), files.at("a", drawing=True)] == [1, 2, 3, 3]


def test_after_a_change_of_its_own_nothing_older_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what a check finds that had begun before the change."""
    monkeypatch.setattr(looks, "REUSE_SECONDS", 60.0)
    files = Looks(Counted())
    files.at("a", drawing=True)
    files.forget()
    assert files.at("a", drawing=True) == 2

    go_on, count = threading.Event(), Counted()
    slow = Looks(lambda place: (count(place), go_on.wait(30))[0])
    monkeypatch.setattr(looks, "DRAWING_SECONDS", 0.01)
    assert slow.at("a", drawing=True) is None
    slow.forget()
    go_on.set()
    monkeypatch.setattr(looks, "DRAWING_SECONDS", 10.0)
    slow._under_way["a"][1].result()
    assert slow.at("a", drawing=True) == 2
