"""Evaluate relief: wrinkles against the truth on synthetic people with two baselines, robustness to freckles, and
sheets in raking light.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from backend.detail.window import BASE_LENGTH
from backend.errors import LikenessError
from backend.exchange.asset_mesh import AssetMesh, asset_mesh, portrait_camera
from backend.exchange.face_asset import FaceAsset
from backend.exchange.preview import photo_and_fit
from backend.geometry.template import load_template
from backend.geometry.vectors import smoothstep
from backend.models.detail import DetailModel, displacements
from backend.models.registry import DETAIL
from backend.photos.collection import PhotoSource
from backend.pipeline import ReconstructOptions, reconstruct
from backend.rendering.color import srgb_bytes
from backend.rendering.spherical_harmonics import light_from_directions
from protocol.names import ARKIT_INDEX, ARKIT_NAMES
from trainer.engine.sheets import write_sheet
from trainer.measures.harness import people_folders
from trainer.measures.metrics import mean_interval
from trainer.methods.detail.data import DetailBatch, DetailPeopleConfig
from trainer.methods.detail.relief import Cause, cause

SIDE = 440
EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "at rest": {},
    "brows up": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    "frown": {"browDownLeft": 1.0, "browDownRight": 1.0, "noseSneerLeft": 0.4, "noseSneerRight": 0.4},
    "smile": {
        "mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "cheekSquintLeft": 0.7, "cheekSquintRight": 0.7,
        "eyeSquintLeft": 0.5, "eyeSquintRight": 0.5,
    },
}  # fmt: skip
RAKING = light_from_directions(np.array([[0.86, 0.45, 0.22]]), np.full((1, 3), 1.1), 0.25)
"""Light from the person's left and above, grazing the front, so that folds cast shading."""
_CLAY = 0.35
"""Linear albedo of the lower row, which shows only the shape."""
_GREY = (60, 62, 66)
SEED = 71
"""Seed of people unused for training and selection in all recipes."""
REGIONS: tuple[str, ...] = ("forehead", "crows_feet", "nose_lip_folds")
KINDS: tuple[str, ...] = ("rest", "seen", "unseen")
_NEAR_METRES = 0.022
_FLAT_MILLIMETRES = 0.02
"""Millimetres, standard deviation of the true relief below which a region has no wrinkles to find."""
_NOTHING_MILLIMETRES = 1e-3
"""Millimetres, root mean square difference below which an expression counts as without effect on the skin."""


def relief_sheet(photos: Sequence[Path]) -> list[list[np.ndarray]]:
    """Two rows of 1 + expressions pictures (``SIDE``, ``SIDE``, 3) uint8: the best photo above the fitted head over
    it, then the head in raking light, textured above and as clay below.

    Raises ``LikenessError`` where no photo shows a face.
    """
    made = reconstruct([PhotoSource.from_path(path) for path in photos], ReconstructOptions(hair="none"))
    best = made.previews[0]
    textured, clay = asset_mesh(made.asset), asset_mesh(_as_clay(made.asset))
    rows = [[part] for part in photo_and_fit(textured, best, SIDE)]
    for row, mesh in zip(rows, (textured, clay), strict=True):
        row += [_drawn(mesh, weights) for weights in EXPRESSIONS.values()]
    return rows


def _as_clay(asset: FaceAsset) -> FaceAsset:
    return replace(asset, albedo=np.full_like(asset.albedo, srgb_bytes(np.array(_CLAY))))


def _drawn(mesh: AssetMesh, weights: Mapping[str, float]) -> np.ndarray:
    expression = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in weights.items():
        expression[ARKIT_INDEX[name]] = value
    return mesh.render(portrait_camera(mesh.positions(), 20.0, (SIDE, SIDE)), RAKING, _GREY, expression)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate detail``."""
    parser.add_argument("--people", type=int, default=40, help="synthetic people that nothing was trained on")
    parser.add_argument("--model", type=Path, help="folder of an exported model; default: the shipped one")
    parser.add_argument("--sheets", type=Path, help="folder for pictures in raking light of --sheet-people, no figures")
    parser.add_argument("--sheet-people", type=Path, nargs="+", default=[], help="folders of a person's photos")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Measure and print a table; ``not trained`` where there is no model."""
    model = DETAIL.find() if arguments.model is None else DetailModel.load(arguments.model)
    if model is None:
        console.print("The detail model is not trained.")
        return {"detail": "not trained"}
    if arguments.sheets is not None:
        people = {name: photos for folder in arguments.sheet_people for name, photos in people_folders(folder).items()}
        for name, photos in people.items():
            write_sheet(arguments.sheets / f"{name}.png", relief_sheet(photos), ["photo and fit", *EXPRESSIONS])
        return {}
    if arguments.people < 2:
        raise LikenessError("usage", "--people must be at least 2.", "Use 40.")
    figures = synthetic_figures(model, arguments.people)
    figures |= freckle_figures(model, max(2, arguments.people // 4))
    return dict(figures)


def synthetic_figures(model: DetailModel, people: int) -> dict[str, float]:
    """Average the figures of ``person_figures`` over ``people``; every mean has the bounds of its 95 % interval."""
    config = model.network.config
    source = DetailPeopleConfig(size=config.size, coarse=config.coarse, seed=SEED).build()
    batches = [source.person(index) for index in range(people)]
    total = np.sum([batch.displacement[:, 0].numpy() for batch in batches], axis=0)  # (3, N, N), of rest, seen, unseen
    rows = [person_figures(model, one, (total - one.displacement[:, 0].numpy()) / (people - 1)) for one in batches]
    figures: dict[str, float] = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        figures[name] = float(values.mean())
        if name.startswith(("correlation.found", "error")):
            figures |= mean_interval(values).figures(name)
    return figures


def person_figures(model: DetailModel, batch: DetailBatch, mean: np.ndarray) -> dict[str, float]:
    """One person's figures; NaN where a region has no relief.

    All figures are for relief without lengths above ``BASE_LENGTH``. ``correlation.WHO.REGION``: correlation with the
    true relief with the first photo's expression. WHO is ``found``; ``luminance``, the photo's own detail taken as
    height; or
    ``mean``, other people's mean displacement. ``mean`` : (3, N, N), at rest, with their first and with their last
    expression. ``error.unseen``: root mean square error for an expression in no photo, relative to using the
    displacement found at rest; ``error.rest`` and ``error.seen``: relative to zero displacement.
    """
    known = cause(model.network.config.size)
    allowed = batch.allowed[0, 0].numpy()
    truth = batch.displacement[:, 0].numpy()
    estimate = relief_estimate(model, batch)
    luminance = batch.photos[0, 0].numpy()
    figures: dict[str, float] = {}
    for region in REGIONS:
        mask = region_mask(region) * allowed
        shown = mask * batch.photos[0, 5].numpy()
        true = fine(truth[1], known)
        if spread(true, shown) < _FLAT_MILLIMETRES or shown.sum() < 0.3 * mask.sum():
            continue
        for who, guess in (("found", estimate[1]), ("luminance", luminance), ("mean", mean[1])):
            figures[f"correlation.{who}.{region}"] = correlation(fine(guess, known), true, shown)
    for who in ("found", "luminance", "mean"):
        values = [figures.get(f"correlation.{who}.{region}", np.nan) for region in REGIONS]
        figures[f"correlation.{who}"] = float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
        for region, value in zip(REGIONS, values, strict=True):
            figures[f"correlation.{who}.{region}"] = value
    estimate, truth = ([fine(one, known) for one in maps] for maps in (estimate, truth))
    for number, kind in enumerate(KINDS):
        other = estimate[0] if kind == "unseen" else np.zeros_like(truth[0])
        error, usual = (
            np.sqrt(np.average((guess - truth[number]) ** 2, weights=allowed)) for guess in (estimate[number], other)
        )
        figures[f"error.{kind}"] = float(error / usual) if usual > _NOTHING_MILLIMETRES else np.nan
    return figures


def freckle_figures(model: DetailModel, people: int) -> dict[str, float]:
    """``freckles.energy``: energy of the relief found at rest for people full of freckles and make-up, relative to the
    same people without."""
    config = model.network.config
    energies = []
    for colours in ("marked", "plain"):
        source = DetailPeopleConfig(size=config.size, coarse=config.coarse, seed=SEED + 1, colours=colours).build()
        total = 0.0
        for index in range(people):
            batch = source.person(index)
            batch = replace(batch, wanted=batch.wanted[:1])
            total += float(np.square(fine(relief_estimate(model, batch)[0], cause(config.size))).sum())
        energies.append(total)
    return {"freckles.energy": energies[0] / max(energies[1], 1e-12)}


def relief_estimate(model: DetailModel, batch: DetailBatch) -> np.ndarray:
    """(T, N, N) millimetres, the product's relief for the first person's wanted expressions."""
    inputs = (batch.photos.numpy(), batch.expressions.numpy(), batch.wanted.numpy())
    return displacements(model, *inputs) * batch.allowed[0, 0].numpy()


def fine(heights: np.ndarray, known: Cause) -> np.ndarray:
    """High-pass: heights (N, N) without lengths above ``BASE_LENGTH``."""
    return heights - cv2.GaussianBlur(heights, (0, 0), BASE_LENGTH * known.density)


def correlation(one: np.ndarray, two: np.ndarray, weight: np.ndarray) -> float:
    """Weighted correlation of maps (N, N); NaN where one is flat."""
    (own, both), (_, other) = np.cov(one.ravel(), two.ravel(), ddof=0, aweights=weight.ravel())
    return float(both / np.sqrt(own * other)) if own * other > 0 else float("nan")


def spread(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted standard deviation; 0 without weight."""
    return float(np.sqrt(np.cov(values.ravel(), ddof=0, aweights=weight.ravel()))) if weight.any() else 0.0


@lru_cache(maxsize=8)
def region_mask(region: str, size: int = 512) -> np.ndarray:
    """(N, N) in [0, 1], mask of one of ``REGIONS``."""
    known, template = cause(size), load_template()
    window = known.window
    if region == "forehead":
        return window.image(window.surface.regions["forehead"][:, None])[..., 0]
    if region == "nose_lip_folds":
        wide = cv2.GaussianBlur(known.painted["nasolabial"], (0, 0), size / 64)
        return smoothstep(0.02, 0.15, wide).astype(np.float32)
    positions = window.surface.lifted(template.vertices[: window.surface.count].astype(np.float64))
    marks = template.landmarks478.positions(template.vertices)
    near = np.min([np.linalg.norm(positions - marks[k], axis=1) for k in (33, 263)], axis=0)
    return window.image(smoothstep(1.2 * _NEAR_METRES, 0.8 * _NEAR_METRES, near)[:, None])[..., 0]
