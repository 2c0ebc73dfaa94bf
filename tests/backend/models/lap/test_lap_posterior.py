"""LAP's face as a Gaussian posterior: evidence of landmarks and pictures, views that follow, pictures laid on faces."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_lap_landmarks import CONFIG, SIDE, seen, shapes, turned_apart, views

from backend.models.lap.landmark_face import (
    ALIGNED_CHANNELS,
    LandmarkEvidence,
    LandmarkFace,
    Posterior,
    PosteriorFusion,
    aligned_pictures,
)
from backend.models.lap.network import LapConfig, LapNet
from backend.rendering.camera import View

K = 3


def evidence(count: int, strength: float, shape: torch.Tensor) -> LandmarkEvidence:
    """Photos that are for ``shape`` (K,), ``strength`` times as sure as what is known of people."""
    information = strength * torch.eye(K).expand(count, K, K)
    likeliest = (shape * strength / (1 + strength)).expand(count, K)
    view = View(torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3))
    return LandmarkEvidence(likeliest, information, view, torch.zeros(count, 6, K))


def fused(fusion: PosteriorFusion, told: LandmarkEvidence, codes: torch.Tensor, logit: float) -> Posterior:
    count = len(told.shape)
    return fusion(told, codes.expand(count, K), torch.full((count, K), logit), torch.zeros(count, dtype=torch.int64))


def test_precisions_add_and_what_photos_have_wrong_alike_does_not_average_out() -> None:
    fusion = PosteriorFusion(K)
    with torch.no_grad():
        fusion.landmarks_alike.fill_(-30)
        fusion.pictures_alike.fill_(-30)
    truth, nothing = torch.tensor([1.0, -2.0, 0.5]), -30.0
    for count in (1, 4):
        found = fused(fusion, evidence(count, 2.0, truth), torch.zeros(K), nothing)
        torch.testing.assert_close(found.precision[0], (1 + 2.0 * count) * torch.eye(K), atol=1e-4, rtol=0)
        torch.testing.assert_close(found.mean[0], truth * 2 * count / (1 + 2 * count), atol=1e-4, rtol=0)
    pictures = fused(fusion, evidence(3, 0.0, truth), truth, 0.0)
    sure = 3 * torch.nn.functional.softplus(torch.tensor(0.0))
    torch.testing.assert_close(pictures.mean[0], truth * sure / (1 + sure), atol=1e-4, rtol=0)
    with torch.no_grad():
        fusion.landmarks_alike.fill_(0.5413)  # softplus: 1
    many = fused(fusion, evidence(400, 2.0, truth), torch.zeros(K), nothing)
    torch.testing.assert_close(many.precision[0], 2 * torch.eye(K), atol=1e-2, rtol=0)


def test_surprise_is_the_negative_log_likelihood() -> None:
    g = torch.Generator().manual_seed(2)
    root = torch.randn(2, K, K, generator=g)
    precision, mean, truth = root @ root.transpose(1, 2) + torch.eye(K), torch.randn(2, K), torch.randn(2, K)
    wanted = -torch.distributions.MultivariateNormal(mean, precision_matrix=precision).log_prob(truth)
    constant = 0.5 * torch.log(torch.tensor(2 * torch.pi))
    torch.testing.assert_close(Posterior(mean, precision).surprise(truth) + constant, wanted / K, rtol=1e-4, atol=1e-5)


def test_evidence_of_a_photo_leads_to_its_shape_and_views_follow_other_shapes() -> None:
    reference = shapes()
    net = LandmarkFace(SIDE, K)
    net.set_reference(reference, seen(reference.mean, views(6, 20)))
    view, truth = views(5, 30), torch.tensor([[1.0, -0.5, 0.8]])
    points = reference.mean + torch.einsum("gk,klc->glc", truth, reference.people)
    told = net.evidence(seen(points[0], view, 0.002))
    pulled = torch.linalg.solve(told.information.sum(0) + torch.eye(K), told.pull.sum(0))
    assert (pulled - truth[0]).abs().max() < (told.shape - truth).abs().max(), "five photos know more than one"
    exact = told.view_with(truth.expand(5, K))
    assert turned_apart(exact.rotation, view.rotation).max() < 2.0
    alone = told.of(torch.tensor([3])).alone()
    assert torch.equal(alone.shape[0], told.shape[3]) and 0 < alone.certainty.min() <= alone.certainty.max() <= 1


def test_pictures_laid_onto_a_face_show_it_from_the_front() -> None:
    side = 32
    depth = torch.full((2, side, side), 1.0)
    straight = evidence(2, 1.0, torch.zeros(K))
    pictures = torch.rand(2, 3, side, side) * 2 - 1
    laid = aligned_pictures(pictures, depth, straight)
    assert laid.shape == (2, ALIGNED_CHANNELS, side, side)
    torch.testing.assert_close(laid[:, :3], pictures, atol=1e-3, rtol=0)
    assert laid[:, 3].min() == 1
    aside = dataclasses.replace(straight, view=View(straight.view.rotation, torch.tensor([[0.05, 0.0, 0.0]] * 2)))
    assert 0.4 < aligned_pictures(pictures, depth, aside)[:, 3].mean() < 0.9, "half of the face lies outside the photo"


def test_a_net_begins_with_what_landmarks_say_and_needs_its_parts() -> None:
    config = dataclasses.replace(CONFIG, depth_components=K)
    torch.manual_seed(0)
    net = LapNet(config).eval()
    reference = shapes()
    nuisances = torch.cat([reference.expressions, torch.zeros(config.landmark_components, *reference.mean.shape)])
    net.landmarks.set_reference(
        dataclasses.replace(reference, expressions=nuisances), seen(reference.mean, views(6, 20))
    )
    view = views(4, 25)
    points = reference.mean + 0.8 * reference.people[1]
    marks, together = seen(points, view, 0.002), torch.zeros(4, dtype=torch.int64)
    pictures = torch.rand(4, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        net.fusion.landmarks_alike.fill_(-30)
        codes = net.encode(pictures, marks)
        codes = dataclasses.replace(codes, depth_logits=torch.full_like(codes.depth_logits, -30.0))
        found = net.posterior(codes, together).mean
        order = torch.tensor([2, 0, 3, 1])
        assert torch.allclose(net.posterior(codes.of(order), together).mean, found, atol=1e-4)
        face, scene = net(pictures, together, marks)
    torch.testing.assert_close(found, net.landmarks.faces(marks, together).shape, atol=0.1, rtol=0)
    assert face.depth.shape == (1, SIDE, SIDE) and scene.view.rotation.shape == (4, 3, 3)
    assert LapConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="posterior needs"):
        dataclasses.replace(config, landmark_components=0)
    with pytest.raises(ValueError, match="landmark net's points"):
        net.encode(pictures)
