"""The extension's zip: what is in it, that Blender's tool finds it valid and Blender's operator installs it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import backend
from blender_addon import build as build_module

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    try:
        return build_module.build(build_module.PLATFORMS[0], out)
    except RuntimeError as error:
        pytest.skip(f"needs pyzmq's wheels: {error}")


@pytest.mark.parametrize("platform", build_module.PLATFORMS, ids=lambda platform: platform.blender)
def test_the_manifest_of_a_platform(platform: object) -> None:
    manifest = tomllib.loads(build_module.manifest_for(platform, [Path("a.whl"), Path("b.whl")]))
    assert manifest["platforms"] == [platform.blender]
    assert manifest["wheels"] == ["./wheels/a.whl", "./wheels/b.whl"]
    for sentence in (manifest["tagline"], *manifest["permissions"].values()):
        assert len(sentence) <= 64 and not sentence.endswith(".")


def test_the_zip_needs_nothing_of_the_checkout(package: Path, tmp_path: Path) -> None:
    """Its modules of the package ``protocol`` are imported where no such package is."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path / "likeness")
        shared = [Path(name).stem for name in archive.namelist() if name.startswith("shared/") and name.endswith(".py")]
    (tmp_path / "likeness" / "__init__.py").write_text("")
    lines = "; ".join(f"import likeness.shared.{name}" for name in shared if name != "__init__")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    blocked = "import sys; sys.modules['protocol'] = None; "
    subprocess.run([sys.executable, "-c", blocked + lines], cwd=tmp_path, check=True, env=clean)


def test_what_is_in_the_zip(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
        with archive.open("backend.zip") as inner, zipfile.ZipFile(inner) as source:
            packed = source.namelist()
    assert {f"./{name}" for name in names if name.endswith(".whl")} == set(manifest["wheels"])
    for python in build_module.PYTHONS:
        assert sum(f"-cp{python}-cp{python}-" in wheel for wheel in manifest["wheels"]) == 1
    assert {"__init__.py", "registration.py", "scene/importing.py", "ui/key_pictures.npz", "LICENSE"} <= set(names)
    assert {"scene/nodes/skin.json", "scene/nodes/hair_strands.json"} <= set(names)
    assert not [name for name in names if name == "build.py" or "__pycache__" in name]
    assert {"shared/__init__.py", "shared/photo_folder.py", "shared/names.py"} <= set(names)
    assert {"backend/__main__.py", "protocol/__init__.py", "protocol/names.py"} <= set(packed)
    assert {"assets/README.md", "assets/template.safetensors", "locks/packages.txt", "pyproject.toml"} <= set(packed)
    assert not [name for name in packed if name.startswith(("trainer", "blender_addon", "tests"))]
    assert package.stat().st_size < 60e6


def test_only_what_git_has_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key or a note that lay under ``backend/`` went into the published zip."""
    monkeypatch.setattr(build_module, "ROOT", tmp_path)
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "code.py").write_text("x = 1\n")
    with pytest.raises(RuntimeError, match="git finds none"):
        build_module.tracked(["backend"])
    git = ["git", "-c", "user.name=a", "-c", "user.email=a"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    build_module.check_clean()
    (tmp_path / "backend" / "client_key.json").write_text("{}")
    assert build_module.tracked(["backend"]) == ["backend/code.py"]
    with pytest.raises(RuntimeError, match=r"has changes, for example in backend/client_key\.json"):
        build_module.check_clean()


def test_a_wheel_of_pyzmq_without_a_locked_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were downloaded without any."""
    locked = (ROOT / "locks" / "packages.txt").read_text()
    for platform, python in zip(build_module.PLATFORMS[1:], build_module.PYTHONS, strict=True):
        try:
            fetched = build_module.fetch_wheel(platform, python, tmp_path / platform.blender)
        except RuntimeError as error:
            pytest.skip(f"needs pyzmq's wheels: {error}")
        assert hashlib.sha256(fetched.read_bytes()).hexdigest() in locked
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "packages.txt").write_text(re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", locked))
    monkeypatch.setattr(build_module, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="pip could not download pyzmq"):
        build_module.fetch_wheel(build_module.PLATFORMS[0], build_module.PYTHONS[0], tmp_path / "wrong")


def test_a_wheel_under_another_tag(tmp_path: Path) -> None:
    wheel = tmp_path / "thing-1.0-cp312-abi3-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl"
    wheel.write_bytes(b"x = 1")
    copy = build_module.retag(wheel, "314", tmp_path / "out")
    assert copy.name == "thing-1.0-cp314-cp314-manylinux_2_26_x86_64.manylinux_2_28_x86_64.whl"
    assert copy.read_bytes() == b"x = 1"


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs bpy")
def test_blender_finds_it_valid_and_installs_it(package: Path, tmp_path: Path) -> None:
    assert "Success" in build_module.validate(package)
    script = f"""
import bpy, json
bpy.ops.extensions.package_install_files(filepath={str(package)!r}, repo="user_default", enable_on_install=True)
from bl_ext.user_default.likeness import identity, installer
from bl_ext.user_default.likeness.shared import photo_folder
import zmq
print("SHARED", photo_folder.__file__)
scene = bpy.context.scene
print("SAID", json.dumps([identity.PACKAGE, identity.version(), identity.backend_archive().name, zmq.__file__,
    str(installer.backend_folder().root), scene.likeness.quality, bpy.ops.likeness.reconstruct.poll()]))
bpy.ops.preferences.addon_disable(module="bl_ext.user_default.likeness")
print("GONE", not hasattr(bpy.types.Scene, "likeness"))
"""
    environment = os.environ | {
        "BLENDER_USER_RESOURCES": str(tmp_path),
        "LIKENESS_CONFIG_DIR": str(tmp_path / "config"),
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("SAID"))
    name, version, archive, _, folder, quality, poll = json.loads(line.removeprefix("SAID "))
    assert (name, version) == ("bl_ext.user_default.likeness", backend.__version__)
    assert (archive, quality, poll) == ("backend.zip", "standard", False)  # there is no photo yet
    assert folder.startswith(str(tmp_path)) and ".user" in folder  # survives an update of the extension
    assert "GONE True" in done.stdout
    shared = next(line for line in done.stdout.splitlines() if line.startswith("SHARED"))
    assert Path(shared.removeprefix("SHARED ")).is_relative_to(tmp_path)  # the zip's copy, not this checkout
