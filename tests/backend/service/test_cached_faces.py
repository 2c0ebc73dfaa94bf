"""The last job's faces: there for the same photos, gone for others and after a while."""

from __future__ import annotations

import time

import pytest
from plain_photo import plain_photo

from backend.photos.collect import CollectOptions
from backend.photos.collection import PhotoCollection
from backend.photos.formats import PhotoSource
from backend.service import job_runner


def test_only_the_same_photos_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def collect(sources, *, progress, options) -> PhotoCollection:
        read.append([source.name for source in sources])
        return PhotoCollection((plain_photo((8, 8)),))

    monkeypatch.setattr(job_runner, "collect", collect)
    faces, options = job_runner.CachedFaces(idle_seconds=0.3), CollectOptions()
    photos = [PhotoSource("a", data=b"1"), PhotoSource("b", data=b"2")]
    first = faces.read(photos, options=options)
    assert faces.read([PhotoSource("a", data=b"1"), PhotoSource("b", data=b"2")], options=options) is first
    assert read == [["a", "b"]]
    faces.read([PhotoSource("a", data=b"1"), PhotoSource("b", data=b"3")], options=options)
    faces.read([PhotoSource("a", data=b"1"), PhotoSource("b", data=b"3")], options=CollectOptions(surface=False))
    assert len(read) == 3 and faces.kept.value and faces.fit is None
    faces.keep_fit(fit := object())
    assert faces.fit is fit
    faces.token = "drag"
    faces.read([PhotoSource("a", data=b"1"), PhotoSource("b", data=b"3")], options=CollectOptions(surface=False))
    assert len(read) == 3 and faces.fit is fit
    faces.kept.forget("another")
    assert faces.fit is fit
    end = time.monotonic() + 10
    while faces.kept.value and time.monotonic() < end:
        time.sleep(0.05)
    assert not faces.kept.value and faces.fit is None  # which holds the photos, too
    faces.read(photos, options=options)
    faces.kept.forget("drag")
    assert not faces.kept.value


def test_more_than_fits_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_runner, "collect", lambda *_, **__: PhotoCollection((plain_photo((8, 8)),)))
    monkeypatch.setattr(job_runner, "MOST_BYTES", 100)
    faces = job_runner.CachedFaces()
    faces.read([PhotoSource("a", data=b"1")], options=CollectOptions())
    faces.keep_fit(object())
    assert not faces.kept.value and faces.fit is None
