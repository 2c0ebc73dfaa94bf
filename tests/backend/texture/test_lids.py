"""The skin that a blink unfolds shows no streaks of what lay in front of it."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import load_template
from backend.texture.finishing import inpaint_lid_folds, lid_fold
from backend.texture.surface import head_surface, texels_per_metre, texture_space

SIZE = 1024
SKIN = np.array([0.42, 0.26, 0.19])


def test_streaks_in_the_fold_go_and_all_other_skin_stays() -> None:
    template = load_template()
    surface, space = head_surface(template), texture_space(template, SIZE)
    positions = surface.lifted(template.vertices[: surface.count].astype(np.float64))
    where = space.skin.sample(positions)
    own, fold = np.split(space.skin.sample(surface.lifted(lid_fold(template)[: surface.count]))[:, [0, 2, 1, 3]], 2, 1)
    own, fold = own.max(1), fold.max(1)
    streaks = 0.8 * (np.sin(where[:, 0] * 2 * np.pi / 0.0012) > 0.0)  # hairs, half a millimetre wide
    folded = fold > 0.98
    skin = SKIN * np.exp(-streaks * (fold > 0.5))[:, None]
    density = texels_per_metre(surface, positions, SIZE)
    result = inpaint_lid_folds(skin, space.skin, template, surface, positions, density)
    assert folded.sum() > 300
    before, after = np.log(skin[folded]).mean(1), np.log(result[folded]).mean(1)
    assert before.std() > 0.35 and after.std() < 0.12
    assert after.mean() - np.log(SKIN).mean() > 0.5 * (before.mean() - np.log(SKIN).mean())  # as light as beside it
    untouched = fold == 0.0
    assert np.allclose(result[untouched], skin[untouched], rtol=1e-5)
    assert 0.001 < (fold > 0.0).mean() < 0.02  # of all skin


def test_the_fold_is_on_both_upper_lids_and_nowhere_else() -> None:
    template = load_template()
    fields = lid_fold(template)
    for eye, sign in ((0, 1), (1, -1)):
        folded = np.flatnonzero(fields[:, 2 * eye + 1] > 0.5)
        offset = template.vertices[folded] - template.eye_pivots[eye]
        assert len(folded) > 15 and (offset[:, 1] > 0).all() and (sign * template.vertices[folded, 0] > 0.01).all()
        assert np.linalg.norm(offset, axis=1).max() < 0.025
