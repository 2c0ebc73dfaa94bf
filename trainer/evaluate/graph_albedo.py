"""Compare unseen skin, completed by rules and by the network, with the true skin of synthetic people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from backend.errors import LikenessError
from backend.geometry.template import load_template
from backend.models.graph_albedo.apply import GraphAlbedoModel
from backend.rendering.color import linear_from_srgb
from backend.texture.inpainting.learned import bare_skin, small_maps, with_learned_completion
from backend.texture.unwrapping.head_surface import texture_space
from trainer.data.graph.skins import head_people, known_texture, moved_truth, true_albedo
from trainer.evaluate.metrics.intervals import ratio_interval
from trainer.evaluate.trained import trained_or_none
from trainer.stages.graph_albedo import UNSEEN

SEED = 91
"""Seed of people unused for training and selection in all recipes."""
PHOTOS = 3
"""Photos per person; skins are completed from the first alone, and from all."""
_PICTURE = 320
"""Pixels a side of the photos."""
_TEXTURE = 512
"""Texels a side of the product's texture."""


def albedo_figures(folder: Path | None, people: int) -> dict[str, float | str]:
    """Compare completions for ``people`` held-out synthetic people. ``albedo.rules.nK`` and ``albedo.network.nK``: mean
    absolute difference of log albedo from the truth where none of K photos shows the skin of face, ears and neck;
    ``albedo.ratio.nK`` of the second to the first with the bounds of its 95 % interval. K: 1 and 3. The fit is exact in
    shape, cameras, light and mean colour; the truth is shifted by the median difference at visible texels."""
    names = [f"albedo.{what}.n{count}" for count in (1, PHOTOS) for what in ("rules", "network", "ratio")]
    model = trained_or_none(GraphAlbedoModel.load, folder)
    if model is None:
        return dict.fromkeys(names, "not trained")
    if people < 2:
        raise LikenessError("usage", "--skins must be at least 2.", "Use 48.")
    source = head_people(_PICTURE, SEED, PHOTOS)
    template, size = load_template(), model.size
    atlas, skin = texture_space(template, size).skin, bare_skin(size) > 0.5
    rows: dict[int, list[list[float]]] = {1: [], PHOTOS: []}
    for index in range(people):
        batch = source.batch(range(index, index + 1), torch.device("cpu"))
        colour, true = true_albedo(source, index, 64).mean(0), true_albedo(source, index, size)
        for count, errors in rows.items():
            result = known_texture(batch, count, colour, _TEXTURE)
            better = with_learned_completion(template, result.albedo, result.coverage, model)
            made, cover = small_maps(linear_from_srgb(result.albedo), result.coverage, atlas)
            found, _ = small_maps(linear_from_srgb(better), result.coverage, atlas)
            truth = moved_truth(true, made, cover, atlas)
            unseen = skin & (cover < UNSEEN)
            errors.append([float(np.abs(one - truth)[unseen].mean()) for one in (found, made)])
    figures: dict[str, float | str] = {}
    for count, errors in rows.items():
        network, rules = np.array(errors).T
        figures |= {f"albedo.rules.n{count}": float(rules.mean()), f"albedo.network.n{count}": float(network.mean())}
        figures |= ratio_interval(network, rules).figures(f"albedo.ratio.n{count}")
    return figures
