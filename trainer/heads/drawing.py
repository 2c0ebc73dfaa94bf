"""Photographs of heads, drawn by Blender's Cycles in a process of its own (``benchmarks/cycles_photos.py``)."""

import importlib.util
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from backend.errors import LikenessError
from backend.rendering.camera import Camera, look_at
from trainer.engine.disk_cache import save_arrays, write_bytes

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "cycles_photos.py"
MATERIALS = ("skin", "eye", "hair", "cloth", "teeth")


@dataclass(frozen=True)
class Part:
    """A mesh of a scene, metres.

    Attributes
    ----------
    material : of ``MATERIALS``. points : (V, 3). faces : (F, 3 or 4). values : colours (V, 3) in linear light, or
        coordinates (F, K, 2) in ``texture``, the path of a picture; ``transparent`` : by its alpha. tint : factor on
        the colours. levels : of Catmull-Clark subdivision. relief : picture of heights and metres from black to
        white.
    """

    material: str
    points: np.ndarray
    faces: np.ndarray
    values: np.ndarray
    texture: Path | None = None
    transparent: bool = False
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    levels: int = 0
    relief: tuple[Path, float] | None = None


@dataclass(frozen=True)
class Light:
    """Light about a face that looks along +z.

    Attributes
    ----------
    sky : (3,) radiance from everywhere. lamps : of each the offset from the face in metres, its side in metres, watts
        and colour. wall : two colours that the camera sees behind, mixed by noise of number ``wall_seed``.
    """

    sky: tuple[float, float, float]
    lamps: tuple[tuple[tuple[float, float, float], float, float, tuple[float, float, float]], ...]
    wall: tuple[tuple[float, float, float], tuple[float, float, float]]
    wall_seed: float


@dataclass(frozen=True)
class Shot:
    """How a picture is taken. aperture : f-number. focus : sharp distance, metres. exposure : stops. view : Blender's
    tone curve, Standard, Filmic or AgX. seed : of all noise.
    quality : of the JPEG."""

    camera: Camera
    light: Light
    aperture: float
    focus: float
    exposure: float
    view: str
    samples: int
    seed: int
    quality: int = 85


VIEWS = ((0.0, 2.0), (28.0, -5.0), (-33.0, 4.0), (48.0, 2.0), (-48.0, -4.0), (12.0, 12.0))
"""Yaw and pitch in degrees of a head's photos, before jitter."""
DISTANCES, SPANS = (0.45, 2.0), (0.28, 0.40)
"""Metres from the face, from a phone at arm's length to a portrait lens; metres across at the face."""
EYES_BEFORE = 0.03
"""Metres by which the eyes, which are sharp, are nearer than the face's middle."""
SIDE, SAMPLES = 440, 8
"""Pixels a side of a picture for evaluation, whose faces are 200 to 300 wide as in press photos; samples a pixel, which
OpenImageDenoise cleans."""
LIGHTS = ("window", "studio", "overcast", "sun", "flash")


def draw_light(name: str, camera: np.ndarray, generator: np.random.Generator) -> Light:
    """One of ``LIGHTS`` for a camera at ``camera`` (3,), metres from the face."""
    turn = float(generator.uniform(-1.2, 1.2))
    side = 1.0 if turn > 0 else -1.0
    distance = float((camera**2).sum())
    sky, lamps = {
        "window": (0.25, (((1.35 * side, 0.4, 0.8), 1.1, 35.0, (0.9, 0.97, 1.0)),)),
        "studio": (
            0.12,
            (
                ((0.9 * side, 0.7, 1.2), 0.6, 28.0, (1.0, 0.96, 0.92)),
                ((-1.1 * side, 0.1, 1.0), 0.9, 9.0, (1.0, 1.0, 1.0)),
                ((-0.6 * side, 0.8, -1.2), 0.3, 12.0, (1.0, 1.0, 1.0)),
            ),
        ),
        "overcast": (0.75, (((0.0, 2.0, 0.6), 2.5, 60.0, (0.97, 0.99, 1.0)),)),
        "sun": (0.45, (((3.0 * np.sin(turn), 2.4, 3.0 * np.cos(turn)), 0.05, 330.0, (1.0, 0.93, 0.82)),)),
        "flash": (0.18, ((tuple(camera + np.array([0.02, 0.03, 0.0])), 0.02, 14.0 * distance, (1.0, 1.0, 1.0)),)),
    }[name]
    wall = generator.uniform(0.04, 0.5, (2, 1)) * generator.uniform(0.8, 1.2, (2, 3))
    colour = sky * generator.uniform(0.85, 1.15, 3)
    return Light(tuple(colour), lamps, tuple(map(tuple, wall)), float(generator.uniform(0.0, 100.0)))


def draw_shot(seed: int, number: int, middle: np.ndarray) -> Shot:
    """Picture ``number`` of a head whose face's middle is ``middle`` (3,): one of ``VIEWS``, with distance, lens,
    light and film by chance; the same seed and number give the same."""
    generator = np.random.default_rng([2026, seed, number])
    yaw, pitch = np.array(VIEWS[number]) + generator.uniform(-4.0, 4.0, 2)
    away = float(np.exp(generator.uniform(*np.log(DISTANCES))))
    focal = SIDE * away / generator.uniform(*SPANS)
    aim = middle + generator.uniform(-0.02, 0.02, 3)
    camera = look_at(yaw, pitch, generator.uniform(-4.0, 4.0), away, focal, (SIDE, SIDE), aim)
    light = draw_light(str(generator.choice(LIGHTS)), camera.centre() - middle, generator)
    view = str(generator.choice(["Standard", "AgX", "Filmic"]))
    quality = int(generator.integers(72, 93))
    aperture, exposure = float(generator.uniform(4.0, 11.0)), float(generator.uniform(-0.3, 0.3))
    return Shot(camera, light, aperture, away - EYES_BEFORE, exposure, view, SAMPLES, 100 * seed + number, quality)


def draw(parts: Sequence[Part], middle: np.ndarray, shots: Mapping[Path, Shot]) -> None:
    """Write the missing JPEGs of a scene whose lights stand about ``middle`` (3,).

    Raises ``LikenessError`` (``missing_part``) where ``bpy`` is missing or fails.
    """
    missing = {path: shot for path, shot in shots.items() if not path.exists()}
    if not missing:
        return
    if importlib.util.find_spec("bpy") is None:
        advice = "pip install --no-deps -r .ci/blender.txt"
        raise LikenessError("missing_part", "Heads are drawn by Blender's Cycles, and bpy is missing.", advice)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {path: folder / f"{number}.png" for number, path in enumerate(missing)}
        scene = {
            "middle": middle.tolist(),
            "parts": [_plain(part) for part in parts],
            "pictures": [_picture(shot, pictures[path]) for path, shot in missing.items()],
        }
        arrays = {
            f"{number}.{name}": getattr(part, name)
            for number, part in enumerate(parts)
            for name in ("points", "faces", "values")
        }
        save_arrays(folder / "scene.npz", scene=np.array(json.dumps(scene)), **arrays)
        command = [sys.executable, str(PROGRAM), str(folder / "scene.npz")]
        done = subprocess.run(command, capture_output=True, text=True)
        for path, shot in missing.items():
            if not pictures[path].exists():
                raise LikenessError("missing_part", f"Cycles drew no picture: {done.stderr[-300:]}")
            pixels = np.asarray(Image.open(pictures[path]).convert("RGB"), np.float64) / 255
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, phone_jpeg(pixels, np.random.default_rng(shot.seed), shot.quality))


def _plain(part: Part) -> dict[str, object]:
    texture = str(part.texture) if part.texture else ""
    return {
        "material": part.material,
        "texture": texture,
        "transparent": part.transparent,
        "tint": part.tint,
        "levels": part.levels,
        "relief": part.relief and (str(part.relief[0]), part.relief[1]),
    }


def _picture(shot: Shot, file: Path) -> dict[str, object]:
    camera = shot.camera
    return {
        "file": str(file),
        "intrinsics": camera.intrinsics.tolist(),
        "camera_from_head": camera.camera_from_head.tolist(),
        "size": camera.size,
        "light": asdict(shot.light),
    } | {name: getattr(shot, name) for name in ("aperture", "focus", "exposure", "view", "samples", "seed")}


def phone_jpeg(picture: np.ndarray, generator: np.random.Generator, quality: int) -> bytes:
    """Simulate a phone's processing of an sRGB picture (H, W, 3) in [0, 1]: exposure, noise, smoothing, sharpening,
    JPEG."""
    bright = np.quantile(picture.max(-1), 0.97)
    linear = (picture * generator.uniform(0.8, 1.0) / max(bright, 0.2)) if bright < 0.6 else picture
    noisy = linear + generator.normal(size=linear.shape) * generator.uniform(0.004, 0.02) * np.sqrt(linear + 0.02)
    soft = gaussian_filter(noisy, (generator.uniform(0.3, 0.8),) * 2 + (0,))
    sharp = soft + generator.uniform(0.2, 0.7) * (soft - gaussian_filter(soft, (1.2, 1.2, 0)))
    file = io.BytesIO()
    pixels = (np.clip(sharp, 0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()
