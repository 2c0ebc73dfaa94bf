"""Input files for ``bad_input.py``: good ones of every kind, randomly damaged with a seed, and hostile ones."""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import backend  # noqa: F401  # its settings for numpy must be set before numpy is imported

import numpy as np  # isort: skip

SHARES = {"photos": 0.4, "takes": 0.12, "videos": 0.12, "models": 0.12, "heads": 0.04, "messages": 0.2}
"""Kind -> its share of all inputs."""


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
    (path,) = save_model(ModelWeights("small", {"widths": [1, 2]}, tensors, fingerprint(tensors)), folder / "model")
    return {path.name: path.read_bytes()}


def valid_heads(folder: Path) -> dict[str, bytes]:
    """Make the ``face.glb`` of the template."""
    from backend.exchange.assemble import assemble
    from backend.exchange.gltf import write_glb
    from backend.geometry.template import load_template

    template = load_template()
    albedo = np.full((64, 64, 3), 140, np.uint8)
    write_glb(assemble(template, template.vertices, template.expressions, albedo, (), {}), folder / "face.glb")
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
