"""``transfer`` from end to end: a rendered clip as a video file, photos, bad input."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from expression_file import read_clip

from backend.__main__ import main
from backend.errors import Cancelled, LikenessError
from backend.expression.clip import ExpressionClip, FrameMark
from backend.expression.subject import read_neutral, subject_of
from backend.expression.transfer import transfer_video
from backend.expression.video_process import next_slot
from backend.geometry.template import load_template
from backend.progress import TRANSFER_SHARES
from protocol.names import ARKIT_INDEX
from trainer.methods.expressions.evaluate import SEED, known_pictures, read_photos
from trainer.people.source import PeopleConfig

FPS = 12.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A video of 8 frames of a person, with two grey frames after the fourth; true weights (8, 52)."""
    torch.set_num_threads(1)
    known = known_pictures(PeopleConfig(size=160, seed=SEED, photos=8, clips=True, film=False), 1001)
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    side = len(known.pictures[0]) // 2 * 2
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (side, side))
    grey = [np.full((side, side, 3), 90, np.uint8)] * 2
    for picture in [*known.pictures[:4], *grey, *known.pictures[4:]]:
        writer.write(cv2.cvtColor(np.ascontiguousarray(picture[:side, :side]), cv2.COLOR_RGB2BGR))
    writer.release()
    return path, known.weights


@pytest.fixture(scope="module")
def take(clip: tuple[Path, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> ExpressionClip:
    out = tmp_path_factory.mktemp("take") / "expression.json"
    assert main(["transfer", "--from", str(clip[0]), "--out", str(out)]) == 0
    return read_clip(out)


@pytest.mark.slow
def test_a_video_keeps_its_frames_and_rate_and_faceless_frames_are_interpolated(take: ExpressionClip) -> None:
    assert (take.kind, take.fps, len(take)) == ("video", FPS, 10)
    assert take.weights.min() >= 0
    assert take.weights.max() <= 1
    assert np.isfinite(take.head_positions).all()
    np.testing.assert_allclose(np.linalg.norm(take.head_rotations, axis=1), 1, atol=1e-3)
    assert (take.head_positions[:, 2] < -0.2).all()
    assert np.flatnonzero(take.marks == FrameMark.NO_FACE).tolist() == [4, 5]
    assert np.isnan(take.errors[4])
    assert np.isfinite(take.errors[[3, 6]]).all()
    assert np.abs(np.diff(take.head_rotations[3:7], axis=0)).max() < 0.1


@pytest.mark.slow
def test_cancelling_stops_a_video(clip: tuple[Path, np.ndarray]) -> None:
    def stop(stage: str, fraction: float) -> None:
        assert stage in TRANSFER_SHARES
        raise Cancelled

    with pytest.raises(Cancelled):
        transfer_video(clip[0], None, stop)


def test_photos_of_a_known_person_are_read_better_than_not_at_all() -> None:
    known = known_pictures(PeopleConfig(size=200, seed=SEED, photos=2, film=False), 0)
    read = read_photos(known, subject_of(known.neutral))
    assert len(read.found) == 2
    off = np.abs(read.found - read.truth)
    assert off.mean() < read.truth.mean()  # that is what all zeros would be off by
    smile = [ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"]]
    assert off[:, smile].mean() < 0.25  # the second picture's sneer looks like one: 0.30
    assert np.median(np.linalg.norm(read.pose.off, axis=1)) < 8


def test_a_face_of_which_next_to_nothing_shows_is_left_out(tmp_path: Path) -> None:
    """Behind black from below the brows down no face is found, or the landmark net is unsure of it."""
    shown = known_pictures(PeopleConfig(size=224, seed=SEED, photos=2), 1).pictures[1]
    covered = shown.copy()
    covered[366:460, 390:500] = 0
    for name, picture in (("covered.png", covered), ("open.png", shown)):
        cv2.imwrite(str(tmp_path / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    out = tmp_path / "out" / "expression.json"
    assert main(["transfer", "--from", str(tmp_path), "--out", str(out)]) == 0
    take = read_clip(out)
    assert take.frame_names == ("open.png",)
    ((name, sentence),) = take.left_out
    assert name == "covered.png" and ("of the face is covered" in sentence or "No face was found" in sentence)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.mp4", None, "no file"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"not a video at all", "not a video"),
        ("grey.png", "grey", "No face was found"),
    ],
)
def test_bad_input_gets_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | str | None, sentence: str
) -> None:
    path = tmp_path / name
    if content == "grey":
        cv2.imwrite(str(path), np.full((64, 64, 3), 128, np.uint8))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert main(["transfer", "--from", str(path), "--out", str(tmp_path / "out" / "e.json")]) in (3, 4)
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out" / "e.json").exists()


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [("take.csv", ["--identity", "head"], "needs no face"), ("clip.mp4", ["--fps", "30"], "A video has its own rate.")],
)
def test_an_option_that_would_do_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, options: list[str], sentence: str
) -> None:
    (tmp_path / name).write_bytes(b"not looked at")
    arguments = ["transfer", "--from", str(tmp_path / name), *options, "--out", str(tmp_path / "e.json")]
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_a_folder_without_photos_and_one_without_a_head_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transfer", "--from", str(tmp_path), "--out", str(tmp_path / "e.json")]) == 3
    assert "holds no photo" in capsys.readouterr().err
    with pytest.raises(LikenessError, match=r"no face\.glb"):
        read_neutral(tmp_path)
    (tmp_path / "face.glb").write_bytes(b"glTF, or so it says")
    with pytest.raises(LikenessError, match="is not a head"):
        read_neutral(tmp_path)


def test_a_written_head_is_read_back(tmp_path: Path) -> None:
    from backend.exchange.assemble import assemble, with_pictures
    from backend.exchange.gltf import write_glb
    from backend.rig.eye_surfaces import eye_shapes
    from backend.rig.mouth import mouth_shapes

    template = load_template()
    neutral = (template.vertices + 0.5 * template.identity_modes[0]).astype(np.float32)
    albedo = np.zeros((8, 8, 3), np.uint8)
    write_glb(with_pictures(assemble(template, neutral, template.expressions), template, albedo), tmp_path / "face.glb")
    again = read_neutral(tmp_path)
    finished = eye_shapes(template, *mouth_shapes(template, neutral, template.expressions)).neutral
    assert np.abs(again - finished).max() < 3e-6, "teeth are found again from their crowns, to 2 micrometres"
    skin = np.arange(len(neutral)) < template.head.vertex_stop
    skin &= template.regions["mouth_interior"] == 0
    assert skin.sum() > 3500 and np.abs(again[skin] - neutral[skin]).max() < 1e-6, "the skin is the fitted one"


def test_slots_follow_the_time_stamps_where_these_make_sense() -> None:
    assert next_slot(4, 5 / 30, 30.0) == 5
    assert next_slot(4, 8 / 30, 30.0) == 8  # three frames were dropped
    assert next_slot(4, 4 / 30, 30.0) == 5  # the clock stood still
    assert next_slot(4, float("nan"), 30.0) == 5
    assert next_slot(4, 3600.0, 30.0) == 5  # a leap of an hour
