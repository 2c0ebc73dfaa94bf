"""The extension in Blender's Python, in background mode: registration, the photo list, a job to a head in the scene."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import addon_utils
import bpy
import pytest
from blender_addon.shared.options import HeadOptions

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "blender_addon"


def names_in_blender() -> set[str]:
    classes = {name for name in dir(bpy.types) if "ikeness" in name.lower()}
    operators = {f"ops.likeness.{name}" for name in dir(bpy.ops.likeness)}
    handlers = {repr(function) for function in (*bpy.app.handlers.load_pre, *bpy.app.handlers.load_post)}
    return classes | operators | handlers | {f"Scene.{name}" for name in dir(bpy.types.Scene) if "likeness" in name}


@pytest.fixture
def enabled(bpy: ModuleType) -> None:
    """The extension enabled in an empty file; its backend folder and configuration are temporary."""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.jpg", "b.PNG", "c.heic", "notes.txt"):
        (folder / name).write_bytes(b"\xff\xd8" + name.encode())
    return folder


def add(folder: Path, *names: str) -> set[str]:
    return bpy.ops.likeness.add_photos(directory=str(folder), files=[{"name": name} for name in names])


def listed() -> list[str]:
    return [photo.name for photo in bpy.context.scene.likeness.photos]


def test_disabling_leaves_nothing_behind(enabled: None) -> None:
    with_it = names_in_blender()
    addon_utils.disable(PACKAGE, default_set=True)
    without = names_in_blender()
    assert {"LIKENESS_PT_main", "ops.likeness.reconstruct", "Scene.likeness"} <= with_it - without
    assert not [name for name in without if "likeness" in name.lower()]
    for _ in range(3):
        addon_utils.enable(PACKAGE, default_set=True)
        assert names_in_blender() == with_it
        addon_utils.disable(PACKAGE, default_set=True)
    addon_utils.enable(PACKAGE, default_set=True)


def test_the_active_mesh_goes_into_the_list_as_it_is_shown_with_its_picture(enabled: None) -> None:
    from backend.photos.collection import PhotoSource
    from backend.photos.meshes import read_mesh

    assert not bpy.ops.likeness.add_mesh.poll()
    bpy.ops.mesh.primitive_monkey_add()
    scan, picture = bpy.context.active_object, bpy.data.images.new("skin", 4, 4)
    scan.modifiers.new("fine", "SUBSURF").levels = 1
    scan.data.materials.append(bpy.data.materials.new("skin"))
    scan.data.materials[0].use_nodes = True
    nodes = scan.data.materials[0].node_tree
    shown = nodes.nodes.new("ShaderNodeTexImage")
    shown.image = picture
    nodes.links.new(shown.outputs["Color"], nodes.nodes["Principled BSDF"].inputs["Base Color"])
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.view_layer.objects.active = scan
    assert bpy.ops.likeness.add_mesh() == {"FINISHED"} and listed() == ["Suzanne.glb"]
    assert [one.name for one in bpy.context.selected_objects] == ["Cube"]
    found = read_mesh(PhotoSource.from_path(bpy.context.scene.likeness.photos[0].path))
    assert len(found.mesh.vertices) > 3 * len(scan.data.vertices) and found.paint["texture"].shape == (4, 4, 3)


def test_added_photos_start_the_backend_where_the_preferences_allow_it(
    enabled: None, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon.backend_process.server import LocalBackend
    from blender_addon.errors import AddonError
    from blender_addon.operators import photos
    from blender_addon.session import session

    prepared: list[LocalBackend] = []
    chosen = LocalBackend(Path(sys.executable))
    monkeypatch.setattr(session().runner, "prepare", prepared.append)
    monkeypatch.setattr(photos, "chosen_backend", lambda context: chosen)
    assert add(pictures, "a.jpg") == {"FINISHED"} and prepared == []  # in background mode nobody clicks
    monkeypatch.setattr(photos, "in_background", lambda: False)
    assert add(pictures, "b.PNG") == {"FINISHED"} and prepared == [chosen]
    assert add(pictures, "notes.txt") == {"CANCELLED"} and prepared == [chosen]
    photos.preferences(bpy.context).start_early = False
    assert add(pictures, "c.heic") == {"FINISHED"} and prepared == [chosen]
    photos.preferences(bpy.context).start_early = True

    def nothing_installed(context: object) -> LocalBackend:
        raise AddonError("No backend is installed.", "Click Install Backend.", "no_backend")

    monkeypatch.setattr(photos, "chosen_backend", nothing_installed)
    bpy.ops.likeness.clear_photos()
    assert add(pictures, "a.jpg") == {"FINISHED"} and prepared == [chosen]  # the click says what is wrong


def test_the_photo_list(enabled: None, pictures: Path) -> None:
    assert add(pictures, "a.jpg", "b.PNG", "notes.txt", "a.jpg", "gone.jpg") == {"FINISHED"}
    assert listed() == ["a.jpg", "b.PNG"]
    assert add(pictures, "a.jpg") == {"CANCELLED"}
    add(pictures, "c.heic")
    settings = bpy.context.scene.likeness
    assert settings.active_photo == 2
    bpy.ops.likeness.remove_photo(index=0)
    assert listed() == ["b.PNG", "c.heic"] and settings.active_photo == 1
    bpy.ops.likeness.remove_photo()
    assert listed() == ["b.PNG"] and settings.active_photo == 0
    bpy.ops.likeness.clear_photos()
    assert listed() == [] and not bpy.ops.likeness.remove_photo.poll()


@pytest.mark.filterwarnings("ignore:.*blend relative")
def test_a_photo_is_listed_once_by_a_path_that_holds_elsewhere(
    enabled: None, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the tutorial's script, which names a folder beside the file."""
    monkeypatch.chdir(pictures.parent)
    assert add(Path("pictures"), "a.jpg", "b.PNG") == {"FINISHED"}
    paths = [photo.path for photo in bpy.context.scene.likeness.photos]
    assert paths == [str(pictures / "a.jpg"), str(pictures / "b.PNG")]
    for alias in (pictures, pictures / ".." / "pictures", Path("pictures")):
        assert add(alias, "a.jpg") == {"CANCELLED"}
    bpy.ops.wm.save_as_mainfile(filepath=str(pictures / "head.blend"))
    with pytest.warns(RuntimeWarning, match="blend relative"):  # Blender's own, and it goes on
        assert bpy.ops.likeness.add_photos(directory="//", files=[{"name": "a.jpg"}, {"name": "c.heic"}]) == {
            "FINISHED"
        }
    assert [photo.path for photo in bpy.context.scene.likeness.photos][2:] == [str(pictures / "c.heic")]


def test_names_that_no_file_or_no_text_can_have_are_said(enabled: None, pictures: Path) -> None:
    assert add(pictures, "x" * 300 + ".jpg") == {"CANCELLED"}
    if sys.platform == "linux":
        odd = os.fsencode(pictures) + b"/caf\xe9.jpg"
        Path(os.fsdecode(odd)).write_bytes(b"x")
        assert bpy.ops.likeness.add_photos(filepath=os.fsdecode(odd)) == {"CANCELLED"}
        from blender_addon.operators.photos import add_files

        _, (said,) = add_files(bpy.context.scene, [os.fsdecode(odd)])
        assert said == "caf.jpg has letters in its path that are no UTF-8; rename it"
    long_name = "ü" * 120 + " b.jpg"
    (pictures / long_name).write_bytes(b"x")
    assert add(pictures, long_name) == {"FINISHED"} and listed() == [long_name]


def test_file_browsers_and_drops_offer_what_the_backend_reads(enabled: None, tmp_path: Path) -> None:
    """All of it, and nothing else: Blender's own filter for images shows EXR, too, and no AVIF."""
    pytest.importorskip("pillow_heif").register_heif_opener()  # as the process does that decodes photos
    from PIL import Image, features

    from protocol.photo_folder import FORMAT_SUFFIXES, PHOTO_SUFFIXES

    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    read = {ending for ending, kind in Image.registered_extensions().items() if kind in FORMAT_SUFFIXES}
    assert read == set(PHOTO_SUFFIXES)  # which the backend searches folders for
    assert set(bpy.types.LIKENESS_FH_photos.bl_file_extensions.split(";")) == read
    for operator in (bpy.ops.likeness.add_photos, bpy.ops.likeness.expression_from_photo):
        offered = operator.get_rna_type().properties
        assert set(offered["filter_glob"].default.split(";")) == {f"*{ending}" for ending in read}
        assert len(offered["filter_glob"].default) < 255 and "filter_image" not in offered  # Blender cuts it there
    for ending in read:
        (tmp_path / f"photo{ending.upper()}").write_bytes(b"x")
    assert add(tmp_path, *(f"photo{ending.upper()}" for ending in read)) == {"FINISHED"}
    assert len(listed()) == len(read)


def test_the_list_is_saved_with_the_file(enabled: None, pictures: Path, tmp_path: Path) -> None:
    add(pictures, "a.jpg", "b.PNG")
    bpy.context.scene.likeness.quality = "best"
    bpy.context.scene.likeness.photos[0].reason = "No face was found."
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    assert listed() == []
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert listed() == ["a.jpg", "b.PNG"] and bpy.context.scene.likeness.quality == "best"
    assert bpy.context.scene.likeness.photos[0].reason == "No face was found."


def test_what_is_missing_is_said_with_what_to_do(
    enabled: None, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = bpy.context.preferences.addons[PACKAGE].preferences
    with pytest.raises(RuntimeError, match=r"no photos in the list\. Add a few photos"):
        bpy.ops.likeness.reconstruct()
    add(pictures, "a.jpg")
    with pytest.raises(RuntimeError, match=r"not installed yet\. Choose Install Backend"):
        bpy.ops.likeness.reconstruct()
    chosen.where, chosen.existing_python = "EXISTING", str(pictures / "python")
    with pytest.raises(RuntimeError, match=r"Python was not found, or .* Enter the program"):
        bpy.ops.likeness.reconstruct()
    chosen.where, chosen.endpoint, chosen.public_key = "REMOTE", "192.0.2.7:5555", "k" * 40
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match=r"may not use the network.*Allow Online Access"):
        bpy.ops.likeness.reconstruct()
    with pytest.raises(RuntimeError, match=r"may not use the network.*Allow Online Access"):
        bpy.ops.likeness.install_backend()
    chosen.endpoint = "127.0.0.1:9"
    with pytest.raises(RuntimeError, match=r"No backend answers at tcp://127\.0\.0\.1:9\. Check that it runs"):
        bpy.ops.likeness.reconstruct()


def test_an_older_backend_has_to_be_repaired(enabled: None, pictures: Path) -> None:
    from blender_addon import installer
    from blender_addon.backend_process.folders import Installed

    folder = installer.backend_folder()
    for path in (folder.python.parent, folder.source / "backend"):
        path.mkdir(parents=True)
    folder.python.write_text("")
    folder.mark_installed(Installed("0.0.1", "Python 3.11.7", "2.13.0", False, 1))
    add(pictures, "a.jpg")
    with pytest.raises(RuntimeError, match=r"has version 0\.0\.1, the extension .* Choose Repair"):
        bpy.ops.likeness.reconstruct()


def until(condition: object, seconds: float = 240.0) -> None:
    from blender_addon.session import session

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, session().view
        session().tick()
        time.sleep(0.01)


@pytest.mark.slow
def test_a_head_by_the_real_backend_after_a_cancel_and_a_crash(enabled: None, demo_photos: list[Path]) -> None:
    """Cancel takes a second; kill -9 of the server is told and mended; the next job gives a head; again solves it."""
    from blender_addon.objects import tags
    from blender_addon.runner import Phase
    from blender_addon.session import session
    from blender_addon.settings.preferences import chosen_backend

    chosen = bpy.context.preferences.addons[PACKAGE].preferences
    chosen.where, chosen.existing_python, chosen.existing_source = "EXISTING", sys.executable, str(ROOT)
    add(demo_photos[0].parent, *(path.name for path in demo_photos[:2]))
    settings = bpy.context.scene.likeness
    settings.quality, settings.texture_size = "fast", "1024"

    def begin() -> None:
        from blender_addon.objects.tags import Place
        from blender_addon.session import Job, listed_photos

        photos, given = listed_photos(bpy.context.scene)
        job = Job(Place.shown(bpy.context), photos, given, HeadOptions(settings.quality, int(settings.texture_size)))
        session().begin(job, chosen_backend(bpy.context))

    begin()
    until(lambda: session().view.fraction > 0)
    session().cancel()
    start = time.monotonic()
    until(lambda: not session().busy)
    assert session().view.phase is Phase.CANCELLED and time.monotonic() - start < 3

    begin()
    until(lambda: session().view.phase is Phase.RUNNING)
    os.kill(session().runner.process.pid, signal.SIGKILL)
    until(lambda: not session().busy)
    view = session().view
    assert (view.phase, view.code) == (Phase.FAILED, "server_died") and "once more" in view.advice
    assert not tags.head_collections()

    assert bpy.ops.likeness.reconstruct() == {"FINISHED"}
    (collection,) = tags.head_collections()
    head = tags.part_object(collection, "head")
    assert len(head.data.shape_keys.key_blocks) == 53
    assert all(key.value == 0 for key in head.data.shape_keys.key_blocks[1:])
    assert [photo.status for photo in settings.photos] == ["USED", "USED"]
    assert len(tags.camera_objects(collection)) == 2
    assert bpy.ops.likeness.look_through(photo=settings.photos[0].name) == {"FINISHED"}
    assert any(key.value > 0.01 for key in head.data.shape_keys.key_blocks[1:])
    bpy.ops.likeness.reset_selected()
    assert all(key.value == 0 for key in head.data.shape_keys.key_blocks[1:])

    shape = [vertex.co.copy() for vertex in head.data.vertices]
    bpy.ops.likeness.clear_photos()
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}  # out of the photos that the file holds
    assert tags.head_collections() == [collection]
    moved = max((vertex.co - before).length for vertex, before in zip(head.data.vertices, shape, strict=True))
    assert moved < 0.005


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
def test_the_backend_ends_with_blender(tmp_path: Path) -> None:
    """Even with a Blender that ends without a word."""
    script = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
import bpy, addon_utils
from pathlib import Path
from unittest.mock import MagicMock
addon_utils.enable("blender_addon", default_set=True)
from blender_addon import installer
from blender_addon.backend_process.folders import BackendFolder
installer.own_folder = lambda: BackendFolder(Path({str(tmp_path)!r}))
chosen = bpy.context.preferences.addons["blender_addon"].preferences
chosen.where, chosen.existing_python, chosen.existing_source = "EXISTING", sys.executable, {str(ROOT)!r}
from blender_addon.client.submissions import PhotoFile, Submission
from blender_addon.session import session
from blender_addon.settings.preferences import chosen_backend
from blender_addon.shared.options import HeadOptions
session().runner.begin(Submission("t", (PhotoFile("a.jpg", data=b"x"),)), chosen_backend(bpy.context))
while session().runner.welcome is None:
    session().tick()
    time.sleep(0.01)
print("PID", session().runner.process.pid, flush=True)
os._exit(0)
"""
    environment = os.environ | {"LIKENESS_CONFIG_DIR": str(tmp_path / "config")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert "PID" in done.stdout, done.stderr
    pid = int(done.stdout.split("PID ")[1])
    end = time.monotonic() + 15
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, "the backend outlived Blender"
        time.sleep(0.1)
    assert list((tmp_path / "config" / "jobs").iterdir()) == []
