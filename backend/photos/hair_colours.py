"""Mixtures of Gaussians of the colours and the fine contrast of a part of one photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_MOST = 2000  # pixels that a colour model is made of
_FOR_A_PART = 30  # the fewest pixels for a Gaussian
_SPREAD = np.array([6.0, 2.0, 2.0, 0.25], np.float32)
"""Least spread of a Gaussian, in levels of 8-bit CIE Lab and in log contrast: hair of one colour is lit unevenly."""
_SCALE = np.array([1.0, 2.0, 2.0, 8.0], np.float32)  # of these in the distance by which pixels are put together
_FINE, _AROUND, _STRONGEST = 1.5, 2.0, 8.0
"""Contrast: what a blur by the first (px) takes away, over the second, at most the third (levels of lightness): strands
and not borders, which would make hair of all that is dark beside a face."""
_ANY = 1 / (255 * 80 * 80 * 4)  # density of a colour and contrast of which nothing is known
_MOST_SURE = 3.0


@dataclass(frozen=True)
class ColourMixture:
    """Gaussians: shares (K,), means (K, D), and (K, D, D) that make their deviations standard normal."""

    shares: np.ndarray
    means: np.ndarray
    whiten: np.ndarray

    def density(self, features: np.ndarray) -> np.ndarray:
        """(P,) at features (P, D)."""
        result = np.zeros(len(features), np.float32)
        for share, mean, whiten in zip(self.shares, self.means, self.whiten, strict=True):
            apart = features @ whiten.T - whiten @ mean
            scale = share * np.prod(np.diag(whiten)) / (2 * np.pi) ** (len(mean) / 2)
            result += scale * np.exp(-0.5 * np.einsum("pd,pd->p", apart, apart))
        return result

    def likelier_than(self, other: ColourMixture, features: np.ndarray, strange: tuple[float, float]) -> np.ndarray:
        """(P,) float32, -3 to 3: log of how much likelier features (P, D) are here than in ``other``; the shares
        ``strange`` of each are colours that were not learnt."""
        own, others = (
            np.log((1 - share) * mixture.density(features) + share * _ANY)
            for mixture, share in zip((self, other), strange, strict=True)
        )
        return np.clip(own - others, -_MOST_SURE, _MOST_SURE).astype(np.float32)


def colour_features(pixels: np.ndarray) -> np.ndarray:
    """(P, 4) float32 of (H, W, 3) uint8 sRGB: 8-bit CIE Lab, a little smoothed, and log contrast."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    fine = np.minimum(np.abs(lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), _FINE)), _STRONGEST)
    contrast = np.log(np.sqrt(cv2.GaussianBlur(fine**2, (0, 0), _AROUND)) + 1)
    return np.dstack([cv2.GaussianBlur(lab, (0, 0), 0.8), contrast]).reshape(-1, 4)


def learn_colours(samples: np.ndarray, parts: int) -> ColourMixture:
    """A mixture of at most ``parts`` Gaussians of samples (P, D): k-means, which begins with slices of lightness."""
    samples = samples[:: -(-len(samples) // _MOST)]
    parts = max(1, min(parts, len(samples) // _FOR_A_PART))
    scaled = np.ascontiguousarray(samples * _SCALE)
    begin = np.empty((len(samples), 1), np.int32)
    begin[np.argsort(samples[:, 0], kind="stable"), 0] = np.arange(len(samples)) * parts // len(samples)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 8, 0.5)
    _, part, _ = cv2.kmeans(scaled, parts, begin, stop, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    shares, means, whiten = [], [], []
    for number in range(parts):
        own = samples[part[:, 0] == number]
        if len(own) < len(_SPREAD) + 1:
            continue
        spread = np.cov(own.T) + np.diag(_SPREAD**2)
        shares.append(len(own) / len(samples))
        means.append(own.mean(axis=0))
        whiten.append(np.linalg.inv(np.linalg.cholesky(spread)))
    return ColourMixture(np.array(shares), np.array(means, np.float32), np.array(whiten, np.float32))
