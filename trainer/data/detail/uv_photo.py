"""Simulate a photograph of skin with relief in UV: shading, blur and compression, then the product's observation."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from backend.detail.observation import PhotoInWindow, frames_in_window
from backend.detail.window import SurfaceFrames
from backend.geometry.smoothstep import smoothstep
from backend.rendering import spherical_harmonics as sh
from trainer.data.detail.occluders import DARK, FaceOccluders
from trainer.data.detail.relief import Cause
from trainer.data.people.light import LightParameters, draw_light
from trainer.data.people.maps import MAP_NAMES, full_tiles, sample_tiles
from trainer.data.people.skin import Columns, SkinParameters, paint_skin

_CAVITY_DARKENING = 0.5
"""Darkening in log units per millimetre below the surroundings, because less of the sky is visible (ambient
occlusion)."""
_CAVITY_LENGTH = 0.002
"""Metres, extent of these surroundings."""
_REFLECTANCE = 0.034
_TILE_SIZE = 0.11
"""Metres that a tile of noise covers."""


@dataclass(frozen=True)
class ShotParameters:
    """One photo of a piece of skin.

    Attributes
    ----------
    towards : (3,) unit, from the face to the camera, head frame. turn : (3, 3) head from camera axes (x right, y up,
        z to the camera). light : lamps and sky, camera axes. exposure : factor on linear light.
    pixels_per_metre : of the photo. noise : standard deviation in sRGB units. quality : of JPEG, 0 for none.
    shadow : share of the key lamp that a cast shadow removes, 0 for none. slip : misregistration of the fit in metres.
    covered : number of occluders, which the masks exclude. light_error : relative error of the light's coefficients.
    seed : of all noise.
    """

    towards: np.ndarray
    turn: np.ndarray
    light: LightParameters
    exposure: float
    pixels_per_metre: float
    noise: float
    quality: int
    shadow: float
    slip: float
    covered: int
    light_error: float
    seed: int


def draw_shot(g: np.random.Generator) -> ShotParameters:
    """Draw an ordinary photo: often small, soft and compressed."""
    yaw, pitch = np.radians(np.clip(g.normal(0, [24.0, 9.0]), [-60, -25], [60, 25]))
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return ShotParameters(
        towards=turn[:, 2],
        turn=turn,
        light=draw_light(g),
        exposure=float(np.exp(g.normal(0, 0.3))),
        pixels_per_metre=float(np.exp(g.uniform(np.log(700), np.log(5000)))),
        noise=float(g.exponential(0.006)),
        quality=int(g.integers(55, 98)) if g.random() < 0.85 else 0,
        shadow=float(g.uniform(0.3, 1.0)) if g.random() < 0.3 else 0.0,
        slip=float(abs(g.normal(0, 0.0005))),
        covered=int(g.poisson(0.5)),
        light_error=float(abs(g.normal(0, 0.08))),
        seed=int(g.integers(1 << 31)),
    )


def paint(cause: Cause, skin: SkinParameters, moles: np.ndarray) -> np.ndarray:
    """(N, N, 3) linear albedo of a person's skin without painted lines, which are relief here. moles : (N, N) in [0,
    1]."""
    size = cause.window.size
    maps = torch.from_numpy(np.stack([cause.painted[name] for name in MAP_NAMES]).reshape(len(MAP_NAMES), -1))
    row, column = np.mgrid[:size, :size].astype(np.float32)
    step = float(np.median(cause.texel[cause.window.allowed > 0.5])) / 1000.0 / _TILE_SIZE
    place = torch.from_numpy(np.stack([column.ravel(), row.ravel()], 1) * np.float32(step))
    tiles = full_tiles()[None]
    tiles = torch.cat([tiles, tiles[..., :1]], -1)
    tiles = torch.cat([tiles, tiles[..., :1, :]], -2)
    start = torch.tensor(skin.noise, dtype=torch.float32)
    columns = Columns([skin], torch.device("cpu"))
    image = torch.zeros(size * size, dtype=torch.int64)
    sampled = sample_tiles(tiles, place + start[:2])
    painted = paint_skin(maps, sampled, sample_tiles(tiles, place * 1.7 + start[2:4]), columns, image)
    albedo = painted.albedo.numpy().reshape(size, size, 3)
    dark = np.array([0.55, 0.75, 0.85], np.float32)
    return albedo * (1.0 - moles[..., None] * dark)


def bare_skin(cause: Cause, skin: SkinParameters) -> np.ndarray:
    """(N, N) float32 in [0, 1], skin without brows and beard, which the product masks in photos."""
    window, painted = cause.window, cause.painted
    brows = window.image(window.surface.regions["brows"][:, None])[..., 0]
    beard = np.maximum.reduce([getattr(skin, place) * painted[place] for place in ("moustache", "chin", "jaw")])
    return ((1.0 - smoothstep(0.1, 0.5, brows)) * (1.0 - smoothstep(0.05, 0.3, beard))).astype(np.float32)


def take_photo(
    cause: Cause,
    frames: SurfaceFrames,
    height: np.ndarray,
    albedo: np.ndarray,
    gloss: float,
    shot: ShotParameters,
    in_front: FaceOccluders | None = None,
) -> PhotoInWindow:
    """Render the photo and unwrap it into the window as a fit would.

    Parameters
    ----------
    frames : of the posed, smooth face. height : (N, N) millimetres. albedo : (N, N, 3) linear.
    gloss : strength of highlights. in_front : occluders besides ``ShotParameters.covered``.
    """
    g = np.random.Generator(np.random.Philox(key=shot.seed))
    window, size = cause.window, cause.window.size
    density = cause.density
    normals, across = frames_in_window(window, frames)
    dy, dx = np.gradient(height * np.float32(1e-3 * size))
    bumped = normals - (across * np.stack([dx, dy], -1)[..., None]).sum(2)
    bumped /= np.maximum(np.linalg.norm(bumped, axis=-1, keepdims=True), 1e-6)
    light, total = _light_in_head(shot)
    lit = _shaded(bumped, normals, light, shot, g, size)
    surroundings = cv2.GaussianBlur(height, (0, 0), _CAVITY_LENGTH * density)
    lit = lit * np.exp(_CAVITY_DARKENING * np.clip(height - surroundings, -2.0, 0.3))[..., None]
    linear = albedo * lit + _highlight(bumped, light, shot, gloss)
    level = float(np.mean(linear[window.allowed > 0.5]))
    scale = 0.26 * shot.exposure / max(level, 1e-4)
    if in_front is not None:
        linear = linear * (1.0 - DARK * in_front.opacity[..., None])
    picture = _developed(linear * scale, shot, density, g)
    cosine = normals @ shot.towards.astype(np.float32)
    weight = smoothstep(0.15, 0.5, cosine) * _visibility(g, shot.covered, size) * (np.abs(normals).sum(-1) > 0)
    mouth = smoothstep(0.2, 0.6, cause.painted["mouth"])
    brightest = picture.max(-1)
    weight = weight * (1.0 - mouth) * (1.0 - 0.9 * smoothstep(0.88, 0.99, brightest))
    if in_front is not None:
        weight = weight * in_front.weight
    error = 1.0 + shot.light_error * g.standard_normal((9, 1))
    return PhotoInWindow(
        np.log(np.maximum(picture, 0.003)).astype(np.float32),
        weight.astype(np.float32),
        normals,
        across,
        total * scale * error,
        shot.pixels_per_metre,
    )


@dataclass(frozen=True)
class _HeadLight:
    directions: np.ndarray
    colours: np.ndarray
    softness: np.ndarray
    ambient: np.ndarray


def _light_in_head(shot: ShotParameters) -> tuple[_HeadLight, np.ndarray]:
    """The shot's light in the head frame, and its sum in three SH bands (9, 3)."""
    directions = shot.light.directions.astype(np.float64) @ shot.turn.T
    ambient = sh.rotate(shot.light.ambient.astype(np.float64), shot.turn)
    colours = shot.light.colours.astype(np.float64)
    return (
        _HeadLight(directions, colours, shot.light.softness, ambient),
        ambient + sh.light_from_directions(directions, colours),
    )


def _shaded(
    bumped: np.ndarray,
    smooth: np.ndarray,
    light: _HeadLight,
    shot: ShotParameters,
    g: np.random.Generator,
    size: int,
) -> np.ndarray:
    """(N, N, 3) irradiance for the bumped normals. Lamps fade at the smooth face's terminator; red is blurred by
    subsurface scattering."""
    mixed = 0.75 * bumped + 0.25 * smooth  # subsurface scattering: red sees flatter slopes
    result = np.maximum(sh.shade(bumped.astype(np.float32), light.ambient.astype(np.float32)), 0.0)
    for number, (direction, colour, soft) in enumerate(
        zip(light.directions, light.colours, light.softness, strict=True)
    ):
        wrap = 0.05 + 0.25 * float(soft)
        green = np.maximum((bumped @ direction.astype(np.float32) + wrap) / (1 + wrap), 0.0)
        red = np.maximum((mixed @ direction.astype(np.float32) + wrap) / (1 + wrap), 0.0)
        lamp = np.stack([red, green, green], -1) * colour.astype(np.float32)
        if number == 0 and shot.shadow > 0:
            noise = cv2.resize(
                g.standard_normal((7, 7)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
            )
            edge = 0.05 + 0.5 * float(soft)
            lamp *= (1.0 - shot.shadow * smoothstep(0.6 - edge, 0.6 + edge, noise))[..., None]
        result = result + lamp
    return result


def _highlight(bumped: np.ndarray, light: _HeadLight, shot: ShotParameters, gloss: float) -> np.ndarray:
    """(N, N, 3) Blinn-Phong highlight of the key lamp."""
    half = light.directions[0] + shot.towards
    half /= max(float(np.linalg.norm(half)), 1e-6)
    power = 18.0
    lobe = np.maximum(bumped @ half.astype(np.float32), 0.0) ** power * ((power + 8) / 8)
    facing = np.maximum(bumped @ light.directions[0].astype(np.float32), 0.0)
    return (_REFLECTANCE * gloss * lobe * facing)[..., None] * light.colours[0].astype(np.float32)


def _developed(linear: np.ndarray, shot: ShotParameters, density: float, g: np.random.Generator) -> np.ndarray:
    """(N, N, 3) linear light of the picture after camera and file: resolution, noise and JPEG."""
    size = linear.shape[0]
    side = int(np.clip(round(size * shot.pixels_per_metre / density), 48, size))
    small = cv2.resize(linear.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), float(g.uniform(0.35, 0.9)))
    encoded = np.where(small <= 0.0031308, 12.92 * small, 1.055 * np.maximum(small, 1e-6) ** (1 / 2.4) - 0.055)
    encoded = encoded + shot.noise * g.standard_normal(encoded.shape).astype(np.float32)
    picture = np.clip(encoded * 255.0, 0, 255).round().astype(np.uint8)
    if shot.quality:
        packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, shot.quality])[1]
        picture = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
    bent = g.standard_normal((2, 5, 5)).astype(np.float32) * np.float32(shot.slip * density * side / size)
    column, row = np.meshgrid((np.arange(size) + 0.5) * side / size - 0.5, (np.arange(size) + 0.5) * side / size - 0.5)
    x, y = (
        (grid + cv2.resize(offset, (size, size), interpolation=cv2.INTER_CUBIC)).astype(np.float32)
        for grid, offset in zip((column, row), bent, strict=True)
    )
    picture = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32) / 255.0
    return np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)


def _visibility(g: np.random.Generator, count: int, size: int) -> np.ndarray:
    """(N, N) mask, 0 at occluders."""
    image = np.ones((size, size), np.float32)
    for _ in range(count):
        middle = tuple(int(v) for v in g.integers(0, size, 2))
        axes = tuple(int(v) for v in np.exp(g.uniform(np.log(0.03), np.log(0.3), 2)) * size)
        cv2.ellipse(image, middle, axes, float(g.uniform(0, 180)), 0, 360, 0.0, -1)
    return cv2.GaussianBlur(image, (0, 0), 2.0)
