import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.errors import EXIT_CODES, LikenessError
from backend.photos.faces import landmarks_of_largest
from trainer.__main__ import main
from trainer.heads import demo_person


def test_the_same_seed_is_the_same_person_and_another_seed_is_not():
    first, again, other = (demo_person.random_person(seed) for seed in (3, 3, 4))
    assert (first.identity == again.identity).all()
    assert first.look == again.look
    moved = np.linalg.norm(demo_person.demo_cage(first) - demo_person.demo_cage(other), axis=1)
    assert moved.max() > 0.002


def test_expressions_move_the_mouth_and_leave_the_back_of_the_head():
    person = demo_person.random_person(0)
    moved = np.linalg.norm(
        demo_person.demo_cage(person, {"mouthSmileLeft": 0.5}) - demo_person.demo_cage(person), axis=1
    )
    assert moved.max() > 0.001
    assert np.median(moved) < 1e-6


def test_skin_gets_darker_with_melanin_and_redder_with_blood():
    pale, dark = demo_person.skin_colour(np.array([0.1, 1.0]), np.array([0.1, 0.1]))
    assert (dark < pale).all()
    bloodless, flushed = demo_person.skin_colour(np.array([0.2, 0.2]), np.array([0.0, 0.4]))
    assert flushed[0] / flushed[1] > bloodless[0] / bloodless[1]


def test_shots_differ_and_repeat():
    shots = demo_person.demo_shots(5, 1)
    assert shots == demo_person.demo_shots(5, 1)
    assert len({shot.light for shot in shots}) == 5
    yaws = [shot.yaw for shot in shots]
    assert min(yaws) < -20
    assert max(yaws) > 20


def test_a_small_photo_shows_a_face_where_the_template_says():
    person = demo_person.random_person(demo_person.DEFAULT_SEED)
    shot = replace(demo_person.demo_shots(1, demo_person.DEFAULT_SEED)[0], size=(300, 350))
    (photograph,) = demo_person.demo_photographs(person, (shot,), samples=2)
    picture = np.asarray(Image.open(io.BytesIO(photograph.jpeg)))
    assert picture.shape == (350, 300, 3)
    found = landmarks_of_largest(picture)
    assert found is not None
    cage = demo_person.demo_cage(person, demo_person.demo_expression(0, person.look.seed))
    expected = photograph.camera.project(demo_person.load_template().landmarks478.positions(cage))[:, :2]
    ids = [33, 133, 362, 263, 1, 61, 291]
    eyes = np.linalg.norm(expected[33] - expected[263])
    assert np.linalg.norm(found[ids, :2] - expected[ids], axis=1).max() < 0.15 * eyes


@pytest.mark.parametrize("count", [0, 1000])
def test_an_odd_count_is_refused(tmp_path, count):
    with pytest.raises(LikenessError, match="1 to") as problem:
        demo_person.write_demo_photos(tmp_path, count)
    assert problem.value.code == "usage"
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_a_file_is_said_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ended in a traceback after all the rendering."""
    (tmp_path / "file").write_text("mine")
    assert main(["demo-photos", "--out", str(tmp_path / "file")]) == EXIT_CODES["disk"]
    assert "not a folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
