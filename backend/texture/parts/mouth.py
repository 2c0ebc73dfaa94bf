"""Paint teeth, tongue and lashes in fixed colours, independent of the photos."""

from __future__ import annotations

import numpy as np

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.smoothstep import smoothstep

ENAMEL = np.array([0.52, 0.46, 0.38])
"""Linear albedo, reduced by the light that lips block. On 23 smiling photographs the brightest fifth of the pixels
between the lips is 1.2, 1.6, 2.1 times as bright as the skin (red, green, blue, medians), and the brightest twentieth
1.5 times; bare enamel would be 2.1 times."""
GUM = np.array([0.42, 0.155, 0.14])
TONGUE = np.array([0.45, 0.17, 0.155])
LASHES = np.array([0.014, 0.010, 0.008])
_TEETH_SHADE, _TONGUE_SHADE = 0.80, 0.35
"""Share of the light that is removed three centimetres behind the lips, in place of a cast shadow. With 0.75 the back
teeth are white slits in viewports without shadows; a tongue with 0.75 is black in renders that do cast shadows."""
_TONGUE_BACK = 0.6  # share of its light removed where its root falls into the throat
_TONGUE_LIT = 0.9  # share of light: the tongue's tip lies behind the teeth
_UPPER_WIDTHS = np.array([8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 9.5]) * 1e-3  # metres, from the midline outwards
_UPPER_CROWNS = np.array([10.0, 8.8, 9.8, 8.2, 7.8, 7.2, 6.8]) * 1e-3  # metres, from the biting edge to the gum
_LOWER_CROWNS = np.array([8.2, 8.6, 9.8, 8.2, 7.8, 7.2, 6.8]) * 1e-3
_TONES = np.array([1.0, 0.98, 0.90, 0.94, 0.93, 0.90, 0.88])  # canines and back teeth are darker than incisors
_PAPILLA = 0.34  # share of a crown's height covered by the gum between two teeth
_LOWER_WIDTHS = np.array([5.3, 5.8, 6.8, 7.0, 7.2, 10.5, 10.0]) * 1e-3


def _light_in_mouth(points: np.ndarray, shade: float) -> np.ndarray:
    """(P, 1) share of the light that reaches points (P, 3) behind the lips; ``shade`` of it is lost at the back. It
    replaces the shadow that viewports do not cast into a mouth."""
    depth = points[:, 2].max() - points[:, 2]
    return 1.0 - shade * smoothstep(0.004, 0.030, depth)[:, None]


def paint_teeth(points: np.ndarray, upper: bool) -> np.ndarray:
    """Linear albedo (P, 3) of a row of teeth at neutral positions (P, 3) metres: separate teeth, with gum between
    them."""
    arc = _arc_length(points)
    widths, crowns = (_UPPER_WIDTHS, _UPPER_CROWNS) if upper else (_LOWER_WIDTHS, _LOWER_CROWNS)
    borders = np.concatenate([[0.0], np.cumsum(widths)])
    tooth = np.clip(np.searchsorted(borders, arc, side="right") - 1, 0, len(widths) - 1)
    across = np.clip(2.0 * (arc - borders[tooth]) / widths[tooth] - 1.0, -1.0, 1.0)  # -1 and 1 between two teeth
    height = points[:, 1] - points[:, 1].min() if upper else points[:, 1].max() - points[:, 1]
    crown = crowns[tooth] * (1.0 - _PAPILLA * np.abs(across) ** 2.5)
    gum = smoothstep(crown - 0.0002, crown + 0.0004, height)[:, None]
    root = height / crowns[tooth]  # 0 at the biting edge, 1 at the gum
    aside = np.abs(arc[:, None] - borders).min(1)
    parted = 0.00022 + 0.00055 * np.exp(-height / 0.0012) + 0.0004 * smoothstep(0.5, 0.75, root)  # at edge and gum
    gap = np.exp(-((aside / parted) ** 2))[:, None]
    enamel = ENAMEL * _TONES[tooth][:, None]
    enamel = enamel * (1.0 - 0.16 * smoothstep(0.3, 1.0, root)[:, None] * np.array([0.5, 1.0, 1.7]))
    glassy = np.exp(-height / 0.0011)[:, None]  # enamel at the biting edge has no dentine behind it
    enamel = enamel * (1.0 - glassy * np.array([0.26, 0.20, 0.14]))
    enamel = enamel * (1.0 - 0.30 * np.abs(across) ** 4)[:, None]
    enamel = enamel * (1.0 + 0.03 * fractal_noise(points * [2.0, 0.5, 2.0], 0.002, 2, 51)[:, None])
    enamel = enamel * (1.0 - 0.75 * gap * np.array([0.85, 1.0, 1.05]))
    flesh = GUM * (1.0 + 0.10 * fractal_noise(points, 0.0016, 2, 52)[:, None])
    flesh = flesh * (1.0 - 0.35 * np.exp(-np.maximum(height - crown, 0.0) / 0.0007))[:, None]  # its edge turns inwards
    gum_line = (1.0 - gum) * smoothstep(0.92, 1.0, height / crown)[:, None]
    enamel = enamel * (1.0 - 0.35 * gum_line)
    return ((enamel * (1.0 - gum) + flesh * gum) * _light_in_mouth(points, _TEETH_SHADE)).astype(np.float32)


def _arc_length(points: np.ndarray) -> np.ndarray:
    """(P,) metres along the dental arch from the midline, positive on both sides."""
    x = np.abs(points[:, 0])
    bins = np.linspace(0.0, max(float(x.max()), 1e-4), 25)
    index = np.clip(np.digitize(x, bins) - 1, 0, 23)
    count = np.bincount(index, minlength=24)
    depth = np.bincount(index, points[:, 2], 24) / np.maximum(count, 1)
    used = np.flatnonzero(count > 0)
    centre = 0.5 * (bins[:-1] + bins[1:])
    z = np.interp(centre, centre[used], depth[used])
    step = np.hypot(np.diff(centre), np.diff(z))
    length = np.concatenate([[centre[0]], centre[0] + np.cumsum(step)])
    along = np.interp(x, centre, length)
    # x hardly changes at the back of the arch: continue along z
    front = float(np.interp(float(x.max()) * 0.97, centre, z))
    return along + np.where(x > 0.9 * x.max(), np.maximum(front - points[:, 2], 0.0) * 0.5, 0.0)


def paint_tongue(points: np.ndarray) -> np.ndarray:
    """Linear albedo (P, 3) of the tongue at neutral positions (P, 3) metres, with papillae and a median furrow."""
    papillae = 0.06 * gradient_noise(points, 0.0010, 61) + 0.07 * fractal_noise(points, 0.006, 2, 62)
    furrow = 0.25 * np.exp(-((points[:, 0] / 0.0016) ** 2))
    pale = np.array([1.05, 1.35, 1.32])
    blend = np.clip(0.25 + 0.15 * fractal_noise(points, 0.003, 2, 63), 0.0, 1.0)[:, None]
    tone = TONGUE * (1.0 - blend) + TONGUE * pale * blend
    into_throat = smoothstep(0.040, 0.075, points[:, 2].max() - points[:, 2])[:, None]
    lit = _TONGUE_LIT * _light_in_mouth(points, _TONGUE_SHADE) * (1.0 - _TONGUE_BACK * into_throat)
    return (tone * (1.0 + papillae - furrow)[:, None] * lit).clip(0.01, 0.9).astype(np.float32)


def paint_lashes(points: np.ndarray) -> np.ndarray:
    """Linear albedo (P, 3) of the lashes: nearly black."""
    return np.broadcast_to(LASHES.astype(np.float32), points.shape).copy()
