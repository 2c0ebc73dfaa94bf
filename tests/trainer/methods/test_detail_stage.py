"""The detail stage and its losses: by hand, its discriminator, its figures."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from backend.models.detail import DetailConfig
from trainer.methods.detail import evaluate as detail
from trainer.methods.detail import stage
from trainer.methods.detail import stage as detail_stage
from trainer.methods.detail.data import DetailBatch, DetailPeopleConfig

CPU = torch.device("cpu")
SMALL = DetailConfig(size=64, coarse=16, widths=(8, 8, 8, 8), patterns=4, regions=4, expression_width=8)
PEOPLE = DetailPeopleConfig(size=64, coarse=16, photos=2, seed=4, picture=48)


@cache
def few_people(people: DetailPeopleConfig) -> DetailBatch:
    """Two of them, of whom somebody must be told where any is."""
    return people.build().batch(range(2), CPU)


def all_terms() -> detail_stage.DetailStageConfig:
    weights = detail_stage.DetailWeights(pixels=1.0, identity=1.0, adversary=1.0, size=1.0)
    critic = detail_stage.CriticConfig(widths=(8, 8))
    return detail_stage.DetailStageConfig(
        steps=1, batch=2, network=SMALL, weights=weights, critic=critic, source=PEOPLE
    )


@pytest.mark.usefixtures("one_thread")
def test_all_terms_pull_at_the_network() -> None:
    torch.manual_seed(0)
    stage = all_terms().build(CPU)
    terms = stage.step(few_people(PEOPLE), 0.0)
    assert set(terms) == set(detail_stage.DetailWeights.__dataclass_fields__)
    parameters = list(stage.modules["net"].parameters())
    for name, value in terms.items():
        pulled = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        assert any(part is not None and bool(part.any()) for part in pulled), name
        assert bool(torch.isfinite(value)), name


@pytest.mark.usefixtures("one_thread")
def test_without_truth_only_what_photos_say_counts() -> None:
    torch.manual_seed(0)
    stage = all_terms().build(CPU)
    told, untold = (few_people(replace(PEOPLE, labelled=share)) for share in (1.0, 0.0))
    assert told.displacement.any() and not untold.displacement.any() and not untold.has_truth.any()
    torch.testing.assert_close(told.photos, untold.photos)
    terms, without = stage.step(told, 0.0), stage.step(untold, 0.0)
    assert all(float(without[name].detach()) == 0.0 for name in ("height", "slope"))
    for name in ("pixels", "identity", "adversary", "size"):
        torch.testing.assert_close(without[name], terms[name])
    assert few_people(replace(PEOPLE, labelled=0.5)).has_truth.tolist() == [False, True]


@pytest.mark.usefixtures("one_thread")
def test_the_discriminator_learns_to_tell_renders_from_photos_and_moves_nothing_else() -> None:
    torch.manual_seed(0)
    stage = all_terms().build(CPU)
    batch = few_people(PEOPLE)
    own, critic = stage.turns()
    moving = [parameter for group in critic.groups for parameter in group.parameters]
    assert {id(p) for p in moving} == {id(p) for p in stage.modules["critic"].parameters()}
    assert not {id(p) for group in own.groups for p in group.parameters} & {id(p) for p in moving}
    optimizer = torch.optim.Adam(moving, 0.005, betas=(0.5, 0.999))
    before = critic.step(batch, 0.0)["discrimination"]
    for _ in range(60):
        optimizer.zero_grad()
        critic.step(batch, 0.0)["discrimination"].backward()
        optimizer.step()
    assert all(parameter.grad is None for parameter in stage.modules["net"].parameters())
    assert float(critic.step(batch, 0.0)["discrimination"].detach()) < 0.6 * float(before.detach())


@pytest.mark.usefixtures("one_thread")
def test_pixels_alone_find_relief_that_light_shows() -> None:
    torch.manual_seed(0)
    weights = detail_stage.DetailWeights(height=0.0, slope=0.0, pixels=1.0)
    config = replace(all_terms(), weights=weights, critic=None)
    stage, batch = config.build(CPU), few_people(PEOPLE)
    coarse = float(detail_stage.pixel_error(batch.pictures.coarse, batch.pictures.photos, batch.pictures.mask))
    optimizer = torch.optim.Adam(stage.modules.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        stage.step(batch, 0.0)["pixels"].backward()
        optimizer.step()
    assert float(stage.step(batch, 0.0)["pixels"].detach()) < 0.97 * coarse


def test_no_relief_leaves_the_coarse_render_and_pictures_are_wanted() -> None:
    batch = few_people(PEOPLE)
    still = torch.zeros(len(batch.photos), 1, 64, 64)
    torch.testing.assert_close(
        detail_stage._refined(batch.pictures, still, batch.photos), batch.pictures.coarse, atol=2e-3, rtol=0
    )
    shown = detail_stage.shown_photos(batch.pictures)
    outside = batch.pictures.mask.expand_as(shown) == 0
    torch.testing.assert_close(shown[outside], batch.pictures.coarse[outside])
    with pytest.raises(ValueError, match="picture"):
        detail_stage._pictures(replace(batch, pictures=None))
    with pytest.raises(ValueError, match="critic"):
        replace(all_terms(), critic=None)


def test_errors_by_hand() -> None:
    truth, mask = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    mask[..., 2:] = 0.0
    found = torch.full_like(truth, 0.2)
    expected = (0.2**2 + 0.1**2) ** 0.5 - 0.1
    assert float(stage.height_error(found, truth, mask)) == pytest.approx(expected, rel=1e-5)
    assert float(stage.slope_error(found, truth, mask)) == pytest.approx(0.0, abs=1e-6)
    assert float(stage.detail_size(found, mask)) == pytest.approx(expected, rel=1e-5)


def test_light_on_a_slope_by_hand() -> None:
    heights = torch.arange(16.0).expand(16, 16)[None, None]  # rises to the right by 1 mm a texel
    photos = torch.zeros(1, 7, 16, 16)
    photos[:, 3], photos[:, 4] = 0.25, 9.0
    torch.testing.assert_close(stage.relief_light(heights, photos), torch.full_like(heights, -0.25))


def test_correlation_of_slopes() -> None:
    heights, mask = torch.rand(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    assert detail_stage.slope_correlation(3 * heights + 1, heights, mask) == pytest.approx(1.0, abs=1e-5)
    assert detail_stage.slope_correlation(-heights, heights, mask) == pytest.approx(-1.0, abs=1e-5)
    assert detail_stage.slope_correlation(torch.ones_like(heights), heights, mask) == 0.0


def _places(size: int) -> torch.Tensor:
    """(1, S, S, 2): the picture shows the whole window."""
    middles = (torch.arange(size) + 0.5) / size * 2 - 1
    return torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1)[None]


def test_light_on_relief_is_drawn_into_the_picture_where_its_texel_is() -> None:
    coarse, mask = torch.full((1, 3, 4, 4), 0.5), torch.ones(1, 1, 4, 4)
    change = torch.zeros(1, 1, 4, 4)
    change[0, 0, 1, 2] = math.log(2.0)
    refined = stage.refined_pictures(coarse, change, _places(4), mask)
    linear = ((0.5 + 0.055) / 1.055) ** 2.4
    brighter = 1.055 * (2 * linear) ** (1 / 2.4) - 0.055
    expected = coarse.clone()
    expected[0, :, 1, 2] = brighter
    torch.testing.assert_close(refined, expected, atol=1e-5, rtol=0)
    mask[..., 1, 2] = 0.0
    torch.testing.assert_close(stage.refined_pictures(coarse, change, _places(4), mask), coarse, atol=1e-5, rtol=0)
    half = stage.refined_pictures(coarse[..., ::2, ::2], change, _places(2), mask[..., :2, :2], pool=2)
    quarter = 1.055 * (2**0.25 * linear) ** (1 / 2.4) - 0.055
    assert float(half[0, 0, 0, 1]) == pytest.approx(quarter, abs=1e-5)


def test_pixel_error_is_the_mean_distance_of_colours_under_the_mask() -> None:
    photos, mask = torch.full((1, 3, 2, 2), 0.2), torch.ones(1, 1, 2, 2)
    rendered = photos.clone()
    rendered[0, 0, 0, 0] += 0.3
    rendered[0, 1, 0, 0] += 0.4
    assert float(stage.pixel_error(rendered, photos, mask)) == pytest.approx(0.5 / 4, rel=0.01)
    mask[..., 0, 0] = 0.0
    assert float(stage.pixel_error(rendered, photos, mask)) == pytest.approx(0.0, abs=1e-6)


def test_the_adversary_by_hand() -> None:
    real, fake = torch.tensor([0.5, 1.0]), torch.tensor([0.0, 0.6])
    assert float(stage.discriminator_loss(real, fake)) == pytest.approx(0.5 * (0.125 + 0.18))
    assert float(stage.generator_loss(fake)) == pytest.approx(0.5 * (1.0 + 0.16) / 2)


class Guess:
    """Stands where a model is asked for; ``displacements`` is replaced beside it."""

    class network:  # noqa: N801
        config = DetailConfig()


@pytest.fixture(scope="module")
def person():
    return DetailPeopleConfig(seed=detail.SEED).build().person(3)


def test_the_truth_is_perfect(monkeypatch: pytest.MonkeyPatch, person) -> None:
    truth, allowed = person.displacement[:, 0].numpy(), person.allowed[0].numpy()
    monkeypatch.setattr(detail, "displacements", lambda *_: truth / np.maximum(allowed, 1e-3))
    figures = detail.person_figures(Guess, person, np.zeros_like(truth))
    known = [value for name, value in figures.items() if name.startswith("correlation.found") and np.isfinite(value)]
    assert known and min(known) > 0.999
    assert [figures[f"error.{kind}"] for kind in detail.KINDS] == pytest.approx([0.0, 0.0, 0.0], abs=1e-3)


def test_nothing_found_is_an_error_of_one(monkeypatch: pytest.MonkeyPatch, person) -> None:
    truth = person.displacement[:, 0].numpy()
    monkeypatch.setattr(detail, "displacements", lambda *_: np.zeros_like(truth))
    figures = detail.person_figures(Guess, person, truth)
    assert [figures[f"error.{kind}"] for kind in detail.KINDS] == pytest.approx([1.0, 1.0, 1.0])
    means = [value for name, value in figures.items() if name.startswith("correlation.mean.") and np.isfinite(value)]
    assert means and min(means) > 0.999  # here the mean was the truth


def test_regions_are_where_they_are_called() -> None:
    rows = {name: np.average(np.mgrid[:512, :512][0], weights=detail.region_mask(name)) for name in detail.REGIONS}
    assert rows["forehead"] < rows["crows_feet"] < rows["nose_lip_folds"]
