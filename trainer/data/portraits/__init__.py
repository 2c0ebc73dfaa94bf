"""Collections of real photographs: detected, cropped, labelled once, then read from memory-mapped files while training.

``collection`` reads a cache and needs numpy and torch alone; ``prepare`` makes one.
"""

from trainer.data.portraits.collection import PortraitBatch, PortraitsConfig

__all__ = ["PortraitBatch", "PortraitsConfig"]
