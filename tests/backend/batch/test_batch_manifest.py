"""Manifests as people write them, and the table that a batch leaves."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.batch.command import run_batch
from backend.batch.manifest import PersonOptions, read_manifest
from backend.batch.records import Outcome
from backend.batch.report import BatchTable
from backend.command_line.parser import build_parser
from backend.errors import LikenessError
from backend.exchange.all_or_none import OutputFolder
from backend.models.registry import Stamp

WRONG_LINES = (
    ('{"name": "a/b", "folder": "x"}', "slash"),
    ('{"name": "..", "folder": "x"}', "dot"),
    ('{"name": "nul.txt", "folder": "x"}', "taken"),
    ('{"name": "Batch.HTML", "folder": "x"}', "taken"),
    ('{"name": "line\\nbreak", "folder": "x"}', "control character"),
    ('{"name": "\\ud800", "folder": "x"}', "JSON|control"),
    ('{"name": "' + "n" * 201 + '", "folder": "x"}', "200"),
    ('{"name": "ANNA", "folder": "x"}', "line 1"),
    ('{"folder": "x"}', "required field `name`"),
    ('{"name": 7, "folder": "x"}', "$.name"),
    ('{"name": "b"}', "photos or a folder"),
    ('{"name": "b", "photos": ["x"], "folder": "x"}', "one of the two"),
    ('{"name": "b", "photos": []}', "$.photos"),
    ('{"name": "b", "photos": ["x\\u0000y"]}', "matching"),
    ('{"name": "b", "folder": "x", "quality": "superb"}', "superb"),
    ('{"name": "b", "folder": "x", "texture": "1024"}', "$.texture"),
    ('{"name": "b", "folder": "x", "symmetry": 1.5}', "symmetry"),
    ('{"name": "b", "folder": "x", "bust": 1}', "bust"),
    ('{"name": "b", "folder": "x", "corrections": ""}', "$.corrections"),
    ('{"name": "b", "folder": "x", "colour": 1}', "colour"),
    ("[1, 2]", "no JSON object"),
    ('{"name": "b"', "no JSON"),
    ("[" * 100_000, "no JSON"),
)
NASTY = "a'b & #1 %20 ünï"


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding)
    return path


def test_a_table_with_photos_folders_and_options(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "people.csv",
        "name,photos,folder,quality,texture,personalise,bust,symmetry,average,corrections\n"
        'Anna,a/1.jpg|a/2.jpg,,fast,1024,yes,yes,1,0.25,a/it.json\n"Müller, Zoë",,z,,,,,,,\n\n,,,,,,,,,,,\n',
        "utf-8-sig",
    )
    manifest = read_manifest(path, PersonOptions(quality="best"))
    anna, zoe = manifest.people
    assert manifest.bad_lines == ()
    assert anna.sources == (str(tmp_path / "a/1.jpg"), str(tmp_path / "a/2.jpg"))
    assert anna.options == PersonOptions(
        quality="fast", texture_size=1024, personalise=True, bust=True, symmetry=1.0, average=0.25
    )
    assert (anna.corrections, zoe.corrections) == (str(tmp_path / "a/it.json"), None)
    assert (zoe.name, zoe.line, zoe.sources) == ("Müller, Zoë", 3, (str(tmp_path / "z"),))
    assert zoe.options == PersonOptions(quality="best")


def test_json_lines_say_the_same_as_a_table(tmp_path: Path) -> None:
    table = write(
        tmp_path, "p.csv", "name;photos;lap;bust;symmetry;corrections\nAnna;a.jpg|../b.jpg;no;yes;0.5;c.json\n"
    )
    lines = write(
        tmp_path,
        "p.jsonl",
        '\n{"name": "Anna", "photos": ["a.jpg", "../b.jpg"], "lap": false,'
        ' "bust": true, "symmetry": 0.5, "corrections": "c.json"}\n',
    )
    one, other = read_manifest(table).people[0], read_manifest(lines).people[0]
    assert one == msgspec.structs.replace(other, line=one.line)
    assert one.options.bust and one.options.symmetry == 0.5
    assert one.sources[1] == str(tmp_path.parent / "b.jpg")


@pytest.mark.parametrize(("line", "words"), WRONG_LINES)
def test_a_bad_line_gets_a_sentence_and_the_others_go_on(tmp_path: Path, line: str, words: str) -> None:
    good = '{"name": "anna", "folder": "a"}\n'
    manifest = read_manifest(write(tmp_path, "p.jsonl", good + line + '\n{"name": "carl", "folder": "c"}\n'))
    assert [person.name for person in manifest.people] == ["anna", "carl"]
    (bad,) = manifest.bad_lines
    assert bad.line == 2
    assert any(word in bad.sentence for word in words.split("|")), bad.sentence


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.txt", "name\n", ".csv"),
        ("p.csv", "name,colour\nx,y\n", "colour"),
        ("p.csv", "anna,photo.jpg\n", "first line"),
        ("p.csv", "", "first line"),
        ("p.csv", "name,folder\n", "nobody"),
        ("p.jsonl", "\n \n", "nobody"),
    ],
)
def test_what_is_no_manifest_at_all(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(LikenessError, match=words) as problem:
        read_manifest(write(tmp_path, name, text))
    assert problem.value.code == "usage"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"name,folder\n\xff\xfe,x\n")
    for path, words in (
        (tmp_path / "none.csv", "no manifest"),
        (tmp_path, "names nobody"),
        (tmp_path / "bytes.csv", "UTF-8"),
    ):
        with pytest.raises(LikenessError, match=words):
            read_manifest(path)


def test_a_folder_of_folders_is_a_manifest(tmp_path: Path) -> None:
    """The people are those that *Many People* in Blender lists."""
    for name, photo in (("b2", "1.jpg"), ("b10", "1.png"), ("empty", "notes.txt"), (".hidden", "1.jpg")):
        (tmp_path / name).mkdir()
        (tmp_path / name / photo).write_bytes(b"x")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    manifest = read_manifest(tmp_path, PersonOptions(quality="fast"))
    assert [(person.name, person.sources) for person in manifest.people] == [
        (name, (str(tmp_path / name),)) for name in ("b2", "b10")
    ]
    assert manifest.bad_lines == () and manifest.people[0].options.quality == "fast"


def test_a_quotation_mark_that_is_not_closed_is_told(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, "p.csv", 'name,folder\nanna,a\n"bo,b\ncarl,c\n'))
    assert [person.name for person in manifest.people] == ["anna"]
    assert manifest.bad_lines[0].line == 3 and "quotation mark" in manifest.bad_lines[0].sentence


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8))
def test_whatever_the_names_every_line_is_a_person_or_bad(names: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        lines = "".join(json.dumps({"name": name, "folder": "x"}) + "\n" for name in names)
        manifest = read_manifest(write(Path(folder), "p.jsonl", lines))
        assert len(manifest.people) + len(manifest.bad_lines) == len(names)
        for person in manifest.people:
            head = Path(folder) / person.name
            assert head.parent == Path(folder)
            head.mkdir()
        assert len(list(Path(folder).iterdir())) == 1 + len(manifest.people)


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
    table.add(Outcome(name=NASTY, line=1, folder=NASTY, status="done", seconds=3.25, peak_rss_mb=1500.0))
    table.add(Outcome(name="bo", line=2, status="failed", code="no_face", reason="<b>No face</b>", advice="Give more."))
    table.add(Outcome(name="carl", line=3, status="kept", seconds=2.0))
    table.write("stopped")

    file = json.loads((tmp_path / "batch.json").read_text("utf-8"))
    assert file["state"] == "stopped" and file["worker_peak_mb"] == 1500.0
    assert file["counts"] == {"done": 1, "failed": 2, "kept": 1, "waiting": 1}
    assert [row["line"] for row in file["people"]] == [1, 2, 3, 4, 5]
    assert file["people"][4]["status"] == "failed" and "leave these out" in file["people"][4]["reason"]

    page = Page((tmp_path / "batch.html").read_text("utf-8"))
    assert {"script", "b"}.isdisjoint({tag for tag, _ in page.tags})
    assert "<b>No face</b> Give more." in page.words and NASTY in page.words and "<script>" in page.words
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
    (tmp_path / "p.jsonl").write_text('{"name": "a", "folder": "x"}')
    arguments = build_parser().parse_args(["batch", str(tmp_path / "p.jsonl"), "--out", str(tmp_path / "new")])
    with OutputFolder(tmp_path / "new"), pytest.raises(LikenessError, match="Another run") as problem:
        run_batch(arguments)
    assert problem.value.code == "in_use" and not (tmp_path / "new").exists()
