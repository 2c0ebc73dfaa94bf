"""Collections of real photographs: detected, cropped and labelled once, then read from memory-mapped files in training.

``collection`` reads a cache; ``prepare`` makes one.
"""

from trainer.data.portraits.collection import PortraitBatch, PortraitsConfig

__all__ = ["PortraitBatch", "PortraitsConfig"]
