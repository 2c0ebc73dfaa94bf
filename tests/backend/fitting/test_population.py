"""What faces are like: the pool of two populations, and who gets it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backend.errors import DamagedFileError
from backend.fitting import solver
from backend.fitting.options import PriorWeights
from backend.fitting.solver import gaussian_prior, identity_prior, populations, standard_normal
from trainer.heads.population import pooled


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    populations.cache_clear()
    yield
    populations.cache_clear()


def test_a_belief_is_its_gaussian() -> None:
    generator = np.random.default_rng(0)
    root = generator.normal(size=(4, 4))
    mean, covariance = generator.normal(size=4), root @ root.T + np.eye(4)
    belief = gaussian_prior(mean, covariance)
    for step in generator.normal(size=(3, 4)):
        difference = belief.cost(mean + step) - belief.cost(mean)
        assert difference == pytest.approx(0.5 * step @ np.linalg.solve(covariance, step))


def test_a_pool_has_the_moments_of_its_parts() -> None:
    generator = np.random.default_rng(1)
    other = generator.normal(size=(4000, 3)) * [0.5, 1.0, 2.0] + [3.0, 0.0, 0.0]
    mean, covariance = pooled(other, 0.5)
    drawn = np.concatenate([generator.normal(size=(4000, 3)), other])
    np.testing.assert_allclose(mean, drawn.mean(0), atol=0.06)
    shrunk = drawn.var(0) + 0.5 * 0.1 * (1 - other.var(0))  # a tenth of the second's own is the first's
    np.testing.assert_allclose(np.diag(covariance), shrunk, rtol=0.05)
    np.testing.assert_allclose(pooled(other, 0.0)[1], np.eye(3), atol=1e-12)


def test_the_shipped_pool_belongs_to_the_template_and_is_a_covariance(template) -> None:
    mean, covariance = populations()
    assert mean.shape == (len(template.identity_modes),) and np.linalg.norm(mean) > 0.5
    values = np.linalg.eigvalsh(covariance)
    assert values.min() > 0.2 and values.max() < 30
    belief = identity_prior(template, PriorWeights(identity_deviation=2.0))
    np.testing.assert_allclose(belief.information @ covariance * 4, np.eye(len(mean)), atol=1e-6)


def test_other_modes_and_a_missing_file_mean_independent_coefficients_and_a_damaged_one_is_said(
    template, tmp_path: Path, monkeypatch
) -> None:
    other = dataclasses.replace(template, identity_modes=template.identity_modes[:7])
    plain = identity_prior(other, PriorWeights(identity_deviation=2.0))
    np.testing.assert_array_equal(plain.information, np.eye(7) / 4)
    assert not plain.pull.any()
    path = tmp_path / "population.safetensors"
    populations.cache_clear()
    monkeypatch.setattr(solver, "POPULATION_PATH", path)
    belief = identity_prior(template, PriorWeights())
    np.testing.assert_array_equal(belief.information, standard_normal(len(template.identity_modes)).information)
    path.write_bytes(b"not a file of tensors")
    populations.cache_clear()
    with pytest.raises(DamagedFileError, match=r"population\.safetensors is damaged"):
        identity_prior(template, PriorWeights())
    monkeypatch.undo()
    populations.cache_clear()
    monkeypatch.setattr(solver, "template_fingerprint", lambda: "another template")
    assert populations() is None


def test_a_template_with_other_keys_keeps_its_population(template, monkeypatch) -> None:
    own = solver.template_fingerprint()
    monkeypatch.setattr(
        solver, "load_template", lambda: dataclasses.replace(template, expressions=template.expressions[:3])
    )
    assert solver.template_fingerprint() == own
    monkeypatch.setattr(
        solver, "load_template", lambda: dataclasses.replace(template, identity_modes=template.identity_modes[:3])
    )
    assert solver.template_fingerprint() != own
