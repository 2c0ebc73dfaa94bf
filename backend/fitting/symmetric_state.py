"""Reduce the asymmetry of a fitted shape by the user's wish."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.fitting.fit_state import FitState
from backend.geometry.similarity import nearest_similarity
from backend.geometry.symmetry import symmetric_part


def symmetric_state(state: FitState, share: float) -> FitState:
    """The state with ``share`` (0 to 1) of the neutral shape's asymmetry removed, eyes and teeth included.

    The change goes into the template's vertices, as the cage's offsets do. Part of it is a rigid motion of the whole
    face in its frame; the poses compensate that, so that the head stays aligned with the photos.
    """
    template, neutral = state.template, state.neutral()
    changed = neutral + share * (symmetric_part(neutral, template.mirror) - neutral)
    back = nearest_similarity(changed, neutral, template.regions["face"], with_scale=False)
    photos = tuple(photo.in_moved_frame(back.rotation, back.translation) for photo in state.estimate.photos)
    return replace(
        state,
        template=replace(template, vertices=(template.vertices + changed - neutral).astype(np.float32)),
        estimate=replace(state.estimate, photos=photos),
    )
