"""Commands for render farms: quoted for a shell, idempotent, and what Flamenco's job type makes of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from backend.batch.command import commands
from backend.batch.manifest import Person, PersonOptions, read_manifest
from backend.command_line.parser import build_parser

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("anna", "$(touch pwned)", "two  words 'quoted' `x`", "-rf", "ünï&;")


def lines_for(folder: Path, defaults: PersonOptions, *more: str) -> list[str]:
    manifest = folder / "the people.jsonl"
    manifest.write_text("".join(json.dumps({"name": name, "folder": "x"}) + "\n" for name in NAMES))
    read = read_manifest(manifest, defaults)
    assert read.bad_lines == ()
    return list(commands(manifest, read.people, folder / "out $x", defaults, more))


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_a_shell_gives_each_command_the_arguments_that_were_meant(tmp_path: Path) -> None:
    defaults = PersonOptions(
        quality="fast", texture_size=1024, lap=False, personalise=True, bust=True, symmetry=0.3, average=1.0
    )
    lines = lines_for(tmp_path, defaults, "--device", "cuda")
    assert len(lines) == len(NAMES)
    for line, name in zip(lines, NAMES, strict=True):
        assert "\n" not in line
        shown = subprocess.run(
            ["sh", "-c", f'set -- {line}; printf "%s\\0" "$@"'], capture_output=True, cwd=tmp_path, check=True
        )
        words = shown.stdout.decode().split("\0")[:-1]
        assert words[:4] == [sys.executable, "-m", "backend", "batch"]
        arguments = build_parser().parse_args(words[3:])
        assert arguments.manifest == tmp_path / "the people.jsonl" and arguments.out == tmp_path / "out $x"
        assert (arguments.only, arguments.device) == (name, "cuda")
        assert (arguments.quality, arguments.texture_size, arguments.lap, arguments.personalise) == (
            "fast",
            1024,
            False,
            True,
        )
        assert (arguments.bust, arguments.symmetry, arguments.average) == (True, 0.3, 1.0)
        assert arguments.landmark_net
    assert sorted(os.listdir(tmp_path)) == ["the people.jsonl"]


def test_a_batch_has_the_choices_of_reconstruct() -> None:
    """Photos, folder and device are of the batch; corrections, which name photos, and a mesh are of a person alone."""
    parser = build_parser()
    of_one = vars(parser.parse_args(["reconstruct", "photo.jpg", "--out", "x"]))
    of_many = vars(parser.parse_args(["batch", "people.csv", "--out", "x"]))
    usual = msgspec.structs.asdict(PersonOptions())
    assert set(of_one) - set(usual) == {"command", "photos", "out", "device", "traceback", "corrections", "mesh"}
    assert usual == {name: of_one[name] for name in usual} == {name: of_many[name] for name in usual}
    assert "corrections" in Person.__struct_fields__


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_flamenco_compiles_a_job_into_commands_that_we_understand(tmp_path: Path) -> None:
    settings = {
        "python": "python3",
        "manifest": "/farm share/people.csv",
        "out": "/farm share/heads",
        "people": "1-7,9",
        "chunk_size": 3,
        "options": "--quality fast --texture 1024",
    }
    runner = Path(__file__).with_name("run_flamenco_script.js")
    script = ROOT / "docs" / "farm" / "likeness_heads.js"
    ran = subprocess.run(
        ["node", str(runner), str(script), json.dumps(settings)], capture_output=True, text=True, check=True
    )
    compiled = json.loads(ran.stdout)
    kinds = {setting["key"]: setting["type"] for setting in compiled["type"]["settings"]}
    assert set(settings) <= set(kinds) and set(kinds.values()) <= {"string", "int32", "bool"}
    tasks = compiled["tasks"]
    assert [task["name"] for task in tasks] == ["heads-1-3", "heads-4-6", "heads-7,9", "table"]
    for task, numbers in zip(tasks[:3], ([1, 2, 3], [4, 5, 6], [7, 9]), strict=True):
        (command,) = task["commands"]
        assert command["name"] == "exec" and command["parameters"]["exe"] == "python3"
        arguments = build_parser().parse_args(command["parameters"]["args"][2:])
        assert str(arguments.manifest) == settings["manifest"] and str(arguments.out) == settings["out"]
        assert [number for numbers in arguments.people for number in numbers] == numbers
        assert (arguments.quality, arguments.texture_size) == ("fast", 1024)
    last = build_parser().parse_args(tasks[3]["commands"][0]["parameters"]["args"][2:])
    assert last.workers == 1 and last.people is None
    assert tasks[3]["dependencies"] == ["heads-1-3", "heads-4-6", "heads-7,9"]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize("wrong", [{"people": ""}, {"manifest": ""}, {"chunk_size": 0}])
def test_flamenco_refuses_a_job_that_cannot_work(tmp_path: Path, wrong: dict[str, object]) -> None:
    settings = {
        "python": "p",
        "manifest": "m.csv",
        "out": "o",
        "people": "1-2",
        "chunk_size": 1,
        "options": "",
        **wrong,
    }
    runner = Path(__file__).with_name("run_flamenco_script.js")
    script = ROOT / "docs" / "farm" / "likeness_heads.js"
    ran = subprocess.run(["node", str(runner), str(script), json.dumps(settings)], capture_output=True, text=True)
    assert ran.returncode != 0 and ran.stderr
