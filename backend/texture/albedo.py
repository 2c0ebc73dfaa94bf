"""Build the delit albedo texture (UV map ``Head``) of a fitted face from its photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from backend.fitting.stages import FittedFace
from backend.geometry.surface_fields import surface_operators
from backend.geometry.template import Template, load_template
from backend.geometry.vectors import vertex_normals
from backend.hair.hair_strands import HairStrands
from backend.models.graph_face import GraphAlbedoModel, skin_correction
from backend.photos.collection import PhotoFace
from backend.progress import ProgressReporter, silent
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rig.measure import eye_sphere, face_loops
from backend.system.parallel import in_thread
from backend.system.processes import release_freed_memory
from backend.texture.blending import fine_band, observe_detail, solve_detail
from backend.texture.delighting import estimate_tone, openness, remove_light
from backend.texture.edits import SkinLayers, TextureEdits, edited_skin, halved
from backend.texture.eyes import EyeColours, LidEdges, eye_picture, find_eyes
from backend.texture.finishing import compose_skin, finish_skin, paint_parts
from backend.texture.parts import Scalp, beside_hair, hidden_brows, scalp_below, with_mean_brows
from backend.texture.surface import SurfaceAtlas, TextureSpace, enlarged, head_surface, texels_per_metre, texture_space
from backend.texture.unwrap import DARKEST, ChosenPhoto, TexturePhoto, chosen_views, plain_skin, prepare_photos

WORKING_SIZE = 1024
_STAGE = "texture"


@dataclass(frozen=True)
class AlbedoResult:
    """The finished texture.

    Attributes
    ----------
    albedo : (R, R, 3) uint8 sRGB, row 0 is the top (v = 1) of UV map ``Head``. Complete: all parts, no holes, gutters
        filled.
    coverage : (R, R) float32 in [0, 1]: 1 where photos show the skin, 0 where it was inpainted.
    iris : (3,) linear-light colour of the irises.
    eyes : (S, 2 S, 3) uint8 sRGB image of both eyes for UV map ``Eye``.
    layers : what ``finish_albedo`` makes an edited albedo of.
    """

    albedo: np.ndarray
    coverage: np.ndarray
    iris: np.ndarray
    eyes: np.ndarray
    layers: TextureLayers


@dataclass(frozen=True)
class TextureLayers:
    """A texture before its last steps, which edits do not change: the skin's layers, and what is painted on them.

    Attributes
    ----------
    opening : (V,) of ``openness``. eyes, coverage : of ``AlbedoResult``. completion : as of ``build_albedo``.
    """

    template: Template
    fitted: FittedFace
    space: TextureSpace
    skin: SkinLayers
    scalp: Scalp
    opening: np.ndarray
    eyes: np.ndarray
    coverage: np.ndarray
    completion: GraphAlbedoModel | None


@dataclass(frozen=True)
class UnwrappedPhotos:
    """The photos on the surface at the working size, most trusted first.

    Attributes
    ----------
    opening : (V,) of ``openness``, lifted. density : texels per metre. photos : taken out by ``build_albedo``, so that
        their 200 MB are free as soon as it needs them no more.
    """

    space: TextureSpace
    opening: np.ndarray
    density: float
    photos: list[TexturePhoto]


def unwrap_photos(
    template: Template, fitted: FittedFace, chosen: Sequence[ChosenPhoto], resolution: int
) -> UnwrappedPhotos:
    """Project the photos of ``chosen_views`` onto the surface: what a texture needs that does not depend on the hair.

    Raises ``ValueError`` as ``build_albedo`` does.
    """
    if resolution < 256:
        raise ValueError(f"resolution must be at least 256, not {resolution}")
    surface = head_surface(template)
    size = min(WORKING_SIZE, resolution)
    space = texture_space(template, size)
    cage = fitted.neutral[: surface.count].astype(np.float64)
    opening = surface.lifted(openness(cage, surface.cage_triangles, vertex_normals(cage, surface.cage_triangles)))
    density = texels_per_metre(surface, surface.lifted(cage), size)
    photos = prepare_photos(surface, space, fitted, chosen, density)
    return UnwrappedPhotos(space, opening, density, photos)


def build_albedo(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    resolution: int,
    strands: HairStrands | None = None,
    progress: ProgressReporter = silent,
    completion: GraphAlbedoModel | None = None,
    unwrapped: UnwrappedPhotos | None = None,
    edits: TextureEdits | None = None,
) -> AlbedoResult:
    """Build the albedo texture of a fitted face.

    Parameters
    ----------
    template : the face's template. fitted : the fit. faces : the photos used by the fit, matched by name.
    resolution : edge of the texture in texels, at least 256.
    strands : the hair. It is not painted: the scalp below it is bare skin, darkened by the hair roots.
    progress : receives stage "texture". completion : network that corrects unseen skin; None: rules only.
    unwrapped : of ``unwrap_photos`` with the same arguments; None: made here. edits : the artist's.

    Raises
    ------
    ValueError : the resolution is too small, or a fitted photo has no face.
    LikenessError : as ``edited_skin``.
    errors.Cancelled : ``progress`` raised it.
    """
    progress(_STAGE, 0.0)
    surface = head_surface(template)
    unwrapped = unwrapped or unwrap_photos(template, fitted, chosen_views(surface, fitted, faces), resolution)
    working_space, opening, density = unwrapped.space, unwrapped.opening, unwrapped.density
    working_size = working_space.skin.resolution
    photos, unwrapped.photos[:] = list(unwrapped.photos), []
    cage = fitted.neutral[: surface.count].astype(np.float64)
    positions = surface.lifted(cage)  # (V, 3)
    scalp = scalp_below(strands, positions)
    progress(_STAGE, 0.1)
    samples = [photo.samples for photo in photos]

    tone = estimate_tone(samples, fitted.vertex_albedo, plain_skin(surface)[: surface.count])
    operators = surface_operators(cage, surface.cage_triangles)
    grows = working_space.skin.sample(scalp.grows[:, None])[:, 0]
    photos = [beside_hair(photo, grows) for photo in photos]
    delit = remove_light(surface, working_space.skin, photos, operators, tone, positions)
    progress(_STAGE, 0.45)
    views = [photo.in_view for photo in photos]
    observed = observe_detail(surface, working_space.skin, photos, delit, density)
    del photos  # frees about 200 MB of texels
    detail = solve_detail(surface, working_space.skin, observed, delit, positions, density)
    del observed
    progress(_STAGE, 0.55)

    eyes = find_eyes(views, tone)
    painted = in_thread(lambda: _eye_picture(template, fitted, eyes))
    give_back = release_freed_memory if resolution > 2 * WORKING_SIZE else lambda: None
    give_back()  # 0.3 GB between what is alive, too small for the arrays to come
    space = texture_space(template, resolution)
    full_density = density * resolution / working_size
    fine = fine_band(space.skin, views, detail, delit, full_density)
    give_back()
    progress(_STAGE, 0.75)
    log_skin = compose_skin(space.skin, detail, fine, delit.log_base, positions)
    marks = template.landmarks478.positions(fitted.neutral)
    where = working_space.skin.sample(positions)
    hidden = hidden_brows(working_space.skin, detail.visibility, where, marks, density)
    log_skin = with_mean_brows(log_skin, space.skin.gather_small(hidden), scalp.log_color)
    progress(_STAGE, 0.85)

    seen = cv2.resize(detail.cover, (resolution, resolution), interpolation=cv2.INTER_LINEAR)
    composed = (halved(detail), delit, tuple(views), log_skin, positions, density)
    del detail, fine  # frees about 100 MB, 300 at 4 k
    layers = SkinLayers(surface, working_space.skin, space.skin, *composed)
    whole = TextureLayers(template, fitted, space, layers, scalp, opening, painted(), seen, completion)
    give_back()
    albedo = finish_albedo(whole, edits or TextureEdits())
    progress(_STAGE, 1.0)
    return AlbedoResult(albedo, seen, eyes.iris, whole.eyes, whole)


def finish_albedo(layers: TextureLayers, edits: TextureEdits) -> np.ndarray:
    """(R, R, 3) uint8 sRGB albedo of the layers with an artist's edits. Raises as ``edited_skin`` does."""
    template, fitted, space, own = layers.template, layers.fitted, layers.space, layers.skin
    surface, positions, log_base, resolution = own.surface, own.positions, own.delit.log_base, own.atlas.resolution
    log_skin = edited_skin(own, edits)

    def finished(texels: np.ndarray | slice) -> np.ndarray:
        part = space.skin.part(texels)
        painted = (log_skin[texels], log_base, layers.opening, layers.coverage, layers.scalp)
        return finish_skin(surface, part, *painted)

    albedo = np.zeros((resolution, resolution, 3), np.uint8)
    paint_parts(albedo, finished, template, surface, space, fitted, log_base, positions, layers.eyes)
    albedo = albedo.reshape(-1, 3)[space.gutter].reshape(resolution, resolution, 3)
    if layers.completion is not None:
        albedo = with_learned_completion(template, albedo, layers.coverage, layers.completion)
    return albedo


def _eye_picture(template: Template, fitted: FittedFace, colours: EyeColours) -> np.ndarray:
    """Paint the image of both eyes for UV map ``Eye``."""
    radii, lids = [], []
    for eye, loops in enumerate(face_loops(template).eyes):
        centre, radius = eye_sphere(template, fitted.neutral, eye)
        edge = fitted.neutral[loops.rows[loops.margin]] - centre
        radii.append(radius)
        lids.append(LidEdges(edge[np.r_[loops.inner, loops.upper, loops.outer]], edge[loops.lower]))
    return eye_picture(colours, (radii[0], radii[1]), (lids[0], lids[1]))


_SKIN = ("face", "ears", "neck")
_NO_SKIN = ("scalp", "mouth_interior", "eye_sockets")


def with_learned_completion(
    template: Template, albedo: np.ndarray, coverage: np.ndarray, model: GraphAlbedoModel
) -> np.ndarray:
    """(R, R, 3) uint8 sRGB texture ``albedo`` in UV map ``Head``, corrected where ``coverage`` (R, R) in [0, 1] is low.

    Seen skin, scalp, eyes and mouth interior stay unchanged.
    """
    size, resolution = model.size, len(albedo)
    step = max(resolution // size, 1) * 16 if resolution % size == 0 else resolution  # rows at a time
    bands = [slice(first, min(first + step, resolution)) for first in range(0, resolution, step)]
    heights = [size * (rows.stop - rows.start) // resolution for rows in bands]
    small = [_area(linear_from_srgb(albedo[rows]), size, high) for rows, high in zip(bands, heights, strict=True)]
    made, cover = small_maps(np.concatenate(small), coverage, texture_space(template, size).skin)
    correction, corrected = skin_correction(made, cover, bare_skin(size), model), albedo.copy()
    for rows in bands:
        wide = enlarged(correction, resolution, rows.start, rows.stop)
        texels = srgb_bytes(linear_from_srgb(albedo[rows]) * np.exp(wide))
        np.copyto(corrected[rows], texels, where=(np.abs(wide) > 1e-3).any(-1, keepdims=True))
    return corrected


def _area(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def small_maps(linear: np.ndarray, coverage: np.ndarray, atlas: SurfaceAtlas) -> tuple[np.ndarray, np.ndarray]:
    """Downsample a linear texture (R, R, 3) and its coverage (R, R) to an atlas's size: log albedo (S, S, 3) and cover
    (S, S), both zero outside the head's large chart."""
    size = atlas.resolution
    small, cover = (_area(image, size, size) for image in (linear, coverage))
    logs = np.log(np.maximum(small, DARKEST)).astype(np.float32)
    inside = atlas.image(np.ones(len(atlas.texel), bool))
    return logs * inside[..., None], np.where(inside, cover, 0.0).astype(np.float32)


@lru_cache(maxsize=4)
def bare_skin(size: int) -> np.ndarray:
    """(S, S) float32 mask in [0, 1] of face, ear and neck skin in the head's large chart, fading towards its border, so
    that both sides of the seam match."""
    surface, atlas = head_surface(load_template()), texture_space(load_template(), size).skin
    regions = atlas.sample(np.stack([surface.regions[name] for name in _SKIN + _NO_SKIN], 1))
    skin = regions[:, : len(_SKIN)].max(1) * (1.0 - regions[:, len(_SKIN) :].max(1))
    inside = np.pad(atlas.image(np.ones(len(atlas.texel), np.uint8)), 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1] / (0.02 * size)
    return (np.clip(distance - 0.5, 0.0, 1.0) * atlas.image(skin)).astype(np.float32)
