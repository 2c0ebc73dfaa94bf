"""Synthetic people: an endless, labelled data source, rendered on the training device."""

from trainer.data.people.batch import PeopleBatch
from trainer.data.people.source import People, PeopleConfig

__all__ = ["People", "PeopleBatch", "PeopleConfig"]
