"""Synthetic people with much on their heads: what a parsing net sees too seldom among others."""

from trainer.data.dressed.source import DressedPeople, DressedPeopleConfig

__all__ = ["DressedPeople", "DressedPeopleConfig"]
