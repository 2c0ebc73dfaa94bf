"""People before they are rasterized, for ``people/source.py``, which draws them and stores what it drew.

``PeopleSampler`` draws the parameters of a person and of each photo or clip (a ``Shot``); ``Stage`` poses a batch of
them (``Posed``). Before these, the light of ordinary photographs: three SH bands; key, fill and rim lamp.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from backend.photos.regions import LID_LOWER, LID_UPPER
from backend.rendering.camera import PerspectiveCameras
from backend.rendering.spherical_harmonics import light_from_directions, rotate
from protocol.names import LIDS
from trainer.people import camera as viewing
from trainer.people import shape
from trainer.people.background import BackgroundParameters, draw_background
from trainer.people.look import TABLES, Numbers, PersonLook, draw_look
from trainer.people.skin import PartsParameters, SkinParameters, draw_parts, draw_skin
from trainer.people.worn import WornParameters, draw_worn


@dataclass(frozen=True)
class LightParameters:
    """The light of one picture, in upright camera axes: x right in the picture, y up, z to the camera.

    Attributes
    ----------
    directions : (L, 3) unit vectors towards the lamps; the first is the key light. colours : (L, 3) linear.
    softness : (L,) 0 for the sun, 1 for a large window. ambient : (9, 3) coefficients of the shading by everything
        else, in the form of ``backend.rendering.spherical_harmonics``.
    """

    directions: np.ndarray
    colours: np.ndarray
    softness: np.ndarray
    ambient: np.ndarray


def draw_light(g: np.random.Generator) -> LightParameters:
    """Draw the light: overcast sky, sun, window, room, flash or studio."""
    kinds = list(TABLES["lights"].values())
    kind = kinds[g.choice(len(kinds), p=[one["chance"] for one in kinds])]
    sky_share = kind["ambient"] * float(np.exp(g.normal(0, 0.2)))
    softness = g.uniform(*kind["softness"])
    elevation, azimuth = (np.radians(g.uniform(*kind[angle])) for angle in ("elevation", "azimuth"))
    key = _direction(azimuth, elevation)
    warm = np.clip(g.normal(0.0, 0.5), -1.2, 1.2)
    key_colour = _tint(warm) * (1 - min(sky_share, 0.95)) * 1.5
    fill = _direction(np.radians(g.uniform(-180, 180)), np.radians(g.uniform(-20, 50)))
    fill_colour = _tint(g.normal(-0.2 * warm, 0.4)) * g.exponential(0.10)
    rim = _direction(np.radians(g.choice([-1, 1]) * g.uniform(110, 165)), np.radians(g.uniform(5, 60)))
    rim_colour = _tint(g.normal(0, 0.6)) * g.exponential(0.25) * float(g.random() < 0.4)
    # the environment: brighter from above than from below, with some colour from the ground
    blobs = 8
    directions = g.standard_normal((blobs, 3))
    directions[:, 1] = directions[:, 1] * 0.7 + 0.45
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = g.exponential(1.0, blobs)
    colours = np.stack([_tint(t) for t in g.normal(-0.3 * warm, 0.45, blobs)]) * strength[:, None]
    ambient = light_from_directions(directions, colours, float(strength.sum() * 0.25))
    ambient *= sky_share / max(float(ambient[0].mean()) * 0.2820948, 1e-6)
    return LightParameters(
        np.stack([key, fill, rim]).astype(np.float32),
        np.stack([key_colour, fill_colour, rim_colour]).astype(np.float32),
        np.array([softness, 0.8, 0.6], np.float32),
        ambient.astype(np.float32),
    )


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    """(3,) direction, at zero towards the camera; azimuth to the right, elevation up."""
    return np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])


def _tint(warmth: float) -> np.ndarray:
    """(3,) colour of mean 1 from bluish (-1) to orange (1)."""
    colour = np.exp(np.array([0.22, 0.0, -0.30]) * warmth)
    return colour / colour.mean()


@dataclass(frozen=True)
class Person:
    """Parameters that stay the same in all pictures of a person."""

    identity: shape.IdentityParameters
    look: PersonLook
    skin: SkinParameters
    parts: PartsParameters


@dataclass(frozen=True)
class Shot:
    """Parameters of one picture."""

    person: Person
    expression: shape.ExpressionParameters
    view: viewing.ViewParameters
    light: LightParameters
    worn: WornParameters
    background: BackgroundParameters | None
    film: viewing.FilmParameters | None


@dataclass(frozen=True)
class Posed:
    """The geometry of a batch, head frame, metres.

    Attributes
    ----------
    cage : (N, V, 3) template vertices, neutral : without expression. smoothed : (N, V, 3), see
        ``PeopleSurface``.
    lids : (N, 2, 2, 9, 2) azimuth and elevation, radians, of the left and right eye's upper and lower lid as seen from
        the eye's centre. weights : (N, 52). cameras : of the pictures.
    """

    cage: Tensor
    neutral: Tensor
    smoothed: Tensor
    lids: Tensor
    weights: Tensor
    cameras: PerspectiveCameras


class Stage:
    """Pose people in front of cameras, on one device. ``carried`` : see ``CarriedExpressions``; otherwise keys are
    added unchanged."""

    def __init__(self, surface: shape.PeopleSurface, carried: bool = False) -> None:
        self.surface = surface
        self._carried = shape.CarriedExpressions(surface.template, surface.device) if carried else None
        self.shapes = shape.IdentityShapes(surface)
        self._eye_vertices = [
            (surface.kind[: surface.vertex_count] == kind).nonzero()[:, 0] for kind in (shape.EYE_LEFT, shape.EYE_RIGHT)
        ]

    def pose(self, shots: list[Shot], size: int, framing: str) -> Posed:
        """Compute shape, expression, gaze and camera of every picture of ``size`` pixels; ``framing`` as in
        ``frame``."""
        surface, device = self.surface, self.surface.device
        neutral = self.shapes.neutral([shot.person.identity for shot in shots])
        eyes = shape.eye_centres(surface, neutral)
        eyes_cpu = eyes.cpu().double().numpy()
        poses = viewing.extrinsics([shot.view for shot in shots], eyes_cpu.mean(1))
        weights, turns = [], []
        for shot, pose, centres in zip(shots, poses, eyes_cpu, strict=True):
            camera = -pose[:3, :3].T @ pose[:3, 3]
            angles = shape.gaze_angles(shot.expression, centres, camera)
            weights.append(np.maximum(shot.expression.weights, shape.lid_weights(angles)))
            turns.append([viewing.turn(1, left) @ viewing.turn(0, -up) for left, up in angles])
        weights = torch.from_numpy(np.stack(weights)).to(device)
        eye_turns = torch.from_numpy(np.array(turns, np.float32)).to(device)
        if self._carried is None:
            cage = neutral + (weights @ surface.expressions.flatten(1)).view_as(neutral)
        else:
            cage = self._carried.posed(neutral, weights)
        for side, rows in enumerate(self._eye_vertices):
            middle = eyes[:, side, None]
            cage[:, rows] = (neutral[:, rows] - middle) @ eye_turns[:, side].transpose(1, 2) + middle
        smoothed = surface.smoothed(cage)
        marks = shape.points_on(surface.template.landmarks478, smoothed)
        camera_from_head = torch.from_numpy(poses.astype(np.float32)).to(device)
        cameras = viewing.frame([shot.view for shot in shots], camera_from_head, marks[:, :468], size, framing)
        return Posed(
            cage=cage, neutral=neutral, smoothed=smoothed, lids=_lids(marks, eyes), weights=weights, cameras=cameras
        )


def _lids(marks: Tensor, eyes: Tensor) -> Tensor:
    """(N, 2, 2, 9, 2); see ``Posed``. marks (N, 478, 3), eyes (N, 2, 3)."""
    sides = []
    for side, eye in ((1, 0), (0, 1)):  # the landmark lists have the right eye first
        curves = []
        for lid in (LID_UPPER, LID_LOWER):
            offset = marks[:, list(lid[side])] - eyes[:, eye, None]
            azimuth = torch.atan2(offset[..., 0], offset[..., 2])
            elevation = torch.atan2(offset[..., 1], torch.hypot(offset[..., 0], offset[..., 2]))
            curve = torch.stack([azimuth, elevation], -1)  # outer corner to inner
            curves.append(curve.flip(1) if eye == 0 else curve)
        sides.append(torch.stack(curves, 1))
    return torch.stack(sides, 1)


@dataclass(frozen=True)
class HeadLight:
    """The light of a batch in the head frame.

    Attributes
    ----------
    directions : (N, L, 3). colours : (N, L, 3). softness : (N, L). ambient : (N, 9, 3). total : (N, 9, 3) all light in
        three SH bands, without shadows.
    """

    directions: Numbers
    colours: Numbers
    softness: Numbers
    ambient: Numbers
    total: Numbers


def head_light(light: LightParameters, rotation: np.ndarray) -> HeadLight:
    """One picture's light in the head frame, as arrays without N; rotation (3, 3) from upright camera axes to it."""
    directions, colours = light.directions.astype(np.float64) @ rotation.T, light.colours.astype(np.float64)
    ambient = rotate(light.ambient.astype(np.float64), rotation)
    total = ambient + light_from_directions(directions, colours)
    return HeadLight(directions, colours, light.softness, ambient, total)


def light_in_head(shots: list[Shot], device: torch.device) -> HeadLight:
    """Rotate every picture's light from its camera to the head frame."""
    turns = [viewing.camera_rotation(shot.view).T @ np.diag([1.0, -1.0, -1.0]) for shot in shots]
    lights = [head_light(shot.light, turn) for shot, turn in zip(shots, turns, strict=True)]
    columns = (np.stack([getattr(light, field.name) for light in lights]) for field in fields(HeadLight))
    return HeadLight(*(torch.from_numpy(column.astype(np.float32)).to(device) for column in columns))


_PERSON, _PHOTO, _WORN, _BEHIND, _FILM, _CLIP = range(6)
FRAMES_PER_SECOND = 12.0


class PeopleSampler:
    """Draw people and pictures by number. A number's result does not depend on other draws."""

    def __init__(self, seed: int, modes: int) -> None:
        self._seed, self._modes = seed, modes

    def _generator(self, index: int, purpose: int, photo: int = 0) -> np.random.Generator:
        """Return the random generator for one purpose."""
        return np.random.Generator(np.random.Philox(key=[self._seed, index], counter=[0, 0, photo, purpose]))

    def person(self, index: int) -> Person:
        """Draw person number ``index``."""
        g = self._generator(index, _PERSON)
        look = draw_look(g)
        return Person(
            identity=shape.draw_identity(g, self._modes), look=look, skin=draw_skin(g, look), parts=draw_parts(g, look)
        )

    def photos(self, index: int, count: int) -> list[Shot]:
        """Draw ``count`` photos of person ``index``, each with its own light, expression, view, clothes and camera."""
        person = self.person(index)
        shots: list[Shot] = []
        for photo in range(count):
            g = self._generator(index, _PHOTO, photo)
            like = shots[0].worn if shots else None
            shots.append(
                Shot(
                    person=person,
                    expression=shape.draw_expression(g),
                    view=viewing.draw_view(g),
                    light=draw_light(g),
                    worn=draw_worn(self._generator(index, _WORN, photo), person.look, like),
                    background=draw_background(self._generator(index, _BEHIND, photo)),
                    film=viewing.draw_film(self._generator(index, _FILM, photo)),
                )
            )
        return shots

    def clip(self, index: int, count: int) -> list[Shot]:
        """Draw ``count`` successive frames of person ``index``: the first photo, in motion."""
        first = self.photos(index, 1)[0]
        g = self._generator(index, _CLIP)
        moods = [first.expression, shape.draw_expression(g), shape.draw_expression(g)]
        sway = _Sway(g)
        blink = g.uniform(0, max(count / FRAMES_PER_SECOND, 0.5))
        pace = g.uniform(0.5, 1.1)
        frames = []
        for number in range(count):
            seconds = number / FRAMES_PER_SECOND
            expression = _between(moods, pace * seconds)
            closing = float(np.exp(-(((seconds - blink) / 0.11) ** 2)))
            weights = expression.weights.copy()
            weights[LIDS] = np.maximum(weights[LIDS], closing)
            film = replace(first.film, noise_seed=float((first.film.noise_seed + 7919 * number) % (1 << 23)))
            moved = replace(expression, weights=weights)
            frames.append(replace(first, expression=moved, view=sway.moved(first.view, seconds), film=film))
        return frames


def _between(moods: list[shape.ExpressionParameters], place: float) -> shape.ExpressionParameters:
    """Blend back and forth through the moods, slowing down at each; the gaze is always the first mood's."""
    length = len(moods) - 1
    place = abs((place + length) % (2 * length) - length)  # 0 to length and back
    start = min(int(place), length - 1)
    share = place - start
    share = share * share * (3 - 2 * share)
    blended = shape.blend_expressions(moods[start], moods[start + 1], share)
    return replace(blended, at_camera=moods[0].at_camera)


class _Sway:
    """Slight head motion made of three slow waves."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._size = generator.normal(0, 1, 3) * np.radians([9.0, 5.0, 3.0])
        self._rate = generator.uniform(0.15, 0.55, 3) * 2 * np.pi
        self._start = generator.uniform(0, 2 * np.pi, 3)

    def moved(self, view: viewing.ViewParameters, seconds: float) -> viewing.ViewParameters:
        """Return ``view`` after ``seconds``; at 0 it is unchanged."""
        yaw, pitch, roll = self._size * (np.sin(self._rate * seconds + self._start) - np.sin(self._start))
        return replace(view, yaw=view.yaw + yaw, pitch=view.pitch + pitch, roll=view.roll + roll)
