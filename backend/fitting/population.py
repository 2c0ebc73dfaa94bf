"""Identity prior: mean and covariance of identity coefficients over more than one population.

The template's modes are one standard deviation each in the population of its scans. Another population has another
mean, so a prior over both is wider.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from backend.asset_file import read_asset
from backend.assets import ASSETS
from backend.fitting.options import PriorWeights
from backend.fitting.solver import IdentityPrior
from backend.geometry.template import Template, load_template

POPULATION_PATH = ASSETS / "identity_population.safetensors"


def standard_normal(size: int, deviation: float = 1.0) -> IdentityPrior:
    """Independent coefficients (size,) around the mean face."""
    return IdentityPrior(np.eye(size) / deviation**2, np.zeros(size))


def gaussian_prior(mean: np.ndarray, covariance: np.ndarray) -> IdentityPrior:
    """Gaussian of mean (K,) and covariance (K, K) in the solver's form."""
    information = np.linalg.inv(covariance)
    information = (information + information.T) / 2
    return IdentityPrior(information, information @ mean)


def identity_prior(template: Template, prior: PriorWeights) -> IdentityPrior:
    """Prior on the identity before any photo. Coefficients are independent for other modes than the committed
    template's, which have no measured covariance, and where the populations' file is missing or damaged."""
    known = populations() if template.identity_modes is load_template().identity_modes else None
    if known is None:
        return standard_normal(len(template.identity_modes), prior.identity_deviation)
    mean, covariance = known
    return gaussian_prior(mean, covariance * prior.identity_deviation**2)


@lru_cache(maxsize=1)
def populations() -> tuple[np.ndarray, np.ndarray] | None:
    """Mean (K,) and covariance (K, K) of the identity coefficients over all populations. None without the file or where
    it belongs to another template."""
    if not POPULATION_PATH.is_file():
        return None
    found = read_asset(POPULATION_PATH)
    if found.metadata.get("template") != template_fingerprint():
        return None
    return found.arrays["mean"].astype(np.float64), found.arrays["covariance"].astype(np.float64)


def template_fingerprint() -> str:
    """SHA-256 of the mean face and its identity modes; keys and texture coordinates may change."""
    template = load_template()
    digest = hashlib.sha256(template.vertices.tobytes())
    digest.update(template.identity_modes.tobytes())
    return digest.hexdigest()
