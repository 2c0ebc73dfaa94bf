"""Synthetic people: endless, labelled, drawn on whatever device trains."""

from trainer.data.people.batch import PeopleBatch
from trainer.data.people.source import People, PeopleConfig

__all__ = ["People", "PeopleBatch", "PeopleConfig"]
