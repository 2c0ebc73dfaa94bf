"""Expressions as each face makes them: the template's own on the mean head, larger on larger heads, hinged jaws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from arkit_weights import arkit_weights

from backend.geometry.template import load_template
from protocol.names import ARKIT_INDEX
from trainer.people.shape import CarriedExpressions, IdentityShapes, PeopleSurface, draw_identity

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def carried() -> CarriedExpressions:
    return CarriedExpressions(load_template(), CPU)


@pytest.fixture(scope="module")
def people() -> torch.Tensor:
    template = load_template()
    generator = np.random.default_rng(5)
    drawn = [draw_identity(generator, len(template.identity_modes)) for _ in range(4)]
    return IdentityShapes(PeopleSurface(template, CPU)).neutral(drawn)


def head(vertices: torch.Tensor) -> torch.Tensor:
    return vertices[:, : load_template().head.vertex_stop]


def test_no_expression_is_the_neutral_face(carried: CarriedExpressions, people: torch.Tensor) -> None:
    assert torch.allclose(carried.posed(people, arkit_weights(4)), people, atol=1e-6)


@pytest.mark.parametrize("key", ["mouthSmileLeft", "jawOpen", "browInnerUp", "cheekPuff"])
def test_on_the_mean_head_a_key_is_what_the_template_says(carried: CarriedExpressions, key: str) -> None:
    template = load_template()
    mean = torch.from_numpy(template.vertices)[None]
    wanted = mean + torch.from_numpy(template.expressions[ARKIT_INDEX[key]])[None]
    found = carried.posed(mean, arkit_weights(1, **{key: 1.0}))
    assert float((head(found) - head(wanted)).norm(dim=-1).max()) < 2e-4


def test_half_an_open_jaw_lies_on_an_arc(carried: CarriedExpressions) -> None:
    """A linear key takes the chord, on which the teeth are nearer to the hinge."""
    template = load_template()
    mean = torch.from_numpy(template.vertices)[None]
    teeth = template.parts["teeth_lower"]
    pivot = torch.from_numpy(template.jaw_pivot.astype(np.float32))

    def reach(vertices: torch.Tensor) -> float:
        return float((vertices[0, teeth.vertex_start : teeth.vertex_stop] - pivot)[:, 1:].norm(dim=-1).mean())

    half, whole = carried.posed(mean, arkit_weights(1, jawOpen=0.5)), carried.posed(mean, arkit_weights(1, jawOpen=1.0))
    arc = 0.5 * (reach(mean) + reach(whole))
    assert reach(half) == pytest.approx(arc, abs=5e-4)
    assert reach(0.5 * (mean + whole)) < arc - 0.001


def test_a_head_twice_as_large_smiles_twice_as_far(carried: CarriedExpressions) -> None:
    mean = torch.from_numpy(load_template().vertices)[None]
    smile = arkit_weights(1, mouthSmileLeft=1.0, mouthSmileRight=1.0)
    once = head(carried.posed(mean, smile) - mean)
    twice = head(carried.posed(2 * mean, smile) - 2 * mean)
    far = once.norm(dim=-1) > 0.003
    ratio = twice[far].norm(dim=-1) / once[far].norm(dim=-1)
    assert 1.5 < float(ratio.median()) < 2.05


def test_faces_are_not_linear_in_what_they_do(carried: CarriedExpressions, people: torch.Tensor) -> None:
    smile = arkit_weights(4, mouthSmileLeft=0.9, mouthSmileRight=0.9, jawOpen=0.4)
    moved = head(carried.posed(people, smile) - people)
    spread = (moved - moved.mean(0)).norm(dim=-1)
    assert float(spread.max()) > 0.001  # metres between people
    assert float(spread.mean()) < 0.3 * float(moved.norm(dim=-1).mean())  # and still the same smile


def test_no_lid_goes_into_an_eyeball(carried: CarriedExpressions, people: torch.Tensor) -> None:
    template = load_template()
    for blink in (0.3, 0.6, 1.0):
        found = carried.posed(people, arkit_weights(4, eyeBlinkLeft=blink, eyeBlinkRight=blink))
        for side in ("left", "right"):
            part = template.parts[f"eye_{side}"]
            ball = people[:, part.vertex_start : part.vertex_stop]
            centre = ball.mean(1, keepdim=True)
            radius = (ball - centre).norm(dim=-1).mean(1, keepdim=True)
            lid = torch.from_numpy(template.regions[f"lids_{side}"][: template.head.vertex_stop] > 0.5)
            before = (head(people)[:, lid] - centre).norm(dim=-1)
            after = (head(found)[:, lid] - centre).norm(dim=-1)
            assert (after >= torch.minimum(before, radius) - 1e-5).all()
