"""Skin with relief that has a cause, photographed in UV, with truth."""

from trainer.data.detail.source import DetailBatch, DetailPeopleConfig

__all__ = ["DetailBatch", "DetailPeopleConfig"]
