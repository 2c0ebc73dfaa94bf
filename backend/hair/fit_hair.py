"""Fit hair to photographs: whether there is any, whose photo's look it is, guides on the scalp and their colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.fitting.fitted_face import FittedFace
from backend.geometry.template import Template
from backend.hair.attach import attach, skin_normals
from backend.hair.directions import direction_field
from backend.hair.draw import lock_edges
from backend.hair.hair_line import line_numbers
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_surface import HullGrid, hair_surface, hull_grid, told_by
from backend.hair.hair_views import HairView, closed_head, hair_views, off_body, silhouettes
from backend.hair.look import Look, find_look
from backend.hair.strand_colours import strand_colours
from backend.hair.styles import STYLES
from backend.hair.trace import curled, lock_widths, resampled_to, trace_guides
from backend.photos.collection import PhotoFace
from backend.progress import ProgressReporter, silent

STAGE = "hair"
HAIR_RADIUS = 4e-5
"""Metres: hairs are 0.06 to 0.1 mm thick."""
_LEAST_SEEN = 0.0002
"""Square metres of hair in all photos of the look together; less is no hairstyle."""
_LEAST_GUIDES = 20
"""Least number of guides, of the thousand on a full head: fewer cover less than 15 square centimetres, and are mostly a
shadow."""
BALDING = "balding"
_RING = 0.105
"""Metres from the crown down: no root is nearer to it where the style is ``BALDING``."""
_PIECES = 6
"""Points drawn per segment of a guide, so that they lie closer together than a view's pixels."""


@dataclass(frozen=True)
class FoundHair:
    """``strands`` : the hair, or None. ``reason`` : why there is none, a sentence for the user. ``look`` : the photos
    that it follows, None if none was looked at."""

    strands: HairStrands | None
    reason: str = ""
    look: Look | None = None

    def to_report(self) -> dict[str, object]:
        """The hair's entry in ``report.json``: the look, and style, guides and the hairline, or the reason."""
        look = {} if self.look is None else {"look": self.look.to_report()}
        if self.strands is None:
            return {"found": False, "reason": self.reason} | look
        numbers = {name: round(value, 4) for name, value in self.strands.parameters.items()}
        guides = len(self.strands.points)
        return {"found": True, "style": self.strands.style, "guides": guides, "numbers": numbers} | look


def fit_hair(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    progress: ProgressReporter = silent,
    told_style: str = "auto",
    leader: str = "",
    line: np.ndarray | None = None,
) -> FoundHair:
    """Fit hair to the photos of a fitted face that share a look; ``faces`` are matched to them by name.

    told_style : one of ``choices.HAIR_STYLES``; unless it is ``auto``, hair is combed and curled like that where the
    photos do not show it. leader : name of the look's photo; empty: chosen. line : (A,) s of the hairline on
    ``hull.azimuths()`` where the user has set it.
    Raises ``errors.Cancelled`` when ``progress`` raised it, and ``LikenessError`` for an unknown ``leader``.
    """
    progress(STAGE, 0.0)
    if told_style == "shaved":
        return FoundHair(None, "The hairstyle was given as shaved.")
    views = hair_views(template, fitted, faces)
    grid = hull_grid(template, fitted.neutral, line)
    votes = [told_by(grid, view) for view in views]
    look = find_look(grid, views, fitted.used_faces(faces), votes, leader)
    progress(STAGE, 0.4)
    number = {view.name: k for k, view in enumerate(views)}
    views, votes = zip(*((views[number[name]], votes[number[name]]) for name in look.photos), strict=True)
    if sum(float((view.hair * view.known).sum()) / view.pixels_per_metre**2 for view in views) < _LEAST_SEEN:
        hidden = all(float(view.known.mean()) < 0.98 for view in views)
        return FoundHair(None, "A hat hides the hair." if hidden else "The photos show no hair.", look)
    photos = {photo.name: photo for photo in fitted.photos}
    told = replace(fitted, photos=tuple(photos[name] for name in look.photos))
    strands = hair_of_views(template, told, faces, views, votes, grid, told_style)
    progress(STAGE, 1.0)
    return FoundHair(strands, "" if strands else "The photos show too little hair to choose a hairstyle.", look)


def hair_of_views(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    views: Sequence[HairView],
    votes: Sequence[np.ndarray],
    grid: HullGrid,
    told_style: str = "auto",
) -> HairStrands | None:
    """Hair of one look: ``fitted`` has only its photos, and ``views`` and ``votes`` (``told_by``) are theirs, the
    leading one first. The leading photo counts as much as all others together. None if there is too little hair."""
    others = sum(view.trust for view in views[1:])
    views = (*(replace(view, trust=view.trust + others) for view in views[:1]), *views[1:])
    style = next((style for style in STYLES if style.name == told_style), None)
    surface = hair_surface(grid, views, votes)
    if told_style == BALDING:
        surface = replace(surface, roots=surface.roots * (grid.s > _RING))
    guides = trace_guides(surface, direction_field(surface, views, style), views)
    if len(guides) < _LEAST_GUIDES:
        return None
    head = fitted.neutral[: template.head.vertex_stop].astype(np.float64)
    guides = off_body(guides if style is None else curled(guides, style), head, template)
    attached = attach(guides, template, fitted.neutral)
    colours = strand_colours(attached.points, fitted, faces)
    return HairStrands(
        points=attached.points,
        root_uv=attached.root_uv,
        width=lock_widths(attached.points[:, 0], style),
        root_colour=colours.root,
        tip_colour=colours.tip,
        hair_radius=HAIR_RADIUS,
        style=told_style,
        parameters=line_numbers(surface),
    )


def hair_outline(
    points: np.ndarray, width: np.ndarray, template: Template, neutral: np.ndarray, view: HairView
) -> np.ndarray:
    """(H, W) uint8 silhouette in a view of the locks of guides (G, P, 3), ``width`` (G,) metres wide, on a head
    (V, 3)."""
    normals = skin_normals(points[:, 0], *closed_head(neutral.astype(np.float64), template))
    edges = lock_edges(points, width, normals).reshape(-1, *points.shape[1:])
    return silhouettes(resampled_to(edges, _PIECES * points.shape[1]).reshape(1, -1, 3), view)[0]
