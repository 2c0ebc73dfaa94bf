"""How the command line tells the pipeline which networks take part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backend import pipeline
from backend.__main__ import main
from backend.errors import EXIT_CODES, LikenessError
from backend.models.registry import open_models


def test_a_model_that_was_switched_off_is_not_called_untrained() -> None:
    said = open_models({"lap", "landmarks"}).to_report()
    assert said["lap"] == said["landmarks"] == "not used"
    assert said["graph_face"] == "not used" and len(said["learned_basis"]) == 12


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list]]:
    """Runs ``reconstruct`` with these flags: its exit code, and the options that reach the pipeline, which finds
    nobody."""

    def run(*flags: str) -> tuple[int, list[pipeline.ReconstructOptions]]:
        found: list[pipeline.ReconstructOptions] = []

        def reconstruct(sources, options, watch, output):
            found.append(options)
            raise LikenessError("no_face", "There is nobody.", "Take another photo.")

        monkeypatch.setattr(pipeline, "reconstruct", reconstruct)
        (tmp_path / "photo.jpg").write_bytes(b"")
        return main(["reconstruct", str(tmp_path / "photo.jpg"), "--out", str(tmp_path / "out"), *flags]), found

    return run


@pytest.mark.parametrize(
    ("flags", "option", "usual", "wanted"),
    [
        ("--no-learned-basis", lambda told: "learned_basis" in told.without, False, True),
        ("--personalise", lambda told: told.personalise, False, True),
        ("--no-facial-hair", lambda told: told.facial_hair, True, False),
        ("--no-landmark-net", lambda told: told.collect_options().surface, True, False),
        ("--face-model graph", lambda told: told.face_model, "linear", "graph"),
        ("--face-model graph", lambda told: told.requested_models(), set(), {"graph_face", "graph_albedo"}),
        ("--hair-style=crew", lambda told: told.to_report()["hair_style"], "auto", "crew"),
        ("--symmetry 0.75", lambda told: told.to_report()["symmetry"], 0.0, 0.75),
        ("--average 1", lambda told: told.average, 0.5, 1.0),
    ],
)
def test_flags_reach_the_pipeline(
    ask: Callable, flags: str, option: Callable[[pipeline.ReconstructOptions], object], usual: object, wanted: object
) -> None:
    for given, value in ((), usual), (flags.split(), wanted):
        code, (told,) = ask(*given)
        assert code == EXIT_CODES["no_face"] and option(told) == value


@pytest.mark.parametrize("wrong", ["1.5", "-0.1", "nan", "much"])
def test_a_wish_out_of_range_is_refused(ask: Callable, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        ask(f"--symmetry={wrong}")
    assert caught.value.code == EXIT_CODES["usage"] and "--symmetry" in capsys.readouterr().err


def test_what_only_the_linear_model_can_is_said(ask: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = ask("--personalise", "--face-model", "graph")
    assert code == EXIT_CODES["usage"] and "Only the linear face model is personalised" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"face_model": "cubic"}, "Unknown face model"),
        ({"hair_style": "mohawk"}, "Unknown hairstyle"),
        ({"average": 1.5}, "from 0 to 1"),
        ({"average": float("nan")}, "from 0 to 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict, said: str) -> None:
    with pytest.raises(LikenessError, match=said):
        pipeline.ReconstructOptions(**options)
