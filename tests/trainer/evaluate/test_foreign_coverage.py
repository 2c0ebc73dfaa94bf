"""Whether what is claimed to be known is tested by what is true."""

from __future__ import annotations

import numpy as np
import pytest

from backend.errors import LikenessError
from backend.fitting.solver import IdentityPrior, gaussian_prior
from backend.geometry.template import load_template
from trainer.evaluate.estimate import as_estimate
from trainer.evaluate.foreign import coverage_figures, normalised_errors, true_identity

TEMPLATE = load_template()


def beliefs(spread: float, seed: int, size: int = 12) -> tuple[IdentityPrior, IdentityPrior, np.ndarray]:
    """A prior, a person drawn from it, and a belief in three directions whose errors are ``spread`` times as large as
    it claims."""
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(size, size))
    covariance = mixed @ mixed.T / size + 0.1 * np.eye(size)
    prior = gaussian_prior(np.zeros(size), covariance)
    truth = generator.multivariate_normal(np.zeros(size), covariance)
    rows = np.linalg.solve(np.linalg.cholesky(covariance), generator.normal(size=(size, 3))).T * 5
    said = rows @ truth + spread * generator.normal(size=3)
    return IdentityPrior(rows.T @ rows, rows.T @ said), prior, truth


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_errors_are_told_in_the_deviations_that_were_claimed(spread):
    errors = [normalised_errors(*beliefs(spread, seed)) for seed in range(200)]
    assert {len(own) for own in errors} <= {2, 3}
    assert np.sqrt(np.mean([(own**2).mean() for own in errors])) == pytest.approx(spread, rel=0.1)


def test_what_is_hardly_said_is_not_counted():
    belief, prior, truth = beliefs(1.0, 3)
    faint = IdentityPrior(1e-6 * belief.information, 1e-6 * belief.pull)
    assert len(normalised_errors(faint, prior, truth)) == 0


def drawn(folder, identity: np.ndarray, triangles: bool = True) -> None:
    """A head's truth file, as it is drawn, and an empty photo."""
    cage = TEMPLATE.vertices + np.tensordot(identity, TEMPLATE.identity_modes[: len(identity)], 1)
    estimate = as_estimate(cage)
    near = np.linalg.norm(estimate.vertices - estimate.nose_tip, axis=1) < 0.11
    number = np.where(near, np.cumsum(near) - 1, -1)
    kept = number[estimate.faces]
    kept = kept[(kept >= 0).all(1)] if triangles else kept[:0]
    folder.mkdir(parents=True)
    marks = TEMPLATE.landmarks478.positions(cage)
    np.savez(folder / "truth.npz", scan=estimate.vertices[near], triangles=kept, marks=marks)
    (folder / "0.jpg").write_bytes(b"")


@pytest.mark.slow
def test_the_identity_of_a_drawn_head_is_found(tmp_path):
    identity = np.array([1.5, -1.0, 0.8, -0.5])
    drawn(tmp_path / "head", identity)
    found = true_identity(tmp_path / "head", TEMPLATE)
    modes = TEMPLATE.identity_modes
    face = TEMPLATE.regions["face"] > 0.5
    true, guess = (np.tensordot(code, modes[: len(code)], 1)[face] for code in (identity, found))
    left = np.linalg.norm((guess - guess.mean(0)) - (true - true.mean(0)), axis=1).mean()
    assert left < 0.5 * np.linalg.norm(true - true.mean(0), axis=1).mean()
    drawn(tmp_path / "old", identity, triangles=False)
    assert true_identity(tmp_path / "old", TEMPLATE) is None
    with pytest.raises(LikenessError, match="known identity"):
        coverage_figures({"old": (tmp_path / "old" / "0.jpg",)})
