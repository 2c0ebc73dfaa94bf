"""The detail stage with the paper's losses: every term is there, the discriminator has its turn, and a run resumes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from backend.models.detail import DetailConfig
from trainer.methods.detail.data import DetailBatch, DetailPeopleConfig
from trainer.methods.detail.stage import (
    CriticConfig,
    DetailStageConfig,
    DetailWeights,
    IdentityFeatures,
    _pictures,
    _refined,
    pixel_error,
    shown_photos,
)

CPU = torch.device("cpu")
SMALL = DetailConfig(size=64, coarse=16, widths=(8, 8, 8, 8), patterns=4, regions=4, expression_width=8)
PEOPLE = DetailPeopleConfig(size=64, coarse=16, photos=2, seed=4, picture=48)


@cache
def few_people(people: DetailPeopleConfig) -> DetailBatch:
    """Two of them, of whom somebody must be told where any is."""
    return people.build().batch(range(2), CPU)


def all_terms() -> DetailStageConfig:
    weights = DetailWeights(pixels=1.0, identity=1.0, adversary=1.0, size=1.0)
    critic = CriticConfig(widths=(8, 8))
    return DetailStageConfig(steps=1, batch=2, network=SMALL, weights=weights, critic=critic, source=PEOPLE)


@pytest.mark.usefixtures("one_thread")
def test_all_terms_pull_at_the_network() -> None:
    torch.manual_seed(0)
    stage = all_terms().build(CPU)
    terms = stage.step(few_people(PEOPLE), 0.0)
    assert set(terms) == set(DetailWeights.__dataclass_fields__)
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
    weights = DetailWeights(height=0.0, slope=0.0, pixels=1.0)
    config = replace(all_terms(), weights=weights, critic=None)
    stage, batch = config.build(CPU), few_people(PEOPLE)
    coarse = float(pixel_error(batch.pictures.coarse, batch.pictures.photos, batch.pictures.mask))
    optimizer = torch.optim.Adam(stage.modules.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        stage.step(batch, 0.0)["pixels"].backward()
        optimizer.step()
    assert float(stage.step(batch, 0.0)["pixels"].detach()) < 0.97 * coarse


def test_no_relief_leaves_the_coarse_render_and_pictures_are_wanted() -> None:
    batch = few_people(PEOPLE)
    still = torch.zeros(len(batch.photos), 1, 64, 64)
    torch.testing.assert_close(_refined(batch.pictures, still, batch.photos), batch.pictures.coarse, atol=2e-3, rtol=0)
    shown = shown_photos(batch.pictures)
    outside = batch.pictures.mask.expand_as(shown) == 0
    torch.testing.assert_close(shown[outside], batch.pictures.coarse[outside])
    with pytest.raises(ValueError, match="picture"):
        _pictures(replace(batch, pictures=None))
    with pytest.raises(ValueError, match="critic"):
        replace(all_terms(), critic=None)


def test_identity_features_are_frozen_and_differentiable() -> None:
    features = IdentityFeatures()
    assert not any(parameter.requires_grad for parameter in features.parameters())
    pictures = few_people(PEOPLE).pictures
    photos = pictures.photos.clone().requires_grad_()
    found = features(photos)
    assert found.shape[0] == len(photos) and torch.isfinite(found).all()
    found.square().sum().backward()
    assert photos.grad.abs().sum() > 0
