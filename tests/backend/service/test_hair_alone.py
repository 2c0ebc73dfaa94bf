"""A job for the hair or the texture alone makes it of the last head of the same photos, or says that it is gone."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backend.errors import LikenessError
from backend.exchange.buffers import WireMessage
from backend.photos.corrections import CorrectedPoint, PhotoCorrections
from backend.pipeline import ReconstructOptions
from backend.service import job_runner
from backend.service.messages import JobOptions, Limits, ProtocolError, decode
from backend.service.worker import Task
from blender_addon.protocol.result import decode_result


def test_it_is_asked_for() -> None:
    header = {"type": "submit", "token": "t", "photos": [{"name": "a.jpg", "bytes": 1}]}
    for name in ("hair_only", "texture_only"):
        for options, wanted in (({}, False), ({name: True}, True)):
            message = decode(json.dumps(header | {"options": options}).encode(), [memoryview(b"1")], Limits())
            assert getattr(message.options, name) is wanted
        with pytest.raises(ProtocolError):
            decode(json.dumps(header | {"options": {name: "yes"}}).encode(), [memoryview(b"1")], Limits())


def test_what_a_photo_paints_is_checked() -> None:
    photos = [{"name": name, "bytes": 1} for name in ("a.jpg", "b.jpg")]

    def told(*corrections: dict[str, Any]) -> Any:
        header = {"type": "submit", "token": "t", "photos": photos, "options": {"corrections": corrections}}
        return decode(json.dumps(header).encode(), [memoryview(b"1")] * 2, Limits()).options.corrections

    (one,) = told({"name": "a.jpg", "paints": ["nose", "left ear"], "brush": "/wAA"})
    assert one.paints == ("nose", "left ear") and one.brush == b"\xff\0\0"
    for wrong, said in (
        ([{"name": "a.jpg", "paints": ["tail"]}], "tail"),
        ([{"name": "a.jpg", "brush": "?"}], "base64"),
        ([{"name": "a.jpg", "paints": ["nose"]}, {"name": "b.jpg", "paints": ["nose"]}], "Two photos paint"),
    ):
        with pytest.raises(ProtocolError, match=said):
            told(*wrong)


def test_a_texture_outlives_another_shape_and_other_hair() -> None:
    kept, options = job_runner._KeptHead(), ReconstructOptions(texture_size=1024)
    head: Any = SimpleNamespace(look=None, layers=object())
    kept.keep("photos", options, head)
    painted = PhotoCorrections("a.jpg", paints=("nose",), points=(CorrectedPoint(1, 2.0, 3.0),))
    for same in ({"hair_style": "bob"}, {"make_up": 1.0}, {"average": 0.9}, {"corrections": (painted,)}):
        assert kept.painted("photos", replace(options, **same)) is head
    left_out = (PhotoCorrections("a.jpg", use="shape"),)
    for key, other in (
        ("more", options),
        ("photos", replace(options, texture_size=2048)),
        ("photos", replace(options, corrections=left_out)),
    ):
        with pytest.raises(LikenessError, match="does not have this head's texture"):
            kept.painted(key, other)
    bare: Any = SimpleNamespace(look=None, layers=None)
    kept.keep("photos", options, bare)
    with pytest.raises(LikenessError, match="too large"):
        kept.painted("photos", options)
    kept._forget(bare)


def test_only_the_same_head_with_other_hair_is_kept() -> None:
    kept, options = job_runner._KeptHead(), ReconstructOptions(average=0.7)
    head: Any = SimpleNamespace()
    kept.keep("photos", options, head)
    painted = {"corrections": (PhotoCorrections("a.jpg", paints=("nose",)),), "make_up": 0.5, "mirror": "left"}
    for same in ({"hair_style": "bob"}, {"hair": "cards"}, {"look": "a.jpg"}, painted):
        assert kept.of("photos", replace(ReconstructOptions(average=0.7), **same)) is head
    for key, other in (
        ("more", options),
        ("photos", replace(options, average=0.5)),
    ):
        with pytest.raises(LikenessError, match="Solve the head again"):
            kept.of(key, other)
    kept._forget(SimpleNamespace())  # the timer of an earlier head, which waited for the lock
    assert kept.of("photos", options) is head
    kept._forget(head)
    with pytest.raises(LikenessError, match="Solve the head again"):
        kept.of("photos", options)


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
        task = Task(job="0" * 32, token="t", kind="submit", options=told, names=names, paths=places, result="")
        message = job_runner.run(task, Quiet())
        header = {"type": "result", "job": "0" * 32, "token": "t", **message.header}
        return decode_result(json.loads(json.dumps(header)), message.buffers)

    whole = made()
    began = time.process_time()
    again = made(hair_style="afro", hair_only=True)
    seconds = time.process_time() - began
    print(f"{seconds:.2f} s")
    assert seconds < 2.0
    assert again.geometry_only and again.hair.style == "afro" and again.report["hair"]["style"] == "afro"
    assert again.hair.points.shape != whole.hair.points.shape
    for one, other in zip(whole.parts, again.parts, strict=True):
        assert (one.vertices == other.vertices).all() and (one.keys == other.keys).all()
    began = time.process_time()
    painted = (PhotoCorrections(names[1], paints=("nose",)),)
    nose = made(texture_only=True, corrections=painted)
    seconds = time.process_time() - began
    print(f"{seconds:.2f} s")
    assert seconds < 2.0
    assert nose.texture_only and not again.texture_only and nose.albedo_png != whole.albedo_png
    assert made(texture_only=True).albedo_png == whole.albedo_png
    with pytest.raises(LikenessError, match="takes no part"):
        made(texture_only=True, corrections=(PhotoCorrections("gone.jpg", paints=("nose",)),))
    leader = whole.report["hair"]["look"]["leader"]
    (other,) = set(names) - {leader}
    from_other = made(hair_only=True, look=other)
    assert from_other.report["hair"]["look"]["leader"] == other
    with pytest.raises(LikenessError, match="gone"):
        made(hair_only=True, look="gone.jpg")
    by_photos = made(hair_only=True)
    assert (by_photos.hair.points == whole.hair.points).all() and (
        by_photos.hair.root_colour == whole.hair.root_colour
    ).all()
    assert made(hair_style="shaved", hair_only=True).hair is None
    solved = made(corrections=painted)  # last, because it is kept in the first one's place
    assert solved.albedo_png == nose.albedo_png
