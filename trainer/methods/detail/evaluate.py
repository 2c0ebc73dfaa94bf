"""Evaluate relief: wrinkles against the truth on synthetic people with two baselines, robustness to freckles."""

import argparse
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from backend.detail.window import BASE_LENGTH
from backend.errors import LikenessError
from backend.geometry.template import load_template
from backend.geometry.vectors import smoothstep
from backend.models.detail import DetailModel, displacements
from backend.models.registry import NOT_TRAINED
from trainer.measures.harness import trained_or_none
from trainer.measures.metrics import mean_interval
from trainer.methods.detail.data import DetailBatch, DetailPeopleConfig
from trainer.methods.detail.relief import Cause, cause

SEED = 71
"""Seed of people unused for training and selection in all recipes."""
REGIONS: tuple[str, ...] = ("forehead", "crows_feet", "nose_lip_folds")
KINDS: tuple[str, ...] = ("rest", "seen", "unseen")
_NEAR_METRES = 0.022
_FLAT_MILLIMETRES = 0.02
"""Millimetres, standard deviation of the true relief below which a region has no wrinkles to find."""
_NOTHING_MILLIMETRES = 1e-3
"""Millimetres, root mean square difference below which an expression counts as without effect on the skin."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate detail``."""
    parser.add_argument("--people", type=int, default=40, help="synthetic people that nothing was trained on")
    parser.add_argument("--model", type=Path, help="folder of an exported model; default: the shipped one")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Measure and print a table; ``not trained`` where there is no model."""
    model = trained_or_none(DetailModel.load, arguments.model)
    if model is None:
        return {"detail": NOT_TRAINED}
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
    whose = ("found", "luminance", "mean")
    figures = {f"correlation.{who}.{region}": float("nan") for who in whose for region in REGIONS}
    for region in REGIONS:
        mask = region_mask(region) * allowed
        shown = mask * batch.photos[0, 5].numpy()
        true = fine(truth[1], known)
        if spread(true, shown) < _FLAT_MILLIMETRES or shown.sum() < 0.3 * mask.sum():
            continue
        for who, guess in zip(whose, (estimate[1], luminance, mean[1]), strict=True):
            figures[f"correlation.{who}.{region}"] = correlation(fine(guess, known), true, shown)
    for who in whose:
        values = [figures[f"correlation.{who}.{region}"] for region in REGIONS]
        figures[f"correlation.{who}"] = float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
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
