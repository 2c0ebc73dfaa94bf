"""How the command line tells the pipeline which networks take part."""

from __future__ import annotations

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
def asked(monkeypatch: pytest.MonkeyPatch) -> list[pipeline.ReconstructOptions]:
    """A pipeline that notes its options and finds nobody."""
    found: list[pipeline.ReconstructOptions] = []

    def reconstruct(sources, options, watch, output):
        found.append(options)
        raise LikenessError("no_face", "There is nobody.", "Take another photo.")

    monkeypatch.setattr(pipeline, "reconstruct", reconstruct)
    return found


@pytest.mark.parametrize(
    ("flags", "learned_basis", "personalise"),
    [([], True, False), (["--no-learned-basis"], False, False), (["--personalise"], True, True)],
)
def test_flags_reach_the_pipeline(
    asked: list, tmp_path: Path, flags: list[str], learned_basis: bool, personalise: bool
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    code = main(["reconstruct", str(photo), "--out", str(tmp_path / "out"), *flags])
    assert code == EXIT_CODES["no_face"]
    assert ("learned_basis" not in asked[0].without, asked[0].personalise) == (learned_basis, personalise)


@pytest.mark.parametrize(("flags", "wanted"), [([], True), (["--no-facial-hair"], False)])
def test_a_beard_has_strands_unless_told(asked: list, tmp_path: Path, flags: list[str], wanted: bool) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    main(["reconstruct", str(photo), "--out", str(tmp_path / "out"), *flags])
    assert asked[0].facial_hair is wanted


@pytest.mark.parametrize(("flags", "wanted"), [([], "linear"), (["--face-model", "graph"], "graph")])
def test_the_face_model_is_chosen(asked: list, tmp_path: Path, flags: list[str], wanted: str) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    main(["reconstruct", str(photo), "--out", str(tmp_path / "out"), *flags])
    assert asked[0].face_model == wanted
    assert asked[0].requested_models() == ({"graph_face", "graph_albedo"} if wanted == "graph" else set())


@pytest.mark.parametrize(("flags", "wanted"), [([], "auto"), (["--hair-style", "long curls"], "long curls")])
def test_the_hairstyle_is_chosen(asked: list, tmp_path: Path, flags: list[str], wanted: str) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    main(["reconstruct", str(photo), "--out", str(tmp_path / "out"), *flags])
    assert asked[0].hair_style == wanted and asked[0].to_report()["hair_style"] == wanted
    with pytest.raises(LikenessError, match="Unknown hairstyle"):
        pipeline.ReconstructOptions(hair_style="mohawk")


@pytest.mark.parametrize(
    ("flags", "wanted"), [([], (0.0, 0.5)), (["--symmetry", "0.75", "--average", "1"], (0.75, 1.0))]
)
def test_wishes_of_the_shape_reach_the_pipeline(
    asked: list, tmp_path: Path, flags: list[str], wanted: tuple[float, float]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    main(["reconstruct", str(photo), "--out", str(tmp_path / "out"), *flags])
    assert (asked[0].symmetry, asked[0].average) == wanted
    report = asked[0].to_report()
    assert (report["symmetry"], report["average"]) == wanted


@pytest.mark.parametrize("wrong", ["1.5", "-0.1", "nan", "much"])
def test_a_wish_out_of_range_is_refused(tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["reconstruct", "a.jpg", "--out", str(tmp_path / "out"), f"--symmetry={wrong}"])
    assert caught.value.code == EXIT_CODES["usage"] and "--symmetry" in capsys.readouterr().err
    if wrong != "much":
        with pytest.raises(LikenessError, match="from 0 to 1"):
            pipeline.ReconstructOptions(average=float(wrong))


def test_what_only_the_linear_model_can_is_said(
    asked: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    code = main(["reconstruct", str(photo), "--out", str(tmp_path / "out"), "--personalise", "--face-model", "graph"])
    assert code == EXIT_CODES["usage"] and "Only the linear face model is personalised" in capsys.readouterr().err
    with pytest.raises(LikenessError, match="Unknown face model"):
        pipeline.ReconstructOptions(face_model="cubic")


@pytest.mark.parametrize(("flags", "wanted"), [([], True), (["--no-landmark-net"], False)])
def test_the_landmark_net_can_be_left_out(asked: list, tmp_path: Path, flags: list[str], wanted: bool) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"")
    main(["reconstruct", str(photo), "--out", str(tmp_path / "out"), *flags])
    assert asked[0].collect_options().surface == wanted
