"""What a server may say that is not as the protocol has it: one sentence, never another error."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from blender_addon.client.conversation import job_failed, parse_header, progressed, queued, welcomed
from blender_addon.client.submissions import PhotoFile, Submission
from blender_addon.errors import AddonError

WELCOME: dict[str, Any] = {
    "type": "welcome",
    "likeness": "0.1.0",
    "instance": "abc",
    "device": {"kind": "cpu"},
    "limits": {"header_bytes": 9, "frame_bytes": 1, "message_bytes": 2, "photos": 3},
    "heartbeat": {"interval_seconds": 2.0, "silence_seconds": 15.0},
    "capabilities": ["reconstruct", 3],
}


def test_what_is_well_said_is_understood() -> None:
    event = welcomed(WELCOME, None)
    assert event.capabilities == {"reconstruct"}


@pytest.mark.parametrize(
    "change",
    [
        {"capabilities": 7},
        {"capabilities": "reconstruct"},
        {"capabilities": {"reconstruct": 1}},
        {"heartbeat": {"interval_seconds": 10**400}},
        {"limits": {"header_bytes": 9, "frame_bytes": 1e300, "message_bytes": 2, "photos": 3}},
    ],
    ids=str,
)
def test_a_welcome_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AddonError) as caught:
        welcomed(WELCOME | change, None)
    assert caught.value.code == "malformed"


def test_no_header_escapes() -> None:
    """Any JSON value in any place of any message: an event, or the one error."""
    strange: tuple[Any, ...] = (None, True, 10**400, 1e308, float("inf"), "", "x" * 1000, [], [[]], {}, {"kind": []})
    draw = random.Random(5)
    names = ("token", "position", "stage", "sentence", "fraction", "seconds_left", "code", "advice", *WELCOME)
    for _ in range(3000):
        header = {"type": "x", **{name: draw.choice(strange) for name in draw.sample(names, 6)}}
        for understand in (lambda h: welcomed(WELCOME | h, None), queued, progressed, lambda h: job_failed(h, "t")):
            try:
                understand(parse_header(json.dumps(header).encode()))
            except AddonError as error:
                assert error.code == "malformed"


def test_photos_are_sent_only_where_there_are_any() -> None:
    """Hair and texture are made of a head that the backend has."""
    photo = PhotoFile("a.jpg", Path("a.jpg"))
    assert "photos" in Submission("t", (photo,)).words.sending
    assert "photos" not in Submission("t", ()).words.sending and "Reconstruct" not in Submission("t", ()).words.again
