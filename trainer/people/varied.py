"""People of more variety, for the landmark net: ``kind = "varied_people"`` in recipes.

A share of them are ``people`` as they are; the others are dressed, and half of these have faces further from the mean
than the prior's, because real faces leave its modes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trainer.people.dressed import DressedPeopleConfig, _DressedCasting
from trainer.people.scene import PeopleSampler, Person, Shot
from trainer.people.shape import IdentityParameters
from trainer.people.source import People

_SHAPE = 20  # purpose of random numbers; dressed people use the numbers below
_LIMIT = 3.4
"""Largest coefficient of a wide face, in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class VariedPeopleConfig(DressedPeopleConfig):
    """Synthetic people, some as ``people`` are, some dressed, some with unusual faces; alone in their pictures."""

    plain: float = 0.6
    """Share of those that are as ``people`` are."""
    wide: float = 0.5
    """Share of the others whose faces are further from the mean."""
    company: float = 0.0

    def build(self) -> VariedPeople:
        """Make the source."""
        return VariedPeople(self)


class VariedPeople(People):
    """See ``VariedPeopleConfig``."""

    def __init__(self, config: VariedPeopleConfig) -> None:
        super().__init__(config)
        self.casting = _VariedCasting(config, self.attachments)


class _VariedCasting(_DressedCasting):
    """Draws people of both kinds."""

    _config: VariedPeopleConfig

    def person(self, index: int) -> Person:
        """Return person ``index``."""
        g = self.numbers(index, _SHAPE)
        if g.random() < self._config.plain:
            return PeopleSampler.person(self, index)
        person = super().person(index)
        if g.random() >= self._config.wide:
            return person
        return replace(person, identity=widened(g, person.identity))

    def photos(self, index: int, count: int) -> list[Shot]:
        """Return ``count`` photos of person ``index``."""
        if self.numbers(index, _SHAPE).random() < self._config.plain:
            return PeopleSampler.photos(self, index, count)
        return super().photos(index, count)


def widened(generator: np.random.Generator, identity: IdentityParameters) -> IdentityParameters:
    """Move a face further from the mean: its modes by a factor of up to 1.4, its bumps by up to 2.5."""
    coefficients = np.clip(identity.coefficients * generator.uniform(1.0, 1.4), -_LIMIT, _LIMIT)
    return IdentityParameters(coefficients.astype(np.float32), identity.bumps * np.float32(generator.uniform(1.0, 2.5)))
