"""Fit hair to photographs: the look that it follows, whether there is any, and the groom that explains the photos,
deformed to them and in their colours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import cv2
import numpy as np
from scipy.spatial import cKDTree

from backend.fitting.stages import FittedFace
from backend.geometry.template import Template
from backend.hair.colours import strand_colours
from backend.hair.groom.choose import READER_ERRS, GroomFit, choose_groom
from backend.hair.groom.description import Groom, load_grooms
from backend.hair.groom.dress import strands_of
from backend.hair.groom.grow import GroomHead, GrownGroom, grown_on
from backend.hair.groom.scalp import chart, mean_scalp
from backend.hair.hair_line import line_numbers
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_views import HairView, hair_views, looked_up, votes
from backend.hair.look import Look, find_look
from backend.models.hair_kind import FIELDS, HairKind, read_kind
from backend.photos.collection import FaceClass, PhotoFace
from backend.progress import ProgressReporter, silent
from backend.rendering.rasterize import facing_cosine

STAGE = "hair"
_LEAST_SEEN = 0.0002
"""Square metres of hair in all photos of the look together; less is no hairstyle."""
_TOP, _HIDDEN = 60.0, 0.8
"""Degrees from the crown, and share of a head's top that a hat hides: of 16 people's photos caps hide 0.96 to 1, hands
and the photo's border up to 0.6."""
_LIKELY = 0.5
"""Probability of a shaved or bald head from which hair that looks like skin is none."""
AS_SKIN, _SHINE = 13.2, 0.3
"""CIELAB: difference from the face of a shaved scalp, in the middle between shaved heads (10 and 12) and thin white
hair (14 and more) of official portraits (public domain). A scalp that shines is lighter, which counts ``_SHINE``."""
_BARE, _BEFORE = 0.5, 0.25
"""Share of the photos' trust that shows a point before bare skin; share of such points of a guide that is moved."""
_NARROWEST, _WIDEST, _AROUND, _MEET = 0.004, 0.02, 3, 1.3
"""Metres across a lock, least and most; neighbours that it meets; and widths for the distance of the last."""
_WAVY, _HANGING_WAVY = "shag", "side_fringe"
"""Grooms whose waves straight ones get: short hair, and hair that hangs, half as large as those of ``long_wavy``."""
BALDING = "balding"
"""The name of a choice for the groom ``ring``; all others are grooms' names with spaces."""


def grooms_of(style: str) -> tuple[str, ...]:
    """The groom that a style is; none for ``auto``."""
    return {"auto": (), BALDING: ("ring",)}.get(style, (style.replace(" ", "_"),))


@dataclass(frozen=True)
class HairResult:
    """``strands`` : the hair, or None. ``reason`` : why there is none, a sentence for the user. ``look`` : the photos
    that it follows, None if none was looked at. ``groom`` : what was chosen, None without hair."""

    strands: HairStrands | None
    reason: str = ""
    look: Look | None = None
    groom: GroomFit | None = None

    def to_report(self) -> dict[str, object]:
        """The hair's entry in ``report.json``: the look, and style, groom, guides and the hairline, or the reason."""
        look = {} if self.look is None else {"look": {"leader": self.look.leader, "photos": list(self.look.photos)}}
        if self.strands is None:
            return {"found": False, "reason": self.reason} | look
        numbers = {name: round(value, 4) for name, value in self.strands.parameters.items()}
        told: dict[str, object] = {"found": True, "style": self.strands.style}
        if self.groom is not None:
            chosen = self.groom.groom
            told |= {"groom": chosen.name, "kind": dict(chosen.kind), "overlap": round(self.groom.overlap, 3)}
        return told | {"guides": len(self.strands.points), "numbers": numbers} | look


@dataclass(frozen=True)
class HairLook:
    """What the photos show of the hair: the look, and the views of its photos, the leader first. ``kind`` : what they
    say together, None without the net that reads it. ``line`` : of ``apply_hairline_points``. ``hat`` : whether all
    show one, below which hair goes on."""

    head: GroomHead
    look: Look
    views: tuple[HairView, ...]
    kind: HairKind | None = None
    line: np.ndarray | None = None
    hat: bool = False


def look_at(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], leader: str = "", line: np.ndarray | None = None
) -> HairLook:
    """Find the look; ``faces`` are matched to the fitted photos by name.

    leader : name of the look's photo; empty: chosen. line : of ``HairLook``. Raises ``LikenessError`` for an unknown
    ``leader``.
    """
    views = {view.name: view for view in hair_views(template, fitted, faces)}
    head = GroomHead(template, fitted.neutral)
    look = find_look(head, tuple(views.values()), fitted.used_faces(faces), leader)
    hidden = {name: under_hat(head, views[name]) for name in look.photos}
    bare = [name for name, hat in hidden.items() if hat is False]
    kind = read_kind([face for face in fitted.used_faces(faces) if face.name in (bare or look.photos)])
    if (hat := not bare and any(hidden.values())) and kind is not None:
        full = np.array([float(value == "full") for value in FIELDS["density"]])
        kind = HairKind({field: kind.odds[field] for field in ("length", "curl", "sides", "beard")} | {"density": full})
    return HairLook(head, look, tuple(views[name] for name in look.photos), kind, line, hat)


def under_hat(head: GroomHead, view: HairView) -> bool | None:
    """Whether nearly all of the head's top that faces the camera is hidden; None where none does."""
    facing = facing_cosine(head.scalp, head.normals, view.camera) > 0
    places = head.scalp[facing & (chart(mean_scalp().places)[1] < _TOP)]
    return float((looked_up(view.visible, places, view) < 0.5).mean()) > _HIDDEN if len(places) else None


def fit_hair(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    progress: ProgressReporter = silent,
    told_style: str = "auto",
    told: HairLook | None = None,
    parting: tuple[str, float] = ("auto", 0.0),
) -> HairResult:
    """Fit hair to the photos of a fitted face that share a look; ``faces`` are matched to them by name.

    told_style : ``auto``, ``shaved``, ``balding`` or a groom's name with spaces: at least as long as that groom then.
    told : of ``look_at``; None: found here, the look chosen. parting : option's name, and metres from the
    middle. Raises ``errors.Cancelled`` when ``progress`` raised it.
    """
    progress(STAGE, 0.0)
    if told_style == "shaved":
        return HairResult(None, "The hairstyle was given as shaved.")
    told = told or look_at(template, fitted, faces)
    progress(STAGE, 0.3)
    hair = sum(float((view.hair * view.visible).sum()) / view.pixels_per_metre**2 for view in told.views)
    sure = told_style == "auto" and not told.hat  # else hair is never shaved
    if hair < _LEAST_SEEN and sure:
        return HairResult(None, "The photos show no hair.", told.look)
    photos = {photo.name: photo for photo in fitted.photos}
    seen = replace(fitted, photos=tuple(photos.pop(name) for name in told.look.photos))  # the leading one first
    names = grooms_of(told_style)
    if sure and told.kind is not None:
        ring, bare = told.kind.probability("density", "ring"), _bare(told.kind)
        if ring > _LIKELY or bare <= _LIKELY < ring + told.kind.probability("density", "bald"):
            names = ("ring",)
        elif bare > _LIKELY and from_skin(*beside_skin(seen, faces)) < AS_SKIN:
            return HairResult(None, "The photos show a shaved head.", told.look)
    shortest = 0.0 if told_style in ("auto", BALDING) else 1.0
    shown = told.head, _led(told.views), told.kind
    groom = choose_groom(*shown, names, told.line, shortest)
    if sure and not names and groom.overlap < _LIKELY and _bare_beside_thin(told.kind):
        return HairResult(None, "The photos show too little hair, or a shaved head.", told.look)
    if parting[0] != "auto":  # of the same groom: a crew cut became a slicked one
        groom = choose_groom(*shown, (groom.groom.name,), told.line, shortest, _parted(*parting))
    progress(STAGE, 0.8)
    style = _waved(groom.groom, told.kind) if told_style == "auto" else groom.groom
    grown = grown_on(style, told.head, **groom.fitted)
    if told_style == "auto":
        grown = _beside_face(grown, told.views)
    strands = strands_of(grown)
    root, tip = strand_colours(strands.points, seen, faces, tuple(photos.values()), told.kind)
    own = {"width": _widths(strands), "style": told_style, "parameters": line_numbers(groom.hairline)}
    strands = replace(strands, root_colour=root, tip_colour=tip, **own)
    progress(STAGE, 1.0)
    return HairResult(strands, "", told.look, groom)


def _bare(kind: HairKind | None) -> float:
    """Probability of a shaved or bald head, by its length or density."""
    return 0.0 if kind is None else max(kind.probability("length", "shaved"), kind.probability("density", "bald"))


def _bare_beside_thin(kind: HairKind | None) -> bool:
    """Whether hair that no groom explains half of is a shaved scalp's shade: where that is likelier than an error, and
    than half of thin hair, of which labels show as little. Of four shaved heads it is 0.11 to 0.61, of sides below a
    cap and of thin rings 0.03 to 0.21."""
    thin = 0.0 if kind is None else kind.probability("density", "receding", "thinning_top", "ring")
    return _bare(kind) > max(READER_ERRS, _LIKELY * thin)


def _led(views: Sequence[HairView]) -> tuple[HairView, ...]:
    """The views, the leading one, which is the first, trusted as much as all others together and itself."""
    others = sum(view.trust for view in views[1:])
    return (*(replace(view, trust=view.trust + others) for view in views[:1]), *views[1:])


def _beside_face(grown: GrownGroom, views: Sequence[HairView]) -> GrownGroom:
    """The groom with guides that hang before skin which photos show bare combed aside, or left out where that fails."""
    trust, points = sum(view.trust for view in views), grown.points.copy()
    bare = sum(view.trust * (votes(points, view) < -1.0) for view in views) / trust > _BARE
    clear, over = np.flatnonzero(~bare.any(1)), np.flatnonzero((bare.mean(1) >= _BEFORE) & ~bare[:, 0])
    if len(clear) and len(over):  # to where one of eight clear guides beside it ends: the nearest alone made tufts
        near = cKDTree(points[clear, 0]).query(points[over, 0], k=np.arange(min(8, len(clear))) + 1)[1]
        like = points[clear[np.random.default_rng(0).permuted(near, axis=1)[:, 0]]]
        aside = points[over, :1] - like[:, :1]
        long = np.linalg.norm(np.diff(points[over], axis=1), axis=2).sum(1)
        turned = np.linalg.norm(aside, axis=2)[:, 0] < 0.5 * long  # by 30 degrees: sideburns lay across the ear
        points[over[turned]] = (like + aside * np.linspace(1, 0, points.shape[1])[:, None] ** 2)[turned]
        bare = sum(view.trust * (votes(points, view) < -1.0) for view in views) / trust > _BARE
    kept = bare.mean(1) < _BEFORE
    kept[over] = ~bare[over].any(1)
    roots = {"points": points[kept], "root_uv": grown.root_uv[kept], "scalp_uv": grown.scalp_uv[kept]}
    return replace(grown, **roots) if kept.any() else grown


def _waved(groom: Groom, kind: HairKind | None) -> Groom:
    """The groom, where straight and loose, in waves if photos show them: what lies best may have none."""
    shown = kind is not None and kind.probability("curl", "wavy", "curly") > _LIKELY
    if not shown or groom.kind["curl"] != "straight" or groom.kind["tied"] != "no":
        return groom
    wavy = load_grooms()[_HANGING_WAVY if groom.shape["zone"]["hang"] > 0 else _WAVY].chain
    return replace(groom, chain={**groom.chain, "wave": wavy["wave"], "wave_scale": wavy["wave_scale"]})


def _parted(side: str, place: float) -> Callable[[Groom], Groom]:
    """What makes any groom parted where the user wants it, or combed back."""

    def change(groom: Groom) -> Groom:
        parted = "long_side" if groom.shape["zone"]["hang"] else "side_part"
        like = load_grooms()["slicked" if side == "none" else parted]
        flow = dict(like.shape["flow"])
        if side != "none":
            flow |= {"part_mm": {"left": 1000 * place, "middle": 0.0, "right": -1000 * place}[side], "part_slope": 0.0}
        chain = MappingProxyType({**groom.chain, "islands": like.chain["islands"]})
        return replace(groom, shape=MappingProxyType({**groom.shape, "flow": flow}), chain=chain)

    return change


def _widths(strands: HairStrands) -> np.ndarray:
    """(G,) metres across locks that hide the scalp between them; those of a tail or bun are narrow."""
    roots = strands.points[:, 0]
    reach = cKDTree(roots).query(roots, k=min(_AROUND + 1, len(roots)))[0].reshape(len(roots), -1)[:, -1]
    wide = np.clip(_MEET * reach, _NARROWEST, _WIDEST)
    return np.where(strands.free > 0, _NARROWEST, wide).astype(np.float32)


def lab_beside_skin(face: PhotoFace) -> np.ndarray | None:
    """(H, W, 3) CIELAB of a face's pixels less the median of its skin; None without colour or skin."""
    skin = face.labels == FaceClass.SKIN
    if face.monochrome or not skin.any():
        return None
    lab = cv2.cvtColor(face.pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab - np.median(lab[skin], 0)


def from_skin(hue: np.ndarray | float, lighter: np.ndarray | float) -> np.ndarray:
    """CIELAB units by which hair differs from skin, a scalp's below ``AS_SKIN``; a shine on it counts ``_SHINE``."""
    return np.hypot(hue, np.where(lighter > 0, _SHINE, 1) * lighter)


def beside_skin(fitted: FittedFace, faces: Sequence[PhotoFace], kind: int = FaceClass.HAIR) -> tuple[float, float]:
    """How far what is labelled as hair of a ``kind`` differs in hue from the skin, and how much lighter it is: CIELAB,
    the median over the photos; infinity and 0 where no photo in colour shows both."""
    names, apart = {photo.name for photo in fitted.photos}, []
    for face in faces:
        lab, hair = lab_beside_skin(face) if face.name in names else None, face.labels == kind
        if lab is not None and hair.any():
            apart.append(np.median(lab[hair], 0))
    lighter, *hue = np.median(apart, 0) if apart else (0.0, np.inf, 0.0)
    return float(np.hypot(*hue)), float(lighter)
