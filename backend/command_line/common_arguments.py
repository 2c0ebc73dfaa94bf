"""Arguments shared by several commands."""

from __future__ import annotations

import argparse

from backend.choices import (
    DEVICES,
    EVEN_AVERAGE,
    FACE_MODELS,
    HAIR_STYLES,
    HAIRS,
    NO_SYMMETRY,
    QUALITIES,
    TEXTURE_SIZES,
)
from backend.command_line.path_argument import path_argument
from backend.models.registry import SWITCHED


def add_photos_and_folder(command: argparse.ArgumentParser) -> None:
    """Add ``PHOTO ...`` and ``--out DIR``."""
    command.add_argument(
        "photos", nargs="+", type=path_argument, metavar="PHOTO", help="photo files, or folders of photos"
    )
    command.add_argument("--out", required=True, type=path_argument, metavar="DIR", help="folder for the results")


def add_head_options(group: argparse._ActionsContainer) -> None:
    """Add the options of a head, named like the fields of ``batch.person.PersonOptions``."""
    group.add_argument(
        "--quality",
        choices=QUALITIES,
        default="standard",
        help="fast for a look, standard (default), best takes several times as long",
    )
    group.add_argument(
        "--texture",
        type=int,
        choices=TEXTURE_SIZES,
        default=2048,
        help="side of the albedo texture in pixels (default: 2048)",
    )
    group.add_argument(
        "--hair",
        choices=HAIRS,
        default="cards",
        help="hair as a mesh of cards (default), as strands in hair.json alone (curves), or none",
    )
    group.add_argument(
        "--hair-style",
        choices=HAIR_STYLES,
        default="auto",
        metavar="STYLE",
        help=f"the hairstyle; auto (default) chooses it from the photos: {', '.join(HAIR_STYLES[1:])}",
    )
    group.add_argument("--bust", action="store_true", help="with neck and shoulders, down to a level edge")
    group.add_argument(
        "--face-model",
        choices=FACE_MODELS,
        default="linear",
        help="fit in linear modes (default), or in the decoder of the graph face model",
    )
    group.add_argument(
        "--symmetry",
        type=share,
        default=NO_SYMMETRY,
        metavar="0..1",
        help="how much of the shape's asymmetry is taken out: 0 (default) none, 1 all",
    )
    group.add_argument(
        "--average",
        type=share,
        default=EVEN_AVERAGE,
        metavar="0..1",
        help="weight of the average face: 0.5 (default) is usual, 1 four times as strong, 0 a quarter",
    )
    for model in SWITCHED:
        group.add_argument(model.switch.flag, action="store_false", dest=model.switch.name, help=model.switch.help)
    group.add_argument(
        "--personalise",
        action="store_true",
        help="tune the learned face model to these photos first (seconds; kept where a held-out photo gains)",
    )


def add_device(command: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    command.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto (default) uses a CUDA GPU where there is one"
    )


def add_traceback(command: argparse.ArgumentParser) -> None:
    """Add ``--traceback``."""
    command.add_argument(
        "--traceback", action="store_true", help="on an error, also print where in the code it happened"
    )


def share(text: str) -> float:
    """Parse a number from 0 to 1. Raises ``ValueError``, ``argparse.ArgumentTypeError``."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def positive(text: str) -> float:
    """Parse a positive number. Raises ``ValueError``, ``argparse.ArgumentTypeError``."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
