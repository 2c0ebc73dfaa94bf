"""A backend that was installed by hand: what the preferences say of it while its path is entered."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import get_type_hints
from unittest.mock import MagicMock

import pytest

from blender_addon.backend_process.folders import NOTHING_ENTERED, USABLE, problem_of
from blender_addon.errors import AddonError


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
    assert problem_of((str(tmp_path / "env"), "")) == f"Enter {python} as Python."
    assert "without a Python in it" in problem_of((str(tmp_path / "empty"), ""))
    (tmp_path / "notes.txt").write_text("")
    assert problem_of((str(tmp_path / "notes.txt"), "")) == "notes.txt is not a program."
    assert "Source names was not found" in problem_of((str(python), str(tmp_path / "y")))
    source = str(tmp_path / "source")
    assert "does not hold the package backend" in problem_of((str(python), source))
    (tmp_path / "source" / "backend" / "__init__.py").write_text("")
    assert problem_of((str(python), source)) == ""


@pytest.mark.blender
def test_the_preferences_say_it_with_every_letter(
    bpy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    from blender_addon.settings.preferences import chosen_backend

    monkeypatch.setattr(subprocess, "Popen", MagicMock(side_effect=AssertionError("drawing starts no process")))
    chosen = bpy.context.preferences.addons["blender_addon"].preferences
    chosen.where = "EXISTING"

    def said() -> str:
        layout = MagicMock()
        chosen._draw_existing(layout)
        return " ".join(call.kwargs["text"] for call in layout.mock_calls if call[0].endswith("label"))

    assert said() == NOTHING_ENTERED
    python = str(environment(tmp_path / "env"))
    with pytest.raises(AddonError, match="Enter the Python program"):
        chosen_backend(bpy.context)
    for count in range(len(str(tmp_path)) + 1, len(python)):
        chosen.existing_python = python[:count]
        assert said() not in (NOTHING_ENTERED, USABLE)
    chosen.existing_python = python
    assert said() == USABLE
    chosen.existing_source = str(tmp_path)
    assert "does not hold the package" in said()
    with pytest.raises(AddonError, match="does not hold the package"):
        chosen_backend(bpy.context)
    for name in ("existing_python", "existing_source"):
        assert "TEXTEDIT_UPDATE" in get_type_hints(type(chosen))[name].keywords["options"]
