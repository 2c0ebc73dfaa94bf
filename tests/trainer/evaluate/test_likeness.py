from dataclasses import replace

import numpy as np
import pytest

from backend.errors import LikenessError
from trainer.evaluate.likeness import LIGHTS, PARTS, VIEWS, PersonLikeness, flat_figures
from trainer.measures.harness import people_folders


def person(front: float, side: float, photos: float = 0.4) -> PersonLikeness:
    value = {"front": front, "left": side - 0.01, "right": side + 0.01}
    return PersonLikeness({(light, view): value[view] for light in LIGHTS for view, _ in VIEWS}, photos)


def test_figures_are_means_over_people_and_sides():
    figures = flat_figures({"a": person(0.3, 0.4), "b": person(0.5, 0.6)})
    assert figures["likeness.front"] == pytest.approx(0.4)
    assert figures["likeness.side"] == pytest.approx(0.5)
    assert figures["person.a.side.novel"] == pytest.approx(0.4)
    assert figures["likeness.photos"] == pytest.approx(0.4)


def test_a_render_without_a_face_counts_as_a_stranger():
    figures = flat_figures({"a": person(np.nan, 0.4)})
    assert figures["likeness.front"] == pytest.approx(1.0)


def test_people_are_folders_with_photos(tmp_path):
    for name in ("b/1.jpg", "a/2.PNG", "a/1.jpeg", "a/notes.txt", "empty/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = people_folders(tmp_path)
    assert list(found) == ["a", "b"]
    assert [path.name for path in found["a"]] == ["1.jpeg", "2.PNG"]
    with pytest.raises(LikenessError, match="no photos"):
        people_folders(tmp_path / "empty")


@pytest.mark.parametrize("part", PARTS)
def test_what_a_part_costs_is_the_difference_to_the_same_head_without_it(part):
    whole, less = person(0.40, 0.50), person(0.38, 0.51)
    figures = flat_figures({"a": replace(whole, without={part: less.distances})})
    assert figures[f"likeness.front.{part}_costs"] == pytest.approx(0.02)
    assert figures[f"person.a.side.novel.{part}_costs"] == pytest.approx(-0.01)
    assert figures["likeness.front"] == pytest.approx(0.40)
    assert not [name for name in figures if "_costs" in name and part not in name]
    assert f"likeness.front.{part}_costs" not in flat_figures({"a": whole})
