"""A backend that was installed by hand: what the preferences say of it while its path is entered."""

from __future__ import annotations

import sys
from pathlib import Path

from blender_addon.backend_process.folders import problem_of


def environment(folder: Path) -> Path:
    """Something that looks like an environment's Python; a file is all of it."""
    place = folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"
    place.parent.mkdir(parents=True)
    place.write_text("")
    place.chmod(0o755)
    return place


def test_what_is_entered_is_judged_by_its_files(tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    (tmp_path / "empty").mkdir()
    (tmp_path / "source" / "backend").mkdir(parents=True)
    assert problem_of((str(python), "")) == ""
    assert "was not found" in problem_of((str(tmp_path / "x"), ""))
    assert "was not found" in problem_of((str(tmp_path / ("x" * 300)), ""))  # the system refuses to look
    assert "was not found" in problem_of((str(tmp_path / "empty"), ""))
    (tmp_path / "notes.txt").write_text("")
    assert "is not a program" in problem_of((str(tmp_path / "notes.txt"), ""))
    source = str(tmp_path / "source")
    assert "does not hold the package backend" in problem_of((str(python), source))
    (tmp_path / "source" / "backend" / "__init__.py").write_text("")
    assert problem_of((str(python), source)) == ""
