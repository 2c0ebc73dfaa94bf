"""Prior of skin: Gaussian with a low-rank covariance over the log albedo of whole heads, and its posterior.

Smooth log albedo at the cage's vertices is ``a = mu + B z + r`` with ``z ~ N(0, I)``: mean ``mu`` and modes ``B`` of
whole-head skins (``python -m trainer skin-prior``), and a personal remainder ``r``, a Gaussian field of a few
centimetres. Photos show ``a + H l`` where they see skin, with residual light ``l`` of low order, and finer light as
noise. The posterior is what the texture tends to: the photos' own colour where they agree, and where none looks the
skin that usually goes with it. Photos' lights are found with the modes, in one system (``delighting.solve_light``).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.system.files import ASSETS, read_arrays

PRIOR_PATH = ASSETS / "skin_prior.safetensors"

_ROUNDS = 4  # rounds of robust weights
_PULLS = 2  # rounds of the remainder's


@dataclass(frozen=True)
class SkinPriorSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    tone_deviation: float = 0.3
    """Log units: standard deviation of the skin's common level beside that of the modes, per channel."""
    light_deviation: float = 0.11
    """Log units, 0.04 to 0.2: residual light of delit photos, over ``light_extent``: 0.106 on ray-traced people."""
    light_extent: float = 0.02
    """Metres, 0.01 to 0.04: extent over which residual light is the same, so that it counts as one observation."""
    smooth_light_deviation: float = 0.2
    """Log units, 0.03 to 0.3: deviation of each coefficient of the residual light of low order."""
    outlier: float = 0.2
    """Log units, 0.1 to 0.5: a place this far from the modes' best fit (a shadow) gets a quarter of its weight."""
    personal_length: float = 0.009
    """Metres, 0.005 to 0.02: smoothing length of the personal remainder; finer is the photos' detail."""
    personal_pull: float = 0.3
    """Share, 0.01 to 1: pull of the remainder to zero, against seen skin's 1."""
    feature: float = 0.3
    """Log units, 0.2 to 1: what deviates this much from the modes (a beard, lipstick) is pulled by a quarter."""
    one_sided: float = 0.3
    """Share in [0, 1] of the remainder's asymmetric part that is skin; the rest is residual light."""


SKIN_PRIOR = SkinPriorSettings()


@dataclass(frozen=True)
class SkinPrior:
    """``mean`` (C, 3) log albedo at the cage's vertices; ``modes`` (K, C, 3), each one standard deviation long.
    ``bust`` : (2, B, 3) slope by the cheeks' brightness and offset of the bust's log ratio to them; ``bust_deviation``
    (3,) of people from it."""

    mean: np.ndarray
    modes: np.ndarray
    bust: np.ndarray
    bust_deviation: np.ndarray


@lru_cache(maxsize=1)
def skin_prior() -> SkinPrior:
    """The prior that ships. Raises as ``read_arrays`` does."""
    return SkinPrior(**{name: array.astype(np.float64) for name, array in read_arrays(PRIOR_PATH).arrays.items()})


def pull_share(deviation: np.ndarray) -> np.ndarray:
    """(...) in [0, 1], the pull to smooth skin of what deviates from it by (..., C) log units: Geman and McClure's
    weights, so that shade and noise are drawn to the skin and features stay what photos show."""
    square = (deviation**2).mean(-1) / SKIN_PRIOR.feature**2
    return 1.0 / (1.0 + square) ** 2


def modes_posterior(
    prior: SkinPrior, values: np.ndarray, weights: np.ndarray, designs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(C, 3) ``mu + B z + t`` and (P, N, 3) coefficients l of the light that is left in each of P photos, of the most
    probable z, common level t and l, all at once, given the photos' log albedo ``values`` (P, C, 3).

    Minimises ``sum_pv w_pv rho(|y_pv - mu_v - B_v z - t - D_pv l_p|) / s² + |z|² + |t|²/d² + |l|²`` with Geman and
    McClure's rho; ``weights`` (P, C) are numbers of independent observations, ``designs`` D (P, C, N, 3) what one
    standard deviation of each coefficient adds. Photos in different light tell its coefficients from the skin's.
    """
    tones = np.broadcast_to(SKIN_PRIOR.tone_deviation * np.eye(3)[:, None], (3, *prior.mean.shape))
    basis = np.concatenate([prior.modes, tones])  # (K, C, 3)
    flat, offset, (photos, _, lights, _) = basis.reshape(len(basis), -1), values - prior.mean, designs.shape
    skin = np.s_[: len(basis)]
    robust = np.ones(weights.shape)
    for _ in range(_ROUNDS):
        share = weights * robust / SKIN_PRIOR.light_deviation**2
        normal, right = np.eye(len(basis) + photos * lights * 3), np.zeros(len(basis) + photos * lights * 3)
        normal[skin, skin] += (basis * share.sum(0)[:, None]).reshape(flat.shape) @ flat.T
        right[skin] = flat @ (share[..., None] * offset).sum(0).ravel()
        for number, (photo, channel) in enumerate(np.ndindex(photos, 3)):
            own = slice(len(basis) + number * lights, len(basis) + (number + 1) * lights)
            weighed = designs[photo, :, :, channel] * share[photo, :, None]
            normal[own, own] += weighed.T @ designs[photo, :, :, channel]
            normal[skin, own] = basis[:, :, channel] @ weighed
            normal[own, skin] = normal[skin, own].T
            right[own] = weighed.T @ offset[photo, :, channel]
        code = np.linalg.solve(normal, right)
        explained = np.tensordot(code[skin], basis, 1)
        light = code[len(basis) :].reshape(photos, 3, lights).transpose(0, 2, 1)
        left = offset - explained - np.einsum("pvnc,pnc->pvc", designs, light)
        robust = 1.0 / (1.0 + (left**2).mean(2) / SKIN_PRIOR.outlier**2) ** 2
    return prior.mean + explained, light


def skin_posterior(
    prior: SkinPrior,
    values: np.ndarray,
    weights: np.ndarray,
    operators: SurfaceOperators,
    mirror: np.ndarray,
    personal: np.ndarray,
    harmonics: np.ndarray,
) -> np.ndarray:
    """(C, 3) smooth log albedo of a person.

    Parameters
    ----------
    values : (C, 3) log albedo as photos show it, weights (C,) in [0, 1] how well they do.
    mirror : (C,) vertex on the other side. personal : (C,) in [0, 1], how far photos are to be believed
        there, where shadows always fall, and as much less where what they show is unusual. harmonics : (C, 9) of the
        normals.
    """
    believed = weights * personal
    counts = believed * operators.mass / SKIN_PRIOR.light_extent**2
    design = SKIN_PRIOR.smooth_light_deviation * np.repeat(harmonics[:, 1:, None], 3, axis=2)
    smooth, code = modes_posterior(prior, values[None], counts[None], design[None])
    light = np.einsum("vnc,nc->vc", design, code[0])
    left: np.ndarray = np.zeros_like(values)
    shown = values - light - smooth
    believed = believed * (1.0 - (1.0 - personal) * (1.0 - pull_share(shown)))
    for _ in range(_PULLS):
        pull = SKIN_PRIOR.personal_pull * (1.0 - believed * (1.0 - pull_share(left)))
        left = smooth_field(operators, shown, believed, SKIN_PRIOR.personal_length, np.zeros(3), pull)
    other = left[mirror]
    skin = 0.5 * (left + other) + 0.5 * SKIN_PRIOR.one_sided * (left - other)
    return smooth + skin
