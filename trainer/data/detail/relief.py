"""Relief of synthetic people's skin: wrinkles across the compression that expressions cause, folds, moles, pores.

For each group of expressions the mean face's skin has a direction of compression at each place. Line-shaped noise
across this direction (line integral convolution) gives the places of a person's wrinkles. Their depth follows the
strain of the current expression, and with age a greater share of it remains at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from backend.detail.expression_map import vertex_strain
from backend.detail.groups import KEY_GROUPS, group_weights
from backend.detail.window import ORIGIN, SIDE, DetailWindow, detail_window, surface_frames
from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import load_template
from trainer.data.people.maps import MAP_NAMES, full_maps

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


_WAVELENGTHS = (7.5, 6.0, 4.0, 4.0, 6.5, 6.0, 4.0, 8.0, 5.0)
"""Millimetres between lines, in the order of ``KEY_GROUPS``."""


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
    painted : name -> (N, N) of ``trainer.data.people.maps``. below_hair : (N, N) in [0, 1], 0 from the hairline
    upwards,
        where no lines are. blur : ``STRAIN_LENGTH`` in texels.
    """

    window: DetailWindow
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
        """Average a strain (N, N, 3) over ``STRAIN_LENGTH``."""
        small = cv2.resize(strain, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), 0.25 * self.blur)
        return cv2.resize(small, strain.shape[1::-1], interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=2)
def cause(size: int) -> Cause:
    """Compute ``Cause`` for a window of ``size`` texels; cached."""
    template = load_template()
    window = detail_window(template, size)
    surface = window.surface
    rest_positions = surface.lifted(template.vertices[: surface.count].astype(np.float64))
    rest = surface_frames(surface, rest_positions)
    metric = np.linalg.norm(window.image(rest.along.reshape(-1, 6)).reshape(size, size, 3, 2), axis=2).mean(-1)
    texel = np.maximum(metric / size * 1000.0, 0.1)
    sigma = STRAIN_LENGTH * 1000.0 / float(np.median(texel[window.allowed > 0.5]))
    paths, press, most = [], [], []
    for group in KEY_GROUPS:
        posed = template.vertices + np.einsum("k,kvc->vc", group_weights(group), template.expressions)
        positions = surface.lifted(posed[: surface.count].astype(np.float64))
        strain = window.image(vertex_strain(rest, surface_frames(surface, positions)))
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


def _half_strain(window: DetailWindow, positions: np.ndarray, normals: np.ndarray, marks: np.ndarray) -> np.ndarray:
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
    maps = full_maps().numpy()
    resolution = maps.shape[-1]
    place = (np.arange(size) + 0.5) / size * SIDE
    column = (ORIGIN[0] + place) * resolution - 0.5
    row = (1.0 - ORIGIN[1] - SIDE + place) * resolution - 0.5
    x, y = (grid.astype(np.float32) for grid in np.meshgrid(column, row))
    return {name: cv2.remap(image, x, y, cv2.INTER_LINEAR) for name, image in zip(MAP_NAMES, maps, strict=True)}


class Relief:
    """One person's skin in a window."""

    def __init__(self, parameters: ReliefParameters, size: int) -> None:
        self.parameters, self._cause = parameters, cause(size)
        g = np.random.Generator(np.random.Philox(key=parameters.seed))
        known, window = self._cause, self._cause.window
        usual = known.usual_texel
        self._grooves = np.stack(
            [
                _grooves(g, paths, size, wavelength / usual, parameters.sharpness)
                for paths, wavelength in zip(known.paths, parameters.wavelength, strict=True)
            ]
        )
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


_SMILE = list(KEY_GROUPS).index("smile")


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
    g: np.random.Generator,
    paths: tuple[tuple[np.ndarray, np.ndarray], ...],
    size: int,
    wavelength: float,
    sharpness: float,
) -> np.ndarray:
    """(N, N) float32 in [0, 1]: grooves along the paths, ``wavelength`` texels apart on average."""
    noise = g.standard_normal((size, size), np.float32)
    sigma = wavelength / 5.5
    noise = cv2.GaussianBlur(noise, (0, 0), sigma) - cv2.GaussianBlur(noise, (0, 0), 1.8 * sigma)
    total = noise.copy()
    for place, fraction in paths:
        total += cv2.remap(noise, place, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
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
    places = np.argwhere(allowed > 0.5)
    for _ in range(count):
        row, column = places[g.integers(len(places))]
        r = g.uniform(*radius)
        reach = int(np.ceil(3 * r))
        ys, xs = slice(max(row - reach, 0), row + reach + 1), slice(max(column - reach, 0), column + reach + 1)
        y, x = np.mgrid[ys, xs][:, : size - ys.start, : size - xs.start]
        image[ys, xs] = np.maximum(image[ys, xs], np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * (r / 1.5) ** 2)))
    return image
