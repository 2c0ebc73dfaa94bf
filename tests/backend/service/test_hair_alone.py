"""Corrections in a job, and jobs for the hair or the texture alone of a head that is kept."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from machine_speed import times_slower

from backend.errors import LikenessError
from backend.exchange.buffers import WireMessage
from backend.photos.corrections import CorrectedPoint, PhotoCorrections
from backend.pipeline import ReconstructOptions
from backend.service import job_runner
from backend.service.messages import JobOptions, Limits, Submit, decode
from backend.service.worker import Task
from blender_addon.protocol.result import decode_result


def test_it_is_asked_for() -> None:
    """One kind at a time, of a head that is named, and without photos."""
    header = {"type": "submit", "token": "t", "photos": []}
    for only in ("hair", "texture"):
        paints = [{"name": "a.jpg", "paints": ["nose"]}]
        options = {"only": only, "head": "of", "corrections": paints}
        message = decode(json.dumps(header | {"options": options}).encode(), [], Limits())
        assert (message.options.only, message.options.head) == (only, "of")
        for wrong in ({"only": only}, {"only": [only]}, {"only": only, "hair_only": True}, {"only": "beard"}):
            with pytest.raises(LikenessError):
                decode(json.dumps(header | {"options": wrong}).encode(), [], Limits())
        photos = {"photos": [{"name": "a.jpg", "bytes": 1}], "options": options}
        with pytest.raises(LikenessError, match="without photos"):
            decode(json.dumps(header | photos).encode(), [memoryview(b"1")], Limits())
    with pytest.raises(LikenessError, match="No photo was given"):
        decode(json.dumps(header | {"options": {"only": "geometry"}}).encode(), [], Limits())


def test_what_a_photo_paints_is_checked() -> None:
    photos = [{"name": name, "bytes": 1} for name in ("a.jpg", "b.jpg")]

    def told(*corrections: dict[str, Any]) -> Any:
        header = {"type": "submit", "token": "t", "photos": photos, "options": {"corrections": corrections}}
        return decode(json.dumps(header).encode(), [memoryview(b"1")] * 2, Limits()).options.corrections

    (twice,) = told({"name": "a.jpg", "paints": ["nose", "nose"]})
    assert set(twice.paints) == {"nose"}
    (one,) = told({"name": "a.jpg", "paints": ["nose", "left ear"], "brush": "/wAA"})
    assert one.paints == ("nose", "left ear") and one.brush == b"\xff\0\0"
    for wrong, said in (
        ([{"name": "a.jpg", "paints": ["tail"]}], "tail"),
        ([{"name": "a.jpg", "brush": "?"}], "base64"),
        ([{"name": "a.jpg", "paints": ["nose"]}, {"name": "b.jpg", "paints": ["nose"]}], "Two photos paint"),
    ):
        with pytest.raises(LikenessError, match=said):
            told(*wrong)


def test_the_head_of_the_named_job_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heads of the same photos are two; a forgotten one is none."""
    kept: Any = job_runner.Kept(60.0)
    monkeypatch.setattr(job_runner, "_kept_head", kept)
    head: Any = SimpleNamespace()
    kept.keep(head, "first")
    assert job_runner._head_of("first") is head
    with pytest.raises(LikenessError, match="does not have this head any more"):
        job_runner._head_of("second")
    job_runner.forget("second")
    assert job_runner._head_of("first") is head
    job_runner.forget("first")
    with pytest.raises(LikenessError, match="Solve the head again"):
        job_runner._head_of("first")
    kept.keep(head, "third")
    job_runner.forget(None)
    assert kept.value is None


def test_a_texture_too_large_to_keep_says_so() -> None:
    fields = {field.name: None for field in dataclasses.fields(job_runner.GrownHead)}
    with pytest.raises(LikenessError, match="too large"):
        job_runner.GrownHead(**fields).with_texture(ReconstructOptions())


@pytest.mark.photos
@pytest.mark.slow
def test_hairstyle_and_texture_take_two_seconds_and_nothing_else_changes(photo_dir: Path) -> None:
    paths = sorted((photo_dir / "people" / "john_simm").glob("*.jp*g"))[:2]
    if len(paths) < 2:
        pytest.skip("needs the photographs people/john_simm")
    names, places = tuple(path.name for path in paths), tuple(map(str, paths))

    class Quiet:
        def __call__(self, stage: str, share: float) -> None: ...

        def preview(self, stage: str, message: WireMessage) -> None: ...

    def made(**options: Any) -> WireMessage:
        told = JobOptions(device="cpu", quality="fast", texture_size=2048, **options)
        given = {"names": (), "paths": ()} if told.head else {"names": names, "paths": places}
        task = Task(token="t", kind="submit", options=told, result="", **given)
        message = job_runner.run(task, Quiet())
        header = {"type": "result", "token": "t", **message.header}
        return decode_result(json.loads(json.dumps(header)), message.buffers)

    whole = made()
    began = time.process_time()
    again = made(hair_style="afro", only="hair", head="t")
    seconds = time.process_time() - began
    assert seconds < 2.0 * times_slower()
    assert again.geometry_only and again.report["hair"]["style"] == "afro"
    assert again.hair.points.shape != whole.hair.points.shape
    for one, other in zip(whole.parts, again.parts, strict=True):
        assert (one.vertices == other.vertices).all() and (one.keys == other.keys).all()
    began = time.process_time()
    painted = (PhotoCorrections(names[1], paints=("nose",)),)
    nose = made(only="texture", head="t", corrections=painted)
    seconds = time.process_time() - began
    assert seconds < 2.0 * times_slower()
    assert (nose.only, again.only, whole.only) == ("texture", "hair", "") and nose.albedo_png != whole.albedo_png
    assert made(only="texture", head="t").albedo_png == whole.albedo_png
    with pytest.raises(LikenessError, match="takes no part"):
        made(only="texture", head="t", corrections=(PhotoCorrections("gone.jpg", paints=("nose",)),))
    leader = whole.report["hair"]["look"]["leader"]
    (other,) = set(names) - {leader}
    from_other = made(only="hair", head="t", look=other)
    assert from_other.report["hair"]["look"]["leader"] == other
    with pytest.raises(LikenessError, match="gone"):
        made(only="hair", head="t", look="gone.jpg")
    by_photos = made(only="hair", head="t")
    assert (by_photos.hair.points == whole.hair.points).all() and (
        by_photos.hair.root_colour == whole.hair.root_colour
    ).all()
    assert made(hair_style="shaved", only="hair", head="t").hair is None


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
        with pytest.raises(LikenessError) as caught:
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
    with pytest.raises(LikenessError) as caught:
        submit(*corrections)
    assert caught.value.code == code and caught.value.sentence


def test_more_points_than_fit_into_a_header_are_refused() -> None:
    many = [[landmark, 1, 1] for landmark in range(478)]
    with pytest.raises(LikenessError, match="1500 points"):
        photos = [{"name": f"{number}", "bytes": 1} for number in range(4)]
        options = {"corrections": [{"name": photo["name"], "points": many} for photo in photos]}
        header = {"type": "submit", "token": "t", "photos": photos, "options": options}
        decode(json.dumps(header).encode(), [memoryview(b"1")] * 4, Limits())
