"""Sheets of the learned face model, with synthetic people only: modes, expression transfer, personalisation.

Evaluate the learned face model: how well its bases express held-out faces, how well its encoder reconstructs
held-out people in one pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from backend.errors import LikenessError
from backend.models.contract import NOT_TRAINED
from backend.models.learned_basis.apply import BasisModel, PersonaliseOptions, encoder_input, personalise, render_face
from backend.models.learned_basis.network import FACE_SIDE, FaceCode, FacePose, LearnedBasisNet, ModelledFace
from backend.photos.collection import PhotoFace
from backend.rendering.spherical_harmonics import light_from_directions
from trainer.engine.disk_cache import shared_folder
from trainer.evaluate.harness import batches, rows_of, square_photo, trained_or_none, write_sheet
from trainer.methods.learned_basis import evaluate_pictures
from trainer.methods.learned_basis.data import Actors, FaceBatch, FacePeople, FacePeopleConfig, FacePortraitsConfig
from trainer.methods.learned_basis.evaluate_pictures import HELD_OUT_SEED, head_figures
from trainer.methods.learned_basis.losses import METRES_TO_MM
from trainer.methods.learned_basis.stage import contact_columns, face_figures
from trainer.methods.learned_basis.start import FaceMarks, encode_again
from trainer.people.scene import Shot
from trainer.portraits.collection import PortraitsConfig, open_cache

TILE = 160
_CLAY = 0.45
_MODES, _DEVIATIONS = 6, 2.0
_PEOPLE, _PHOTOS = 3, 5
_BACKGROUND = 0.16


def mean_face_code(network: LearnedBasisNet, count: int) -> FaceCode:
    """Codes of ``count`` mean faces seen from the front."""
    config, zeros = network.config, torch.zeros(count, 3)
    lamp = light_from_directions(torch.tensor([[0.45, 0.6, 0.66]]), torch.tensor([[0.9, 0.9, 0.9]]), 0.25)
    return FaceCode(
        identity=torch.zeros(count, config.identity),
        reflectance=torch.zeros(count, config.reflectance),
        expression=torch.zeros(count, config.expression),
        light=lamp.expand(count, -1, -1),
        pose=FacePose(zeros, zeros[:, :2], torch.full((count,), 0.9 / FACE_SIDE), torch.ones(count)),
        set_of=torch.arange(count),
    )


@torch.no_grad()
def tiles(network: LearnedBasisNet, code: FaceCode, clay: bool) -> Tensor:
    """Render codes as (N, 3, TILE, TILE) sRGB in [0, 1], in clay or with their reflectance."""
    face = network.face(code)
    if clay:
        face = in_clay(face)
    pixels = code.pose.cameras(TILE).project(face.vertices)
    rendered = render_face(network.bases, face, pixels, code.light, TILE)
    return torch.where(rendered.mask[:, None], rendered.image, _BACKGROUND)


def in_clay(face: ModelledFace) -> ModelledFace:
    """The same surface with a uniform grey reflectance."""
    return replace(face, reflectance=torch.full_like(face.reflectance, _CLAY))


def modes_sheet(network: LearnedBasisNet, basis: str) -> list[Tensor]:
    """The first modes of ``identity``, ``expression`` or ``reflectance``, a column each: at -2, 0 and 2 deviations."""
    count = min(_MODES, getattr(network.config, basis))
    rows = []
    for deviations in (-_DEVIATIONS, 0.0, _DEVIATIONS):
        code = mean_face_code(network, count)
        values = getattr(code, basis).clone()
        values[torch.arange(count), torch.arange(count)] = deviations
        rows.append(tiles(network, replace(code, **{basis: values}), clay=basis != "reflectance"))
    return rows


def people_batch(seed: int, count: int, photos: int) -> FaceBatch:
    """Held-out synthetic people at tile size, without the simulated camera."""
    config = FacePeopleConfig(size=TILE, seed=seed, photos=photos, film=False)
    return config.build().batch(range(count), torch.device("cpu"))


def photo_faces(batch: FaceBatch) -> list[PhotoFace]:
    """Synthetic photos as the product's photo stage would pass them on."""
    return [
        square_photo(
            f"{number}.png",
            (image.permute(1, 2, 0) * 255).round().byte().numpy(),
            batch.landmarks[number].numpy(),
            batch.labels[number].numpy(),
        )
        for number, image in enumerate(batch.images)
    ]


@torch.no_grad()
def expressions_sheet(network: LearnedBasisNet, batch: FaceBatch, photos: int) -> list[Tensor]:
    """The first person's photos; under each its expression, from the front, on the person and on the others."""
    given = encoder_input(photo_faces(batch), network.config.size)
    code = network(given.pictures * 2 - 1, batch.set_of, given.landmarks)
    people = len(code.identity)
    rows = [batch.images[:photos]]
    for person in range(people):
        plain = mean_face_code(network, photos)
        own = replace(
            plain,
            identity=code.identity[person].expand(photos, -1),
            reflectance=code.reflectance[person].expand(photos, -1),
            expression=code.expression[:photos],
        )
        rows.append(tiles(network, own, clay=False))
    return rows


@torch.no_grad()
def personalised_sheet(model: BasisModel, tuned: BasisModel, faces: list[PhotoFace], number: int) -> list[Tensor]:
    """Photo ``number`` and its reconstruction with the bases before and after personalisation: colours, then clay."""
    shown = torch.from_numpy(faces[number].pixels).permute(2, 0, 1).float() / 255
    rows = [torch.stack([shown, torch.full_like(shown, _BACKGROUND)])]
    for one in (model, tuned):
        network = one.network
        given = encoder_input(faces, network.config.size)
        code = network(given.pictures * 2 - 1, torch.zeros(len(faces), dtype=torch.int64), given.landmarks)
        rows.append(torch.stack([tiles(network, code, clay)[number] for clay in (False, True)]))
    return rows


def write_sheets(model: BasisModel, folder: Path) -> dict[str, float]:
    """Write ``basis_*.png`` into ``folder``; return the errors before and after personalising a synthetic person."""
    network = model.network
    pictures = {f"modes_{name}": modes_sheet(network, name) for name in ("identity", "expression", "reflectance")}
    batch = people_batch(HELD_OUT_SEED + 3, _PEOPLE, _PHOTOS)
    pictures["expressions"] = expressions_sheet(network, batch, _PHOTOS)
    faces = photo_faces(batch)[:_PHOTOS]
    found = personalise(faces, model, PersonaliseOptions())
    number = next(number for number, face in enumerate(faces) if face.name == found.held_out)
    pictures["personalised"] = personalised_sheet(model, found.model, faces, number)
    for name, rows in pictures.items():
        write_sheet(folder / f"basis_{name}.png", rows)
    return {
        "personalised.photometric.before": found.before,
        "personalised.photometric.after": found.after,
        "personalised.seconds": found.seconds,
    }


_ENCODED = ("lip_iou.upper", "lip_iou.lower", "photometric.synthetic", "neutral.moved_mm")
_SEPARATION = tuple(f"separation.{what}_mm.{who}" for what in ("identity", "expression") for who in ("same", "other"))
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
        yield from batches(config.build(), count, _BATCH)


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
    parser.add_argument("--no-scans", action="store_true", help="leave out heads of other makers (minutes)")
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
        names = (*_ENCODED, *_COLOURS, *_SEPARATION, *_REENACTED, *_PAIRS)
        figures |= dict.fromkeys(names, NOT_TRAINED)
    else:
        figures |= encoder_figures(network, arguments.people, arguments.kept)
        figures |= portrait_figures(network, arguments)
        figures |= dict.fromkeys(_REENACTED, "left out: no clips were wanted")
        if arguments.clips:
            figures |= evaluate_pictures.reenactment_figures(network, arguments.clips, arguments.kept)
        figures |= pair_figures(network, arguments.pairs)
        if arguments.sheets:
            figures |= write_sheets(model, arguments.sheets)
    return figures


def portrait_figures(network: LearnedBasisNet, arguments: argparse.Namespace) -> dict[str, float | str]:
    """Photometric errors on held-out real portraits; writes the sheet."""
    if not arguments.portraits:
        return dict.fromkeys(_COLOURS, "left out: no portraits were given")
    batch = portrait_batch(arguments.portraits, arguments.count, arguments.seed, network.config.size)
    if arguments.sheet:
        write_sheet(arguments.sheet, rows_of(contact_columns(network, batch, rows=_SHEET_ROWS)))
    return evaluate_pictures.photometric_figures(network, batch)


def pair_figures(network: LearnedBasisNet, people: int) -> dict[str, float | str]:
    """``verification.*`` on photo pairs of the research-only collection, or why they were left out."""
    folder = shared_folder() / "photos" / "research_only" / "lfw"
    if not people or not folder.is_dir():
        why = "left out: not asked for" if not people else "left out: the photos of pairs are not here"
        return dict.fromkeys(_PAIRS, why)
    pairs = evaluate_pictures.found_pairs(folder, people)
    figures: dict[str, float | str] = {**evaluate_pictures.verification_figures(network, pairs)}
    try:
        return figures | evaluate_pictures.render_figures(network, pairs)
    except LikenessError as problem:
        return figures | dict.fromkeys(_RENDERS, f"left out: {problem}")
