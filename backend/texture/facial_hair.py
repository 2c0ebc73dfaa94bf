"""Beard and moustache as guide strands, from the photos' labels and the finished texture; the skin below them.

Roots stand where photos label facial hair. Strands follow the way in which beards grow: outwards over the mouth, down
over cheeks and chin. How far the chin's hang is measured in the photos, below the chin's outline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import Template
from backend.geometry.vectors import smoothstep, unit_vectors, vertex_normals
from backend.hair.colours import UNKNOWN, WHITE
from backend.hair.fit_hair import AS_SKIN, beside_skin, from_skin, lab_beside_skin
from backend.hair.groom.choose import READER_ERRS
from backend.hair.groom.grow import GroomHead
from backend.hair.hair_strands import FACIAL_GUIDES, MOST_GUIDES, SPACING, HairStrands, apart, lock_width, resampled_to
from backend.models.hair_kind import HairKind
from backend.photos.collection import CONTRADICTED_LABEL, FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.interpolate import sample_image
from backend.system.parallel import parallel_threads
from backend.texture.surface import HeadSurface, SurfaceAtlas, head_surface, texture_space
from backend.texture.unwrap import beard_region, plain_skin, sample_labels, view_surface

RADIUS = 6e-5
"""Metres, of a hair at its root: hairs of beards are 0.12 mm thick."""
SIZE = 512
"""Texels of map ``Head``, at each of which a root may stand: one in 0.8 mm."""
REACH = 0.03
"""Metres up to which skin that no photo shows, below the jaw, is as bearded as the nearest that one does."""
LEAST_SHARE = 0.35
"""Share of the photos that label a place as facial hair, from which on roots stand there."""
LEAST_AREA = 5e-4
"""Square metres by the roots' number: a thick moustache has 7 cm²; fewer are painted, or a shaver's slip."""
HAND = 6.6
"""CIELAB units to the skin (``from_skin``) below which what is labelled as facial hair is a hand: a hand 4, beards
8 and more, a moustache that the flash has bleached 6 (23 photos of eight people)."""
STUBBLE = 0.5
"""Share of a full beard's hairs, relative to the skin that they cover, below which photos show stubble."""
BORDER = 0.01
"""Metres from a beard's border over which hairs get dense and long."""
LENGTHS = (0.5, 0.006, 0.02), (0.5, 0.006, 0.011), (1.0, 0.005, 0.09)
"""Length of strands on cheeks, lip and chin: share of what the chin's hang, and its least and its most, metres."""
NOSTRILS = (0.75, 0.6)
"""Height between the lips' middle and the tip of the nose, from which on and below which the upper lip is no nose."""
NEAR, VARIES = 100, 0.5
"""Texels around a root that give its tone, 0.6 cm² of skin; share of the tone's variation that is not shadow."""
COVERED, DARKEST = 0.75, 0.5
"""Share of a labelled beard, with which five beards' greys are grey, that hairs cover; least albedo of hairs relative
to the head's, or to what photos show."""
SURE = 0.15
"""Deviation of a channel's ratio of beard to skin over that of the share of skin in a labelled beard."""
SHADE = 0.5
"""Share of the hairs' log contrast to skin that skin has below them."""
ABOVE = 0.0008
"""Metres: least distance of strands from the skin, more than its relief is deep (0.5 mm), and too small to see."""
RISE = 0.45
"""Tangent of the angle at which a strand leaves the skin."""
FALL = 18.0
"""Per metre: how fast a strand turns down."""


@dataclass(frozen=True)
class FacialHair:
    """``strands`` : guides of beard and moustache, None where there are none; ``reason`` : why. ``below`` : (S, S, 4)
    float32 of map ``Head``, log albedo of the skin below them times how far it shows, and that."""

    strands: HairStrands | None
    reason: str = ""
    below: np.ndarray | None = None

    def uncovered(self, albedo: np.ndarray) -> np.ndarray:
        """The texture (R, R, 3) uint8 sRGB with skin where strands stand for what is painted."""
        if self.below is None:
            return albedo
        below = cv2.resize(self.below, albedo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        there, result = below[..., 3] > 0.0, albedo.copy()
        logs = np.log(np.maximum(linear_from_srgb(albedo[there]), 1e-3)) * (1.0 - below[there, 3:])
        result[there] = srgb_bytes(np.exp(logs + below[there, :3]))
        return result

    def to_report(self) -> Mapping[str, object]:
        """For ``report.json``."""
        return {"guides": 0 if self.strands is None else len(self.strands.points), "reason": self.reason}


def without_false_beards(fitted: FittedFace, faces: Sequence[PhotoFace]) -> tuple[PhotoFace, ...]:
    """The faces with connected parts that are labelled as facial hair, but are hands by their colour, labelled
    ``CONTRADICTED_LABEL``; in all photos, in shade or not, where those together have the skin's colour."""
    shown = [own for face in faces if (own := _apart(face, face.labels == FaceClass.FACIAL_HAIR)) is not None]
    nearer_skin = 0.5 * float(np.median(shown)) if len(shown) > 1 else HAND
    hands = [_hands(face, min(HAND, nearer_skin)) for face in faces]
    if any(hand.any() for hand in hands) and from_skin(*beside_skin(fitted, faces, FaceClass.FACIAL_HAIR)) < AS_SKIN:
        hands = [face.labels == FaceClass.FACIAL_HAIR for face in faces]
    return tuple(
        replace(face, labels=np.where(hand, np.uint8(CONTRADICTED_LABEL), face.labels)) if hand.any() else face
        for face, hand in zip(faces, hands, strict=True)
    )


def _hands(face: PhotoFace, most: float) -> np.ndarray:
    """(H, W) bool parts of a photo's facial hair that differ from its skin by less than ``most``, CIELAB."""
    bearded = face.labels == FaceClass.FACIAL_HAIR
    count, part = cv2.connectedComponents(bearded.astype(np.uint8))
    apart = ((own := _apart(face, part == n)) is not None and own < most for n in range(1, count))
    return np.array([False, *apart])[part]


def _apart(face: PhotoFace, where: np.ndarray) -> float | None:
    """CIELAB units by which what a photo shows ``where`` (H, W) differs from its skin; None without both in colour."""
    lab = lab_beside_skin(face) if where.any() else None
    if lab is None:
        return None
    light, *hue = np.median(lab[where], 0)
    return float(from_skin(np.hypot(*hue), light))


def grow_facial_hair(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    albedo: np.ndarray,
    hair: HairStrands | None = None,
    kind: HairKind | None = None,
) -> FacialHair:
    """Beard and moustache of a fitted face.

    Parameters
    ----------
    faces : (P,) in the order of ``fitted.photos``. albedo : (R, R, 3) uint8 sRGB of map ``Head``. hair : the
        head's, whose hue a beard has; None where it has none. kind : what the photos show, None if nothing read it.
    """
    if not any((face.labels == FaceClass.FACIAL_HAIR).any() for face in faces):
        return FacialHair(None, "The photos show no beard or moustache.")
    read = 0.5 if kind is None else kind.probability("beard", "any")
    as_skin = from_skin(*beside_skin(fitted, faces, FaceClass.FACIAL_HAIR)) < AS_SKIN  # or a white beard
    if read < 0.5 or (as_skin and read < 1.0 - READER_ERRS):
        return FacialHair(None, "What is labelled as a beard is probably none: a hand, a collar, or a chin in shade.")
    surface, atlas = head_surface(template), texture_space(template, SIZE).skin
    cage = fitted.neutral[: surface.count].astype(np.float64)
    normals = vertex_normals(cage, surface.cage_triangles)
    area = _beard_area(surface, cage, normals)[:, None]
    fields = atlas.sample(surface.lifted(np.concatenate([cage, normals, area], axis=1))).astype(np.float64)
    where, normal = fields[:, :3], unit_vectors(fields[:, 3:6])
    views = [_view(surface, atlas, face, photo) for face, photo in zip(faces, fitted.photos, strict=True)]
    bearded = _share(where, fields[:, 6], views)
    row, column = np.divmod(atlas.texel, SIZE)
    uv = np.stack([(column + 0.5) / SIZE, 1.0 - (row + 0.5) / SIZE], 1)
    pixel = (np.stack([1.0 - uv[:, 1], uv[:, 0]]) * len(albedo)).astype(int)
    logs = np.log(np.maximum(linear_from_srgb(albedo[tuple(pixel)]), 1e-3))  # (P, 3)
    plain, lips = atlas.sample(np.stack([plain_skin(surface) * surface.regions["face"], surface.regions["lips"]], 1)).T
    bare = plain * (bearded < 0.1) > 0.5
    skin = np.median(logs[bare], axis=0)

    beard = bearded > LEAST_SHARE
    roots = np.flatnonzero(beard)[apart(where[beard], SPACING)]
    if len(roots) * np.pi * (0.5 * SPACING) ** 2 < LEAST_AREA:
        return FacialHair(None, "The photos show no beard or moustache.")
    inside = _away(where, ~beard & (lips < 0.5)) - _away(where, beard, 3.0 * BORDER)  # lips are narrower
    full = smoothstep(0.0, min(BORDER, inside.max()), inside)
    known, relative = _ratios(views)
    pigment = (UNKNOWN if hair is None else np.median(hair.root_colour, axis=0)) / np.exp(skin)
    hairs, dense = _hairs(relative, where[known], where[roots], pigment, WHITE / np.exp(skin))
    if np.median(dense) < STUBBLE:
        return FacialHair(None, "The beard is stubble: the texture shows it.")
    tone, bushy = np.zeros(len(where)), full > 0.0
    tone[bushy] = SHADE * full[bushy] * np.log(hairs.mean(1))[cKDTree(where[roots]).query(where[bushy])[1]]
    random = np.random.default_rng(0)
    chins = [_hangs(surface, face, photo) for face, photo in zip(faces, fitted.photos, strict=True)]
    hangs = float(np.nanmedian(chins)) if np.isfinite(chins).any() else 0.0
    low = _jaw_too_low(template, surface, cage)
    points = _strands(surface, cage, where[roots], normal[roots], full[roots], hangs, low, random)
    loose = points[:, 1:].reshape(-1, 3)
    points[:, 1:] = GroomHead(template, fitted.neutral).pushed_out(loose, ABOVE)[0].reshape(points[:, 1:].shape)
    shows = smoothstep(-BORDER, 0.0, inside) * fields[:, 6] * (1.0 - lips)
    target = _below(where, logs, np.flatnonzero(bare & (inside < -BORDER))[::10], tone, shows)
    target = cv2.GaussianBlur(atlas.image(target), (0, 0), 4) * (1.0 - atlas.image(lips)[..., None])
    guides = _guides(points, uv[roots], np.exp(skin) * hairs, dense * (0.25 + 0.75 * full[roots]))
    return FacialHair(guides, "", target)


def _away(where: np.ndarray, those: np.ndarray, most: float = np.inf) -> np.ndarray:
    """(P,) metres from places (P, 3) to the nearest of ``those`` (P,) bool; inf beyond ``most``."""
    away = np.zeros(len(where))
    away[~those] = cKDTree(where[those]).query(where[~those], distance_upper_bound=most)[0]
    return away


def _guides(points: np.ndarray, uv: np.ndarray, colour: np.ndarray, share: np.ndarray) -> HairStrands:
    """Strands (G, P, 3) with roots (G, 2) of map ``Head``, of an albedo (G, 3) and a share (G,) of a full beard."""
    arrays = (values.astype(np.float32) for values in (points, uv, lock_width(points) * np.sqrt(share)))
    colour, number = np.float32(colour).clip(0.005, 0.9), {FACIAL_GUIDES: float(len(points))}
    return HairStrands(*arrays, colour, np.minimum(1.15 * colour, 1.0), RADIUS, "auto", number)


def _below(where: np.ndarray, logs: np.ndarray, bare: np.ndarray, tone: np.ndarray, shows: np.ndarray) -> np.ndarray:
    """(P, 4) float32 of ``FacialHair.below`` from log albedo ``logs`` (P, 3) at places (P, 3), of which ``bare`` (B,)
    are skin. tone : (P,) log units. shows : (P,) in [0, 1]."""
    target, below = np.zeros((len(where), 4), np.float32), np.flatnonzero(shows > 0.0)
    near = cKDTree(where[bare]).query(where[below], k=min(100, len(bare)))[1].reshape(len(below), -1)
    local = logs[bare][near].mean(1) + tone[below, None]
    target[below] = np.column_stack([local, np.ones(len(below))]) * shows[below, None]
    return target


_KNOWN = (FaceClass.FACIAL_HAIR, FaceClass.SKIN, FaceClass.LIPS)
"""Labels of a place where a beard may grow that say whether it does."""


def joined(hair: HairStrands | None, facial: HairStrands | None) -> HairStrands | None:
    """The hair of scalp and face as one; facial guides come last, get as many points as the scalp's, and grow without
    a scalp of their own (``HairStrands.free``). They are ``MOST_GUIDES`` at most."""
    if hair is None or facial is None:
        return facial if hair is None else hair
    count, room = hair.points.shape[1], MOST_GUIDES - len(hair.points)
    facial = replace(facial, points=resampled_to(facial.points, count).astype(np.float32))
    names = ("points", "root_uv", "width", "root_colour", "tip_colour")
    both = {name: np.concatenate([getattr(hair, name), getattr(facial, name)[:room]]) for name in names}
    added = len(both["points"]) - len(hair.points)
    free = None if hair.free is None else np.append(hair.free, np.ones(added, hair.free.dtype))
    return replace(hair, **both, free=free, parameters={**hair.parameters, FACIAL_GUIDES: float(added)})


@dataclass(frozen=True)
class _View:
    """A photo at an atlas's P texels. ``labels`` : (P,). ``shown`` : (P,) in [0, 1], how well the photo shows them.
    ``inner`` : (P,) how well it shows a beard, off its border. ``logs`` : (P, 3) log albedo by the photo's light."""

    labels: np.ndarray
    shown: np.ndarray
    inner: np.ndarray
    logs: np.ndarray


def _view(surface: HeadSurface, atlas: SurfaceAtlas, face: PhotoFace, photo: FittedPhoto) -> _View:
    posed = photo.vertices[: surface.count].astype(np.float64)
    view = view_surface(posed, surface.cage_triangles, photo.camera)
    shading = sh.shade(vertex_normals(posed, surface.cage_triangles), photo.light)
    seen = atlas.sample(surface.lifted(np.column_stack([view.pixels, view.visible, view.cosine, shading])))
    light = sample_image(linear_from_srgb(face.pixels), seen[:, :2])
    shown, facing = np.clip(seen[:, 2:4], 0.0, 1.0).T
    dim = 0.5 * np.median(seen[shown > 0.5, 4:], axis=0) if (shown > 0.5).any() else 0.05  # below a chin light bounces
    logs = np.log(np.maximum(light, 1e-3)) - np.log(np.maximum(seen[:, 4:], dim))
    hair = np.float32(face.labels == FaceClass.FACIAL_HAIR)
    hair = cv2.erode(hair, np.ones((3, 3)), iterations=2) + 1e-3 * hair
    inner = sample_image(hair[..., None], seen[:, :2])[:, 0] * shown * facing**2
    return _View(sample_labels(face.labels, seen[:, :2]), shown, inner, logs)


def _ratios(views: Sequence[_View]) -> tuple[np.ndarray, np.ndarray]:
    """(K,) texels that photos show as a beard, and (K, 3) log ratio of their albedo to that of bare
    skin, the mean of the photos', each to its own skin."""
    total, weight = np.zeros_like(views[0].logs), np.zeros(len(views[0].logs))
    for view in views:
        bare = view.shown * (view.labels == FaceClass.SKIN) > 0.5
        if bare.any():
            total += view.inner[:, None] * (view.logs - np.median(view.logs[bare], axis=0))
            weight += view.inner
    known = np.flatnonzero(weight > min(0.3, 0.5 * weight.max()))
    return known, total[known] / weight[known, None]


def _hairs(
    ratios: np.ndarray, places: np.ndarray, roots: np.ndarray, pigment: np.ndarray, white: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(G, 3) albedo of hairs at ``roots`` (G, 3) relative to bare skin, and (G,) how much they cover, relative to
    a full beard: what the log ``ratios`` (K, 3) at ``places`` (K, 3) mix of skin, of the head's hair ``pigment`` (3,)
    and of hairs that are ``white`` (3,)."""
    near = cKDTree(places).query(roots, k=min(NEAR, len(places)))[1].reshape(len(roots), -1)
    usual, local = np.median(ratios, axis=0), np.median(ratios[near], axis=1)
    mixed, grey = np.exp(usual + VARIES * (local - usual)), np.stack([pigment, white])
    system = np.column_stack([np.vstack([grey.T, np.zeros(2)]), np.append(np.ones(3), SURE)])
    parts = np.array([nnls(system, np.append(one, SURE * (1.0 - COVERED)))[0] for one in mixed])
    covered = np.maximum(1.0 - parts[:, 2], 1.0 - COVERED)
    hairs = parts[:, :2] @ grey / np.maximum(covered, parts[:, :2].sum(1))[:, None]
    darkest = DARKEST * pigment * np.minimum(mixed.mean(1, keepdims=True) / pigment.mean(), 1.0)
    return np.maximum(hairs, darkest), np.minimum(covered / COVERED, 1.0)


def _beard_area(surface: HeadSurface, cage: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(C,) in [0, 1] on the cage (C, 3) where a beard may grow: the lower face, sideburns, and the neck below the
    jaw, but not its sides and its back."""
    names = ("lids_left", "face", "neck", "ears", "nose", "lips", "mouth_interior")
    regions = {name: surface.regions[name][: surface.count] for name in names}
    eyes = float(np.median(cage[regions["lids_left"] > 0.5, 1]))
    mouth, tip = (np.median(cage[regions["lips"] > 0.5, 1]), cage[(regions["nose"] * cage[:, 2]).argmax(), 1])
    lip = smoothstep(*NOSTRILS, (cage[:, 1] - mouth) / (tip - mouth)) * regions["nose"]  # the nose's region has it, too
    lip = lip * (1.0 - np.maximum(regions["lips"], regions["mouth_interior"]))
    forwards = normals @ (0.0, -0.6, 0.8)  # as skin below the jaw faces that may be bearded
    throat = 1.0 - regions["neck"] * (1.0 - smoothstep(0.1, 0.4, forwards))
    below = np.maximum(beard_region(surface, cage), lip) * throat
    sides = smoothstep(0.045, 0.055, np.abs(cage[:, 0])) * smoothstep(eyes + 0.02, eyes, cage[:, 1])
    return np.maximum(below, sides * regions["face"] * (1.0 - regions["ears"]))


def _share(where: np.ndarray, place: np.ndarray, views: Sequence[_View]) -> np.ndarray:
    """(P,) share of the photos that label a place (P, 3) as a beard, within the region ``place`` (P,)."""
    votes = sum(view.shown * (view.labels == FaceClass.FACIAL_HAIR) for view in views)
    known = sum(view.shown * np.isin(view.labels, _KNOWN) for view in views)
    share = votes / np.maximum(known, 1e-6)
    if not (seen := known > 0.3).any() or not votes.any():
        return np.zeros(len(where))
    hidden = np.flatnonzero(~seen & (place > 0.5))
    share[~seen] = 0.0
    far, near = cKDTree(where[seen]).query(where[hidden], distance_upper_bound=REACH)
    share[hidden[far < np.inf]] = share[seen][near[far < np.inf]]
    share = share * smoothstep(0.2, 0.6, place)
    there = np.flatnonzero(place > 0.0)
    share[there] = share[there][cKDTree(where[there]).query(where[there], k=100, workers=parallel_threads())[1]].mean(1)
    return share


def _hangs(surface: HeadSurface, face: PhotoFace, photo: FittedPhoto) -> float:
    """Metres by which a photo's facial hair hangs below the chin's outline; nan where it shows no chin."""
    posed = photo.vertices[: surface.count].astype(np.float64)
    jaw = (surface.regions["face"][: surface.count] > 0.5) & (surface.regions["neck"][: surface.count] < 0.5)
    pixels = photo.camera.project(posed[jaw])
    per_pixel = float(np.median(pixels[:, 2]) / photo.camera.intrinsics[1, 1])
    middle = np.median(pixels[surface.regions["lips"][: surface.count][jaw] > 0.5, 0])
    hair = face.labels[:, np.abs(np.arange(face.labels.shape[1]) - middle) * per_pixel < 0.015] == FaceClass.FACIAL_HAIR
    if 2 * (bearded := hair.any(0)).sum() <= len(bearded):
        return float("nan")
    outline = pixels[np.abs(pixels[:, 0] - middle) * per_pixel < 0.015, 1].max()
    return float(len(hair) - np.median(hair[::-1, bearded].argmax(0)) - outline) * per_pixel


def _jaw_too_low(template: Template, surface: HeadSurface, cage: np.ndarray) -> float:
    """Metres by which the chin of a cage (C, 3) is lower than a mean one: the fit takes beards for jaws."""
    eyes, lips, chin = (surface.regions[name][: surface.count] > 0.5 for name in ("lids_left", "lips", "chin"))
    fitted, mean = cage[:, 1], template.vertices[: surface.count, 1]
    parts = [(np.median(y[eyes]) - np.median(y[lips]), np.median(y[lips]) - y[chin].min()) for y in (fitted, mean)]
    return max(float(parts[0][1] - parts[1][1] * parts[0][0] / parts[1][0]), 0.0)


def _strands(
    surface: HeadSurface,
    cage: np.ndarray,
    roots: np.ndarray,
    normals: np.ndarray,
    full: np.ndarray,
    hangs: float,
    low: float,
    random: np.random.Generator,
) -> np.ndarray:
    """(G, 12, 3) strands from roots (G, 3) with the skin's normals (G, 3) of a cage (C, 3). full : (G,) in [0, 1],
    far from the border. hangs, low : metres, of ``_hangs`` and ``_jaw_too_low``; both are not added to what is long."""
    lips, chins = (cage[surface.regions[name][: surface.count] > 0.5] for name in ("lips", "chin"))
    away = roots - np.median(lips, axis=0)
    lip = smoothstep(0.040, 0.030, np.abs(away[:, 0])) * smoothstep(-0.002, 0.003, away[:, 1])
    chin = smoothstep(0.045, 0.025, np.abs(away[:, 0])) * smoothstep(-0.012, -0.030, away[:, 1]) * (1.0 - lip)
    whole = max(min(hangs + low, max(hangs, low)), 0.0) + 0.006
    places = (1.0 - lip - chin, lip, chin)
    length = sum(part * np.clip(share * whole, *ends) for part, (share, *ends) in zip(places, LENGTHS, strict=True))
    room = np.where(lip > 0.5, away[:, 1], roots[:, 1] - chins[:, 1].min() + max(hangs, 0.0))
    length = np.minimum(length * random.uniform(0.5, 1.15, len(roots)), np.maximum(room, 0.003)) * (0.5 + 0.5 * full)
    aside = np.sign(away[:, 0]) * np.minimum(np.abs(away[:, 0]) / 0.01, 1.0)
    outwards = np.stack([aside, np.full(len(roots), -0.8), np.zeros(len(roots))], 1)
    down = np.stack([0.15 * np.sign(away[:, 0]) * (1.0 - chin), np.full(len(roots), -1.0), 0.3 * (1.0 - lip)], 1)
    way = lip[:, None] * outwards + (1.0 - lip[:, None]) * down + random.normal(0.0, 0.15, roots.shape)
    way = unit_vectors(way - (way * normals).sum(1, keepdims=True) * normals)
    points, step = [roots], (length / 11)[:, None]
    heading = unit_vectors(way + RISE * random.uniform(0.6, 1.5, (len(roots), 1)) * normals)
    for _ in range(11):
        points.append(points[-1] + step * heading)
        heading = unit_vectors(heading - step * (0.0, FALL, 0.0))
    return np.stack(points, axis=1)
