"""A job for the hair alone grows it from the last head of the same photos and options, or says that it is gone."""

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
from backend.pipeline import ReconstructOptions
from backend.service import job_runner
from backend.service.messages import JobOptions, Limits, ProtocolError, decode
from backend.service.worker import Task
from blender_addon.protocol.result import decode_result


def test_it_is_asked_for() -> None:
    header = {"type": "submit", "token": "t", "photos": [{"name": "a.jpg", "bytes": 1}]}
    for options, wanted in (({}, False), ({"hair_only": True}, True)):
        message = decode(json.dumps(header | {"options": options}).encode(), [memoryview(b"1")], Limits())
        assert message.options.hair_only is wanted
    with pytest.raises(ProtocolError):
        decode(json.dumps(header | {"options": {"hair_only": "yes"}}).encode(), [memoryview(b"1")], Limits())


def test_only_the_same_head_with_other_hair_is_kept() -> None:
    kept, options = job_runner._KeptHead(), ReconstructOptions(average=0.7)
    head: Any = SimpleNamespace(look=SimpleNamespace(look=SimpleNamespace(leader="b.jpg")))
    kept.keep("photos", options, head)
    for same in ({"hair_style": "bob"}, {"hair": "cards"}, {"look": "b.jpg"}):
        assert kept.of("photos", replace(ReconstructOptions(average=0.7), **same)) is head
    for key, other in (
        ("more", options),
        ("photos", replace(options, average=0.5)),
        ("photos", replace(options, look="a.jpg")),
    ):
        with pytest.raises(LikenessError, match="Solve the head again"):
            kept.of(key, other)
    kept._forget()
    with pytest.raises(LikenessError, match="Solve the head again"):
        kept.of("photos", options)


@pytest.mark.photos
@pytest.mark.slow
def test_a_hairstyle_takes_two_seconds_and_nothing_else_changes(photo_dir: Path) -> None:
    paths = sorted((photo_dir / "people" / "john_simm").glob("*.jp*g"))[:2]
    if len(paths) < 2:
        pytest.skip("needs the photographs people/john_simm")
    names, places = tuple(path.name for path in paths), tuple(map(str, paths))

    class Quiet:
        def __call__(self, stage: str, share: float) -> None: ...

        def preview(self, stage: str, message: WireMessage) -> None: ...

    def made(**options: Any) -> WireMessage:
        told = JobOptions(device="cpu", quality="fast", texture_size=1024, **options)
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
    by_photos = made(hair_only=True)
    assert (by_photos.hair.points == whole.hair.points).all() and (
        by_photos.hair.root_colour == whole.hair.root_colour
    ).all()
    assert made(hair_style="shaved", hair_only=True).hair is None
