"""Image effects that may be mistaken for relief: the same people's photos with and without each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from trainer.data.detail.occluders import FaceOccluders, rims, strands
from trainer.data.detail.relief import Cause, ReliefParameters, spots
from trainer.data.detail.uv_photo import ShotParameters

_OCCLUDER_MARGIN = 0.003
"""Metres around hair and glasses without weight in the texture (``backend.texture.unwrapping.unwrap``: between 1.5 and
8 mm)."""
_SPOT_RADIUS = (0.8, 2.5)
"""Millimetres, radius of flat moles; the same range as the raised moles of the training data."""


def _unchanged(shot: ShotParameters) -> ShotParameters:
    return shot


def _unchanged_relief(relief: ReliefParameters) -> ReliefParameters:
    return relief


@dataclass(frozen=True)
class Changes:
    """Changes to a person's photos relative to the photos drawn by default.

    Attributes
    ----------
    skin : values for fields of ``SkinParameters``. shot, relief : functions that change the parameters of each photo
    and
        of the skin. spots : number of dark spots on flat skin. strands : number of hair strands in front of the face.
        glasses : whether rims of glasses are in front of it. noticed : whether the photo's masks exclude strands and
        rims.
    """

    skin: Mapping[str, float] = field(default_factory=dict)
    shot: Callable[[ShotParameters], ShotParameters] = _unchanged
    relief: Callable[[ReliefParameters], ReliefParameters] = _unchanged_relief
    spots: int = 0
    strands: int = 0
    glasses: bool = False
    noticed: bool = False

    def dark_spots(self, cause: Cause, generator: np.random.Generator) -> np.ndarray:
        """(N, N) float32 in [0, 1], mask of the ``spots``."""
        radius = tuple(value / cause.usual_texel for value in _SPOT_RADIUS)
        return spots(generator, cause.window.allowed, self.spots, radius)

    def in_front(self, cause: Cause, generator: np.random.Generator) -> FaceOccluders | None:
        """Return the occluders in front of the face, None for none."""
        if not self.strands and not self.glasses:
            return None
        size = cause.window.size
        image = np.zeros((size, size), np.float32)
        if self.strands:
            image = np.maximum(image, strands(generator, cause, self.strands))
        if self.glasses:
            image = np.maximum(image, rims(cause))
        weight = np.ones_like(image)
        if self.noticed:
            reach = round(_OCCLUDER_MARGIN * 1000.0 / cause.usual_texel)
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
            weight = cv2.GaussianBlur(1.0 - cv2.dilate((image > 0.1).astype(np.float32), kernel), (0, 0), 1.0)
        return FaceOccluders(image, weight)


NOTHING = Changes()


@dataclass(frozen=True)
class Disturbance:
    """Two versions of the same people's photos."""

    without: Changes
    given: Changes


def _smooth(relief: ReliefParameters) -> ReliefParameters:
    return replace(relief, depth=0.0, fold=0.0, bag=0.0, pores=0.0, moles=0)


def _soft_light(shot: ShotParameters) -> ShotParameters:
    light = replace(shot.light, softness=np.ones_like(shot.light.softness))
    return replace(shot, light=light, shadow=0.0, light_error=0.0)


def _hard_light(shot: ShotParameters) -> ShotParameters:
    """Light the face from the side, three times as strongly as the rest, with a relative error of the fitted light of
    0.25."""
    directions, colours = shot.light.directions.copy(), shot.light.colours.copy()
    side = np.sign(directions[0, 0]) or 1.0
    directions[0] = np.array([side * 0.94, 0.30, 0.15]) / np.linalg.norm([0.94, 0.30, 0.15])
    total = colours.sum()
    colours *= 0.25
    colours[0] *= 0.75 * total / max(float(colours[0].sum()), 1e-6)
    softness = shot.light.softness.copy()
    softness[0] = 0.0
    light = replace(shot.light, directions=directions, colours=colours, softness=softness)
    return replace(shot, light=light, shadow=0.0, light_error=0.25)


def _cast_shadow(shot: ShotParameters) -> ShotParameters:
    """Shadow the key lamp completely, with a hard edge."""
    softness = shot.light.softness.copy()
    softness[0] = 0.0
    return replace(shot, light=replace(shot.light, softness=softness), shadow=1.0)


_UNMARKED = {"freckles": 0.0, "lipstick": 0.0, "blush": 0.0, "eye_shadow": 0.0, "liner": 0.0, "blotch": 0.5}
_SHAVEN = {"moustache": 0.0, "chin": 0.0, "jaw": 0.0, "stubble": 0.0}
_PLAIN = Changes({**_UNMARKED, **_SHAVEN}, relief=lambda relief: replace(relief, moles=0))


def _on_plain(skin: Mapping[str, float] | None = None, **changes: object) -> Disturbance:
    return Disturbance(_PLAIN, replace(_PLAIN, skin={**_PLAIN.skin, **(skin or {})}, **changes))


DISTURBANCES: Mapping[str, Disturbance] = {
    "freckles": _on_plain({"freckles": 1.0, "blotch": 2.0}),
    "make_up": _on_plain({"lipstick": 0.9, "blush": 0.7, "eye_shadow": 0.8, "liner": 1.0}),
    "moles": _on_plain(spots=12),
    "stubble": _on_plain({"stubble": 1.0}),
    "cast_shadow": Disturbance(
        replace(_PLAIN, shot=lambda shot: replace(_cast_shadow(shot), shadow=0.0)),
        replace(_PLAIN, shot=_cast_shadow),
    ),
    "side_light": Disturbance(
        replace(_PLAIN, relief=_smooth, shot=_soft_light), replace(_PLAIN, relief=_smooth, shot=_hard_light)
    ),
    "jpeg": Disturbance(
        replace(_PLAIN, shot=lambda shot: replace(shot, quality=0)),
        replace(_PLAIN, shot=lambda shot: replace(shot, quality=40)),
    ),
    "noise": Disturbance(
        replace(_PLAIN, shot=lambda shot: replace(shot, noise=0.0)),
        replace(_PLAIN, shot=lambda shot: replace(shot, noise=0.03)),
    ),
    "strands": _on_plain(strands=12),
    "strands_noticed": _on_plain(strands=12, noticed=True),
    "glasses": _on_plain(glasses=True),
    "glasses_noticed": _on_plain(glasses=True, noticed=True),
}
"""Freckles and blotches; make-up; dark spots on flat skin; stubble; the hard edge of a cast shadow; hard light from the
side on smooth skin, with an error of the fitted light; JPEG at quality 40; noise of 0.03; twelve hair strands in front
of the face and rims of glasses, each with masks that miss them and with masks that exclude them (``_noticed``)."""
