"""Photo sets for LAP's stage: synthetic people with canonical depth and albedo, real portraits, mixtures."""

from trainer.data.lap.batch import CanonicalTruth, LapBatch
from trainer.data.lap.source import LapPeopleConfig, LapPortraitsConfig

__all__ = ["CanonicalTruth", "LapBatch", "LapPeopleConfig", "LapPortraitsConfig"]
