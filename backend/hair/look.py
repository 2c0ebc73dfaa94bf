"""Choose the look: the photo that the head's hair and beard follow, and the photos that show the same hair.

People change their hair and beard between photos. A photo belongs to the look of another if its hair lies at the same
places of the head, has the same colour beside the skin, and if the chin is bearded or bare in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.errors import LikenessError
from backend.hair.hair_surface import HullGrid, covered_by
from backend.hair.hair_views import HairView
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb

LOWEST = 67
"""Rows of the grid that are compared: to 42 cm from the crown, long hair on the chest."""
SAME_HAIR = 0.125
"""Greatest ``_difference`` of two photos of one look. Of eleven people's photos, looked at: the same hair differs by
0.01 to 0.11, loose and tied hair, or an afro and a crop, by 0.13 to 0.42."""
LEAST_HAIR = 0.06
"""Share of the compared area, added to the area with hair in either photo: a difference of little hair is little."""
BEARD_WORTH, COLOUR_WORTH = 0.5, 0.02
"""``difference`` of a bearded lower face to a bare one, and per log unit of hair's brightness against the skin: light
changes that by more than a unit between photos of the same hair."""
_LEADS = 0.25
"""Weight of a photo's trust in its choice as the leader, relative to that of the photos that agree with it."""
_HATS = 0.25
"""Trust in a photo without hair, relative to one with as much as the others: it shows a hat more often than a shave."""


@dataclass(frozen=True)
class Look:
    """``leader`` : name of the leading photo. ``photos`` : names of all that share its hair, the leader first."""

    leader: str
    photos: tuple[str, ...]

    def to_report(self) -> dict[str, object]:
        """The look's entry in ``report.json``."""
        return {"leader": self.leader, "photos": list(self.photos)}


@dataclass(frozen=True)
class _Seen:
    """One photo's hair. ``there``, ``sure`` : (COLUMNS, LOWEST) ``HairSurface.there`` and ``seen``. ``dark`` : log
    ratio of hair to skin, NaN unknown. ``beard`` : share of the face's skin that is bearded."""

    there: np.ndarray
    sure: np.ndarray
    dark: float
    beard: float


def check_look(leader: str, names: Sequence[str]) -> None:
    """Raise ``LikenessError`` unless ``leader`` is one of the used photos' ``names``."""
    if leader not in names:
        used = ", ".join(names)
        raise LikenessError("usage", f"The look's photo {leader!r} is not among the used photos.", f"Choose of {used}.")


def find_look(
    grid: HullGrid,
    views: Sequence[HairView],
    faces: Sequence[PhotoFace],
    told: Sequence[np.ndarray],
    leader: str = "",
) -> Look:
    """The look of the photo ``leader``; without one, of the photo with which most of the photos' trust agrees.

    faces, told : in the order of ``views``; ``told`` are their votes ``hair_surface.told_by``. Raises ``LikenessError``
    if ``leader`` is not one of the views.
    """
    names = [view.name for view in views]
    if leader:
        check_look(leader, names)
    seen = [_seen(grid, *each) for each in zip(views, faces, told, strict=True)]
    area = grid.radius[:, :LOWEST]
    apart = np.array([[_difference(one, other, area) for other in seen] for one in seen])
    scalp = area * (grid.s < grid.line[:, None])[:, :LOWEST]
    shown = np.array([(one.sure * scalp).sum() / scalp.sum() for one in seen])
    amount = np.array([(one.sure * one.there * scalp).sum() for one in seen])
    less = np.minimum(amount / max(float(np.median(amount)), 1e-9), 1)
    trust = np.array([view.trust for view in views]) * shown * (_HATS + (1 - _HATS) * less)
    worth = (apart <= SAME_HAIR) @ trust + _LEADS * trust
    best = names.index(leader) if leader else int(worth.argmax())
    same = [i for i in np.argsort(-trust, kind="stable") if i != best and apart[best, i] <= SAME_HAIR]
    return Look(names[best], tuple(names[i] for i in (best, *same)))


def _seen(grid: HullGrid, view: HairView, face: PhotoFace, told: np.ndarray) -> _Seen:
    hair, skin, beard = (face.labels == kind for kind in (FaceClass.HAIR, FaceClass.SKIN, FaceClass.FACIAL_HAIR))
    some = (slice(None, None, 4), slice(None, None, 4))  # medians need no more
    light = linear_from_srgb(face.pixels[some].astype(np.float32) / 255) @ np.array(LUMINANCE, np.float32)
    dark = np.nan
    if hair[some].sum() > 20 and skin[some].sum() > 20:
        dark = float(np.log((np.median(light[hair[some]]) + 0.002) / (np.median(light[skin[some]]) + 0.002)))
    there, sure = (each[:, :LOWEST] for each in covered_by(grid, view, told))
    return _Seen(there, sure, dark, float(beard.sum() / max((beard | skin).sum(), 1)))


def _difference(one: _Seen, other: _Seen, area: np.ndarray) -> float:
    """Share of the area (COLUMNS, LOWEST) with hair in either photo, of what both show, that has none in the other; and
    what beard and colour add."""
    both = np.minimum(one.sure, other.sure) * area
    unlike = (both * np.abs(one.there - other.there)).sum()
    either = (both * np.maximum(one.there, other.there)).sum() + LEAST_HAIR * area.sum()
    colour = abs(one.dark - other.dark) if np.isfinite(one.dark + other.dark) else 0.0
    return float(unlike / either + BEARD_WORTH * abs(one.beard - other.beard) + COLOUR_WORTH * colour)
