"""From a photo file to ``report.json``: which network made the relief and how deep it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.__main__ import main
from backend.detail.skin_detail import KEY_GROUPS
from backend.models.registry import DETAIL

pytestmark = pytest.mark.slow


def test_the_report_names_the_network_and_how_deep_the_relief_is(demo_photos: list[Path], tmp_path: Path) -> None:
    picture = Image.open(demo_photos[0]).convert("RGB").resize((420, 488), Image.Resampling.LANCZOS)
    picture.save(tmp_path / "photo.jpg", quality=95)
    out = tmp_path / "out"
    given = ["reconstruct", str(tmp_path / "photo.jpg"), "--out", str(out)]
    assert main([*given, "--quality", "fast", "--texture", "1024", "--hair", "none"]) == 0
    found, depths = json.loads((out / "report.json").read_text()), np.asarray(Image.open(out / "displacement.png"))
    assert found["models"]["detail"] == DETAIL.load().version
    relief = found["detail"]
    assert relief["photos"] == ["photo.jpg"] and relief["sentence"] == ""
    assert set(relief["depth_mm"]) == {"always", *KEY_GROUPS}
    assert 0.005 < relief["depth_mm"]["always"] < 2.0  # pores alone are 0.01 to 0.06
    assert json.loads((out / "detail.json").read_text())["has_detail"] and np.ptp(depths.astype(int)) > 0
