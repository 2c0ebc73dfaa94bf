"""Compose all frequency bands and the inpainted skin into one log albedo."""

from __future__ import annotations

import numpy as np

from backend.parallel import each
from backend.texture.blending.frequency_bands import MiddleBand
from backend.texture.finishing.settings import FINISHING
from backend.texture.inpainting.fill import fill_from_mirror, fill_gaps, pore_deviation, pore_noise
from backend.texture.inpainting.skin import InpaintedSkin, inpainted_texels
from backend.texture.unwrapping.atlas import SurfaceAtlas, pieces
from backend.texture.unwrapping.head_surface import HeadSurface
from backend.texture.unwrapping.uv_filters import channel_mean, enlarged


def compose_skin(
    surface: HeadSurface,
    working: SurfaceAtlas,
    atlas: SurfaceAtlas,
    middle: MiddleBand,
    fine: np.ndarray,
    inpainted: InpaintedSkin,
    prior: np.ndarray,
    positions: np.ndarray,
    without_colour: bool,
) -> np.ndarray:
    """Add the bands and fill unseen skin: log albedo (P, 3) at the atlas's texels.

    Parameters
    ----------
    working : the atlas at the working size. prior : (V, 3) log offsets from plain skin.
    positions : (V, 3) neutral, metres.
    without_colour : no photo has colour, so the prior's chroma is used everywhere.
    """
    size = atlas.resolution
    # middle frequencies: mirrored side first, then the prior and its surroundings' offset from it
    mirrored, cover = fill_from_mirror(middle.blended, middle.cover)
    filled = fill_gaps(mirrored, np.clip(cover, 0.0, 1.0), working.image(working.sample(prior)))
    # fine frequencies: mirrored side first, then synthetic pores
    plain = (surface.regions["cheeks"] + surface.regions["forehead"])[:, None]
    skin = working.image(working.sample(plain)[:, 0])
    deviation = pore_deviation(fine, enlarged(((middle.cover > 0.9) & (skin > 0.7)).astype(np.uint8), size) > 0)
    fine, fine_cover = fill_from_mirror(fine, enlarged(middle.cover, size))
    filled, confidence = (enlarged(image, size) for image in (filled, inpainted.confidence))

    def compose(texels: slice) -> np.ndarray:
        part = atlas.part(texels)
        texel_prior = part.sample(prior)
        detail = part.gather(filled)
        where = part.sample(positions)
        pores = pore_noise(where, deviation, seed=17)
        clear = 1.0 - FINISHING.rim_detail * part.sample(inpainted.rim[:, None])
        kept = np.clip(part.gather(fine_cover), 0.0, 1.0)[:, None] * clear
        shown = part.sample(inpainted.log_base) + detail * clear + part.gather(fine) * kept + pores * (1.0 - kept)
        if without_colour:
            shown = shown + (texel_prior - channel_mean(texel_prior)[:, None])
        sure = part.gather(confidence)
        made = inpainted_texels(part, inpainted, sure, texel_prior + pores, where)
        return sure[:, None] * shown + (1.0 - sure[:, None]) * made

    return np.concatenate(each(compose, pieces(len(atlas.texel))))
