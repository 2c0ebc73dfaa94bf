"""A fitted shape that comes nearer to its own mirror image, because somebody wishes so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.fitting.fit_state import FitState
from backend.geometry.similarity import nearest_similarity
from backend.geometry.symmetry import symmetric_part


def symmetric_state(state: FitState, share: float) -> FitState:
    """The state whose neutral shape has lost ``share`` (0 to 1) of its asymmetry, eyes and teeth included.

    The change goes into the template's vertices, as the cage's offsets do. Part of an asymmetry is a turn or a shift of
    the whole face in its frame: the poses take that over, so that photos stay on the face.
    """
    template, neutral = state.template, state.neutral()
    changed = neutral + share * (symmetric_part(neutral, template.mirror) - neutral)
    back = nearest_similarity(changed, neutral, template.regions["face"], with_scale=False)
    photos = tuple(photo.of_moved_head(back.rotation, back.translation) for photo in state.estimate.photos)
    return replace(
        state,
        template=replace(template, vertices=(template.vertices + changed - neutral).astype(np.float32)),
        estimate=replace(state.estimate, photos=photos),
    )
