"""``batch.json`` and ``batch.html``: what they say, and that no name breaks them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from backend.batch.command import only_batch_in
from backend.batch.manifest import read_manifest
from backend.batch.records import Outcome, Stamp
from backend.batch.report import BatchTable
from backend.errors import LikenessError

NASTY = "a'b & #1 %20 ünï"


def table_of(folder: Path, *names: str) -> BatchTable:
    path = folder / "people & co.jsonl"
    lines = [json.dumps({"name": name, "folder": "x"}) for name in names] + ['{"name": "<script>", "folder": "x"}']
    path.write_text("\n".join(lines))
    return BatchTable(path, read_manifest(path), folder, Stamp("code", "models", ("numpy 1.26.4",)), 2)


class Page(HTMLParser):
    """Links, pictures, tags and words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [values[attribute] or "" for name, values in self.tags if name == tag and attribute in values]


def test_the_table_tells_all_and_stays_whole(tmp_path: Path) -> None:
    table = table_of(tmp_path, NASTY, "bo", "carl", "dora")
    table.write("running")
    assert Page((tmp_path / "batch.html").read_text("utf-8")).all("meta", "http-equiv") == ["refresh"]
    (tmp_path / NASTY).mkdir()
    (tmp_path / NASTY / "preview.png").write_bytes(b"picture")
    table.add(Outcome(name=NASTY, status="done", seconds=3.25, photos_given=5, photos_used=4, peak_rss_mb=1500.0))
    table.add(Outcome(name="bo", status="failed", code="no_face", reason="<b>No face</b>", advice="Give others."))
    table.add(Outcome(name="carl", status="kept", seconds=2.0))
    table.write("stopped")

    file = json.loads((tmp_path / "batch.json").read_text("utf-8"))
    assert file["state"] == "stopped" and file["worker_peak_mb"] == 1500.0
    assert file["counts"] == {"done": 1, "failed": 2, "kept": 1, "waiting": 1}
    assert [row["line"] for row in file["people"]] == [1, 2, 3, 4, 5]
    assert file["people"][4]["status"] == "failed" and "leave these out" in file["people"][4]["reason"]

    page = Page((tmp_path / "batch.html").read_text("utf-8"))
    assert {"script", "b"}.isdisjoint({tag for tag, _ in page.tags})
    assert "<b>No face</b> Give others." in page.words and NASTY in page.words and "<script>" in page.words
    pictures = page.all("img", "src")
    assert (tmp_path / unquote(pictures[0])).read_bytes() == b"picture"
    assert not any(":" in link or link.startswith("/") for link in [*pictures, *page.all("a", "href")])
    assert page.all("meta", "http-equiv") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["batch.html", "batch.json", "people & co.jsonl", NASTY]
    )


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path) -> None:
    table = table_of(tmp_path, "anna")
    (tmp_path / "batch.json").mkdir()
    with pytest.raises(LikenessError) as problem:
        table.write("running")
    assert problem.value.code == "disk"


def test_one_batch_at_a_time_in_a_folder(tmp_path: Path) -> None:
    with only_batch_in(tmp_path / "new"):
        with pytest.raises(LikenessError, match="Another batch") as problem, only_batch_in(tmp_path / "new"):
            pass
        assert problem.value.code == "in_use"
    with only_batch_in(tmp_path / "new"):
        pass
