"""Corrections in a ``submit``: taken as they are, or refused at once with a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.photos.corrections import CorrectedPoint, PhotoCorrections
from backend.service.messages import Limits, ProtocolError, Submit, decode


def submit(*corrections: dict[str, Any]) -> Submit:
    photos = [{"name": "a.jpg", "bytes": 1}, {"name": "b.jpg", "bytes": 1}]
    header = {"type": "submit", "token": "t", "photos": photos, "options": {"corrections": corrections}}
    message = decode(json.dumps(header).encode(), [memoryview(b"1"), memoryview(b"2")], Limits())
    assert isinstance(message, Submit)
    return message


def test_they_arrive() -> None:
    message = submit({"name": "b.jpg", "use": "shape", "points": [[152, 1.5, 2]]})
    assert message.options.corrections == (PhotoCorrections("b.jpg", "shape", (CorrectedPoint(152, 1.5, 2.0),)),)
    assert submit().options.corrections == ()


def test_geometry_alone_is_asked_for() -> None:
    photos = [{"name": "a.jpg", "bytes": 1}]
    for wanted in ("geometry", ""):
        header = {"type": "submit", "token": "t", "photos": photos, "options": {"only": wanted}}
        assert decode(json.dumps(header).encode(), [memoryview(b"1")], Limits()).options.only == wanted
    assert submit().options.only == ""


def told(**options: object) -> Submit:
    header = {"type": "submit", "token": "t", "photos": [{"name": "a.jpg", "bytes": 1}], "options": options}
    return decode(json.dumps(header).encode(), [memoryview(b"1")], Limits())


def test_wishes_arrive_and_are_in_range() -> None:
    options = told(symmetry=1, average=0.25).options
    assert (options.symmetry, options.average) == (1.0, 0.25)
    assert (told().options.symmetry, told().options.average) == (0.0, 0.5)
    for wrong in ({"symmetry": 1.01}, {"symmetry": -0.1}, {"average": 2}, {"average": "0.5"}, {"average": None}):
        with pytest.raises(ProtocolError) as caught:
            told(**wrong)
        assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("corrections", "code"),
    [
        ([{"name": "c.jpg"}], "usage"),
        ([{"name": "a.jpg", "use": "neither"}, {"name": "b.jpg", "use": "neither"}], "usage"),
        ([{"name": "a.jpg", "points": [[1, 1, 1], [1, 2, 2]]}], "usage"),
        ([{"name": "a.jpg", "points": [[-1, 1, 1]]}], "malformed"),
        ([{"name": "a.jpg", "points": [[489, 1, 1]]}], "malformed"),
        ([{"name": "a.jpg", "points": [[1, 1e9, 1]]}], "malformed"),
        ([{"name": "a.jpg", "points": [[1, 1]]}], "malformed"),
        ([{"name": "a.jpg", "use": "hair"}], "malformed"),
        ([{"name": "a.jpg", "more": 1}], "malformed"),
    ],
)
def test_what_does_not_fit_is_refused(corrections: list[dict[str, Any]], code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        submit(*corrections)
    assert (
        caught.value.code == code and caught.value.sentence and caught.value.token == ("t" if code == "usage" else None)
    )


def test_more_points_than_fit_into_a_header_are_refused() -> None:
    many = [[landmark, 1, 1] for landmark in range(478)]
    with pytest.raises(ProtocolError, match="1500 points"):
        photos = [{"name": f"{number}", "bytes": 1} for number in range(4)]
        options = {"corrections": [{"name": photo["name"], "points": many} for photo in photos]}
        header = {"type": "submit", "token": "t", "photos": photos, "options": options}
        decode(json.dumps(header).encode(), [memoryview(b"1")] * 4, Limits())
