"""What the encoder of the learned face model is told of landmarks: errors as the detector makes them."""

from __future__ import annotations

import dataclasses

import torch
from basis_parts import CPU, SMALL_NET, chosen_sets, small_people, small_stage

from backend.fitting.detector_model import load_detector_model
from trainer.methods.learned_basis.data import FaceBatch
from trainer.methods.learned_basis.stage import face_figures
from trainer.methods.learned_basis.start import DetectorErrors, FaceMarks


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
    both = FaceBatch.concatenate([known, unknown])
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
