"""The look: the photos that show the same hair and beard. Begin at ``find_look``, which ``fit_hair.look_at`` calls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from backend.errors import LikenessError
from backend.hair.groom.description import load_grooms
from backend.hair.groom.grow import GroomHead, comb
from backend.hair.hair_views import HairView, votes
from backend.photos.collection import FaceClass, PhotoFace

_CURTAIN, _SHARE = "long_side", 0.25
"""The groom at whose guides photos are compared, on the scalp and where hair hangs, and the share of its guides."""
_BLUR, _UNSURE = 0.008, 0.35
"""Metres over which hair is blurred, and the vote up to which a place is at its border: heads are fitted no better."""
SAME_HAIR = 0.125
"""Greatest ``_difference`` of two photos of one look. Of eleven people's photos, looked at: the same hair differs by
0.01 to 0.11, loose and tied hair, or an afro and a crop, by 0.13 to 0.42."""
LEAST_HAIR = 0.06
"""Share of the compared places, added to those with hair in either photo: a difference of little hair is little."""
BEARD_WORTH = 0.5
"""``_difference`` of a bearded lower face to a bare one. Colour tells nothing: brightness beside the skin changes by
more than a log unit between photos of the same hair."""
_LEADS = 0.25
"""Weight of a photo's trust in its choice as the leader, relative to that of the photos that agree with it."""
_HATS = 0.25
"""Trust in a photo without hair, relative to one with as much as the others: it shows a hat more often than a shave."""


@dataclass(frozen=True)
class Look:
    """``leader`` : name of the leading photo. ``photos`` : names of all that share its hair, the leader first."""

    leader: str
    photos: tuple[str, ...]


@dataclass(frozen=True)
class _PhotoHair:
    """One photo's hair. ``shows`` : (N,) 1 where a place is hair, -1 where it is bare, 0 where it is hidden.
    ``beard`` : share of the face's skin that is bearded."""

    shows: np.ndarray
    beard: float


def check_look(leader: str, names: Sequence[str]) -> None:
    """Raise ``LikenessError`` unless ``leader`` is one of the used photos' ``names``."""
    if leader not in names:
        wrong = f"The look's photo {leader!r} is not among the used photos."
        raise LikenessError("usage", wrong, f"Choose of {', '.join(names)}.")


def find_look(head: GroomHead, views: Sequence[HairView], faces: Sequence[PhotoFace], leader: str = "") -> Look:
    """The look of the photo ``leader``; without one, of the photo with which most of the photos' trust agrees.

    ``faces`` are in the order of ``views``. Raises ``LikenessError`` if ``leader`` is not one of the views.
    """
    names = [view.name for view in views]
    if leader:
        check_look(leader, names)
    curtain = comb(load_grooms()[_CURTAIN], head, share=_SHARE).points
    scalp = (np.arange(curtain.shape[1]) < 2) & np.ones((len(curtain), 1), bool)  # first two points
    seen = [_photo_hair(curtain, *each) for each in zip(views, faces, strict=True)]
    apart = np.array([[_difference(one, other) for other in seen] for one in seen])
    shown = np.array([np.abs(one.shows[scalp]).mean() for one in seen])
    amount = np.array([(one.shows[scalp] > 0).sum() for one in seen])
    less = np.minimum(amount / max(float(np.median(amount)), 1e-9), 1)
    trust = np.array([view.trust for view in views]) * shown * (_HATS + (1 - _HATS) * less)
    worth = (apart <= SAME_HAIR) @ trust + _LEADS * trust
    worth[trust < _HATS * trust.max()] = 0.0  # what shows nothing differs from nothing
    best = names.index(leader) if leader else int(worth.argmax())
    same = [i for i in np.argsort(-trust, kind="stable") if i != best and apart[best, i] <= SAME_HAIR]
    return Look(names[best], tuple(names[i] for i in (best, *same)))


def _photo_hair(places: np.ndarray, view: HairView, face: PhotoFace) -> _PhotoHair:
    skin, beard = (face.labels == kind for kind in (FaceClass.SKIN, FaceClass.FACIAL_HAIR))
    soft = cv2.GaussianBlur(view.hair, (0, 0), _BLUR * view.pixels_per_metre)
    shows = votes(places, replace(view, hair=soft, face=np.zeros_like(soft)))  # no extra vote against hair on the face
    shows = np.sign(np.where(np.abs(shows) < _UNSURE, 0, shows))
    return _PhotoHair(shows, float(beard.sum() / max((beard | skin).sum(), 1)))


def _difference(one: _PhotoHair, other: _PhotoHair) -> float:
    """Places that are hair in one photo and bare in the other, as a share of those that both show and either shows as
    hair; plus what beards add."""
    unlike = (one.shows * other.shows < 0).mean()
    either = ((one.shows * other.shows != 0) & (one.shows + other.shows > -2)).mean() + LEAST_HAIR
    return float(unlike / either + BEARD_WORTH * abs(one.beard - other.beard))
