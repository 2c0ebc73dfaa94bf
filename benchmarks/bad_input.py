"""Files that are broken or made to harm: python benchmarks/bad_input.py [--count 500] [--kinds ...] [--json FILE].

Makes photos of every format, model files, heads, videos and takes, damages them in ways that a seed decides, adds files
that cost far more than they weigh and paths that are no files, and has each read as the commands read it, in a process
that is looked at all the while. Every one should be read or refused with a sentence.

Figures: ``bad_input.inputs``, ``.tracebacks``, ``.hangs`` (more than ``--seconds`` of the processor's time, or six
times as many by the clock: other programs run, too), ``.above_4_gb`` (processes), ``.peak_mb`` of the largest process,
and ``.seconds`` for all. Exit code 1 where tracebacks, hangs or processes above 4 GB are not 0. On two cores that had
other work, 500 took three and a half minutes, 3,000 photos (``--side 6000``) two, and 400 videos half a minute.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import backend  # noqa: F401  # its settings for numpy must be there before numpy is

import numpy as np  # isort: skip

SHARES = {"photos": 0.5, "takes": 0.15, "videos": 0.15, "models": 0.15, "heads": 0.05}
"""Kind -> its part of all inputs."""
MOST_MB = 4096.0
_LOOK_SECONDS = 0.01
_CLOCK_FACTOR = 6.0


@dataclass(frozen=True)
class Outcome:
    """What became of one input: ``read``, ``refused``, ``traceback`` or ``hang``; what was said, and
    the processor's seconds."""

    kind: str
    path: str
    result: str
    text: str
    seconds: float


# -- the inputs ------------------------------------------------------------------------------------------------------


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """``data`` after one of several accidents."""
    changed = bytearray(data)
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 200))
    accident = int(rng.integers(7))
    if accident == 0:
        return data[:at]
    if accident == 1:
        changed[at : at + length] = bytes(length)
    elif accident == 2:
        changed[at:at] = rng.bytes(length)
    elif accident == 3:
        del changed[at : at + length]
    elif accident == 4:  # sizes and offsets lie at the start
        for place in rng.integers(0, min(len(data), 256), int(rng.integers(1, 8))):
            changed[place] = int(rng.integers(256))
    elif accident == 5:
        at = min(at, max(len(data) - 4, 0)) if rng.random() < 0.5 else int(rng.integers(min(len(data), 256)))
        extremes = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4))
        changed[at : at + 4] = extremes[rng.integers(4)]
    else:
        for place in rng.integers(0, len(data), int(rng.integers(1, 20))):
            changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def good_photos() -> dict[str, bytes]:
    """Whole files of every format and of many modes, by name."""
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    rows, columns = np.mgrid[:96, :128]
    colours = np.stack([columns + 60, rows * 2, 200 - columns], axis=-1) + 20 * np.sin(rows / 5)[..., None]
    picture = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
    grey16 = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    film = {"save_all": True, "append_images": [picture.rotate(9)]}
    kinds: list[tuple[str, Image.Image, str, dict]] = [
        ("baseline.jpg", picture, "JPEG", {"exif": exif}),
        ("progressive.jpg", picture, "JPEG", {"progressive": True}),
        ("cmyk.jpg", picture.convert("CMYK"), "JPEG", {}),
        ("two.mpo", picture, "MPO", film),
        ("colour.png", picture, "PNG", {"exif": exif}),
        ("alpha.png", picture.convert("RGBA"), "PNG", {}),
        ("palette.png", picture.quantize(64), "PNG", {"transparency": 3}),
        ("grey16.png", grey16, "PNG", {}),
        ("moving.png", picture, "PNG", film),
        ("plain.tif", picture, "TIFF", {}),
        ("lzw.tif", picture, "TIFF", {"compression": "tiff_lzw"}),
        ("jpeg.tif", picture, "TIFF", {"compression": "jpeg"}),
        ("grey16.tif", grey16, "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("float.tif", picture.convert("F"), "TIFF", {}),
        ("lossy.webp", picture, "WEBP", {"exif": exif}),
        ("lossless.webp", picture, "WEBP", {"lossless": True}),
        ("moving.webp", picture, "WEBP", film),
        ("photo.heic", picture, "HEIF", {}),
        ("photo.avif", picture, "AVIF", {}),
        ("photo.bmp", picture, "BMP", {}),
        ("one.gif", picture.quantize(32), "GIF", {}),
        ("moving.gif", picture, "GIF", film),
    ]
    made = {}
    for name, image, kind, settings in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **settings)
        made[name] = buffer.getvalue()
    return made


def bombs(side: int) -> Iterator[tuple[str, bytes]]:
    """Photos that cost far more than they weigh, ``side`` pixels wide and high."""
    from PIL import Image

    def file(image: Image.Image, kind: str, **settings: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **settings)
        return buffer.getvalue()

    black = Image.new("RGB", (side, side))
    scans = file(black, "JPEG", progressive=True, quality=10)
    last = scans[scans.rindex(b"\xff\xda") : -2]
    for count in (100, 3000):
        yield f"{count}_scans.jpg", scans[:-2] + last * count + b"\xff\xd9"
    screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    gif = b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\0;"
    yield "blank.gif", gif
    yield "padded.gif", gif + bytes(side * side // 500)
    yield "blank.webp", file(black, "WEBP", lossless=True, method=0)
    for mode in ("F", "I;16", "P", "1", "LA", "CMYK"):
        yield f"blank_{mode.replace(';', '')}.tif", file(Image.new(mode, (side, side)), "TIFF", compression="tiff_lzw")
    for mode in ("P", "L", "I;16", "RGBA"):
        blank = file(Image.new(mode, (side, side)), "PNG")
        yield f"blank_{mode.replace(';', '')}.png", blank
        yield f"padded_{mode.replace(';', '')}.png", blank + bytes(side * side // 500)


def paths_that_are_no_files(folder: Path) -> list[str]:
    """A device, a pipe, a loop of links, names of any length."""
    made = ["/dev/zero", str(folder), str(folder / ("x" * 300)), "a/" * 2500]
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        (folder / "loop").symlink_to("loop")
        made += [str(folder / "pipe"), str(folder / "loop")]
    return made


def good_takes() -> dict[str, bytes]:
    """Files of the app Live Link Face."""
    from backend.rig.arkit import ARKIT_NAMES

    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    lines = [",".join(["Timecode", "BlendShapeCount", *names, "HeadYaw", "HeadPitch", "HeadRoll"])]
    for number in range(90):
        values = ",".join(f"{(number + column) % 17 / 17:.4f}" for column in range(len(names) + 3))
        lines.append(f"10:20:{number // 60:02d}:{number % 60:02d}.250,61,{values}")
    return {"take.csv": "\n".join(lines).encode()}


def hostile_takes() -> Iterator[tuple[str, bytes]]:
    """Time codes that leap, or are no numbers."""
    (whole,) = good_takes().values()
    lines = whole.decode().split("\n")
    for number, code in enumerate(
        [
            "277777:46:40:00",
            "-9:00:00:00",
            "10:20:00:inf",
            "10:20:00:nan",
            "10:20:00:1e300",
            "9" * 400 + ":0:0:0",
            ":::",
        ]
    ):
        changed = [*lines[:40], *(code + line[line.index(",") :] for line in lines[40:43]), *lines[43:]]
        yield f"code_{number}.csv", "\n".join(changed).encode()
    gaps = [
        f"{10 + n // 360}:{n // 6 % 60:02d}:{n % 6 * 9:02d}:00{lines[1][lines[1].index(',') :]}" for n in range(5000)
    ]
    yield "gaps.csv", "\n".join([lines[0], *gaps]).encode()


def good_videos(folder: Path) -> dict[str, bytes]:
    """Short films in three containers."""
    import cv2

    made = {}
    for name, code in (("film.mp4", "mp4v"), ("film.avi", "MJPG"), ("film.mkv", "mp4v")):
        path = folder / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 30, (160, 120))
        for number in range(20):
            frame = np.full((120, 160, 3), 90, np.uint8)
            frame[20:80, 4 * number : 4 * number + 40] = (30, 160, 220)
            writer.write(frame)
        writer.release()
        if path.is_file():
            made[name] = path.read_bytes()
    return made | {name: data for name, data in good_photos().items() if name == "moving.gif"}


def good_models(folder: Path) -> dict[str, bytes]:
    """A small model as ``export`` writes one."""
    import torch

    from backend.models.checkpoints import ModelWeights, fingerprint, half_precision, save_model

    tensors = half_precision({f"layer{number}.weight": torch.randn(30, 40) for number in range(5)})
    (path,) = save_model(ModelWeights("small", {"widths": [1, 2]}, tensors, fingerprint(tensors)), folder / "model")
    return {path.name: path.read_bytes()}


def good_heads(folder: Path) -> dict[str, bytes]:
    """The ``face.glb`` of the template."""
    from backend.exchange.assemble import assemble
    from backend.exchange.gltf import write_glb
    from backend.geometry.template import load_template

    template = load_template()
    albedo = np.full((64, 64, 3), 140, np.uint8)
    write_glb(assemble(template, template.vertices, template.expressions, albedo, (), {}), folder / "face.glb")
    return {"face.glb": (folder / "face.glb").read_bytes()}


def inputs(kinds: list[str], count: int, side: int, seed: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """(kind, path) of about ``count`` bad files, made one after the other."""
    rng = np.random.default_rng(seed)
    makers: dict[str, Callable[[], dict[str, bytes]]] = {
        "photos": good_photos,
        "takes": good_takes,
        "videos": lambda: good_videos(folder),
        "models": lambda: good_models(folder),
        "heads": lambda: good_heads(folder),
    }
    total = sum(SHARES[kind] for kind in kinds)
    for kind in kinds:
        good = makers[kind]()
        special = {"photos": lambda: bombs(side), "takes": hostile_takes}.get(kind, lambda: iter(()))
        for name, data in special():
            yield kind, _written(folder / kind / name, data)
        if kind == "photos":
            (folder / "no files").mkdir()
            for path in paths_that_are_no_files(folder / "no files"):
                yield kind, Path(path)
        for number in range(round(count * SHARES[kind] / total)):
            name = sorted(good)[number % len(good)]
            path = _written(folder / kind / str(number) / name, damaged(good[name], rng))
            yield kind, path
            path.unlink()


def _written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# -- reading them ----------------------------------------------------------------------------------------------------


def read_input(kind: str, path: Path) -> None:
    """Read it as the commands do; raises what they turn into a sentence."""
    if kind == "photos":
        from backend.photos.read import PhotoSource, read_photo

        read_photo(PhotoSource.from_path(path))
    elif kind == "takes":
        from backend.expression.live_link import read_live_link

        read_live_link(path)
    elif kind == "videos":
        from backend.expression.video import Video

        with Video(path) as video:
            for _ in video.frames():
                pass
    elif kind == "models":
        from backend.models.checkpoints import load_model

        load_model("small", path.parent)
    else:
        from backend.expression.subject import read_neutral, read_texture

        read_texture(path.parent)
        read_neutral(path.parent)


def run_reader() -> None:
    """The process that reads: a line of JSON in, a line out, for ever."""
    from backend.errors import LikenessError
    from backend.photos.source import PhotoUnreadableError

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints
    for line in sys.stdin:
        kind, path = json.loads(line)
        try:
            read_input(kind, Path(path))
            result = "read", ""
        except (LikenessError, PhotoUnreadableError) as error:
            result = "refused", str(error)
        except BaseException as error:
            result = "traceback", f"{type(error).__name__}: {error}"
        print(json.dumps(result), file=answers, flush=True)


class Reader:
    """That process, from outside."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self.above = 0
        self._start()

    def read(self, kind: str, path: Path, seconds: float) -> Outcome:
        """What becomes of one input within ``seconds``."""
        start, before = time.monotonic(), self._look()
        self._process.stdin.write(json.dumps([kind, str(path)]).encode() + b"\n")
        self._process.stdin.flush()
        os.set_blocking(self._process.stdout.fileno(), False)
        while True:
            took = self._look() - before
            line = self._process.stdout.readline()
            if line:
                result, text = json.loads(line)
                return Outcome(kind, str(path), result, text, took)
            if self._process.poll() is not None:
                code = self._process.returncode
                self._start()
                return Outcome(kind, str(path), "traceback", f"the process ended with code {code}", took)
            if took > seconds or time.monotonic() - start > _CLOCK_FACTOR * seconds:
                self.close()
                self._start()
                return Outcome(kind, str(path), "hang", "", took)
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, __file__, "--reader"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def _look(self) -> float:
        """Seconds of the processor that the process and those that it started have had; notes the largest memory."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        try:
            every = [self._process.pid, *map(int, children.read_text().split())]
        except OSError:
            return 0.0
        sizes = [resident_mb(process) for process in every]
        self.peak_mb = max(self.peak_mb, *sizes)
        self.above += sum(size > MOST_MB for size in sizes)
        return sum(processor_seconds(process) for process in every)


def resident_mb(process: int) -> float:
    """Largest resident memory so far of a running process in MB; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024.0 for line in lines if line.startswith("VmHWM")), 0.0)


def processor_seconds(process: int) -> float:
    """That a running process has had so far; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="damaged files; those made to harm come on top")
    parser.add_argument("--kinds", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--side", type=int, default=10_900, help="of the photos that cost much, in pixels")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the processor; more is a hang")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--reader", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        run_reader()
        return 0
    start = time.monotonic()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader()
        try:
            for kind in arguments.kinds:  # what is imported for a kind is not the first file's fault
                reader.read(kind, Path(folder) / "none" / "none", 600.0)
            for kind, path in inputs(arguments.kinds, arguments.count, arguments.side, arguments.seed, Path(folder)):
                outcomes.append(reader.read(kind, path, arguments.seconds))
                if outcomes[-1].result in ("traceback", "hang"):
                    print(f"{outcomes[-1].result}: {kind} {Path(path).name}: {outcomes[-1].text}", file=sys.stderr)
        finally:
            reader.close()
    count = Counter((outcome.kind, outcome.result) for outcome in outcomes)
    for kind in arguments.kinds:
        told = ", ".join(f"{count[kind, result]} {result}" for result in ("read", "refused", "traceback", "hang"))
        slowest = max((outcome.seconds for outcome in outcomes if outcome.kind == kind), default=0.0)
        print(f"{kind:8}{told}; the slowest {slowest:.1f} s")
    figures = {
        "bad_input.inputs": len(outcomes),
        "bad_input.tracebacks": sum(outcome.result == "traceback" for outcome in outcomes),
        "bad_input.hangs": sum(outcome.result == "hang" for outcome in outcomes),
        "bad_input.above_4_gb": reader.above,
        "bad_input.peak_mb": round(reader.peak_mb),
        "bad_input.seconds": round(time.monotonic() - start, 1),
    }
    for name, value in figures.items():
        print(f"{name:24}{value:>10}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(figures[f"bad_input.{name}"] for name in ("tracebacks", "hangs", "above_4_gb")))


if __name__ == "__main__":
    sys.exit(main())
