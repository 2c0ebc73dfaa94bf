"""Skin with relief that has a cause, photographed in UV, with truth."""

from trainer.data.detail.batch import DetailBatch, DetailPictures
from trainer.data.detail.source import DetailPeopleConfig

__all__ = ["DetailBatch", "DetailPeopleConfig", "DetailPictures"]
