"""Evaluate the learned face model: how well its bases express held-out faces, how well its encoder reconstructs
held-out people in one pass, and how much the encoder helps the fit."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from backend.errors import LikenessError
from backend.models.contract import NOT_TRAINED
from backend.models.learned_basis.apply import BasisModel
from backend.models.learned_basis.network import LearnedBasisNet
from trainer.data.face_model import FaceBatch, FacePeopleConfig, FacePortraitsConfig
from trainer.data.face_model.source import Actors, FacePeople
from trainer.data.people.scene import Shot
from trainer.data.portraits import PortraitsConfig
from trainer.data.portraits.cache import open_cache
from trainer.data.shared_data import shared_folder
from trainer.evaluate.basis_heads import HELD_OUT_SEED, head_figures
from trainer.evaluate.basis_pairs import found_pairs, verification_figures
from trainer.evaluate.basis_photometric import photometric_figures
from trainer.evaluate.basis_reenactment import reenactment_figures
from trainer.evaluate.basis_renders import render_figures
from trainer.evaluate.basis_sheets import write_sheets
from trainer.evaluate.basis_start import start_figures
from trainer.evaluate.trained import trained_or_none
from trainer.losses.face_model import METRES_TO_MM
from trainer.stages.learned_basis_detector import encode_again
from trainer.stages.learned_basis_metrics import contact_sheet, face_figures
from trainer.stages.learned_basis_render import FaceMarks

_ENCODED = ("lip_iou.upper", "lip_iou.lower", "photometric.synthetic", "neutral.moved_mm")
_SEPARATION = tuple(f"separation.{what}_mm.{who}" for what in ("identity", "expression") for who in ("same", "other"))
_FITTED = tuple(f"{what}.{way}" for what in ("scan.median_mm", "fit_seconds") for way in ("cold", "encoder"))
_COLOURS = ("photometric.learned", "photometric.prior")
_RENDERS = tuple(f"verification.{what}.{figure}" for what in ("renders", "photos") for figure in ("emd", "eer"))
_PAIRS = ("verification.eer", "verification.emd", *_RENDERS)
_REENACTED = ("reenactment.landmark", "reenactment.photometric")
_BATCH = 8
_SHEET_ROWS = 10


class SameFaces(Actors):
    """People who all make the same expressions in the same order."""

    def shots(self, index: int) -> list[Shot]:
        """See ``Actors``; expression n is taken from the first photo of another person n, for everybody alike."""
        shots = super().shots(index)
        like = [self.casting.photos(10_000_000 + number, 1)[0].expression for number in range(len(shots))]
        return [replace(shot, expression=expression) for shot, expression in zip(shots, like, strict=True)]


@torch.no_grad()
def separation(network: LearnedBasisNet, batch: FaceBatch) -> dict[str, float]:
    """Mean distances in mm over the face between faces encoded from single photos, people making the same expressions.

    ``identity``: between neutral faces from photos of one person (same) and of different people (other).
    ``expression``: between the expression's offsets for the same expression on different people (same), and for
    different expressions on one person (other).
    """
    alone = torch.arange(len(batch.images))
    face = network.face(encode_again(network, replace(batch, set_of=alone)))
    cage = network.bases.surface.cage
    skin = network.bases.surface.face[:cage] > 0.5
    neutral = face.neutral[:, :cage][:, skin]
    moved = (face.vertices - face.neutral)[:, :cage][:, skin]
    people = int(batch.set_of[-1]) + 1
    who, which = batch.set_of, torch.arange(len(batch.images)) % (len(batch.images) // people)

    def apart(shapes: Tensor, same: Tensor, differ: Tensor) -> float:
        pairs = ((same[:, None] == same) & (differ[:, None] != differ)).triu(1).nonzero()
        return float((shapes[pairs[:, 0]] - shapes[pairs[:, 1]]).norm(dim=-1).mean() * METRES_TO_MM)

    return {
        "separation.identity_mm.same": apart(neutral, who, which),
        "separation.identity_mm.other": apart(neutral, which, who),
        "separation.expression_mm.same": apart(moved, which, who),
        "separation.expression_mm.other": apart(moved, who, which),
    }


def held_out(size: int, people: int, folder: str = "") -> Iterator[FaceBatch]:
    """Batches of held-out people: first four photos each, then half as many people with one neutral photo each.

    Pictures are cached in ``folder``.
    """
    for neutral, photos, count in ((False, 4, people), (True, 1, max(people // 2, 1))):
        config = FacePeopleConfig(
            size=size, seed=HELD_OUT_SEED, photos=photos, neutral=neutral, keep=count, folder=folder
        )
        source = config.build()
        for start in range(0, count, _BATCH):
            yield source.batch(range(start, min(start + _BATCH, count)), torch.device("cpu"))


def encoder_figures(network: LearnedBasisNet, people: int, folder: str = "") -> dict[str, float]:
    """Figures of one encoder pass over held-out people; see ``face_figures`` and ``separation``."""
    size = network.config.size
    found = face_figures(network, FaceMarks(), held_out(size, people, folder))
    figures = {f"encoder.{name}": value for name, value in found.items()}
    figures["lip_iou.upper"], figures["lip_iou.lower"] = found["lip_iou.upper"], found["lip_iou.lower"]
    figures["photometric.synthetic"], figures["neutral.moved_mm"] = found["photometric"], found["neutral.moved"]
    config = FacePeopleConfig(size=size, seed=HELD_OUT_SEED + 1, photos=4)
    pairs = FacePeople(config, SameFaces(config)).batch(range(min(people, 8)), torch.device("cpu"))
    return figures | separation(network, pairs)


def portrait_batch(folder: Path, count: int, seed: int, size: int) -> FaceBatch:
    """Load held-out real portraits of a prepared collection, ``size`` pixels a side; head crops are cut to the face."""
    heads = open_cache(folder).settings.framing == "head"
    config = PortraitsConfig(folder=str(folder), part="held_out", close_up=heads, seed=seed)
    return FacePortraitsConfig(portraits=config, size=size).build().batch(range(count), torch.device("cpu"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate basis``."""
    parser.add_argument("--people", type=int, default=48, help="held-out synthetic people (default 48)")
    parser.add_argument("--model", type=Path, help="folder of an exported model (default: the shipped one)")
    parser.add_argument("--no-scans", action="store_true", help="leave out the fits to scans and to heads (minutes)")
    parser.add_argument("--clips", type=int, default=8, help="clips of synthetic people that are reenacted (default 8)")
    parser.add_argument("--pairs", type=int, default=200, help="people whose photos are told apart (default 200)")
    parser.add_argument("--kept", default="", metavar="FOLDER", help="where held-out pictures are kept")
    parser.add_argument("--portraits", type=Path, help="a prepared collection of faces or heads")
    parser.add_argument("--sheet", type=Path, help="where a sheet of them goes (PNG)")
    parser.add_argument(
        "--sheets", type=Path, metavar="DIR", help="where pictures of synthetic people and modes go (PNG)"
    )
    parser.add_argument("--count", type=int, default=100, help="portraits that are measured")
    parser.add_argument("--seed", type=int, default=0, help="which portraits")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Flat figures of ``evaluate basis``: "not trained" without a model, "left out: why" where an input is missing."""
    model = trained_or_none(BasisModel.load, arguments.model)
    network = model and model.network
    learned = None if network is None else network.bases.identity().detach()
    figures = head_figures(learned, arguments.people, scans=not arguments.no_scans)
    if model is None or network is None:
        names = (*_ENCODED, *_COLOURS, *_SEPARATION, *_REENACTED, *_PAIRS, *_FITTED)
        figures |= dict.fromkeys(names, NOT_TRAINED)
    else:
        figures |= encoder_figures(network, arguments.people, arguments.kept)
        figures |= portrait_figures(network, arguments)
        figures |= dict.fromkeys(_REENACTED, "left out: no clips were wanted")
        if arguments.clips:
            figures |= reenactment_figures(network, arguments.clips, arguments.kept)
        figures |= pair_figures(network, arguments.pairs)
        figures |= dict.fromkeys(_FITTED, "left out: not asked for")
        if arguments.sheets:
            figures |= write_sheets(model, arguments.sheets)
        if not arguments.no_scans:
            figures |= start_figures(model, console)
    table = Table("figure", "value", title=f"{arguments.people} held-out synthetic people")
    for name, value in figures.items():
        table.add_row(name, value if isinstance(value, str) else f"{value:.4f}")
    console.print(table)
    return figures


def portrait_figures(network: LearnedBasisNet, arguments: argparse.Namespace) -> dict[str, float | str]:
    """Photometric errors on held-out real portraits; writes the sheet."""
    if not arguments.portraits:
        return dict.fromkeys(_COLOURS, "left out: no portraits were given")
    batch = portrait_batch(arguments.portraits, arguments.count, arguments.seed, network.config.size)
    if arguments.sheet:
        sheet = contact_sheet(network, batch, rows=_SHEET_ROWS).permute(1, 2, 0).numpy()
        cv2.imwrite(str(arguments.sheet), (sheet[..., ::-1] * 255).round().clip(0, 255).astype(np.uint8))
    return photometric_figures(network, batch)


def pair_figures(network: LearnedBasisNet, people: int) -> dict[str, float | str]:
    """``verification.*`` on photo pairs of the research-only collection, or why they were left out."""
    folder = shared_folder() / "photos" / "research_only" / "lfw"
    if not people or not folder.is_dir():
        why = "left out: not asked for" if not people else "left out: the photos of pairs are not here"
        return dict.fromkeys(_PAIRS, why)
    pairs = found_pairs(folder, people)
    figures: dict[str, float | str] = {**verification_figures(network, pairs)}
    try:
        return figures | render_figures(network, pairs)
    except LikenessError as problem:
        return figures | dict.fromkeys(_RENDERS, f"left out: {problem}")
