"""Train the classifier of curl (``backend.hair.curl``) on grooms of known curl, drawn by the strands' own renderer.

``python -m trainer curl`` draws heads of hair, every one with a random outline, combing, curl, colour, light and
camera, and writes ``assets/curl.npz``. ``--photos FOLDER`` prints how it judges the photos of ``curl_labels.csv`` (of
``research_only/lfw``, labelled by hand; nothing is trained on them).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from backend.geometry.template import Template, load_template
from backend.hair.curl import CURLS, STYLES, Curl, CurlClassifier, curl_features, curled
from backend.hair.draw import draw_hair
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_surface import HairSurface, HullGrid, hull_grid
from backend.hair.hair_views import closed_head
from backend.hair.trace import direction_field, lock_widths, trace_guides
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.color import srgb_bytes
from backend.rendering.visibility import depth_map
from backend.system.assets import ASSETS
from trainer.evaluate.harness import found_faces
from trainer.template.pictures.key_sheet import portrait_camera

PATH, LABELS = ASSETS / "curl.npz", Path(__file__).with_name("curl_labels.csv")
_RANGES = {"straight": ((0.0, 0.002), (0.05, 0.15)), "wavy": ((0.003, 0.009), (0.05, 0.13)),
           "curly": ((0.004, 0.013), (0.018, 0.045)), "coily": ((0.001, 0.004), (0.005, 0.012))}  # fmt: skip
"""Metres: radius and pitch of the curls drawn."""
_HIDDEN, _STEPS, _RATE, _DECAY, _DROP = 12, 1500, 0.01, 0.02, 0.15


def random_hair(grid: HullGrid, curl: Curl, rng: np.random.Generator) -> np.ndarray:
    """(G, P, 3) guides of a groom with ``curl``, its outline, length, height and combing drawn at random."""
    window, long_ = rng.uniform(0.6, 1.4), rng.random() < (0.3 if curl.stands else 0.7)
    drop = rng.uniform(0.02, 0.2) if long_ else rng.uniform(-0.02, 0.01)
    beside = np.clip((np.abs(grid.azimuth) - window) / 0.2, 0, 1)
    end = grid.line[:, None] + np.where(beside > 0, drop * beside, rng.uniform(-0.02, 0.01))
    end = end + 0.006 * np.sin(grid.azimuth * rng.integers(3, 9) + rng.uniform(0, 6))
    there = np.clip((end - grid.s) / 0.01 + 0.5, 0, 1)
    roots = (grid.s < grid.line[:, None]) * 1.0
    thick = rng.uniform(0.006, 0.05) if curl.stands else rng.uniform(0.006, 0.035)
    height = (
        thick * np.clip(0.3 + (end - grid.s) / 0.06, 0.3, 1) * (1 + 0.2 * np.sin(3 * grid.azimuth + rng.uniform(0, 6)))
    )
    surface = HairSurface(grid, there, roots, np.maximum(height, 0.002), there * 0)
    style = list(STYLES.values())[rng.integers(len(STYLES))]
    field = direction_field(surface, (), style if rng.random() < 0.7 else None)
    guides = trace_guides(surface, field, (), int(rng.integers(1 << 30)), curl)
    return curled(guides, curl, int(rng.integers(1 << 30)))


def drawn(template: Template, grid: HullGrid, kind: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """``curl_features`` of three pictures of one groom of ``CURLS[kind]``."""
    name = CURLS[kind].name
    radius, pitch = (float(rng.uniform(*span)) for span in _RANGES[name])
    guides = random_hair(grid, Curl(name, radius, pitch, CURLS[kind].stands), rng)
    if len(guides) < 100:
        return
    width = lock_widths(guides[:, 0]) * np.float32(rng.uniform(0.6, 1.4))
    tone = np.exp(rng.uniform(np.log(0.02), np.log(0.6)))
    root = (tone * np.array([1.0, rng.uniform(0.6, 1.0), 1.0]) * [1, 1, rng.uniform(0.35, 0.9)]).astype(np.float32)
    each = np.exp(rng.normal(0, rng.uniform(0, 0.2), (len(guides), 1))).astype(np.float32)
    strands = HairStrands(
        np.ascontiguousarray(guides, np.float32), np.zeros((len(guides), 2), np.float32), width.astype(np.float32),
        np.clip(root * each, 0, 1), np.clip(root * each * np.float32(rng.uniform(0.8, 1.5)), 0, 1), 4e-5, "auto", {},
    )  # fmt: skip
    vertices, faces = closed_head(template.vertices.astype(np.float64), template)
    for _ in range(3):
        side = int(rng.uniform(200, 400))
        camera = portrait_camera(np.array([0.0, 0.70, 0.02]), rng.uniform(-50, 50), side, 0.42, 1.3)
        found = _picture_features(strands, camera, vertices, faces, rng)
        if found is not None:
            yield found


def _picture_features(
    strands: HairStrands, camera: Camera, vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Features of one picture in random light before a random wall, soft, noisy and compressed like a press photo."""
    light = np.zeros((9, 3), np.float32)
    way = rng.normal((0.0, 0.6, 0.8))
    light[0], light[[3, 1, 2]] = rng.uniform(0.6, 1.1), (rng.uniform(0.1, 0.6) * way / np.linalg.norm(way))[:, None]
    hair = draw_hair(strands, camera, vertices, faces, light)
    size = camera.size
    wall = rng.uniform(0.02, 0.9, 3) + rng.uniform(-0.1, 0.1) * np.linspace(-1, 1, size[0])[None, :, None]
    skin = np.array([0.55, 0.36, 0.27]) * rng.uniform(0.2, 1.2)
    depth = depth_map(vertices, faces, camera)
    below = np.where(np.isfinite(depth)[..., None], skin, wall * np.ones((size[1], 1, 1)))
    linear = np.clip(hair.color + (1 - hair.alpha[..., None]) * below, 0, 1)
    pixels = srgb_bytes(linear).astype(np.float32)
    pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.6, 1.6))
    pixels = np.clip(pixels + rng.normal(0, rng.uniform(0, 1.5), pixels.shape), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))])[1]
    mask = cv2.GaussianBlur(hair.alpha, (0, 0), rng.uniform(0.8, 2.5))
    scale = float(camera.intrinsics[0, 0]) / 1.3
    return curl_features(cv2.imdecode(coded, cv2.IMREAD_COLOR), mask, scale)


def grooms(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, F), kinds (N,) and number of the groom (N,) of pictures of ``count`` grooms."""
    template = load_template()
    grid = hull_grid(template, template.vertices)
    features, kinds, groom = [], [], []
    for number in range(count):
        kind = number % len(CURLS)
        for each in drawn(template, grid, kind, np.random.default_rng([seed, number])):
            features.append(each), kinds.append(kind), groom.append(number)
    return np.array(features), np.array(kinds), np.array(groom)


def fit(features: np.ndarray, kinds: np.ndarray, seed: int = 0) -> CurlClassifier:
    """Two layers with dropout by AdamW (Loshchilov and Hutter 2019) and cross-entropy."""
    mean, scale = features.mean(0), features.std(0) + 1e-6
    x = torch.from_numpy(np.clip((features - mean) / scale, -3, 3)).float()
    y = torch.from_numpy(kinds).long()
    torch.manual_seed(seed)
    one, other = nn.Linear(x.shape[1], _HIDDEN), nn.Linear(_HIDDEN, len(CURLS))
    optimizer = torch.optim.AdamW([*one.parameters(), *other.parameters()], _RATE, weight_decay=_DECAY)
    for _ in range(_STEPS):
        rows = torch.randint(len(x), (256,))
        noisy = functional.dropout(x[rows] + 0.15 * torch.randn_like(x[rows]), _DROP)
        loss = functional.cross_entropy(other(torch.tanh(one(noisy))), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    layers = [
        torch.cat([layer.weight.T, layer.bias[None]]).detach().numpy().astype(np.float32) for layer in (one, other)
    ]
    return CurlClassifier(mean.astype(np.float32), scale.astype(np.float32), *layers)


def photo_features(face: PhotoFace) -> np.ndarray | None:
    """``curl_features`` of a photo that is not fitted: its scale is guessed from the face's width."""
    marks = face.landmarks
    wide = np.linalg.norm(marks[454] - marks[234])
    return curl_features(face.pixels, (face.labels == FaceClass.HAIR).astype(np.float32), float(wide) / 0.14)


def labelled(photos: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Person, hand label and features of the first photo of each person of ``curl_labels.csv``."""
    with LABELS.open() as file:
        for row in csv.DictReader(file):
            folder = photos / row["person"]
            faces = found_faces(sorted(folder.iterdir())[:1]) if folder.is_dir() else ()
            if faces and (features := photo_features(faces[0])) is not None:
                yield row["person"], row["curl"], features


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer curl``."""
    parser.add_argument("--grooms", type=int, default=1200, help="heads of hair to draw (default 1200)")
    parser.add_argument("--photos", type=Path, help="judge the photos of curl_labels.csv in this folder; train nothing")
    parser.add_argument("--out", type=Path, default=PATH, help="file to write (default: the shipped one)")
