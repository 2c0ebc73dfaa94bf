"""Fit hair to photographs: whether there is any, its style, guides on the scalp and their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from backend.fitting.fitted_face import FittedFace
from backend.geometry.template import Template
from backend.hair.attach import attach, skin_normals
from backend.hair.draw import lock_edges
from backend.hair.fit_style import NO_FIXED_NUMBERS, PIECES, FittedStyle, fit_style, resampled
from backend.hair.guides import curled, fit_guides, lock_widths
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_views import HairView, closed_head, hair_views, silhouettes
from backend.hair.strand_colours import strand_colours
from backend.hair.style_model import named
from backend.photos.collection import PhotoFace
from backend.progress import ProgressReporter, silent

STAGE = "hair"
HAIR_RADIUS = 4e-5
"""Metres: hairs are 0.06 to 0.1 mm thick."""
_LEAST_SEEN = 12.0
"""Least hair in all photos together, in pixels of a view (``hair_views.VIEW_SIDE``): two square centimetres. Less does
not determine a style."""
_LEAST_GUIDES = 20
"""Least number of guides, of the thousand on a full head: fewer cover less than 15 square centimetres, and are mostly a
shadow."""
BALDING = "balding"
_BALD = {"bald": 0.75}
"""Number of the style model that the style ``BALDING`` sets: above 0.72 only a ring of hair is left."""


@dataclass(frozen=True)
class FoundHair:
    """``strands`` : the hair, or None. ``reason`` : why there is none, a sentence for the user."""

    strands: HairStrands | None
    reason: str = ""

    def to_report(self) -> dict[str, object]:
        """The hair's entry in ``report.json``: style, guides and the style's numbers, or the reason."""
        if self.strands is None:
            return {"found": False, "reason": self.reason}
        numbers = {name: round(value, 4) for name, value in self.strands.parameters.items()}
        return {"found": True, "style": self.strands.style, "guides": len(self.strands.points), "numbers": numbers}


def fit_hair(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    progress: ProgressReporter = silent,
    known: Mapping[str, float] = NO_FIXED_NUMBERS,
    told_style: str = "auto",
) -> FoundHair:
    """Fit hair to the photos of a fitted face; ``faces`` are matched to them by name.

    known : numbers of the style that the user has set. told_style : one of ``choices.HAIR_STYLES``; unless it is
    ``auto`` only that style is tried, and the photos decide its length, direction and volume.
    Raises ``errors.Cancelled`` when ``progress`` raised it.
    """
    progress(STAGE, 0.0)
    if told_style == "shaved":
        return FoundHair(None, "The hairstyle was given as shaved.")
    views = hair_views(template, fitted, faces)
    if sum(float((view.hair * view.known).sum()) for view in views) < _LEAST_SEEN:
        hidden = all(float(view.known.mean()) < 0.98 for view in views)
        return FoundHair(None, "A hat hides the hair." if hidden else "The photos show no hair.")
    numbers, only = ({**known, **_BALD}, None) if told_style == BALDING else (known, told_style)
    style = fit_style(template, fitted.neutral, views, numbers, style=None if only == "auto" else only)
    progress(STAGE, 0.6)
    found = hair_of_style(template, fitted, faces, views, style)
    progress(STAGE, 1.0)
    return found


def hair_of_style(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], views: Sequence[HairView], style: FittedStyle
) -> FoundHair:
    """Fit guides of a fitted style to the views, and colour them from the faces (matched by name)."""
    guides = fit_guides(template, fitted.neutral, style, views)
    if len(guides) < _LEAST_GUIDES:
        return FoundHair(None, "The photos show too little hair to choose a hairstyle.")
    attached = attach(curled(guides, style.style), template, fitted.neutral)
    colours = strand_colours(attached.points, fitted, faces)
    return FoundHair(
        HairStrands(
            points=attached.points,
            root_uv=attached.root_uv,
            width=lock_widths(attached.points[:, 0], style.style),
            root_colour=colours.root,
            tip_colour=colours.tip,
            hair_radius=HAIR_RADIUS,
            style=style.style.name,
            parameters=named(style.point),
        )
    )


def hair_outline(
    points: np.ndarray, width: np.ndarray, template: Template, neutral: np.ndarray, view: HairView
) -> np.ndarray:
    """(H, W) uint8 silhouette in a view of the locks of guides (G, P, 3), ``width`` (G,) metres wide, on a head
    (V, 3)."""
    normals = skin_normals(points[:, 0], *closed_head(neutral.astype(np.float64), template))
    edges = torch.from_numpy(lock_edges(points, width, normals).astype(np.float32)).flatten(0, 1)
    return silhouettes(resampled(edges[None], PIECES).flatten(1, 2).numpy(), view)[0]
