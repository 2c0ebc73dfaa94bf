"""Relief of synthetic people's skin, and photographs of it; ``typical_depths`` are those of Blender's *Typical Lines*.

For each group of expressions the mean face's skin has a direction of compression at each place. Line-shaped noise
across this direction (line integral convolution) gives the places of a person's wrinkles. Their depth follows the
strain of the current expression, and with age a greater share of it remains at rest. A photograph is the relief's
shading in UV, blurred and compressed, and unwrapped as the product does it.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch

from backend.detail import window as windows
from backend.detail.skin_detail import KEY_GROUPS, group_weights
from backend.geometry.template import load_template
from backend.geometry.vectors import smoothstep
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import linear_from_srgb
from trainer.people import skin as skins
from trainer.people.scene import HeadLight, LightParameters, draw_light, head_light

STRAIN_LENGTH = 0.004
"""Metres over which strain is averaged, because skin slides over the tissue below."""
_HALF_STRAIN = {"forehead": 0.08, "brows": 0.06, "nose": 0.08, "eyes": 0.07, "mouth": 0.16, "below": 0.6, "else": 0.2}
"""Compression at which a wrinkle has half of its depth; thin skin folds first. ``eyes``: within ``_CORNER_REACH`` of
the outer corners; ``mouth``: within ``_CORNER_REACH`` of its corners; ``below``: downward-facing skin."""
_CORNER_REACH = 0.030
"""Metres."""
_COMPRESSED_DEPTH = 1.6
"""Depth of a wrinkle in fully compressed skin, relative to the deepest wrinkle at rest."""
_HAIRLINE_FADE = 0.006
"""Metres, standard deviation of the blur that fades lines out below the hairline: to half their depth a centimetre
below it. The muscle that lifts the brows ends there, also on bald heads."""
_STEPS, _STEP = 8, 2.6 / 512
"""Line integral convolution: number of steps to each side, and a step's length in sides of the window."""
_WAVELENGTHS = (7.5, 6.0, 4.0, 4.0, 6.5, 6.0, 4.0, 8.0, 5.0)
"""Millimetres between lines, in the order of ``KEY_GROUPS``."""
_TYPICAL_SEED = 2
"""Noise of the typical lines: three or four on the forehead, none straight."""
_TYPICAL_SPACING, _TYPICAL_FOLD = 1.2, 1.6
"""Factor on ``_WAVELENGTHS``, and millimetres of a smile's fold. A line is as deep as a
tenth of the way to the next."""
_SMILE = list(KEY_GROUPS).index("smile")
_CAVITY_DARKENING = 0.5
"""Darkening in log units per millimetre below the surroundings, because less of the sky is visible (ambient
occlusion)."""
_CAVITY_LENGTH = 0.002
"""Metres, extent of these surroundings."""
_REFLECTANCE = 0.034
_TILE_SIZE = 0.11
"""Metres that a tile of noise covers."""


@dataclass(frozen=True)
class ReliefParameters:
    """One person's skin. Lengths in millimetres.

    Attributes
    ----------
    age : 0 (young) to 1 (old). depth : of the deepest wrinkles at rest. stays : share of it that remains at rest.
    wavelength : (G,) distance of the lines of each group. sharpness : exponent of the grooves' profile.
    fold, bag : depth of the nasolabial fold (partly scaled by strain) and of the eye bags.
    pores : standard deviation of the fine relief that is always there. moles : number of raised ones. seed : of all
    noise.
    """

    age: float
    depth: float
    stays: float
    wavelength: tuple[float, ...]
    sharpness: float
    fold: float
    bag: float
    pores: float
    moles: int
    seed: int


def draw_relief(generator: np.random.Generator, age: float) -> ReliefParameters:
    """Draw skin for an ``age`` of 0 to 1."""
    g = generator
    worn = float(np.clip(age + g.normal(0, 0.15), 0, 1.2))
    return ReliefParameters(
        age=age,
        depth=float((0.22 + 0.48 * worn) * np.exp(g.normal(0, 0.35))),
        stays=float(np.clip(0.65 * worn**1.6 * np.exp(g.normal(0, 0.4)), 0.0, 0.9)),
        wavelength=tuple(float(base * np.exp(g.normal(0, 0.22))) for base in _WAVELENGTHS),
        sharpness=float(g.uniform(0.9, 1.8)),
        fold=float((0.25 + 0.75 * worn) * np.exp(g.normal(0, 0.35))),
        bag=float(0.35 * worn * np.exp(g.normal(0, 0.5))),
        pores=float(0.008 * np.exp(g.normal(0, 0.5))),
        moles=int(g.poisson(1.5)),
        seed=int(g.integers(1 << 31)),
    )


@dataclass(frozen=True)
class Cause:
    """Effect of the groups of keys on the mean face's skin, at the texels of a window.

    Attributes
    ----------
    window : the window. half : (N, N) ``_HALF_STRAIN`` at each texel. texel : (N, N) size of a texel in millimetres, at
        least 0.1. paths : for each group of keys the positions along the line through each texel, as fixed-point maps
        of
        ``cv2.remap``. press : (G, N, N, 3) coefficients (xx, yy, xy) that give a strain's compression across the line.
        most : (G, N, N) compression at the group's full strength.
    painted : name -> (N, N) of ``trainer.people.skin``. below_hair : (N, N) in [0, 1], 0 from the hairline
    upwards,
        where no lines are. blur : ``STRAIN_LENGTH`` in texels.
    """

    window: windows.DetailWindow
    half: np.ndarray
    texel: np.ndarray
    paths: tuple[tuple[tuple[np.ndarray, np.ndarray], ...], ...]
    press: np.ndarray
    most: np.ndarray
    painted: dict[str, np.ndarray]
    below_hair: np.ndarray
    blur: float

    @property
    def usual_texel(self) -> float:
        """Median size of a texel where skin may be displaced, millimetres."""
        return float(np.median(self.texel[self.window.allowed > 0.5]))

    @property
    def density(self) -> float:
        """Texels per metre at ``usual_texel``."""
        return 1000.0 / self.usual_texel

    def smoothed(self, strain: np.ndarray) -> np.ndarray:
        """Average a strain (N, N, 3) or a map (N, N) over ``STRAIN_LENGTH``."""
        small = cv2.resize(strain, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), 0.25 * self.blur)
        return cv2.resize(small, strain.shape[1::-1], interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=2)
def cause(size: int) -> Cause:
    """Compute ``Cause`` for a window of ``size`` texels; cached."""
    template = load_template()
    window = windows.detail_window(template, size)
    surface = window.surface
    rest_positions = surface.lifted(template.vertices[: surface.count].astype(np.float64))
    rest = window.frames(rest_positions)
    metric = np.linalg.norm(window.image(rest.along.reshape(-1, 6)).reshape(size, size, 3, 2), axis=2).mean(-1)
    texel = np.maximum(metric / size * 1000.0, 0.1)
    sigma = STRAIN_LENGTH * 1000.0 / float(np.median(texel[window.allowed > 0.5]))
    paths, press, most = [], [], []
    for group in KEY_GROUPS:
        posed = template.vertices + np.einsum("k,kvc->vc", group_weights(group), template.expressions)
        positions = surface.lifted(posed[: surface.count].astype(np.float64))
        strain = window.image(windows.vertex_strain(rest, window.frames(positions)))
        strain = cv2.GaussianBlur(strain, (0, 0), sigma)
        # direction of the strongest compression: the eigenvector of the smaller eigenvalue
        angle = 0.5 * np.arctan2(2 * strain[..., 2], strain[..., 0] - strain[..., 1]) + np.pi / 2
        cosine, sine = np.cos(angle), np.sin(angle)
        coefficients = -np.stack([cosine**2, sine**2, 2 * sine * cosine], -1)
        # along the line: across the compression; y of images runs down
        paths.append(_paths(np.stack([sine, cosine], -1).astype(np.float32)))
        press.append(coefficients)
        most.append(np.maximum((coefficients * strain).sum(-1), 0.0) * window.allowed)
    painted = _window_maps(size)
    near_hair = cv2.GaussianBlur(painted["scalp"], (0, 0), sigma * _HAIRLINE_FADE / STRAIN_LENGTH)
    return Cause(
        window,
        _half_strain(window, rest_positions, rest.normals, template.landmarks478.positions(template.vertices)),
        texel.astype(np.float32),
        tuple(paths),
        np.stack(press).astype(np.float32),
        np.stack(most).astype(np.float32),
        painted,
        smoothstep(0.5, 0.0, near_hair).astype(np.float32),
        sigma,
    )


def _half_strain(
    window: windows.DetailWindow, positions: np.ndarray, normals: np.ndarray, marks: np.ndarray
) -> np.ndarray:
    """(N, N) float32, see ``Cause.half``."""
    regions = window.surface.regions
    folds = np.full(len(positions), 1.0 / _HALF_STRAIN["else"])  # how readily: the inverse mixes better
    near_eyes = np.min([np.linalg.norm(positions - marks[k], axis=1) for k in (33, 263)], axis=0)
    near_mouth = np.min([np.linalg.norm(positions - marks[k], axis=1) for k in (61, 291)], axis=0)
    masks = {name: regions[name] for name in ("forehead", "brows", "nose")}
    masks["eyes"] = smoothstep(1.3 * _CORNER_REACH, 0.7 * _CORNER_REACH, near_eyes)
    masks["mouth"] = smoothstep(1.3 * _CORNER_REACH, 0.7 * _CORNER_REACH, near_mouth)
    masks["below"] = smoothstep(-0.2, -0.6, normals[:, 1])
    for name, mask in masks.items():
        folds += np.clip(mask, 0.0, 1.0) * (1.0 / _HALF_STRAIN[name] - folds)
    half = 1.0 / window.image(folds[:, None])[..., 0].clip(0.5)
    return cv2.GaussianBlur(half.astype(np.float32), (0, 0), window.size / 85.0)


def _window_maps(size: int) -> dict[str, np.ndarray]:
    """Maps of painted lines, beards and colours, cropped to the window."""
    maps = skins.full_maps().numpy()
    resolution = maps.shape[-1]
    coordinates = (np.arange(size) + 0.5) / size * windows.SIDE
    column = (windows.ORIGIN[0] + coordinates) * resolution - 0.5
    row = (1.0 - windows.ORIGIN[1] - windows.SIDE + coordinates) * resolution - 0.5
    x, y = (grid.astype(np.float32) for grid in np.meshgrid(column, row))
    return {name: cv2.remap(image, x, y, cv2.INTER_LINEAR) for name, image in zip(skins.MAP_NAMES, maps, strict=True)}


class Relief:
    """One person's skin in a window."""

    def __init__(self, parameters: ReliefParameters, size: int) -> None:
        self.parameters, self._cause = parameters, cause(size)
        g = np.random.Generator(np.random.Philox(key=parameters.seed))
        known, window = self._cause, self._cause.window
        usual = known.usual_texel
        noise = g.standard_normal((len(known.paths), size, size), np.float32)
        lines = zip(noise, known.paths, np.array(parameters.wavelength) / usual, strict=True)
        self._grooves = np.stack([_grooves(*one, parameters.sharpness) for one in lines])
        strength = np.exp(0.35 * _noise(g, size, 60.0 / usual, len(self._grooves)))
        self._strength = parameters.depth * strength * known.below_hair
        still = _hill_curve(known.most, known.half)
        self._still = parameters.stays * still * self._strength
        bend_x, bend_y = 3.0 / usual * _noise(g, size, 25.0 / usual, 2)
        fold = _warped(known.painted["nasolabial"], bend_x, bend_y)
        bag = _warped(known.painted["eye_bag"], bend_x, bend_y)
        self._fold = (parameters.fold * (0.4 + 0.6 * parameters.age) * fold, parameters.fold * fold)
        fine = _noise(g, size, 1.6 / usual, 1)[0] + 0.7 * _noise(g, size, 4.0 / usual, 1)[0]
        always = parameters.pores * fine * (1 + 0.8 * known.painted["nose"])
        always -= parameters.bag * bag
        self.moles = spots(g, window.allowed, parameters.moles, (0.8 / usual, 2.5 / usual))
        self._always = always + 0.35 * self.moles

    def displacement(self, strain: np.ndarray) -> np.ndarray:
        """(N, N) float32 millimetres, outwards, for the strain (N, N, 3) of an expression."""
        known = self._cause
        pressed = np.maximum(np.einsum("gyxk,yxk->gyx", known.press, strain), 0.0)
        depth = np.maximum(self._still, _COMPRESSED_DEPTH * self._strength * _hill_curve(pressed, known.half))
        height = self._always - (depth * self._grooves).sum(0)
        squeezed = _hill_curve(pressed[_SMILE], known.half)
        height = height - self._fold[0] - 0.8 * self._fold[1] * squeezed
        return (height * known.window.allowed).astype(np.float32)


def typical_depths(size: int) -> np.ndarray:
    """(G, N, N) float32 millimetres: lines of each group of keys in middle age, few, long and uneven, and a smile's
    soft fold. All groups share one noise, so that lines meet where two groups press the same way, and none draws
    another's lines, which would cross its own."""
    known, g = cause(size), np.random.Generator(np.random.Philox(key=_TYPICAL_SEED))
    noise, usual = g.standard_normal((size, size), np.float32), known.usual_texel
    bearded = np.maximum(known.painted["chin"], known.painted["jaw"])
    uneven = np.exp(0.25 * _noise(g, size, 60 / usual, 1)[0]) * (1.0 - 0.5 * bearded)
    pressed = _hill_curve(known.most, known.half)
    lines = zip(known.paths, _TYPICAL_SPACING * np.array(_WAVELENGTHS), strict=True)
    depths = [apart / 10 * _grooves(noise, paths, apart / usual, 1.0, 2) for paths, apart in lines]
    depths = np.stack(depths) * pressed * uneven * known.below_hair * known.window.allowed
    fold = known.smoothed(known.painted["nasolabial"])
    depths[_SMILE] *= 1.0 - bearded  # a smile has no lines beside the chin
    depths[_SMILE] += _TYPICAL_FOLD * fold / fold.max() * known.window.allowed
    return depths.astype(np.float32)


def _hill_curve(pressed: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Share of the full depth at a compression: a Hill curve, flat at first, then steep."""
    return pressed**2 / (pressed**2 + half**2)


def _noise(g: np.random.Generator, size: int, wavelength: float, count: int) -> np.ndarray:
    """(count, N, N) float32 noise of standard deviation 1, with features of ``wavelength`` texels and larger."""
    sigma = max(wavelength / 5.0, 0.3)
    step = int(np.clip(sigma / 2.0, 1, 16))
    small = -(-size // step)
    made = []
    for _ in range(count):
        noise = cv2.GaussianBlur(g.standard_normal((small, small)).astype(np.float32), (0, 0), sigma / step)
        noise = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
        made.append((noise - noise.mean()) / max(float(noise.std()), 1e-6))
    return np.stack(made)


def _paths(line: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Positions after steps along ``line`` (N, N, 2) from each texel, to both sides: maps for ``cv2.remap``."""
    size = line.shape[0]
    column, row = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    stepped = line * np.float32(_STEP * size)
    maps = []
    for direction in (1.0, -1.0):
        x, y = column.copy(), row.copy()
        flow = stepped * np.float32(direction)
        for _ in range(_STEPS):
            moved = cv2.remap(stepped, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            sign = np.where((moved * flow).sum(-1) < 0, -1.0, 1.0).astype(np.float32)  # a line has no arrow
            flow = moved * sign[..., None]
            x, y = x + flow[..., 0], y + flow[..., 1]
            maps.append(cv2.convertMaps(x, y, cv2.CV_16SC2))
    return tuple(maps)


def _grooves(
    noise: np.ndarray,
    paths: tuple[tuple[np.ndarray, np.ndarray], ...],
    wavelength: float,
    sharpness: float,
    turns: int = 1,
) -> np.ndarray:
    """(N, N) float32 in [0, 1]: grooves along the paths, ``wavelength`` texels apart on average, out of white ``noise``
    (N, N). With more ``turns`` they are longer and fewer."""
    sigma = wavelength / 5.5
    total = cv2.GaussianBlur(noise, (0, 0), sigma) - cv2.GaussianBlur(noise, (0, 0), 1.8 * sigma)
    for _ in range(turns):
        before, total = total, total.copy()
        for path, fraction in paths:
            total += cv2.remap(before, path, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        total /= max(float(total.std()), 1e-6)
    return np.clip((total - 0.35) / 1.9, 0.0, 1.0) ** np.float32(sharpness)


def _warped(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Warp the image by the offsets (x, y) in texels."""
    size = image.shape[0]
    column, row = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    return cv2.remap(image, column + x.astype(np.float32), row + y.astype(np.float32), cv2.INTER_LINEAR)


def spots(g: np.random.Generator, allowed: np.ndarray, count: int, radius: tuple[float, float]) -> np.ndarray:
    """(N, N) in [0, 1]: ``count`` round bumps of random radius, in texels, where ``allowed`` is above 0.5."""
    size = allowed.shape[0]
    image = np.zeros((size, size), np.float32)
    candidates = np.argwhere(allowed > 0.5)
    for _ in range(count):
        row, column = candidates[g.integers(len(candidates))]
        r = g.uniform(*radius)
        reach = int(np.ceil(3 * r))
        ys, xs = slice(max(row - reach, 0), row + reach + 1), slice(max(column - reach, 0), column + reach + 1)
        y, x = np.mgrid[ys, xs][:, : size - ys.start, : size - xs.start]
        image[ys, xs] = np.maximum(image[ys, xs], np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * (r / 1.5) ** 2)))
    return image


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


def paint(cause: Cause, skin: skins.SkinParameters, moles: np.ndarray) -> np.ndarray:
    """(N, N, 3) linear albedo of a person's skin without painted lines, which are relief here. moles : (N, N) in [0,
    1]."""
    size = cause.window.size
    maps = torch.from_numpy(np.stack([cause.painted[name].ravel() for name in skins.MAP_NAMES]))
    row, column = np.mgrid[:size, :size].astype(np.float32)
    step = float(np.median(cause.texel[cause.window.allowed > 0.5])) / 1000.0 / _TILE_SIZE
    points = torch.from_numpy(np.stack([column.ravel(), row.ravel()], 1) * np.float32(step))
    tiles = skins.tiles_at(skins.TILE, torch.device("cpu"))
    start = torch.tensor(skin.noise, dtype=torch.float32)
    columns = skins.columns_of([skin], torch.device("cpu"))
    image = torch.zeros(size * size, dtype=torch.int64)
    sampled = skins.sample_tiles(tiles, points + start[:2])
    painted = skins.paint_skin(maps, sampled, skins.sample_tiles(tiles, points * 1.7 + start[2:4]), columns, image)
    albedo = painted.albedo.numpy().reshape(size, size, 3)
    dark = np.array([0.55, 0.75, 0.85], np.float32)
    return albedo * (1.0 - moles[..., None] * dark)


def bare_skin(cause: Cause, skin: skins.SkinParameters) -> np.ndarray:
    """(N, N) float32 in [0, 1], skin without brows and beard, which the product masks in photos."""
    window, painted = cause.window, cause.painted
    brows = window.image(window.surface.regions["brows"][:, None])[..., 0]
    beard = np.maximum.reduce([getattr(skin, area) * painted[area] for area in ("moustache", "chin", "jaw")])
    return ((1.0 - smoothstep(0.1, 0.5, brows)) * (1.0 - smoothstep(0.05, 0.3, beard))).astype(np.float32)


def take_photo(
    cause: Cause,
    frames: windows.SurfaceFrames,
    height: np.ndarray,
    albedo: np.ndarray,
    gloss: float,
    shot: ShotParameters,
) -> windows.PhotoInWindow:
    """Render the photo and unwrap it into the window as a fit would.

    Parameters
    ----------
    frames : of the posed, smooth face. height : (N, N) millimetres. albedo : (N, N, 3) linear.
    gloss : strength of highlights.
    """
    g = np.random.Generator(np.random.Philox(key=shot.seed))
    window, size = cause.window, cause.window.size
    density = cause.density
    normals, across = windows.frames_in_window(window, frames)
    dy, dx = np.gradient(height * np.float32(1e-3 * size))
    bumped = normals - (across * np.stack([dx, dy], -1)[..., None]).sum(2)
    bumped /= np.maximum(np.linalg.norm(bumped, axis=-1, keepdims=True), 1e-6)
    light = head_light(shot.light, shot.turn)
    lit = _shaded(bumped, normals, light, shot, g, size)
    surroundings = cv2.GaussianBlur(height, (0, 0), _CAVITY_LENGTH * density)
    lit = lit * np.exp(_CAVITY_DARKENING * np.clip(height - surroundings, -2.0, 0.3))[..., None]
    linear = albedo * lit + _highlight(bumped, light, shot, gloss)
    level = float(np.mean(linear[window.allowed > 0.5]))
    scale = 0.26 * shot.exposure / max(level, 1e-4)
    picture = _developed(linear * scale, shot, density, g)
    cosine = normals @ shot.towards.astype(np.float32)
    weight = smoothstep(0.15, 0.5, cosine) * _visibility(g, shot.covered, size) * (np.abs(normals).sum(-1) > 0)
    mouth = smoothstep(0.2, 0.6, cause.painted["mouth"])
    brightest = picture.max(-1)
    weight = weight * (1.0 - mouth) * (1.0 - 0.9 * smoothstep(0.88, 0.99, brightest))
    error = 1.0 + shot.light_error * g.standard_normal((9, 1))
    return windows.PhotoInWindow(
        np.log(np.maximum(picture, 0.003)).astype(np.float32),
        weight.astype(np.float32),
        normals,
        across,
        light.total * scale * error,
        shot.pixels_per_metre,
    )


def _shaded(
    bumped: np.ndarray, smooth: np.ndarray, light: HeadLight, shot: ShotParameters, g: np.random.Generator, size: int
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
            noise = g.standard_normal((7, 7)).astype(np.float32)
            noise = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
            edge = 0.05 + 0.5 * float(soft)
            lamp *= (1.0 - shot.shadow * smoothstep(0.6 - edge, 0.6 + edge, noise))[..., None]
        result = result + lamp
    return result


def _highlight(bumped: np.ndarray, light: HeadLight, shot: ShotParameters, gloss: float) -> np.ndarray:
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
    return linear_from_srgb(picture)


def _visibility(g: np.random.Generator, count: int, size: int) -> np.ndarray:
    """(N, N) mask, 0 at occluders."""
    image = np.ones((size, size), np.float32)
    for _ in range(count):
        middle = tuple(int(v) for v in g.integers(0, size, 2))
        axes = tuple(int(v) for v in np.exp(g.uniform(np.log(0.03), np.log(0.3), 2)) * size)
        cv2.ellipse(image, middle, axes, float(g.uniform(0, 180)), 0, 360, 0.0, -1)
    return cv2.GaussianBlur(image, (0, 0), 2.0)
