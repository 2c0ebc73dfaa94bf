import numpy as np
import pytest

from backend.errors import LikenessError
from trainer.evaluate.likeness import LIGHTS, VIEWS, likeness_figures
from trainer.measures.harness import people_folders


def test_sides_are_means_and_a_render_without_a_face_counts_as_a_stranger():
    value = {"front": 0.3, "left": 0.39, "right": 0.41}
    distances = {(light, view): value[view] for light in LIGHTS for view, _ in VIEWS}
    figures = likeness_figures(distances | {("novel", "front"): np.nan})
    assert figures["side"] == figures["side.novel"] == pytest.approx(0.4)
    assert (figures["front.flat"], figures["front"]) == pytest.approx((0.3, 0.65))


def test_people_are_folders_with_photos(tmp_path):
    for name in ("b/1.jpg", "a/2.PNG", "a/1.jpeg", "a/notes.txt", "empty/readme.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = people_folders(tmp_path)
    assert list(found) == ["a", "b"]
    assert [path.name for path in found["a"]] == ["1.jpeg", "2.PNG"]
    with pytest.raises(LikenessError, match="no photos"):
        people_folders(tmp_path / "empty")
