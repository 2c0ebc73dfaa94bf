"""How the landmark net errs: what a pose explains, how much of a person is shown, correlated errors."""

from __future__ import annotations

import numpy as np

from backend.fitting.detector_model import view_features
from backend.photos.faces import mean_landmarks
from trainer.methods.landmarks import stage

WHERE = mean_landmarks().points[:, :2]
MIRROR = mean_landmarks().mirror
TILTED = np.array([0.0, 1.0]) * np.sign(WHERE[:, 1:])  # the face is seen too long


def test_moving_sizing_and_turning_are_taken_out_and_nothing_else() -> None:
    generator = np.random.default_rng(1)
    bump = stage.without_similarity(generator.normal(size=(1, 478, 2)), WHERE)
    assert np.abs(bump).max() > 0.5
    x, y = (WHERE - WHERE.mean(0)).T
    similar = np.stack([2.0 + 0.3 * x - 0.1 * y, -1.0 + 0.3 * y + 0.1 * x], -1)
    np.testing.assert_allclose(stage.without_similarity(bump + similar[None], WHERE), bump, atol=1e-9)


def test_the_share_of_a_person_that_is_shown_is_found() -> None:
    generator = np.random.default_rng(2)
    person = 3.0 * stage.without_similarity(generator.normal(size=(400, 478, 2)), WHERE)
    true = np.where(np.arange(478) % 2, 0.8, 0.4)
    errors = (true[:, None] - 1.0) * person + 0.3 * generator.normal(size=person.shape)
    share = stage.shown_share(errors, person, WHERE)
    odd, even = share[1::2].mean(), share[::2].mean()
    # each landmark's is drawn a third of the way towards what all of them show
    assert 0.72 < odd < 0.76 and 0.44 < even < 0.48


def test_correlated_errors_become_modes_and_the_rest_is_a_share_of_what_was_claimed() -> None:
    generator = np.random.default_rng(3)
    pattern = np.column_stack([np.zeros(478), np.ones(478)])  # the same in a mirror
    strengths, noise = generator.normal(size=(300, 1, 1)), 0.5 * generator.normal(size=(300, 478, 2))
    features = view_features(*generator.uniform([-40, -20, 0.4], [40, 20, 3], (300, 3)).T)
    measured = stage.SurfaceErrors(
        errors=2.0 * strengths * pattern + noise,
        claimed=np.full((300, 478), 1.0),
        detector=np.zeros((300, 478, 2)),
        person=generator.normal(size=(300, 478, 2)),
        placed=noise + 0.7 * TILTED + features[:, 1, None, None] * np.array([1.5, 0.0]),
        views=features,
    )
    seen = stage.fit_detector_model(measured, mode_count=1)
    np.testing.assert_allclose(seen.bias[0].mean(0), 0.0, atol=0.1)
    np.testing.assert_allclose(seen.bias[1].mean(0), [0.0, 0.0], atol=0.1)
    assert np.abs(seen.bias[0] - 0.7 * TILTED).mean() < 0.15, "what moves all landmarks of a picture is the pose's"
    model = stage.fit_surface_model(measured, mode_count=1)
    strength = float(np.abs((model.modes[0] * pattern).sum()) / 478)
    assert 1.8 < strength < 2.2 and (model.bias == 0).all()
    assert 0.45 < np.median(model.deviation) < 0.55
    np.testing.assert_allclose(model.shown, model.shown[MIRROR])
