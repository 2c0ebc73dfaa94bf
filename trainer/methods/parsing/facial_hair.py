"""Train the photo stage's classifier of moustaches and beards on edges, tones and colours around the mouth.

``python -m trainer facial-hair-classifier FOLDER`` reads the portraits listed in ``traits.csv`` (the public-domain
set), renders synthetic people, and writes ``facial_hair_classifier.npz`` into ``assets/parsing``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.parsing.accessories import FacialHairClassifier, lower_face_features
from backend.models.parsing.apply import WORK_SIDE
from backend.photos.collection import FaceClass
from backend.photos.faces import crop_head, landmark_window
from backend.photos.regions import mouth_parts
from backend.system.assets import ASSETS
from trainer.methods.parsing.portrait_statistics import mirrored_portrait, read_portrait
from trainer.people.dressed import DressedPeopleConfig
from trainer.portraits.relabel import BEARD, MOUSTACHE, NO, read_traits

CLASSIFIER_PATH = ASSETS / "parsing" / "facial_hair_classifier.npz"
_HIDDEN_UNITS = 32
_EPOCHS, _ROWS, _RATE, _DECAY = 25, 64, 2e-3, 0.09
_DROPPED = (0.2, 0.4)  # dropout of the features and of the hidden units
_RARITY = 0.5
"""Exponent of the class weight: positives weigh (negatives / positives) to this power."""
_EDGES, _SCALES = 2304, (2.0, 1.0)
"""Number of features of edges and tones (the rest are colours), and factors that give both a similar spread."""
_FACE_PX = (55.0, 125.0)
_BLURRED, _BLUR = 0.7, (0.2, 0.9)
_GAMMA, _CONTRAST, _LIFT = (0.7, 1.4), (0.75, 1.15), 0.06
_TINTED, _TINT = 0.5, (0.88, 1.12)
_NOISE, _QUALITY = 4.0, (45, 92)
"""Augmentation that imitates press photos. They are smaller, softer, noisier and more compressed than official
portraits, with other lights and colours."""
_DRAWN, _BATCH = 488, 8
_PEOPLE = DressedPeopleConfig(size=256, seed=4121, beards=0.75, company=0.0, hats=0.15, glasses=0.4)
"""Synthetic people add colour pictures: only 62 portraits with a moustache are in colour. Two of five synthetic beards
are grey or pale."""
_AS_DRAWN = 0.3  # share of synthetic people without press-like augmentation
_MUCH, _HARDLY, _HIDDEN = 0.3, 0.03, 0.05
"""Shares of hair on the upper lip's skin above which there is a moustache, and up to which there is none; largest
occluded share of the lower face."""


@dataclass(frozen=True)
class Rows:
    """Training data of the classifiers.

    Attributes
    ----------
    features : (P, F) of ``lower_face_features``. moustache, beard : (P,) 0 or 1; a beard's lip counts as a moustache.
    """

    features: np.ndarray
    moustache: np.ndarray
    beard: np.ndarray


def press_like(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Degrade a head crop (S, S, 3) uint8 with landmarks (478, 3) to look like one from a press photo, smaller."""
    factor = min(1.0, rng.uniform(*_FACE_PX) / landmark_window(landmarks, 1.0).side)
    side = max(48, round(pixels.shape[0] * factor))
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < _BLURRED:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(*_BLUR))
    lit = (small.astype(np.float32) / 255) ** rng.uniform(*_GAMMA)
    lit = (lit - 0.5) * rng.uniform(*_CONTRAST) + 0.5 + rng.uniform(-_LIFT, _LIFT)
    if rng.random() < _TINTED:
        lit = lit * rng.uniform(*_TINT, 3)
    noisy = np.clip(lit * 255 + rng.normal(0, rng.uniform(0, _NOISE), lit.shape), 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*_QUALITY))])
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR), landmarks * (side / pixels.shape[0])


def portrait_rows(folder: Path) -> Rows:
    """Each portrait of ``traits.csv`` as it is, and press-like, both mirrored and not."""
    features, hair = [], []
    for name, traits in read_traits().items():
        if traits.facial_hair not in (NO, MOUSTACHE, BEARD):
            continue
        portrait = read_portrait(folder / name)
        if portrait is None:
            continue
        crop = crop_head(*portrait, max_side=WORK_SIDE)
        head = crop.pixels, crop.to_crop(portrait[1])
        rng = np.random.default_rng([7, int(Path(name).stem)])
        for version in (head, press_like(*mirrored_portrait(*head), rng), press_like(*head, rng)):
            features.append(lower_face_features(*version))
            hair.append(traits.facial_hair)
    seen = np.array(hair)
    return Rows(np.array(features), (seen != NO).astype(float), (seen == BEARD).astype(float))


def synthetic_rows(count: int = _DRAWN) -> Rows:
    """Those of ``count`` synthetic people whose labels are clear about a moustache; most of them press-like."""
    source = _PEOPLE.build()
    features, moustache, beard = [], [], []
    for start in range(0, count, _BATCH):
        batch = source.batch(range(start, start + _BATCH), torch.device("cpu"))
        pictures = (batch.images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
        people = zip(pictures, batch.labels.numpy(), batch.landmarks478.numpy().astype(np.float64), strict=True)
        for number, (picture, labels, flat) in enumerate(people, start):
            landmarks = np.column_stack([flat, np.zeros(len(flat))])
            _, lip, chin = mouth_parts(landmarks, len(labels))
            if not lip.any() or not chin.any() or (labels[lip | chin] == FaceClass.OCCLUDER).mean() > _HIDDEN:
                continue
            share = float((labels[lip] == FaceClass.FACIAL_HAIR).mean())
            if _HARDLY < share <= _MUCH:
                continue
            rng = np.random.default_rng([9, number])
            head = (picture, landmarks) if rng.random() < _AS_DRAWN else press_like(picture, landmarks, rng)
            features.append(lower_face_features(*head))
            moustache.append(float(share > _MUCH))
            beard.append(float((labels[chin] == FaceClass.FACIAL_HAIR).mean() > _MUCH))
    return Rows(np.array(features), np.array(moustache), np.array(beard))


def fit(portraits: Rows, people: Rows, seed: int = 0) -> FacialHairClassifier:
    """Train two layers with dropout, by AdamW (Loshchilov and Hutter 2019) with a one-cycle learning rate.

    The first output separates a moustache or beard from bare upper lips. The second separates beards from bare chins;
    moustaches alone count as bare chins.
    """
    features = np.concatenate([portraits.features, people.features]).astype(np.float32)
    mean = portraits.features.mean(axis=0).astype(np.float32)
    scale = np.where(np.arange(features.shape[1]) < _EDGES, *_SCALES).astype(np.float32)
    x = torch.from_numpy((features - mean) * scale)
    y = torch.from_numpy(
        np.stack(
            [np.concatenate([portraits.moustache, people.moustache]), np.concatenate([portraits.beard, people.beard])],
            1,
        )
    ).float()
    torch.manual_seed(seed)
    layers = nn.Sequential(
        nn.Dropout(_DROPPED[0]), nn.Linear(x.shape[1], _HIDDEN_UNITS), nn.ReLU(), nn.Dropout(_DROPPED[1]),
        nn.Linear(_HIDDEN_UNITS, 2),
    )  # fmt: skip
    _learn(layers, x, y)
    inner, outer = layers[1], layers[4]
    arrays = [part.detach().numpy() for part in (inner.weight.T, inner.bias, outer.weight.T, outer.bias)]
    return FacialHairClassifier(mean, scale[:, None] * arrays[0], *arrays[1:])


def _learn(layers: nn.Sequential, x: Tensor, y: Tensor) -> None:
    """Train layers in place on labels y (P, 2), 0 or 1, of features x (P, F)."""
    weight = ((1 - y).sum(0) / y.sum(0)) ** _RARITY
    optimizer = torch.optim.AdamW(layers.parameters(), _RATE, weight_decay=_DECAY)
    steps = _EPOCHS * -(-len(x) // _ROWS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(x)).split(_ROWS):
            loss = functional.binary_cross_entropy_with_logits(layers(x[rows]), y[rows], pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    layers.eval()


def save(classifier: FacialHairClassifier, path: Path = CLASSIFIER_PATH) -> None:
    """Write the file that ``FacialHairClassifier.load`` reads."""
    arrays = {name: np.asarray(values).astype(np.float16) for name, values in vars(classifier).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer facial-hair-classifier``."""
    parser.add_argument("folder", type=Path, help="folder of portraits, one per person")
    parser.add_argument("--drawn", type=int, default=_DRAWN, help=f"synthetic people to draw (default {_DRAWN})")
    parser.add_argument("--out", type=Path, default=CLASSIFIER_PATH, help="file to write (default: the shipped one)")


def run(arguments: argparse.Namespace) -> int:
    """Train the classifier and write it; returns the exit code."""
    save(fit(portrait_rows(arguments.folder), synthetic_rows(arguments.drawn)), arguments.out)
    return 0
