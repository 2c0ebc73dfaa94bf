"""The extension in a Blender with a window, by hand: ``python tests/window/drive.py --tool T --suite S --out DIR``
tells the six stories of a release.

The tool is a program with ``run SUITE SCRIPT [blender arguments]`` that starts a Blender of that name with a window (or
under Xvfb) and mounts the script's folder where the script runs. The backend runs beside it, out of this checkout or
``--source``, in the Python that runs this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HEAD_MESSAGE = ROOT / "tests/blender_addon/scene/head_message.py"
SAVED_HEAD = ("expressions", "export", "take")
"""Stories of a head that comes out of ``--extra``."""
RELEASE = ("head", "points", "artist", "expressions", "export", "take")
"""Told before a release, one after the other, when no story is named."""


def main() -> int:
    """Build the zip, lay out the folder, start the backend, run Blender; once for each story."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", type=Path, required=True)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--story", choices=RELEASE, help="this one alone")
    parser.add_argument("--extra", type=Path, help="folder of what stories of a saved head need (see there)")
    parser.add_argument("--photos", type=Path, help="folder of photos (default: those of assets/demo)")
    parser.add_argument("--source", type=Path, default=ROOT, help="folder that holds the backend")
    parser.add_argument("--size", default="1100x700")
    parser.add_argument("--prefix", default="", help="before the window's command: 'nice -n -15'")
    parser.add_argument("--ui-scale", type=float, default=1.0)
    parser.add_argument("--patience", type=float, default=1.0, help="waits this many times as long as usual")
    parser.add_argument("--texture", default="1024")
    parser.add_argument("--parts", default="", help="of the story artist: these alone, as 'groom exports'")
    parser.add_argument("--install", choices=("cpu", "cuda"), help="use what Install Backend brings, with this torch")
    parser.add_argument("--material-preview", action="store_true", help="slow without a graphics card")
    given = parser.parse_args()
    if given.story:
        return tell(given, given.story, given.out.resolve())
    inputs = given.out.resolve() / "inputs"
    codes = []
    for story in RELEASE:
        if story == "expressions":  # of the head of the first story
            subprocess.run(
                [sys.executable, HERE / "tutorial_pictures.py", "inputs", given.out / "head", inputs], check=True
            )
            subprocess.run([sys.executable, HEAD_MESSAGE, inputs / "message.npz"], check=True)
            given.extra = inputs
        codes.append(tell(given, story, given.out.resolve() / story))
    return max(codes)


def tell(given: argparse.Namespace, story: str, out: Path) -> int:
    """Tell one story in the folder ``out``, print its figures, and return Blender's exit status."""
    out.mkdir(parents=True, exist_ok=True)
    code = (
        f"from blender_addon.build import *; build(PLATFORMS[0], Path({str(out / 'dist')!r}))"  # of a changed checkout
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    shutil.copy2(next((out / "dist").glob("*.zip")), out / "likeness.zip")
    for script in HERE.glob("*in_blender.py"):
        shutil.copy2(script, out)
    if given.extra:
        shutil.copytree(given.extra, out, dirs_exist_ok=True)
    if given.photos:
        shutil.copytree(given.photos, out / "photos", dirs_exist_ok=True)
    elif story not in SAVED_HEAD and not (out / "photos").exists():
        shutil.copytree(ROOT / "assets" / "demo", out / "photos")
    settings = {
        "ui_scale": given.ui_scale,
        "texture_size": given.texture,
        "photo": 0,
        "screen_height": 900,
        "patience": given.patience,
    }
    settings["photos_of_kinds"] = _many_kinds(out / "kinds")
    settings["story"], settings["parts"] = story, given.parts
    settings["photos"] = sorted(path.name for path in (out / "photos").glob("*"))
    settings["material_preview"], settings["install"] = given.material_preview, given.install
    (out / "figures.json").unlink(missing_ok=True)
    environment = os.environ | {"LIKENESS_CONFIG_DIR": str(out / "config"), "PYTHONPATH": str(given.source)}
    serve = [sys.executable, "-m", "backend", "serve"]
    with (out / "server.log").open("w") as log:
        if given.install:
            serve = ["sleep", "infinity"]  # no backend but the installed one
        server = subprocess.Popen(serve, env=environment, cwd=given.source, stdout=subprocess.PIPE, stderr=log)
        try:
            assert server.stdout is not None
            if not given.install:
                line = server.stdout.readline()
                assert line, "the backend did not start"
                settings["backend"] = {name: json.loads(line)[name] for name in ("endpoint", "public_key")}
            width, height = given.size.split("x")
            run = [*given.prefix.split(), "bash", str(given.tool), "run", given.suite, str(out / "in_blender.py")]
            (out / "settings.json").write_text(json.dumps(settings))
            code = subprocess.run([*run, "-p", "0", "0", width, height]).returncode
        finally:
            server.terminate()
            server.wait()
    figures = out / "figures.json"
    print(figures.read_text() if figures.exists() else "no figures")
    return code


def _many_kinds(folder: Path) -> list[str]:
    """A folder with photos of several formats and with other files; returns the photos' names."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    photos = ["a.avif", "a.bmp", "a.gif", "a.jpg", "a.png", "b.JPEG"]
    for name in photos:
        Image.new("RGB", (64, 64), "orange").save(folder / name)
    for name in ("a.exr", "a.hdr", "a.mp4", "a.psd", "a.svg", "a.txt"):  # of which Blender counts some as images
        (folder / name).write_bytes(b"x")
    return photos


if __name__ == "__main__":
    sys.exit(main())
