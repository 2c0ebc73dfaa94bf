"""Options of a job, shared by the command line, the service and the pipeline. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

Quality = Literal["fast", "standard", "best"]
TextureSize = Literal[1024, 2048, 4096]
Device = Literal["auto", "cpu", "cuda"]
Hair = Literal["none", "cards", "curves"]
"""Export of hair: none, a mesh of cards, or strands (in Blender ``Curves``; in files guides beside the mesh)."""
HairStyle = Literal[
    "auto",
    "shaved",
    "balding",
    "buzz",
    "crew",
    "side part",
    "slicked back",
    "quiff",
    "forward crop",
    "messy",
    "mop",
    "pixie",
    "bob",
    "long straight",
    "long wavy",
    "long behind the ears",
    "tied back",
    "afro short",
    "afro",
    "curls",
    "long curls",
    "locs",
]
"""The hairstyle. ``auto``: chosen from the photos, which cannot show curls. ``shaved``: no hair. ``balding``: any style
with a bare top and a ring of hair. All others are those of ``backend.hair.curl``."""
FaceModel = Literal["linear", "graph"]
"""Parametrisation of a fit's identity: linear modes, or the decoder of the graph face model."""

NO_SYMMETRY, EVEN_AVERAGE = 0.0, 0.5
"""Default symmetry, and default weight of the average face."""

QUALITIES: tuple[str, ...] = get_args(Quality)
TEXTURE_SIZES: tuple[int, ...] = get_args(TextureSize)
DEVICES: tuple[str, ...] = get_args(Device)
HAIRS: tuple[str, ...] = get_args(Hair)
HAIR_STYLES: tuple[str, ...] = get_args(HairStyle)
FACE_MODELS: tuple[str, ...] = get_args(FaceModel)
