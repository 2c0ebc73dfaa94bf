"""Sources of the learned face model, and landmarks that err as the detector's do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from basis_parts import CPU, SMALL_NET, chosen_sets, small_people, small_stage

from backend.fitting.detector_model import load_detector_model
from trainer.methods.learned_basis import data
from trainer.methods.learned_basis.stage import face_figures
from trainer.methods.learned_basis.start import DetectorErrors, FaceMarks
from trainer.people.mixtures import MixedConfig
from trainer.portraits.collection import CacheSettings, PortraitFile, PortraitsConfig, Verdict, create_cache

SMALL = {"size": 24, "film": False}


def same(first: data.FaceBatch, second: data.FaceBatch) -> bool:
    return torch.equal(first.images, second.images) and torch.equal(first.truth.vertices, second.truth.vertices)


def test_neutral_people_are_neutral_and_photos_are_of_one_person() -> None:
    calm = data.FacePeopleConfig(**SMALL, seed=1, photos=2, neutral=True).build().batch(range(2), CPU)
    assert calm.neutral.all() and calm.set_of.tolist() == [0, 0, 1, 1]
    neutral = calm.truth.neutral
    assert torch.equal(neutral[0], neutral[1]) and (neutral[1] - neutral[2]).abs().max() > 1e-3
    moving = data.FacePeopleConfig(**SMALL, seed=1, photos=2).build().batch(range(2), CPU)
    assert not moving.neutral.all()
    assert torch.equal(moving.truth.neutral, neutral), "the same people"


def test_clips_spread_their_frames_over_their_span() -> None:
    actors = data.Actors(data.FacePeopleConfig(**SMALL, seed=2, photos=3, clips=True, span=30))
    frames, shots = actors.sampler.clip(0, 30), actors.shots(0)
    for shot, number in zip(shots, (0, 14, 29), strict=True):
        assert shot.view.yaw == frames[number].view.yaw
        np.testing.assert_array_equal(shot.light.directions, frames[0].light.directions)
        np.testing.assert_array_equal(shot.expression.weights, frames[number].expression.weights)
    with pytest.raises(ValueError, match="span"):
        data.FacePeopleConfig(**SMALL, photos=5, clips=True, span=4)


def test_what_is_kept_is_what_was_made(tmp_path: Path) -> None:
    config = data.FacePeopleConfig(**SMALL, seed=3, photos=2, keep=2, folder=str(tmp_path))
    fresh = dataclasses.replace(config, keep=0).build().batch(range(2), CPU)
    for kept in (config.build().batch(range(2), CPU), config.build().batch(range(4, 6), CPU)):
        assert torch.equal(kept.labels, fresh.labels) and torch.equal(kept.neutral, fresh.neutral)
        assert torch.equal(kept.set_of, fresh.set_of) and torch.equal(kept.landmark_weight, fresh.landmark_weight)
        torch.testing.assert_close(kept.images, fresh.images, atol=0.003, rtol=0)
        torch.testing.assert_close(kept.landmarks, fresh.landmarks, atol=0.01, rtol=0)
        torch.testing.assert_close(kept.truth.vertices, fresh.truth.vertices, atol=6e-6, rtol=0)
        torch.testing.assert_close(kept.truth.neutral, fresh.truth.neutral, atol=6e-6, rtol=0)
        torch.testing.assert_close(kept.truth.intrinsics, fresh.truth.intrinsics)
        torch.testing.assert_close(kept.truth.light, fresh.truth.light)
    other = dataclasses.replace(config, neutral=True).build().batch(range(2), CPU)
    assert not torch.equal(other.truth.vertices, fresh.truth.vertices), "another configuration is another folder"


def test_a_mix_takes_turns_and_a_sample_does_not_depend_on_its_company() -> None:
    calm = data.FacePeopleConfig(**SMALL, seed=4, photos=1, neutral=True)
    clips = data.FacePeopleConfig(**SMALL, seed=5, photos=2, clips=True)
    mix = MixedConfig(sources=(calm, clips), shares=(1, 3)).build()
    whole = mix.batch(range(4), CPU)
    assert torch.bincount(whole.set_of).tolist() == [1, 2, 2, 2]
    assert whole.neutral[0] and len(whole.truth.vertices) == 7
    assert same(mix.batch(range(4, 5), CPU), calm.build().batch(range(1, 2), CPU))
    assert same(mix.batch(range(3, 4), CPU), clips.build().batch(range(2, 3), CPU))
    with pytest.raises(ValueError, match="share"):
        MixedConfig(sources=(calm,), shares=(0,))


def test_portraits_have_no_truth_their_outline_slides_and_none_counts_as_neutral(tmp_path: Path) -> None:
    settings = CacheSettings(size=24, framing="face", smallest_face=0.0, drawings=False, labels_by="nobody")
    files = tuple(PortraitFile(f"{k}.jpg", k // 2) for k in range(4))
    cache = create_cache(tmp_path, settings, files, "photos")
    cache.crops[:] = 100
    cache.landmarks[:] = 12.0
    cache.landmarks[:, 7] = -1.0
    cache.hue_spread[:] = [0.0, 0.0, 50.0, 50.0]
    cache.verdicts[:] = int(Verdict.KEPT)
    cache.flush()
    config = data.FacePortraitsConfig(portraits=PortraitsConfig(folder=str(tmp_path), photos=2))
    known = data.FacePeopleConfig(**SMALL, seed=7, photos=1)
    found = MixedConfig(sources=(known, config), shares=(1, 1)).build().batch(range(4), CPU)
    assert found.set_of.tolist() == [0, 1, 2, 2, 3, 3] and len(found.truth.vertices) == 2
    assert found.slides.tolist() == [False] * 2 + [True] * 4 and not found.neutral[2:].any()
    assert sorted(found.is_grey[2:].tolist()) == [False, False, True, True]
    assert (found.landmark_weight[2:, 7] == 0).all() and found.landmark_weight[2:].max() > 0


def test_portraits_can_be_reduced_to_the_size_of_a_model(tmp_path: Path) -> None:
    settings = CacheSettings(size=24, framing="face", smallest_face=0.0, drawings=False, labels_by="nobody")
    cache = create_cache(tmp_path, settings, (PortraitFile("0.jpg", 0),), "photos")
    cache.crops[0, :12], cache.crops[0, 12:] = 40, 200
    cache.labels[0, :, :8], cache.labels[0, :, 8:] = 1, 2
    cache.landmarks[0] = 12.0
    cache.verdicts[:] = int(Verdict.KEPT)
    cache.flush()
    portraits = PortraitsConfig(folder=str(tmp_path), photos=1)
    whole = data.FacePortraitsConfig(portraits=portraits).build().batch(range(1), CPU)
    small = data.FacePortraitsConfig(portraits=portraits, size=6).build().batch(range(1), CPU)
    assert small.images.shape == (1, 3, 6, 6) and small.labels.shape == (1, 6, 6)
    assert torch.allclose(small.images.mean(), whole.images.mean()) and (small.images[0, :, 2] < 0.2).all()
    assert small.labels[0, 0].tolist() == [1, 1, 2, 2, 2, 2]
    assert torch.allclose(small.landmarks, whole.landmarks / 4)
    assert torch.equal(small.landmark_weight, whole.landmark_weight)
    with pytest.raises(ValueError, match="divisors"):
        data.FacePortraitsConfig(portraits=portraits, size=7).build().batch(range(1), CPU)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_landmarks_of_synthetic_people_err_as_the_detector_does() -> None:
    people, errors = small_people(), DetectorErrors()
    side = people.images.shape[-1]
    drawn = torch.stack([errors.detected(people, seeded(k)) * side for k in range(60)]) - people.landmarks
    model = load_detector_model()
    marks = people.landmarks
    scale = torch.maximum(
        (marks[:, 33] - marks[:, 263]).norm(dim=-1), 0.5 * (marks[:, 10] - marks[:, 152]).norm(dim=-1)
    )
    percent = drawn / scale[:, None, None] * 100
    spread = percent.std(0).square().sum(-1).sqrt().mean()
    expected = (model.modes**2).sum(0)[:468].sum(-1) + 2 * model.deviation[:468] ** 2
    assert abs(spread - (expected**0.5).mean()) < 0.1 * spread
    assert percent.mean(0).norm(dim=-1).mean() > 0.3, "and a bias that the view decides"
    assert torch.equal(errors.detected(people, seeded(1)), errors.detected(people, seeded(1)))


def test_landmarks_of_real_photos_stay_where_they_were_found() -> None:
    known, unknown = chosen_sets(small_people(), [0]), chosen_sets(small_people(), [1], known=False)
    both = data.FaceBatch.concatenate([known, unknown])
    found = DetectorErrors().detected(both, seeded(0)) * both.images.shape[-1]
    assert (found - both.landmarks)[:2].abs().max() > 0.01
    torch.testing.assert_close(found[2:], both.landmarks[2:])


def test_a_stage_that_reads_landmarks_measures_their_components_and_learns() -> None:
    torch.manual_seed(0)
    config = small_stage(phase="together")
    config = dataclasses.replace(config, network=dataclasses.replace(SMALL_NET, landmark_components=8))
    stage = config.build(CPU)
    sum(stage.step(small_people(), 0.0).values()).backward()
    reader = stage.network.encoder.landmarks
    assert reader.basis.any() and reader.mean.mean() > 0.2 and reader.first.weight.grad.abs().sum() > 0
    basis = reader.basis.clone()
    stage.step(small_people(), 0.0)
    assert torch.equal(reader.basis, basis), "measured once"
    assert any(p is reader.first.weight for g in stage.parameter_groups() if g.name == "pose" for p in g.parameters)
    figures = [face_figures(stage.network, FaceMarks(), [small_people()]) for _ in range(2)]
    assert figures[0] == figures[1]
    assert figures[0]["shape"] < figures[0]["neutral"], "what a similarity takes away is not the shape's"
