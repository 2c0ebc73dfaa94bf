"""Draw the parameters of people, of several photos of one person, and of short clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.rig.arkit import ARKIT_NAMES
from trainer.data.people.attachments.attachments import Attachments
from trainer.data.people.background import draw_background
from trainer.data.people.expression import ExpressionParameters, blend_expressions, draw_expression
from trainer.data.people.eyes import draw_parts
from trainer.data.people.film import draw_film
from trainer.data.people.identity import draw_identity
from trainer.data.people.light import draw_light
from trainer.data.people.look import draw_look
from trainer.data.people.scene import Person, Shot
from trainer.data.people.skin import draw_skin
from trainer.data.people.view import ViewParameters, draw_view

_PERSON, _PHOTO, _WORN, _BEHIND, _FILM, _CLIP = range(6)
_BLINK = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
FRAMES_PER_SECOND = 12.0


class PeopleSampler:
    """Draw people and pictures by number. A number's result does not depend on other draws."""

    def __init__(self, seed: int, modes: int, attachments: Attachments) -> None:
        self._seed, self._modes, self._attachments = seed, modes, attachments

    def _generator(self, index: int, purpose: int, photo: int = 0) -> np.random.Generator:
        """Return the random generator for one purpose."""
        return np.random.Generator(np.random.Philox(key=[self._seed, index], counter=[0, 0, photo, purpose]))

    def person(self, index: int) -> Person:
        """Draw person number ``index``."""
        g = self._generator(index, _PERSON)
        look = draw_look(g)
        return Person(
            identity=draw_identity(g, self._modes), look=look, skin=draw_skin(g, look), parts=draw_parts(g, look)
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
                    expression=draw_expression(g),
                    view=draw_view(g),
                    light=draw_light(g),
                    worn=self._attachments.draw(self._generator(index, _WORN, photo), person.look, like),
                    background=draw_background(self._generator(index, _BEHIND, photo)),
                    film=draw_film(self._generator(index, _FILM, photo)),
                )
            )
        return shots

    def clip(self, index: int, count: int) -> list[Shot]:
        """Draw ``count`` successive frames of person ``index``: the first photo, in motion."""
        first = self.photos(index, 1)[0]
        g = self._generator(index, _CLIP)
        moods = [first.expression, draw_expression(g), draw_expression(g)]
        sway = _Sway(g)
        blink = g.uniform(0, max(count / FRAMES_PER_SECOND, 0.5))
        pace = g.uniform(0.5, 1.1)
        frames = []
        for number in range(count):
            seconds = number / FRAMES_PER_SECOND
            expression = _between(moods, pace * seconds)
            closing = float(np.exp(-(((seconds - blink) / 0.11) ** 2)))
            weights = expression.weights.copy()
            weights[_BLINK] = np.maximum(weights[_BLINK], closing)
            film = replace(first.film, noise_seed=float((first.film.noise_seed + 7919 * number) % (1 << 23)))
            frames.append(
                replace(
                    first,
                    expression=replace(expression, weights=weights),
                    view=sway.moved(first.view, seconds),
                    film=film,
                )
            )
        return frames


def _between(moods: list[ExpressionParameters], place: float) -> ExpressionParameters:
    """Blend back and forth through the moods, slowing down at each; the gaze is always the first mood's."""
    length = len(moods) - 1
    place = abs((place + length) % (2 * length) - length)  # 0 to length and back
    start = min(int(place), length - 1)
    share = place - start
    share = share * share * (3 - 2 * share)
    blended = blend_expressions(moods[start], moods[start + 1], share)
    return replace(blended, at_camera=moods[0].at_camera)


class _Sway:
    """Slight head motion made of three slow waves."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._size = generator.normal(0, 1, 3) * np.radians([9.0, 5.0, 3.0])
        self._rate = generator.uniform(0.15, 0.55, 3) * 2 * np.pi
        self._start = generator.uniform(0, 2 * np.pi, 3)

    def moved(self, view: ViewParameters, seconds: float) -> ViewParameters:
        """Return ``view`` after ``seconds``; at 0 it is unchanged."""
        yaw, pitch, roll = self._size * (np.sin(self._rate * seconds + self._start) - np.sin(self._start))
        return replace(view, yaw=view.yaw + yaw, pitch=view.pitch + pitch, roll=view.roll + roll)
