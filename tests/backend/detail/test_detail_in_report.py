"""From a photo file to ``report.json``: which network made the relief and how deep it is, or why there is none."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.__main__ import main
from backend.detail.skin_detail import KEY_GROUPS
from backend.models.registry import DETAIL

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def picture(demo_photos: list[Path]) -> Image.Image:
    """A sharp photo of somebody, 420 pixels wide."""
    return Image.open(demo_photos[0]).convert("RGB").resize((420, 488), Image.Resampling.LANCZOS)


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., dict]:
    """Reconstructs a picture with flags and returns the report."""

    def reported(picture: Image.Image, *flags: str) -> dict:
        picture.save(tmp_path / "photo.jpg", quality=95)
        out = tmp_path / "out"
        given = ["reconstruct", str(tmp_path / "photo.jpg"), "--out", str(out)]
        assert main([*given, "--quality", "fast", "--texture", "1024", "--hair", "none", *flags]) == 0
        files = json.loads((out / "detail.json").read_text()), np.asarray(Image.open(out / "displacement.png"))
        found = json.loads((out / "report.json").read_text())
        return found | {"has_detail": files[0]["has_detail"], "displacement_steps": int(np.ptp(files[1].astype(int)))}

    return reported


def test_the_report_names_the_network_and_how_deep_the_relief_is(report, picture: Image.Image) -> None:
    found = report(picture)
    assert found["models"]["detail"] == DETAIL.load().version
    relief = found["detail"]
    assert relief["photos"] == ["photo.jpg"] and relief["sentence"] == ""
    assert set(relief["depth_mm"]) == {"always", *KEY_GROUPS}
    assert 0.005 < relief["depth_mm"]["always"] < 2.0  # pores alone are 0.01 to 0.06
    assert found["has_detail"] and found["displacement_steps"] > 0 and found["seconds.detail"] > 0


def test_without_the_network_there_is_no_relief(report, picture: Image.Image) -> None:
    found = report(picture, "--no-detail")
    assert found["models"]["detail"] == "not used" and found["detail"] == {"sentence": "", "photos": []}
    assert not found["has_detail"] and found["displacement_steps"] == 0 and "seconds.detail" not in found
