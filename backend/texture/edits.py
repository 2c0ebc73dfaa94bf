"""The artist's edits of a texture: a region from one photo or from the other side, less make-up, some light left in."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.spatial import cKDTree

from backend.errors import LikenessError
from backend.geometry.robust_statistics import weighted_median
from backend.geometry.surface_fields import surface_operators
from backend.geometry.vectors import smoothstep
from backend.rendering.rasterize import dilate
from backend.texture.blending import BLENDING, SolvedDetail, fine_band, photos_cover
from backend.texture.delighting import Delit
from backend.texture.skin_prior import SKIN_PRIOR, modes_posterior, skin_prior
from backend.texture.surface import HeadSurface, SurfaceAtlas, masked_lowpass, relative_weight
from backend.texture.unwrap import PhotoInView, plain_skin

SEEDS: Mapping[str, tuple[str, ...]] = {
    "forehead": ("forehead",),
    "eye": ("lids_left", "lids_right", "brows"),
    "nose": ("nose",),
    "mouth": ("lips",),
    "cheek": ("cheeks",),
    "ear": ("ears",),
    "chin": ("chin",),
    "neck": ("neck",),
    "scalp": ("scalp",),
}
"""Region of an edit -> the template's regions in its middle; what is in none belongs to the nearest."""
_RAGGED = 2
"""Texels by which the edge of the chart may differ from its mirror image."""
LEAST_SHOWN = 0.02
"""Share of what is to be painted that a photo must show."""


@dataclass(frozen=True)
class TextureEdits:
    """What an artist asks of a texture.

    Attributes
    ----------
    paints : name of a photo -> (C,) share in [0, 1] of the head's vertices that it alone paints (``painted_by``).
    mirror : regions with a side that are filled from the other side.
    make_up : share in [0, 1] of the make-up that is taken off. delighting : share in [0, 1] of the light.
    """

    paints: Mapping[str, np.ndarray] = field(default_factory=dict)
    mirror: tuple[str, ...] = ()
    make_up: float = 0.0
    delighting: float = 1.0


@dataclass(frozen=True)
class SkinLayers:
    """Composed skin, and what it was composed of, so that it can be composed otherwise.

    Attributes
    ----------
    working, atlas : of the skin, at the working size and at the texture's. detail, delit, views : of the photos, at the
        working size; arrays of single photos as half floats. log_skin : (P, 3) log albedo at ``atlas``.
    positions : (V, 3) neutral, metres. density : texels per metre at the working size.
    """

    surface: HeadSurface
    working: SurfaceAtlas
    atlas: SurfaceAtlas
    detail: SolvedDetail
    delit: Delit
    views: tuple[PhotoInView, ...]
    log_skin: np.ndarray
    positions: np.ndarray
    density: float

    @property
    def full_density(self) -> float:
        """Texels per metre of ``atlas``."""
        return self.density * self.atlas.resolution / self.working.resolution

    @property
    def nbytes(self) -> int:
        """Bytes of the largest arrays."""
        own = self.detail
        return self.log_skin.nbytes + sum(a.nbytes for a in (*own.per_photo, *own.weights, *own.visibility))


def halved(detail: SolvedDetail) -> SolvedDetail:
    """The detail with the arrays of single photos as half floats, for keeping."""
    names = ("per_photo", "weights", "visibility")
    return replace(detail, **{n: tuple(a.astype(np.float16) for a in getattr(detail, n)) for n in names})


def region_shares(surface: HeadSurface, positions: np.ndarray) -> dict[str, np.ndarray]:
    """(C,) float64, 1 on the cage's vertices of each region of ``protocol.options.TEXTURE_REGIONS``, else 0; positions
    (V, 3) neutral. Regions without a side touch and cover the head."""
    cage, count = positions[: surface.count], surface.count
    names = list(SEEDS)
    held = np.stack([np.maximum.reduce([surface.regions[one][:count] for one in SEEDS[name]]) for name in names])
    seeds = [np.flatnonzero((own > 0.5) & (own >= held.max(0))) for own in held]
    of_seed = np.repeat(np.arange(len(names)), [len(own) for own in seeds])
    nearest = of_seed[cKDTree(cage[np.concatenate(seeds)]).query(cage)[1]]
    side = {"left": cage[:, 0] >= 0.0, "right": cage[:, 0] < 0.0}
    shares = {name: nearest == number for number, name in enumerate(names)}
    shares |= {f"{which} {name}": own & here for name, own in list(shares.items()) for which, here in side.items()}
    return {name: own.astype(np.float64) for name, own in (shares | side).items()}


def painted_by(
    surface: HeadSurface, positions: np.ndarray, regions: Mapping[str, tuple[str, ...]], brushes: Mapping[str, bytes]
) -> dict[str, np.ndarray]:
    """Photo -> (C,) share of the vertices that it paints, from names of regions and from brushes: (C,) bytes, 255 is
    all. Raises ``LikenessError`` "usage" for a brush of another head."""
    shares = region_shares(surface, positions)
    found = {name: np.maximum.reduce([shares[one] for one in own]) for name, own in regions.items() if own}
    for name, brush in brushes.items():
        if len(brush) != surface.count:
            raise LikenessError(
                "usage", f"What {name} is to paint was marked on another head.", "Mark it on this head again."
            )
        found[name] = np.maximum(found.get(name, 0.0), np.frombuffer(brush, np.uint8) / 255.0)
    return found


def edited_skin(layers: SkinLayers, edits: TextureEdits) -> np.ndarray:
    """(P, 3) log albedo of the skin with the edits; ``layers.log_skin`` itself without any. Photos that take no part in
    the texture paint nothing (``check_edits`` says so)."""
    skin = layers.log_skin
    if edits == TextureEdits():
        return skin
    shades = _shades(layers) if edits.delighting < 1.0 else ()
    if shades:
        skin = np.concatenate([skin, _full(layers, _mean_shade(layers, shades))], 1)  # both are painted alike
    names = [photo.face.name for photo in layers.views]
    for name in filter(names.__contains__, edits.paints):
        skin = _painted(layers, skin, names.index(name), edits.paints[name], shades)
    if edits.mirror:
        skin = _mirrored(layers, skin, edits.mirror)
    bare = skin[:, :3]
    if edits.make_up > 0.0:
        bare = _without_make_up(layers, bare, edits.make_up)
    return bare + np.float32(1.0 - edits.delighting) * skin[:, 3:] if shades else bare


def check_edits(layers: SkinLayers, edits: TextureEdits) -> None:
    """Raise ``LikenessError`` "usage" for a photo that takes no part in the texture, or shows nothing of what it is to
    paint, and for what no photo paints because it lies in a chart of its own."""
    names = [photo.face.name for photo in layers.views]
    for name, share in edits.paints.items():
        if name not in names:
            raise LikenessError(
                "usage",
                f"{name} takes no part in this head's texture.",
                "Choose another photo, or let it be used for the texture and solve the head again.",
            )
        wanted = _mask(layers, share)
        if not wanted.any():
            raise LikenessError(
                "usage",
                "Photos paint neither the front of the neck nor the inside of the mouth.",
                "Mark skin above them: the front of the neck and the bust take its colours.",
            )
        if (wanted * _skin_visibility(layers, names.index(name))).sum() < LEAST_SHOWN * wanted.sum():
            raise LikenessError("usage", f"{name} does not show what it is to paint.", "Choose a photo that shows it.")


def _skin_visibility(layers: SkinLayers, index: int) -> np.ndarray:
    """(S, S) in [0, 1], how surely a photo shows the skin; no further than its own pixels of it."""
    shown = layers.detail.visibility[index].astype(np.float32)
    chart = layers.working.image(np.ones(len(layers.working.texel), bool))
    hole, fade = BLENDING.hole * layers.density**2, BLENDING.fade * layers.density
    return photos_cover(shown > BLENDING.known, chart, hole, fade) * smoothstep(0.0, BLENDING.known, shown)


def _mask(layers: SkinLayers, share: np.ndarray) -> np.ndarray:
    """(S, S) in [0, 1] of a share (C,) of the cage, with soft edges, at the working size."""
    atlas = layers.working
    chart = atlas.image(np.ones(len(atlas.texel), np.float32))
    own = atlas.image(atlas.sample(layers.surface.lifted(share[:, None])))
    return masked_lowpass(own, chart, 0.5 * BLENDING.fade * layers.density)[0][..., 0]


def _full(layers: SkinLayers, image: np.ndarray) -> np.ndarray:
    """Values of an image (S, S) or (S, S, C) of the working size at the texture's texels."""
    return layers.atlas.gather_small(np.ascontiguousarray(image, np.float32))


def _shades(layers: SkinLayers) -> tuple[np.ndarray, ...]:
    """(V, 3) per photo, log light on its skin beside the light's median there."""
    surface, atlas = layers.surface, layers.working
    plain = plain_skin(surface)[: surface.count]
    shades = []
    for field_, shown in zip(layers.delit.log_fields, layers.detail.visibility, strict=True):
        weight = atlas.gather(shown).astype(np.float32)
        _, seen = surface.at_cage(atlas, weight[:, None], weight)
        shades.append(field_ - weighted_median(field_[: surface.count], seen * plain + 1e-9).astype(np.float32))
    return tuple(shades)


def _mean_shade(layers: SkinLayers, shades: tuple[np.ndarray, ...]) -> np.ndarray:
    """(S, S, 3) of the photos' shades by their weights, smooth between photos; fades where none shows the skin."""
    total = sum(own.astype(np.float32) for own in layers.detail.weights)
    both = sum(
        own.astype(np.float32)[..., None] * layers.working.image(layers.working.sample(shade))
        for own, shade in zip(layers.detail.weights, shades, strict=True)
    )
    mean, support = masked_lowpass(
        both / np.maximum(total, 1e-3)[..., None], total, BLENDING.skin_length * layers.density
    )
    return mean * smoothstep(0.0, 0.5, support)[..., None]


def _painted(
    layers: SkinLayers, skin: np.ndarray, index: int, share: np.ndarray, shades: tuple[np.ndarray, ...]
) -> np.ndarray:
    """The skin (P, C) with the share (C,) of the cage's vertices as one photo alone shows it."""
    detail, mask = layers.detail, _mask(layers, share) * _skin_visibility(layers, index)
    own = detail.per_photo[index].astype(np.float32)
    alone = replace(detail, per_photo=(own,), weights=((mask > 0).astype(np.float32),))
    delit = replace(layers.delit, log_fields=(layers.delit.log_fields[index],))
    fine = fine_band(layers.atlas, [layers.views[index]], alone, delit, layers.full_density)
    seen = layers.atlas.sample(layers.delit.log_base) + _full(layers, own) + fine
    if shades:
        seen = np.concatenate([seen, layers.atlas.sample(shades[index])], 1)
    return skin + _full(layers, mask)[:, None] * (seen - skin)


def _mirrored(layers: SkinLayers, skin: np.ndarray, regions: tuple[str, ...]) -> np.ndarray:
    """The skin (P, C) with regions filled from the other side; the chart is its own mirror image."""
    shares = region_shares(layers.surface, layers.positions)
    mask = _full(layers, _mask(layers, np.maximum.reduce([shares[region] for region in regions])))
    image = layers.atlas.image(skin)
    chart = layers.atlas.image(np.ones(len(skin), bool))
    other = layers.atlas.gather(dilate(image, chart, _RAGGED)[:, ::-1])
    return skin + mask[:, None] * (other - skin)


def _without_make_up(layers: SkinLayers, skin: np.ndarray, strength: float) -> np.ndarray:
    """The skin (P, 3) with lids, lips and cheeks drawn to those that the prior gives a person with the other skin."""
    surface, count, prior = layers.surface, layers.surface.count, skin_prior()
    regions = {name: own[:count] for name, own in surface.regions.items()}
    features = np.maximum.reduce([regions["lips"], regions["lids_left"], regions["lids_right"]])
    made_up = np.maximum(features, regions["cheeks"])
    values, total = surface.at_cage(layers.atlas, skin, np.ones(len(skin), np.float32))
    cage = layers.positions[:count].astype(np.float64)
    mass = surface_operators(cage, surface.cage_triangles).mass
    evidence = relative_weight(total) * plain_skin(surface)[:count] * (1.0 - made_up)
    counts = evidence * mass / SKIN_PRIOR.light_extent**2
    bare, _ = modes_posterior(prior, values[None], counts[None], np.zeros((1, count, 0, 3)))
    shares = np.stack([features * (1.0 - regions["brows"]), regions["cheeks"]], 1)
    feature, cheek = np.moveaxis(layers.working.image(layers.working.sample(surface.lifted(shares))), 2, 0)
    size = (layers.working.resolution,) * 2
    image = layers.atlas.image(np.concatenate([skin, np.ones((len(skin), 1), np.float32)], 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    image, chart = small[..., :3] / np.maximum(small[..., 3:], 1e-3), small[..., 3]
    made, result = layers.atlas.sample(surface.lifted(bare)), skin
    for mask, length in ((cheek * (1.0 - feature), SKIN_PRIOR.personal_length), (feature, BLENDING.middle_width)):
        low, _ = masked_lowpass(image, chart, length * layers.density)
        soft = cv2.GaussianBlur(mask, (0, 0), 0.25 * BLENDING.feature_width * layers.density)
        result = result + np.float32(strength) * _full(layers, soft)[:, None] * (made - _full(layers, low))
    return result
