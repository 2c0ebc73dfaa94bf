"""LAP's views held where the landmark net's points put them: what they are, whom they teach, and for how long."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from few_lap_sets import FewSetsConfig, few_sets
from lap_parts import SMALL_NET, ToySetsConfig
from torch import Tensor

from backend.rendering.camera import View
from trainer.losses import PerceptualConfig
from trainer.methods.lap import sets
from trainer.methods.lap import stage as lap
from trainer.methods.lap.sets import MarkedViews
from trainer.methods.lap.stage import LapStage, LapStageConfig, LapWeights

CPU = torch.device("cpu")
PICTURES = LapWeights(perceptual=0.0, flip_perceptual=0.0)
VIEW_NETWORKS = ("view.", "view_head.")


PHOTOS = 3
SOURCE = FewSetsConfig(photos=PHOTOS)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "PEOPLE", 60)  # all 3,000 take seconds


def stage_of(**changes: object) -> LapStage:
    values = {
        "steps": 40,
        "batch": 2,
        "network": dataclasses.replace(SMALL_NET, view_head=True),
        "source": SOURCE,
        "weights": PICTURES,
        "basis_people": 2,
        "set_sizes": (3, 3),
        "views": "landmarks",
        "views_held": 0.5,
        "perceptual": PerceptualConfig(kind="gradients"),
    }
    torch.manual_seed(0)
    stage = LapStageConfig(**(values | changes)).build(CPU)
    torch.nn.init.normal_(stage.network.view_head.weight, std=0.01)  # zeros hide what lies before
    return stage


def gradients(stage: LapStage, fraction: float) -> dict[str, Tensor | None]:
    stage.modules.zero_grad(set_to_none=True)
    terms = stage.step(few_sets(PHOTOS), fraction)
    sum(getattr(stage.config.weights, name) * value for name, value in terms.items()).backward()
    return {name: parameter.grad for name, parameter in stage.network.named_parameters()}


def pulled(found: dict[str, Tensor | None], start: str | tuple[str, ...]) -> bool:
    return any(grad is not None and bool(grad.any()) for name, grad in found.items() if name.startswith(start))


def degrees(first: Tensor, second: Tensor) -> Tensor:
    return torch.rad2deg((((first * second).sum((1, 2)) - 1) / 2).clamp(-1, 1).acos())


def drawn_views(stage: LapStage, fraction: float, monkeypatch: pytest.MonkeyPatch) -> View:
    """The views in which a step draws its faces."""
    seen, draw = [], lap.render_face

    def watched(face, scene, *rest):
        seen.append(scene.view)
        return draw(face, scene, *rest)

    monkeypatch.setattr(lap, "render_face", watched)
    stage.step(few_sets(PHOTOS), fraction)
    (view,) = seen
    return View(view.rotation[:6], view.translation[:6])  # the mirrored faces come after


def test_held_views_are_the_landmarks_solution_and_near_the_true_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, batch = stage_of(), few_sets(PHOTOS)
    solved = MarkedViews(32, SOURCE, 2, CPU)(batch.marks, batch.set_of)
    view = drawn_views(stage, 0.49, monkeypatch)
    torch.testing.assert_close(view.rotation, solved.rotation)
    torch.testing.assert_close(view.translation, solved.translation)
    assert not view.rotation.requires_grad and not view.translation.requires_grad
    wrong = degrees(view.rotation, batch.truth.rotation)
    assert wrong.median() < 5 and wrong.max() < 12  # points of 32 px; the views themselves turn by tens of degrees
    assert degrees(torch.eye(3).expand(6, 3, 3), batch.truth.rotation).max() > 15


def test_a_photo_by_itself_is_solved_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = few_sets(PHOTOS)
    alone = MarkedViews(32, SOURCE, 2, CPU)(batch.marks, torch.arange(6))
    view = drawn_views(stage_of(multi_image=False), 0.0, monkeypatch)
    torch.testing.assert_close(view.rotation, alone.rotation)


def test_views_get_no_gradient_while_they_are_held_and_one_afterwards() -> None:
    stage = stage_of()
    held, free = gradients(stage, 0.49), gradients(stage, 0.5)
    assert not pulled(held, VIEW_NETWORKS)
    assert pulled(held, "depth_decoder.") and pulled(held, "albedo_decoder.") and pulled(held, "light.")
    assert pulled(free, VIEW_NETWORKS)


def test_the_networks_views_learn_from_the_held_ones_and_the_face_does_not() -> None:
    weights = LapWeights(photometric=0.0, flip=0.0, perceptual=0.0, flip_perceptual=0.0, held_view=1.0)
    stage = stage_of(weights=weights)
    found = gradients(stage, 0.0)
    assert pulled(found, VIEW_NETWORKS)
    assert not pulled(found, ("depth_decoder.", "albedo_decoder.", "light.", "albedo_encoder."))
    assert stage.step(few_sets(PHOTOS), 0.5).keys() == set()
    optimizer = torch.optim.Adam(stage.network.parameters(), 5e-3)
    errors = []
    for _ in range(12):
        optimizer.zero_grad()
        error = stage.step(few_sets(PHOTOS), 0.0)["held_view"]
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0]


def test_the_solution_draws_no_random_numbers_and_is_the_same_when_training_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = stage_of(), stage_of()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    MarkedViews(32, SOURCE, 2, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    one, two = (drawn_views(stage, 0.0, monkeypatch) for stage in (first, second))
    assert torch.equal(one.rotation, two.rotation)


def test_pictures_without_points_are_refused() -> None:
    bare = ToySetsConfig()
    batch = bare.build().batch(range(2), CPU)
    with pytest.raises(ValueError, match="marks = true"):
        stage_of(source=bare).step(batch, 0.0)
    with pytest.raises(ValueError, match="views_held"):
        stage_of(views_held=0.0)
