"""Convert rendered light to a photograph: lens, exposure, noise, tone curve, black and white, JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.hair.locks import Numbers
from backend.rendering.color import LUMINANCE, srgb_from_linear
from trainer.data.people.attachments.stacking import stack

KERNEL = 9
_LUMA_TABLE = np.array(
    [
        (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
    ], np.float32,
)  # fmt: skip
"""Quantisation of brightness in ITU T.81, table K.1."""
_CHROMA_TABLE = np.array(
    [
        (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
        (47, 66, 99, 99, 99, 99, 99, 99), *[(99,) * 8] * 4,
    ], np.float32,
)  # fmt: skip
"""Quantisation of colour in ITU T.81, table K.2."""


@dataclass(frozen=True)
class FilmParameters:
    """Camera and processing of one picture.

    Attributes
    ----------
    target : mean brightness that exposure aims at (linear); automatic : strength of the correction, 0-1. white : (3,)
        factors.
    kernel : (KERNEL, KERNEL) blur of lens and movement, sums to 1. coarse : 1, or the relative size that the picture
        was reduced to and enlarged from. vignette : loss of light in the corners. flare : veiling light.
    noise : standard deviations of read and shot noise, and the share that is grain of 2 pixels (3,); noise_seed.
    contrast, gamma, saturation : of the tone curve. black, white_point : levels. grey : 1 for black and white; tint :
        (3,) colour of a black-and-white print.
    quality : of the JPEG file, 100: none. soft_chroma : 1 where it halves the colour's resolution.
    """

    target: Numbers
    automatic: Numbers
    white: Numbers
    kernel: Numbers
    coarse: Numbers
    vignette: Numbers
    flare: Numbers
    noise: Numbers
    noise_seed: Numbers
    contrast: Numbers
    gamma: Numbers
    saturation: Numbers
    black: Numbers
    white_point: Numbers
    grey: Numbers
    tint: Numbers
    quality: Numbers
    soft_chroma: Numbers


def draw_film(generator: np.random.Generator) -> FilmParameters:
    """Draw the camera, its settings, and the picture's later processing."""
    grey = generator.random() < 0.26
    old = grey and generator.random() < 0.6
    warm = generator.normal(0, 0.07)
    white = np.array([1 + warm, 1 + generator.normal(0, 0.015), 1 - warm])
    noisy = 10 ** generator.uniform(-3.2, -1.9) * (1.7 if old else 1.0)
    tint = np.ones(3)
    if grey and generator.random() < 0.4:
        tint = np.array([1.06, 1.0, 0.86]) ** generator.uniform(0, 1.5)
    return FilmParameters(
        target=0.22 * 2 ** generator.normal(0, 0.35),
        automatic=generator.uniform(0.0, 0.45),
        white=white,
        kernel=_kernel(generator, old),
        coarse=generator.uniform(0.4, 0.9) if generator.random() < 0.15 else 1.0,
        vignette=generator.uniform(0, 0.5) if generator.random() < 0.4 else 0.0,
        flare=generator.uniform(0, 0.03) if generator.random() < 0.2 else 0.0,
        noise=np.array([noisy * 0.4, noisy, generator.random()]),
        noise_seed=float(generator.integers(1 << 23)),
        contrast=np.clip(generator.normal(0.32, 0.25), -0.3, 0.85) + 0.15 * old,
        gamma=2 ** generator.normal(0, 0.15),
        saturation=np.clip(generator.normal(1.06, 0.2), 0.3, 1.7),
        black=generator.uniform(0, 0.07) if generator.random() < 0.2 else 0.0,
        white_point=generator.uniform(0.85, 1.0) if generator.random() < 0.25 else 1.0,
        grey=float(grey),
        tint=tint,
        quality=generator.uniform(25, 95) if generator.random() < 0.7 else 100.0,
        soft_chroma=float(generator.random() < 0.6),
    )


def _kernel(generator: np.random.Generator, old: bool) -> np.ndarray:
    """(KERNEL, KERNEL) Gaussian blur of lens and focus, sometimes with motion blur along a line."""
    axis = np.arange(KERNEL) - KERNEL // 2
    y, x = axis[:, None].astype(float), axis[None].astype(float)
    sigma = generator.uniform(0.25, 0.65) + (generator.uniform(0, 0.9) if generator.random() < 0.18 or old else 0)
    moved = generator.uniform(1.0, 5.0) if generator.random() < 0.10 else 0.0
    angle = generator.uniform(0, np.pi)
    total = np.zeros((KERNEL, KERNEL))
    for place in np.linspace(-0.5, 0.5, 7 if moved else 1) if moved else [0.0]:
        dx, dy = place * moved * np.cos(angle), place * moved * np.sin(angle)
        total += np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / (2 * sigma**2))
    return total / total.sum()


def develop(linear: Tensor, parameters: Sequence[FilmParameters]) -> Tensor:
    """Develop linear light (N, 3, H, W) to sRGB pictures (N, 3, H, W) in [0, 1], rounded to 1/255.

    The same parameters give the same picture on any device to about 1/255.
    """
    p = stack(parameters, linear.device)
    n, _, height, width = linear.shape

    def each(values: Tensor) -> Tensor:
        return values.view(n, -1, 1, 1)

    luminance = linear.new_tensor(LUMINANCE).view(1, 3, 1, 1)
    mean = (linear.clamp(0, 1.5) * luminance).sum(1).mean((1, 2)).clamp(min=1e-3)
    gain = (p.target / mean) ** p.automatic
    light = _blurred(linear, p.kernel, p.coarse) * each(p.white * gain[:, None])
    axis_y, axis_x = (torch.linspace(-1, 1, k, device=linear.device) for k in (height, width))
    far = (axis_y[:, None] ** 2 + axis_x[None] ** 2) / 2
    light = light * (1 - each(p.vignette) * far) + each(p.flare)
    light = light + _grain(p, light)
    light = light.clamp(min=0)
    light = torch.where(light > 0.8, 0.8 + 0.2 * (1 - torch.exp(-(light - 0.8) / 0.2)), light)
    grey = (light * luminance).sum(1, keepdim=True)
    share = each(p.saturation * (1 - p.grey))
    light = (grey + (light - grey) * share) * torch.where(each(p.grey) > 0, each(p.tint), 1.0)
    encoded = srgb_from_linear(light).clamp(1e-4, 1) ** each(p.gamma)
    curve = encoded * encoded * (3 - 2 * encoded)
    encoded = encoded + each(p.contrast) * (curve - encoded)
    encoded = each(p.black) + encoded * each(p.white_point - p.black)
    encoded = _jpeg(encoded.clamp(0, 1), p)
    return (encoded.clamp(0, 1) * 255).round() / 255


def _blurred(linear: Tensor, kernel: Tensor, coarse: Tensor) -> Tensor:
    _, _, height, width = linear.shape
    wide = kernel[:, KERNEL // 2, KERNEL // 2] < 0.9
    out = linear
    if bool(wide.any()):
        # one group per picture and channel; kernels are cropped to 5 x 5 where that is enough
        reach = KERNEL // 2
        border = kernel.sum((1, 2)) - kernel[:, 2:-2, 2:-2].sum((1, 2))
        out = linear.clone()
        for rows, cut in ((wide & (border <= 0.01), 2), (wide & (border > 0.01), 0)):
            index = rows.nonzero()[:, 0]
            if len(index) == 0:
                continue
            weights = kernel[index, cut : KERNEL - cut, cut : KERNEL - cut]
            weights = weights / weights.sum((1, 2), keepdim=True)
            part = functional.pad(linear[index], [reach - cut] * 4, mode="replicate")
            part = part.view(1, len(index) * 3, *part.shape[-2:])
            weights = weights.repeat_interleave(3, 0)[:, None]
            out[index] = functional.conv2d(part, weights, groups=len(index) * 3).view(len(index), 3, height, width)
    for k, share in enumerate(coarse.tolist()):
        if share < 1:
            size = (max(8, round(height * share)), max(8, round(width * share)))
            small = functional.interpolate(out[k : k + 1], size=size, mode="area")
            large = functional.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)
            out = out.clone() if out is linear else out
            out[k] = large[0].clamp(min=0)
    return out


def _grain(p: FilmParameters, light: Tensor) -> Tensor:
    n, channels, height, width = light.shape
    pixel = torch.arange(channels * height * width, device=light.device, dtype=torch.int32)
    white = _gaussian(pixel[None] + p.noise_seed.to(torch.int32)[:, None] * 9176).view(n, channels, height, width)
    coarse = white + white.roll(1, -1)  # grain of two pixels, of the same strength
    coarse = (coarse + coarse.roll(1, -2)) * 0.5
    mixed = white + (coarse - white) * p.noise[:, 2].view(n, 1, 1, 1)
    mono = mixed[:, :1].expand_as(mixed)
    mixed = torch.where(p.grey.view(n, 1, 1, 1) > 0, mono, mixed)
    deviation = p.noise[:, 0].view(n, 1, 1, 1) + p.noise[:, 1].view(n, 1, 1, 1) * light.clamp(0, 1).sqrt()
    return mixed * deviation


def _gaussian(number: Tensor) -> Tensor:
    """Nearly normal random numbers from int32 numbers: the sum of four bytes of a hash (products wrap around)."""
    h = number * -1640531535 + 2135587861
    h = (h ^ ((h >> 15) & 0x1FFFF)) * 739982445
    h = (h ^ ((h >> 12) & 0xFFFFF)) * 695872825
    h = h ^ ((h >> 15) & 0x1FFFF)
    pairs = (h & 0x00FF00FF) + ((h >> 8) & 0x00FF00FF)
    total = (pairs & 0xFFFF) + ((pairs >> 16) & 0xFFFF)
    return (total.float() - 510.0) / 147.8


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    k = np.arange(8)
    matrix = np.cos((2 * k[None] + 1) * k[:, None] * np.pi / 16) * 0.5
    matrix[0] *= np.sqrt(0.5)
    return matrix.astype(np.float32)


def _jpeg(encoded: Tensor, p: FilmParameters) -> Tensor:
    """Simulate JPEG compression: 8 x 8 cosine transforms, quantised by ``quality`` (ITU T.81, JFIF scaling)."""
    index = (p.quality < 99).nonzero()[:, 0]
    if len(index) == 0:
        return encoded
    quality = p.quality[index]
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
    r, g, b = (encoded[index] * 255).unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb, cr = (b - y) * 0.564, (r - y) * 0.713
    y = _quantised((y - 128)[:, None], scale, _LUMA_TABLE)[:, 0] + 128
    colour = torch.stack([cb, cr], 1)
    small = functional.interpolate(functional.avg_pool2d(colour, 2, ceil_mode=True), size=colour.shape[-2:])
    colour = torch.where(p.soft_chroma[index].view(-1, 1, 1, 1) > 0, small, colour)
    cb, cr = _quantised(colour, scale, _CHROMA_TABLE).unbind(1)
    out = encoded.clone()
    out[index] = torch.stack([y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb], 1) / 255
    return out


def _quantised(planes: Tensor, scale: Tensor, table: np.ndarray) -> Tensor:
    """(N, C, H, W) after transform, rounding and inverse transform of 8 x 8 blocks."""
    n, c, height, width = planes.shape
    pad = functional.pad(planes, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = pad.shape[-2] // 8, pad.shape[-1] // 8
    blocks = pad.view(n, c, rows, 8, columns, 8).transpose(3, 4)  # (n, c, rows, columns, 8, 8)
    cosines = torch.from_numpy(_cosines()).to(planes.device)
    step = (torch.from_numpy(table).to(planes.device) * scale[:, None, None]).clamp(min=1)[:, None, None, None]
    coefficients = (cosines @ blocks @ cosines.t() / step).round() * step
    blocks = cosines.t() @ coefficients @ cosines
    return blocks.transpose(3, 4).reshape(n, c, rows * 8, columns * 8)[..., :height, :width]
