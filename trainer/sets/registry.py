"""All readers by name."""

from __future__ import annotations

from collections.abc import Mapping

from trainer.sets.annotated import Aflw2000, CelebAMask, Photoface, Renderings, W3dfaw, W300Lp
from trainer.sets.photographs import CelebA, People, VggFace2, VoxCeleb
from trainer.sets.reader import Reader
from trainer.sets.scans import Bu3dfe, FaceScape, Micc, Now, Realy

READERS: Mapping[str, type[Reader]] = {
    reader.name: reader
    for reader in (
        People,
        CelebA,
        VggFace2,
        VoxCeleb,
        W300Lp,
        Aflw2000,
        W3dfaw,
        Renderings,
        Photoface,
        CelebAMask,
        Micc,
        Bu3dfe,
        Now,
        Realy,
        FaceScape,
    )
}
"""Name on the command line -> reader."""


def reader_of(name: str) -> Reader:
    """The reader of a set."""
    return READERS[name]()
