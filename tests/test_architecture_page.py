"""The architecture page tells a newcomer where things are: what it names must be there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
TOP = ("backend", "trainer", "blender_addon", "tests", "benchmarks", "assets", "docs")


def named_paths(text: str) -> list[str]:
    """What stands in backticks and begins with a folder of the repository."""
    return [word for word in re.findall(r"`([^`\s]+)`", text) if word.split("/")[0] in TOP]


def test_every_path_on_the_page_is_there() -> None:
    names = named_paths(PAGE)
    assert len(names) > 20
    assert [name for name in names if not list(ROOT.glob(name.rstrip("/")))] == []


def test_no_page_names_a_file_that_is_gone() -> None:
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "assets").rglob("*.md"),
    ]
    gone = []
    names = {path.name for top in (*TOP, "tools", "protocol", ".ci") for path in (ROOT / top).rglob("*.py")}
    for page in pages:
        if page.is_relative_to(ROOT / "docs"):
            files = re.findall(r"`(?:[\w.]+/)*(\w+\.py)", page.read_text("utf-8"))
            gone += [f"{page.relative_to(ROOT)}: {name}" for name in sorted(set(files) - names)]
        for name in named_paths(page.read_text("utf-8")):
            path = re.sub(r"(::|:\d).*", "", name).rstrip("/.")
            if re.search(r"[<>{}$]|\.\.\.|RECIPE|N\b", path):
                continue  # a pattern, not a file
            if page.name != "training_log.md" and not list(ROOT.glob(path)):
                gone.append(f"{page.relative_to(ROOT)}: {name}")
    assert gone == []
