"""Evaluate the learned face model: how well its bases express held-out faces, its encoder held-out people in one pass;
the pictures: photometric error, verification.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from scipy.stats import wasserstein_distance
from torch import Tensor

from backend.errors import LikenessError
from backend.models.learned_basis import network as nets
from backend.models.learned_basis.apply import BasisModel, encoder_input, render_face
from backend.models.registry import NOT_TRAINED
from backend.photos.faces import landmarks_of_largest
from trainer.engine.disk_cache import shared_folder
from trainer.measures.harness import batches, trained_or_none
from trainer.measures.metrics import dlib_box, embedding_in
from trainer.methods.learned_basis.data import Actors, FaceBatch, FacePeople, FacePeopleConfig, FacePortraitsConfig
from trainer.methods.learned_basis.losses import METRES_TO_MM
from trainer.methods.learned_basis.stage import colour_errors, face_figures
from trainer.methods.learned_basis.start import FaceMarks, encode_again
from trainer.people.scene import Shot
from trainer.portraits.collection import PortraitsConfig, open_cache

HELD_OUT_SEED = 903
"""People that no recipe trains or validates on."""


_BASIS_PAIRS_BATCH = 32
RENDER_SIDE = 150
"""Pixels: the input size of dlib's network."""
_GREY = 0.5
_FACES_BATCH = 16
_BATCH = 8


@dataclass(frozen=True)
class PairFace:
    """A picture (H, W, 3) uint8 sRGB and the landmarks (478, 3) of the face in it."""

    pixels: np.ndarray
    landmarks: np.ndarray


def pairs_of_photos(folder: Path, people: int, seed: int = 0) -> list[tuple[Path, Path]]:
    """First two photos of ``people`` random people (``seed``) with at least two; ``folder`` has a folder per person."""
    first_two = [sorted(person.glob("*.jpg"))[:2] for person in sorted(folder.iterdir()) if person.is_dir()]
    first_two = [photos for photos in first_two if len(photos) == 2]
    chosen = np.random.default_rng(seed).permutation(len(first_two))[:people]
    return [(first_two[number][0], first_two[number][1]) for number in np.sort(chosen)]


def read_face(path: Path) -> PairFace | None:
    """Read a photo and detect its face; None if the file cannot be read or shows no face."""
    picture = cv2.imread(str(path))
    if picture is None:
        return None
    pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    landmarks = landmarks_of_largest(pixels)
    return None if landmarks is None else PairFace(pixels, landmarks)


@torch.no_grad()
def identity_codes(network: nets.LearnedBasisNet, faces: Sequence[PairFace]) -> np.ndarray:
    """(N, m_i) identity codes of single photos."""
    codes = []
    for start in range(0, len(faces), _BASIS_PAIRS_BATCH):
        inputs = encoder_input(faces[start : start + _BASIS_PAIRS_BATCH], network.config.size)
        alone = torch.arange(len(inputs.pictures))
        codes.append(network(inputs.pictures * 2 - 1, alone, inputs.landmarks).identity)
    return torch.cat(codes).double().numpy()


def similarities(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines between codes (P, m) of P people's first and second photos, with the mean code subtracted: (P,) of the
    same person, and (P (P - 1),) of one person's first photo and another's second."""
    middle = np.concatenate([first, second]).mean(0)
    return cosines_of_pairs(first - middle, second - middle)


def cosines_of_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines between vectors (P, m) of P people's first and second photos: (P,) of the same person, and
    (P (P - 1),) of one person's first photo with another's second."""
    a, b = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (first, second))
    cosines = a @ b.T
    return np.diag(cosines).copy(), cosines[~np.eye(len(a), dtype=bool)]


def equal_error_rate(same: np.ndarray, other: np.ndarray) -> float:
    """Equal error rate: the error at the threshold where the false rejection and false acceptance rates are equal.

    same, other : (S,), (O,) similarities. If no threshold gives equality, the two nearest rates are averaged.
    """
    thresholds = np.unique(np.concatenate([same, other, [np.inf]]))
    refused = np.searchsorted(np.sort(same), thresholds, side="left") / len(same)
    taken = 1.0 - np.searchsorted(np.sort(other), thresholds, side="left") / len(other)
    nearest = int(np.abs(refused - taken).argmin())
    return float((refused[nearest] + taken[nearest]) / 2)


def face_pairs(folder: Path, people: int) -> list[tuple[PairFace, PairFace]]:
    """The pairs of ``pairs_of_photos`` with a face in both photos."""
    pairs = [(read_face(one), read_face(two)) for one, two in pairs_of_photos(folder, people)]
    return [(one, two) for one, two in pairs if one is not None and two is not None]


def verification_figures(network: nets.LearnedBasisNet, pairs: Sequence[tuple[PairFace, PairFace]]) -> dict[str, float]:
    """``verification.eer``, ``.emd`` (earth mover's distance between the cosines of same and of other pairs; larger is
    better) and ``.people``, the number of people."""
    codes = identity_codes(network, [face for pair in pairs for face in pair])
    same, other = similarities(codes[0::2], codes[1::2])
    return {
        "verification.eer": equal_error_rate(same, other),
        "verification.emd": float(wasserstein_distance(same, other)),
        "verification.people": float(len(pairs)),
    }


@torch.no_grad()
def photometric_figures(network: nets.LearnedBasisNet, batch: FaceBatch) -> dict[str, float]:
    """``photometric.learned``: mean absolute error on held-out photos after one encoder pass, with its own light."""
    code = encode_again(network, batch)
    face = network.face(code)
    pixels = code.pose.cameras(batch.images.shape[-1]).project(face.vertices)
    return {"photometric.learned": float(colour_errors(network.bases, face, pixels, code.light, batch).nanmean())}


@torch.no_grad()
def identity_renders(network: nets.LearnedBasisNet, faces: Sequence[PairFace]) -> Iterator[PairFace]:
    """Render each photo's neutral face with its reflectance, in the photo's pose and light; landmarks (468, 2)."""
    marks = FaceMarks()
    for start in range(0, len(faces), _FACES_BATCH):
        inputs = encoder_input(faces[start : start + _FACES_BATCH], network.config.size)
        code = network(inputs.pictures * 2 - 1, torch.arange(len(inputs.pictures)), inputs.landmarks)
        face = network.face(replace(code, expression=torch.zeros_like(code.expression)))
        cameras = code.pose.cameras(RENDER_SIDE)
        rendered = render_face(network.bases, face, cameras.project(face.vertices), code.light, RENDER_SIDE)
        pictures = torch.where(rendered.mask[:, None], rendered.image, _GREY).permute(0, 2, 3, 1)
        points = cameras.project(marks.points(face.vertices))[..., :2]
        for picture, picture_points in zip(pictures, points, strict=True):
            yield PairFace((picture.clamp(0, 1) * 255).round().byte().numpy(), picture_points.double().numpy())


def render_figures(network: nets.LearnedBasisNet, pairs: Sequence[tuple[PairFace, PairFace]]) -> dict[str, float]:
    """``verification.renders.emd`` and ``.eer`` of the pairs' renders, and ``verification.photos.*`` of their photos.

    pairs : two photos of one person each.

    Raises
    ------
    LikenessError("missing_part") : the face-recognition network is not installed.
    """
    faces = [face for pair in pairs for face in pair]
    figures = {}
    for name, pictures in (("renders", identity_renders(network, faces)), ("photos", faces)):
        embeddings = np.stack([embedding_in(one.pixels, dlib_box(one.landmarks)) for one in pictures])
        same, other = cosines_of_pairs(embeddings[0::2], embeddings[1::2])
        figures[f"verification.{name}.emd"] = float(wasserstein_distance(same, other))
        figures[f"verification.{name}.eer"] = equal_error_rate(same, other)
    return figures


class SameFaces(Actors):
    """People who all make the same expressions in the same order."""

    def shots(self, index: int) -> list[Shot]:
        """See ``Actors``; expression n is taken from the first photo of another person n, for everybody alike."""
        shots = super().shots(index)
        like = [self.sampler.photos(10_000_000 + number, 1)[0].expression for number in range(len(shots))]
        return [replace(shot, expression=expression) for shot, expression in zip(shots, like, strict=True)]


@torch.no_grad()
def separation(network: nets.LearnedBasisNet, batch: FaceBatch) -> dict[str, float]:
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


def held_out(size: int, people: int) -> Iterator[FaceBatch]:
    """Batches of held-out people: first four photos each, then half as many people with one neutral photo each.

    Pictures are kept in the cache folder."""
    for neutral, photos, count in ((False, 4, people), (True, 1, max(people // 2, 1))):
        config = FacePeopleConfig(size=size, seed=HELD_OUT_SEED, photos=photos, neutral=neutral, keep=count)
        yield from batches(config.build(), count, _BATCH)


def encoder_figures(network: nets.LearnedBasisNet, people: int) -> dict[str, float]:
    """Figures of one encoder pass over held-out people; see ``face_figures`` and ``separation``."""
    size = network.config.size
    of_faces = face_figures(network, FaceMarks(), held_out(size, people))
    figures = {f"encoder.{name}": value for name, value in of_faces.items()}
    figures["lip_iou.upper"], figures["lip_iou.lower"] = of_faces["lip_iou.upper"], of_faces["lip_iou.lower"]
    figures["photometric.synthetic"], figures["neutral.moved_mm"] = of_faces["photometric"], of_faces["neutral.moved"]
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
    parser.add_argument("--pairs", type=int, default=200, help="people whose photos are told apart (default 200)")
    parser.add_argument("--portraits", type=Path, help="a prepared collection of faces or heads")
    parser.add_argument("--count", type=int, default=100, help="portraits that are measured")
    parser.add_argument("--seed", type=int, default=0, help="which portraits")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Flat figures of ``evaluate basis``; ``not trained`` where there is no model."""
    model = trained_or_none(BasisModel.load, arguments.model)
    if model is None:
        return {"basis": NOT_TRAINED}
    figures: dict[str, float | str] = {**encoder_figures(model.network, arguments.people)}
    if arguments.portraits:
        batch = portrait_batch(arguments.portraits, arguments.count, arguments.seed, model.network.config.size)
        figures |= photometric_figures(model.network, batch)
    return figures | (pair_figures(model.network, arguments.pairs) if arguments.pairs else {})


def pair_figures(network: nets.LearnedBasisNet, people: int) -> dict[str, float | str]:
    """``verification.*`` on photo pairs of the research-only collection, or why they were left out."""
    folder = shared_folder() / "photos" / "research_only" / "lfw"
    if not folder.is_dir():
        return {"verification": "left out: the photos of pairs are not here"}
    pairs = face_pairs(folder, people)
    figures: dict[str, float | str] = {**verification_figures(network, pairs)}
    try:
        return figures | render_figures(network, pairs)
    except LikenessError as problem:
        return figures | {"verification.renders": f"left out: {problem}"}
