from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import backend
from blender_addon.build import PLATFORMS, blender_command_line, write_zip
from tools.release import ROOT, ReleaseError, build_wheel, check_versions, make_release, write_checksums, write_index

MANIFEST = """schema_version = "1.0.0"
id = "likeness"
version = "0.1.0"
name = "Likeness"
tagline = "A small package"
maintainer = "Somebody"
type = "add-on"
blender_version_min = "4.2.0"
license = ["SPDX:GPL-3.0-or-later"]
platforms = ["linux-x64"]
"""


def test_this_checkout_has_one_version_and_its_changes() -> None:
    assert check_versions() == backend.__version__


def test_a_citation_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(f"## {backend.__version__}\n")
    (tmp_path / "CITATION.cff").write_text("version: 0.0.9\n")
    with pytest.raises(ReleaseError, match=r"0\.0\.9"):
        check_versions(tmp_path)


def test_changes_that_do_not_name_the_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text("## 0.0.9\n")
    (tmp_path / "CITATION.cff").write_text(f"version: {backend.__version__}\n")
    with pytest.raises(ReleaseError, match=r"CHANGELOG"):
        check_versions(tmp_path)


def test_zips_of_another_release_are_not_listed_with_this_one(tmp_path: Path) -> None:
    (tmp_path / "likeness-0.0.9-linux_x64.zip").write_bytes(b"")
    with pytest.raises(ReleaseError, match=r"likeness-0\.0\.9"):
        make_release(tmp_path, PLATFORMS[:1])


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_checksums_are_what_sha256sum_checks(tmp_path: Path) -> None:
    files = [tmp_path / "b.zip", tmp_path / "a.whl"]
    for file in files:
        file.write_bytes(file.name.encode())
    sums = write_checksums(tmp_path, files)
    assert sums.read_text().splitlines()[0] == f"{hashlib.sha256(b'a.whl').hexdigest()}  a.whl"
    check = ["sha256sum", "-c", sums.name]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    files[0].write_bytes(b"changed")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.skipif(blender_command_line() is None, reason="needs bpy, for Blender's extension tool")
def test_the_index_lists_each_zip_with_its_hash(tmp_path: Path) -> None:
    package = tmp_path / "likeness-0.1.0-linux_x64.zip"
    write_zip(package, [("blender_manifest.toml", MANIFEST.encode()), ("__init__.py", b"")])
    index = json.loads(write_index(tmp_path).read_text())
    (entry,) = index["data"]
    assert entry["archive_url"] == f"./{package.name}"
    assert entry["archive_hash"] == f"sha256:{hashlib.sha256(package.read_bytes()).hexdigest()}"
    assert entry["platforms"] == ["linux-x64"]


def test_a_wheel_has_the_assets_inside(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    for name in ("pyproject.toml", "setup.py", "README.md", "backend/__init__.py", "backend/system/files.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    recipe, asset = source / "trainer/recipes/one.toml", source / "assets/lap/README.md"
    for file in (source / "trainer/__init__.py", recipe, asset):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    subprocess.run(["git", "init", "-q", "."], cwd=source, check=True)
    subprocess.run(["git", "add", "."], cwd=source, check=True)
    out.mkdir()
    try:
        wheel = build_wheel(out, source)
    except ReleaseError as error:
        if "No matching distribution" in str(error) or "connection" in str(error).lower():
            pytest.skip(f"needs setuptools: {error}")
        raise
    names = zipfile.ZipFile(wheel).namelist()
    assert {"backend/shipped_assets/lap/README.md", "trainer/recipes/one.toml", "backend/system/files.py"} <= set(names)
    assert not [name for name in names if name.startswith(("assets", "tools", "tests"))]
