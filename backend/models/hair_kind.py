"""The kind of hair, of beard and of glasses that photographs show: linear heads on the frozen trunk's features.

The second parsing net's trunk looks at a head crop. Its features are pooled over parts of the hair and of the face, and
with a coarse map of the labels they are the input of one multinomial logistic regression for each field.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from backend.models.checkpoints import read_tensors
from backend.models.mobile_trunk import normalised
from backend.models.parsing.network import FaceParser
from backend.models.registry import PARSING_OPINION
from backend.photos.collection import FaceClass, PhotoFace
from backend.system.files import ASSETS

KIND_PATH = ASSETS / "hair_kind.safetensors"
FIELDS: Mapping[str, tuple[str, ...]] = {
    "flow": ("forward", "back", "up", "aside_left", "aside_right", "parted_middle", "none"),
    "parting": ("left", "right", "middle", "none"),
    "fringe": ("none", "partial", "full"),
    "length": ("shaved", "buzz", "short", "ear", "chin", "shoulder", "longer"),
    "tied": ("no", "low_bun", "high_bun", "ponytail", "braid"),
    "curl": ("straight", "wavy", "curly", "coily", "locs"),
    "sides": ("shaved_fade", "short", "over_ears", "behind_ears"),
    "density": ("full", "receding", "thinning_top", "ring", "bald"),
    "beard": ("none", "any"),
    "glasses": ("none", "thin", "thick", "sun"),
    "grey": ("none", "some", "mostly", "white"),
}
"""What labels say of a person, and its values; left and right are the person's. Only what photos tell is learnt."""
UNSURE = ("flow", "parting")
"""Fields that help to choose a groom, but are right too seldom to be reported (balanced accuracy 0.44 and 0.52)."""
MIRRORED = {"aside_left": "aside_right", "aside_right": "aside_left", "left": "right", "right": "left"}
"""Values of a mirror image by those of the picture; all others stay."""
SIDE, CELLS = 256, 16
"""Pixels and cells of a head crop's side."""
_COLUMN, _ROW = np.meshgrid(np.arange(CELLS), np.arange(CELLS))
_TOP, _LEFT, _RIGHT = _ROW < 7, _COLUMN < 7, _COLUMN > 8
_MIDDLE = ~(_COLUMN < 5) & ~(_COLUMN > 10)
_HAIR_PARTS = (_ROW >= 0, _TOP & _LEFT, _TOP & _RIGHT, ~_TOP)
_FACE_PARTS = (
    (_ROW > 2) & (_ROW < 6) & _MIDDLE,
    (_ROW > 7) & (_ROW < 12) & _MIDDLE,
    (_ROW > 5) & (_ROW < 8) & (_COLUMN > 3) & (_COLUMN < 12),
)
"""Cells in which hair is looked at: all of it, the top's two halves, and below the brows; and the cells of the
forehead, of mouth and chin, and of the eyes."""
_SHARE_WORTH = 15.0
"""Factor on shares of labels that makes them vary as much as features do; of 1, 5 and 15 the best held out, glasses
0.89 for 0.84 of balanced accuracy."""
_MAPPED = (FaceClass.SKIN, FaceClass.GLASSES, FaceClass.HAIR, FaceClass.FACIAL_HAIR, FaceClass.EARS, FaceClass.NECK)


@dataclass(frozen=True)
class HairKind:
    """``odds`` : by field, (V,) float64 probabilities of its values in ``FIELDS``, of sum 1."""

    odds: Mapping[str, np.ndarray]

    def value(self, field: str) -> str:
        """The likeliest value."""
        return FIELDS[field][int(self.odds[field].argmax())]

    def probability(self, field: str, *values: str) -> float:
        """That it is one of the values."""
        return float(sum(self.odds[field][FIELDS[field].index(value)] for value in values))

    def to_report(self) -> dict[str, dict[str, object]]:
        """``hair_kind`` in ``report.json``: ``value`` and ``probability`` of each field."""
        told = ((field, self.value(field)) for field in self.odds if field not in UNSURE)
        return {
            field: {"value": value, "probability": round(self.probability(field, value), 3)} for field, value in told
        }


def joined_kinds(kinds: Sequence[HairKind]) -> HairKind:
    """What photos of one look say together: the mean of their log probabilities, so that no photo counts twice for
    being like another. Raises ``ValueError`` without any."""
    if not kinds:
        raise ValueError("there is no photo to tell the kind of hair from")
    odds = {}
    for field in kinds[0].odds:
        log = np.mean([np.log(np.maximum(kind.odds[field], 1e-9)) for kind in kinds], 0)
        odds[field] = _softmax(np.where(kinds[0].odds[field] > 0, log, -np.inf))
    return HairKind(odds)


def _softmax(scores: np.ndarray) -> np.ndarray:
    power = np.exp(scores - scores.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


@torch.inference_mode()
def kind_features(parser: FaceParser, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N, F) float32 features of head crops (N, SIDE, SIDE, 3) uint8 sRGB with labels (N, SIDE, SIDE) of ``FaceClass``;
    other values of these are unknown."""
    picture = torch.from_numpy(np.ascontiguousarray(pixels)).to(parser.device).permute(0, 3, 1, 2).float() / 255
    *_, middle, last = parser.network.trunk(normalised(picture).contiguous(memory_format=torch.channels_last))
    known = torch.from_numpy(np.stack([labels == kind for kind in _MAPPED], 1)).float()
    shares = avg_pool2d(known, SIDE // CELLS)
    hair = shares[:, _MAPPED.index(FaceClass.HAIR)]
    parts = [hair * torch.from_numpy(part) for part in _HAIR_PARTS]
    parts += [torch.from_numpy(part).expand_as(hair).float() for part in _FACE_PARTS]
    pooled = [_pooled(scale.float().cpu(), part) for part in parts for scale in (middle, last)]
    return torch.cat([*pooled, _SHARE_WORTH * shares.flatten(1)], 1).numpy()


def _pooled(features: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """(N, C) means of features (N, C, S, S) over a part (N, CELLS, CELLS); less where it is under two cells."""
    weight = avg_pool2d(part[:, None], CELLS // features.shape[-1])
    return (features * weight).sum((2, 3)) / (weight.sum((2, 3)) + 2 * (features.shape[-1] / CELLS) ** 2)


@dataclass(frozen=True)
class KindReader:
    """``heads`` : by field, weights (F, V) and bias (V,) of its values; values that were never learnt have a bias of
    minus infinity."""

    parser: FaceParser
    heads: Mapping[str, tuple[np.ndarray, np.ndarray]]

    def read(self, pixels: np.ndarray, labels: np.ndarray) -> HairKind:
        """Of one head crop (S, S, 3) uint8 sRGB with labels (S, S), together with its mirror image."""
        how = cv2.INTER_AREA if pixels.shape[0] > SIDE else cv2.INTER_LINEAR
        small = cv2.resize(pixels, (SIDE, SIDE), interpolation=how)
        known = cv2.resize(labels, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        both = kind_features(self.parser, np.stack([small, small[:, ::-1]]), np.stack([known, known[:, ::-1]]))
        return joined_kinds(self.kinds(both[:1]) + self.kinds(both[1:], mirrored=True))

    def kinds(self, features: np.ndarray, mirrored: bool = False) -> list[HairKind]:
        """One for each row of features (N, F), of mirror images where ``mirrored``."""
        odds = {field: _softmax(features @ weights + bias) for field, (weights, bias) in self.heads.items()}
        if mirrored:
            odds = {field: each[:, mirrored_values(field)] for field, each in odds.items()}
        return [HairKind({field: each[row] for field, each in odds.items()}) for row in range(len(features))]


def mirrored_values(field: str) -> list[int]:
    """Indices of the values that the mirror image of each value of a field has."""
    return [FIELDS[field].index(MIRRORED.get(value, value)) for value in FIELDS[field]]


def read_heads(path: Path = KIND_PATH) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """``KindReader.heads`` of a file."""
    stored = read_tensors(path)
    heads = {}
    for field, values in json.loads(stored.metadata["fields"]).items():
        weights, bias = (stored.tensors[f"{field}.{name}"].float().numpy() for name in ("weights", "bias"))
        places = [FIELDS[field].index(value) for value in values]
        whole = np.zeros((len(weights), len(FIELDS[field])), np.float32), np.full(len(FIELDS[field]), -np.inf)
        whole[0][:, places], whole[1][places] = weights, bias
        heads[field] = whole
    return heads


@cache
def kind_reader() -> KindReader | None:
    """The trained reader; None without the net on whose trunk it stands."""
    parser = PARSING_OPINION.find()
    return None if parser is None else KindReader(parser, read_heads())


def read_kind(faces: Sequence[PhotoFace]) -> HairKind | None:
    """What photos of one look, at least one, say together; None without the net."""
    reader = kind_reader()
    return None if reader is None else joined_kinds([reader.read(face.pixels, face.labels) for face in faces])
