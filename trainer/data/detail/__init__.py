"""Synthetic skin with wrinkles that follow from strain, photographed in UV, with known relief."""

from trainer.data.detail.batch import DetailBatch, DetailPictures
from trainer.data.detail.source import DetailPeopleConfig

__all__ = ["DetailBatch", "DetailPeopleConfig", "DetailPictures"]
