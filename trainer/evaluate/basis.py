"""The learned face model: what its bases can express, and what its encoder makes of held-out people in one pass."""

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

from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.template import load_template
from backend.models.checkpoints import NOT_TRAINED
from backend.models.learned_basis import MILLIMETRE, FaceBases, LearnedBasisConfig, LearnedBasisNet, load_learned_basis
from trainer.data.face_model import FaceBatch, FacePeopleConfig, FacePortraitsConfig
from trainer.data.face_model.source import Actors, FacePeople
from trainer.data.ict_head import shared_folder
from trainer.data.people.identity import IdentityShapes, draw_identity
from trainer.data.people.scene import Shot
from trainer.data.people.surface import PeopleSurface
from trainer.data.portraits import PortraitsConfig
from trainer.evaluate.trained import trained_or_none
from trainer.losses.face_model import METRES_TO_MM
from trainer.stages.learned_basis_metrics import contact_sheet, face_figures
from trainer.stages.learned_basis_render import FaceMarks

HELD_OUT_SEED = 903
"""People that no recipe trains or validates on."""
LATER: dict[str, str] = {
    "scan.median_mm.encoder": "left out: the fit does not start from the encoder yet",
    "scan.median_mm.cold": "left out: evaluate scans has it",
    "fit_seconds.encoder": "left out: the fit does not start from the encoder yet",
    "fit_seconds.cold": "left out: evaluate scans has it",
    "photometric.prior": "left out: the prior has no reflectance basis to render with",
    "verification.eer": "left out: no renders of pairs yet",
    "verification.emd": "left out: no renders of pairs yet",
    "reenactment": "left out: no personalisation on clips yet",
}
"""Figures that the model is to have and that nothing computes yet, and why."""
_ENCODED = ("lip_iou.upper", "lip_iou.lower", "photometric.synthetic", "photometric.learned", "neutral.moved_mm")
_SEPARATION = tuple(f"separation.{what}_mm.{who}" for what in ("identity", "expression") for who in ("same", "other"))
_BATCH = 8
_RIDGE = 1e-3
_SHEET_ROWS = 10


class SameFaces(Actors):
    """Every person makes the same faces, in the same order."""

    def shots(self, index: int) -> list[Shot]:
        """See ``Actors``; the expressions are those of the first photos of other people."""
        shots = super().shots(index)
        like = [self.casting.photos(10_000_000 + number, 1)[0].expression for number in range(len(shots))]
        return [replace(shot, expression=expression) for shot, expression in zip(shots, like, strict=True)]


def cage_modes(bases: FaceBases) -> np.ndarray:
    """(m_i, V_head, 3) float64 identity basis as offsets of the head's cage in metres, one deviation each."""
    with torch.no_grad():
        nodes = bases.identity().cpu().double().numpy()
    return deformation_graph(bases.config.nodes).offsets(nodes) * MILLIMETRE


def closest_mm(modes: np.ndarray, heads: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """(P,) median distance in millimetres of heads (P, V, 3), offsets from the mean, to the nearest in the span of
    modes (K, V, 3); weights (V,) say where it matters and what is measured (above 0.5)."""
    weight = np.sqrt(importance)[None, :, None]
    basis = (modes * weight).reshape(len(modes), -1)
    system = basis @ basis.T
    system += _RIDGE * np.trace(system) / len(system) * np.eye(len(system)) / 100
    codes = np.linalg.solve(system, basis @ (heads * weight).reshape(len(heads), -1).T).T  # (P, K)
    apart = np.linalg.norm(heads - np.tensordot(codes, modes, 1), axis=-1)[:, importance > 0.5]
    return np.median(apart, axis=1) * METRES_TO_MM


@torch.no_grad()
def people_heads(count: int) -> np.ndarray:
    """(count, V_head, 3) float64 neutral faces of held-out people as offsets from the mean, metres.

    They have bumps and asymmetries that the prior does not know.
    """
    template = load_template()
    shapes = IdentityShapes(PeopleSurface(template, torch.device("cpu")))
    generator = np.random.default_rng(HELD_OUT_SEED)
    drawn = [draw_identity(generator, len(template.identity_modes)) for _ in range(count)]
    offsets = shapes.neutral(drawn).double().numpy() - template.vertices
    return offsets[:, : template.head.vertex_stop]


def head_figures(network: LearnedBasisNet | None, people: int, scans: bool) -> dict[str, float | str]:
    """``heads.median_mm.prior`` and ``.learned`` on scans outside the prior, ``people.median_mm.*`` on held-out people.

    Both with the same number of coefficients: the learned identity's, or as many as the paper has.
    """
    template = load_template()
    head = template.head.vertex_stop
    count = LearnedBasisConfig().identity if network is None else network.config.identity
    bases = {"prior": template.identity_modes[:count, :head].astype(np.float64)}
    if network is not None:
        bases["learned"] = cage_modes(network.bases)
    figures: dict[str, float | str] = {"coefficients": float(count)}
    importance = 0.02 + template.regions["face"][:head].astype(np.float64)
    heads = people_heads(people)
    targets = simulated() if scans else "left out: not asked for"
    for name in ("prior", "learned"):
        if name not in bases:
            figures |= {f"people.median_mm.{name}": NOT_TRAINED, f"heads.median_mm.{name}": NOT_TRAINED}
            continue
        figures[f"people.median_mm.{name}"] = float(closest_mm(bases[name], heads, importance).mean())
        if isinstance(targets, str):
            figures[f"heads.median_mm.{name}"] = targets
        else:
            from trainer.template.measure import distances_mm

            figures[f"heads.median_mm.{name}"] = float(distances_mm(template, bases[name], targets)[:, 0].mean())
    return figures


def simulated() -> list | str:
    """The simulated faces that nothing is made from, or why they are not here."""
    if not (shared_folder() / "faces3d").is_dir():
        return "left out: the scans are not here"
    from trainer.template.measure import simulated_targets

    return simulated_targets()


@torch.no_grad()
def separation(network: LearnedBasisNet, batch: FaceBatch) -> dict[str, float]:
    """How far, in mm over the face, codes of single photos are apart; photos of people who make the same faces.

    ``identity``: neutral faces of one person's photos (same) and of different people (other). ``expression``: what the
    same expression moves on different people (same), and different expressions on one person (other).
    """
    alone = torch.arange(len(batch.images))
    face = network.face(network(batch.images * 2 - 1, alone))
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
    """Held-out people, four photos each, then neutral ones; kept on disk."""
    for neutral, photos, count in ((False, 4, people), (True, 1, max(people // 2, 1))):
        config = FacePeopleConfig(
            size=size, seed=HELD_OUT_SEED, photos=photos, neutral=neutral, keep=count, folder=folder
        )
        source = config.build()
        for start in range(0, count, _BATCH):
            yield source.batch(range(start, min(start + _BATCH, count)), torch.device("cpu"))


def encoder_figures(network: LearnedBasisNet, people: int, folder: str = "") -> dict[str, float]:
    """One pass of the encoder over held-out people; see ``face_figures`` and ``separation``."""
    size = network.config.size
    found = face_figures(network, FaceMarks(), held_out(size, people, folder))
    figures = {f"encoder.{name}": value for name, value in found.items()}
    figures["lip_iou.upper"], figures["lip_iou.lower"] = found["lip_iou.upper"], found["lip_iou.lower"]
    figures["photometric.synthetic"], figures["neutral.moved_mm"] = found["photometric"], found["neutral.moved"]
    config = FacePeopleConfig(size=size, seed=HELD_OUT_SEED + 1, photos=4)
    pairs = FacePeople(config, SameFaces(config)).batch(range(min(people, 8)), torch.device("cpu"))
    return figures | separation(network, pairs)


def portrait_batch(folder: Path, count: int, seed: int) -> FaceBatch:
    """Held-out real portraits of a prepared collection."""
    config = PortraitsConfig(folder=str(folder), part="held_out", seed=seed)
    return FacePortraitsConfig(portraits=config).build().batch(range(count), torch.device("cpu"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate basis``."""
    parser.add_argument("--people", type=int, default=48, help="held-out synthetic people (default 48)")
    parser.add_argument("--model", type=Path, help="folder of an exported model (default: the shipped one)")
    parser.add_argument("--no-scans", action="store_true", help="leave out the fits to scans (minutes)")
    parser.add_argument("--kept", default="", metavar="FOLDER", help="where held-out pictures are kept")
    parser.add_argument("--portraits", type=Path, help="a prepared collection (framing face, the model's size)")
    parser.add_argument("--sheet", type=Path, help="where a sheet of them goes (PNG)")
    parser.add_argument("--count", type=int, default=100, help="portraits that are measured")
    parser.add_argument("--seed", type=int, default=0, help="which portraits")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Flat figures of ``evaluate basis``; "not trained" without a model, "left out: why" for what nothing computes."""
    network = trained_or_none(load_learned_basis, arguments.model)
    figures = head_figures(network, arguments.people, scans=not arguments.no_scans)
    if network is None:
        figures |= dict.fromkeys((*_ENCODED, *_SEPARATION), NOT_TRAINED)
    else:
        figures |= encoder_figures(network, arguments.people, arguments.kept)
        figures["photometric.learned"] = "left out: no portraits were given"
        if arguments.portraits:
            batch = portrait_batch(arguments.portraits, arguments.count, arguments.seed)
            figures["photometric.learned"] = face_figures(network, FaceMarks(), [batch])["photometric"]
            if arguments.sheet:
                sheet = contact_sheet(network, batch, rows=_SHEET_ROWS).permute(1, 2, 0).numpy()
                cv2.imwrite(str(arguments.sheet), (sheet[..., ::-1] * 255).round().clip(0, 255).astype(np.uint8))
    figures |= LATER
    table = Table("figure", "value", title=f"{arguments.people} held-out synthetic people")
    for name, value in figures.items():
        table.add_row(name, value if isinstance(value, str) else f"{value:.4f}")
    console.print(table)
    return figures
