"""The reader of the hair's kind: its training (``python -m trainer hair-kind COLLECTION ... --out FILE``) on prepared
portraits that were labelled by eye (``hair_kinds.csv``), with cross-validated figures, and its figures on photos that
somebody else labelled (``judged_hair_kinds.csv``, ``python -m trainer evaluate hair --kind``).
"""

import argparse
import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

from backend.errors import LikenessError
from backend.models.checkpoints import write_tensors
from backend.models.hair_kind import FIELDS, kind_features, kind_reader, mirrored_values
from backend.models.registry import PARSING_OPINION
from backend.photos.collection import PhotoFace
from trainer.portraits.collection import open_cache

Head = tuple[tuple[str, ...], np.ndarray, np.ndarray]
"""Values of a field, and weights (F, V) and bias (V,) of their scores."""
KINDS_PATH = Path(__file__).parent / "hair_kinds.csv"
JUDGED_PATH = KINDS_PATH.with_name("judged_hair_kinds.csv")
"""Kinds of hair in photos of ``research_only/lfw``, by eye, by somebody who did not label what the reader learns from;
nothing is fitted to them."""
_LEAST, _JUDGED = 5, 4
"""Portraits of a value below which it is not learnt, and not judged: of three people each is a third."""
_RANK, _RIDGE, _FOLDS, _BATCH = 160, 1.0, 5, 32
"""Principal components that are learnt from; penalty of weights on features of unit variance as a whole: of 0.1 to 2
the best held out, most fields within 0.03. Copies that are turned, blurred and of other light do not help."""
TOLD = {field: field in ("fringe", "density", "glasses", "beard") for field in FIELDS if field != "tied"}
"""Fields that ship, and whether all their values count alike, or all but the commonest: straight hair that comes as
curls is seen at once. Of beards any is told (0.92 of photos labelled by somebody else; which, 0.54), and too few
portraits with tied hair may ship."""
_BEARDS = ("stubble", "short", "full", "goatee", "moustache")
"""Values of labels that are read as any beard: which, photos do not tell."""


def read_kinds(path: Path = KINDS_PATH) -> dict[str, dict[str, str]]:
    """File -> field -> value, without those that cannot be told. Raises ``ValueError`` for an unknown value."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = {
            row.pop("file"): {field: value for field, value in row.items() if value} for row in csv.DictReader(file)
        }
    for name, row in rows.items():
        if row.get("beard") in _BEARDS:
            row["beard"] = "any"
        wrong = [value for field, value in row.items() if value not in FIELDS[field]]
        if wrong:
            raise ValueError(f"{path}: {name} has {wrong[0]!r}, which is no value of its field")
    return rows


def balanced_accuracy(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Mean over the values in ``truth`` (N,) of how often they are ``found`` (N,), and the share of the commonest, both
    of values that at least ``_JUDGED`` have."""
    values = [mask for mask in (truth == value for value in np.unique(truth)) if mask.sum() >= _JUDGED]
    right = [float((found[one] == truth[one]).mean()) for one in values]
    return float(np.mean(right)), max(float(one.mean()) for one in values)


def kind_figures(faces: Mapping[str, PhotoFace], told: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Of faces by file, read one by one, and what is ``told`` of them by eye: ``kind.FIELD`` the balanced accuracy,
    ``kind.FIELD.commonest`` the share of the commonest value, ``kind.FIELD.LABEL.FOUND`` shares of what is found, and
    ``kind.calibration`` by how much probabilities differ from how often they are right (expected error, tenths).
    Raises ``LikenessError`` without the net."""
    reader = kind_reader()
    if reader is None:
        raise LikenessError("missing_part", "The net under the reader of hair is missing.", "Install Likeness again.")
    kinds = {name: reader.read(face.pixels, face.labels) for name, face in faces.items()}
    figures: dict[str, float] = {}
    sure: list[float] = []
    right: list[bool] = []
    for field in reader.heads:
        names = [name for name in kinds if field in told[name]]
        truth, found = np.array([(told[name][field], kinds[name].value(field)) for name in names]).T
        figures[f"kind.{field}"], figures[f"kind.{field}.commonest"] = balanced_accuracy(truth, found)
        for label in np.unique(truth):
            each = Counter(found[truth == label].tolist())
            figures |= {f"kind.{field}.{label}.{value}": n / each.total() for value, n in each.items()}
        sure += [kinds[name].probability(field, value) for name, value in zip(names, found, strict=True)]
        right += (truth == found).tolist()
    tenth, off = (np.array(sure) * 10).astype(int), np.array(sure) - right
    return figures | {"kind.calibration": float(sum(abs(off[tenth == k].sum()) for k in range(11)) / len(sure))}


def fit_logistic(x: np.ndarray, y: np.ndarray, count: int, even: bool, ridge: float = _RIDGE) -> np.ndarray:
    """(F + 1, V) weights and bias of a multinomial logistic regression of y (N,), 0 to V - 1, on x (N, F), in
    which all values count alike (``even``), or all but the commonest; ``ridge`` : penalty of the weights."""
    number = np.bincount(y, minlength=count).astype(float)
    weight = np.maximum(np.sort(number)[-1 if even else -2] / np.maximum(number, 1), 1.0)[y]
    design, truth = np.concatenate([x, np.ones((len(x), 1))], 1), np.eye(count)[y]
    weight = weight[:, None] / weight.mean()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(-1, count)
        scores = design @ weights
        log = scores - np.logaddexp.reduce(scores, 1, keepdims=True)
        slope = design.T @ (weight * (np.exp(log) - truth))
        slope[:-1] += ridge * weights[:-1]
        return float(-(weight * truth * log).sum() + 0.5 * ridge * (weights[:-1] ** 2).sum()), slope.ravel()

    return minimize(loss, np.zeros(design.shape[1] * count), jac=True, method="L-BFGS-B").x.reshape(-1, count)


def sharpness(log: np.ndarray, y: np.ndarray) -> float:
    """Factor on held-out log probabilities (N, V) of truth y (N,) that makes it likeliest (Guo et al. 2017)."""

    def loss(factor: float) -> float:
        return float(np.mean(np.logaddexp.reduce(factor * log, 1) - factor * log[np.arange(len(y)), y]))

    return float(min(np.geomspace(0.4, 2.5, 41), key=loss))


def fit_heads(
    features: np.ndarray, kinds: Sequence[Mapping[str, str]], fields: Mapping[str, bool] = TOLD
) -> tuple[dict[str, Head], dict[str, float]]:
    """By field its values and (F, V) weights and (V,) bias; and held-out figures of portraits by their own picture.

    features : (2, N, F) of pictures and of their mirror images. kinds : of N portraits, each another person's. A field
    with fewer than two values that are known often enough is left out.
    """
    mean = features.mean((0, 1))
    scale = 1 / (float(features.std((0, 1)).mean()) * np.sqrt(features.shape[-1]))
    flat = (features.reshape(-1, features.shape[-1]) - mean) * scale
    basis = _components(flat)
    x = (flat @ basis).reshape(2, len(kinds), -1)
    heads, figures = {}, {}
    for field, even in fields.items():
        mirror = dict(zip(FIELDS[field], (FIELDS[field][k] for k in mirrored_values(field)), strict=True))
        number = Counter(value for kind in kinds for value in {kind.get(field), mirror.get(kind.get(field, ""))})
        values = [value for value in FIELDS[field] if number[value] >= _LEAST]
        if len(values) > 1:
            y = np.array([values.index(kind[field]) if kind.get(field) in values else -1 for kind in kinds])
            other = np.array([values.index(mirror[value]) for value in values])
            weights, log = _field_head(x, y, other, even)
            projected = basis @ weights[:-1] * scale
            heads[field] = tuple(values), projected, weights[-1] - mean @ projected
            known = y >= 0
            figures[field], figures[f"{field}.commonest"] = balanced_accuracy(y[known], log[known].argmax(1))
    return heads, figures


def _field_head(x: np.ndarray, y: np.ndarray, other: np.ndarray, even: bool) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias (K + 1, V) of one field's values y (N,), -1 where unknown, on x (2, N, K), and held-out scores
    (N, V); ``other`` (V,) : the values of mirror images."""
    known, log = y >= 0, np.zeros((len(y), len(other)))

    def learnt(part: np.ndarray) -> np.ndarray:
        both = np.concatenate([y[part], other[y[part]]])
        return fit_logistic(np.concatenate([x[0][part], x[1][part]]), both, len(other), even)

    fold = np.random.default_rng(0).integers(0, _FOLDS, len(y))
    for k in range(_FOLDS):
        weights = learnt(known & (fold != k))
        log[fold == k] = x[0][fold == k] @ weights[:-1] + weights[-1]
    return sharpness(log[known], y[known]) * learnt(known), log


def _components(flat: np.ndarray) -> np.ndarray:
    """(F, K) principal directions of rows (N, F), the strongest first, by their products."""
    _, vectors = np.linalg.eigh(flat @ flat.T)
    basis = flat.T @ vectors[:, ::-1][:, : min(_RANK, len(flat) - 2)]
    return basis / np.linalg.norm(basis, axis=0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer hair-kind``."""
    parser.add_argument("collections", type=Path, nargs="+", help="portraits that `data --framing head` prepared")
    parser.add_argument("--out", type=Path, required=True, help="file of the weights")


def run(arguments: argparse.Namespace) -> int:
    """Train and write the heads; returns the exit code. Raises ``LikenessError`` without labelled portraits."""
    kinds, parser = read_kinds(), PARSING_OPINION.load()
    found: dict[str, list[np.ndarray]] = {}
    for folder in arguments.collections:
        cache = open_cache(folder)
        rows = [k for k, file in enumerate(cache.files) if file.path in kinds and file.path not in found]
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            crops, labels = cache.crops[part], cache.labels[part]
            both = [kind_features(parser, a, b) for a, b in ((crops, labels), (crops[:, :, ::-1], labels[:, :, ::-1]))]
            found |= {cache.files[k].path: [one[n] for one in both] for n, k in enumerate(part)}
    if not found:
        raise LikenessError("usage", "None of these portraits is in hair_kinds.csv.", "Prepare those it names.")
    names = sorted(found)
    features = np.array([found[name] for name in names]).transpose(1, 0, 2)
    heads, figures = fit_heads(features, [kinds[name] for name in names])
    for name, figure in figures.items():
        print(f"{name}: {figure:.3f}")
    write_heads(arguments.out, heads)
    return 0


def write_heads(path: Path, heads: Mapping[str, Head]) -> None:
    """Write heads of ``fit_heads`` for ``backend.models.hair_kind.read_heads``."""
    tensors = {}
    for field, (_, weights, bias) in heads.items():
        tensors[f"{field}.weights"] = torch.from_numpy(weights).half()
        tensors[f"{field}.bias"] = torch.from_numpy(bias).float()
    write_tensors(path, tensors, {"fields": json.dumps({field: head[0] for field, head in heads.items()})})
