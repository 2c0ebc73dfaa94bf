"""Broken and hostile files and messages: python tests/attacks.py [--files 433] [--messages 10000] [--json FILE].

Files: photos of every format, model files, heads, videos and takes, damaged randomly with a seed; files that cost far
more to read than their size suggests; paths that are not files. Each is read as the commands read it, in a monitored
process, and should be read or refused with a sentence. ``bad_input.hangs`` : more than ``--seconds`` of processor time,
or six times as many by the clock, because other programs run, too. ``bad_input.above_4_gb`` : processes.

Messages: a server started as by ``serve``, with the tests' scripted worker, on 127.0.0.1 only, gets malformed messages
from a client with its key (four of ten), messages from clients without, handshakes that stop or continue with random
bytes, and workers that are killed; the extension's reader gets mutated results (four of ten).

Exit code 1 where an input ends in a traceback, hangs or needs above 4 GB, a server does not answer, a stranger is
answered, or memory grows.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parent / folder)
    for folder in ("..", "../benchmarks", "backend/service", "blender_addon/scene")
)
import backend  # noqa: F401  # its settings for numpy must be set before numpy is imported

import numpy as np  # isort: skip
import zmq  # isort: skip

from head_message import make  # isort: skip
from measure import benchmark_parser, report  # isort: skip
from service_client import ServerProcess, ServiceClient  # isort: skip

from blender_addon.client.conversation import parse_header
from blender_addon.errors import AddonError
from blender_addon.protocol.result import decode_result

SHARES = {"photos": 0.5, "takes": 0.15, "videos": 0.15, "models": 0.15, "heads": 0.05}
"""Kind -> its share of all files."""
MOST_MB = 4096.0
_LOOK_SECONDS = 0.01
_CLOCK_FACTOR = 6.0
MOST_GROWTH_MB = 150.0
"""Growth limit of the server's resident memory from its first job to the end; photos of 40 bytes leave nothing
behind."""
HALF_OPEN = 50
"""Incomplete handshakes that are open at a time, fewer than the server's file limit."""
VALID = (
    {"type": "ping"},
    {"type": "fetch", "token": "0" * 32},
    {"type": "cancel", "token": "t"},
    {"type": "submit", "token": "t", "photos": [{"name": "a.jpg", "bytes": 3}]},
)


def resident_mb(process: int, peak: bool = False) -> float:
    """Resident memory of a running process in MB, or its peak so far (``peak``); 0 where the process is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    key = "VmHWM" if peak else "VmRSS"
    return next((int(line.split()[1]) / 1024.0 for line in lines if line.startswith(key)), 0.0)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage ``data`` in one of several ways."""
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
    elif accident == 4:  # sizes and offsets are near the start
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


def valid_photos() -> dict[str, bytes]:
    """Make intact files of every format and of many modes, by name."""
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


def decompression_bombs(side: int) -> Iterator[tuple[str, bytes]]:
    """Yield photos that cost far more to decode than their size suggests, ``side`` pixels wide and high."""
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


def non_file_paths(folder: Path) -> list[str]:
    """Make paths that are not files: a device, a pipe, a symlink loop, and overlong names."""
    made = ["/dev/zero", str(folder), str(folder / ("x" * 300)), "a/" * 2500]
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        (folder / "loop").symlink_to("loop")
        made += [str(folder / "pipe"), str(folder / "loop")]
    return made


def valid_live_link_files() -> dict[str, bytes]:
    """Make files as the app Live Link Face writes them."""
    from protocol.names import ARKIT_NAMES

    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    lines = [",".join(["Timecode", "BlendShapeCount", *names, "HeadYaw", "HeadPitch", "HeadRoll"])]
    for number in range(90):
        values = ",".join(f"{(number + column) % 17 / 17:.4f}" for column in range(len(names) + 3))
        lines.append(f"10:20:{number // 60:02d}:{number % 60:02d}.250,61,{values}")
    return {"take.csv": "\n".join(lines).encode()}


def malformed_live_link_files() -> Iterator[tuple[str, bytes]]:
    """Yield files with time codes that jump or are not numbers."""
    (whole,) = valid_live_link_files().values()
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


def valid_videos(folder: Path) -> dict[str, bytes]:
    """Make short films in three containers."""
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
    return made | {name: data for name, data in valid_photos().items() if name == "moving.gif"}


def valid_models(folder: Path) -> dict[str, bytes]:
    """Make a small model as ``export`` writes it."""
    import torch

    from backend.models.checkpoints import ModelWeights, fingerprint, half_precision, save_model

    tensors = half_precision({f"layer{number}.weight": torch.randn(30, 40) for number in range(5)})
    path = save_model(ModelWeights("small", {"widths": [1, 2]}, tensors, fingerprint(tensors)), folder / "model")
    return {path.name: path.read_bytes()}


def valid_heads(folder: Path) -> dict[str, bytes]:
    """Make the ``face.glb`` of the template."""
    from backend.exchange.assemble import assemble, with_pictures
    from backend.exchange.gltf import write_glb
    from backend.geometry.template import load_template

    template = load_template()
    albedo = np.full((64, 64, 3), 140, np.uint8)
    write_glb(
        with_pictures(assemble(template, template.vertices, template.expressions), template, albedo),
        folder / "face.glb",
    )
    return {"face.glb": (folder / "face.glb").read_bytes()}


def inputs(kinds: list[str], whole: float, side: int, seed: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (kind, path) of bad files, made one after the other: of ``whole`` inputs each kind's share, plus the
    hostile ones."""
    rng = np.random.default_rng(seed)
    makers: dict[str, Callable[[], dict[str, bytes]]] = {
        "photos": valid_photos,
        "takes": valid_live_link_files,
        "videos": lambda: valid_videos(folder),
        "models": lambda: valid_models(folder),
        "heads": lambda: valid_heads(folder),
    }
    for kind in kinds:
        good = makers[kind]()
        special = {"photos": lambda: decompression_bombs(side), "takes": malformed_live_link_files}.get(
            kind, lambda: iter(())
        )
        for name, data in special():
            yield kind, _written(folder / kind / name, data)
        if kind == "photos":
            (folder / "no files").mkdir()
            for path in non_file_paths(folder / "no files"):
                yield kind, Path(path)
        for number in range(round(whole * SHARES[kind])):
            name = sorted(good)[number % len(good)]
            path = _written(folder / kind / str(number) / name, damaged(good[name], rng))
            yield kind, path
            path.unlink()


def _written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@dataclass(frozen=True)
class Outcome:
    """Result of one input: ``read``, ``refused``, ``traceback`` or ``hang``; the message, and the processor time in
    seconds."""

    kind: str
    path: str
    result: str
    text: str
    seconds: float


def read_input(kind: str, path: Path) -> None:
    """Read an input as the commands do; raises the errors that they turn into a sentence."""
    if kind == "photos":
        from backend.photos.collection import PhotoSource
        from backend.photos.reading import read_photo

        read_photo(PhotoSource.from_path(path))
    elif kind == "takes":
        from backend.expression.clip import read_live_link

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
        from backend.expression.subject import read_neutral

        read_neutral(path.parent)


def run_reader() -> None:
    """Run the reading process: a line of JSON in, a line out, in an endless loop."""
    from backend.errors import LikenessError
    from backend.photos.collection import PhotoUnreadableError

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of libraries goes to stderr
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
    """The reading process, seen from the benchmark. ``peak_mb`` : peak memory of the largest process so far.
    ``above`` : ids of the processes above ``MOST_MB``."""

    def __init__(self) -> None:
        self.peak_mb, self.above = 0.0, set()
        self._start()

    def read(self, kind: str, path: Path, seconds: float) -> Outcome:
        """Read one input with a limit of ``seconds``."""
        start, before, took = time.monotonic(), self._look(), 0.0
        self._process.stdin.write(json.dumps([kind, str(path)]).encode() + b"\n")
        self._process.stdin.flush()
        os.set_blocking(self._process.stdout.fileno(), False)
        while True:
            took = max(took, self._look() - before)  # child processes may be gone by now
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
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, __file__, "--reader"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def _look(self) -> float:
        """Processor seconds of the process and its children so far."""
        used = processor_seconds(self._process.pid)
        sizes = {one: resident_mb(one, peak=True) for one in used}
        self.peak_mb = max(self.peak_mb, *sizes.values(), 0.0)
        self.above |= {one for one, size in sizes.items() if size > MOST_MB}
        return sum(used.values())


def processor_seconds(process: int) -> dict[int, float]:
    """Processor seconds so far by process id, of a process and all its descendants."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
        used[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    family = {process}
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    return {one: used[one] for one in family if one in used}


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Change a few bytes, delete a part, or repeat a part."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(changed) + 1)
        way = draw.random()
        if way < 0.5 and place < len(changed):
            changed[place] = draw.randrange(256)
        elif way < 0.75:
            del changed[place : place + draw.randint(1, 20)]
        else:
            changed[place:place] = changed[place : place + draw.randint(1, 20)] or b"["
    return bytes(changed)


def malformed(draw: random.Random) -> tuple[bytes, ...]:
    """Frames of a randomly changed message."""
    return mutated(json.dumps(draw.choice(VALID)).encode(), draw), *[b"abc"] * draw.choice((0, 0, 1, 2))


def half_handshake(server: ServerProcess, draw: random.Random) -> socket.socket:
    """Open a connection that begins ZeroMQ's greeting and continues with random bytes, or stops; it stays open."""
    host, port = server.endpoint.removeprefix("tcp://").rsplit(":", 1)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + b"\x00" + bytes(31)
    line = socket.create_connection((host, int(port)), timeout=5)
    line.sendall(greeting[: draw.randrange(len(greeting) + 1)] + draw.randbytes(draw.choice((0, 0, 7, 200))))
    return line


def malformed_with_the_key(server: ServerProcess, count: int, draw: random.Random) -> int:
    """Send invalid messages; returns how often the server then did not answer."""
    unanswered = 0
    for first in range(0, count, 200):
        client = ServiceClient(server.endpoint, server.public_key, server.keys())
        client.hello()
        for _ in range(min(200, count - first)):
            client.send_raw(*malformed(draw))
        unanswered += not answers(client)
        client.close()
    return unanswered


def unknown_client_replies(server: ServerProcess, count: int, draw: random.Random) -> int:
    """Send valid messages under unknown keys, or without any; returns how many connections were answered."""
    answered = 0
    for first in range(0, count, 50):
        keys = tuple(key.decode() for key in zmq.curve_keypair())
        client = ServiceClient(server.endpoint, server.public_key, keys if draw.random() < 0.7 else None)
        for _ in range(min(50, count - first)):
            try:
                client.socket.send_multipart([json.dumps(draw.choice(VALID)).encode()], zmq.DONTWAIT)
            except zmq.Again:
                break
        answered += bool(client.socket.poll(100))
        client.close()
    return answered


def half_handshakes(server: ServerProcess, count: int, draw: random.Random) -> None:
    """Open connections that do not complete their greeting, ``HALF_OPEN`` at a time."""
    for first in range(0, count, HALF_OPEN):
        lines = [half_handshake(server, draw) for _ in range(min(HALF_OPEN, count - first))]
        time.sleep(0.05)
        for line in lines:
            line.close()


def killed_workers(server: ServerProcess, count: int) -> int:
    """Run jobs whose worker is killed; returns how many did not end with the proper error."""
    client, wrong = server.client(), 0
    for number in range(count):
        job = client.submit(f"kill{number}", "kill")["token"]
        wrong += client.last_message(job).header.get("code") != "worker_died"
    return wrong


def mutated_results(count: int, draw: random.Random) -> tuple[int, list[str]]:
    """Give mutated results to the extension's reader; returns how many were refused, and other exceptions."""
    message = make()
    header, refused, escaped = json.dumps(message.header).encode(), 0, []
    for _ in range(count):
        buffers = list(message.buffers)
        if draw.random() < 0.6:
            which = draw.randrange(len(buffers))
            if draw.random() < 0.5:
                buffers[which] = mutated(buffers[which][:4096], draw) + buffers[which][4096:]
            else:
                del buffers[which]
        try:
            decode_result(parse_header(mutated(header, draw) if draw.random() < 0.7 else header), buffers)
        except AddonError:
            refused += 1
        except Exception as error:  # what is looked for
            escaped.append(f"{type(error).__name__}: {error}"[:200])
    return refused, escaped


def answers(client: ServiceClient) -> bool:
    """Whether a ping is answered within ten seconds."""
    try:
        client.send({"type": "ping", "request": "soak"})
        return bool(client.wait_for(lambda message: message.header.get("request") == "soak", 10.0))
    except AssertionError:
        return False


def file_figures(count: int, kinds: list[str], side: int, seconds: float, seed: int) -> dict[str, float]:
    """Read ``count`` damaged files, and the hostile ones; prints what was not read or refused."""
    outcomes: list[Outcome] = []
    start, reader = time.monotonic(), Reader()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            for kind in kinds:  # imports for a kind are not counted for its first file
                reader.read(kind, folder / "none" / "none", 600.0)
            for kind, path in inputs(kinds, count / sum(SHARES[kind] for kind in kinds), side, seed, folder):
                outcomes.append(reader.read(kind, path, seconds))
        finally:
            reader.close()
    for outcome in outcomes:
        if outcome.result in ("traceback", "hang"):
            print(f"{outcome.result}: {outcome.kind} {Path(outcome.path).name}: {outcome.text}", file=sys.stderr)
    results = Counter((outcome.kind, outcome.result) for outcome in outcomes)
    for kind in kinds:
        line = ", ".join(f"{results[kind, result]} {result}" for result in ("read", "refused", "traceback", "hang"))
        slowest = max((outcome.seconds for outcome in outcomes if outcome.kind == kind), default=0.0)
        print(f"{kind:10}{line}; the slowest {slowest:.1f} s")
    return {
        "bad_input.inputs": len(outcomes),
        "bad_input.tracebacks": sum(outcome.result == "traceback" for outcome in outcomes),
        "bad_input.hangs": sum(outcome.result == "hang" for outcome in outcomes),
        "bad_input.above_4_gb": len(reader.above),
        "bad_input.peak_mb": reader.peak_mb,
        "bad_input.seconds": time.monotonic() - start,
    }


def message_figures(count: int, seed: int) -> dict[str, float]:
    """Send ``count`` messages of all kinds to a server and to the extension's reader."""
    draw = random.Random(seed)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder) / "server")
        try:
            client = server.client()
            assert client.last_message(client.submit("first", "answer")["token"]).type == "result"
            before = resident_mb(server.process.pid)
            figures["unanswered"] = malformed_with_the_key(server, round(0.4 * count), draw)
            figures["strangers_answered"] = unknown_client_replies(server, round(0.15 * count), draw)
            half_handshakes(server, round(0.06 * count), draw)
            figures["jobs_ended_wrong"] = killed_workers(server, max(1, round(0.002 * count)))
            last = server.client()
            works = last.last_message(last.submit("last", "answer")["token"]).type == "result"
            figures["does_not_work_afterwards"] = int(not works)
            figures["server_growth_mb"] = resident_mb(server.process.pid) - before
        finally:
            server.close()
    refused, escaped = mutated_results(round(0.4 * count), draw)
    for text in sorted(set(escaped))[:10]:
        print(f"escaped: {text}")
    return figures | {"results_refused": refused, "results_escaped": len(escaped)}


BUDGETS = {
    **dict.fromkeys(("bad_input.tracebacks", "bad_input.hangs", "bad_input.above_4_gb"), 0),
    **dict.fromkeys(("unanswered", "strangers_answered", "jobs_ended_wrong", "does_not_work_afterwards"), 0),
    "results_escaped": 0,
    "server_growth_mb": MOST_GROWTH_MB,
}


def main() -> int:
    """Run both parts; returns the exit code."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--files", type=int, default=433, help="damaged ones; those made to harm come on top; 0: none")
    parser.add_argument("--kinds", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--side", type=int, default=10_900, help="of the photos that cost much, in pixels")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the processor; more is a hang")
    parser.add_argument("--messages", type=int, default=10_000, help="messages, handshakes and results; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        run_reader()
        return 0
    figures: dict[str, float] = {}
    if arguments.files:
        figures |= file_figures(arguments.files, arguments.kinds, arguments.side, arguments.seconds, arguments.seed)
    if arguments.messages:
        figures |= message_figures(arguments.messages, arguments.seed)
    return report(figures, arguments.json, BUDGETS)


if __name__ == "__main__":
    sys.exit(main())
