"""The extension's own key pair."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from blender_addon.client.keys import client_keys


def test_a_key_is_no_option_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``serve --owner KEY`` with a key that begins with a dash said that ``--owner`` has no argument."""
    public, secret = zmq.curve_keypair()
    drawn = [(b"-" + public[1:], secret), (b"k" + public[1:], secret)]  # one of 85 begins with a dash by itself
    monkeypatch.setattr(zmq, "curve_keypair", lambda: drawn.pop(0))
    keys = client_keys(tmp_path)
    assert not keys.public.startswith("-") and not drawn
